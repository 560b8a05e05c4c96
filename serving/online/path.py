"""One request: features, candidates, rank, slate, reasons. Whatever part is missing, there is a valid answer."""

from __future__ import annotations

import logging
import math
import time
import uuid
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
from msgspec import Struct

from lakehouse.settings import Settings
from models.recommend.diversify import Diversity
from models.recommend.explore import Exploration
from models.recommend.sentences import Listening
from serving.errors import ModelServerError, Overloaded, ServerUnreachable
from serving.gate import HISTORY
from serving.online.answers import Degraded, Item, Reply, Timings, item_of
from serving.online.cache import Recent
from serving.online.catalogue import Catalogue
from serving.online.known import Known, Listeners
from serving.online.labels import Labels
from serving.online.metrics import Metrics
from serving.online.model import cause_of
from serving.online.ranking import Ranker, Ranking
from serving.online.requests import Ask
from serving.recommend import ReasonWriter, inputs_of, untold
from serving.slate import Arrangement, Place

LOGGER = logging.getLogger(__name__)
POPULAR = "popular"
"""``model`` of an answer that no model ranked."""
_POOL = 2  # ranked tracks for each place of a list that is re-ranked


class Listed(Struct, gc=False):
    """A list as it is sent, and kept for whoever asks the same again. version: None of popular tracks; score: of its
    first track, None without one; chance: of the whole list."""

    version: int | None
    label: str
    items: tuple[Item, ...]
    score: float | None
    chance: float


@dataclass(frozen=True)
class Answer:
    """The reply, and the chance of its whole list, which the log needs."""

    reply: Reply
    chance: float = 1.0
    context: Mapping[str, Any] = field(default_factory=dict)


class OnlinePath:
    """Everything that answers a request; ``ranker`` is None as long as there is no model server."""

    def __init__(self, settings: Settings, listeners: Listeners, ranker: Ranker | None, metrics: Metrics):
        self._settings, self._metrics = settings, metrics
        self.listeners, self.ranker = listeners, ranker
        self.labels = Labels(settings.models_dir)
        self.catalogue = Catalogue()
        self._in_flight = 0
        # A list that is drawn is another one each time.
        self._recent: Recent[Listed] = Recent(0 if settings.api_explore else settings.api_cache_seconds)

    async def answer(self, ask: Ask, request_id: str | None = None) -> Answer:
        """Never raises for anything that is down: the answer says so in ``degraded``."""
        start = time.perf_counter()
        request_id = request_id or uuid.uuid4().hex
        label = self.labels.label_for(ask.user_id)
        known = await self.listeners.find(ask.user_id)
        seconds = {"features": time.perf_counter() - start}
        history = (known.history if ask.history is None else ask.history)[-HISTORY:]
        left_out = ask.exclude if ask.repeats else [*ask.exclude, *dict.fromkeys(history)]
        degraded, listed = _missing(known, ask), None
        if degraded is None:
            try:
                key = self._key(ask, label, history, left_out)
                listed = self._recent.get(key)
                if listed is None:
                    ranking = await self._by_model(ask, request_id, label, known, history, left_out)
                    listed = self._listed(ask, ranking, history, seconds)
                    self._recent.put(self._key(ask, label, history, left_out), listed)
                else:
                    self._metrics.cached.inc()
            except ModelServerError as error:
                degraded = Degraded(cause_of(error), str(error))
            except Exception as error:  # an answer that nobody can read is as good as none
                LOGGER.exception("request %s: the model's answer could not be used", request_id)
                degraded = Degraded("model_error", f"{type(error).__name__}: {error}")
        if listed is None:
            began = time.perf_counter()
            ranking = self._popular(ask, label, history, left_out)
            ranking.seconds["rank"] = time.perf_counter() - began
            listed = self._listed(ask, ranking, history, seconds)
        seconds["total"] = time.perf_counter() - start
        self._count(seconds, listed, degraded)
        reply = Reply(
            request_id=request_id,
            user_id=ask.user_id,
            model=POPULAR if listed.version is None else self._settings.model_name,
            version=listed.version,
            label=listed.label,
            degraded=degraded,
            items=listed.items,
            timings_ms=Timings(**{name: round(value * 1000, 3) for name, value in seconds.items()}),
        )
        return Answer(reply, listed.chance, ask.context)

    def _key(self, ask: Ask, label: str, history: list[str], left_out: list[str]) -> Hashable:
        """All that the model's answer depends on."""
        version = self.ranker.versions.last(label) if self.ranker else None
        moment = tuple(sorted(ask.context.items()))
        return label, version, ask.k, ask.explain, moment, tuple(history), tuple(left_out), id(self.catalogue)

    async def _by_model(
        self, ask: Ask, request_id: str, label: str, known: Known, history: list[str], left_out: list[str]
    ) -> Ranking:
        """Raises a ``ModelServerError``."""
        if self.ranker is None:
            raise ServerUnreachable("", grpc.StatusCode.UNAVAILABLE, "no model server is known to this API")
        if self._in_flight >= self._settings.api_in_flight:
            what = f"{self._in_flight} requests wait for the model already (SOUNDLAKE_API_IN_FLIGHT)"
            raise Overloaded(self.ranker.model.address, grpc.StatusCode.RESOURCE_EXHAUSTED, what)
        inputs = inputs_of(history, left_out, ask.context, known.profile)
        how, began = self._arrangement(ask.k, request_id), time.perf_counter()
        self._in_flight += 1
        try:
            return await self.ranker.rank(inputs, ask.k, how, self.catalogue.info, label, ask.explain)
        finally:
            self._in_flight -= 1
            self._metrics.model.labels(label).observe(time.perf_counter() - began)

    def _arrangement(self, k: int, request_id: str) -> Arrangement:
        cap, share = self._settings.api_artist_cap, self._settings.api_explore
        diversity = Diversity(artist_cap=cap, pool=_POOL * k) if cap else None
        if not share:
            return Arrangement(diversity)
        slots = tuple(sorted({max(k - 3, 0), k - 1}))
        return Arrangement(diversity, Exploration(slots, epsilon=share, seed=self._settings.seed), request_id)

    def _popular(self, ask: Ask, label: str, history: list[str], left_out: list[str]) -> Ranking:
        """The most played of the segment, without what may not come."""
        _, ranked = self.catalogue.ranked(ask.context)
        out = set(left_out)
        places = [Place(track, score) for track, score in ranked if track not in out][: ask.k]
        shares, told = untold(places, len(history))
        return Ranking(None, label, places, shares, told)

    def _listed(self, ask: Ask, ranking: Ranking, history: list[str], seconds: dict[str, float]) -> Listed:
        """With names and reasons in words; what they and the ranking took is added to ``seconds``."""
        began = time.perf_counter()
        listening = Listening(history, None, context=ask.context)
        writer = ReasonWriter(listening, self.catalogue.info, self.catalogue.popular)
        found = writer.recommendations(ranking.places, ranking.shares, ranking.told)
        items = tuple(item_of(one, ask.explain) for one in found)
        seconds.update(ranking.seconds)
        seconds["reasons"] = seconds.get("reasons", 0.0) + time.perf_counter() - began
        score = ranking.places[0].score if ranking.places else None
        return Listed(ranking.version, ranking.label, items, score, math.prod(place.given for place in ranking.places))

    def _count(self, seconds: dict[str, float], listed: Listed, degraded: Degraded | None) -> None:
        for stage, value in seconds.items():
            self._metrics.stages.labels(stage).observe(value)
        if degraded is not None:
            self._metrics.degraded.labels(degraded.cause).inc()
        elif listed.score is not None:
            self._metrics.scores.labels(listed.label).observe(listed.score)


def _missing(known: Known, ask: Ask) -> Degraded | None:
    """Why the model is not asked: it would know nothing of the listener."""
    if ask.history is not None:
        return None if ask.history else Degraded("empty_history", "history: the request gives an empty one")
    if known.down:
        return Degraded("store_unavailable", known.down)
    if not known.known:
        return Degraded("unknown_user", f"the online store has no row of {ask.user_id[:80]!r}")
    return None if known.history else Degraded("empty_history", "no play is known of this listener")
