"""The model server's configuration file: one model's part as a dataclass, load and atomic save.

The file is a `ModelServerConfig` in text format, as `tensorflow_model_server --model_config_file` reads it. What it
says about other models is kept as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from serving.files import write_atomically

if TYPE_CHECKING:
    from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

PLATFORM = "tensorflow"
POLICIES = ("specific", "latest", "all")
HEADER = "# Models of the model server (ModelServerConfig, text format). Written by soundlake; read at each start.\n"


class ConfigError(Exception):
    """A configuration file that cannot be read, or a configuration that no server would take."""


@dataclass(frozen=True)
class ModelConfig:
    """One served model.

    Args:
        name: the model's name in requests.
        base_path: the folder of its version folders, as the server sees it (a container's mount, for one).
        versions: the versions to serve under the policy "specific", ascending; empty under other policies.
        labels: label -> version, such as {"stable": 7, "canary": 8}.
        policy: "specific", "latest" (`num_versions` of them), or "all".
    """

    name: str
    base_path: str
    versions: tuple[int, ...] = ()
    labels: Mapping[str, int] = field(default_factory=dict)
    policy: str = "specific"
    num_versions: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "versions", tuple(sorted(set(self.versions))))
        object.__setattr__(self, "labels", dict(sorted(self.labels.items())))
        self._check()

    def _check(self) -> None:
        if not self.name:
            raise ConfigError("name: a model needs a name")
        if self.policy not in POLICIES:
            raise ConfigError(f"policy of model {self.name}: {self.policy!r} is none of {', '.join(POLICIES)}")
        if self.policy == "specific" and not self.versions:
            raise ConfigError(f"versions of model {self.name}: the policy 'specific' needs at least one")
        if self.policy != "specific" and self.versions:
            raise ConfigError(f"versions of model {self.name}: only the policy 'specific' takes them")
        if self.num_versions < 1:
            raise ConfigError(f"num_versions of model {self.name}: {self.num_versions} is below 1")
        for label, version in self.labels.items():
            if self.versions and version not in self.versions:
                raise ConfigError(
                    f"label {label!r} of model {self.name} names version {version}, "
                    f"which is not among its versions {list(self.versions)}"
                )

    @classmethod
    def from_proto(cls, message) -> ModelConfig:
        """The view of one `ModelConfig` message."""
        policy = message.model_version_policy
        choice = policy.WhichOneof("policy_choice") or "latest"
        return cls(
            name=message.name,
            base_path=message.base_path,
            versions=tuple(policy.specific.versions) if choice == "specific" else (),
            labels=dict(message.version_labels),
            policy=choice,
            num_versions=max(policy.latest.num_versions, 1) if choice == "latest" else 1,
        )

    def write_to(self, message) -> None:
        """Put this view into a `ModelConfig` message; fields it does not know (logging, ...) stay."""
        message.name, message.base_path, message.model_platform = self.name, self.base_path, PLATFORM
        message.ClearField("model_version_policy")
        if self.policy == "specific":
            message.model_version_policy.specific.versions.extend(self.versions)
        elif self.policy == "latest":
            message.model_version_policy.latest.num_versions = self.num_versions
        else:
            message.model_version_policy.all.SetInParent()
        message.ClearField("version_labels")
        message.version_labels.update(self.labels)


def empty_server_config() -> ModelServerConfig:
    """A configuration that names no model yet."""
    from tensorflow_serving.config import model_server_config_pb2

    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.SetInParent()
    return config


def get_model(config: ModelServerConfig, name: str) -> ModelConfig | None:
    """The part of `config` about the model `name`, or None."""
    for message in config.model_config_list.config:
        if message.name == name:
            return ModelConfig.from_proto(message)
    return None


def with_model(config: ModelServerConfig, model: ModelConfig) -> ModelServerConfig:
    """A copy of `config` in which `model` is new or replaced."""
    changed = type(config)()
    changed.CopyFrom(config)
    for message in changed.model_config_list.config:
        if message.name == model.name:
            model.write_to(message)
            return changed
    model.write_to(changed.model_config_list.config.add())
    return changed


def parse_server_config(text: str, source: str = "configuration") -> ModelServerConfig:
    """Read a `ModelServerConfig` from its text format; raises `ConfigError` naming `source`, line and column."""
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    try:
        config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    except text_format.ParseError as error:
        raise ConfigError(f"{source}: {error}. Expected: model_config_list {{ config {{ name: ... }} }}") from error
    if config.WhichOneof("config") == "custom_model_config":
        raise ConfigError(f"{source}: custom_model_config is not supported: list the models in model_config_list")
    config.model_config_list.SetInParent()
    return config


def load_server_config(path: Path) -> ModelServerConfig:
    """Read a configuration file; raises `ConfigError` naming the file."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist: write `model_config_list {{}}` into it to start empty") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    return parse_server_config(text, str(path))


def format_server_config(config: ModelServerConfig) -> str:
    """`config` in text format."""
    from google.protobuf import text_format

    return HEADER + text_format.MessageToString(config)


def save_server_config(path: Path, config: ModelServerConfig) -> None:
    """Replace the configuration file atomically (temporary file, fsync, rename)."""
    write_atomically(Path(path), format_server_config(config))


def ensure_config_file(path: Path) -> None:
    """Write a configuration without models where there is no file yet."""
    if not Path(path).exists():
        save_server_config(path, empty_server_config())
