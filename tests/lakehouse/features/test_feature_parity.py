"""Training, batch and stream give the same values for every declared feature, whatever happens to the events."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import numpy as np
import pytest
from feature_law import differences, expected, fact_table, leaks, questions, values_of
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lakehouse.features import stream
from lakehouse.features.declare import DAY, HOUR, MINUTE, Feature, FeatureView, Total
from lakehouse.features.evaluate import evaluate
from lakehouse.features.views import VIEWS

START = 1_767_225_600_000  # 2026-01-01T00:00Z
TEXTS = {
    "user_key": ["u1", "u2"],
    "track_id": ["t1", "t2", "t3"],
    "artist_id": ["a1", "a2", None],
    "genre": ["pop", "jazz", None],
    "country": ["DE", None],
    "activity": ["work", None],
    "device_type": ["car", "phone"],
    "hour_of_week": ["0", None],
    "local_hour": ["0", "23"],
}
# grids that make ties, window edges and open sessions likely
OCCURRED = st.builds(
    lambda days, hours, minutes, ms: START + days * DAY + hours * HOUR + minutes * MINUTE + ms,
    st.sampled_from([0, 1, 6, 7, 29, 30, 31, 60, 61]),
    st.sampled_from([0, 0, 1, 23]),
    st.sampled_from([0, 0, 3, 20, 31]),
    st.sampled_from([0, 0, 0, 1]),
)
DELAY = st.sampled_from([-5, 0, 0, 1, 180_000, HOUR, DAY, 7 * DAY, 31 * DAY])
PHASES = (Phase.explicit, Phase.generate)
SMALL = st.sampled_from([0, 0, 1])


@st.composite
def facts(draw, view: FeatureView):
    """Events with late, repeated, corrected and moved ones among them, in any order."""
    result = []
    measures = [c for c in view.columns if c not in TEXTS]
    for number in range(draw(st.integers(1, 7))):
        occurred = draw(OCCURRED)
        fact = {"event_number": number, "occurred_ms": occurred, "known_ms": occurred + draw(DELAY)}
        fact |= {name: draw(st.sampled_from(TEXTS[name])) for name in {*view.keys, *view.columns} if name in TEXTS}
        fact |= {name: draw(SMALL) for name in measures}
        if "plays" in measures:
            fact["plays"] = draw(st.sampled_from([0, 1, 1, 1]))
        for name in measures:
            if name.startswith("acoustic_") or name == "completion":
                fact[name] = draw(st.sampled_from([0, 2**20, 123_457]))
        if "ms_played" in measures:
            fact["ms_played"] = draw(st.sampled_from([0, 180_000, 29 * MINUTE]))
        result.append(fact)
        again = draw(st.sampled_from(["no", "no", "repeated", "re-sent", "corrected", "moved"]))
        if again == "repeated":
            result.append(dict(fact))
        elif again != "no":
            later = {**fact, "known_ms": max(fact["known_ms"], occurred) + draw(st.sampled_from([1, HOUR, 2 * DAY]))}
            if again == "corrected":
                later |= {name: draw(SMALL) for name in measures}
            if again == "moved":
                later["occurred_ms"] = draw(OCCURRED)
                later["known_ms"] = max(later["known_ms"], later["occurred_ms"])
            result.append(later)
    return draw(st.permutations(result))


def keys_of(view: FeatureView, events: list[dict]) -> list[tuple]:
    found = dict.fromkeys(tuple(f[k] for k in view.keys) for f in events)
    return [key for key in found if None not in key]


def times_of(events: list[dict]) -> list[int]:
    """Moments where something changes, and those just after and on the edges of windows."""
    moments = {t for f in events for t in (f["occurred_ms"], f["known_ms"])}
    near = {t + d for t in moments for d in (0, 1, MINUTE, 30 * MINUTE, DAY, DAY + 1, 7 * DAY, 30 * DAY)}
    return sorted(near)


def table_values(table) -> dict:
    return {name: table[name].to_pylist() for name in table.column_names}


@pytest.mark.parametrize("view", VIEWS, ids=lambda v: v.name)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, phases=PHASES)
@given(data=st.data())
def test_training_batch_and_stream_agree_with_the_law(view, data):
    events = data.draw(facts(view))
    keys = keys_of(view, events)
    times = data.draw(st.lists(st.sampled_from(times_of(events)), min_size=1, max_size=6, unique=True))
    asked = [(key, time) for key in keys for time in times] + [(("nobody",) * len(view.keys), times[0])]
    table = fact_table([view], events)
    training = evaluate(view, table, questions(view, asked))
    wanted = [expected(view, events, key, time) for key, time in asked]
    for row, want in enumerate(wanted):
        assert differences(view, training, row, want) == [], (asked[row], events)

    # batch: all entities at one time; stream: the events as they come, in pieces, some of them twice
    last = max(times)
    batch = evaluate(view, table, questions(view, [(key, last) for key in keys]))
    states = feed(view, events, last, data.draw(st.integers(0, 2**16)))
    streamed = table_values(stream.values(view, {key: states.get(key) for key in keys}, at(last)))
    for row, key in enumerate(keys):
        want = wanted[asked.index((key, last))]
        assert differences(view, batch, row, want) == []
        assert differences(view, streamed, row, want) == []


def at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000)


def feed(view: FeatureView, events: list[dict], until: int, seed: int) -> dict:
    """States after the events arrived by ``until``, in random order and pieces, some of them twice."""
    rng = random.Random(seed)
    arrived = [f for f in events if max(f["known_ms"], f["occurred_ms"]) < until]
    arrived += [f for f in arrived if rng.random() < 0.3]
    rng.shuffle(arrived)
    states: dict = {}
    while arrived:
        size = rng.randint(1, 4)
        piece, arrived = arrived[:size], arrived[size:]
        keys = keys_of(view, piece)
        # the clock of the stream may be anywhere before the last moment, but not before what it has seen
        result = stream.update(view, {k: states.get(k) for k in keys}, fact_table([view], piece), at(until))
        states |= result.states
    return states


@pytest.mark.parametrize("view", VIEWS, ids=lambda v: v.name)
def test_defaults_are_the_values_of_nobody(view):
    table = fact_table([view], [])
    values = evaluate(view, table, questions(view, [(("nobody",) * len(view.keys), START)]))
    for feature in view.features:
        value = values[feature.name][0]
        assert (value.tolist() if isinstance(value, np.ndarray) else value) == feature.empty


def future_of(seed: int):
    """Other events than those that came: shuffled values, new ones, far away and near."""

    def make(rest: list[dict], time: int) -> list[dict]:
        rng = random.Random(seed)
        planted = [dict(rng.choice(rest)) if rest else {} for _ in range(3)]
        for number, fact in enumerate(planted):
            late = rng.random() < 0.5  # happened before, not known yet
            occurred = time - rng.choice([1, HOUR, 5 * DAY]) if late else time + rng.choice([0, 1, DAY, 400 * DAY])
            fact |= {"event_number": 100 + number, "occurred_ms": occurred, "known_ms": max(occurred, time)}
        return [f for f in planted if len(f) > 3]

    return make


@pytest.mark.parametrize("view", VIEWS, ids=lambda v: v.name)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, phases=PHASES)
@given(data=st.data())
def test_the_future_changes_nothing(view, data):
    events = data.draw(facts(view))
    times = data.draw(st.lists(st.sampled_from(times_of(events)), min_size=1, max_size=3, unique=True))
    asked = [(key, time) for key in keys_of(view, events) for time in times]
    assert leaks(values_of(view), view, events, asked, future_of(data.draw(st.integers(0, 99)))) == []


def test_a_definition_that_looks_ahead_is_caught():
    """Two ways to leak: the time of the event for that of its arrival, and a figure of the whole table."""
    plays = Feature("plays_7d", "plays", (Total("plays", 7 * DAY),), lambda x: x, "int64")
    view = FeatureView("probe", "a view to break", ("user_key",), (plays,), ("silver.listens",), VIEWS[0].ttl)
    fact = {"user_key": "u1", "plays": 1}
    events = [
        {**fact, "event_number": n, "occurred_ms": START + n * HOUR, "known_ms": START + n * DAY} for n in range(5)
    ]
    asked = [(("u1",), START + 2 * DAY)]
    honest = values_of(view)
    assert leaks(honest, view, events, asked, future_of(1)) == []

    def by_occurrence(facts, asked):
        return honest([{**f, "known_ms": f["occurred_ms"]} for f in facts], asked)

    def rank_among_all(facts, asked):
        return {"plays_7d": honest(facts, asked)["plays_7d"] + len(facts)}

    assert leaks(by_occurrence, view, events, asked, future_of(1))
    assert leaks(rank_among_all, view, events, asked, future_of(1))
