"""What one API process holds, from its start to its end, and whether it is ready."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from dataclasses import dataclass, field

from lakehouse.online.store import OnlineStoreError
from lakehouse.settings import Settings
from serving.errors import ModelServerError
from serving.online.catalogue import read_catalogue
from serving.online.indexes import Indexes
from serving.online.known import Listeners
from serving.online.landing import Landing, target_of
from serving.online.metrics import Metrics
from serving.online.model import OnlineModel
from serving.online.path import OnlinePath
from serving.online.ranking import Ranker, Ranking
from serving.online.shown import ShownLog
from serving.publish import STABLE
from serving.recommend import inputs_of
from serving.slate import Arrangement

LOGGER = logging.getLogger(__name__)
_AGAIN_S = 1.0
_WARM_UP_S = 60.0
_WARM_UP_REQUESTS = 3


@dataclass
class Ready:
    """What the warm-up has done: each part is "ok" or says what it waits for."""

    model: str = "not asked yet"
    store: str = "not opened yet"
    catalogue: str = "not read yet"

    @property
    def ok(self) -> bool:
        return self.model == self.store == self.catalogue == "ok"


@dataclass
class Service:
    """Use it with ``async with``: background tasks begin and end with it. ``address``: of the model server."""

    settings: Settings
    address: str | None
    metrics: Metrics = field(default_factory=Metrics)
    ready: Ready = field(default_factory=Ready)

    async def __aenter__(self) -> Service:
        settings = self.settings
        self.listeners = Listeners(settings)
        self.model = None
        ranker = None
        if self.address:
            loop = asyncio.get_running_loop()
            timeout = settings.api_model_timeout_ms / 1000
            await loop.run_in_executor(None, _import_stubs)
            self.model = OnlineModel(self.address, settings.model_name, timeout)
            indexes = Indexes(settings.models_dir / settings.model_name)
            ranker = Ranker(self.model, indexes, settings.api_candidates, settings.api_index_from)
        self.path = OnlinePath(settings, self.listeners, ranker, self.metrics)
        self.landing = Landing(await asyncio.get_running_loop().run_in_executor(None, target_of, settings))
        self.shown = ShownLog(self.landing, self.metrics)
        self._tasks = [asyncio.create_task(t) for t in (self._open_store(), self._warm_model(), self._refresh())]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.shown.close()
        await self.landing.close()
        if self.model is not None:
            await self.model.close()
        self.listeners.close()

    async def _open_store(self) -> None:
        while True:
            try:
                await asyncio.get_running_loop().run_in_executor(None, self.listeners.open)
            except OnlineStoreError as error:
                self.ready.store = self.listeners.why = str(error)
                await asyncio.sleep(_AGAIN_S)
            else:
                known = await self.listeners.find("soundlake-warm-up")
                if not known.down:
                    self.ready.store = "ok"
                    return
                self.ready.store = known.down
                await asyncio.sleep(_AGAIN_S)

    async def _warm_model(self) -> None:
        """Ask until it answers: the first answers of a version are slow, and nobody should wait for them."""
        ranker = self.path.ranker
        if ranker is None:
            self.ready.model = "no model server is known: set SOUNDLAKE_SERVING_ADDRESS, or start `soundlake serve`"
            return

        async def ask() -> Ranking:
            patient = time.monotonic() + _WARM_UP_S  # first answers take long; requests meanwhile do not wait as long
            return await ranker.rank(inputs_of(["warm-up"]), 10, Arrangement(), {}, STABLE, True, patient)

        while True:
            try:
                for _ in range(_WARM_UP_REQUESTS):
                    found = await ask()
                await ranker.indexes.load(found.version)
                await ask()
            except ModelServerError as error:
                self.ready.model = str(error)
                await asyncio.sleep(_AGAIN_S)
            else:
                self.ready.model = "ok"
                return

    async def _refresh(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            before = self.path.catalogue
            try:
                self.path.catalogue = await loop.run_in_executor(None, read_catalogue, self.settings, before)
            except Exception as error:
                LOGGER.exception("names of tracks can not be read; those that were read before stay")
                if self.ready.catalogue != "ok":
                    self.ready.catalogue = f"{type(error).__name__}: {error}"
            else:
                self.ready.catalogue = "ok"
                if self.path.catalogue is not before:
                    gc.freeze()  # or every full collection would look through all these names while requests wait
            await asyncio.sleep(self.settings.api_refresh_seconds)


def _import_stubs() -> None:
    """TensorFlow comes with the protocol's classes and takes seconds: not in the event loop."""
    from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc  # noqa: F401
