"""Moments with all that was known when they came: what the contextual ranker learns from and is judged on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np

from models.data import UNKNOWN, ListeningData
from models.recommend.two_stage.contextual_config import HEADS
from models.recommend.two_stage.moments import Moments, histories, wanted


@dataclass(frozen=True)
class RankingExamples:
    """Q moments with C candidates each.

    features: float32 [Q, C, F]; candidates: int32 [Q, C], -1 where there are fewer; relevant: bool [Q, C];
    history: int32 [Q, L], newest first, -1 after the last play; context: int16 [Q, 9]; profile: int16 [Q, 4];
    outcomes: int8 [Q, C, 4] by ``HEADS``, of the relevant candidates, -1 unknown; users: int32 [Q]; plays: int64 [Q],
    the play that came, an index into ``ListeningData.items``.
    """

    features: np.ndarray
    candidates: np.ndarray
    relevant: np.ndarray
    history: np.ndarray
    context: np.ndarray
    profile: np.ndarray
    outcomes: np.ndarray
    users: np.ndarray
    plays: np.ndarray

    def __len__(self) -> int:
        return len(self.candidates)

    def __getitem__(self, rows) -> RankingExamples:
        """Some of the moments (a slice, indices or a mask)."""
        return type(self)(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    @classmethod
    def joined(cls, parts: list[RankingExamples]) -> RankingExamples:
        """Of several cuts; all with the same number of candidates."""
        return cls(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)})

    def without_context(self) -> RankingExamples:
        """The same moments of which nothing is known but the plays."""
        return replace(self, context=np.full_like(self.context, UNKNOWN), profile=np.full_like(self.profile, UNKNOWN))

    def rows(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(features float32 [R, F], relevant float32 [R], group int32 [R]) of the candidates that are there: as a
        ranker of single rows takes them."""
        group, place = np.nonzero(self.candidates >= 0)
        return (
            self.features[group, place],
            self.relevant[group, place].astype(np.float32),
            group.astype(np.int32),
        )


def ranking_examples(
    data: ListeningData,
    moments: Moments,
    first_stage: Callable,
    width: int,
    hard: int,
    rng: np.random.Generator,
    *,
    history: int = 256,
    ahead: float = 0.2,
    completed: float = 0.9,
    batch_size: int = 64,
    keep_all: bool = False,
) -> RankingExamples:
    """Moments with ``width`` of the candidates of ``first_stage``(history int32 [B, L]) -> (candidates, features).

    Of each moment the right candidates (at most half of the width), the ``hard`` best wrong ones and some of the others
    are kept. A moment none of whose candidates is right is left out, unless ``keep_all``. ``history``: plays that the
    first stage wants; ``ahead``: see ``TwoStageConfig``. Memory: about 4 Q C F bytes.
    """
    answers = wanted(data, moments, ahead)
    parts = []
    for start in range(0, len(moments.plays), batch_size):
        rows = slice(start, start + batch_size)
        batch = Moments(moments.task, moments.plays[rows], moments.users[rows])
        plays = histories(data, batch, history)
        candidates, features = (np.asarray(x) for x in first_stage(plays))
        relevant = np.stack([np.isin(c, a) for c, a in zip(candidates, answers[rows], strict=True)])
        relevant &= candidates >= 0
        keep = np.flatnonzero(relevant.any(1) | keep_all)
        place = _chosen(candidates, relevant, width, hard, rng)[keep]
        there = np.take_along_axis(relevant[keep], place, 1)
        listed = np.take_along_axis(candidates[keep], place, 1)
        kept = Moments(batch.task, batch.plays[keep], batch.users[keep])
        parts.append(
            RankingExamples(
                features[keep[:, None], place],
                listed.astype(np.int32),
                there,
                plays[keep],
                np.asarray(data.context[kept.plays], np.int16),
                np.asarray(data.profiles[kept.users], np.int16),
                _outcomes(data, kept, listed, there, completed),
                kept.users.astype(np.int32),
                kept.plays.astype(np.int64),
            )
        )
    return RankingExamples.joined(parts)


def _chosen(candidates, relevant, width: int, hard: int, rng: np.random.Generator) -> np.ndarray:
    """int [B, width]: places of the candidates that are kept, the missing ones (-1) last."""
    first = rng.random(candidates.shape)  # the easy ones, at random
    first[:, :hard] += 1
    many = relevant & (np.cumsum(relevant, 1) <= width // 2)
    first = np.where(relevant & ~many, -1, first + 2 * many)
    first = np.where(candidates >= 0, first, -2)
    return np.argsort(-first, 1, kind="stable")[:, :width]


def _outcomes(data: ListeningData, moments: Moments, candidates, relevant, completed: float) -> np.ndarray:
    """int8 [B, C, 4]: what became of the first play, from the moment on, of each relevant candidate."""
    out = np.full((*candidates.shape, len(HEADS)), UNKNOWN, np.int8)
    row, place = np.nonzero(relevant)
    play = np.array([_first(data, moments, r, candidates[r, c]) for r, c in zip(row, place, strict=True)], np.int64)
    heard = data.completion[play]
    out[row, place, 0] = np.where(np.isnan(heard), UNKNOWN, heard >= completed)
    for head, name in enumerate(("skipped", "liked", "added"), 1):
        out[row, place, head] = getattr(data, name)[play]
    return out


def _first(data: ListeningData, moments: Moments, row: int, track: int) -> int:
    play = moments.plays[row]
    if data.items[play] == track:
        return play
    return play + int(np.argmax(data.items[play : data.offsets[moments.users[row] + 1]] == track))
