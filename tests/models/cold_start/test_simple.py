from __future__ import annotations

import numpy as np
import pytest
from cold_worlds import ARTISTS, TRACKS

from models.evaluation import cold
from models.recommend.base import Requests
from models.recommend.cold_start.simple import GroupPopularity, RandomOrder, expected_listeners


def test_random_order_is_the_same_for_the_same_history_and_no_better_than_chance(world):
    asked = cold.new_tracks(world, share=0.2, held_out=0.3)
    model = RandomOrder().fit(asked.train)
    requests = Requests.of([["t1"], ["t1"], ["t2"]])
    ids, _ = model.recommend(requests, 20)
    assert (ids[0] == ids[1]).all() and (ids[0] != ids[2]).any()
    assert (RandomOrder(1).fit(asked.train).recommend(requests, 20)[0] != ids).any()
    found = cold.judge_tracks([model], asked)[cold.AMONG, "random"].metrics["discover_recall_at_10"]
    assert found.lo <= 10 / asked.new.sum() <= found.hi


@pytest.mark.parametrize("by, size", [("artist", TRACKS), ("genre", TRACKS * ARTISTS)])
def test_the_tracks_of_what_was_heard_come_first(world, by, size):
    model = GroupPopularity(by).fit(world)
    ids, _ = model.recommend(Requests.of([["t3", "t5", "t3", "t2", "t1"]]), TRACKS)
    assert {int(track[1:]) // size for track in ids[0]} == {0}
    assert (
        model.refit(world).recommend(Requests.of([["t3"]]), 9)[0] == model.recommend(Requests.of([["t3"]]), 9)[0]
    ).all()


def test_without_a_play_it_is_popularity(world):
    ids, _ = GroupPopularity().fit(world).recommend(Requests.of([[]]), 10)
    assert sorted(world.listeners[world.catalogue.vocabulary.lookup(ids[0].tolist())]) == sorted(world.listeners)[-10:]


def test_a_new_track_is_taken_for_the_mean_of_its_artist_then_of_its_genre(world):
    listeners = world.listeners.copy()
    artist, genre = world.catalogue.artist, world.catalogue.genre
    listeners[3] = 0
    listeners[artist == artist[-1]] = 0
    found = expected_listeners(world.catalogue, listeners)
    assert found[3] == pytest.approx(listeners[(artist == artist[3]) & (listeners > 0)].mean())
    assert found[-1] == pytest.approx(listeners[(genre == genre[-1]) & (listeners > 0)].mean())
    heard = listeners > 0
    assert np.array_equal(found[heard], listeners[heard]) and (found > 0).all()


def test_without_artists_or_genres_it_still_answers(plain_data):
    ids, _ = GroupPopularity("genre").fit(plain_data).recommend(Requests.of([["track-1"]]), 5)
    assert (ids != "").all()
    assert (expected_listeners(plain_data.catalogue, np.zeros(plain_data.n_tracks, int)) == 1).all()


def test_other_groups_are_refused():
    with pytest.raises(ValueError, match="'mood'"):
        GroupPopularity("mood")
