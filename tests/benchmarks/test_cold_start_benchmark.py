"""The benchmark of the cold start on a world that is simulated in a second."""

from __future__ import annotations

import re

import numpy as np
import pytest

from benchmarks import cold_start
from benchmarks.cold_world import another_market, known_world, picked_artists, picked_subgenres, read
from models.recommend.cold_start.content import TrackNames


@pytest.fixture(scope="module")
def known():
    return known_world(users=260, tracks=150, days=20, seed=3)


@pytest.fixture(scope="module")
def names(known):
    return TrackNames.from_batches(known.data.catalogue, [known.names])


def test_plays_are_those_of_the_world(known):
    data = known.data
    assert data.clock == "event" and data.n_plays > 1000
    assert all((np.diff(data.times[a:b]) >= 0).all() for a, b in zip(data.offsets, data.offsets[1:], strict=False))
    some = int(data.user_of_play[0])
    year = known.world.users.birth_year[known.users[data.users[some]]]
    said = data.profile_fields.decode(data.profiles[[some]])["birth_year"][0]
    assert data.profile_fields.encode({"birth_year": [int(year)]}, 1)[0][0] == data.profiles[some][0], said


def test_another_market_has_the_catalogue_and_older_listeners(known):
    world = another_market(known.world, users=200, least_age=40, seed=9)
    assert 0 < len(world.users) < 200
    assert (world.start.year - world.users.birth_year).min() >= 40
    assert np.array_equal(read(world).data.catalogue.ids, known.data.catalogue.ids)


def test_picks_follow_taste_and_not_plays(known):
    world, users = known.world, list(known.users)
    subgenres = picked_subgenres(known, users)
    assert all(len(set(row)) == 3 for row in subgenres)
    artists = [world.tracks.artist_id(a) for a in range(min(12, len(world.tracks.artist_number)))]
    liked = []
    for user, row in zip(users, picked_artists(known, users, artists, doubt=1e-9), strict=True):
        assert len(set(row)) == 3 and set(row) <= set(artists)
        affinity = [
            world.truth.affinity(np.array([known.users[user]]), np.flatnonzero(world.tracks.artist == a)).mean()
            for a in range(len(artists))
        ]
        liked.append(artists[int(np.argmax(affinity))] == row[0])
    assert all(liked)
    assert picked_subgenres(known, users) == subgenres


def test_every_part_prints_its_tables(known, names, monkeypatch):
    monkeypatch.setattr(cold_start, "SHOWN", 12)
    text = cold_start.listeners(known, names)
    assert "| cold start, profile, 3 artists chosen |" in text and "| 10 plays |" in text
    intervals = re.findall(r"(-?\d\.\d+) \[(-?\d\.\d+), (-?\d\.\d+)\]", text)
    assert len(intervals) > 60 and all(float(lo) - 1e-9 <= float(v) <= float(hi) + 1e-9 for v, lo, hi in intervals)
    text = cold_start.tracks(known, names)
    assert "new tracks, among themselves" in text and "all tracks, in the whole catalogue" in text
    assert "| EASE, mapped over |" in text and "| cold start over |" in text


def test_profiles_can_be_taken_away(known):
    bare = cold_start.without_profiles(known.data)
    assert (bare.profiles == -1).all() and (known.data.profiles >= 0).any()
    assert np.array_equal(bare.items, known.data.items)


def test_a_part_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr("sys.argv", ["cold_start", "albums"])
    with pytest.raises(SystemExit, match="no part albums; there are listeners, tracks, transfer"):
        cold_start.main()
