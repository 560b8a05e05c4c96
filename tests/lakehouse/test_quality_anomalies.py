"""What is unusual is told with what it was compared with; what is not, is left alone. And fields nobody declared."""

from __future__ import annotations

import json
import random
from datetime import date, timedelta

import pytest
from raw_zone import raw_event

from lakehouse.quality.anomalies import judge, judge_gap
from lakehouse.quality.drift import unknown_fields

DAY = date(2026, 3, 2)  # a Monday
WEEKEND = {5: 2.0, 6: 3.0}


def history(days: int = 35, level: float = 1000) -> dict[date, float]:
    """A listener's habit: twice and three times as much at the weekend, 5 % of noise."""
    noise = random.Random(1)
    before = [DAY - timedelta(n) for n in range(1, days + 1)]
    return {d: round(level * WEEKEND.get(d.weekday(), 1.0) * noise.uniform(0.95, 1.05)) for d in before}


@pytest.mark.parametrize(
    ("day", "value", "unusual"),
    [
        (DAY, 1000, False),
        (DAY, 1150, False),
        (DAY, 0, True),
        (DAY, 300, True),
        (DAY, 3000, True),  # usual on a Sunday, not on a Monday
        (DAY + timedelta(6), 3000, False),
        (DAY + timedelta(6), 1000, True),
    ],
)
def test_a_day_is_compared_with_its_weekday(day, value, unusual):
    verdict = judge("play", {**history(), day: value}, day)
    assert verdict.unusual is unusual
    assert f"play {day}" in verdict.text and "expected about" in verdict.text


@pytest.mark.parametrize(("usual", "value", "unusual"), [(0, 3, False), (0, 80, True), (4, 0, False), (4, 60, True)])
def test_chance_in_a_small_count_is_no_alarm(usual, value, unusual):
    series = {DAY - timedelta(n): usual for n in range(1, 29)}
    assert judge("unlike", {**series, DAY: value}, DAY).unusual is unusual


def test_one_wild_day_in_the_history_does_not_hide_the_next():
    series = {**history(), DAY - timedelta(3): 50_000, DAY: 0}
    assert judge("play", series, DAY).unusual


def test_too_little_history_is_not_judged():
    verdict = judge("play", {**history(days=6), DAY: 0}, DAY)
    assert (verdict.z, verdict.unusual) == (None, False)
    assert verdict.text == "play 2026-03-02: 0, not judged (6 earlier days)"
    assert judge("play", history(days=100), DAY).days == 28


@pytest.mark.parametrize(
    ("every", "age", "fresh"), [(1, 0, True), (1, 3, True), (1, 4, False), (3, 7, True), (3, 8, False)]
)
def test_freshness_follows_the_rhythm_of_the_feed(every, age, fresh):
    days = [DAY - timedelta(n * every) for n in range(20)]
    passed, text = judge_gap(days, DAY + timedelta(age))
    assert passed is fresh
    assert f"newest landing day 2026-03-02, {age} days ago" in text and f"every {every} days" in text


def test_an_archive_is_not_called_stale():
    assert judge_gap([DAY], DAY + timedelta(400))[0]
    assert "an archive" in judge_gap([DAY], DAY + timedelta(400))[1]
    assert judge_gap([], DAY) == (True, "nothing has landed yet")


def test_unknown_fields_are_named_without_their_values():
    line = raw_event(
        secret="Jane Doe", device={"type": "phone", "model": "x9"}, payload={"track_id": "t", "bitrate": 320}
    )
    seen, found = unknown_fields([json.dumps(line), json.dumps(raw_event())])
    assert seen == 2
    assert found == {"play: secret (string)": 1, "play: device.model (string)": 1, "play: payload.bitrate (number)": 1}
    assert "Jane" not in str(found)
