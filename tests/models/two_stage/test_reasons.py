"""Reasons of the two-stage recommender: nothing lost, nothing invented, and each feature in its group."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from moments_world import CONTEXT, PROFILE, catalogue, moments

from models.context import FIELDS
from models.context.wire import KEYS, MOMENT
from models.recommend.requests import Requests
from models.recommend.two_stage.contextual_answers import Answers
from models.recommend.two_stage.contextual_attribution import contextual_parts
from models.recommend.two_stage.contextual_config import ContextualConfig
from models.recommend.two_stage.contextual_trainer import fit_contextual
from models.recommend.two_stage.features import BASE, GROUPS, OTHER, group_of
from models.recommend.two_stage.reasons import TASTE, Reasons
from models.recommend.two_stage.two_stage import padded

HOUR = KEYS.index("hour")


def asked(two_stage, data, exclude: bool, n: int = 4):
    """Inputs of the scorer for some listeners and the best candidates of each."""
    histories = [history.tolist() for history in map(data.history, range(n))] + [[]]
    ids = Requests.of([data.catalogue.ids[h].tolist() for h in histories])
    if exclude:
        ids = replace(ids, exclude=ids.histories)
    found, scores = two_stage.recommend(ids, 5)
    candidates = padded([two_stage.catalogue.vocabulary.lookup(row) for row in found.tolist()])
    queries = two_stage.queries(ids)
    return (padded(queries.histories), queries.moment, padded(queries.exclude or [[]] * len(ids)), candidates), scores


@pytest.fixture(scope="module")
def reasons(two_stage):
    return Reasons(two_stage.scorer)


@pytest.mark.parametrize("exclude", [False, True])
def test_plays_and_rest_sum_to_the_score(two_stage, reasons, data, exclude):
    inputs, scores = asked(two_stage, data, exclude)
    found = reasons(*inputs)
    assert found.groups == reasons.groups and len(set(found.groups)) == len(found.groups)
    total = tf.reduce_sum(found.plays, [2, 3]) + tf.reduce_sum(found.rest, 2)
    np.testing.assert_allclose(total, scores, atol=1e-3)
    assert not found.plays.numpy()[np.broadcast_to((inputs[0] < 0)[:, None, :, None], found.plays.shape)].any()
    assert (np.abs(found.plays.numpy()[:-1]).sum((2, 3)) > 0).mean() > 0.5
    penalised = found.rest[..., found.groups.index("popularity")].numpy() < 0
    assert penalised.any() or not exclude


@pytest.mark.parametrize("exclude", [False, True])
def test_plays_have_what_the_shares_of_a_score_give_them(two_stage, reasons, data, exclude):
    inputs, _ = asked(two_stage, data, exclude)
    shares = two_stage.scorer.contributions(*inputs)
    found = reasons(*inputs)
    np.testing.assert_allclose(tf.reduce_sum(found.plays, 3), shares[:, :, :-1], atol=1e-4)


def test_own_plays_speak_through_the_history_of_the_track(two_stage, reasons, data):
    inputs, _ = asked(two_stage, data, False)
    found = reasons(*inputs)
    of_own = found.plays[..., found.groups.index("own_history")].numpy()
    history, candidates = inputs[0], inputs[-1]
    same = candidates[:, :, None] == history[:, None]
    assert of_own[same].any() and not of_own[~same].any()


def test_gaps_and_unknown_candidates_are_left_at_nothing(two_stage, reasons, data):
    plays = data.history(3)[-6:].astype(np.int32)
    gaps = np.full((1, 11), -1, np.int32)
    gaps[0, [0, 1, 4, 5, 9, 10]] = plays
    candidate = np.array([[plays[-1], -1]], np.int32)
    unknown, no = np.full((1, MOMENT), -1, np.int32), np.full((1, 0), -1, np.int32)
    wide, dense = (reasons(h, unknown, no, candidate) for h in (gaps, plays[None]))
    np.testing.assert_allclose(wide.plays[0, 0][gaps[0] >= 0], dense.plays[0, 0], atol=1e-5)
    assert not wide.plays[0, 1].numpy().any() and not wide.rest[0, 1].numpy().any()


def test_every_feature_has_a_group(two_stage):
    names = two_stage.scorer.stage.features.names
    found = {name: group_of(name) for name in names}
    assert set(found.values()) <= set(GROUPS) - {BASE, OTHER}
    by_hand = {
        "track_all": "own_history", "track_after_age": "own_history", "own_successor_of_best": "own_history",
        "artist_10": "artist", "artist_own": "artist", "artist_run": "listener", "artist_log_listeners": "popularity",
        "album_age": "album", "successor_0.01": "follows", "transitions_16_of_best": "follows",
        "matched_soon": "follows", "co_listened_30": "together", "joined_of_best": "lists", "repeats_10": "listener",
        "current_log_plays": "listener", "plays": "listener", "plays_per_listener": "popularity",
    }  # fmt: skip
    assert {name: found[name] for name in by_hand} == by_hand


@pytest.fixture(scope="module")
def ranker():
    config = ContextualConfig(dim=8, hidden=(16,), epochs=6, history=12, min_category=5, learning_rate=1e-2)
    return fit_contextual(moments(), catalogue(), np.ones(40), CONTEXT, PROFILE, config)


def inputs_of(examples):
    return (
        tf.constant(examples.history), tf.constant(examples.candidates),
        tf.constant(examples.features.astype(np.float32)), tf.constant(examples.context.astype(np.int32)),
        tf.constant(examples.profile.astype(np.int32)),
    )  # fmt: skip


def test_parts_of_the_network_sum_to_its_score(ranker):
    examples = moments(60, seed=1)
    found = contextual_parts(ranker, *inputs_of(examples))
    total = found.base + tf.add_n([tf.reduce_sum(part, -1) for part in found[:4]])
    np.testing.assert_allclose(total, Answers(ranker).scores(examples), atol=1e-4)
    assert np.abs(found.gap).max() < 0.02
    coarse = contextual_parts(ranker, *inputs_of(examples), steps=4)
    assert np.abs(coarse.gap).mean() > 2 * np.abs(found.gap).mean()


def test_what_the_world_was_planted_with_is_what_the_network_names(ranker):
    """In the evening genre 1 is played, in the morning genre 0, whatever else is known."""
    examples = moments(200, seed=2)
    found = contextual_parts(ranker, *inputs_of(examples))
    hour = found.fields.numpy()[..., HOUR]
    fits = examples.candidates % 2 == (examples.context[:, [FIELDS.index("hour")]] >= 12)
    assert hour[fits].mean() > 0.3 and hour[~fits].mean() < -0.3
    others = np.delete(np.abs(found.fields.numpy()), HOUR, -1)
    assert np.abs(hour).mean() > 3 * others.mean((0, 1)).max()
    informative, *noise = np.abs(found.features.numpy()).mean((0, 1))
    assert informative > 2 * max(noise)


def test_what_is_unknown_has_no_part(ranker):
    examples = moments(20, seed=3).without_context()
    examples = replace(examples, history=np.full_like(examples.history, -1))
    found = contextual_parts(ranker, *inputs_of(examples))
    assert not found.fields.numpy().any() and not found.plays.numpy().any()
    gone = replace(examples, candidates=np.full_like(examples.candidates, -1))
    empty = contextual_parts(ranker, *inputs_of(gone))
    assert not any(np.any(part.numpy()) for part in empty)


def test_parts_are_the_same_in_a_graph(ranker):
    inputs = inputs_of(moments(5, seed=4))
    traced = tf.function(lambda *x: contextual_parts(ranker, *x), input_signature=ranker.signature())
    for eager, graph in zip(contextual_parts(ranker, *inputs), traced(*inputs), strict=True):
        tf.nest.map_structure(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), eager, graph)


def test_what_a_ranker_looks_at_is_named_and_no_more(two_stage, reasons, data):
    inputs, _ = asked(two_stage, data, False)
    moment = inputs[1].copy()
    moment[:, KEYS.index("hour")], moment[:, KEYS.index("device")] = 8, 1
    told = inputs[0], moment, *inputs[2:]
    found = reasons(*told)
    total = tf.reduce_sum(found.plays, [2, 3]) + tf.reduce_sum(found.rest, 2)
    np.testing.assert_allclose(total, two_stage.scorer.candidate_scores(*told), atol=2e-3)
    named = {group for at, group in enumerate(found.groups) if np.any(found.rest[..., at])}
    assert {"context.hour", "context.device"} & named and "context.weather" not in named
    of_network = {"genre", "sound"} & named, np.any(found.plays[..., found.groups.index(TASTE)])
    assert of_network == (({"genre", "sound"}, True) if two_stage.config.ranker == "network" else (set(), False))
