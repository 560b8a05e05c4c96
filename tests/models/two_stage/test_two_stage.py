"""The two-stage recommender on a small world: what it learns, what it answers, and that it explains itself."""

from __future__ import annotations

import numpy as np
import pytest

from models.evaluation.metrics import compare, evaluate
from models.evaluation.split import split
from models.export import write_saved_model
from models.recommend.base import Requests
from models.recommend.explain import explanations
from models.recommend.popularity import Popularity
from models.saved import SavedRecommender


@pytest.fixture(scope="module")
def saved(two_stage, tmp_path_factory):
    return SavedRecommender(write_saved_model(two_stage, tmp_path_factory.mktemp("model") / "1"))


def test_it_beats_popularity_at_both_tasks(data, two_stage_config):
    from models.recommend.two_stage.two_stage import TwoStage

    train, hold_out = split(data)
    ours = evaluate(TwoStage(two_stage_config).fit(train), hold_out)
    popular = evaluate(Popularity().fit(train), hold_out)
    for metric in ("next_ndcg_at_10", "discover_ndcg_at_10"):
        assert compare(popular, ours, metric).lo > 0


def test_every_batch_has_as_many_candidates_whatever_its_lists_name(two_stage):
    stage, config = two_stage.scorer.stage, two_stage.config
    played = np.full((2, config.history), -1, np.int32)
    played[0, :3] = 5, 9, 2
    for plays in (played[:1], played[1:], played):
        candidates, features = stage(plays, plays[:, :0])
        assert candidates.shape[1] == features.shape[1] == min(config.candidates, len(two_stage.catalogue))


def test_the_first_play_that_a_source_asks_counts_whole(two_stage):
    sources, config = two_stage.scorer.stage.sources, two_stage.config
    weights = sources.weights(np.zeros((1, config.history), np.int32))
    for source in config.sources:
        counted = weights[source.name].numpy()[0]
        assert counted[source.first] == 1 and not counted[: source.first].any() and not counted[source.last :].any()


def test_the_exported_model_answers_as_the_one_in_memory(saved, two_stage, data):
    histories = data.histories(list(range(8)))
    for exclude in (None, histories):
        asked = Requests.of(histories, exclude)
        ours, theirs = two_stage.recommend(asked, 10), saved.recommend(asked, 10)
        np.testing.assert_allclose(ours[1], theirs[1], atol=1e-4)
        assert (ours[0] == theirs[0]).mean() > 0.95


def test_one_call_gives_the_list_and_its_reasons(saved, two_stage, data):
    histories = data.histories(list(range(6)))
    asked = Requests.of(histories, histories)
    ids, scores = saved.recommend(asked, 10)
    ranked = saved.rank(asked, [[""]] * 6, 10)
    np.testing.assert_allclose(ranked["scores"], scores, atol=1e-4)
    assert (ranked["track_ids"] == ids).mean() > 0.95
    whole = ranked["plays"].sum((2, 3)) + ranked["rest"].sum(2)
    np.testing.assert_allclose(whole, ranked["scores"], atol=1e-3)
    plays, rest, _ = saved.reasons(asked[:1], ranked["track_ids"][0].tolist())
    np.testing.assert_allclose(ranked["plays"][0, :, : plays.shape[1]], plays, atol=1e-4)
    np.testing.assert_allclose(ranked["rest"][0], rest, atol=1e-4)
    nobody = {name: part.shape for name, part in saved.rank(Requests.of([]), [], 4).items()}
    assert nobody.pop("groups") == ranked["groups"].shape
    assert nobody == {name: (0, 4, *ranked[name].shape[2:]) for name in nobody} | {
        "plays": (0, 4, 0, plays.shape[2])}  # fmt: skip


def test_candidates_of_others_are_ranked_among_its_own(saved, data):
    history = data.histories([1])[0]
    asked = Requests.of([history], [history])
    own = saved.rank(asked, [[""]], 1000)["track_ids"][0]
    new = [track for track in data.catalogue.ids.tolist() if track not in {*own, *history}]
    ranked = saved.rank(asked, [[*new[:5], history[0], own[0], "no such track"]], 1000)
    found = [track for track in ranked["track_ids"][0] if track]
    assert len(found) == len(set(found))
    assert set(own[own != ""]) <= set(found) and (not new or set(new[:5]) <= set(found))
    assert not set(found) & set(history)


def test_vectors_order_tracks_as_the_sequential_model_does(saved, two_stage, data):
    from models.export import ITEM_VECTORS

    histories = data.histories([0, 2, 5])
    vectors = np.load(saved.path / ITEM_VECTORS)
    found = saved.encode(Requests.of(histories)) @ vectors.T
    assert found.shape == (3, data.n_tracks)
    ids = (saved.path / "assets" / "tracks.txt").read_text().splitlines()
    assert ids == two_stage.catalogue.ids.tolist()
    source = two_stage.scorer.sequence
    rows = np.full((3, source.length), -1, np.int32)
    place = {track: row for row, track in enumerate(ids)}
    for row, history in zip(rows, histories, strict=True):
        newest = [place[track] for track in reversed(history)][: source.length]
        row[: len(newest)] = newest
    states = source.scorer.vector(rows).numpy()
    np.testing.assert_allclose(found, states @ source.item_vectors().T, rtol=1e-3, atol=1e-3)


def test_what_is_excluded_never_comes_back(two_stage, data):
    histories = data.histories(list(range(10)))
    ids, _ = two_stage.recommend(Requests.of(histories, histories), 50)
    assert not any(set(row) & set(history) for row, history in zip(ids.tolist(), histories, strict=True))


def test_a_listener_without_plays_is_answered(two_stage):
    ids, scores = two_stage.recommend(Requests.of([[], ["no such track"]]), 5)
    assert ids.shape == (2, 5)
    assert (ids[0] == ids[1]).all()
    assert np.isfinite(scores).all()


def test_gaps_and_unknown_tracks_change_nothing(saved, data):
    history = data.histories([3])[0]
    gaps = [x for track in history for x in ("", track, "no such track")]
    ours, theirs = (saved.recommend(Requests.of([h]), 10) for h in (history, gaps))
    assert (ours[0] == theirs[0]).all()
    np.testing.assert_allclose(ours[1], theirs[1], atol=1e-5)


@pytest.mark.parametrize("new", [False, True])
def test_the_shares_of_the_plays_and_the_rest_sum_to_the_score(saved, data, new):
    history = data.histories([5])[0]
    asked = Requests.of([history], [history] if new else None)
    ids, scores = saved.recommend(asked, 6)
    shares = saved.explain(asked, ids[0].tolist())
    assert shares.shape == (6, len(history) + 1)
    np.testing.assert_allclose(shares.sum(1), scores[0], atol=1e-3)
    np.testing.assert_allclose(saved.score(asked, ids.tolist())[0], scores[0], atol=1e-4)
    assert np.abs(shares[:, :-1]).sum() > 0


@pytest.mark.parametrize("new", [False, True])
def test_the_exported_reasons_are_explanations_of_the_scores(saved, data, new):
    history = data.histories([5])[0]
    asked = Requests.of([history], [history] if new else None)
    ids, scores = saved.recommend(asked, 4)
    found = explanations(ids[0].tolist(), history, *saved.reasons(asked, ids[0].tolist()))
    np.testing.assert_allclose([e.score for e in found], scores[0], atol=1e-3)
    assert {r.key for e in found for r in e.of_kind("play")} <= set(history)
    assert any(r.contribution > 0 for e in found for r in e.of_kind("play"))


def test_plays_that_come_later_change_no_table_counted_before_them(data, two_stage_config):
    from models.recommend.two_stage.moments import before
    from models.recommend.two_stage.tables import Tables

    earlier = before(data, 0.7)
    shuffled = data.items.copy()
    shuffled[~earlier] = np.random.default_rng(0).permutation(shuffled[~earlier])
    from dataclasses import replace

    ours, theirs = (Tables.count(d.keep(earlier), two_stage_config) for d in (data, replace(data, items=shuffled)))
    np.testing.assert_array_equal(ours.columns, theirs.columns)
    np.testing.assert_array_equal(ours.occurrences.around, theirs.occurrences.around)
    for name, table in ours.tracks.items():
        np.testing.assert_array_equal(table.weights, theirs.tracks[name].weights)


def test_refit_counts_anew_under_the_same_rankers(two_stage, data):
    other = two_stage.refit(data.keep(np.arange(data.n_plays) % 3 > 0))
    for task, ranker in two_stage.rankers.items():
        known = {"trees": lambda r: r.trees, "network": lambda r: r.network}[two_stage.config.ranker]
        assert known(other.rankers[task]) is known(ranker)
    asked = Requests.of(data.histories([0, 1, 2]))
    assert np.abs(other.recommend(asked, 5)[1] - two_stage.recommend(asked, 5)[1]).max() > 0
