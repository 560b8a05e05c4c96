"""The model's part of an answer: candidates, ranked list and reasons, all of one version."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from serving.answers import Prediction
from serving.errors import ModelNotServed, ModelServerError, ServerUnreachable
from serving.online.indexes import Indexes, candidates
from serving.online.model import OnlineModel, Versions
from serving.publish import STABLE
from serving.recommend import Told, ranked_of, told_of, untold
from serving.slate import Arrangement, Place, arranged


@dataclass
class Ranking:
    """places: the list as shown; shares and told beside it, see ``serving.recommend``. seconds: of each stage."""

    version: int
    label: str
    places: list[Place]
    shares: np.ndarray
    told: Told | None
    seconds: dict[str, float] = field(default_factory=dict)


class Ranker:
    """Asks the model server.

    count: candidates from the item index of the version, 0 for those of the model alone. index_from: tracks of the
    catalogue from which on the index is asked; a smaller one the model searches itself, whole, sooner than a question
    more is answered.
    """

    def __init__(self, model: OnlineModel, indexes: Indexes, count: int, index_from: int = 0):
        self.model, self.indexes, self.count, self.index_from = model, indexes, count, index_from
        self.versions = Versions(model)

    async def rank(
        self,
        inputs: dict[str, np.ndarray],
        k: int,
        how: Arrangement,
        info: Any,
        label: str,
        explain: bool,
        deadline: float | None = None,
    ) -> Ranking:
        """``k`` tracks of the version with the label; of `stable` where no version has it any more.

        deadline: as of ``OnlineModel.deadline``, which it is unless given. Raises a ``ModelServerError``.
        """
        deadline = self.model.deadline() if deadline is None else deadline
        try:
            return await self._rank(inputs, k, how, info, label, explain, deadline)
        except ServerUnreachable:
            raise
        except ModelServerError as error:
            # The label may have moved since its version was last seen, or have gone: a trial that was called off.
            self.versions.forget(label)
            again = STABLE if isinstance(error, ModelNotServed) else label
            return await self._rank(inputs, k, how, info, again, explain, deadline)

    async def _rank(self, inputs, k, how, info, label, explain, deadline) -> Ranking:
        known = await self.versions.signatures(label, deadline)
        clock = _Clock()
        version, found = None, []
        if {"encode", "rank"} <= known and self._wants_index(label):
            version, found = await candidates(
                self.model, self.versions, self.indexes, inputs, label, deadline, self.count
            )
        clock.stage("candidates")
        asked = {**inputs, "k": np.int32(how.depth(k))}
        if "rank" in known and explain:
            asked["candidates"] = np.array([found or [""]], dtype=object)
            answer = await self._ask(asked, "rank", label, version, deadline)
        else:
            answer = await self._ask(asked, "recommend", label, version, deadline)
        self.versions.saw(label, answer.version)
        clock.stage("rank")
        ranked = ranked_of(answer.outputs)
        places = topped_up(arranged(ranked, k, how, info), ranked, k)
        clock.stage("slate")
        ids = [place.track_id for place in places]
        if not explain or not ids:
            shares, told = untold(ids, inputs["history"].shape[1])
        elif "plays" in answer.outputs:
            shares, told = _those(answer, ranked, ids)
        else:
            shares, told = await self._reasons(inputs, ids, known, answer.version, deadline)
        clock.stage("reasons")
        return Ranking(answer.version, label, places, shares, told, clock.seconds)

    def _wants_index(self, label: str) -> bool:
        index = self.indexes.of(self.versions.last(label)) if self.count else None
        return index is not None and index.report.tracks >= self.index_from

    async def _ask(self, asked: dict, signature: str, label: str, version: int | None, deadline: float) -> Prediction:
        by = {"label": label} if version is None else {"version": version}
        return await self.model.ask(asked, signature, deadline, **by)

    async def _reasons(self, inputs, ids, known, version, deadline) -> tuple[np.ndarray, Told | None]:
        """By the version that ranked; without reasons where it has gone meanwhile or has no time left."""
        asked = {**inputs, "candidates": np.array([ids], dtype=object)}
        try:
            if "reasons" in known:
                return told_of((await self.model.ask(asked, "reasons", deadline, version=version)).outputs)
            if "explain" in known:
                answer = await self.model.ask(asked, "explain", deadline, version=version)
                return answer.outputs["contributions"][0], None
        except ModelServerError:
            pass
        return untold(ids, inputs["history"].shape[1])


def topped_up(places: list[Place], ranked: list[tuple[str, float]], k: int) -> list[Place]:
    """A list that a cap on artists has made too short is filled with the best of the rest."""
    if len(places) >= min(k, len(ranked)):
        return places
    there = {place.track_id for place in places}
    rest = [Place(track, score) for track, score in ranked if track not in there]
    return [*places, *rest[: k - len(places)]]


def _those(answer: Prediction, ranked: list[tuple[str, float]], ids: list[str]) -> tuple[np.ndarray, Told | None]:
    """Reasons of the tracks that are shown, out of those of all that were ranked."""
    place = {track: i for i, (track, _) in enumerate(ranked)}
    at = [place[track] for track in ids]
    few = {"plays": answer.outputs["plays"][:, at], "rest": answer.outputs["rest"][:, at]}
    return told_of({**few, "groups": answer.outputs["groups"]})


class _Clock:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._at = time.perf_counter()

    def stage(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name], self._at = now - self._at, now
