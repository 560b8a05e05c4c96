"""Explanations: what the parts become, which reason is named, and in which words."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.recommend.explain import NAMEABLE, Explanation, explanations
from models.recommend.sentences import OVERALL, Listening, number, sentence, times, when

GROUPS = ("own_history", "follows", "together", "artist", "context.hour", "popularity", "base")
INFO = {
    "river": {"title": "River", "artist": "Joni Mitchell", "artist_id": "a1", "album_id": "blue", "genre": "folk"},
    "carey": {"title": "Carey", "artist": "Joni Mitchell", "artist_id": "a1", "album_id": "blue", "album": "Blue"},
    "help": {"title": "Help", "artist": "Joni Mitchell", "artist_id": "a1"},
    "gold": {"title": "Heart of Gold", "artist": "Neil Young", "artist_id": "a2", "genre": "folk"},
}
DAY = 24 * 3600 * 1000


def explained(track="river", history=("carey", "gold", "carey"), plays=(), rest=(), info=INFO) -> Explanation:
    """plays: (place, group) -> part; rest: group -> part."""
    of_plays, of_rest = np.zeros((len(history), len(GROUPS))), np.zeros(len(GROUPS))
    for (place, group), value in dict(plays).items():
        of_plays[place, GROUPS.index(group)] = value
    for group, value in dict(rest).items():
        of_rest[GROUPS.index(group)] = value
    return Explanation.of(track, list(history), of_plays, of_rest, GROUPS, info)


@given(st.integers(0, 6), st.integers(0, 9), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_contributions_sum_to_the_score(length, seed, random):
    rng = np.random.default_rng(seed)
    history = [random.choice(["carey", "gold", "help", ""]) for _ in range(length)]
    plays, rest = rng.normal(size=(length, len(GROUPS))), rng.normal(size=len(GROUPS))
    plays[[not played for played in history]] = 0
    found = Explanation.of("river", history, plays, rest, GROUPS, INFO)
    assert found.score == pytest.approx(plays.sum() + rest.sum())
    record = json.loads(json.dumps(found.record()))
    assert record["base"] + sum(r["contribution"] for r in record["reasons"]) == pytest.approx(record["score"])
    of_plays = [r for r in record["reasons"] if r["kind"] == "play"]
    assert {r["key"] for r in of_plays} == set(history) - {""}
    for reason in of_plays:
        assert sum(reason["ways"].values()) == pytest.approx(reason["contribution"])
        assert reason["times"] == history.count(reason["key"])
    values = [r["contribution"] for r in record["reasons"]]
    assert values == sorted(values, reverse=True)


def test_plays_too_small_for_a_reason_are_told_as_one():
    plays, rest = np.zeros((3, len(GROUPS))), np.zeros(len(GROUPS))
    plays[:, GROUPS.index("follows")] = 1.0, 0.01, -0.005
    found = Explanation.of("river", ["carey", "gold", "help"], plays, rest, GROUPS, INFO, least=0.02)
    assert [(r.kind, r.key) for r in found.reasons] == [("play", "carey"), ("other", "other")]
    assert found.score == pytest.approx(1.005) and found.reasons[1].contribution == pytest.approx(0.005)


def test_a_reason_says_what_it_is_and_what_the_two_have_in_common():
    found = explained(plays={(0, "follows"): 0.4, (2, "together"): 0.1, (1, "together"): 0.2},
                      rest={"context.hour": 0.1, "base": 2.0, "popularity": -0.3})  # fmt: skip
    first, second, hour, popularity = found.reasons
    assert (first.kind, first.key, first.times, first.same) == ("play", "carey", 2, ("artist", "album"))
    assert first.way == "follows" and second.same == ("genre",)
    assert (hour.kind, hour.key) == ("context", "hour") and popularity.contribution == pytest.approx(-0.3)
    assert found.base == 2.0 and found.score == pytest.approx(2.5)


def test_shares_of_any_model_are_an_explanation():
    found = Explanation.linear("river", ["gold", "", "gold"], np.array([0.5, 0.0, 0.25, 1.0]), INFO)
    assert [(r.kind, r.contribution) for r in found.reasons] == [("other", 1.0), ("play", 0.75)]
    assert found.score == 1.75 and found.cause().keys == ("gold",)


def test_a_play_is_named_before_what_nobody_can_see_unless_it_hardly_counts():
    few = explained(plays={(1, "together"): 0.2}, rest={"popularity": 1.0})
    assert few.share(0.2) > NAMEABLE and few.cause().keys == ("gold",)
    fewer = explained(plays={(1, "together"): 0.02}, rest={"popularity": 1.0})
    assert fewer.cause().kind == "popularity"
    assert explained(rest={"popularity": -1.0}).cause() is None


def test_several_tracks_of_the_artist_are_one_cause():
    found = explained(history=("carey", "help", "gold"),
                      plays={(0, "artist"): 0.3, (1, "artist"): 0.3, (2, "together"): 0.4})  # fmt: skip
    cause = found.cause()
    assert cause.kind == "plays_of_artist" and set(cause.keys) == {"carey", "help"}
    assert sentence(found, INFO) == "Because you played two tracks by Joni Mitchell."
    alone = explained(history=("carey", "help"), plays={(0, "artist"): 0.9, (1, "artist"): 0.1})
    assert alone.cause().keys == ("carey",)


LATELY = Listening(("carey", "gold", "carey"), (20 * DAY, 22 * DAY, 23 * DAY), 24 * DAY)


@pytest.mark.parametrize(
    ("plays", "listening", "words"),
    [
        ({(0, "follows"): 1.0}, LATELY,
         "Because you played Carey by Joni Mitchell twice this week and River by the same artist often comes after "
         "it."),
        ({(0, "follows"): 1.0}, Listening(),
         "Because you played Carey by Joni Mitchell twice and River by the same artist often comes after it."),
        ({(1, "together"): 1.0}, LATELY,
         "Because you played Heart of Gold by Neil Young this week and many who play it also play River by Joni "
         "Mitchell."),
        ({(1, "together"): 1.0}, Listening(("carey", "gold", "carey"), (0, DAY, 30 * DAY)),
         "Because you played Heart of Gold by Neil Young and many who play it also play River by Joni Mitchell."),
        ({(0, "artist"): 1.0}, Listening(),
         "Because you played Carey by Joni Mitchell twice and River is by the same artist."),
        ({(0, "own_history"): 1.0}, Listening(), "Because you played Carey by Joni Mitchell twice."),
    ],
)  # fmt: skip
def test_a_play_in_words(plays, listening, words):
    assert sentence(explained(plays=plays), INFO, listening) == words


def test_a_track_played_before_is_told_how_often():
    again = {"track": "gold", "plays": {(1, "own_history"): 1.0}}
    assert sentence(explained(**again), INFO) == "Because you played it before."
    assert sentence(explained(**again), INFO, LATELY) == "Because you played it this week."
    often = explained(track="carey", plays={(0, "own_history"): 1.0})
    assert sentence(often, INFO, LATELY) == "Because you played it twice this week."


def test_what_has_no_title_is_still_a_sentence():
    found = explained(plays={(0, "follows"): 1.0}, info={})
    assert sentence(found, {}) == "Because you played carey twice and this track often comes after it."


@pytest.mark.parametrize(
    ("context", "words"),
    [
        ({"hour": 21}, "It fits what is played in the evening."),
        ({"hour": -1}, "It fits the moment."),
        ({}, "It fits the moment."),
    ],
)
def test_the_moment_is_named_only_where_it_is_known(context, words):
    found = explained(rest={"context.hour": 1.0})
    assert sentence(found, INFO, Listening(context=context)) == words


def test_what_is_no_play_has_words_too():
    assert sentence(explained(rest={"popularity": 1.0}), INFO) == "Popular with listeners."
    assert sentence(explained(rest={"popularity": -1.0}), INFO) == OVERALL
    linear = Explanation.linear("river", ["gold"], np.array([0.0, 1.0]), INFO)
    assert sentence(linear, INFO) == OVERALL


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("weekday", 5, "on Fridays"), ("month", 12, "in December"), ("activity", "work", "at work"),
        ("activity", "gardening", "during gardening"), ("device", "speaker", "on a speaker"),
        ("device", "web", "in the browser"),
        ("weather", "rain", "in the rain"), ("country", "SE", "in your country"),
        ("temperature", -1, "in such temperatures"), ("hour", 2, "at night"),
        ("device", "unknown", None), ("weekday", -1, None), ("mood", "blue", None),
    ],
)  # fmt: skip
def test_values_of_the_moment_in_words(field, value, words):
    assert when(field, value) == words


def test_numbers_in_words():
    assert [times(n) for n in (1, 2, 3, 11)] == ["once", "twice", "three times", "11 times"]
    assert [number(n) for n in (4, 10, 12)] == ["four", "ten", "12"]


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="for 1 plays and 7 groups"):
        Explanation.of("river", ["gold"], np.zeros((2, 7)), np.zeros(7), GROUPS)
    with pytest.raises(ValueError, match="not finite"):
        explanations(["river"], ["gold"], np.full((1, 1, 7), np.nan), np.zeros((1, 7)), GROUPS)
    with pytest.raises(ValueError, match="1 times for 2 plays"):
        Listening(("gold", "carey"), (1,))
