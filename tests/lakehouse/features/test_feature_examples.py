"""Features by hand: what the shapes of views say of a few events, and what declarations refuse."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from feature_law import fact_table, questions

from lakehouse.features import formulas as f
from lakehouse.features import stream
from lakehouse.features.declare import DAY, HOUR, MINUTE, DeclarationError, Feature, FeatureView, Total
from lakehouse.features.evaluate import evaluate
from lakehouse.features.kernel import Clock, TooManyTimes
from lakehouse.features.views import TRACK_COUNTRY, USER_PROFILE, USER_SESSION, get_view

START = 1_767_225_600_000
NOW = START + 40 * DAY


def view(*features: Feature) -> FeatureView:
    return FeatureView("probe", "a view of a test", ("user_key",), features, ("silver.listens",), timedelta(days=1))


def play(number: int, age: int, late: int = 0, **fields) -> dict:
    """A play ``age`` ms before NOW that was known ``late`` ms after it began."""
    at = NOW - age
    row = {"event_number": number, "occurred_ms": at, "known_ms": at + late, "user_key": "u", "plays": 1}
    return {**row, "track_id": f"t{number}", **fields}


def values(features: list[Feature], *facts: dict, at: int = NOW) -> list:
    probe = view(*features)
    found = evaluate(probe, fact_table([probe], list(facts)), questions(probe, [(("u",), at)]))
    return [found[feature.name][0] for feature in features]


def test_a_window_holds_what_was_known_before_and_is_not_too_old():
    count = [f.count("n", "", "plays", 7 * DAY)]
    assert values(count, play(1, 7 * DAY), play(2, 7 * DAY + 1), play(3, 1)) == [2]
    assert values(count, play(1, 0), play(2, 1, late=1), play(3, DAY, late=DAY + 1)) == [0]  # not known before NOW
    assert values(count, play(1, 8 * DAY, late=8 * DAY - 1)) == [0]  # too old when it became known


def test_a_corrected_event_counts_by_its_newest_known_version():
    skips = [f.count("n", "", "skips", DAY), f.count("m", "", "plays", DAY)]
    first, second = play(1, HOUR, skips=0), play(1, HOUR, late=30 * MINUTE, skips=1)
    assert values(skips, second, first, dict(first)) == [1, 1]
    assert values(skips, second, first, at=NOW - 30 * MINUTE) == [0, 1]
    assert values(skips, second, first, at=NOW - 30 * MINUTE + 1) == [1, 1]


def test_decay_halves_and_rates_ignore_what_says_nothing():
    known = {"skips_known": 1}
    plays = [play(1, 7 * DAY, skips=1, **known), play(2, 14 * DAY, **known), play(3, 21 * DAY)]
    decayed, rate, fresh, none = values(
        [
            f.decayed("d", "", "plays", 7 * DAY, 60 * DAY),
            f.rate("r", "", "skips", "skips_known", 30 * DAY),
            f.rate("w", "", "skips", "skips_known", 30 * DAY, 7 * DAY),
            f.rate("x", "", "skips", "skips_known", DAY),
        ],
        *plays,
    )
    assert decayed == pytest.approx(0.5 + 0.25 + 0.125)
    assert (rate, none) == (0.5, -1)
    assert fresh == pytest.approx(0.5 / 0.75)


def test_repeats_discoveries_and_trend():
    plays = [play(n, age, track_id=t) for n, (age, t) in enumerate([(DAY, "a"), (2 * DAY, "a"), (20 * DAY, "b")])]
    plays.append(play(9, 3 * DAY, track_id="b"))
    found = values(
        [
            f.repeat_rate("r", "", 30 * DAY),
            f.discovery_rate("d", "", 7 * DAY, 30 * DAY),
            f.trend("t", "", "plays", DAY, 7 * DAY),
            f.is_new("n", "", "plays", 7 * DAY, 60 * DAY),
        ],
        *plays,
    )
    assert found == [pytest.approx(2 / 4), pytest.approx(1 / 2), pytest.approx((7 + 1) / (3 + 1)), 0]


def test_a_centroid_is_the_mean_of_tracks_that_have_one():
    half, full = f.UNIT // 2, f.UNIT
    plays = [
        play(1, HOUR, x=full, y=0, known=1),
        play(2, HOUR, x=half, y=half, known=1),
        play(3, HOUR),
    ]
    (found,) = values([f.centroid("c", "", ("x", "y"), "known", DAY)], *plays)
    assert found.tolist() == [0.75, 0.25]


def test_a_session_goes_on_for_half_an_hour_after_the_last_sound():
    facts = [
        play(1, 3 * HOUR, ms_played=0, skips=0),
        play(2, 60 * MINUTE, ms_played=10 * MINUTE, skips=1),
        play(3, 20 * MINUTE, ms_played=5 * MINUTE, skips=0),
    ]
    parts = [f.session(name, "", name) for name in ("events", "skips", "ms")]
    assert values(parts, *facts) == [2, 1, 3600.0]
    assert values(parts, *facts, at=NOW + 15 * MINUTE) == [2, 1, 4500.0]
    assert values(parts, *facts, at=NOW + 15 * MINUTE + 1) == [0, 0, 0.0]
    # one that is told late joins two sessions
    between = play(4, 90 * MINUTE, late=80 * MINUTE, ms_played=5 * MINUTE, skips=1)
    first = play(1, 125 * MINUTE, ms_played=5 * MINUTE, skips=0)
    assert values(parts, first, *facts[1:], between) == [4, 2, 125 * 60.0]


def test_last_and_top_ids():
    plays = [play(n, n * HOUR, track_id=t) for n, t in enumerate(["x", "a", "b", "b", "a"], 1)]
    found = values(
        [f.last_ids("l", "", "plays", DAY, "track_id", 3), f.top_ids("t", "", "plays", DAY, "track_id", 2)], *plays
    )
    assert found == [["x", "a", "b"], ["a", "b"]]


def test_what_a_declaration_can_not_say():
    with pytest.raises(DeclarationError, match="look ahead"):
        Total("plays", DAY, lag=-1)
    with pytest.raises(DeclarationError, match="window must be above 0"):
        Total("plays", 0)
    with pytest.raises(DeclarationError, match="half-life"):
        Total("plays", DAY, half_life=0)
    one = f.count("n", "", "plays", DAY)
    with pytest.raises(DeclarationError, match=r"probe.*twice: \['n'\]"):
        view(one, one)
    with pytest.raises(KeyError, match="user_profile"):
        get_view("profile")
    with pytest.raises(TooManyTimes, match="groups"):
        Clock(10**9, 0, 10**13)


def test_keys_and_fields_of_online_rows():
    assert TRACK_COUNTRY.row_key("t1", "DE") == "t1\x1fDE"
    with pytest.raises(DeclarationError, match="track_id, country"):
        TRACK_COUNTRY.row_key("t1")
    schema = USER_PROFILE.row_schema()
    assert schema.ttl_seconds == 3 * 86_400
    kinds = {field.name: (field.kind, field.size, field.default) for field in schema.fields}
    assert kinds["plays_7d"] == ("int64", 1, 0)
    assert kinds["skip_rate_30d"] == ("float32", 1, -1)
    assert kinds["acoustic_7d"] == ("float32", 9, 0)
    assert kinds["top_genres_30d"] == ("ids", 5, 0)


def at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def test_a_state_is_the_same_whatever_the_order_and_forgets_what_can_not_count():
    facts = [play(n, n * DAY, ms_played=1000, skips=n % 2) for n in range(1, 29)]
    key = ("u",)
    table = fact_table([USER_SESSION], facts)
    once = stream.update(USER_SESSION, {}, table, at(NOW))
    twice = stream.update(USER_SESSION, once.states, table.slice(3, 9), at(NOW))
    parts = stream.update(USER_SESSION, {}, table.slice(20), at(NOW))
    parts = stream.update(USER_SESSION, parts.states, table.slice(0, 20), at(NOW))
    assert once.states == twice.states == parts.states
    assert once.rows.to_pylist() == parts.rows.to_pylist()
    online = stream.online_rows(USER_SESSION, once.rows)
    assert online["u"]["last_tracks"][:3] == ["t1", "t2", "t3"]
    later = stream.update(USER_SESSION, once.states, stream.no_facts(USER_SESSION), at(NOW + 15 * DAY))
    assert len(later.states[key]) < len(once.states[key])
    gone = stream.update(USER_SESSION, once.states, stream.no_facts(USER_SESSION), at(NOW + 60 * DAY))
    assert gone.states == {key: None}
    assert [row[f.name] for row in gone.rows.to_pylist() for f in USER_SESSION.features] == [
        f.empty for f in USER_SESSION.features
    ]


def test_a_state_of_another_declaration_is_refused():
    one, other = view(f.count("n", "", "plays", DAY)), view(f.count("n", "", "likes", DAY))
    state = stream.update(one, {}, fact_table([one], [play(1, HOUR)]), at(NOW)).states
    with pytest.raises(stream.StateMismatch, match="likes.*update"):
        stream.update(other, state, stream.no_facts(other), at(NOW))
    with pytest.raises(ValueError, match="time zone"):
        stream.values(one, state, datetime(2026, 1, 1))
