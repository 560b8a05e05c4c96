"""The contextual ranker on moments whose rule is known."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from moments_world import CANDIDATES, CONTEXT, PROFILE, TRACKS, catalogue, moments

from models.context import FIELDS
from models.recommend.base import UNRANKED
from models.recommend.two_stage.contextual_answers import Answers
from models.recommend.two_stage.contextual_config import HEADS, ContextualConfig, HeadWeights
from models.recommend.two_stage.contextual_trainer import fit_contextual, listwise, outcome_loss
from models.recommend.two_stage.contextual_transfer import over

CONFIG = ContextualConfig(dim=8, history=12, hidden=(16,), bins=4, epochs=12, batch_size=64, learning_rate=1e-2)
PLAYS = np.ones(TRACKS, np.int64)


def fit(examples, config=CONFIG, progress=None):
    return fit_contextual(examples, catalogue(), PLAYS, CONTEXT, PROFILE, config, progress)


def found_first(answers, examples) -> float:
    best = answers.scores(examples).argmax(1)
    return float(examples.relevant[np.arange(len(best)), best].mean())


@pytest.fixture(scope="module")
def ranker():
    return fit(moments())


@pytest.fixture(scope="module")
def answers(ranker):
    return Answers(ranker)


def asked(examples):
    return (
        examples.history, examples.candidates, examples.features.astype(np.float32),
        examples.context.astype(np.int32), examples.profile.astype(np.int32),
    )  # fmt: skip


def test_what_suits_the_hour_is_learned_and_only_by_who_sees_it(answers):
    later = moments(600, seed=1)
    blind = Answers(fit(moments().without_context()))
    assert found_first(answers, later) > found_first(blind, later) + 0.1
    # hiding the moment from the one that learned it costs what it learned, no more
    assert found_first(answers, later.without_context()) > found_first(blind, later) - 0.05


def test_a_field_that_is_unknown_changes_nothing(answers):
    examples = moments(20, seed=2)
    before = answers.scores(examples)
    context = examples.context.copy()
    context[:, FIELDS.index("country")] = 5  # no country was ever named
    context[:, FIELDS.index("month")] = 3  # no training moment was in April
    np.testing.assert_array_equal(answers.scores(replace(examples, context=context)), before)
    hour = FIELDS.index("hour")
    context[:, hour] = -1
    assert np.abs(answers.scores(replace(examples, context=context)) - before).max() > 0.1


def test_without_any_context_the_fields_add_nothing():
    examples = moments(300).without_context()
    answers = Answers(fit(examples, replace(CONFIG, epochs=2)))
    told = moments(30, seed=3)
    np.testing.assert_array_equal(answers.scores(told), answers.scores(told.without_context()))


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(CANDIDATES)))
def test_the_order_of_candidates_does_not_change_their_scores(answers, order):
    examples = moments(5, seed=4)
    names = ("features", "candidates", "relevant", "outcomes")
    other = replace(examples, **{name: getattr(examples, name)[:, order] for name in names})
    np.testing.assert_allclose(answers.scores(other), answers.scores(examples)[:, order], atol=1e-5)


def test_a_candidate_is_scored_alone_and_a_missing_one_not_at_all(answers):
    examples = moments(5, seed=5)
    alone = examples.candidates.copy()
    alone[:, 1:] = -1
    found = answers.scores(replace(examples, candidates=alone))
    np.testing.assert_allclose(found[:, 0], answers.scores(examples)[:, 0], atol=1e-5)
    assert (found[:, 1:] == UNRANKED).all()


def test_outcomes_are_learned_where_they_are_known(ranker, answers):
    later = moments(800, seed=6)
    skip = answers.chances(later)["skip"]
    energetic, works = later.candidates % 2 == 1, (later.context[:, FIELDS.index("activity")] == 0)[:, None]
    assert skip[energetic & works].mean() > 0.6 > 0.35 > skip[~energetic].mean()
    assert ranker.learned.numpy().tolist() == [1, 1, 1, 0]
    assert ranker.head_weights.numpy()[HEADS.index("add")] == 0
    report = answers.calibration(later, resamples=50)
    assert set(report) == {"completion", "skip", "like"}
    assert report["skip"].ece.value < 0.1 < report["skip"].brier_skill.value
    assert abs(report["like"].base_rate - 0.3) < 0.06


def test_the_loss_of_outcomes_looks_at_known_ones_alone():
    logits, learned = tf.constant([[[3.0, -1.0], [9.0, 9.0]]]), tf.constant([1.0, 1.0])
    outcomes = tf.constant([[[1, 0], [-1, -1]]])
    expected = np.log1p(np.exp(-3.0)) + np.log1p(np.exp(-1.0))
    np.testing.assert_allclose(outcome_loss(logits, outcomes, learned), expected, rtol=1e-5)
    np.testing.assert_allclose(outcome_loss(logits, outcomes, tf.constant([1.0, 0.0])), np.log1p(np.exp(-3.0)), 1e-5)
    assert outcome_loss(logits, tf.fill([1, 2, 2], -1), learned) == 0


def test_the_loss_of_the_play_looks_at_candidates_that_are_there():
    logits, right = tf.constant([[1.0, 2.0, 50.0]]), tf.constant([[True, False, False]])
    expected = np.log(1 + np.e)
    np.testing.assert_allclose(listwise(logits, right, tf.constant([[True, True, False]])), expected, rtol=1e-5)


def test_the_score_is_the_play_and_the_weighted_outcomes(ranker, answers):
    examples = moments(6, seed=7)
    logits = ranker.logits(*map(tf.constant, asked(examples))).numpy()
    weights = [*HeadWeights().values()][:3]
    expected = logits[..., 0] + logits[..., 1:4] @ np.asarray(weights, np.float32)
    np.testing.assert_allclose(answers.scores(examples), expected, atol=1e-5)


def test_exported_it_answers_the_same(ranker, answers, tmp_path):
    examples = moments(9, seed=8)
    holder = tf.Module()
    holder.ranker = ranker
    holder.rank = tf.function(ranker, input_signature=ranker.signature())
    tf.saved_model.save(holder, tmp_path / "ranker")
    loaded = tf.saved_model.load(tmp_path / "ranker")
    np.testing.assert_allclose(loaded.rank(*asked(examples)), answers.scores(examples), atol=1e-5)


def test_the_seed_decides_and_progress_is_told():
    told = []
    small, config = moments(200), replace(CONFIG, epochs=3)
    one, again = (Answers(fit(small, config, p)).scores(small) for p in (told.append, None))
    other = Answers(fit(small, replace(config, seed=1))).scores(small)
    np.testing.assert_allclose(one, again, atol=1e-5)
    assert np.abs(one - other).max() > 1e-2
    assert [row["epoch"] for row in told] == [1, 2, 3]
    assert told[-1]["loss"] < told[0]["loss"] and told[0]["examples_per_second"] > 0


def test_nothing_to_learn_from_is_refused():
    examples = moments(10)
    with pytest.raises(ValueError, match="nothing to learn an order from"):
        fit(replace(examples, relevant=np.zeros_like(examples.relevant)))
    with pytest.raises(ValueError, match="ContextualConfig.dropout"):
        ContextualConfig(dropout=1.0)


@pytest.mark.parametrize("own", [False, True])
def test_over_another_catalogue_it_knows_what_it_knew(own):
    examples = moments(300)
    ranker = fit(examples, replace(CONFIG, epochs=2, track_embeddings=own))
    mine = catalogue()
    order = np.random.default_rng(0).permutation(TRACKS)
    place = np.argsort(order).astype(np.int32)
    mixed = mine.in_order(order)
    theirs = replace(mixed, artist=(9 - mixed.artist).astype(np.int32), genre=(1 - mixed.genre).astype(np.int32))
    renamed = {name: np.append(place, np.int32(-1))[getattr(examples, name)] for name in ("candidates", "history")}
    moved = Answers(over(ranker, mine, theirs)).scores(replace(examples, **renamed))
    np.testing.assert_allclose(moved, Answers(ranker).scores(examples), atol=1e-5)
    strangers = replace(theirs, ids=np.array([f"other-{i}" for i in range(TRACKS)], dtype=object))
    with pytest.raises(ValueError, match="share no track"):
        over(ranker, mine, strangers)
