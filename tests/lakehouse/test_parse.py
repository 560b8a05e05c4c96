"""Raw bytes to rows: every bad line gives its true reason, and nothing raises."""

from __future__ import annotations

import gzip
import io
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw_zone import DAY, raw_event

from lakehouse import lines as reading
from lakehouse.catalogue import ENTITIES
from lakehouse.lines import read_pieces
from lakehouse.parse import parse, parse_pieces, pseudonymiser
from lakehouse.rows import EVENT_SCHEMA, FAULT_SCHEMA, RawFile

KEY = b"a key"


def parsed(data: bytes, entity: str = "events") -> tuple[list[dict], list[dict]]:
    """-> (good rows, faults)."""
    good, bad = [], []
    for rows, faults in parse(RawFile("raw/f", entity, DAY), io.BytesIO(data), KEY):
        good += rows.to_pylist() if rows is not None else []
        bad += faults.to_pylist() if faults is not None else []
    return good, bad


def line(kind: str = "play", **fields) -> bytes:
    return json.dumps(raw_event(kind, **fields)).encode()


def with_payload(kind: str, **payload) -> bytes:
    return line(kind, payload={"track_id": "t", **payload})


def without(field: str) -> bytes:
    return json.dumps({k: v for k, v in raw_event().items() if k != field}).encode()


BAD_LINES = {
    "cut short": (line()[:-3], "broken JSON: Input data was truncated"),
    "not JSON": (b"hello", "broken JSON: JSON is malformed"),
    "NUL after the line": (line() + b"\x00", "broken JSON: JSON is malformed: trailing characters"),
    "NUL in a text": (line().replace(b"t1", b"t\x001"), "broken JSON: JSON is malformed: invalid character"),
    "lone surrogate": (line(event_id="\udc00"), "broken JSON: JSON is malformed: invalid utf-16 surrogate pair"),
    "high surrogate at the end": (
        line(event_id="\ud800"),
        "broken JSON: JSON is malformed: unexpected end of hex escape",
    ),
    "byte order mark": (b"\xef\xbb\xbf" + line(), "broken JSON: JSON is malformed: invalid character"),
    "NaN": (line(context={"temperature_c": float("nan")}), "broken JSON: JSON is malformed: invalid character"),
    "deep nesting": (line()[:-1] + b', "x": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", "broken JSON: nested too deeply"),
    "UTF-16": (line().decode().encode("utf-16"), "wrong encoding: not UTF-8 at byte 0 of the line"),
    "Latin-1": (line(user_id="MARK").replace(b"MARK", b"Jos\xe9"), "wrong encoding: not UTF-8 at byte"),
    "a list": (b"[]", "breaks the contract: Expected `object`, got `array`"),
    "wrong type": (with_payload("play", ms_played="9"), "Expected `int | null`, got `str` - at `$.payload.ms_played`"),
    "float for an integer": (with_payload("play", ms_played=1.5), "got `float` - at `$.payload.ms_played`"),
    "missing user": (without("user_id"), "Object missing required field `user_id`"),
    "missing payload": (without("payload"), "Object missing required field `payload`"),
    "missing event type": (without("event_type"), "Object missing required field `event_type`"),
    "missing in the payload": (line(payload={}), "missing required field `track_id` - at `$.payload`"),
    "unknown event": (line(event_type="dance"), "Invalid value 'dance' - at `$.event_type`"),
    "event type twice": (line()[:-1] + b', "event_type": "dance"}', "Invalid value 'dance' - at `$.event_type`"),
    "empty id": (line(event_id=""), "Expected `str` of length >= 1 - at `$.event_id`"),
    "newer schema": (line(schema_version=2), "Expected `int` <= 1 - at `$.schema_version`"),
    "huge number": (with_payload("play", ms_played=10**400), "breaks the contract: Expected `int` <= 86400000"),
    "huge float": (
        with_payload("play", ms_played=7).replace(b": 7", b": 1e999"),
        "Number out of range - at `$.payload.ms_played`",
    ),
    "more than a bigint": (
        line("search", payload={"query": "q", "results": 2**63}),
        "Expected `int` <= 9223372036854775807 - at `$.payload.results`",
    ),
    "negative": (with_payload("play", ms_played=-1), "Expected `int` >= 0 - at `$.payload.ms_played`"),
    "no propensity": (
        line("ad_request", payload={"ad_break_id": "b", "policy": "p", "policy_version": "1"}),
        "missing required field `propensity` - at `$.payload`",
    ),
    "no time zone": (line(occurred_at=f"{DAY}T12:00:00"), "Expected `datetime` with a timezone component"),
    "no such time": (line(occurred_at=f"{DAY}T25:00:00Z"), "Invalid RFC3339 encoded datetime - at `$.occurred_at`"),
    "before 2000": (
        line(occurred_at="1999-12-31T23:59:59Z"),
        "time out of range: occurred_at 1999-12-31T23:59:59+00:00",
    ),
    "year 1": (line(occurred_at="0001-01-01T00:00:00+14:00"), "time out of range: occurred_at 0001-01-01"),
    "before it happened": (
        line(received_at="2026-01-04T11:59:59Z"),
        "is more than a day after received_at 2026-01-04T11:59:59+00:00",
    ),
    "after landing": (
        line(occurred_at="2026-01-07T00:00:00Z", received_at="2026-01-07T00:00:01Z"),
        "time out of range: occurred_at 2026-01-07T00:00:00+00:00 is after the landing date 2026-01-05",
    ),
    "year 10000 in UTC": (
        line(received_at="9999-12-31T23:59:59-14:00"),
        "time out of range: received_at 9999-12-31T23:59:59-14:00 is after the landing date",
    ),
}


@pytest.mark.parametrize(("data", "reason"), BAD_LINES.values(), ids=BAD_LINES)
def test_a_bad_line_gives_its_reason_and_its_neighbours_stay_good(data, reason):
    good, bad = parsed(line(event_id="first") + b"\n" + data + b"\n" + line(event_id="last"))
    assert [(row["event_id"], row["line"]) for row in good] == [("first", 1), ("last", 3)]
    assert [row["line"] for row in bad] == [2]
    assert reason in bad[0]["reason"]
    assert (bad[0]["source_file"], bad[0]["entity"], bad[0]["landing_date"]) == ("raw/f", "events", DAY)


def test_a_bad_line_is_kept_readable():
    _, bad = parsed(b"Jos\xe9\x00 {")
    assert bad[0]["raw"] == "Jos\\xe9\\x00 {"


def test_a_time_with_an_offset_is_judged_in_utc():
    # The 7th at UTC+14 is still the 6th in UTC, a day after landing at most.
    good, bad = parsed(line(occurred_at="2026-01-07T09:00:00+14:00", received_at="2026-01-06T19:00:00Z"))
    assert not bad
    assert good[0]["occurred_at"].isoformat() == "2026-01-06T19:00:00+00:00"


def test_what_the_contract_does_not_know_is_allowed_and_kept_in_the_raw_line():
    data = line(event_id="x", shoe_size=43)
    good, bad = parsed(data)
    assert not bad
    assert good[0]["raw"].encode() == data


def test_of_a_repeated_key_the_last_value_counts():
    good, _ = parsed(line(event_id="one")[:-1] + b', "event_id": "two"}')
    assert [row["event_id"] for row in good] == ["two"]


@pytest.mark.parametrize(
    ("data", "entity", "reason"),
    [
        (b'{"track_id": 5}', "tracks", "Expected `str`, got `int` - at `$.track_id`"),
        (b'{"track_id": "t", "x": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", "tracks", "broken JSON: nested too deeply"),
        (b'{"track_id": "t", "acoustic": {"energy": 2}}', "tracks", "Expected `float` <= 1.0 - at `$.acoustic.energy`"),
        (b'{"name": "x"}', "artists", "missing required field `artist_id`"),
        (b'{"user_id": "u", "birth_year": 1066}', "users", "Expected `int` >= 1900 - at `$.birth_year`"),
        (
            b'{"user_id": "u", "signed_up_at": "9999-12-31T23:59:59-14:00"}',
            "users",
            "time out of range: signed_up_at 9999",
        ),
        (b'{"user_id": "\\udc00"}', "users", "invalid utf-16 surrogate pair"),
        (b'{"user_id": "\xff"}', "users", "wrong encoding: not UTF-8 at byte 13"),
    ],
)
def test_bad_catalogue_lines(data, entity, reason):
    good, bad = parsed(data, entity)
    assert not good
    assert reason in bad[0]["reason"]
    assert bad[0]["entity"] == entity


def test_catalogue_rows_keep_the_line_and_only_users_get_a_pseudonym():
    tracks, _ = parsed(b'{"track_id": "t"}\n', "tracks")
    users, _ = parsed(b'{"user_id": "u"}\n', "users")
    assert (tracks[0]["entity_id"], tracks[0]["user_key"], tracks[0]["raw"]) == ("t", None, '{"track_id": "t"}')
    assert users[0]["user_key"] == pseudonymiser(KEY)("u")


# ---------------------------------------------------------------------- files
THREE = b"\n".join(line(event_id=f"e{n}") for n in range(3)) + b"\n"


def test_plain_and_gzipped_files_give_the_same():
    assert parsed(THREE) == parsed(gzip.compress(THREE))
    assert [row["event_id"] for row in parsed(THREE)[0]] == ["e0", "e1", "e2"]


def test_windows_line_ends_and_blank_lines_are_no_faults_and_lines_keep_their_numbers():
    data = b"\r\n" + line(event_id="a") + b"\r\n\r\n   \n" + line(event_id="b")
    good, bad = parsed(data)
    assert not bad
    assert [(row["event_id"], row["line"]) for row in good] == [("a", 2), ("b", 5)]


def test_a_gzip_file_of_several_members_is_read_to_its_end():
    data = gzip.compress(THREE) + gzip.compress(b"") + gzip.compress(line(event_id="e3"))
    good, bad = parsed(data)
    assert not bad
    assert [row["event_id"] for row in good] == ["e0", "e1", "e2", "e3"]


def test_zeros_after_a_gzip_file_are_padding():
    good, bad = parsed(gzip.compress(THREE) + b"\0" * 512)
    assert (len(good), bad) == (3, [])


@pytest.mark.parametrize("chunk", [2, 7, 64])
def test_lines_and_members_may_cross_the_pieces_that_are_read(monkeypatch, chunk):
    monkeypatch.setattr(reading, "_CHUNK", chunk)
    expected = parsed(THREE)
    assert parsed(gzip.compress(THREE[:300]) + gzip.compress(THREE[300:]) + b"\0" * 9) == expected
    assert len(expected[0]) == 3


def test_a_truncated_gzip_delivers_what_arrived():
    whole = gzip.compress(b"\n".join(line(event_id=f"e{n}") for n in range(2000)))
    good, bad = parsed(whole[: len(whole) * 2 // 3])
    assert 0 < len(good) < 2000
    assert [row["reason"] for row in bad] == ["truncated gzip: the file ends in the middle of its data"]
    assert bad[0]["line"] == len(good) + 1


def test_a_corrupt_gzip_says_so():
    whole = bytearray(gzip.compress(THREE))
    whole[-6] ^= 0xFF  # in the checksum: all lines came through
    good, bad = parsed(bytes(whole))
    assert len(good) <= 3
    assert [row["reason"].split(":")[0] for row in bad] == ["corrupt gzip"]


def test_a_wrong_header_and_garbage_after_the_end_are_corrupt():
    assert "corrupt gzip" in parsed(b"\x1f\x8b" + b"x" * 100)[1][0]["reason"]
    good, bad = parsed(gzip.compress(THREE) + b"garbage")
    assert len(good) == 3
    assert "corrupt gzip" in bad[0]["reason"]


@pytest.mark.parametrize("data", [b"", gzip.compress(b"")], ids=["empty file", "gzip of nothing"])
def test_an_empty_file_is_one_fault(data):
    assert [(row["line"], row["reason"]) for row in parsed(data)[1]] == [(0, "empty file")]
    assert not parsed(data)[0]


def test_a_file_of_blank_lines_is_not_empty():
    assert parsed(b"\n\n") == ([], [])


def test_rows_come_in_batches(monkeypatch):
    monkeypatch.setattr(reading, "BATCH_LINES", 2)
    batches = list(parse(RawFile("raw/f", "events", DAY), io.BytesIO(THREE + b"bad\n"), KEY))
    counts = [(g.num_rows if g else 0, b.num_rows if b else 0) for g, b in batches]
    assert counts == [(2, 0), (1, 1)]
    assert batches[0][0].schema == EVENT_SCHEMA
    assert batches[1][1].schema == FAULT_SCHEMA


def test_files_share_a_batch_and_each_keeps_its_own_numbers():
    files = {
        "a": b"\n" + THREE,
        "b": b"",
        "c": THREE[:-1],
        "d": b" \r\nbad\n\n" + line(),
        "e": gzip.compress(THREE)[:-3],
    }
    pieces = [piece for path, data in files.items() for piece in read_pieces(io.BytesIO(data), path)]
    [(good, bad)] = parse_pieces(RawFile("", "events", DAY), pieces, KEY)
    places = [(row["source_file"], row["line"]) for row in good.to_pylist()]
    assert places == [
        *(("a", n) for n in (2, 3, 4)),
        *(("c", n) for n in (1, 2, 3)),
        ("d", 4),
        *(("e", n) for n in (1, 2, 3)),
    ]
    faults = [(row["source_file"], row["line"], row["reason"].split(":")[0]) for row in bad.to_pylist()]
    assert faults == [("b", 0, "empty file"), ("d", 2, "broken JSON"), ("e", 4, "truncated gzip")]


def test_pseudonyms_hold_still_for_a_key_and_differ_by_key():
    one, same, other = pseudonymiser(b"k1"), pseudonymiser(b"k1"), pseudonymiser(b"k2")
    assert one("u") == same("u") != other("u")
    assert len({one("u"), one("v"), one("U")}) == 3
    assert len(one("u")) == 32 and "u1" not in one("u1")


# ---------------------------------------------------------------------- any bytes at all
def non_blank(data: bytes) -> int:
    return sum(1 for part in data.split(b"\n") if part.strip())


LINES = st.lists(
    st.one_of(
        st.sampled_from(
            [line(), line("skip"), b"", b" \r", *(data for data, _ in BAD_LINES.values() if len(data) < 999)]
        ),
        st.binary(max_size=40).map(lambda data: data.replace(b"\n", b"")),
    ),
    max_size=8,
)


@given(LINES, st.booleans())
def test_every_line_that_is_not_blank_gives_one_row(lines, compress):
    data = b"\n".join(lines)
    if data[:2] == b"\x1f\x8b" or not data:
        return
    good, bad = parsed(gzip.compress(data) if compress else data)
    assert len(good) + len(bad) == non_blank(data)
    assert len({row["line"] for row in good + bad}) == len(good) + len(bad)


@given(st.binary(max_size=300), st.sampled_from(["events", *ENTITIES]))
def test_no_bytes_raise(data, entity):
    parsed(data, entity)


@given(st.binary(max_size=200), st.integers(0, 3))
def test_no_gzip_raises(data, damage):
    packed = bytearray(gzip.compress(data))
    for _ in range(damage):
        packed[zlib.crc32(bytes(packed)) % len(packed)] ^= 0x55
    good, bad = parsed(bytes(packed))
    assert all(row["reason"] for row in bad)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


@given(
    st.sampled_from(["play", "skip", "search", "ad_request"]),
    st.dictionaries(
        st.sampled_from(
            ["event_id", "user_id", "occurred_at", "session_id", "device", "context", "schema_version", "clock"]
        ),
        JSON,
    ),
    JSON,
    JSON,
)
def test_no_json_value_in_any_field_raises(kind, envelope, one, other):
    names = {
        "play": ("track_id", "ms_played"),
        "search": ("query", "results"),
        "skip": ("play_event_id", "position_ms"),
    }
    first, second = names.get(kind, ("policy", "propensity"))
    payload = {**raw_event(kind)["payload"], first: one, second: other}
    good, bad = parsed(json.dumps({**raw_event(kind, payload=payload), **envelope}).encode())
    assert len(good) + len(bad) == 1


def test_a_line_without_end_is_one_fault_and_its_neighbours_stay_good(monkeypatch):
    monkeypatch.setattr(reading, "LONGEST_LINE", 3000)
    monkeypatch.setattr(reading, "_CHUNK", 1000)
    data = b"\n".join([line(event_id="a"), b"x" * 50_000, line(event_id="b"), b"y" * 9_000])
    good, bad = parsed(data)
    assert [(row["event_id"], row["line"]) for row in good] == [("a", 1), ("b", 3)]
    assert [(row["line"], row["reason"], len(row["raw"])) for row in bad] == [
        (2, "line longer than 0 MiB", 1000),
        (4, "line longer than 0 MiB", 1000),
    ]
