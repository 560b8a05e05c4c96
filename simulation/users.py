"""The simulated listeners: taste, how much and when they listen, what they own, how patient they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import numpy as np

from lakehouse.catalogue import User
from simulation.genres import GENRE_OF, GENRES, SUBGENRES, subgenre_shares
from simulation.rhythm import ACTIVITIES, DEVICES, PLACES
from simulation.tracks import Tracks

PLANS = ("free", "student", "premium", "family")
JOINING_SHARE = 0.15
JOIN_DAYS_MEAN = 60.0  # of those who join after the start: mean days until they do
NEVER = 2**31 - 1
_OWNED = {
    "phone": 0.97,
    "desktop": 0.6,
    "web": 0.7,
    "tablet": 0.35,
    "speaker": 0.4,
    "tv": 0.3,
    "car": 0.45,
    "watch": 0.15,
}


@dataclass(frozen=True)
class Users:
    """Columns of U listeners. Days count from the first day of the world.

    ``taste`` [U, D] lives in the space of ``Tracks.vector``; ``subgenre_weight`` [U, subgenres] sums to 1;
    ``sessions_per_day`` is heavy-tailed; ``plan_day`` is the day the plan changes from ``plan`` to ``next_plan``.
    """

    taste: np.ndarray
    subgenre_weight: np.ndarray
    sessions_per_day: np.ndarray
    activity_weight: np.ndarray
    owns: np.ndarray
    ios: np.ndarray
    place: np.ndarray
    chronotype_h: np.ndarray
    stickiness: np.ndarray
    familiarity: np.ndarray
    skip_bias: np.ndarray
    like_rate: np.ndarray
    shares_weather: np.ndarray
    birth_year: np.ndarray
    gender: np.ndarray
    plan: np.ndarray
    next_plan: np.ndarray
    plan_day: np.ndarray
    join_day: np.ndarray
    start: date

    def __len__(self) -> int:
        return len(self.join_day)

    @staticmethod
    def user_id(index: int) -> str:
        return f"u{index:07d}"

    @staticmethod
    def join_minute(index: np.ndarray | int) -> np.ndarray | int:
        """Minute of the (UTC) day at which listener ``index`` signs up: spread over the day."""
        return index * 7919 % 1440

    def plan_on(self, day: int) -> np.ndarray:
        """Index into PLANS of each listener's plan at the end of ``day``, [U]."""
        return np.where(self.plan_day <= day, self.next_plan, self.plan)

    def entities(self, indices: Iterable[int], day: int) -> Iterator[User]:
        plans = self.plan_on(day)
        for index in map(int, indices):
            joined = self.start + timedelta(days=int(self.join_day[index]))
            minute = int(self.join_minute(index))
            yield User(
                user_id=self.user_id(index),
                signed_up_at=datetime.combine(joined, time(minute // 60, minute % 60), UTC),
                birth_year=int(self.birth_year[index]),
                gender=(None, "f", "m")[self.gender[index]],
                country=PLACES[self.place[index]][0],
                plan=PLANS[plans[index]],
            )


def create_users(rng: np.random.Generator, count: int, tracks: Tracks, start: date) -> Users:
    age = np.clip(np.round(14 + rng.gamma(2.2, 8.5, count)), 14, 90).astype(np.int64)
    weight = _subgenre_weights(rng, age)
    plan, next_plan, plan_day = _plans(rng, age)
    owns = rng.random((count, len(DEVICES))) < np.array([_OWNED[device] for device in DEVICES])
    owns[:, DEVICES.index("phone")] |= ~owns.any(axis=1)
    before = -1 - np.floor(rng.exponential(600, count)).astype(np.int64)
    after = np.floor(rng.exponential(JOIN_DAYS_MEAN, count)).astype(np.int64)
    shares = np.array([place[3] for place in PLACES])
    return Users(
        taste=_tastes(rng, weight, tracks),
        subgenre_weight=weight,
        sessions_per_day=np.clip(rng.lognormal(-0.55, 0.85, count), 0.03, 7.0),
        activity_weight=rng.lognormal(0, 0.6, (count, len(ACTIVITIES))),
        owns=owns,
        ios=rng.random(count) < 0.45,
        place=rng.choice(len(PLACES), count, p=shares / shares.sum()),
        chronotype_h=np.clip(np.round(rng.normal(0.3, 1.2, count)), -3, 4).astype(np.int64),
        stickiness=rng.beta(4, 8, count),
        familiarity=rng.beta(3, 7, count),
        skip_bias=rng.normal(-0.75, 0.7, count),
        like_rate=rng.lognormal(-4.2, 0.8, count),
        shares_weather=rng.random(count) < 0.5,
        birth_year=start.year - age,
        gender=rng.choice(3, count, p=(0.08, 0.46, 0.46)),
        plan=plan,
        next_plan=next_plan,
        plan_day=plan_day,
        join_day=np.where(rng.random(count) < JOINING_SHARE, after, np.maximum(before, -4000)),
        start=start,
    )


def _subgenre_weights(rng: np.random.Generator, age: np.ndarray) -> np.ndarray:
    """A few liked subgenres each, leaning with age; rows sum to 1."""
    youth = np.array([genre.youth for genre in GENRES])[GENRE_OF]
    lean = np.exp(youth[None, :] * (30 - age[:, None]) / 22.0)
    prior = subgenre_shares() * lean
    prior /= prior.sum(axis=1, keepdims=True)
    weight = rng.gamma(np.maximum(prior * 5.0, 0.01)) + 1e-4
    return weight / weight.sum(axis=1, keepdims=True)


def _tastes(rng: np.random.Generator, weight: np.ndarray, tracks: Tracks) -> np.ndarray:
    """Taste vector: where the liked subgenres lie, plus a personal part, [U, D] with rows of unit length."""
    centres = np.zeros((len(SUBGENRES), tracks.vector.shape[1]))
    np.add.at(centres, tracks.subgenre, tracks.vector)
    centres /= np.maximum(np.bincount(tracks.subgenre, minlength=len(SUBGENRES)), 1)[:, None]
    taste = weight @ centres
    taste = taste / np.maximum(np.linalg.norm(taste, axis=1, keepdims=True), 1e-9)
    personal = rng.normal(0, 1, taste.shape)
    taste = taste + 0.9 * personal / np.linalg.norm(personal, axis=1, keepdims=True)
    return taste / np.linalg.norm(taste, axis=1, keepdims=True)


def _plans(rng: np.random.Generator, age: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """-> (plan, plan after the change, day of the change or NEVER)."""
    count = len(age)
    paid = np.where((age < 26) & (rng.random(count) < 0.5), 1, rng.choice((2, 3), count, p=(0.7, 0.3)))
    free = rng.random(count) < 0.52
    plan = np.where(free, 0, paid)
    next_plan = np.where(free, paid, 0)
    mean_days = np.where(free, 500.0, 900.0)
    day = np.floor(rng.exponential(mean_days)).astype(np.int64)
    return plan, next_plan, np.where(day > 3000, NEVER, day)
