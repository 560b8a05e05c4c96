"""The world looks like listening: ranges are wide, they tell a working world from a broken one."""

from __future__ import annotations

import numpy as np
import pytest

from simulation.log import KIND
from simulation.rhythm import ACTIVITIES, OFFSETS, activity_profile, device_chances
from simulation.sampling import SegmentSampler, best_of, draw_rows


def test_hours_follow_the_local_day(world, plays):
    local = (plays["occurred"] // 60_000 + OFFSETS[world.users.place[plays["user"]]]) // 60 % 24
    share = np.bincount(local, minlength=24) / len(plays)
    assert share[3:5].mean() < 0.25 * share[17:22].mean()
    assert share.max() < 0.12


def test_commuting_is_for_weekdays_and_parties_for_weekends(world, rows):
    starts = rows[rows["kind"] == KIND["session_start"]]
    local_day = (starts["occurred"] // 60_000 + OFFSETS[world.users.place[starts["user"]]]) // 1440
    weekend = (local_day + 3) % 7 >= 5  # 1 January 1970 was a Thursday
    share = {
        name: [(starts["activity"][part] == code).mean() for part in (~weekend, weekend)]
        for code, name in enumerate(ACTIVITIES)
    }
    assert share["commute"][0] > 2 * share["commute"][1]
    assert share["work"][0] > 2 * share["work"][1]
    assert share["social"][1] > 1.5 * share["social"][0]


def test_an_artist_is_often_followed_by_the_same(world, plays):
    artist, same_user = world.tracks.artist[plays["track"]], plays["user"][1:] == plays["user"][:-1]
    followed = (artist[1:] == artist[:-1])[same_user].mean()
    shuffled = np.random.default_rng(0).permutation(len(plays))
    mixed = plays[shuffled][np.argsort(plays["user"][shuffled], kind="stable")]
    by_chance = (world.tracks.artist[mixed["track"]][1:] == world.tracks.artist[mixed["track"]][:-1])[same_user].mean()
    assert 0.30 < followed < 0.50
    assert by_chance < 0.6 * followed


def test_listeners_come_back_to_tracks(plays):
    pairs = plays["user"].astype(np.int64) << 32 | plays["track"]
    assert 0.3 < 1 - len(np.unique(pairs)) / len(pairs) < 0.75


def test_few_tracks_and_few_listeners_make_most_plays(world, plays):
    for column, size, low, high in (("track", len(world.tracks), 0.4, 0.8), ("user", len(world.users), 0.25, 0.6)):
        counts = np.sort(np.bincount(plays[column], minlength=size))[::-1]
        assert low < counts[: size // 10].sum() / counts.sum() < high


def test_what_matches_is_skipped_less_and_liked_more(world, rows, plays):
    skipped = plays["reason_end"] == 1
    affinity = world.truth.affinity(plays["user"], plays["track"])
    low, high = np.quantile(affinity, [0.25, 0.75])
    assert 0.12 < skipped.mean() < 0.45
    assert skipped[affinity < low].mean() > 2 * skipped[affinity > high].mean()
    likes = rows[rows["kind"] == KIND["like"]]
    assert world.truth.affinity(likes["user"], likes["track"]).mean() > affinity.mean() + 0.2
    assert 0.005 < len(likes) / len(plays) < 0.1


def test_the_truth_predicts_skips_at_its_own_rate(world, plays):
    wet = np.zeros(len(plays), bool)
    stated = world.truth.skip_probability(plays["user"], plays["track"], plays["activity"], wet)
    happened = plays["reason_end"] == 1
    for low, high in ((0.0, 0.1), (0.2, 0.4), (0.5, 0.8)):
        part = (stated >= low) & (stated < high)
        assert happened[part].mean() == pytest.approx(stated[part].mean(), abs=0.08)


def test_affinity_is_standardised(world):
    everything = world.truth.affinity(np.arange(50)[:, None], np.arange(len(world.tracks))[None, :])
    assert np.allclose(everything.mean(axis=1), 0, atol=1e-6)
    assert np.allclose(everything.std(axis=1), 1, atol=0.01)


def test_activities_choose_their_music(world, plays):
    for name in ("exercise", "work", "relax", "social"):
        code = ACTIVITIES.index(name)
        during = plays["activity"] == code
        fit = world.truth.activity_fit[code, plays["track"]]
        assert fit[during].mean() > fit[~during].mean() + 0.15


def test_a_release_begins_on_its_day(world, plays):
    day = plays["occurred"] // 86_400_000 - world.midnight_ms(0) // 86_400_000
    assert (world.tracks.release_day[plays["track"]] <= day).all()
    new = world.tracks.release_day[plays["track"]] >= 0
    assert new.sum() > 10


def test_listening_is_told_apart_by_taste(world, plays):
    """The tracks of a listener suit them better than they suit somebody else."""
    other = np.random.default_rng(0).permutation(len(world.users))[plays["user"]]
    own = world.truth.affinity(plays["user"], plays["track"])
    assert own.mean() > world.truth.affinity(other, plays["track"]).mean() + 0.7


def test_rhythm_tables():
    assert activity_profile().shape == (len(ACTIVITIES), 168)
    assert (activity_profile() > 0).all()
    assert np.allclose(device_chances().sum(axis=1), 1)


def test_segment_sampler_keeps_to_its_segment_and_weights():
    rng = np.random.default_rng(0)
    sampler = SegmentSampler(np.array([1.0, 3.0, 0.0, 2.0, 0.0]), np.array([0, 2, 2, 4, 5]))
    drawn = sampler.draw(rng, np.repeat([0, 1, 2, 3], 2000)).reshape(4, 2000)
    assert set(drawn[0]) == {0, 1}
    assert (drawn[0] == 1).mean() == pytest.approx(0.75, abs=0.05)
    assert set(drawn[1]) == {-1}
    assert set(drawn[2]) == {3}
    assert set(drawn[3]) == {-1}


def test_draws_follow_their_weights():
    rng = np.random.default_rng(0)
    rows = draw_rows(rng, np.tile([0.0, 1.0, 3.0, 0.0], (4000, 1)))
    assert set(rows) == {1, 2}
    assert (rows == 2).mean() == pytest.approx(0.75, abs=0.05)
    best = best_of(rng, np.tile([5, -1, 7], (4000, 1)), np.tile([0.0, 9.0, np.log(3)], (4000, 1)))
    assert set(best) == {5, 7}
    assert (best == 7).mean() == pytest.approx(0.75, abs=0.05)
