"""Deletes the files of versions that nobody needs any more."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from serving.files import locked
from serving.model_server.storage import version_folders
from serving.publish import Publisher
from serving.rollout import STABLE

_GONE = ".gone-"


def retire(publisher: Publisher, keep: int) -> list[int]:
    """Delete old versions of the publisher's model but for the newest `keep`; -> those deleted, ascending.

    Kept in any case: what a label names, what the configuration has the server load, and what is newer than the
    stable version (it may be on its way). A folder is renamed before it is emptied, so that a kill leaves a whole
    version or none; what a kill left is cleared away.
    """
    if keep < 1:
        raise ValueError(f"keep: {keep} is below 1")
    base: Path = publisher.local_base / publisher.name
    with locked(publisher.config_file):
        for left in base.glob(f"{_GONE}*"):
            shutil.rmtree(left)
        current = publisher.current()
        stable = current.labels.get(STABLE) if current else None
        if stable is None or not base.is_dir():
            return []
        folders = version_folders(base)
        held = {*current.versions, *current.labels.values(), *sorted(folders, reverse=True)[:keep]}
        gone = [version for version in sorted(folders) if version < stable and version not in held]
        for version in gone:
            hidden = base / f"{_GONE}{folders[version].name}"
            publisher.step(f"delete version {version}")
            os.rename(folders[version], hidden)
            publisher.step(f"empty version {version}")
            shutil.rmtree(hidden)
    return gone
