"""Recommendations for a person: what, how good, and why, in words.

Reasons come from the model itself: the signature `reasons` splits a track's score by plays and kinds of evidence, or,
of a model without it, `explain` into one share per play of the history. Facts (same artist, same genre, popular this
week) are looked up, never guessed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from models.context.wire import words
from models.recommend.explain import Explanation, Played, TrackInfo, attribute_key, explanations
from models.recommend.sentences import Listening, sentence
from serving.answers import as_text
from serving.client import ModelClient
from serving.errors import ModelNotServed, ModelServerError, ServerUnreachable
from serving.slate import Arrangement, Place, arranged

PLAY, PLAYED_BEFORE = "play", "played_before"
SAME_ARTIST, SAME_GENRE, POPULAR = "same_artist", "same_genre", "popular"
MAX_PLAYS = 2
LEAST = 0.02
"""Share of what plays give to a score below which one of them is not told by itself."""


class Reason(NamedTuple):
    """One reason: kind `play` (a track of the history, with its share of the score, 0 to 1) or a fact.

    `played_before` stands alone: the track itself is in the history and speaks for it more than any other play.
    """

    kind: str
    text: str
    track_id: str | None = None
    share: float | None = None


@dataclass(frozen=True)
class Recommendation:
    """One recommended track; title and artist are None where the catalogue has none. explanation: the whole score by
    its reasons, None where the model gives none; propensity: chance to be shown in this place, 1 without exploration.
    """

    track_id: str
    title: str | None
    artist: str | None
    score: float
    reasons: tuple[Reason, ...] = ()
    sentence: str = ""
    explanation: Explanation | None = None
    propensity: float = 1.0


@dataclass(frozen=True)
class Recommendations:
    """A list of recommendations, best first, and the version of the model that gave it."""

    model: str
    version: int
    items: list[Recommendation] = field(default_factory=list)

    def __iter__(self) -> Iterator[Recommendation]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Recommendation:
        return self.items[index]


def recommend(
    client: ModelClient,
    name: str,
    history: Sequence[str],
    exclude: Collection[str] = (),
    k: int = 10,
    context: Mapping[str, Any] | None = None,
    profile: Mapping[str, Any] | None = None,
    track_info: TrackInfo | None = None,
    *,
    popular: Collection[str] = (),
    times: Sequence[int] | None = None,
    arrangement: Arrangement | None = None,
    label: str | None = None,
    timeout: float | None = None,
) -> Recommendations:
    """Ask the model `name` for `k` tracks after `history` and say why each was chosen.

    Args:
        history: track ids, oldest first; ids the model does not know are ignored. May be empty.
        exclude: track ids never to return.
        context: what is known of the moment, by ``models.context.FIELDS``: hour, device, activity, weather, ...
        profile: what is known of the listener, by ``PROFILE_FIELDS``.
        track_info: track id -> {"title", "artist", "artist_id", "genre"}; every part may be missing.
        popular: ids of the tracks most played this week.
        times: ms since 1970 of each play of the history, None where not known.
        arrangement: diversity and exploration of the list; None shows it as the model ranks.
        label: version label such as "stable"; the server's latest version when None.

    Raises a `ModelServerError` when the server cannot answer. Reasons are left out when the answering version was
    unloaded before they could be asked for.
    """
    if k < 1:
        raise ValueError(f"k: {k} is below 1")
    asked = inputs_of(history, exclude, context, profile)
    how = arrangement or Arrangement()
    answer = client.ask(name, {**asked, "k": np.int32(how.depth(k))}, "recommend", label=label, timeout=timeout)
    places = arranged(ranked_of(answer.outputs), k, how, track_info or {})
    candidates = [place.track_id for place in places]
    shares, told = _why(client, name, answer.version, asked, candidates, timeout)
    listening = Listening(list(history), times, context=context)
    writer = ReasonWriter(listening, track_info or {}, frozenset(popular))
    return Recommendations(name, answer.version, writer.recommendations(places, shares, told))


def inputs_of(
    history: Sequence[str],
    exclude: Collection[str] = (),
    context: Mapping[str, Any] | None = None,
    profile: Mapping[str, Any] | None = None,
) -> dict[str, np.ndarray]:
    """Inputs that all signatures share, of one request: object arrays [1, N], "" where there is nothing."""
    moment, listener = ({name: [value] for name, value in (said or {}).items()} for said in (context, profile))
    return {
        "history": _strings([list(history) or [""]]),
        "context": _strings([words(moment, listener, 1)[0] or [""]]),
        "exclude": _strings([list(exclude) or [""]]),
    }


def ranked_of(outputs: Mapping[str, np.ndarray]) -> list[tuple[str, float]]:
    """(id, score) of the first request of a ranked answer, best first, without its padding."""
    ids, scores = as_text(outputs["track_ids"][0]), np.asarray(outputs["scores"][0]).tolist()
    return [(track_id, score) for track_id, score in zip(ids.tolist(), scores, strict=True) if track_id]


def told_of(outputs: Mapping[str, np.ndarray]) -> tuple[np.ndarray, Told]:
    """Contributions [C, L+1] of the first request, and its reasons, of what the signature `reasons` answers."""
    plays, rest = outputs["plays"][0], outputs["rest"][0]
    shares = np.concatenate([plays.sum(2), rest.sum(1, keepdims=True)], 1)
    return shares, Told(plays, rest, as_text(outputs["groups"]).tolist())


def untold(candidates: Sequence, plays: int) -> tuple[np.ndarray, None]:
    """The same where nobody says why, for a history of so many plays: zeros and None."""
    return np.zeros((len(candidates), plays + 1), np.float32), None


def _strings(values: list) -> np.ndarray:
    return np.array(values, dtype=object)


class Told(NamedTuple):
    """The parts of C candidates' scores: plays float [C, L, P], rest float [C, G], and the names of the G groups."""

    plays: np.ndarray
    rest: np.ndarray
    groups: list[str]


def _why(
    client: ModelClient, name: str, version: int, asked: dict, candidates: list[str], timeout: float | None
) -> tuple[np.ndarray, Told | None]:
    """Contributions [C, L+1] by the same version that answered, and its reasons, None of a model without them; zeros
    and None when the version has gone meanwhile."""
    shares, nothing = untold(candidates, asked["history"].shape[1])
    if not candidates:
        return shares, nothing
    inputs = {**asked, "candidates": _strings([candidates])}
    try:
        return told_of(client.predict(name, inputs, "reasons", version=version, timeout=timeout))
    except (ModelNotServed, ServerUnreachable):
        return shares, nothing
    except ModelServerError:  # it has no such signature
        return _explain(client, name, version, inputs, shares, timeout), nothing


def _explain(
    client: ModelClient, name: str, version: int, inputs: dict, otherwise: np.ndarray, timeout: float | None
) -> np.ndarray:
    try:
        return client.predict(name, inputs, "explain", version=version, timeout=timeout)["contributions"][0]
    except ModelNotServed:
        return otherwise


class ReasonWriter:
    """Turns shares and catalogue entries into reasons and a sentence, for one person's history."""

    def __init__(self, listening: Listening, track_info: TrackInfo, popular: frozenset[str]):
        self._history, self._info, self._popular = list(listening.history), track_info, popular
        self._listening, self._played = listening, Played(self._history, track_info)
        self._genres = {track_info.get(track, {}).get("genre") for track in self._played.keys} - {None, ""}

    def recommendations(
        self, places: Sequence[Place], contributions: np.ndarray, told: Told | None
    ) -> list[Recommendation]:
        """Of the tracks at ``places``; contributions float [C, L+1] and told beside them."""
        tracks = [place.track_id for place in places]
        rows = zip(places, self._shares(contributions), self._explanations(tracks, told), strict=True)
        return [self._recommendation(*row) for row in rows]

    def _recommendation(
        self, place: Place, shares: dict[str, float], explanation: Explanation | None
    ) -> Recommendation:
        track_id = place.track_id
        again = shares.pop(track_id, 0.0)
        plays = [
            Reason(PLAY, f"you played {self._named(played)}", played, share)
            for played, share in sorted(shares.items(), key=lambda item: -item[1])[:MAX_PLAYS]
        ]
        if again > max(shares.values(), default=0.0):
            plays = [Reason(PLAYED_BEFORE, "you played it before", track_id, again)]
        facts = self._facts(track_id)
        info = self._info.get(track_id, {})
        words = (
            self._sentence(plays, facts) if explanation is None else sentence(explanation, self._info, self._listening)
        )
        return Recommendation(
            track_id,
            info.get("title") or None,
            info.get("artist") or None,
            place.score,
            (*plays, *facts),
            words,
            explanation,
            place.propensity,
        )

    def _explanations(self, tracks: Sequence[str], told: Told | None) -> Sequence[Explanation | None]:
        if told is None:
            return [None] * len(tracks)
        plays = told.plays[:, : len(self._history)]
        return explanations(tracks, self._history, plays, told.rest, told.groups, self._info, self._played, LEAST)

    def _shares(self, contributions: np.ndarray) -> list[dict[str, float]]:
        """Of each track: played track -> its part (0 to 1) of all that raised the score; repeated plays count
        together."""
        contributions = np.asarray(contributions, np.float64)
        total = self._played.together(contributions[:, : len(self._history), None])[..., 0]
        raised = np.where(contributions > 0, contributions, 0.0).sum(1)
        keys = self._played.keys
        return [
            {key: min(value / positive, 1.0) for key, value in zip(keys, row, strict=True) if key and value > 0}
            for row, positive in zip(total.tolist(), raised.tolist(), strict=True)
        ]

    def _facts(self, track_id: str) -> list[Reason]:
        facts = []
        artist = attribute_key(track_id, "artist", self._info)
        if artist and any(played != track_id for played in self._played.having("artist", artist)):
            who = self._info[track_id].get("artist") or artist
            facts.append(Reason(SAME_ARTIST, f"you listen to {who}"))
        genre = self._info.get(track_id, {}).get("genre")
        if genre in self._genres:
            facts.append(Reason(SAME_GENRE, f"you listen to {genre}"))
        if track_id in self._popular:
            facts.append(Reason(POPULAR, "popular this week"))
        return facts

    def _title(self, track_id: str) -> str:
        return self._info.get(track_id, {}).get("title") or track_id

    def _named(self, track_id: str) -> str:
        artist = self._info.get(track_id, {}).get("artist")
        return f"{self._title(track_id)} by {artist}" if artist else self._title(track_id)

    def _sentence(self, plays: list[Reason], facts: list[Reason]) -> str:
        if plays and plays[0].kind == PLAYED_BEFORE:
            return "Because you played it before."
        if plays:
            return f"Because you played {self._play_names([play.track_id for play in plays])}."
        kinds = {fact.kind: fact.text for fact in facts}
        for kind in (SAME_ARTIST, SAME_GENRE):
            if kind in kinds:
                return f"Because {kinds[kind]}."
        if POPULAR in kinds:
            return "Popular with listeners this week."
        return "Chosen for its overall popularity and the moment, not for one particular play."

    def _play_names(self, ids: list[str]) -> str:
        artists = {self._info.get(track_id, {}).get("artist") for track_id in ids}
        if len(ids) > 1 and len(artists) == 1 and None not in artists and "" not in artists:
            return f"{' and '.join(self._title(track_id) for track_id in ids)} by {artists.pop()}"
        return " and ".join(self._named(track_id) for track_id in ids)
