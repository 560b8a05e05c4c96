from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cold_worlds import planted

from models.evaluation import cold
from models.recommend.cold_start.factors import ContentFactors, FactorsConfig
from models.recommend.config import TwoTowerConfig
from models.recommend.memory import TransitionMemory
from models.recommend.transfer import SCRATCH, SOURCE, TRANSFERRED, FineTuneConfig, TransferredTwoTower, learning_curve
from models.recommend.transitions import transition_counts
from models.recommend.two_tower import TwoTower

FACTORS = FactorsConfig(rank=8, iterations=4)
TOWERS = TwoTowerConfig(dim=8, epochs=1, min_steps=60, batch_size=64, memory_neighbours=0)


@pytest.fixture(scope="module")
def asked():
    return cold.new_listeners(planted(users=200, seed=3), share=0.5, known=(3,))


def test_few_listeners_learn_from_another_source(world, asked):
    source = ContentFactors(FACTORS).fit(world)
    curve = learning_curve(
        source,
        lambda: ContentFactors(FACTORS),
        lambda: ContentFactors(FACTORS, source=source),
        asked.train,
        asked.slices[3],
        (5, 80),
    )
    few, many = (curve.gain(size) for size in (5, 80))
    assert few.lo > 0 and few.value > many.value
    frame = curve.frame()
    assert set(frame.way) == {SCRATCH, SOURCE, TRANSFERRED} and len(frame) == 6
    assert frame[frame.way == TRANSFERRED].gain.isna().all() and frame[frame.way == SCRATCH].gain.notna().all()
    text = curve.markdown()
    assert f"{few:+}" in text and text.count("\n") == 3


@pytest.fixture(scope="module")
def towers(world):
    return TwoTower(TOWERS).fit(world)


def test_towers_begin_as_the_source_and_move(towers, asked):
    start = TransferredTwoTower(towers)
    start._learn(asked.train)
    items, user = start._start(asked.train)
    of_source = [*towers.towers[0].variables, *towers.towers[1].variables]
    for mine, theirs in zip([*items.variables, *user.variables], of_source, strict=True):
        if not mine.name.startswith("devices"):
            np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
    tuned = start.fit(asked.train)
    moved = [
        np.abs(a.numpy() - b.numpy()).max() for a, b in zip(tuned.towers[0].variables, items.variables, strict=True)
    ]
    assert max(moved) > 0
    again = tuned.refit(asked.train)
    requests = asked.slices[3].requests("discover")[:10]
    assert (again.recommend(requests, 5)[0] == tuned.recommend(requests, 5)[0]).all()


def test_tracks_the_source_never_heard_begin_as_from_scratch_and_devices_go_by_name(world, asked):
    deaf = world.keep(world.items >= 40)
    source = TwoTower(TOWERS).fit(deaf)
    model = TransferredTwoTower(source)
    model._learn(asked.train)
    items, _ = model._start(asked.train)
    plain = TwoTower(model.config)
    plain._learn(asked.train)
    scratch, _ = plain._start(asked.train)
    for mine, fresh, theirs in zip(items.variables, scratch.variables, source.towers[0].variables, strict=True):
        if mine.name.startswith("track_"):
            np.testing.assert_array_equal(mine.numpy()[:40], fresh.numpy()[:40])
            np.testing.assert_array_equal(mine.numpy()[40:], theirs.numpy()[40:])


def test_what_does_not_fit_is_named(towers, data, asked):
    with pytest.raises(ValueError, match="two_tower knows 160 tracks"):
        TransferredTwoTower(towers).fit(data)
    with pytest.raises(ValueError, match="step 2"):
        FineTuneConfig(step=2)
    with pytest.raises(ValueError, match="1000"):
        learning_curve(towers, None, None, asked.train, asked.slices[3], (1000,))
    assert replace(FineTuneConfig(), updates=3).updates == 3


def test_transitions_go_on_counting_where_the_source_ended(world, asked):
    config = replace(TOWERS, memory_neighbours=world.n_tracks)
    memory = TransitionMemory.count(world, config)
    counts = transition_counts(world, config.transitions)
    assert np.allclose(memory.counts(world.plays, config).toarray(), counts.toarray(), rtol=1e-4, atol=1e-4)
    tuned = TransferredTwoTower(TwoTower(config).fit(world)).fit(asked.train)
    assert np.array_equal(tuned.heard, world.plays + asked.train.plays)
    both = tuned.scorer.memory.counts(tuned.heard, config).toarray()
    assert np.allclose(
        both, (counts + transition_counts(asked.train, config.transitions)).toarray(), rtol=1e-3, atol=1e-3
    )
