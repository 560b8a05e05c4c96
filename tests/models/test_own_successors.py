"""What followed earlier plays of the current track in the listener's own history."""

from __future__ import annotations

import numpy as np
import pytest
from handmade import listening

from models.recommend.base import Requests
from models.recommend.transitions import TransitionConfig, Transitions, own_successors

CONFIG = TransitionConfig(own=5.0, own_window=2, own_decay=0.5, own_half_life=1.0, own_shrinkage=0.25)


def share(history: str, config: TransitionConfig = CONFIG) -> dict[str, float]:
    tracks, shares = own_successors(np.array([ord(c) for c in history]), config)
    out: dict[str, float] = {}
    for track, value in zip(tracks, shares, strict=True):
        out[chr(track)] = out.get(chr(track), 0.0) + float(value)
    return out


def test_by_hand():
    # a was followed by b, c long ago (weight 1/2) and by d, e after its latest earlier play (weight 1)
    assert share("abcxadeya") == pytest.approx(
        {"d": 1 / 1.75, "e": 0.5 / 1.75, "b": 0.5 / 1.75, "c": 0.25 / 1.75}, rel=1e-6
    )


def test_a_successor_seen_twice_adds_up_and_the_track_itself_is_none():
    assert share("abab" + "a") == pytest.approx({"b": 1 / 1.75 + 0.5 / 1.75}, rel=1e-6)
    assert share("aaa") == {}


@pytest.mark.parametrize("history", ["", "a", "bca"])
def test_nothing_is_said_without_an_earlier_play(history):
    assert share(history) == {}


def test_the_last_successor_is_ranked_first_though_others_go_elsewhere():
    data = listening({f"u{i}": "abcabc" for i in range(8)} | {"v": "xaexyza"})
    requests = Requests.of([["a", "e", "x", "a"]])
    assert Transitions(TransitionConfig()).fit(data).recommend(requests, 1)[0][0, 0] == "b"
    model = Transitions(CONFIG).fit(data)
    assert model.recommend(requests, 1)[0][0, 0] == "e"
    assert model.name == "transitions_own"


def test_the_part_is_added_to_the_transitions(data):
    history = data.history(0)
    plain = Transitions(TransitionConfig()).fit(data).score_histories([history])[0]
    both = Transitions(CONFIG).fit(data).score_histories([history])[0]
    tracks, shares = own_successors(history, CONFIG)
    expected = plain + 5.0 * np.bincount(tracks, shares, minlength=data.n_tracks)
    np.testing.assert_allclose(both, expected, atol=1e-6)
