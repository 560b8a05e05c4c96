"""The one sentence that tells a listener why: what raised the score most tellingly, and nothing that did not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.recommend.explain import CONTEXT, PLAY, Cause, Explanation, Reason, TrackInfo

OVERALL = "Chosen for its overall popularity and the moment, not for one particular play."
WEEK_MS = 7 * 24 * 3600 * 1000
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
PARTS_OF_DAY = ((5, "at night"), (12, "in the morning"), (18, "in the afternoon"), (22, "in the evening"),
                (24, "at night"))  # fmt: skip
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
          "December")  # fmt: skip
ACTIVITIES = {"exercise": "during exercise", "work": "at work", "relax": "to relax", "social": "in company",
              "commute": "on the way"}  # fmt: skip
DEVICES = {"web": "in the browser", "browser": "in the browser", "car": "in the car", "tv": "on the TV"}
WEATHERS = {"clear": "under a clear sky", "clouds": "under clouds", "rain": "in the rain", "snow": "in the snow"}
FIELDS = {"country": "in your country", "network": "on a connection like yours", "temperature": "in such temperatures"}
WAYS = {
    "follows": "and {it} often comes after it",
    "together": "and many who play it also play {it}",
    "artist": "and {it} is by the same artist",
    "album": "and {it} is on the same album",
    "taste": "and {it} is much like it",
}
"""What a play speaks of, in words; every other way needs none."""
GROUPS = {
    "popularity": "Popular with listeners.",
    "own_history": "It is new to you.",
    "artist": "Its artist goes well with what you play.",
    "album": "It fits how you listen to albums.",
    "follows": "It fits what is playing now.",
    "together": "It is heard by those who play what you play.",
    "listener": "It fits how you listen.",
    "sound": "It sounds like what you play.",
    "taste": "It is much like what you play.",
    "moment": "It fits the moment.",
    "sequence": "It fits the course of your listening.",
    "lists": "It fits what you played in more than one way.",
}


@dataclass(frozen=True)
class Listening:
    """What the words need beside the explanation. history: track ids; times: ms since 1970 of each play, None where
    there is no true clock; now: ms (the latest play if not given); context: raw values of the request's fields."""

    history: Sequence[str] = ()
    times: Sequence[int] | None = None
    now: int | None = None
    context: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.times is not None and len(self.times) != len(self.history):
            raise ValueError(
                f"listening: {len(self.times)} times for {len(self.history)} plays; give one each, or None"
            )

    def this_week(self, track_ids: Sequence[str]) -> int:
        """Plays of the tracks within the last seven days; 0 where times are not known."""
        if self.times is None or not len(self.times):
            return 0
        now = max(self.times) if self.now is None else self.now
        wanted = set(track_ids)
        return sum(
            track in wanted and now - WEEK_MS < time <= now
            for track, time in zip(self.history, self.times, strict=True)
        )


def sentence(explanation: Explanation, info: TrackInfo | None = None, listening: Listening | None = None) -> str:
    """One sentence. info: what the catalogue knows.

    A field of the context is named only where its value is known: "unknown device" is no reason to give to anybody.
    """
    info, listening = info or {}, listening or Listening()
    cause = explanation.cause()
    if cause is None:
        return OVERALL
    if cause.kind == PLAY:
        reason = next(r for r in explanation.of_kind(PLAY) if r.key == cause.keys[0])
        return _of_play(explanation.track_id, reason, info, listening)
    if cause.kind.startswith("plays_of_"):
        return _of_plays(explanation.track_id, cause, info, listening)
    if cause.kind == CONTEXT:
        words = when(cause.keys[0], (listening.context or {}).get(cause.keys[0]))
        return "It fits the moment." if words is None else f"It fits what is played {words}."
    genre = info.get(explanation.track_id, {}).get("genre")
    if cause.kind == "genre" and genre:
        return f"Because you listen to {genre}."
    return GROUPS.get(cause.kind, OVERALL)


def title(track_id: str, info: TrackInfo) -> str:
    return info.get(track_id, {}).get("title") or track_id


def named(track_id: str, info: TrackInfo) -> str:
    """The title, with the artist where known."""
    artist = info.get(track_id, {}).get("artist")
    return f"{title(track_id, info)} by {artist}" if artist else title(track_id, info)


def _of_play(track_id: str, reason: Reason, info: TrackInfo, listening: Listening) -> str:
    if reason.key == track_id:
        often = _often(reason, listening)
        return f"Because you played it {often}." if often else "Because you played it before."
    words = " ".join(filter(None, ["Because you played", named(reason.key, info), _often(reason, listening)]))
    if reason.way not in WAYS:
        return f"{words}."
    return f"{words} {WAYS[reason.way].format(it=_other(track_id, reason, info))}."


def _other(track_id: str, reason: Reason, info: TrackInfo) -> str:
    """The recommended track beside a play: its title, and its artist unless the sentence says it anyway."""
    if not info.get(track_id, {}).get("title"):
        return "this track"
    if "artist" not in reason.same:
        return named(track_id, info)
    return title(track_id, info) if reason.way in ("artist", "album") else f"{title(track_id, info)} by the same artist"


def _often(reason: Reason, listening: Listening) -> str:
    """ "twice this week", "three times", or nothing where it was once, or long ago and once."""
    week = listening.this_week([reason.key])
    if week:
        return "this week" if week == 1 else f"{times(week)} this week"
    return times(reason.times) if reason.times > 1 else ""


def times(n: int) -> str:
    """once, twice, three times, … 11 times."""
    return {1: "once", 2: "twice"}.get(n) or f"{number(n)} times"


def number(n: int) -> str:
    return NUMBERS[n] if n < len(NUMBERS) else str(n)


def _of_plays(track_id: str, cause: Cause, info: TrackInfo, listening: Listening) -> str:
    attribute = cause.kind.removeprefix("plays_of_")
    name = info.get(track_id, {}).get(attribute) or f"this {attribute}"
    of = f"by {name}" if attribute == "artist" else f"from {name}"
    recent = sum(bool(listening.this_week([key])) for key in cause.keys)
    n, lately = (recent, " this week") if recent > 1 else (len(cause.keys), "")
    return f"Because you played {number(n)} tracks {of}{lately}."


def when(field: str, value: Any) -> str | None:
    """A value of a context field in words that follow "played"; None where unknown."""
    if value is None or value in ("", "unknown") or (value == -1 and field != "temperature"):
        return None
    if field == "hour":
        return next(words for end, words in PARTS_OF_DAY if int(value) < end)
    if field == "weekday":
        return f"on {WEEKDAYS[int(value) - 1]}s"
    if field == "month":
        return f"in {MONTHS[int(value) - 1]}"
    if field == "activity":
        return ACTIVITIES.get(str(value), f"during {value}")
    if field == "weather":
        return WEATHERS.get(str(value), "in such weather")
    return DEVICES.get(str(value), f"on a {value}") if field == "device" else FIELDS.get(field)
