"""A thousand disturbed lines: each is in quarantine with a reason or rightly accepted, and nothing breaks."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

from raw_zone import DAY, raw_event

from lakehouse import arrow
from lakehouse.events import EVENTS, ContractError, decode_event
from lakehouse.ingest import ingest
from lakehouse.tables.bronze import EVENTS as BRONZE
from lakehouse.tables.bronze import QUARANTINE

LINES = 1000
CHOICE = {"propensity": 0.5, "policy": "p", "policy_version": "1"}
PAYLOADS = {
    "ad_request": {"ad_break_id": "b", **CHOICE},
    "recommendation_shown": {"track_ids": ["a", "b"], **CHOICE},
    "subscription_change": {"from_plan": "free", "to_plan": "family"},
    **{f"ad_{what}": {"ad_id": "a", **CHOICE} for what in ("impression", "complete", "skip", "click")},
}


def good_line(chance: random.Random) -> bytes:
    kind = chance.choice(sorted(EVENTS))
    fields = {"payload": PAYLOADS[kind]} if kind in PAYLOADS else {}
    context = {"country": "SE", "temperature_c": 3.5, "utc_offset_min": 60}
    event = raw_event(kind, event_id=f"e{chance.randrange(10**12)}", context=context, **fields)
    return json.dumps(event).encode()


def _changed(line: bytes, chance: random.Random, value: object) -> bytes:
    event = json.loads(line)
    part = chance.choice([event, event["payload"], event["context"]])
    name = chance.choice(sorted(part) or ["track_id"])
    part[name] = value
    return json.dumps(event).encode()


def cut(line: bytes, chance: random.Random) -> bytes:
    return line[: chance.randrange(1, len(line))]


def doubled_key(line: bytes, chance: random.Random) -> bytes:
    event = json.loads(line)
    name = chance.choice(sorted(event))
    value = chance.choice([event[name], None, 1, "x"])
    return line[:-1] + b", " + json.dumps({name: value}).encode()[1:]


def wrong_type(line: bytes, chance: random.Random) -> bytes:
    return _changed(line, chance, chance.choice([None, True, [], {}, 1.5, "", "1", [None], -1]))


def not_a_number(line: bytes, chance: random.Random) -> bytes:
    return _changed(line, chance, chance.choice([float("nan"), float("inf"), -float("inf")]))


def huge_number(line: bytes, chance: random.Random) -> bytes:
    return _changed(line, chance, chance.choice([2**63, -(2**63) - 1, 10**400, 1e308]))


def control_bytes(line: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(line))
    return line[:place] + bytes(chance.choice([0, 1, 8, 11, 27, 31, 127, 128, 255]) for _ in range(3)) + line[place:]


def deep_nesting(line: bytes, chance: random.Random) -> bytes:
    depth = chance.choice([100, 5_000, 50_000])
    return line[:-1] + b', "x": ' + b"[" * depth + b"]" * depth + b"}"


def long_line(line: bytes, chance: random.Random) -> bytes:
    return _changed(line, chance, "x" * chance.choice([300, 2_000, 100_000]))


MUTATIONS: tuple[Callable, ...] = (
    *(cut, doubled_key, wrong_type, not_a_number, huge_number, control_bytes, deep_nesting, long_line),
)


def test_disturbed_lines(lake, raw, seed, report):
    chance = random.Random(seed)
    kinds, lines = [], []
    for _ in range(LINES):
        mutation = chance.choice(MUTATIONS)
        kinds.append(mutation.__name__)
        lines.append(mutation(good_line(chance), chance).replace(b"\n", b" "))
    ten_megabytes = json.dumps(raw_event(event_id="big", user_id="x" * (10 << 20))).encode()
    path = raw.events([*lines, ten_megabytes, good_line(chance)])

    result = ingest(lake, (DAY, DAY + timedelta(1)))
    good = arrow.read(lake.settings, BRONZE, ["line", "raw", "event_id"]).to_pylist()
    bad = arrow.read(lake.settings, QUARANTINE, ["line", "reason", "source_file"]).to_pylist()
    assert (result.good["events"], result.bad) == (len(good), len(bad))
    assert sorted(row["line"] for row in good + bad) == list(range(1, LINES + 3))
    assert {row["source_file"] for row in bad} == {path} and all(row["reason"] for row in bad)
    for row in good:
        assert decode_event(row["raw"].encode(), DAY).event_id == row["event_id"]
    for row in bad[:-1]:
        if row["line"] <= LINES:
            try:
                decode_event(lines[row["line"] - 1].decode("utf-8", "strict"), DAY)
            except (ContractError, UnicodeDecodeError):
                continue
            raise AssertionError(f"a good line is in quarantine: {row}")
    assert {row["line"] for row in bad} >= {LINES + 1}
    accepted = Counter(kinds[row["line"] - 1] for row in good if row["line"] <= LINES)
    shown = ", ".join(f"{kind} {accepted[kind]} of {count}" for kind, count in sorted(Counter(kinds).items()))
    report(f"{LINES} disturbed lines, seed {seed}: {len(bad)} in quarantine with a reason; rightly accepted: {shown}")
