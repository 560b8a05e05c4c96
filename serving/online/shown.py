"""What was recommended, to the landing zone after the reply: one `recommendation_shown` a list, in the background."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, get_args

from lakehouse.events import Context, Device, DeviceType, Envelope, RecommendationShown, make_event
from serving.online.landing import Landing, LandingFailed
from serving.online.metrics import Metrics
from serving.online.path import Answer

LOGGER = logging.getLogger(__name__)
SURFACE = "api"
_DEVICES = frozenset(get_args(DeviceType))
_TEXTS = ("activity", "network", "weather")
_WAITING = 20_000  # lists; more are dropped and counted, so that a landing zone that is down costs no memory
_GROUP = 1000
_EVERY_S = 1.0
_RETRY_S = 5.0
_REMEMBERED = 10_000  # listeners whose last list GET /v1/users tells before the lake has it


class ShownLog:
    """A bounded queue and one task that empties it once a second; ``close`` writes what is left."""

    def __init__(self, landing: Landing, metrics: Metrics):
        self._landing, self._metrics = landing, metrics
        self._waiting: deque[Envelope] = deque()
        self._last: OrderedDict[str, Envelope] = OrderedDict()
        self._stop = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    def put(self, answer: Answer) -> None:
        """Take a list that was shown; an empty one is none."""
        if not answer.reply.items:
            return
        if len(self._waiting) >= _WAITING:
            self._metrics.shown.labels("dropped").inc()
            return
        event = event_of(answer, datetime.now(UTC))
        self._waiting.append(event)
        self._last.pop(event.user_id, None)
        self._last[event.user_id] = event
        if len(self._last) > _REMEMBERED:
            self._last.popitem(last=False)

    def last(self, user_id: str) -> Envelope | None:
        """The list that was shown to a listener last, since the start."""
        return self._last.get(user_id)

    async def _run(self) -> None:
        while not self._stop.is_set():
            try:
                await asyncio.wait_for(self._stop.wait(), _EVERY_S)
            except TimeoutError:
                await self._empty()

    async def _empty(self) -> None:
        while self._waiting:
            group = [self._waiting.popleft() for _ in range(min(_GROUP, len(self._waiting)))]
            try:
                await self._landing.append(group)
            except LandingFailed as error:
                LOGGER.warning("%d shown lists wait, as they can not be written: %s", len(group), error)
                self._waiting.extendleft(reversed(group))
                if not self._stop.is_set():
                    await asyncio.sleep(_RETRY_S)
                return
            self._metrics.shown.labels("logged").inc(len(group))

    async def close(self) -> None:
        """Write what is left; what can not be written is counted as dropped."""
        self._stop.set()
        await self._task
        await self._empty()
        if self._waiting:
            LOGGER.error("%d shown lists are lost", len(self._waiting))
            self._metrics.shown.labels("dropped").inc(len(self._waiting))


def event_of(answer: Answer, now: datetime) -> Envelope:
    """The contract's event of one list; its id is the request's."""
    reply = answer.reply
    return make_event(
        "recommendation_shown",
        event_id=reply.request_id,
        user_id=reply.user_id,
        occurred_at=now,
        received_at=now,
        device=Device(type=_device(answer.context.get("device"))),
        context=_context(answer.context),
        payload=RecommendationShown(
            track_ids=[item.track_id for item in reply.items],
            propensities=[item.propensity for item in reply.items],
            propensity=max(min(answer.chance, 1.0), 1e-12),
            policy=reply.model,
            policy_version="0" if reply.version is None else str(reply.version),
            surface=SURFACE,
            request_id=reply.request_id,
        ),
    )


def _device(value: Any) -> Any:
    return value if value in _DEVICES else "unknown"


def _context(said: Mapping[str, Any]) -> Context:
    """What the contract has a field for."""
    country, degrees = said.get("country"), said.get("temperature")
    texts = {name: said[name] for name in _TEXTS if said.get(name)}
    if isinstance(country, str) and len(country) == 2 and country.isascii() and country.isupper():
        texts["country"] = country
    if degrees is not None and -90 <= degrees <= 60:
        texts["temperature_c"] = float(degrees)
    return Context(**texts)
