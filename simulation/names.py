"""Names for artists and tracks, made from word lists."""

from __future__ import annotations

import numpy as np

_FIRST = (
    "Amber", "Arctic", "Blue", "Broken", "Cedar", "Copper", "Crystal", "Distant", "Electric", "Ember", "Falling",
    "Foreign", "Golden", "Hidden", "Hollow", "Indigo", "Ivory", "Lunar", "Marble", "Midnight", "Neon", "Northern",
    "Paper", "Quiet", "Radio", "River", "Scarlet", "Second", "Silver", "Slow", "Southern", "Velvet", "Wandering",
    "Wild",
)  # fmt: skip
_SECOND = (
    "Architects", "Avenue", "Bloom", "Canyon", "Choir", "Circuit", "Club", "Colony", "Dancers", "Echoes", "Empire",
    "Fields", "Foxes", "Gardens", "Harbour", "Hearts", "Horizon", "Kids", "Kings", "Lights", "Machine", "Mirrors",
    "Motel", "Orchestra", "Parade", "Pilots", "Queens", "Satellite", "Saints", "Signals", "Sisters", "Tide", "Union",
)  # fmt: skip
_TITLES = (
    "Afterglow", "Alone", "Anywhere", "Backroads", "Better Days", "Borrowed Time", "Breathe", "Carry On", "City Lights",
    "Closer", "Daydream", "Drive", "Easy", "Fever", "Fireflies", "Gravity", "Heartbeat", "Higher", "Homesick",
    "Hurricane",
    "Letters", "Lost and Found", "Magnetic", "Maybe Tomorrow", "Mirage", "Nightfall", "Ocean", "One More Time",
    "Paradise",
    "Photograph", "Promises", "Runaway", "Satellites", "Shadows", "Sleepless", "Slow Motion", "Stay", "Sundown",
    "Thunder", "Undertow", "Waiting", "Wildfire", "Winter Song", "Yesterday's Rain",
)  # fmt: skip


def artist_names(rng: np.random.Generator, count: int) -> list[str]:
    """``count`` different names; when the pairs of words are used up, a number is added."""
    pairs = len(_FIRST) * len(_SECOND)
    order = rng.permutation(pairs)
    names = []
    for index in range(count):
        first, second = divmod(int(order[index % pairs]), len(_SECOND))
        lap = index // pairs
        names.append(f"{_FIRST[first]} {_SECOND[second]}" + (f" {lap + 1}" if lap else ""))
    return names


def track_titles(rng: np.random.Generator, count: int) -> list[str]:
    """``count`` titles; like real ones, they repeat."""
    picks = rng.integers(len(_TITLES), size=count)
    colours = rng.integers(4 * len(_FIRST), size=count)
    return [
        f"{_FIRST[colour]} {_TITLES[pick]}" if colour < len(_FIRST) else _TITLES[pick]
        for pick, colour in zip(picks, colours, strict=True)
    ]
