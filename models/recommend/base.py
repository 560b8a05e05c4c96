"""What every recommender can do, and the ranking they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from models.data import Catalogue, ListeningData
from models.vocabulary import tie_order

Histories = Sequence[Sequence[str]]
UNRANKED = np.float32(-1e9)  # the score where there is no track; finite, so that JSON can carry it
Progress = Callable[[Mapping[str, float]], None]  # called with {"epoch": 1, "loss": …, …}


@runtime_checkable
class Recommender(Protocol):
    """Anything that ranks the catalogue for a listener. Ids are the raw ids of the lake."""

    name: str

    def recommend(
        self,
        histories: Histories,
        k: int,
        exclude: Histories | None = None,
        hours: Sequence[int] | None = None,
        devices: Sequence[str] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The best ``k`` tracks of each listener.

        histories: plays, oldest first, unknown ids ignored; exclude: tracks never to return; hours: local hour 0-23,
        -1 unknown; devices: "" unknown. Returns ids (object [B, k], best first, "" where there are no more) and
        scores (float32 [B, k], ``UNRANKED`` there).
        """
        ...


class CatalogueRecommender(ABC):
    """A recommender that scores the whole catalogue in memory, batch by batch.

    Subclasses fit, then answer ``scores``: float [B, I] for histories given as arrays of track indices.
    """

    name = "recommender"
    batch_size = 256

    def __init__(self) -> None:
        self._catalogue: Catalogue | None = None

    @abstractmethod
    def fit(self, data: ListeningData, progress: Progress | None = None) -> CatalogueRecommender:
        """Learn from the plays; calls ``progress`` after each pass over them, if there are passes."""

    @abstractmethod
    def scores(self, histories: list[np.ndarray], hours: np.ndarray, devices: list[str]) -> np.ndarray:
        """float [B, I]: higher is better."""

    @property
    def catalogue(self) -> Catalogue:
        if self._catalogue is None:
            raise RuntimeError(f"{self.name}: not fitted yet; call fit(data) first")
        return self._catalogue

    def _learn_catalogue(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._ties = tie_order(catalogue.ids)

    def recommend(
        self,
        histories: Histories,
        k: int,
        exclude: Histories | None = None,
        hours: Sequence[int] | None = None,
        devices: Sequence[str] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`Recommender`."""
        vocabulary = self.catalogue.vocabulary
        n = len(histories)
        ids, best = np.full((n, k), "", dtype=object), np.full((n, k), UNRANKED, np.float32)
        hours = np.full(n, -1, np.int32) if hours is None else np.asarray(hours, np.int32)
        devices = [""] * n if devices is None else list(devices)
        for start in range(0, n, self.batch_size):
            rows = slice(start, min(start + self.batch_size, n))
            known = [vocabulary.known(history) for history in histories[rows]]
            scores = np.asarray(self.scores(known, hours[rows], devices[rows]))
            for row, score in zip(range(rows.start, rows.stop), scores, strict=True):
                top = top_k(score, k, self._ties, None if exclude is None else vocabulary.known(exclude[row]))
                ids[row, : len(top)] = self.catalogue.ids[top]
                best[row, : len(top)] = score[top]
        return ids, best


def top_k(scores: np.ndarray, k: int, ties: np.ndarray, exclude: np.ndarray | None = None) -> np.ndarray:
    """Indices of the k best of one score vector, best first; equal scores in the order of ``ties``.

    NaN, -inf and the indices in ``exclude`` are never returned, so there may be fewer than k.
    """
    scores = np.where(np.isnan(scores), -np.inf, scores)
    if exclude is not None and len(exclude):
        scores[exclude] = -np.inf
    if k < len(scores):
        kth = np.partition(scores, len(scores) - k)[len(scores) - k]
        candidates = np.flatnonzero((scores >= kth) & (scores > -np.inf))
    else:
        candidates = np.flatnonzero(scores > -np.inf)
    return candidates[np.lexsort((ties[candidates], -scores[candidates]))][:k]
