"""Which version folders of a base path the configuration asks for."""

from __future__ import annotations

import logging
from pathlib import Path

LOGGER = logging.getLogger(__name__)


def version_folders(base_path: Path) -> dict[int, Path]:
    """The version folders under `base_path`: number -> folder.

    `00000123` is version 123. Folders whose name is not a whole number (such as one still being written under a
    temporary name) are passed over. Raises FileNotFoundError where `base_path` does not exist.
    """
    folders: dict[int, Path] = {}
    for child in sorted(base_path.iterdir()):
        if not (child.name.isascii() and child.name.isdigit()):
            continue
        version = int(child.name)
        if version in folders:
            LOGGER.warning("version %d of %s exists twice; %s is used", version, base_path, child.name)
        folders[version] = child
    return folders


def aspired_folders(folders: dict[int, Path], policy, model_name: str) -> dict[int, Path]:
    """The folders that `policy` (a `ServableVersionPolicy` message) wants served; the default is the latest one."""
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return dict(folders)
    if choice == "specific":
        wanted = set(policy.specific.versions)
        for missing in sorted(wanted - folders.keys()):
            LOGGER.warning("version %d of model %s is configured but has no folder", missing, model_name)
        return {version: folders[version] for version in sorted(wanted & folders.keys())}
    count = max(policy.latest.num_versions, 1)
    return {version: folders[version] for version in sorted(folders, reverse=True)[:count]}


def map_mounts(base_path: str, mounts: dict[str, str]) -> Path:
    """`base_path` of a configuration as a local path: the longest matching prefix of `mounts` is replaced.

    A configuration written for a container (`/models/recommender`) can so be served where the folder has another
    name. Without a matching mount the path is taken as it is.
    """
    path = Path(base_path)
    for prefix in sorted(mounts, key=len, reverse=True):
        if path.is_relative_to(prefix):
            return Path(mounts[prefix]) / path.relative_to(prefix)
    return path
