"""Weather of each place by day: season, a smooth random part, rain and snow."""

from __future__ import annotations

from datetime import date

import numpy as np

from simulation.rhythm import PLACES, WEATHERS

_LATITUDE = np.array([place[4] for place in PLACES], float)
_WAVES = 4


def weather_on(seed: int, day: date) -> tuple[np.ndarray, np.ndarray]:
    """-> (index into WEATHERS [places], daytime temperature in Celsius [places]); depends on the arguments alone."""
    days = day.toordinal()
    smooth = np.random.default_rng((seed, 101))  # the same waves every day, read at another phase
    period = smooth.uniform(4, 19, (_WAVES, len(PLACES)))
    phase = smooth.uniform(0, 2 * np.pi, (_WAVES, len(PLACES)))
    swing = np.sin(2 * np.pi * days / period + phase).sum(axis=0) / np.sqrt(_WAVES / 2)
    warmest = np.where(_LATITUDE > 0, 201, 19)  # day of the year: 20 July, 19 January
    season = np.cos(2 * np.pi * (day.timetuple().tm_yday - warmest) / 365.25)
    mean = 27 - 0.42 * (np.abs(_LATITUDE) - 10)
    temperature = mean + 0.22 * np.abs(_LATITUDE) * season + 3.0 * swing
    daily = np.random.default_rng((seed, 102, days))
    sky = daily.random(len(PLACES)) + 0.12 * swing
    weather = np.where(sky > 0.5, WEATHERS.index("clear"), WEATHERS.index("clouds"))
    wet = sky < 0.28
    weather = np.where(wet & (temperature > 1), WEATHERS.index("rain"), weather)
    return np.where(wet & (temperature <= 1), WEATHERS.index("snow"), weather), temperature
