"""The session model: the next play from the current session and a stored memory of the sessions before it.

Everything it knows of earlier sessions is in one vector (:mod:`models.recommend.sequence.long_term`), in training as in
answers. So a request carries the plays of the session alone, none when it is about to begin; a request that carries a
whole history is cut into sessions and the closed ones are folded into the memory first, which is the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.data import ListeningData
from models.recommend.base import Queries, Requests
from models.recommend.sequence.config import SessionConfig
from models.recommend.sequence.long_term import LongTerm
from models.recommend.sequence.memory_table import Space, caught_up
from models.recommend.sequence.recommenders import SequenceRecommender
from models.recommend.sequence.session_windows import SessionWindows, session_plays


class SessionModel(SequenceRecommender):
    """GRU4Rec over the current session beside a long-term memory.

    >>> model = SessionModel().fit(data)
    >>> memory = model.remember(None, ["track-1", "track-2"])        # at the end of a session
    >>> model.recommend_beside(Requests.of([[]]), [memory], k=10)    # before the next one begins
    """

    name = "session"
    config_class = SessionConfig
    _vectors: np.ndarray | None = None

    def _windows(self, data: ListeningData) -> SessionWindows:
        return SessionWindows(data, self.config)

    def _trainer(self, *arguments):
        from models.recommend.sequence.session_training import SessionTrainer

        return SessionTrainer(*arguments)

    def scores_beside(self, queries: Queries, memories: Sequence[LongTerm]) -> np.ndarray:
        """float32 [B, I]: log probabilities of the next play.

        memories: of the sessions before the histories, one a query. Sessions of a history that have ended by
        ``queries.now`` are folded in. Raises ValueError for a memory of another model.
        """
        lengths, memories = caught_up(queries, memories, self.space)
        vectors = np.stack([memory.vector for memory in memories]).astype(np.float32)
        counts = np.asarray([memory.sessions for memory in memories], np.int32)
        as_of = np.asarray([memory.as_of for memory in memories], np.int64)
        return self._score(session_plays(queries, lengths, as_of, self.config), (vectors, counts)).numpy()

    @property
    def vectors(self) -> np.ndarray:
        """float32 [I, D]: what each track adds to a memory."""
        if self._vectors is None:
            self._vectors = self.scorer.rows.numpy()
        return self._vectors

    def _freeze(self, data: ListeningData, items, network) -> None:
        self._vectors = None
        super()._freeze(data, items, network)

    def recommend_beside(
        self, requests: Requests, memories: Sequence[LongTerm | None], k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """As ``recommend``, for requests that carry the current session beside a memory each (None: none)."""
        empty = LongTerm.empty(self.config.memory_dim, self.version)
        told = [memory or empty for memory in memories]
        if len(told) != len(requests):
            raise ValueError(f"{self.name}: {len(told)} memories for {len(requests)} requests; give one each, or None")
        return self.ranked(
            requests, k, lambda batch, start: self.scores_beside(self.queries(batch), told[start : start + len(batch)])
        )

    @property
    def space(self) -> Space:
        """What its memories mean, for the table that keeps them."""
        return Space(self.version, self.catalogue.vocabulary, self.vectors, self.config)
