"""Item indexes by version: each is loaded from its version's own folder, so that vectors of two versions never meet."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from pathlib import Path

from serving.index import ItemIndex
from serving.online.model import OnlineModel, Versions

_KEPT = 3
LOGGER = logging.getLogger(__name__)


class Indexes:
    """Indexes of the latest versions; one that is not loaded yet is loaded in the background, and None meanwhile."""

    def __init__(self, model_folder: Path):
        self._folder = model_folder
        self._loaded: OrderedDict[int, ItemIndex | None] = OrderedDict()
        self._loading: dict[int, asyncio.Task] = {}

    def of(self, version: int) -> ItemIndex | None:
        """The index of a version, None where it has none or has not been loaded yet."""
        if version in self._loaded:
            return self._loaded[version]
        if version not in self._loading:
            self._loading[version] = asyncio.create_task(self.load(version))
        return None

    async def load(self, version: int) -> None:
        """Return once ``of`` can answer."""
        folder, found = self._folder / str(version), None
        try:
            found = await asyncio.get_running_loop().run_in_executor(None, ItemIndex.load, folder)
        except FileNotFoundError:
            pass  # it has none
        except Exception:  # the model finds candidates itself
            LOGGER.exception("index of version %d can not be loaded from %s", version, folder)
        self._loaded[version] = found
        self._loading.pop(version, None)
        while len(self._loaded) > _KEPT:
            self._loaded.popitem(last=False)


async def candidates(
    model: OnlineModel, versions: Versions, indexes: Indexes, inputs: dict, label: str, deadline: float, count: int
) -> tuple[int | None, list[str]]:
    """The ``count`` nearest tracks to the listener, and the version whose vectors said so; (None, []) without any.

    Raises a ``ModelServerError``.
    """
    found = await model.ask({name: inputs[name] for name in ("history", "context")}, "encode", deadline, label=label)
    versions.saw(label, found.version)
    index = indexes.of(found.version)
    if index is None:
        return None, []
    ids, _ = index.search(found.outputs["vector"][0], count)
    return found.version, ids
