"""The student that takes the trees' place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from models.context.wire import MOMENT
from models.recommend.two_stage.student import StudentRanker
from models.recommend.two_stage.student_config import StudentConfig

CONFIG = StudentConfig(hidden=(16,), bins=3, epochs=30, batch_size=32, moments=600)


@pytest.fixture(scope="module")
def trees(data, two_stage_config, groundwork):
    from models.recommend.two_stage.two_stage import TwoStage

    return TwoStage(replace(two_stage_config, ranker="trees"), groundwork=groundwork).fit(data)


@pytest.fixture(scope="module")
def parts(data, trees, groundwork):
    """Of the next play."""
    return groundwork.of(groundwork.ordered(data), lambda **told: None).parts["next"]


@pytest.fixture(scope="module")
def student(trees, parts):
    return StudentRanker.distil(trees.rankers["next"], parts, CONFIG)


def asked(parts, n: int = 40):
    examples = parts[0].examples[:n]
    moment = np.full((len(examples), MOMENT), -1, np.int32)
    moment[:, : examples.context.shape[1]] = examples.context
    return [tf.constant(x) for x in (examples.history, moment, examples.candidates, examples.features)]


def test_it_orders_candidates_much_as_its_teacher_does(trees, parts, student):
    given, there = asked(parts), parts[0].examples.candidates[:40] >= 0
    taught, learned = trees.rankers["next"](*given).numpy(), student(*given).numpy()
    correlations = [np.corrcoef(a[t], b[t])[0, 1] for a, b, t in zip(taught, learned, there, strict=True)]
    assert np.median(correlations) > 0.9
    assert abs((taught - learned)[there].mean()) < 0.2


def test_a_recommender_with_the_student_learns_no_trees_of_its_own_and_recommends_alike(
    trees, data, two_stage_config, groundwork
):
    from models.recommend.base import Requests
    from models.recommend.two_stage.two_stage import TwoStage

    model = TwoStage(replace(two_stage_config, ranker="student", student=CONFIG), groundwork=groundwork).fit(data)
    assert isinstance(model.rankers["discover"], StudentRanker)
    assert groundwork.trees("next", pytest.fail) is trees.rankers["next"]
    histories = data.histories(list(range(30)))
    ours, theirs = (m.recommend(Requests.of(histories, histories), 10)[0] for m in (model, trees))
    shared = [len(set(a) & set(b)) for a, b in zip(ours.tolist(), theirs.tolist(), strict=True)]
    assert np.mean(shared) > 5


def test_parts_are_shaped_like_the_trees_parts_and_sum_to_the_score(trees, parts, student):
    given = asked(parts, 5)
    ours, theirs = student.parts(*given), trees.rankers["next"].parts(*given)
    assert [part.shape for part in ours] == [part.shape for part in theirs]
    total = sum(tf.reduce_sum(part, -1) for part in ours[:-1]) + ours.rest
    np.testing.assert_allclose(total, student(*given), atol=1e-4)


def test_slopes_are_those_of_the_plain_quadrature(student):
    from models.recommend.integrated_gradients import integrated_gradients
    from models.recommend.two_stage.student import STEPS

    rng, network = np.random.default_rng(0), student.network
    start, end = (tf.constant(rng.random((7, network.layers[0][0].shape[0])), tf.float32) for _ in range(2))
    plain = integrated_gradients(network.of_ramps, [end], [start], STEPS)
    np.testing.assert_allclose((end - start) * network.slopes(start, end), plain.parts[0], rtol=1e-4, atol=1e-6)


def test_a_feature_at_its_median_has_no_part_and_the_rest_says_how_little_the_quadrature_left(parts, student):
    plays, moment, candidates, features = asked(parts, 4)
    centre = student.network.ramps.centre[: features.shape[-1]]
    made = student.parts(plays, moment, candidates, tf.broadcast_to(centre, features.shape))
    np.testing.assert_allclose(made.features, 0, atol=1e-6)
    whole = student.parts(plays, moment, candidates, features)
    base = student.network(student.network.ramps.centre[None])[0]
    score = student(plays, moment, candidates, features)
    assert np.abs(whole.rest - base).max() < 0.03 * np.ptp(score)


def test_it_ranks_behind_the_scorer_that_the_trees_stood_behind(trees, parts, student):
    from models.recommend.two_stage.scorer import TwoStageScorer

    old, history = trees.scorer, parts[0].examples.history[:3, ::-1]
    scorer = TwoStageScorer(old.stage, {"next": student, "discover": student}, None, old.penalty, trees.config)
    moment, exclude = np.full((3, MOMENT), -1, np.int32), np.zeros((3, 0), np.int32)
    scores = scorer.ranked(tf.constant(history), tf.constant(moment), tf.constant(exclude)).numpy()
    best = scores.argsort(1)[:, :-6:-1].astype(np.int32)
    again = scorer.candidate_scores(tf.constant(history), moment, exclude, tf.constant(best)).numpy()
    np.testing.assert_allclose(again, np.take_along_axis(scores, best, 1), atol=1e-4)


def test_columns_of_another_moment_and_settings_that_make_no_sense_are_refused(student):
    class Other:
        names = ("hour_sine",)

    with pytest.raises(ValueError, match="fit anew"):
        student.over(Other(), None, None)
    with pytest.raises(ValueError, match="StudentConfig.temperature: 0"):
        StudentConfig(temperature=0)
    with pytest.raises(ValueError, match="StudentConfig.hidden"):
        StudentConfig(hidden=())


def test_the_loss_is_nothing_for_the_teacher_itself_and_blind_to_what_is_added_to_all():
    from models.recommend.two_stage.student_training import distillation_loss

    rng = np.random.default_rng(0)
    scores = rng.normal(size=(3, 6)).astype(np.float32)
    there = rng.random((3, 6)) < 0.8
    same = distillation_loss(scores + 5.0, scores, there, 2.0, 0.5)
    other = distillation_loss(scores[:, ::-1].copy(), scores, there, 2.0, 0.5)
    assert abs(float(same)) < 1e-5 < 0.01 < float(other)
