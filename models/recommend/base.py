"""What every recommender can do, and the ranking they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

import numpy as np

from models.context import FIELDS, PROFILE_FIELDS, Categories
from models.data import Catalogue, ListeningData
from models.recommend.requests import Histories, Queries, Requests
from models.vocabulary import tie_order

__all__ = ["UNRANKED", "CatalogueRecommender", "Histories", "Progress", "Queries", "Recommender", "Requests", "top_k"]

UNRANKED = np.float32(-1e9)  # the score where there is no track; finite, so that JSON can carry it
Progress = Callable[[Mapping[str, float]], None]  # called with {"epoch": 1, "loss": …, …}


@runtime_checkable
class Recommender(Protocol):
    """Anything that ranks the catalogue for a listener. Ids are the raw ids of the lake."""

    name: str

    def recommend(self, requests: Requests, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The best ``k`` tracks of each request.

        Returns ids (object [B, k], best first, "" where there are no more) and scores (float32 [B, k], ``UNRANKED``
        there).
        """
        ...


class CatalogueRecommender(ABC):
    """A recommender that scores the whole catalogue in memory, batch by batch.

    Subclasses fit, calling ``_learn(data)`` first, then answer ``scores``: float [B, I] for a batch of requests whose
    tracks are indices of the catalogue and whose context and profile are codes.
    """

    name = "recommender"
    batch_size = 256

    def __init__(self) -> None:
        self._catalogue: Catalogue | None = None

    @abstractmethod
    def fit(self, data: ListeningData, progress: Progress | None = None) -> CatalogueRecommender:
        """Learn from the plays; calls ``progress`` after each pass over them, if there are passes."""

    def refit(self, data: ListeningData, progress: Progress | None = None) -> CatalogueRecommender:
        """A model of the same settings for other data; it may keep of this one what need not be learned again."""
        return type(self)(self.config).fit(data, progress)  # type: ignore[call-arg, attr-defined]

    @abstractmethod
    def scores(self, queries: Queries) -> np.ndarray:
        """float [B, I]: higher is better."""

    @property
    def servable(self):
        """The TensorFlow module that the exported signatures ask, None where the model is none of TensorFlow."""
        return getattr(self, "scorer", None)

    @property
    def catalogue(self) -> Catalogue:
        if self._catalogue is None:
            raise RuntimeError(f"{self.name}: not fitted yet; call fit(data) first")
        return self._catalogue

    def _learn(self, data: ListeningData) -> None:
        """Take the catalogue and the categories of context and profile that requests are read with."""
        self._learn_catalogue(data.catalogue)
        self.context_fields, self.profile_fields = data.context_fields, data.profile_fields

    def _learn_catalogue(self, catalogue: Catalogue) -> None:
        """Of a model that no data are at hand for."""
        self._catalogue = catalogue
        self._ties = tie_order(catalogue.ids)
        self.context_fields, self.profile_fields = Categories.of(FIELDS), Categories.of(PROFILE_FIELDS)

    def queries(self, requests: Requests) -> Queries:
        """Requests in this model's indices and codes."""
        return requests.encode(self.catalogue.vocabulary, self.context_fields, self.profile_fields)

    def recommend(self, requests: Requests, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`Recommender`."""
        return self.ranked(requests, k, lambda batch, start: self.scores(self.queries(batch)))

    def ranked(
        self, requests: Requests, k: int, scores_of: Callable[[Requests, int], np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """As ``recommend``, by the scores [B, I] of each batch of requests and of where it starts among them."""
        vocabulary, n = self.catalogue.vocabulary, len(requests)
        ids, best = np.full((n, k), "", dtype=object), np.full((n, k), UNRANKED, np.float32)
        for start in range(0, n, self.batch_size):
            batch = requests[start : start + self.batch_size]
            scores = np.asarray(scores_of(batch, start))
            for row, score in enumerate(scores):
                exclude = None if batch.exclude is None else vocabulary.known(batch.exclude[row])
                top = top_k(score, k, self._ties, exclude)
                ids[start + row, : len(top)] = self.catalogue.ids[top]
                best[start + row, : len(top)] = score[top]
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
