"""Settings: folders that follow from the lake, and the key of the pseudonyms."""

from __future__ import annotations

import multiprocessing
import stat
from pathlib import Path

import pytest
from pydantic import ValidationError

from lakehouse.settings import Settings, get_settings, use_lake
from lakehouse.storage_connection import S3Connection


def test_state_lies_beside_a_local_lake_and_at_home_for_a_remote_one(tmp_path, monkeypatch):
    assert Settings(lake=str(tmp_path)).state_dir == tmp_path / "_soundlake"
    monkeypatch.setenv("HOME", str(tmp_path))
    remote = Settings(lake="s3://bucket/music/")
    assert remote.lake == "s3://bucket/music"
    assert remote.state_dir == tmp_path / ".local/share/soundlake/s3-bucket-music"
    assert remote.table_uri("silver.listens") == "s3a://bucket/music/silver/listens"
    assert Settings(lake="x", state=tmp_path / "s").dagster_home == tmp_path / "s" / "dagster"


def test_a_relative_lake_is_made_absolute_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Settings(lake="data").lake == str(tmp_path / "data")


def test_variables_set_every_value(tmp_path, monkeypatch):
    monkeypatch.setenv("SOUNDLAKE_LAKE", str(tmp_path))
    monkeypatch.setenv("SOUNDLAKE_TRAIN_EPOCHS", "0")
    with pytest.raises(ValidationError, match="train_epochs"):
        Settings()
    monkeypatch.setenv("SOUNDLAKE_TRAIN_EPOCHS", "3")
    assert (Settings().lake, Settings().train_epochs) == (str(tmp_path), 3)


def test_a_command_changes_the_lake_for_its_children_too(tmp_path):
    import os

    assert use_lake(str(tmp_path)).lake == get_settings().lake == os.environ["SOUNDLAKE_LAKE"] == str(tmp_path)


def test_the_key_of_the_pseudonyms_is_made_once_and_for_the_owner_only(tmp_path):
    settings = Settings(lake=str(tmp_path))
    key = settings.pseudonym_key_bytes()
    assert len(key) == 64
    assert Settings(lake=str(tmp_path)).pseudonym_key_bytes() == key
    files = list((tmp_path / "_soundlake").iterdir())
    assert [stat.S_IMODE(f.stat().st_mode) for f in files] == [0o600]
    assert Settings(lake=str(tmp_path / "other")).pseudonym_key_bytes() != key


def test_a_set_key_is_used_and_never_shown(tmp_path):
    settings = Settings(lake=str(tmp_path), pseudonym_key="secret")
    assert settings.pseudonym_key_bytes() == b"secret"
    assert "secret" not in repr(settings)
    assert list(tmp_path.iterdir()) == []


def _key(lake: str, barrier, results) -> None:
    barrier.wait(60)
    results.put(Settings(lake=lake).pseudonym_key_bytes())


def test_processes_that_race_for_the_key_get_the_same(tmp_path):
    context = multiprocessing.get_context("fork")
    count = 6
    barrier, results = context.Barrier(count), context.Queue()
    racing = [context.Process(target=_key, args=(str(tmp_path), barrier, results)) for _ in range(count)]
    for process in racing:
        process.start()
    keys = {results.get(timeout=60) for _ in racing}
    for process in racing:
        process.join(60)
    assert len(keys) == 1
    assert [path.name for path in Path(tmp_path, "_soundlake").iterdir()] == ["pseudonym.key"]


# ---------------------------------------------------------------------- S3
def test_the_way_to_s3_follows_the_settings_and_then_the_usual_variables(monkeypatch):
    assert Settings().s3 == S3Connection()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://aws:1/")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert Settings().s3 == S3Connection("http://aws:1", "eu-west-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://aws-s3:1")
    assert Settings().s3_endpoint == "http://aws-s3:1"
    monkeypatch.setenv("SOUNDLAKE_S3_ENDPOINT", "https://own:1")
    monkeypatch.setenv("SOUNDLAKE_S3_PATH_STYLE", "false")
    assert Settings().s3 == S3Connection("https://own:1", "eu-west-1", path_style=False)
    assert Settings(s3_endpoint="http://given:1").s3_endpoint == "http://given:1"
    monkeypatch.setenv("SOUNDLAKE_S3_ENDPOINT", "own:1")
    with pytest.raises(ValidationError, match="'own:1' is no address of a server: write http://host:port"):
        Settings()


def test_every_client_is_told_the_same():
    amazon, own = S3Connection(), S3Connection("http://host:7070")
    assert amazon.client_arguments()["endpoint_url"] is None
    assert not any("endpoint" in key for key in amazon.hadoop_options("b"))
    assert "AWS_ENDPOINT_URL" not in amazon.deltalake_options("b")
    assert own.client_config().s3["addressing_style"] == "path"
    assert own.hadoop_options("b")["fs.s3a.bucket.b.endpoint"] == "http://host:7070"
    assert own.hadoop_options("b")["fs.s3a.bucket.b.path.style.access"] == "true"
    told = own.deltalake_options("b")
    assert (told["AWS_ENDPOINT_URL"], told["AWS_ALLOW_HTTP"], told["AWS_CONDITIONAL_PUT"]) == (
        "http://host:7070",
        "true",
        "etag",
    )
    in_host_name = S3Connection("https://host", path_style=False).deltalake_options("b")
    assert (in_host_name["AWS_ENDPOINT_URL"], in_host_name["AWS_VIRTUAL_HOSTED_STYLE_REQUEST"]) == (
        "https://b.host",
        "true",
    )


def test_places_on_s3_reach_dagster_and_mlflow(tmp_path):
    import yaml

    from orchestration.home import instance_yaml

    assert "compute_logs" not in yaml.safe_load(instance_yaml(Settings(lake=str(tmp_path))))
    settings = Settings(
        lake=str(tmp_path),
        s3_endpoint="http://host:1",
        compute_logs="s3://logs/of/soundlake",
        mlflow_artifacts="s3://models/a/",
    )
    made = yaml.safe_load(instance_yaml(settings))
    assert made["telemetry"] == {"enabled": False}
    config = made["compute_logs"]["config"]
    assert (config["bucket"], config["prefix"], config["endpoint_url"]) == ("logs", "of/soundlake", "http://host:1")
    assert settings.artifact_root == "s3://models/a"
    with pytest.raises(ValidationError, match="is not on S3: write s3://bucket/prefix"):
        Settings(compute_logs="/var/log")


def test_the_api_is_looked_for_where_it_is_started_unless_told(tmp_path):
    assert Settings(lake=str(tmp_path), api_port=8700).api_url == "http://127.0.0.1:8700"
    assert Settings(lake=str(tmp_path), api_address="http://api:80").api_url == "http://api:80"
