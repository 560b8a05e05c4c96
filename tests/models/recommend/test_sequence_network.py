"""Laws of the networks: no look ahead, distributions that sum to one, one answer however a request is padded."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from sequence_worlds import TRACKS, chain, favourites, listening

from models.recommend.examples import NegativeSampler
from models.recommend.requests import Queries
from models.recommend.sequence import GRU4Rec, GRU4RecConfig, Transformer, TransformerConfig
from models.recommend.sequence.config import SequenceConfig
from models.recommend.sequence.followers import FollowerTables
from models.recommend.sequence.long_term import LongTerm, weights
from models.recommend.sequence.network import Network
from models.recommend.sequence.training import Trainer
from models.recommend.sequence.windows import Batch, Plays, Windows, gap_buckets, hours_of_week, session_numbers
from models.recommend.towers import ItemTower

SMALL = {"dim": 8, "batch_size": 4, "history": 12, "overlap": 3, "successors": 5, "session_plays": 4, "negatives": 100}
CONFIGS = [
    GRU4RecConfig(**SMALL, layers=2),
    GRU4RecConfig(**SMALL, reach="session"),
    TransformerConfig(**SMALL),
    TransformerConfig(**SMALL, reach="session"),
]


@pytest.fixture(scope="module")
def world():
    return listening(*favourites(12, seed=3))


@pytest.fixture(scope="module")
def trainers(world):
    """Networks with random weights everywhere, so that nothing is left out by a start at zero."""
    out = []
    for config in CONFIGS:
        items, network = ItemTower(world.catalogue, world.plays, config, roles=("item",)), Network(config, clock=True)
        rng = np.random.default_rng(0)
        for variable in (*items.trainable_variables, *network.trainable_variables):
            variable.assign(rng.normal(0, 0.5, variable.shape))
        tables = FollowerTables.count(world, config, held_out=True)
        codes = (np.arange(TRACKS) // 4, np.arange(TRACKS) // 2)
        log_chance = NegativeSampler(world.plays, 100, 0.5).log_chance
        trainer = Trainer(items, network, tables, codes, log_chance, 1)
        spec = tf.TensorSpec([None, None], tf.int32)
        batch = Batch(Plays(*[spec] * 5), spec, tf.TensorSpec([None], tf.int32))
        answer = partial(trainer.likelihoods, negatives=tf.range(TRACKS), training=False)
        out.append(tf.function(lambda b, answer=answer: answer(b)[0], input_signature=[batch]))
    return out


@st.composite
def sequences(draw):
    """A sequence, a position, and the same sequence with anything after the position."""
    n = draw(st.integers(3, 14))
    tracks = st.lists(st.integers(0, 6), min_size=n + 1, max_size=n + 1)
    codes = st.lists(st.integers(-1, 20), min_size=n, max_size=n)
    steps = st.lists(st.booleans(), min_size=n + 1, max_size=n + 1)
    one, two = ((draw(tracks), np.cumsum(draw(steps)).tolist(), draw(codes), draw(codes)) for _ in range(2))
    cut = draw(st.integers(1, n - 1))
    mixed_sessions = one[1][: cut + 1] + [one[1][cut] + s for s in two[1][cut + 1 :]]
    moments = [a[:cut] + b[cut:] for a, b in zip(one[2:], two[2:], strict=True)]
    changed = (one[0][: cut + 1] + two[0][cut + 1 :], mixed_sessions, *moments)
    return one, changed, cut


def batch_of(tracks, sessions, gaps, hours) -> Batch:
    rows = [tracks[:-1], sessions[:-1], sessions[1:], gaps, hours]
    plays = Plays(*(tf.constant([row], tf.int32) for row in rows))
    return Batch(plays, tf.constant([tracks[1:]], tf.int32), tf.constant([1]))


@pytest.mark.parametrize("which", range(len(CONFIGS)))
@settings(max_examples=40, deadline=None)
@given(case=sequences())
def test_what_comes_later_changes_nothing_before(trainers, which, case):
    """Log probabilities of the plays up to and at the cut are the same whatever follows."""
    one, changed, cut = case
    before, after = (trainers[which](batch_of(*case)).numpy()[0] for case in (one, changed))
    np.testing.assert_allclose(before[:cut], after[:cut], atol=1e-4)


@pytest.fixture(
    scope="module", params=[(GRU4Rec, GRU4RecConfig), (Transformer, TransformerConfig)], ids=["gru", "transformer"]
)
def trained(request):
    model, config = request.param
    return model(config(**SMALL, epochs=2, learning_rate=0.01)).fit(listening(chain(30, seed=0)))


histories = st.lists(st.lists(st.integers(0, TRACKS - 1), max_size=20), min_size=1, max_size=4)


@settings(max_examples=25, deadline=None)
@given(asked=histories)
def test_the_mixture_is_a_distribution(trained, asked):
    scores = trained.scores(Queries.of([np.asarray(h, np.int64) for h in asked]))
    np.testing.assert_allclose(np.exp(scores.astype(np.float64)).sum(1), 1, atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(asked=histories, padding=st.integers(0, 5))
def test_the_callable_takes_newest_first_and_any_padding(trained, asked, padding):
    width = max(map(len, asked)) + padding
    grid = np.full((len(asked), width), -1, np.int32)
    for row, history in zip(grid, asked, strict=True):
        row[: len(history)] = history[::-1]
    kept = [np.asarray(h[-trained.config.history :], np.int64) for h in asked]
    np.testing.assert_allclose(trained.scorer(tf.constant(grid)).numpy(), trained.scores(Queries.of(kept)), atol=2e-4)


def test_the_callable_lives_in_another_saved_model(trained, tmp_path):
    class Ranker(tf.Module):
        def __init__(self, scorer):
            super().__init__()
            self.scorer = scorer

        @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)])
        def best(self, history):
            return tf.math.top_k(self.scorer(history), 3).indices

    history = tf.constant([[5, 2, 1, -1], [-1, -1, -1, -1]])
    ranker = Ranker(trained.scorer)
    tf.saved_model.save(ranker, str(tmp_path / "ranker"))
    loaded = tf.saved_model.load(str(tmp_path / "ranker"))
    assert loaded.best(history).numpy().tolist() == ranker.best(history).numpy().tolist()


@settings(max_examples=50, deadline=None)
@given(lengths=st.lists(st.integers(0, 60), min_size=1, max_size=5), history=st.integers(2, 20), data=st.data())
def test_every_play_is_a_target_once_with_the_plays_before_it(lengths, history, data):
    overlap = data.draw(st.integers(0, history - 1))
    config = SequenceConfig(history=history, overlap=overlap, batch_size=3)
    if not sum(lengths):
        return
    rng = np.random.default_rng(0)
    plays = [60 * u + rng.permutation(60)[:n] for u, n in enumerate(lengths)]  # no track twice: it says which play
    found = []
    for batch in Windows(listening(plays, tracks=300), config).epoch(rng):
        assert batch.plays.tracks.shape[1] <= history
        for row, targets in zip(batch.plays.tracks, batch.targets, strict=True):
            for t in np.flatnonzero(targets >= 0):
                whole = plays[targets[t] // 60]
                place = 0 if row[t] < 0 else int(np.flatnonzero(whole == row[t])[0]) + 1
                assert whole[place] == targets[t]
                seen = row[: t + 1][row[: t + 1] >= 0]
                assert seen.tolist() == whole[place - len(seen) : place].tolist()
                found.append(targets[t])
    assert sorted(found) == sorted(np.concatenate(plays).tolist())


def test_sessions_end_at_pauses_or_after_some_plays():
    config = SequenceConfig(session_plays=2)
    offsets, times = np.array([0, 3, 5]), np.array([0, 29, 60, 60, 61]) * 60_000
    assert session_numbers(offsets, times, config).tolist() == [0, 0, 1, 0, 0]
    assert session_numbers(offsets, None, config).tolist() == [0, 0, 1, 0, 0]


def test_moments_in_buckets():
    assert gap_buckets(np.array([-1, 0, 1000, 2000, 4_000_000, 10**12])).tolist() == [-1, 0, 0, 1, 11, 23]
    monday = 1_704_067_200_000
    assert hours_of_week(np.array([monday, monday + 25 * 3_600_000, -1])).tolist() == [0, 25, -1]


@settings(max_examples=30, deadline=None)
@given(lengths=st.lists(st.integers(1, 5), min_size=1, max_size=6), decay=st.floats(0.1, 0.95))
def test_memory_as_a_sum_over_plays_is_memory_session_by_session(lengths, decay):
    rows = np.random.default_rng(0).normal(size=(sum(lengths), 3)).astype(np.float32)
    sessions = np.repeat(np.arange(len(lengths)), lengths)
    upcoming = np.append(sessions[1:], len(lengths))
    summed = weights(tf.constant([sessions], tf.int32), tf.constant([upcoming], tf.int32), decay).numpy()[0] @ rows
    memory = LongTerm.empty(3, "v")
    for part in np.split(rows, np.cumsum(lengths)[:-1]):
        memory = memory.closed(part, decay, "v")
    read = memory.vector / (1 - decay**memory.sessions)
    np.testing.assert_allclose(summed[-1], read, rtol=1e-3, atol=1e-4)
