"""What a listener chose at sign-up, as plays: the contract of requests has no field for it, and no model needs one.

Each chosen artist or genre stands for plays of its most listened tracks. Where there is no play yet these are the
history (:meth:`SignUpChoices.before`, for any model). Beside the first true plays they are too many, so
:class:`ChosenPrior` keeps them apart: with s the log-linear scores of a model for a history h, choices c, or nothing,

    score = s(h) + w (s(c) - s(nothing)),  w = fade / (fade + plays)

as if plays and choices were independent evidence, of which the choices count ever less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from models.data import ListeningData
from models.recommend.base import UNRANKED, CatalogueRecommender, top_k
from models.recommend.cold_start.content import TrackNames
from models.recommend.requests import Requests


class SignUpChoices:
    """The tracks that stand for artists (by id or name) and genres or subgenres (by name).

    >>> choices = SignUpChoices(data, names)
    >>> model.recommend(choices.before(Requests.of([[]]), [["Blue Moon", "reggaeton"]]), k=10)
    """

    def __init__(self, data: ListeningData, names: TrackNames, per_choice: int = 3):
        """per_choice: plays that a choice stands for."""
        if per_choice < 1:
            raise ValueError(f"SignUpChoices: per_choice {per_choice} must be at least 1")
        order = np.argsort(-data.listeners, kind="stable")
        order = order[data.listeners[order] > 0]
        self._tracks: dict[str, list[str]] = {}
        for labels in (names.artist_id, names.artist_name, names.genre, names.subgenre):
            for track in order:
                if labels[track]:
                    chosen = self._tracks.setdefault(labels[track], [])
                    if len(chosen) < per_choice:
                        chosen.append(data.catalogue.ids[track])

    def tracks(self, choice: str) -> list[str]:
        """Raises ValueError where no played track is of the choice."""
        if choice not in self._tracks:
            raise ValueError(f"choices: no played track has artist or genre {choice!r}; offer those of the catalogue")
        return self._tracks[choice]

    def plays(self, picks: Sequence[str]) -> list[str]:
        """Every choice's third best track, then every second best, then the best: those are the latest."""
        lists = [self.tracks(pick) for pick in picks]
        turns = [tracks[i] for i in range(max(map(len, lists), default=0)) for tracks in lists if i < len(tracks)]
        return list(dict.fromkeys(turns))[::-1]

    def before(self, requests: Requests, chosen: Sequence[Sequence[str]]) -> Requests:
        """The requests with what was chosen for history where that is empty; one list of choices each.

        Ask for the task first (``for_task``): what stands for a choice was not played and may be recommended.
        """
        _check(chosen, requests)
        told = [not len(row) for row in requests.histories]
        plays = [self.plays(picks) if empty else [] for picks, empty in zip(chosen, told, strict=True)]

        def filled(rows, fill: int):
            if rows is None:
                return None
            return [[fill] * len(new) if empty else row for new, row, empty in zip(plays, rows, told, strict=True)]

        histories = [new if empty else row for new, row, empty in zip(plays, requests.histories, told, strict=True)]
        return replace(
            requests, histories=histories, times=filled(requests.times, 0), skipped=filled(requests.skipped, -1)
        )


class ChosenPrior:
    """Answers of ``model``, whose scores are logarithms of odds, for listeners who chose something at sign-up.

    >>> prior = ChosenPrior(ColdStart(Ease(EaseConfig())).fit(data), SignUpChoices(data, names))
    >>> ids, scores = prior.recommend(Requests.of([["track-1"]]), [["Blue Moon"]], k=10)
    """

    def __init__(self, model: CatalogueRecommender, choices: SignUpChoices, fade: float = 1.0):
        """fade: plays at which choices count half; 1 was chosen on a simulated world other than the one reported."""
        if fade <= 0:
            raise ValueError(f"ChosenPrior: fade {fade} must be above 0")
        self._model, self._choices, self._fade = model, choices, fade

    def recommend(self, requests: Requests, chosen: Sequence[Sequence[str]], k: int) -> tuple[np.ndarray, np.ndarray]:
        """As :class:`models.recommend.base.Recommender`, with one list of choices a request."""
        _check(chosen, requests)
        model, n = self._model, len(requests)
        ids, best = np.full((n, k), "", dtype=object), np.full((n, k), UNRANKED, np.float32)
        for start in range(0, n, model.batch_size):
            rows = slice(start, start + model.batch_size)
            batch = requests[rows]
            for at, scores in enumerate(self._scores(batch, chosen[rows]), start):
                exclude = None if batch.exclude is None else model.catalogue.vocabulary.known(batch.exclude[at - start])
                top = top_k(scores, k, model._ties, exclude)
                ids[at, : len(top)], best[at, : len(top)] = model.catalogue.ids[top], scores[top]
        return ids, best

    def _scores(self, batch: Requests, chosen: Sequence[Sequence[str]]) -> np.ndarray:
        """float [B, I]."""
        model, bare = self._model, replace(batch, times=None, skipped=None, exclude=None)

        def scores(histories) -> np.ndarray:
            return model.scores(model.queries(replace(bare, histories=histories)))

        plays = np.array([len(history) for history in batch.histories])
        share = self._fade / (self._fade + plays)
        lift = scores([self._choices.plays(picks) for picks in chosen]) - scores([[]] * len(batch))
        return model.scores(model.queries(batch)) + share[:, None] * lift


def _check(chosen: Sequence[Sequence[str]], requests: Requests) -> None:
    if len(chosen) != len(requests):
        raise ValueError(f"choices: {len(chosen)} lists for {len(requests)} requests; give one each, or []")
