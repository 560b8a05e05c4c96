"""Rules a model configuration must keep before the server takes it."""

from __future__ import annotations

from collections.abc import Mapping

from serving.model_server.errors import failed_precondition, invalid_argument
from serving.model_server.state import State, VersionEntry

PLATFORM = "tensorflow"
Labels = dict[str, dict[str, int]]


def read_reload_request(request):
    """The `ModelServerConfig` of a `ReloadConfigRequest`; a list of models is the one kind that may be reloaded."""
    if request.config.WhichOneof("config") != "model_config_list":
        raise invalid_argument("ServerModelConfig type not supported by HandleReloadConfigRequest.")
    return request.config


def check_config(config) -> None:
    """Raise INVALID_ARGUMENT for a `ModelServerConfig` that lists a model twice or asks for another platform."""
    seen: set[str] = set()
    for model in config.model_config_list.config:
        if model.name in seen:
            raise invalid_argument(f"Illegal to list model {model.name} multiple times in config list")
        seen.add(model.name)
        if not model.model_platform:
            raise invalid_argument(
                "Illegal setting neither ModelServerConfig::model_type (deprecated) "
                "nor ModelServerConfig::model_platform."
            )
        if model.model_platform != PLATFORM:
            raise invalid_argument(f"Model {model.name} requests unsupported platform {model.model_platform}")


def resolve_labels(
    config, current: Labels, entries: Mapping[str, Mapping[int, VersionEntry]], allow_unavailable: bool
) -> Labels:
    """The labels of `config`: model name -> label -> version.

    A label may only name a version that is AVAILABLE now. With `allow_unavailable`, a label that is new (or stays
    where it is) may name any version; one that moves may not. Raises FAILED_PRECONDITION otherwise.
    """
    labels: Labels = {}
    for model in config.model_config_list.config:
        for label, version in model.version_labels.items():
            moves = current.get(model.name, {}).get(label, version) != version
            entry = entries.get(model.name, {}).get(version)
            available = entry is not None and entry.state is State.AVAILABLE
            if not available and (moves or not allow_unavailable):
                raise failed_precondition(
                    f"Request to assign label to version {version} of model {model.name}, "
                    "which is not currently available for inference"
                )
            labels.setdefault(model.name, {})[label] = version
    return labels
