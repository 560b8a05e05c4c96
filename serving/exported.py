"""The champion's SavedModel in the model server's folder: complete or absent, never half."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from lakehouse.settings import Settings
from models.registry import SERVING, fetch


def export_champion(settings: Settings, version: int) -> Path:
    """Copy registered ``version`` to ``<models>/<name>/<version>``; -> that folder. Done already: nothing happens.

    Written to a temporary sibling and renamed, so that a server that polls the folder never sees half of it.
    """
    base = settings.models_dir / settings.model_name
    target = base / str(version)
    if target.exists():
        return target
    base.mkdir(parents=True, exist_ok=True)
    for left in base.glob(f".{version}.*"):  # of a killed export
        shutil.rmtree(left)
    temporary = base / f".{version}.{os.getpid()}"
    downloaded = fetch(settings.tracking_uri, settings.registered_model, version, SERVING, temporary / "download")
    for file in downloaded.rglob("*"):
        if file.is_file():
            with file.open("rb") as stream:
                os.fsync(stream.fileno())
    downloaded.rename(target)
    shutil.rmtree(temporary)
    return target
