"""What suits a moment, counted; and features that cost nothing where nothing is known."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from moments_world import CONTEXT, TRACKS, catalogue, moments

from models.context import FIELDS
from models.data import ListeningData
from models.recommend.two_stage.context_features import ContextFeatures, ContextFeaturesConfig, appended

MIDNIGHT, NOON = 0, 12
HOUR = FIELDS.index("hour")


def plays(users: int = 30, each: int = 60, seed: int = 0) -> ListeningData:
    """Every listener plays both genres alike, genre 1 (energetic) from noon on; half of the listeners are up at night
    only."""
    rng = np.random.default_rng(seed)
    n = users * each
    hour = np.where(np.arange(n) // each % 2, rng.integers(0, 24, n), rng.integers(0, 12, n))
    fits = rng.random(n) < 0.9
    genre = np.where(fits, hour >= NOON, hour < NOON)
    context = np.full((n, len(FIELDS)), -1, np.int16)
    context[:, HOUR] = np.where(rng.random(n) < 0.1, -1, hour)
    context[:, FIELDS.index("activity")] = rng.integers(0, 2, n)
    return ListeningData(
        np.array([f"user-{u}" for u in range(users)], dtype=object), catalogue(), np.arange(users + 1) * each,
        (rng.integers(0, TRACKS // 2, n) * 2 + genre).astype(np.int32), context=context, context_fields=CONTEXT,
    )  # fmt: skip


def of(extra: ContextFeatures, name: str, track: int, **fields: int) -> float:
    context = np.full((1, len(FIELDS)), -1, np.int32)
    for field, code in fields.items():
        context[0, FIELDS.index(field)] = code
    return float(extra(tf.constant([[track]]), tf.constant(context)).numpy()[0, 0, extra.names.index(name)])


@pytest.fixture(scope="module")
def extra():
    return ContextFeatures.count(plays(), ContextFeaturesConfig(shrinkage=10.0))


@pytest.mark.parametrize("what", ["genre", "artist", "sound"])
def test_what_is_played_more_than_usual_suits_the_hour(extra, what):
    name = f"{what}_suits_hour"
    assert of(extra, name, 1, hour=15) > 0.2 > -0.2 > of(extra, name, 0, hour=15)
    assert of(extra, f"{what}_suits", 1, hour=15) == pytest.approx(of(extra, name, 1, hour=15))
    assert abs(of(extra, f"{what}_suits_activity", 1, activity=1)) < 0.2


def test_lifts_are_the_counts_of_the_formula():
    data, k = plays(users=4), 7.0
    extra = ContextFeatures.count(data, ContextFeaturesConfig(shrinkage=k))
    there, genre = data.of_context("hour") == 15, data.catalogue.genre[data.items] == 1
    expected = sum(
        (there & (data.user_of_play == u)).sum() * genre[data.user_of_play == u].mean() for u in range(data.n_users)
    )
    lift = np.log(((there & genre).sum() + k) / (expected + k))
    assert of(extra, "genre_suits_hour", 1, hour=15) == pytest.approx(lift, abs=1e-5)


def test_who_is_awake_is_not_what_suits():
    """Night owls love genre 1 at every hour: that is taste, and says nothing of the night."""
    data = plays()
    rng = np.random.default_rng(1)
    owl = data.user_of_play % 2 == 0
    context = data.context.copy()
    context[:, HOUR] = np.where(owl, rng.integers(0, 6, data.n_plays), rng.integers(0, 24, data.n_plays))
    items = (data.items // 2 * 2 + (rng.random(data.n_plays) < np.where(owl, 0.9, 0.2))).astype(np.int32)
    extra = ContextFeatures.count(replace(data, context=context, items=items))
    assert abs(of(extra, "genre_suits_hour", 1, hour=3)) < 0.15
    assert abs(of(extra, "sound_suits_hour", 1, hour=3)) < 0.15


def test_unknown_fields_are_neutral(extra):
    nothing = np.full((2, len(FIELDS)), -1, np.int32)
    candidates = tf.constant([[0, 1, 2], [3, -1, 4]])
    assert not extra(candidates, tf.constant(nothing)).numpy().any()
    strange = nothing.copy()
    strange[:, HOUR], strange[:, FIELDS.index("country")] = 99, 3
    assert not extra(candidates, tf.constant(strange)).numpy().any()


def test_without_context_there_is_no_column_at_all():
    data = plays()
    blind = ContextFeatures.count(replace(data, context=np.full_like(data.context, -1)))
    examples = moments(5)
    assert blind.names == () and blind(tf.constant([[1]]), tf.constant([[-1] * 9])).shape == (1, 1, 0)
    rows, _, group = examples.rows()
    assert appended(rows, blind, examples, group) is rows
    constant = data.context.copy()
    constant[:, HOUR] = 5
    assert not any("hour" in name for name in ContextFeatures.count(replace(data, context=constant)).names)


def test_columns_are_what_their_names_say(extra):
    examples = moments(300)
    rows, _, group = examples.rows()
    wide = appended(rows, extra, examples, group).reshape(*examples.candidates.shape, -1)
    assert wide.shape == (300, examples.features.shape[1], examples.features.shape[2] + len(extra.names))
    np.testing.assert_array_equal(wide[..., : examples.features.shape[2]], examples.features)
    column = {name: wide[:, 0, examples.features.shape[2] + i] for i, name in enumerate(extra.names)}
    hour = examples.context[:, HOUR]
    np.testing.assert_allclose(column["hour_sine"], np.sin(hour * np.pi / 12), atol=1e-3)
    np.testing.assert_array_equal(column["activity_exercise"], examples.context[:, FIELDS.index("activity")] == 1)
    # alone it finds the planted rule among candidates that the features say nothing of
    suits = wide[..., examples.features.shape[2] + extra.names.index("genre_suits_hour")]
    best = suits.argmax(1)
    assert np.mean(examples.candidates[np.arange(300), best] % 2 == (hour >= NOON)) > 0.9
