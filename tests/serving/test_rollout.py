"""Who gets the canary: the share, its stickiness, and the file."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.rollout import CANARY, FILE, STABLE, Rollout, RolloutError

USERS = [f"u{number}" for number in range(20_000)]


def chosen(rollout: Rollout) -> set[str]:
    return {user for user in USERS if rollout.label_for(user) == CANARY}


@pytest.mark.parametrize("share", [0.01, 0.05, 0.5])
def test_the_share_of_listeners_is_the_one_asked_for(share):
    spread = math.sqrt(share * (1 - share) / len(USERS))
    assert abs(len(chosen(Rollout(share, "a"))) / len(USERS) - share) < 4 * spread


def test_another_trial_chooses_other_listeners():
    first, second = chosen(Rollout(0.1, "7")), chosen(Rollout(0.1, "8"))
    assert abs(len(first & second) / len(first) - 0.1) < 0.04


@given(st.text(), st.text(), st.floats(0, 1), st.floats(0, 1))
def test_a_growing_share_keeps_the_listeners_it_had(salt, user, one, other):
    low, high = Rollout(min(one, other), salt), Rollout(max(one, other), salt)
    assert low.label_for(user) == STABLE or high.label_for(user) == CANARY
    assert Rollout(0, salt).label_for(user) == STABLE
    assert Rollout(1, salt).label_for(user) == CANARY


def test_the_file_says_it_to_another_process(tmp_path):
    assert Rollout.load(tmp_path) == Rollout()
    rollout = Rollout(0.05, "recommender-8", "recommender", 7, 8, "2026-01-01T00:00:00+00:00")
    rollout.save(tmp_path)
    assert Rollout.load(tmp_path) == rollout
    assert rollout.under_way and not Rollout().under_way
    content = json.loads((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps({**content, "of a later version": 1}))
    assert Rollout.load(tmp_path) == rollout


@pytest.mark.parametrize(
    "content", ["{", '{"share": 1.5}', '{"share": "half"}', '{"share": null}', "[]", '{"share": NaN}']
)
def test_a_broken_file_is_named(tmp_path, content):
    (tmp_path / FILE).write_text(content)
    with pytest.raises(RolloutError, match=r"rollout.json.*Remove the file"):
        Rollout.load(tmp_path)
