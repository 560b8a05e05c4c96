from __future__ import annotations

import numpy as np
import pytest
from cold_worlds import planted

from models.evaluation import cold
from models.recommend.popularity import Popularity


@pytest.mark.parametrize("clock", ["synthetic", "event"])
def test_new_listeners_are_in_no_training_and_their_plays_are_cut_in_order(clock):
    data = planted(clock=clock)
    asked = cold.new_listeners(data, share=0.25, follow=5, later=0.5)
    of_user = {user: data.items[a:b] for user, a, b in zip(data.users, data.offsets, data.offsets[1:], strict=False)}
    learned = set(data.users[np.unique(asked.train.user_of_play)])
    assert list(asked.slices) == list(cold.KNOWN_PLAYS)
    for n, one in asked.slices.items():
        assert not learned & set(one.users)
        assert list(one.users) == list(asked.slices[0].users)
        for user, history, truth in zip(one.users, one.histories, one.truths, strict=True):
            assert len(history) == n and 1 <= len(truth) <= 5
            plays = of_user[user]
            found = np.concatenate([history, truth])
            starts = range(1) if clock == "synthetic" else range(len(plays) - len(found) + 1)
            assert any(np.array_equal(plays[s : s + len(found)], found) for s in starts)
        assert one.profile["birth_year"][0] is not None


def test_with_a_clock_nothing_is_learned_from_after_the_new_listeners_arrive():
    data = planted(clock="event")
    asked = cold.new_listeners(data, later=0.5)
    assert asked.train.times.max() < min(asked.slices[0].now)
    assert all((times < now).all() for times, now in zip(asked.slices[10].times, asked.slices[10].now, strict=True))


@pytest.mark.parametrize("clock", ["synthetic", "event"])
def test_new_tracks_are_in_no_training_and_no_history_and_alone_in_the_narrow_truth(clock):
    data = planted(clock=clock)
    asked = cold.new_tracks(data, share=0.2, held_out=0.3)
    assert not asked.train.plays[asked.new].any()
    assert 0.15 < asked.new.mean() < 0.3
    assert not any(asked.new[history].any() for history in asked.hold_out.histories)
    assert all(asked.new[truth].all() for truth in asked.among.truths)
    assert any(~asked.new[truth].all() for truth in asked.hold_out.truths)


def test_among_ranks_the_allowed_alone_in_the_order_of_the_model(world):
    model = Popularity().fit(world)
    allowed = world.catalogue.ids[::3].tolist()
    asked = cold.new_listeners(world).slices[3].requests("discover")
    ids, _ = cold.Among(model, allowed, world.catalogue.ids.tolist()).recommend(asked, 20)
    whole, _ = model.recommend(asked, world.n_tracks)
    for row, full in zip(ids, whole, strict=True):
        assert row.tolist() == [track for track in full if track in set(allowed)][:20]


def test_tables_and_differences_name_every_slice_and_model(world):
    asked = cold.new_listeners(world)
    models = [Popularity().fit(asked.train), _named(Popularity().fit(asked.train), "again")]
    judged = cold.judge_listeners(models, asked)
    frame = cold.table(judged)
    assert set(frame.slice) == {"0 plays", "1 play", "3 plays", "10 plays"} and set(frame.model) == {
        "popularity",
        "again",
    }
    frame = frame[frame.metric.str.contains("ndcg|recall")]
    assert ((frame.lo <= frame.value + 1e-9) & (frame.value <= frame.hi + 1e-9)).all()
    found = cold.differences(judged, "again")
    assert len(found) == 4 and all(d.value == 0 for d in found.values())
    with pytest.raises(ValueError, match="nobody"):
        cold.differences(judged, "nobody")


def test_shares_and_known_plays_that_leave_nobody_are_refused(world):
    with pytest.raises(ValueError, match="share: 1.5"):
        cold.new_listeners(world, share=1.5)
    with pytest.raises(ValueError, match="more than 500 plays"):
        cold.new_listeners(world, known=(0, 500))
    with pytest.raises(ValueError, match="known"):
        cold.new_listeners(world, known=())


def _named(model, name):
    model.name = name
    return model
