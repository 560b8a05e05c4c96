"""One settings object for the whole platform, read from ``SOUNDLAKE_*`` variables and ``.env``.

Laptop and cluster run the same code: only these values differ. See ``.env.example`` for the list with comments.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from lakehouse.storage_connection import S3Connection, bucket_of


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="SOUNDLAKE_", env_file=".env", env_ignore_empty=True, extra="ignore", populate_by_name=True
    )

    lake: str = Field(
        "data/lake", description="local folder or s3://bucket/prefix that holds raw, bronze, silver, gold"
    )
    state: Path | None = Field(
        None, description="Dagster, MLflow and serving state; default <lake>/_soundlake if local"
    )
    cache: Path = Field(Path("~/.cache/soundlake"), description="downloaded Spark jars, shared by all lakes")
    spark_master: str = "local[*]"
    spark_memory: str = "3g"
    spark_shuffle_partitions: int = Field(4, ge=1)
    spark_above_mb: int = Field(
        2048,
        ge=0,
        description="silver facts are made in this process up to so many MiB of bronze, beyond that by Spark",
    )
    in_process_memory: str = Field("4GB", description="memory of that work in this process; it spills to disk beyond")
    s3_endpoint: str | None = Field(
        None,
        description="S3-compatible server, http(s)://host:port; unset: AWS_ENDPOINT_URL[_S3], or Amazon",
        validation_alias=AliasChoices("soundlake_s3_endpoint", "aws_endpoint_url_s3", "aws_endpoint_url"),
    )
    s3_region: str | None = Field(
        None,
        description="region of the bucket; unset: AWS_REGION, AWS_DEFAULT_REGION, or the usual AWS chain",
        validation_alias=AliasChoices("soundlake_s3_region", "aws_region", "aws_default_region"),
    )
    s3_path_style: bool | None = Field(
        None, description="bucket in the path, not in the host name; default: yes where an endpoint is set"
    )
    kafka_servers: str | None = Field(None, description="host:port,… of the Kafka brokers that `stream` reads")
    kafka_topic_prefix: str = Field("soundlake", description="topics are <prefix>.<event family>, <prefix>.dead-letter")
    online_store: str | None = Field(
        None, description="redis://host:port/db, or a folder for LMDB; default <state>/online"
    )
    pseudonym_key: SecretStr | None = Field(None, description="key of the user pseudonyms; made once per lake if unset")
    mlflow_uri: str | None = Field(None, description="MLflow tracking server; default SQLite under the state folder")
    mlflow_artifacts: str | None = Field(
        None, description="s3://bucket/prefix for MLflow's artefacts; default <state>/mlflow/artifacts"
    )
    compute_logs: str | None = Field(
        None, description="s3://bucket/prefix for what Dagster's steps print; default: under the state folder"
    )
    serving_address: str | None = Field(None, description="host:port (gRPC) of a model server; unset: embedded server")
    serving_models: Path | None = Field(None, description="model base folder here; default <state>/serving")
    serving_base_path: str | None = Field(None, description="the same folder as the model server sees it")
    model_name: str = "recommender"
    keep_versions: int = Field(3, ge=1, description="versions of the model whose files are kept")
    canary_share: float = Field(0.05, gt=0, le=1, description="share of listeners that a new version answers first")
    canary_requests: int = Field(500, ge=1, description="requests that it answers before it is judged")
    canary_hours: float = Field(24, gt=0, description="hours after which it is judged on what has come")
    canary_psi: float = Field(0.25, gt=0, description="stability index of its scores from which it is rolled back")
    api_address: str | None = Field(
        None, description="recommendation API whose /metrics a new version is judged by; unset: at api_port, here"
    )
    api_port: int = Field(8600, ge=1, le=65535, description="port of the recommendation API")
    api_token: SecretStr | None = Field(None, description="bearer token that the API asks for; unset: it asks for none")
    api_max_body: int = Field(1024 * 1024, ge=1024, description="bytes of a request's body, at most")
    api_rate: float = Field(200, ge=0, description="requests a second of one client; 0: no limit")
    api_burst: int = Field(400, ge=1, description="requests that a client may send at once before the rate counts")
    api_model_timeout_ms: int = Field(250, ge=1, description="ms that the model may take a request, retry included")
    api_in_flight: int = Field(32, ge=1, description="requests that may wait for the model at once; more are not asked")
    api_candidates: int = Field(100, ge=0, description="candidates from the version's item index; 0: the model's own")
    api_index_from: int = Field(
        200_000,
        ge=0,
        description="tracks from which on the index is asked; fewer the model searches whole, sooner",
    )
    api_artist_cap: int = Field(2, ge=0, description="tracks of one artist in a list, at most; 0: no re-ranking at all")
    api_explore: float = Field(0, ge=0, le=1, description="share of requests whose last places are drawn at random")
    api_cache_seconds: float = Field(10, ge=0, description="how long an answer serves whoever asks the same again")
    api_events: Literal["lake", "kafka"] = Field("lake", description="where posted and logged events go")
    api_refresh_seconds: float = Field(60, gt=0, description="how often names and popular tracks are read again")
    registered_model: str = "soundlake-recommender"
    experiment: str = "soundlake"
    train_epochs: int | None = Field(None, ge=1, description="epochs of the neural models; default: each its own")
    train_models: str | None = Field(None, description="models to train, by comma; default: those fit in minutes")
    train_moments: int | None = Field(
        None, ge=100, description="moments that the two-stage ranker learns from, a task and cut; default: its own"
    )
    train_dim: int | None = Field(None, ge=4, description="width of their embeddings; default: each its own")
    tune_models: str = Field("transitions,item_knn,ease_recent", description="models that the job `tune` tunes")
    tune_trials: int = Field(12, ge=1, description="trials for each of them, at most")
    tune_seconds: float = Field(300, gt=0, description="seconds for each of them after which no trial begins")
    seed: int = 20260101

    @field_validator("lake")
    @classmethod
    def _absolute(cls, value: str) -> str:
        if "://" in value:
            return value.rstrip("/")
        return str(Path(value).expanduser().resolve())

    @field_validator("s3_endpoint")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value and not re.match(r"https?://[^/]", value):
            raise ValueError(f"{value!r} is no address of a server: write http://host:port or https://host")
        return value.rstrip("/") if value else None

    @field_validator("mlflow_artifacts", "compute_logs")
    @classmethod
    def _s3_address(cls, value: str | None) -> str | None:
        if value and not re.match(r"s3://[^/]", value):
            raise ValueError(f"{value!r} is not on S3: write s3://bucket/prefix, or leave it out for the state folder")
        return value.rstrip("/") if value else None

    @property
    def lake_is_local(self) -> bool:
        return "://" not in self.lake

    @property
    def s3(self) -> S3Connection:
        return S3Connection(self.s3_endpoint, self.s3_region, self.s3_path_style)

    @property
    def bucket(self) -> str:
        """Bucket of a lake on S3."""
        return bucket_of(self.lake)

    @property
    def state_dir(self) -> Path:
        if self.state:
            return self.state.expanduser().resolve()
        if self.lake_is_local:
            return Path(self.lake) / "_soundlake"
        slug = re.sub(r"[^a-zA-Z0-9]+", "-", self.lake).strip("-")
        return Path("~/.local/share/soundlake").expanduser() / slug

    @property
    def cache_dir(self) -> Path:
        return self.cache.expanduser().resolve()

    @property
    def dagster_home(self) -> Path:
        return self.state_dir / "dagster"

    @property
    def tracking_uri(self) -> str:
        return self.mlflow_uri or f"sqlite:///{self.state_dir / 'mlflow' / 'mlflow.db'}"

    @property
    def artifact_dir(self) -> Path:
        """Where MLflow keeps artefacts on this machine."""
        return self.state_dir / "mlflow" / "artifacts"

    @property
    def artifact_root(self) -> str:
        """Where MLflow keeps artefacts when no tracking server is set: a folder, or an address on S3."""
        return self.mlflow_artifacts or str(self.artifact_dir)

    @property
    def models_dir(self) -> Path:
        return (self.serving_models or self.state_dir / "serving").expanduser().resolve()

    @property
    def server_address_file(self) -> Path:
        """Where `soundlake dev` leaves the gRPC address of its model server."""
        return self.models_dir / "server.address"

    @property
    def model_server(self) -> str | None:
        """Address of the model server to use, None to start an embedded one."""
        if self.serving_address:
            return self.serving_address
        file = self.server_address_file
        return file.read_text().strip() if file.exists() else None

    @property
    def api_url(self) -> str:
        """Where the recommendation API is looked for."""
        return self.api_address or f"http://127.0.0.1:{self.api_port}"

    @property
    def models_config(self) -> Path:
        """The ModelServerConfig file that a model server reads at its start."""
        return self.models_dir / "models.config"

    def table_uri(self, table_name: str) -> str:
        """Folder of a table, with the scheme that Spark wants."""
        layer, _, name = table_name.partition(".")
        base = self.lake.replace("s3://", "s3a://", 1)
        return f"{base}/{layer}/{name}"

    def pseudonym_key_bytes(self) -> bytes:
        """The HMAC key of this lake's user pseudonyms (made once, mode 0600, if no key is set)."""
        if self.pseudonym_key:
            return self.pseudonym_key.get_secret_value().encode()
        path = self.state_dir / "pseudonym.key"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(f".{os.getpid()}")
            temporary.touch(mode=0o600)
            temporary.write_text(secrets.token_hex(32))
            with contextlib.suppress(FileExistsError):
                os.link(temporary, path)  # first writer wins: a second key would split every user in two
            temporary.unlink()
        return path.read_text().encode()


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    return Settings()


def use_lake(uri: str) -> Settings:
    """Point this process and its children at another lake."""
    os.environ["SOUNDLAKE_LAKE"] = Settings(lake=uri).lake
    get_settings.cache_clear()
    return get_settings()
