"""Which plays of a history belong to sessions that have ended, and what they leave in memory.

One place for both: a request that carries a whole history, and the table of stored memories.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from models.recommend.sequence.config import SequenceConfig
from models.recommend.sequence.long_term import LongTerm
from models.recommend.sequence.windows import session_numbers


def numbered(n: int, times: np.ndarray | None, now: int, config: SequenceConfig) -> np.ndarray:
    """int32 [n + 1]: the session of each of a listener's n plays, and that of a moment ``now`` (ms, -1: just after the
    last play). Without times a session has ``config.session_plays`` plays."""
    if times is None:
        return session_numbers(np.array([0, n + 1]), None, config)
    now = now if now >= 0 else int(times[-1]) if n else 0
    return session_numbers(np.array([0, n + 1]), np.append(times, now), config)


def ended(n: int, times: np.ndarray | None, now: int, config: SequenceConfig) -> list[tuple[int, int]]:
    """(start, end) of each session of n plays that has ended by ``now``, in order."""
    number = numbered(n, times, now, config)
    over = number[: int(np.searchsorted(number[:-1], number[-1]))]
    starts = np.flatnonzero(np.diff(over, prepend=-1))
    return list(zip(starts.tolist(), [*starts[1:].tolist(), len(over)], strict=True)) if len(over) else []


def fold(
    memory: LongTerm,
    sessions: list[tuple[int, int]],
    vectors_of: Callable[[slice], np.ndarray],
    times: np.ndarray | None,
    config: SequenceConfig,
    version: str,
) -> LongTerm:
    """The memory after ``sessions`` of a history, in order; vectors_of: the embeddings of a part of its plays."""
    for start, end in sessions:
        as_of = -1 if times is None else int(times[end - 1])
        memory = memory.closed(vectors_of(slice(start, end)), config.decays, version, as_of)
    return memory
