from __future__ import annotations

import numpy as np
import pytest
from activity_world import PLAY_MS, activity_world

from models.context import session_shape
from models.context.session_shape import GAP_MS, NAMES, of_plays, of_queries
from models.data import ACOUSTIC, ListeningData
from models.recommend.requests import Requests, moment_of


@pytest.fixture(scope="module")
def world() -> ListeningData:
    return activity_world(users=12, days=5)


def column(name: str) -> int:
    return NAMES.index(name)


def by_hand(data: ListeningData, play: int) -> np.ndarray:
    """The definition, play by play."""
    own = np.arange(data.offsets[data.user_of_play[play]], play)
    session = []
    for before in own[::-1]:
        if data.times[session[-1] if session else play] - data.times[before] > GAP_MS:
            break
        session.append(before)
    session = np.array(session[::-1], int)
    usual = own[: len(own) - len(session)]

    def mean(rows, values):
        known = values[rows][~np.isnan(values[rows])]
        return known.mean() if len(known) else np.nan

    sound = data.catalogue.acoustic[data.items]
    heard = np.array([mean(session, sound[:, i]) for i in range(len(ACOUSTIC))])
    known = np.array([mean(usual, sound[:, i]) for i in range(len(ACOUSTIC))])
    minutes = (data.times[play] - data.times[session[0]]) / 60_000 if len(session) else 0
    since = (data.times[play] - data.times[session[-1]]) / 60_000 if len(session) else np.nan
    skips = data.skipped[session].mean() if len(session) else np.nan
    return np.array([*heard, *(heard - known), len(session), minutes, skips, since])


def test_the_shape_of_a_session_is_its_definition(world):
    plays = np.arange(0, world.n_plays, 3)
    found = of_plays(world, plays)
    expected = np.stack([by_hand(world, play) for play in plays])
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.isfinite(found[:, column("session energy")]).mean() > 0.5


def test_blocks_change_nothing(world, monkeypatch):
    plays = np.flatnonzero(np.random.default_rng(0).random(world.n_plays) < 0.4)
    whole = of_plays(world, plays)
    monkeypatch.setattr(session_shape, "BLOCK_PLAYS", 20)
    np.testing.assert_allclose(of_plays(world, plays), whole, atol=1e-5)


def test_what_comes_after_changes_nothing(world):
    plays = world.offsets[:-1] + 9
    later = np.arange(world.n_plays) >= plays[world.user_of_play]
    items = np.where(later, (world.items + 1) % world.n_tracks, world.items)
    from dataclasses import replace

    changed = replace(world, items=items, skipped=np.where(later, 1 - world.skipped, world.skipped))
    np.testing.assert_array_equal(of_plays(changed, plays), of_plays(world, plays))


def test_a_request_just_before_a_play_sees_the_same(world):
    plays = world.offsets[:-1] + 7
    starts = world.offsets[:-1]
    _, now = moment_of(world, plays)
    histories = [world.catalogue.ids[world.items[a:b]].tolist() for a, b in zip(starts, plays, strict=True)]
    times = [world.times[a:b] for a, b in zip(starts, plays, strict=True)]
    skipped = [world.skipped[a:b] for a, b in zip(starts, plays, strict=True)]
    asked = Requests(histories, times=times, skipped=skipped, now=now)
    queries = asked.encode(world.catalogue.vocabulary, world.context_fields, world.profile_fields)
    found = of_queries(world.catalogue.acoustic, queries)
    np.testing.assert_allclose(found, of_plays(world, plays), atol=1e-5)
    untimed = Requests(histories).encode(world.catalogue.vocabulary, world.context_fields, world.profile_fields)
    assert np.isnan(of_queries(world.catalogue.acoustic, untimed)).all()


def test_new_listeners_and_ended_sessions_have_no_session(world):
    start = 1_700_000_000_000
    asked = Requests(
        [[], ["track-1"], ["track-1"], ["track-1"]],
        times=[[], [start], [start], [start]],
        now=[start, start + PLAY_MS, start + GAP_MS + 1, None],
    )
    queries = asked.encode(world.catalogue.vocabulary, world.context_fields, world.profile_fields)
    found = of_queries(world.catalogue.acoustic, queries)
    assert found[:, column("session plays")].tolist() == [0, 1, 0, 1]
    assert np.isnan(found[[0, 2], column("minutes since last start")]).all()
    assert found[1, column("minutes since last start")] == pytest.approx(PLAY_MS / 60_000)
