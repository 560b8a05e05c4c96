"""The listening sessions of one UTC day: who, when, doing what, on which device, for how many plays."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from simulation.log import DAY_MS
from simulation.rhythm import (
    ACTIVITIES,
    DEVICES,
    NETWORKS,
    OFFSETS,
    OPERATING_SYSTEMS,
    WEATHERS,
    activity_profile,
    device_chances,
    median_plays,
)
from simulation.sampling import draw_rows
from simulation.users import Users
from simulation.weather import weather_on

MAX_PLAYS = 60
OFFLINE_CHANCE = 0.03
_PROFILE = activity_profile()
_AWAY = np.isin(ACTIVITIES, ("commute", "exercise"))
_CARRIED = np.isin(DEVICES, ("phone", "tablet", "watch", "car"))


@dataclass(frozen=True)
class Sessions:
    """Columns of S sessions; ``wet`` is what the weather is, ``weather`` what the app reports (-1: nothing)."""

    user: np.ndarray
    start_ms: np.ndarray
    activity: np.ndarray
    device: np.ndarray
    os: np.ndarray
    network: np.ndarray
    plays: np.ndarray
    wet: np.ndarray
    weather: np.ndarray
    temperature: np.ndarray

    def __len__(self) -> int:
        return len(self.user)


def draw_sessions(rng: np.random.Generator, users: Users, seed: int, day: int) -> Sessions:
    """Sessions that begin on UTC day ``day``, by start time."""
    today = users.start + timedelta(days=day)
    user = np.repeat(np.arange(len(users)), _session_counts(rng, users, day, today.weekday()))
    midnight = (today - type(today)(1970, 1, 1)).days * DAY_MS
    hour, activity = _when_and_what(rng, users, user, today.weekday())
    start = midnight + hour * 3_600_000 + rng.integers(100, 3_600_000, len(user))
    joined_ms = midnight + (users.join_day[user] - day) * DAY_MS + users.join_minute(user) * 60_000
    order = np.argsort(start, kind="stable")
    order = order[start[order] > joined_ms[order] + 1000]  # on the day they join, nothing before it
    user, activity, start = user[order], activity[order], start[order]
    device = draw_rows(rng, np.maximum(device_chances()[activity] * users.owns[user], 1e-6 * users.owns[user]))
    plays = np.clip(np.round(median_plays()[activity] * rng.lognormal(0, 0.6, len(user))), 1, MAX_PLAYS)
    weather, temperature = weather_on(seed, today)
    place = users.place[user]
    told = users.shares_weather[user] & _CARRIED[device]
    return Sessions(
        user=user,
        start_ms=start,
        activity=activity,
        device=device,
        os=_operating_system(users, user, device),
        network=_network(rng, activity, device),
        plays=plays.astype(np.int64),
        wet=np.isin(weather[place], (WEATHERS.index("rain"), WEATHERS.index("snow"))),
        weather=np.where(told, weather[place], -1),
        temperature=np.where(told, np.round(temperature[place] + rng.normal(0, 1.5, len(user)), 1), np.nan),
    )


def _session_counts(rng: np.random.Generator, users: Users, day: int, weekday: int) -> np.ndarray:
    busier = (0.95, 0.97, 1.0, 1.02, 1.1, 1.05, 0.92)[weekday]
    rate = users.sessions_per_day * busier * (users.join_day <= day)
    return rng.poisson(rate)


def _when_and_what(
    rng: np.random.Generator, users: Users, user: np.ndarray, weekday: int
) -> tuple[np.ndarray, np.ndarray]:
    """-> (UTC hour 0..23, activity), drawn from the local hour-of-week rhythm shifted by the listener's chronotype."""
    shift = OFFSETS[users.place[user]] // 60 - users.chronotype_h[user]
    local = (weekday * 24 + np.arange(24)[None, :] + shift[:, None]) % 168  # [S, 24]
    weight = users.activity_weight[user]
    rate = np.einsum("sa,sah->sh", weight, _PROFILE[:, local].transpose(1, 0, 2))
    hour = draw_rows(rng, rate)
    chosen = local[np.arange(len(user)), hour]
    return hour, draw_rows(rng, weight * _PROFILE[:, chosen].T)


def _operating_system(users: Users, user: np.ndarray, device: np.ndarray) -> np.ndarray:
    code = {name: index for index, name in enumerate(OPERATING_SYSTEMS)}
    apple = users.ios[user]
    mobile = np.where(apple, code["ios"], code["android"])
    desk = np.where(apple, code["macos"], np.where(user % 9 == 0, code["linux"], code["windows"]))
    tv = np.where(apple, code["tvos"], code["android"])
    kind = np.array(DEVICES)[device]
    is_desk, is_tv = np.isin(kind, ("desktop", "web")), kind == "tv"
    embedded = np.isin(kind, ("speaker", "car"))
    return np.select([is_desk, is_tv, embedded], [desk, tv, np.full(len(user), code["embedded"])], mobile)


def _network(rng: np.random.Generator, activity: np.ndarray, device: np.ndarray) -> np.ndarray:
    away, carried = _AWAY[activity], _CARRIED[device]
    cellular = carried & (rng.random(len(activity)) < np.where(away, 0.85, 0.12))
    offline = carried & (rng.random(len(activity)) < OFFLINE_CHANCE * np.where(away, 3.0, 1.0))
    network = np.where(cellular, NETWORKS.index("cellular"), NETWORKS.index("wifi"))
    return np.where(offline, NETWORKS.index("offline"), network)
