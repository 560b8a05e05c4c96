"""Cross-session memory: what a listener's closed sessions leave behind.

When a session ends, the mean embedding of its plays enters a decayed average:

    m <- decay m + (1 - decay) mean(session),        read as m / (1 - decay^sessions)

There may be two such averages side by side, one of lately and one of long. The state is a vector, the number of
sessions and the version of the model whose embeddings it is made of: one row a listener, updated from the closed
session alone. There is no embedding of listeners, so one never seen in training is remembered like any other. In
training and in answers from a whole history the same average is a weighted sum over the plays (:func:`weights`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class LongTerm:
    """vector: float32 [H D], the averages before they are corrected for their start; sessions: closed ones it holds;
    as_of: ms since 1970 of the latest play in it, -1 unknown."""

    vector: np.ndarray
    sessions: int
    version: str
    as_of: int = -1

    @classmethod
    def empty(cls, dim: int, version: str) -> LongTerm:
        """Of a listener without a closed session."""
        return cls(np.zeros(dim, np.float32), 0, version)

    def closed(
        self, embeddings: np.ndarray, decays: float | Sequence[float], version: str, as_of: int = -1
    ) -> LongTerm:
        """The state after a session with plays of these ``embeddings``, float32 [n, D], the latest of them ``as_of``;
        ``decays``: of each of the H averages.

        A session without a known track changes nothing. Raises ValueError for a state of another version: embeddings
        of two models cannot be averaged.
        """
        if version != self.version:
            raise ValueError(
                f"long-term memory: version {self.version!r} is not the model's, {version!r}; rebuild it from the "
                "listener's sessions with SequenceRecommender.remember"
            )
        if not len(embeddings):
            return self
        mean = np.asarray(embeddings, np.float32).mean(0)
        decays = np.atleast_1d(np.asarray(decays, np.float64))
        keep, take = (np.repeat(share.astype(np.float32), len(mean)) for share in (decays, 1 - decays))
        vector = keep * self.vector + take * np.tile(mean, len(decays))
        return replace(self, vector=vector, sessions=self.sessions + 1, as_of=as_of)


def weights(sessions, upcoming, decay: float):
    """float32 [B, T, T]: the weight of play s in the memory read before the play after t; rows sum to 1 or are 0.

    sessions, upcoming: int32 [B, T] as in :class:`models.recommend.sequence.windows.Plays`.
    """
    import tensorflow as tf

    raw = unscaled(sessions, upcoming, decay)
    total = tf.reduce_sum(raw, 2, keepdims=True)
    return tf.math.divide_no_nan(raw, total)


def unscaled(sessions, upcoming, decay: float):
    """The same before rows are scaled: (1 - decay) decay^(sessions since) / plays of the session."""
    import tensorflow as tf

    known = sessions >= 0
    same = (sessions[:, :, None] == sessions[:, None, :]) & known[:, None, :] & known[:, :, None]
    per_session = tf.maximum(tf.reduce_sum(tf.cast(same, tf.float32), 1), 1.0)
    since = upcoming[:, :, None] - sessions[:, None, :] - 1
    closed = (since >= 0) & known[:, None, :] & (upcoming >= 0)[:, :, None]
    power = tf.pow(tf.constant(max(decay, 1e-6), tf.float32), tf.cast(tf.maximum(since, 0), tf.float32))
    return tf.where(closed, (1 - decay) * power / per_session[:, None, :], 0.0)
