"""What the API answers, as structs that are written as JSON without a detour.

None is ever part of a cycle, so Python's collector of cycles need not look at them (``gc=False``): thousands are kept
for whoever asks again, and looking through them all held every request up for a tenth of a second now and then.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from serving.recommend import Recommendation

Cause = Literal[
    "unknown_user",
    "empty_history",
    "model_unreachable",
    "model_timeout",
    "overloaded",
    "model_not_served",
    "model_error",
    "store_unavailable",
]
"""Why an answer is not the model's: nothing is known of the listener, or a part of the path does not work."""


class Degraded(Struct, gc=False):
    """Why the list is of popular tracks (``cause``), and the part's own words."""

    cause: Cause
    detail: str


class Why(Struct, gc=False):
    """One reason; ``share``: its part of all that raised the score, 0 to 1, of plays."""

    kind: str
    text: str
    track_id: str | None
    share: float | None


class Item(Struct, gc=False):
    """One track. ``propensity``: chance that it is shown in this place, 1 without exploration."""

    track_id: str
    title: str | None
    artist: str | None
    score: float
    propensity: float
    reasons: tuple[Why, ...]
    sentence: str


class Timings(Struct, gc=False):
    """Milliseconds of each stage; 0 where a stage was not needed."""

    features: float = 0.0
    candidates: float = 0.0
    rank: float = 0.0
    slate: float = 0.0
    reasons: float = 0.0
    total: float = 0.0


class Reply(Struct, kw_only=True, gc=False):
    """The answer to ``Ask``. ``model`` and ``version`` say who ranked the list; version is null of popular tracks."""

    request_id: str
    user_id: str
    model: str
    version: int | None
    label: str
    degraded: Degraded | None
    items: tuple[Item, ...]
    timings_ms: Timings


class Taken(Struct):
    """Events are durable at ``durable``."""

    accepted: int
    durable: str


def item_of(found: Recommendation, explain: bool = True) -> Item:
    reasons = tuple(Why(r.kind, r.text, r.track_id, r.share) for r in found.reasons) if explain else ()
    return Item(
        found.track_id,
        found.title,
        found.artist,
        found.score,
        found.propensity,
        reasons,
        found.sentence if explain else "",
    )
