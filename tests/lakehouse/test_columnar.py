"""What the column kernels call surely good, ``decode_event`` calls good too, and both give the same row."""

from __future__ import annotations

import json
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_zone import DAY, raw_event

from lakehouse import columnar
from lakehouse.columnar import surely_good
from lakehouse.events import EVENTS, ContractError, decode_event
from lakehouse.lines import Line, Lines
from lakehouse.parse import pseudonymiser
from lakehouse.rows import RawFile, event_batch, event_columns_batch

FILE = RawFile("raw/events/a", "events", DAY)
CHOICE = {"propensity": 0.5, "policy": "p", "policy_version": "1"}
PAYLOADS = {
    "play": {"track_id": "t", "ms_played": 1, "duration_ms": 2, "reason_start": "clickrow", "reason_end": "fwdbtn"},
    "skip": {"track_id": "t", "play_event_id": "e", "position_ms": 5},
    "search": {"query": "blå 蓝", "results": 3},
    "playlist_add": {"track_id": "t", "playlist_id": "p"},
    "playlist_remove": {"track_id": "t", "playlist_id": "p"},
    "session_start": {},
    "session_end": {},
    "ad_request": {"ad_break_id": "b", "placement": "start", **CHOICE},
    "recommendation_shown": {
        "track_ids": ["a", "b"],
        "surface": "home",
        "request_id": "r",
        "propensities": [1.0, 0.25],
        **CHOICE,
    },  # fmt: skip
    "subscription_change": {"from_plan": "free", "to_plan": "family"},
    **{kind: {"track_id": "t"} for kind in ("like", "unlike")},
    **{kind: {"ad_id": "a", "position_ms": 1, **CHOICE} for kind in ("ad_impression", "ad_complete")},
    **{kind: {"ad_id": "a", "campaign_id": "c", **CHOICE} for kind in ("ad_skip", "ad_click")},
}
CONTEXT = {"utc_offset_min": 60, "country": "SE", "activity": "run", "temperature_c": -3.5, "weather": "snow"}
DEVICE = {"type": "phone", "os": "ios", "app_version": "9"}


def good_line(kind: str, **fields) -> dict:
    base = raw_event(kind, payload=dict(PAYLOADS[kind]), device=dict(DEVICE), context=dict(CONTEXT), session_id="s")
    return {**base, **fields}


def encode(event: dict) -> bytes:
    return json.dumps(event, ensure_ascii=False).encode()


def assert_same(lines: list[bytes], landing: date | None = DAY) -> list[int]:
    """The law, whatever the reader has seen before; -> places that the kernels are sure of."""
    columnar._seen.clear()
    first = _assert_same(lines, landing)
    assert _assert_same(lines, landing) == first
    return first


def _assert_same(lines: list[bytes], landing: date | None) -> list[int]:
    block = Lines.of([Line(number, data) for number, data in enumerate(lines)], FILE.path)
    places, table = surely_good(block, landing)
    if table is None:
        return []
    pseudonym = pseudonymiser(b"k")
    sure = [Line(int(i), lines[i]) for i in places]
    expected = event_batch(FILE, [(line, decode_event(line.data, landing)) for line in sure], pseudonym)
    assert event_columns_batch(FILE, block, places, table, pseudonym).to_pylist() == expected.to_pylist()
    return places.tolist()


def test_good_lines_of_every_type_are_surely_good():
    assert set(PAYLOADS) == set(EVENTS)
    bare = [raw_event(kind, payload=PAYLOADS[kind]) for kind in EVENTS]
    lines = [encode(event) for event in [*map(good_line, EVENTS), *bare]]
    assert assert_same(lines) == list(range(len(lines)))


def test_good_lines_are_found_among_broken_ones():
    good = encode(good_line("play"))
    broken = [b"", b"{", b"{}", good[:-9], good + good, b"[" * 9999, b"null", b" " + good, good.replace(b"SE", b"\\n")]
    lines = [one for other in broken for one in [good] * 20 + [other]]
    sure = assert_same(lines)
    assert {lines[i] for i in sure} == {good}
    assert len(sure) >= 100  # the last lines of the halves with a broken line may be left


def test_nothing_is_sure_of_a_line_that_is_too_long(monkeypatch):
    monkeypatch.setattr(columnar, "LONGEST", 100)
    assert assert_same([encode(good_line("play"))]) == []


def test_fields_that_come_later_are_found():
    columnar._seen.clear()
    for kind in [*EVENTS, *EVENTS]:
        assert _assert_same([encode(good_line(kind)), encode(good_line("session_start"))], DAY) == [0, 1]


@pytest.mark.parametrize("value", [b"NaN", b"Inf", b"-Inf", b"Infinity"])
@pytest.mark.parametrize("form", [b', "x": %b}', b', "x":%b}', b', "x": [1,%b]}', b', "xy": {"y":\t%b }}'])
def test_numbers_that_json_has_not_are_found_in_fields_of_no_meaning(value, form):
    good = encode(good_line("play"))
    assert assert_same([good, good[:-1] + form % value, good]) == [0, 2]


def test_texts_with_their_letters_are_no_such_numbers():
    lines = [encode(good_line("search", payload={"query": text})) for text in ("NaN", "Inf", "null", "x:NaNa", "é")]
    assert assert_same(lines)[:3] == [0, 1, 2]


@pytest.mark.parametrize("part", ["clock", "device", "context"])
def test_a_null_is_not_taken_for_an_absent_field(part):
    lines = [encode(good_line("play")), encode(good_line("play", **{part: None})), encode(good_line("skip"))]
    assert 1 not in assert_same(lines)
    assert 1 not in assert_same([lines[0], encode(good_line("play", device={"type": None})), lines[2]])


@settings(deadline=None)
@given(
    st.text("0123456789-+:.TZ tz", min_size=10, max_size=29)
    | st.builds(
        lambda text, place, letter: text[:place] + letter + text[place + 1 :],
        st.sampled_from(["2026-01-05T10:00:00Z", "2026-01-05T10:00:00.123456Z", "2026-01-05T10:00:00+02Z"]),
        st.integers(0, 26),
        st.sampled_from("0123456789-+:.TZ tz"),
    )
)
def test_the_form_of_a_time(text):
    assert_same([encode(good_line("play", occurred_at=text)), encode(good_line("play"))])


TIMES = [
    *("2026-01-05T10:00:00Z", "2026-01-05T10:00:00.5Z", "2026-01-05T10:00:00+02:00", "2026-01-05T10:00:00.1234567Z"),
    *(
        "2026-01-05 10:00:00Z",
        "2026-01-05T10:00Z",
        "2026-02-31T00:00:00Z",
        "2026-01-05T24:00:00Z",
        "2026-01-05T10:00:60Z",
    ),
    *("1999-01-05T10:00:00Z", "2026-01-07T10:00:00Z", "0000-01-05T10:00:00Z", "9999-12-31T23:59:59.999999Z"),
]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([0, 1, -1, 1439, 841, -840, 86_400_000, 86_400_001, 0.0, 1.0, 1e-300, 60.5, -90, 2**63, 1.5]),
    st.floats(allow_nan=True),
    st.sampled_from(["", "SE", "se", "SWE", "event", "synthetic", "phone", "play", "x" * 256, "x" * 257, "é" * 256]),
    st.sampled_from(TIMES),
    st.text(max_size=5),
    st.lists(st.one_of(st.text(max_size=3), st.none(), st.integers()), max_size=3),
    st.builds(dict),
    st.builds(dict, type=st.none()),
    st.dictionaries(st.sampled_from(["track_id", "results", "type"]), st.one_of(st.text(), st.integers()), max_size=3),
)
NAMES = sorted({*raw_event(), "session_id", "device", "context", "clock", *CONTEXT, *DEVICE}) + sorted(
    {name for payload in PAYLOADS.values() for name in payload}
)


@st.composite
def changed(draw) -> bytes:
    """A good line with values put in, taken out, doubled, or its bytes disturbed."""
    event = good_line(draw(st.sampled_from(sorted(EVENTS))))
    for _ in range(draw(st.integers(0, 3))):
        part = draw(st.sampled_from([event, event.get("payload"), event.get("context"), event.get("device")]))
        name = draw(st.sampled_from(NAMES))
        if not isinstance(part, dict):
            continue
        if draw(st.booleans()):
            part[name] = draw(VALUES)
        else:
            part.pop(name, None)
    line = json.dumps(event, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    disturbance = draw(st.sampled_from(["none", "none", "cut", "byte", "double", "spaces", "insert"]))
    place = draw(st.integers(0, len(line) - 1))
    if disturbance == "cut":
        return line[:place]
    if disturbance == "byte":
        return line[:place] + bytes([draw(st.integers(0, 255))]) + line[place + 1 :]
    if disturbance == "insert":
        return line[:place] + draw(st.binary(max_size=4)) + line[place:]
    if disturbance == "double":
        again = json.dumps({draw(st.sampled_from(NAMES)): draw(VALUES)}).encode()
        return line[:-1] + b", " + again[1:]
    if disturbance == "spaces":
        return line.replace(b": ", draw(st.sampled_from([b":", b" :\t", b":\r", b": \n"])))
    return line


@settings(max_examples=400, deadline=None)
@given(st.lists(changed(), min_size=1, max_size=4), st.sampled_from([DAY, None]))
def test_the_law(lines, landing):
    good = encode(good_line("play"))
    sure = assert_same([*lines, good], landing)
    for i in sure:
        try:
            decode_event([*lines, good][i], landing)
        except ContractError as error:
            pytest.fail(f"called good, but {error}")
