from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lakehouse.sources
from lakehouse.sources import SourceError, import_source
from lakehouse.sources.clocks import time_parser
from lakehouse.sources.mapping import MappingError, load_mapping

EXAMPLES = Path(lakehouse.sources.__file__).parent / "examples"
MAPPING = """\
name: mine
event_type: play
timestamp: {column: at, format: iso, zone: Europe/Paris}
fields:
  user_id: who
  payload.track_id: what
  payload.ms_played: {column: secs, scale: 1000}
  device.type: {column: client, values: {iPhone: phone, yes: desktop}, default: unknown}
constants: {context.country: FR}
"""


@pytest.fixture
def mapping(tmp_path):
    def write(text: str = MAPPING) -> str:
        (tmp_path / "map.yaml").write_text(text)
        return str(tmp_path / "map.yaml")

    return write


@pytest.fixture
def table(tmp_path):
    def write(name: str, text: str) -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def load(lake, path, mapping):
    return import_source("generic", path, lake, {"mapping": mapping})


def test_csv(lake, mapping, table, read_events):
    path = table(
        "plays.csv",
        "at,who,what,secs,client\n"
        "2024-07-01T12:00:00,ann,t1,61.5,iPhone\n"
        "2024-07-01T12:00:00Z,bob,t2,,yes\n"
        '2024-07-01T12:05:00+00:00,"bob, jr",t3,10,Toaster\n',
    )
    assert load(lake, path, mapping()).unusable == {}
    ann, bob, junior = sorted(read_events(), key=lambda event: event.user_id)
    assert ann.occurred_at == datetime(2024, 7, 1, 10, tzinfo=UTC)
    assert (ann.payload.ms_played, ann.device.type, ann.context.country) == (61_500, "phone", "FR")
    assert bob.occurred_at == datetime(2024, 7, 1, 12, tzinfo=UTC)
    assert (bob.payload.ms_played, bob.device.type) == (None, "desktop")
    assert (junior.user_id, junior.device.type) == ("bob, jr", "unknown")


def test_bad_rows_are_kept_with_their_reason(lake, mapping, table):
    path = table(
        "plays.csv",
        "at,who,what,secs,client\n"
        "2024-07-01T12:00:00Z,ann,t1,1,x\n"
        "yesterday,ann,t1,1,x\n"
        ",ann,t1,1,x\n"
        "2024-07-01T12:00:00Z,ann,,1,x\n"
        "2024-07-01T12:00:00Z,ann,t1,many,x\n"
        "2024-07-01T12:00:00Z,ann,t1,999999,x\n"
        "2024-07-01T12:00:00Z,ann,t1\n"
        "1999-07-01T12:00:00Z,ann,t1,1,x\n",
    )
    summary = load(lake, path, mapping())
    assert summary.events == 1
    assert summary.examples == {
        "column 'at' is not a time in the format of the mapping": "plays.csv:3",
        "column 'at' has no time": "plays.csv:4",
        "payload.track_id has no value in column what": "plays.csv:5",
        "column 'secs' is no number, so it can't be scaled": "plays.csv:6",
        "breaks the contract: Expected `int` <= 86400000 - at `$.payload.ms_played`": "plays.csv:7",
        "row has more or fewer columns than the first line": "plays.csv:8",
        "time out of range: occurred_at is before 2000": "plays.csv:9",
    }
    rejected = [
        json.loads(line) for line in gzip.decompress((lake / summary.rejected_files[0]).read_bytes()).splitlines()
    ]
    assert rejected[0]["text"] == '{"at": "yesterday", "who": "ann", "what": "t1", "secs": "1", "client": "x"}'


@pytest.mark.parametrize("name", ["plays.json", "plays.jsonl"])
def test_json_with_objects_inside(lake, mapping, table, read_events, name):
    rows = [
        {"at": 1_700_000_000_123, "user": {"id": 5}, "kind": kind, "track": 9} for kind in ("heard", "loved", "bored")
    ]
    text = json.dumps(rows) if name == "plays.json" else "\n".join(map(json.dumps, rows))
    rules = mapping(
        "name: mine\nevent_type: {column: kind, values: {heard: play, loved: like}}\n"
        "timestamp: {column: at, format: epoch_ms}\nfields: {user_id: user.id, payload.track_id: track}\n"
    )
    summary = load(lake, table(name, text), rules)
    assert summary.unusable == {"kind='bored' is not among the mapping's event types": 1}
    events = read_events()
    assert {(type(event).__name__, event.user_id, event.payload.track_id) for event in events} == {
        ("PlayEvent", "5", "9"),
        ("LikeEvent", "5", "9"),
    }
    assert events[0].occurred_at == datetime(2023, 11, 14, 22, 13, 20, 123000, tzinfo=UTC)


def test_parquet_without_a_clock(lake, mapping, tmp_path, read_events):
    pandas = pytest.importorskip("pandas")
    pandas.DataFrame({"u": ["a", "b", "a"], "t": [1, 2, 1]}).to_parquet(tmp_path / "x.parquet")
    rules = mapping(
        "name: mine\nevent_type: play\ntimestamp: {synthetic: {base_day: 2021-03-04, seconds_per_play: 60}}\n"
        "fields: {user_id: u, payload.track_id: t}\ncatalogue: {tracks: {track_id: t}}\n"
    )
    summary = load(lake, tmp_path / "x.parquet", rules)
    assert summary.entities == {"tracks": 2}
    events = sorted(read_events(), key=lambda event: (event.user_id, event.occurred_at))
    assert [event.occurred_at.minute for event in events] == [0, 1, 0]
    assert {event.clock for event in events} == {"synthetic"}
    assert len({event.event_id for event in events}) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("user_id: who", "user: who"), r"line 5: fields.user: unknown key. Did you mean user_id"),
        (("payload.track_id: what", "payload.trackid: what"), r"line 6: fields.payload.trackid.*payload.track_id"),
        (("  payload.track_id: what\n", ""), r"line 4: fields: payload.track_id is missing. Add"),
        (("event_type: play", "event_type: plays"), r"line 2: event_type: is 'plays'. Did you mean play"),
        (("format: iso", "format: is8601"), r"line 3: timestamp.format: is 'is8601'.*strptime"),
        (("Europe/Paris", "Europe/Pari"), r"line 3: timestamp.zone: 'Europe/Pari' is no time zone"),
        (("scale: 1000", "scale: lots"), r"line 7: fields.payload.ms_played.scale: is 'lots'"),
        (("scale: 1000", "scael: 1000"), r"scael: unknown key. Did you mean scale"),
        (("name: mine\n", ""), r"the key 'name' is missing"),
        (("user_id: who", "user_id: who\n  user_id: me"), r"line 6: fields.user_id: the key appears twice"),
        (("context.country: FR", "user_id: x"), r"line 9: constants.user_id: is in fields too"),
        (("user_id: who", "user_id: [who]"), r"line 5: fields.user_id: is \['who'\]. Write a column name"),
        (("{column: secs, scale: 1000}", "{scale: 1000}"), r"line 7.*exactly one of column, constant and hash"),
        (("name: mine", "name: [mine"), r"no valid YAML"),
    ],
)
def test_mistakes_in_the_mapping_name_line_key_and_fix(mapping, change, message):
    assert change[0] in MAPPING
    with pytest.raises(MappingError, match=message):
        load_mapping(Path(mapping(MAPPING.replace(*change))))


def test_missing_columns_are_found_before_any_row(lake, mapping, table):
    path = table("plays.csv", "at,whom,what,secs,client\n")
    with pytest.raises(MappingError, match=r"line 5: fields.user_id: plays.csv has no column 'who'. Did you mean whom"):
        load(lake, path, mapping())
    with pytest.raises(SourceError, match="does not exist"):
        load(lake, path, "nowhere.yaml")


def test_an_import_that_gives_nothing_says_why(lake, mapping, table):
    with pytest.raises(SourceError, match="1 rows are unusable, mostly: column 'at' has no time"):
        load(lake, table("plays.csv", "at,who,what,secs,client\n,ann,t1,1,x\n"), mapping())


def test_event_ids_follow_the_named_columns(lake, mapping, table, read_events):
    text = MAPPING + "event_id: [who, at]\n"
    path = table(
        "plays.csv", "at,who,what,secs,client\n2024-07-01T12:00:00Z,ann,t1,1,x\n2024-07-01T12:00:00Z,ann,t2,1,x\n"
    )
    load(lake, path, mapping(text))
    assert len({event.event_id for event in read_events()}) == 1


def test_real_radio(shared_data, lake, read_events, read_entities):
    path = shared_data("classic_rock_radio") / "classic_rock_raw_data.csv.gz"
    summary = load(lake, path, str(EXAMPLES / "classic_rock_radio.yaml"))
    assert summary.unusable == {"payload.track_id has no value in columns song, artist": 8}
    assert summary.events == 37_673 - 8
    events = read_events()
    assert len({event.event_id for event in events}) == summary.events
    assert len({event.user_id for event in events}) == summary.entities["users"] == 25
    assert {event.payload.track_id for event in events} == {track.track_id for track in read_entities("tracks")}


moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(
    lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000)
)
zones = st.sampled_from(["UTC", "Europe/Paris", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"])


@given(moments, zones)
def test_every_format_reads_back_the_moment(at, zone):
    millis = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert time_parser("epoch_ms")(millis) == at
    assert time_parser("epoch_ms")(str(millis)) == at
    assert time_parser("epoch_s")(millis / 1000) == at
    assert time_parser("epoch_s")(f"{millis // 1000}.{millis % 1000:03}") == at
    local = at.astimezone(ZoneInfo(zone))
    assert time_parser("iso")(local.isoformat()) == at
    assert time_parser("iso", ZoneInfo("Asia/Tokyo"))(at.isoformat()) == at  # its own zone wins
    assert time_parser("%Y/%m/%d %H:%M:%S.%f %z")(local.strftime("%Y/%m/%d %H:%M:%S.%f %z")) == at
    first_pass = local.replace(fold=0, tzinfo=None)
    if first_pass.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC) == at:  # not the second pass of an autumn hour
        assert time_parser("iso", ZoneInfo(zone))(first_pass.isoformat()) == at


@given(st.one_of(st.text(), st.floats(), st.integers(), st.booleans(), st.none(), st.lists(st.integers())))
def test_no_value_breaks_a_clock(value):
    for pattern in ("iso", "epoch_s", "epoch_ms", "%Y-%m-%d"):
        try:
            at = time_parser(pattern)(value)
        except (ValueError, TypeError, OverflowError, AttributeError):
            continue
        assert at.tzinfo is UTC
        assert at.microsecond % 1000 == 0
