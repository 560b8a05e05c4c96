"""Sums over the events that count at a time, for many entities and times at once. NumPy only.

An event counts in the interval (start, end]: it is known and in the window. The value at time t of an entity is the
sum over the intervals that hold t, which is what began before t less what ended before t: two prefix sums over sorted
times (interval stabbing). Whole numbers stay exact, and the order of arrival never shows. Decayed sums are a scan of
the same beginnings and ends, see ``decayed``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NEVER = np.int64(2**62)


class TooManyTimes(ValueError):
    """Entities x milliseconds do not fit 63 bits: the group has to be split."""


@dataclass(frozen=True)
class Intervals:
    """When events count: ``entity`` [n], ``start`` and ``end`` [n] in ms, ``row`` [n] of the facts they come from."""

    entity: np.ndarray
    start: np.ndarray
    end: np.ndarray
    row: np.ndarray


@dataclass(frozen=True)
class Events:
    """Versions of events, sorted by nothing; all arrays [n], times in ms.

    ``replaced``: when a later version of the same event became known, NEVER if none did. ``number`` breaks ties.
    """

    entity: np.ndarray
    number: np.ndarray
    occurred: np.ndarray
    known: np.ndarray
    replaced: np.ndarray

    def count(self, window: int, lag: int, before: int, where: np.ndarray) -> Intervals:
        """Intervals of the rows ``where`` (a mask), as far as they begin before the time ``before``."""
        start = np.maximum(self.known, self.occurred + lag)
        end = np.minimum(self.occurred + window, self.replaced)
        row = np.flatnonzero(where & (start < np.minimum(end, before)))
        return Intervals(self.entity[row], start[row], np.minimum(end[row], before), row)


def replaced_at(entity: np.ndarray, number: np.ndarray, known: np.ndarray) -> np.ndarray:
    """When the next version of the same event of the same entity became known; NEVER for the last one."""
    order = np.lexsort((known, number, entity))
    result = np.full(len(order), NEVER)
    same = (entity[order][1:] == entity[order][:-1]) & (number[order][1:] == number[order][:-1])
    result[order[:-1][same]] = known[order[1:][same]]
    return result


class Clock:
    """(entity, time) as one sortable number, for entities 0 … n-1 and times ``first`` … ``last`` in ms."""

    def __init__(self, entities: int, first: int, last: int):
        self.first, self.span = int(first), int(last) - int(first) + 2
        if entities * self.span >= 2**62:
            raise TooManyTimes(f"{entities} entities over {self.span} ms: raise the number of groups")

    def at(self, entity: np.ndarray, time: np.ndarray) -> np.ndarray:
        return entity * self.span + np.clip(time - self.first, 0, self.span - 1)


@dataclass(frozen=True)
class Questions:
    """Values are asked of ``entity`` [q] at ``time`` [q] (ms), in the order of ``clock``."""

    entity: np.ndarray
    time: np.ndarray
    clock: Clock

    @property
    def keys(self) -> np.ndarray:
        return self.clock.at(self.entity, self.time)


def totals(intervals: Intervals, values: np.ndarray, ask: Questions) -> np.ndarray:
    """Sums of whole ``values`` [n, f] over the intervals that hold each question -> int64 [q, f]."""
    keys = np.concatenate([ask.clock.at(intervals.entity, t) for t in (intervals.start, intervals.end)])
    order = np.argsort(keys, kind="stable")
    # every interval that began has an end in the list, so the running sum is 0 again where the next entity begins
    running = np.zeros((len(keys) + 1, values.shape[1]), np.int64)
    np.cumsum(np.concatenate([values, -values])[order], axis=0, out=running[1:])
    return running[np.searchsorted(keys[order], ask.keys, side="left")]


def distinct(intervals: Intervals, codes: np.ndarray, ask: Questions) -> np.ndarray:
    """How many different ``codes`` [n] the intervals that hold each question have -> int64 [q].

    A code of an entity counts from when the first interval that has it opens until the last one closes.
    """
    pair = np.unique(intervals.entity * (codes.max(initial=0) + 1) + codes, return_inverse=True)[1]
    time = np.concatenate([intervals.start, intervals.end])
    order = np.lexsort((time, np.concatenate([pair, pair])))
    step = np.repeat(np.array([1, -1]), len(pair))[order]
    open_now = np.cumsum(step)
    change = np.where(step > 0, open_now == 1, -(open_now == 0).astype(np.int64))
    turn = np.flatnonzero(change)
    keys = ask.clock.at(np.concatenate([intervals.entity, intervals.entity])[order[turn]], time[order[turn]])
    sort = np.argsort(keys, kind="stable")
    running = np.concatenate([[0], np.cumsum(change[turn][sort])])
    return running[np.searchsorted(keys[sort], ask.keys, side="left")]


def decayed(
    intervals: Intervals, occurred: np.ndarray, values: np.ndarray, half_life: int, ask: Questions
) -> np.ndarray:
    """Sums of ``values`` [n, f] weighted by 2^(-(t - occurred) / half_life) -> float64 [q, f].

    The running sum is kept as of each beginning or end itself and carried on by factors of at most 1, so that years of
    events neither overflow nor drown the recent ones: an inclusive scan by doubling (Hillis and Steele 1986) of
    ``s[i] = v[i] + 2^(-(time[i] - time[i-1]) / half_life) s[i-1]`` within each entity.
    """
    entity = np.concatenate([intervals.entity, intervals.entity])
    time = np.concatenate([intervals.start, intervals.end])
    if not len(time):
        return np.zeros((len(ask.entity), values.shape[1]))
    age = time - np.concatenate([occurred, occurred])
    signed = np.concatenate([values, -values]) * np.exp2(-age / half_life)[:, None]
    keys = ask.clock.at(entity, time)
    order = np.argsort(keys, kind="stable")
    keys, entity, time = keys[order], entity[order], time[order]
    sums = _scan(entity, time, signed[order], half_life)
    last = np.searchsorted(keys, ask.keys, side="left") - 1
    found = (last >= 0) & (entity[last] == ask.entity)
    factor = np.where(found, np.exp2(-np.where(found, ask.time - time[last], 0) / half_life), 0.0)
    return sums[last] * factor[:, None]


def _scan(entity: np.ndarray, time: np.ndarray, sums: np.ndarray, half_life: int) -> np.ndarray:
    begins = np.flatnonzero(np.r_[True, entity[1:] != entity[:-1]])
    lengths = np.diff(np.r_[begins, len(entity)])
    place = np.arange(len(entity)) - np.repeat(begins, lengths)
    step = 1
    while step < lengths.max():
        rows = np.flatnonzero(place >= step)
        factor = np.exp2(-(time[rows] - time[rows - step]) / half_life)
        sums[rows] += sums[rows - step] * factor[:, None]
        step *= 2
    return sums


def since(intervals: Intervals, occurred: np.ndarray, window: int, ask: Questions) -> np.ndarray:
    """ms from the newest known event to each question, -1 if it is older than ``window`` -> int64 [q].

    Right where no version of an event moves it in time; ``ordered`` does the others.
    """
    if not len(intervals.entity):
        return np.full(len(ask.entity), -1)
    keys = ask.clock.at(intervals.entity, intervals.start)
    order = np.argsort(keys, kind="stable")
    # the entity is the larger part of the number, so one running maximum serves them all
    newest = np.maximum.accumulate(ask.clock.at(intervals.entity, occurred)[order])
    last = np.searchsorted(keys[order], ask.keys, side="left") - 1
    age = ask.keys - newest[last]
    return np.where((last >= 0) & (age >= 0) & (age <= window) & (intervals.entity[order][last] == ask.entity), age, -1)
