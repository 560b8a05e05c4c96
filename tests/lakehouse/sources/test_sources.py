"""The registry, and the sequences, Last.fm-1K and eventsim sources."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from datetime import UTC, date, datetime

import pytest

from lakehouse.sources import SOURCES, SourceError, get_source, import_source, source_options


def event_line(page, ts, item, **more):
    row = {"page": page, "ts": ts, "itemInSession": item, "userId": "7", "sessionId": 1, "level": "free"}
    return json.dumps({**row, "artist": None, "song": None, "length": None, **more})


def test_every_source_describes_itself():
    for name in SOURCES:
        source = get_source(name)
        assert source.name == name
        assert source.description
    assert list(source_options(get_source("lastfm1k"))) == ["profile_year"]


def test_unknown_names_and_options_are_explained(tmp_path, lake):
    with pytest.raises(SourceError, match="did you mean lastfm1k"):
        get_source("lastfm")
    with pytest.raises(SourceError, match="no option 'base_dya'.*base_day"):
        import_source("sequences", tmp_path, lake, {"base_dya": "2020-01-01"})
    with pytest.raises(SourceError, match="needs the option 'mapping'"):
        import_source("generic", tmp_path, lake)
    with pytest.raises(SourceError, match="does not exist"):
        import_source("sequences", tmp_path / "nowhere", lake)
    with pytest.raises(SourceError, match="neither sequences.lst"):
        import_source("sequences", tmp_path, lake)
    with pytest.raises(SourceError, match="as_of='soon'"):
        import_source("sequences", tmp_path, lake, {"as_of": "soon"})


def test_sequences_keep_order_ids_and_bad_lines(tmp_path, lake, read_events, read_entities):
    (tmp_path / "sequences.lst").write_text("007,a:b:a\nno comma here\n8,x::y\n007,z\n")
    (tmp_path / "track_artist_album.csv").write_text("track_id,artist_id,album_id\na,A,\nb,A,9\n,B,1\n")
    said = []
    summary = import_source("sequences", tmp_path, lake, {"as_of": "2021-05-05"}, said.append)
    assert summary.events == 5
    assert summary.unusable == {
        "catalogue row without a track_id": 1,
        "line is not 'user,track:track:...'": 1,
        "empty track id in the sequence": 1,
        "user has a second line, so the order of their plays is not known": 1,
    }
    events = sorted(read_events(), key=lambda event: (event.user_id, event.occurred_at))
    assert [(event.user_id, event.payload.track_id) for event in events] == [
        ("007", "a"), ("007", "b"), ("007", "a"), ("8", "x"), ("8", "y"),
    ]  # fmt: skip
    assert events[1].occurred_at == datetime(2020, 1, 1, 0, 4, tzinfo=UTC)
    assert events[4].occurred_at == datetime(2020, 1, 1, 0, 8, tzinfo=UTC)  # the empty one keeps its place
    assert {event.clock for event in events} == {"synthetic"}
    assert len({event.event_id for event in events}) == 5
    assert [(track.track_id, track.artist_id, track.album_id) for track in read_entities("tracks")] == [
        ("a", "A", None),
        ("b", "A", "9"),
    ]
    assert [path.parent.name for path in lake.glob("raw/tracks/*/*")] == ["date=2021-05-05"]
    assert said[-1].startswith("  rejected rows are kept in raw/_rejected/")


def test_sequences_from_parquet(tmp_path, lake, read_events, read_entities):
    pandas = pytest.importorskip("pandas")
    plays = pandas.DataFrame({"user_id": [3, 3, 4], "position": [1, 0, 0], "track_id": [10, 11, 10]})
    plays.to_parquet(tmp_path / "train.parquet")
    pandas.DataFrame({"track_id": [10, 11], "artist_id": [1, 1], "album_id": [None, 5]}).to_parquet(
        tmp_path / "catalogue.parquet"
    )
    summary = import_source("sequences", tmp_path, lake)
    assert summary.events == 3
    order = sorted((event.user_id, event.occurred_at.minute, event.payload.track_id) for event in read_events())
    assert order == [("3", 0, "11"), ("3", 4, "10"), ("4", 0, "10")]
    assert [artist.artist_id for artist in read_entities("artists")] == ["1"]
    (tmp_path / "bad.parquet").write_bytes(b"not parquet")
    with pytest.raises(SourceError, match="no Parquet file"):
        import_source("sequences", tmp_path / "bad.parquet", lake)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base_day": "May"}, "base_day='May' is no date"),
        ({"seconds_per_play": "fast"}, "seconds_per_play='fast'"),
        ({"seconds_per_play": 0}, "seconds_per_play=0"),
    ],
)
def test_sequences_options(tmp_path, lake, options, message):
    (tmp_path / "sequences.lst").write_text("1,a:b\n")
    with pytest.raises(SourceError, match=message):
        import_source("sequences", tmp_path, lake, options)


def test_sequences_broken_gzip(tmp_path, lake):
    (tmp_path / "sequences.lst.gz").write_bytes(gzip.compress(b"1,a:b\n" * 1000)[:-20])
    with pytest.raises(SourceError, match="gzip -t"):
        import_source("sequences", tmp_path, lake)
    assert not lake.exists()


def test_real_30music(shared_data, lake):
    summary = import_source("sequences", shared_data("30music"), lake)
    assert summary.events == 630_906
    assert summary.entities == {"tracks": 90_868, "artists": 11_819}
    assert summary.unusable == {}
    assert summary.first_date == summary.last_date == date(2020, 1, 1)


def test_lastfm1k_rows(tmp_path, lake, read_events, read_entities):
    (tmp_path / "userid-profile.tsv").write_text(
        "#id\tgender\tage\tcountry\tregistered\n"
        "user_1\tf\t22\tUnited States\tOct 30, 2005\n"
        "user_2\t\t\tAtlantis\t\n"
        "user_3\tm\told\t\t\n"
    )
    (tmp_path / "userid-timestamp-artid-artname-traid-traname.tsv").write_text(
        "user_1\t2009-05-04T23:08:57Z\tmb-a\tDeep Dish\t\tFuse\n"
        "user_1\t2009-05-04T23:08:57\tmb-a\tDeep Dish\t\tFuse\n"
        'user_1\t2009-05-04T23:20:00Z\t\t坂本 "quote\tmb-t\tMc2\n'
        "user_1\t2009-05-04T23:21:00Z\t\t\t\t\n"
        "short\trow\n"
    )
    summary = import_source("lastfm1k", tmp_path, lake)
    assert summary.events == 2
    assert sum(summary.unusable.values()) == 4
    first, second = read_events()
    assert first.payload.track_id.startswith("track-")
    assert (second.payload.track_id, second.payload.ms_played) == ("mb-t", None)
    users = {user.user_id: user for user in read_entities("users")}
    assert (users["user_1"].country, users["user_1"].birth_year) == ("US", 1987)
    assert (users["user_2"].country, users["user_2"].birth_year) == (None, None)
    assert [artist.name for artist in read_entities("artists")] == ["Deep Dish", '坂本 "quote']


def test_real_lastfm1k(shared_data, lake, read_events, read_entities):
    summary = import_source("lastfm1k", shared_data("lastfm1k_raw_sample"), lake)
    assert (summary.events, summary.unusable) == (5000, {})
    assert summary.entities["users"] == 992
    assert Counter(event.user_id for event in read_events()) == {"user_000001": 4997, "user_000002": 3}
    countries = Counter(user.country for user in read_entities("users"))
    assert (countries["US"], countries["GB"], countries["TR"]) == (228, 126, 28)


def test_eventsim_pages(tmp_path, lake, read_events):
    second = 1000
    start = 1_541_106_106_000
    song = {"artist": "Des'ree", "song": "You Gotta Be", "length": 200.0}
    lines = [
        event_line("NextSong", start, 0, **song),
        event_line("Thumbs Up", start + 10 * second, 1),
        event_line("Home", start + 20 * second, 2),
        event_line("Add to Playlist", start + 30 * second, 3),
        event_line("NextSong", start + 200 * second, 4, **song),
        event_line("NextSong", start + 250 * second, 5, **song),
        event_line("Roll Advert", start + 260 * second, 6),
        event_line("Logout", start + 300 * second, 7),
        event_line("Thumbs Down", start + 310 * second, 8),
        event_line("Submit Upgrade", start + 320 * second, 9),
        event_line("Upgrade", start + 321 * second, 10),
        event_line("NextSong", start + 400 * second, 11, **song),
        event_line("Login", start + 410 * second, 12, userId=""),
        '{"page": "NextSong", "ts": "soon", "userId": "7", "song": "x", "artist": "y"}',
        "[1, 2]",
    ]
    (tmp_path / "log.json").write_text("\n".join(lines))
    summary = import_source("eventsim", tmp_path, lake)
    events = read_events()
    plays = [event for event in events if type(event).__name__ == "PlayEvent"]
    plays.sort(key=lambda play: play.occurred_at)
    assert [(play.payload.ms_played, play.payload.reason_end) for play in plays] == [
        (200_000, "trackdone"), (50_000, "fwdbtn"), (50_000, "logout"), (None, None),
    ]  # fmt: skip
    kinds = Counter(type(event).__name__ for event in events)
    assert kinds == {
        "PlayEvent": 4, "LikeEvent": 1, "PlaylistAddEvent": 1, "SessionEndEvent": 1, "SubscriptionChangeEvent": 1,
    }  # fmt: skip
    liked = next(event for event in events if type(event).__name__ == "LikeEvent")
    assert liked.payload.track_id == plays[0].payload.track_id
    assert summary.unusable == {
        "page 'Home' has no event in the contract": 1,
        "page 'Roll Advert' tells no propensity, so it is no ad_impression": 1,
        "page 'Thumbs Down' while no song plays in the session": 1,
        "page 'Upgrade' has no event in the contract": 1,
        "nobody is logged in": 1,
        "row with a value of the wrong kind: ValueError": 1,
        "line is no JSON object": 1,
    }


def test_real_eventsim(shared_data, lake, read_events, read_entities):
    summary = import_source("eventsim", shared_data("sparkify_eventsim"), lake)
    kinds = Counter(type(event).__name__ for event in read_events())
    assert kinds == {"PlayEvent": 6820, "SessionEndEvent": 90, "SubscriptionChangeEvent": 9}
    assert summary.events + summary.unusable_rows == 8056
    songs = [track for track in read_entities("tracks") if track.track_id.startswith("SO")]
    assert len(songs) == 71
    (rejected,) = summary.rejected_files
    assert len(gzip.decompress((lake / rejected).read_bytes()).splitlines()) == summary.unusable_rows
    devices = Counter(event.device.type for event in read_events())
    assert set(devices) <= {"web", "phone", "tablet", "unknown"}
    assert devices["phone"] > 200
