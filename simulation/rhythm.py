"""When people listen, at what, and with which device: hour-of-week rhythm, activities, devices, places.

Hand-set round numbers, shaped after common knowledge of streaming (commute peaks on weekdays, late weekend mornings).
Hours of the week count from Monday 00:00 local time, 0..167.
"""

from __future__ import annotations

import numpy as np

from simulation.genres import AXES

ACTIVITIES = ("commute", "work", "exercise", "relax", "social", "home")
DEVICES = ("phone", "desktop", "web", "tablet", "speaker", "tv", "car", "watch")
OPERATING_SYSTEMS = ("ios", "android", "macos", "windows", "linux", "tvos", "embedded")
WEATHERS = ("clear", "clouds", "rain", "snow")
NETWORKS = ("wifi", "cellular", "offline")

# What an activity asks of the music, as weights on standardised acoustic axes.
_WANTED: dict[str, dict[str, float]] = {
    "commute": {"energy": 0.4, "valence": 0.4},
    "work": {"instrumentalness": 0.9, "speechiness": -0.7, "energy": -0.2},
    "exercise": {"energy": 1.2, "tempo": 1.0, "danceability": 0.5, "acousticness": -0.6},
    "relax": {"acousticness": 0.9, "energy": -1.0, "tempo": -0.5},
    "social": {"danceability": 1.1, "valence": 0.7, "energy": 0.4},
    "home": {"valence": 0.2, "acousticness": 0.2},
}
_RAIN = {"valence": -0.4, "acousticness": 0.3, "energy": -0.3}

# Peaks as (hour, width in hours, height): for weekdays, for weekends.
_PEAKS: dict[str, tuple[tuple[tuple[float, float, float], ...], tuple[tuple[float, float, float], ...]]] = {
    "commute": (((8.0, 0.9, 1.6), (17.7, 1.1, 1.5)), ((11.0, 3.0, 0.2),)),
    "work": (((10.5, 1.5, 1.3), (14.5, 1.8, 1.3)), ((13.0, 3.0, 0.15),)),
    "exercise": (((6.8, 0.8, 0.5), (18.6, 1.1, 0.7)), ((10.0, 1.6, 0.8),)),
    "relax": (((22.0, 1.3, 0.9),), ((22.5, 1.6, 0.9), (9.5, 1.5, 0.4))),
    "social": (((20.5, 1.4, 0.4),), ((21.5, 2.2, 1.3),)),
    "home": (((19.5, 1.8, 0.9), (7.2, 0.8, 0.4)), ((11.5, 2.2, 1.1), (16.5, 2.5, 0.9))),
}

# Chance of each device for an activity, before what the listener owns is looked at (columns follow DEVICES).
_DEVICE_CHANCE = np.array([
    (0.66, 0.00, 0.00, 0.01, 0.00, 0.00, 0.32, 0.01),  # commute
    (0.22, 0.45, 0.28, 0.03, 0.02, 0.00, 0.00, 0.00),  # work
    (0.72, 0.00, 0.00, 0.01, 0.02, 0.02, 0.00, 0.23),  # exercise
    (0.38, 0.06, 0.04, 0.18, 0.24, 0.10, 0.00, 0.00),  # relax
    (0.28, 0.06, 0.03, 0.03, 0.42, 0.18, 0.00, 0.00),  # social
    (0.36, 0.14, 0.10, 0.09, 0.24, 0.07, 0.00, 0.00),  # home
])  # fmt: skip
_MEDIAN_PLAYS = np.array([7.0, 16.0, 11.0, 10.0, 14.0, 9.0])

# country, region, UTC offset in minutes (standard time), share of listeners, latitude
PLACES = (
    ("US", "east", -300, 0.16, 40), ("US", "central", -360, 0.09, 38), ("US", "west", -480, 0.08, 37),
    ("BR", "southeast", -180, 0.10, -23), ("MX", "central", -360, 0.08, 19), ("GB", "england", 0, 0.09, 52),
    ("DE", "west", 60, 0.08, 51), ("FR", "ile-de-france", 60, 0.06, 49), ("ES", "madrid", 60, 0.05, 40),
    ("SE", "stockholm", 60, 0.03, 59), ("IN", "maharashtra", 330, 0.07, 19), ("JP", "kanto", 540, 0.05, 36),
    ("AU", "new south wales", 600, 0.03, -34), ("ZA", "gauteng", 120, 0.03, -26),
)  # fmt: skip
OFFSETS = np.array([place[2] for place in PLACES])


def activity_profile() -> np.ndarray:
    """Rate of session starts by activity and local hour of the week, [activities, 168]; relative, not normalised."""
    hours = np.arange(24) + 0.5
    profile = np.full((len(ACTIVITIES), 168), 0.004)
    for row, activity in enumerate(ACTIVITIES):
        for day in range(7):
            for centre, width, height in _PEAKS[activity][day >= 5]:
                distance = (hours - centre + 12) % 24 - 12
                profile[row, day * 24 : day * 24 + 24] += height * np.exp(-0.5 * (distance / width) ** 2)
    return profile


def wanted_acoustics() -> np.ndarray:
    """What each activity asks of the music: unit rows over standardised AXES, [activities, axes]."""
    wanted = np.array([[_WANTED[activity].get(axis, 0.0) for axis in AXES] for activity in ACTIVITIES])
    return wanted / np.linalg.norm(wanted, axis=1, keepdims=True)


def rain_acoustics() -> np.ndarray:
    """What rain and snow add to that, [axes]."""
    return np.array([_RAIN.get(axis, 0.0) for axis in AXES])


def device_chances() -> np.ndarray:
    """[activities, devices], rows sum to 1."""
    return _DEVICE_CHANCE / _DEVICE_CHANCE.sum(axis=1, keepdims=True)


def median_plays() -> np.ndarray:
    """Median number of plays in a session, [activities]."""
    return _MEDIAN_PLAYS
