"""Names and popular tracks: shrunk to everybody's in small segments, read again when a table has changed."""

from __future__ import annotations

import pytest
from online_api import write_catalogue, write_table

from lakehouse.tables.features import FEATURE_TABLES
from lakehouse.tables.gold import TRACK_FEATURES
from serving.online.catalogue import SHRINKAGE, Catalogue, read_catalogue


def test_an_empty_lake_has_no_names(settings):
    found = read_catalogue(settings)
    assert found == Catalogue() and found.ranked({"country": "FR"}) == ("everybody", [])


def test_a_segment_is_shrunk_to_everybody_s_list(settings):
    write_catalogue(settings)
    found = read_catalogue(settings)
    assert found.info["t3"] == {"title": "Title 3", "artist": "Artist 1", "artist_id": "Artist 1", "genre": "jazz"}
    everybody = dict(found.everybody)
    assert sum(everybody.values()) == pytest.approx(1) and max(everybody, key=everybody.get) == "t0"
    name, french = found.ranked({"country": "FR", "hour": 8})
    assert name == "country=FR"
    expected = (5000 + SHRINKAGE * everybody["t7"]) / (5000 + SHRINKAGE)
    assert dict(french)["t7"] == pytest.approx(expected) and sum(dict(french).values()) == pytest.approx(1)
    assert [track for track, _ in french[1:]] == [track for track, _ in found.everybody if track != "t7"]
    assert found.ranked({"country": "XX"})[0] == found.ranked({"hour": 8})[0] == "everybody"


def test_what_has_not_changed_is_not_read_again(settings):
    write_catalogue(settings)
    found = read_catalogue(settings)
    assert read_catalogue(settings, found) is found
    write_table(settings, FEATURE_TABLES["track_hour"], [{"track_id": "t5", "local_hour": 8, "plays_7d": 9000.0}])
    again = read_catalogue(settings, found)
    assert again.ranked({"hour": 8})[1][0][0] == "t5" and again.ranked({"hour": 9})[0] == "everybody"
    write_table(settings, TRACK_FEATURES, [{"track_id": "x", "title": "X", "artist_id": None, "artist_name": None,
                                            "genre": None, "plays_last_7d": 1}])  # fmt: skip
    assert list(read_catalogue(settings, again).info) == ["x"]
