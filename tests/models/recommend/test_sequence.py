"""What the sequential models learn from planted listening."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sequence_worlds import (
    GROUP,
    HOUR,
    START,
    TRACKS,
    after,
    by_the_hour,
    chain,
    favourites,
    listening,
    rounds,
)

from models.recommend.base import Recommender, Requests
from models.recommend.popularity import Popularity
from models.recommend.requests import Queries
from models.recommend.sequence import GRU4Rec, GRU4RecConfig, Transformer, TransformerConfig

BOTH = [(GRU4Rec, GRU4RecConfig), (Transformer, TransformerConfig)]
ALONE = {"copy_heads": 0, "successors": 0, "ties": False, "memory": False}  # an encoder and its softmax
SMALL = {
    "dim": 16,
    "batch_size": 16,
    "history": 40,
    "overlap": 5,
    "learning_rate": 0.02,
    "dropout": 0.0,
    "track_dropout": 0.0,
}


def fitted(model, config, data, **settings):
    return model(config(**SMALL | settings)).fit(data)


def ranks(model, histories, answers) -> np.ndarray:
    scores = model.scores(Queries.of([np.asarray(h) for h in histories]))
    return 1 + (scores > scores[np.arange(len(answers)), answers][:, None]).sum(1)


@pytest.mark.parametrize(("model", "config"), BOTH)
@pytest.mark.parametrize("loss", ["softmax", "gbce"])
def test_a_planted_chain_is_learned_better_than_popularity(model, config, loss):
    data = listening(chain(60, seed=0))
    more = {} if loss == "softmax" else {"batch_size": 4, "epochs": 25}  # binary cross-entropy takes longer
    found = fitted(model, config, data, **{"epochs": 12} | ALONE | more, loss=loss)
    new = chain(40, seed=1)
    right = [after(h[-1]) for h in new]
    assert (ranks(found, new, right) == 1).mean() > 0.8
    assert (ranks(Popularity().fit(data), new, right) == 1).mean() < 0.2


@pytest.mark.parametrize(("model", "config"), BOTH)
def test_copying_repeats_what_nobody_else_has_played(model, config):
    """Each listener's round is their own, so nothing but their own history knows it."""
    data, new = listening(rounds(80, seed=0)), rounds(40, seed=1)
    asked, right = [h[:-3] for h in new], [h[-3] for h in new]
    with_copies = fitted(model, config, data, **ALONE | {"copy_heads": 3}, epochs=5)
    without = fitted(model, config, data, **ALONE, epochs=5)
    assert (ranks(with_copies, asked, right) == 1).mean() > 0.9
    assert (ranks(without, asked, right) == 1).mean() < 0.7


def test_counted_followers_are_used_and_a_listeners_own_are_held_out_in_training():
    from models.recommend.sequence.followers import FollowerTables

    histories = chain(60, seed=0)
    histories[4] = np.array([0, 1, 0, 1, 0, 1])  # 0 -> 1 and 1 -> 0 by nobody else (after(0) = 3, after(1) = 10)
    data = listening(histories)
    config = GRU4RecConfig(**SMALL | ALONE | {"successors": 8, "epochs": 4, "folds": 4})
    table = FollowerTables.count(data, config, held_out=True).tracks.numpy()
    own = {h[i + 1] for h in histories[8::4] + histories[:1] for i in range(len(h) - 1) if h[i] == 0}
    others = {h[i + 1] for u, h in enumerate(histories) if u % 4 for i in range(len(h) - 1) if h[i] == 0}
    assert set(table[0, 0, 0]) - {-1} <= others
    assert own  # the group does play the track
    found = GRU4Rec(config).fit(data)
    new = chain(40, seed=1)
    assert (ranks(found, new, [after(h[-1]) for h in new]) == 1).mean() > 0.85


def test_times_help_where_listening_follows_the_clock():
    histories, times = by_the_hour(60, seed=0)
    data = listening(histories, times)
    new, when = by_the_hour(40, seed=1)
    now = START + 28 * 24 * HOUR + np.arange(40) * HOUR
    night = (now // HOUR % 24) >= 12
    queries = replace(Queries.of(new), times=list(when), now=now)
    right = {}
    for clock in (True, False):
        found = GRU4Rec(GRU4RecConfig(**SMALL | ALONE | {"batch_size": 4, "clock": clock, "epochs": 12})).fit(data)
        best = found.scores(queries).argmax(1)
        right[clock] = ((best >= TRACKS // 2) == night).mean()
    assert right[True] > 0.95
    assert right[False] < 0.75


def test_without_a_clock_there_are_no_variables_of_time():
    data = listening(chain(10, seed=0))
    found = fitted(GRU4Rec, GRU4RecConfig, data, **ALONE, epochs=1)
    assert not [v.name for v in found.scorer.network.trainable_variables if "gaps" in v.name or "hours" in v.name]


@pytest.fixture(scope="module")
def remembering():
    """A model of single sessions with a memory, and one without."""
    histories, times = favourites(120, seed=0)
    data = listening(histories, times)
    settings = ALONE | {"reach": "session", "epochs": 12}
    return {m: fitted(GRU4Rec, GRU4RecConfig, data, **settings | {"memory": m}) for m in (True, False)}


def test_memory_knows_how_a_new_session_starts(remembering):
    """After a session of radio the session says nothing; the favourites are in the memory alone."""
    histories, times = favourites(60, seed=1)
    first = np.array([h[0] - (h[0] - TRACKS // 2) % GROUP for h in histories])
    queries = replace(Queries.of(histories), times=times, now=np.array([t[-1] + 24 * HOUR for t in times]))
    mass = {}
    for memory, model in remembering.items():
        chance = np.exp(model.scores(queries))
        mass[memory] = np.mean([row[f : f + GROUP].sum() for row, f in zip(chance, first, strict=True)])
    assert mass[True] > 2 * mass[False]


def test_a_memory_kept_session_by_session_says_what_the_whole_history_says(remembering):
    """An unseen listener's memory, updated at each session's end, beside the last session."""
    model = remembering[True]
    histories, times = favourites(5, seed=2)
    ids = model.catalogue.ids
    now = np.array([t[-1] + 5 * 60_000 for t in times])
    memories = []
    for history in histories:
        memory = None
        for session in history[:-4].reshape(-1, 4):
            memory = model.remember(memory, ids[session].tolist())
        memories.append(memory)
    whole = model.scores(replace(Queries.of(histories), times=times, now=now))
    last = replace(Queries.of([h[-4:] for h in histories]), times=[t[-4:] for t in times], now=now)
    np.testing.assert_allclose(model.scores_beside(last, memories), whole, atol=2e-4)
    assert np.abs(model.scores(last) - whole).max() > 0.05


def test_a_memory_of_another_model_is_refused(remembering):
    model = remembering[True]
    stale = replace(model.remember(None, ["track-1"]), version="of before")
    with pytest.raises(ValueError, match="'of before'"):
        model.remember(stale, ["track-2"])
    with pytest.raises(ValueError, match="'of before'"):
        model.scores_beside(Queries.of([np.array([1])]), [stale])
    unchanged = model.remember(None, ["nothing known"])
    assert unchanged.sessions == 0


@pytest.mark.parametrize(("model", "config"), BOTH)
def test_they_are_recommenders_that_report_and_answer_everyone(data, model, config):
    reports = []
    found = model(config(**SMALL | {"epochs": 2, "successors": 8})).fit(data, reports.append)
    assert isinstance(found, Recommender)
    assert [r["epoch"] for r in reports] == [1, 2]
    assert reports[1]["loss"] < reports[0]["loss"]
    assert all({"examples_per_second", "seconds"} <= set(r) for r in reports)
    requests = Requests.of([[], ["never heard of"], ["track-3"], [f"track-{i}" for i in range(90)]])
    ids, scores = found.recommend(requests, 7)
    assert (ids != "").all()
    assert ids[0].tolist() == ids[1].tolist()
    assert (np.diff(scores, axis=1) <= 0).all()
    new, _ = found.recommend(requests.for_task("discover"), 7)
    assert not set(new[3]) & {f"track-{i}" for i in range(90)}


def test_the_same_seed_gives_the_same_model(plain_data):
    settings = SMALL | {"epochs": 1, "dropout": 0.1, "successors": 8}
    one, two = (GRU4Rec(GRU4RecConfig(**settings)).fit(plain_data) for _ in range(2))
    np.testing.assert_allclose(one.scorer.rows.numpy(), two.scorer.rows.numpy(), atol=1e-4)


def test_a_refit_goes_on_from_what_was_learned(plain_data):
    model, told = GRU4Rec(GRU4RecConfig(**SMALL | {"epochs": 3, "successors": 8})), []
    model.fit(plain_data.keep(np.arange(plain_data.n_plays) % 10 > 0), told.append)
    again: list = []
    other = model.refit(plain_data, again.append)
    assert len(again) == 1 and again[0]["loss"] < told[0]["loss"]
    assert other.config == model.config and other.version != model.version
    turned = plain_data.in_order(np.arange(plain_data.n_tracks)[::-1])
    fresh: list = []
    model.refit(turned, fresh.append)
    assert len(fresh) == model.config.epochs, "another catalogue is learned from nothing"


def test_a_loss_that_is_no_number_names_the_setting(plain_data):
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match="GRU4RecConfig.learning_rate"):
        GRU4Rec(GRU4RecConfig(**SMALL | {"learning_rate": float("inf"), "epochs": 3})).fit(plain_data)


@pytest.mark.parametrize(
    ("config", "settings", "said"),
    [
        (GRU4RecConfig, {"dim": 0}, "GRU4RecConfig.dim: 0"),
        (GRU4RecConfig, {"layers": 0}, "GRU4RecConfig.layers: 0"),
        (GRU4RecConfig, {"loss": "bpr"}, "'bpr' is none of softmax, gbce"),
        (GRU4RecConfig, {"reach": "day"}, "'day' is none of history, session"),
        (GRU4RecConfig, {"folds": 1}, "folds: 1 must be at least 2"),
        (TransformerConfig, {"dim": 30, "heads": 4}, "dim: 30 must be a multiple of heads, 4"),
        (TransformerConfig, {"heads": 0}, "TransformerConfig.heads: 0"),
        (TransformerConfig, {"dropout": 1.0}, r"dropout: 1.0 must lie in \[0, 1\)"),
        (TransformerConfig, {"gbce_t": 1.5}, r"gbce_t: 1.5 must lie in \[0, 1\]"),
        (TransformerConfig, {"learning_rate": 0.0}, "learning_rate: 0.0 must be above 0"),
        (TransformerConfig, {"history": 20, "overlap": 20}, "overlap: 20 must be below history, 20"),
    ],
)
def test_bad_settings_are_named(config, settings, said):
    with pytest.raises(ValueError, match=said):
        config(**settings)


def test_a_config_of_the_other_model_is_refused():
    with pytest.raises(TypeError, match="GRU4RecConfig"):
        GRU4Rec(TransformerConfig())


def test_nothing_played_is_an_error(plain_data):
    with pytest.raises(ValueError, match="nothing to learn from"):
        GRU4Rec(GRU4RecConfig()).fit(plain_data.keep(np.zeros(plain_data.n_plays, bool)))
