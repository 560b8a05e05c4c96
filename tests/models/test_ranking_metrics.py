"""Metrics against hand-computed values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.data import OF_PLAYS
from models.evaluation.bootstrap import coverage_interval, draw_means, mean_interval, paired_interval, resample_weights
from models.evaluation.metrics import compare, evaluate, evaluate_lists, ranked_lists
from models.evaluation.ranking import DISCOUNT, diversity
from models.evaluation.split import HoldOut, split
from models.recommend.base import UNRANKED, top_k
from models.recommend.popularity import Popularity
from models.vocabulary import tie_order


class Fixed:
    """Answers with given lists of track ids, whatever it is asked."""

    name = "fixed"

    def __init__(self, plain: list[list[str]], without_history: list[list[str]]):
        self._answers = {False: plain, True: without_history}

    def recommend(self, requests, k):
        rows = self._answers[requests.exclude is not None]
        ids = np.full((len(rows), k), "", dtype=object)
        for row, values in zip(ids, rows, strict=True):
            row[: len(values)] = values
        return ids, np.where(ids == "", UNRANKED, 0.0).astype(np.float32)


def hold_out(data, histories, truths) -> HoldOut:
    index = data.catalogue.vocabulary
    histories, truths = ([index.lookup(x) for x in lists] for lists in (histories, truths))
    n = len(histories)
    return HoldOut(
        np.arange(n).astype(str).astype(object), histories, truths, {},
        data.catalogue, data.listeners, data.n_users, "by hand",
    )  # fmt: skip


def test_values_by_hand(data):
    held = hold_out(data, [["track-1", "track-2"]], [["track-5", "track-1", "track-6"]])
    model = Fixed([["track-9", "track-5"]], [["track-9", "track-6", "track-7", "track-5"]])
    got = {name: m.value for name, m in evaluate(model, held).metrics.items()}
    assert got["next_recall_at_10"] == 1
    assert got["next_ndcg_at_10"] == pytest.approx(1 / np.log2(3))
    assert got["next_mrr_at_100"] == pytest.approx(0.5)
    # relevant and new: 5 and 6; track-1 is known and does not count
    assert got["discover_ndcg_at_10"] == pytest.approx((DISCOUNT[1] + DISCOUNT[3]) / (DISCOUNT[0] + DISCOUNT[1]))
    assert got["discover_recall_at_100"] == 1
    assert got["discover_coverage_at_10"] == pytest.approx(4 / data.n_tracks)
    listeners = data.listeners[data.catalogue.vocabulary.lookup(["track-9", "track-6", "track-7", "track-5"])]
    assert got["discover_novelty_at_10"] == pytest.approx(np.mean(-np.log2((listeners + 1) / (data.n_users + 1))))


def test_a_track_the_hold_out_does_not_know_is_a_miss(data):
    held = hold_out(data, [["track-1"]], [["track-2"]])
    assert evaluate(Fixed([["new"]], [["new", "track-2"]]), held).metrics["next_recall_at_10"].value == 0


def test_users_without_anything_new_are_left_out_of_discover(data):
    held = hold_out(data, [["track-1"], ["track-1"]], [["track-1"], ["track-2"]])
    model = Fixed([["track-2"]] * 2, [["track-2"]] * 2)
    evaluation = evaluate(model, held)
    assert len(evaluation.per_user["next_ndcg_at_10"]) == 2
    assert evaluation.per_user["discover_ndcg_at_10"].tolist() == [1.0]


def test_diversity_is_zero_for_one_artist_and_one_for_all_different(data):
    index = data.catalogue.vocabulary
    one = index.lookup(["track-0", "track-1", "track-2"])
    far = index.lookup(["track-0", "track-40", "track-80"])
    assert diversity(np.stack([one, far]), data.catalogue).tolist() == [0.0, 1.0]


def test_flat_names_carry_the_interval(data):
    _, held = split(data)
    flat = evaluate(Popularity().fit(data), held).flat()
    assert flat["discover_ndcg_at_10_lo"] <= flat["discover_ndcg_at_10"] <= flat["discover_ndcg_at_10_hi"]


def test_interval_of_a_constant_has_no_width():
    interval = mean_interval(np.full(30, 0.25))
    assert (interval.value, interval.lo, interval.hi) == (0.25, 0.25, 0.25)


def test_interval_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = [i.lo <= 0.3 <= i.hi for i in (mean_interval(rng.random(200) < 0.3, 300) for _ in range(100))]
    assert 88 <= sum(hits) <= 100


def test_paired_interval_sees_what_overlapping_intervals_hide():
    rng = np.random.default_rng(1)
    base = rng.random(300)
    better = base + 0.01 + rng.normal(0, 0.01, 300)
    assert mean_interval(better).lo < mean_interval(base).hi
    assert paired_interval(base, better).lo > 0
    assert not paired_interval(base, base).excludes_zero()


def test_paired_interval_wants_the_same_users():
    with pytest.raises(ValueError, match="3 users against 2"):
        paired_interval(np.zeros(3), np.zeros(2))


def test_coverage_interval_is_centred_on_the_sample():
    top = np.arange(40).reshape(20, 2)
    interval = coverage_interval(top, 100)
    assert interval.value == pytest.approx(0.4)
    assert interval.lo < 0.4 < interval.hi


def test_top_k_breaks_ties_by_the_hash_of_the_id_not_by_its_place():
    ids = [f"track-{i}" for i in range(100)]
    ties = tie_order(ids)
    forwards = [ids[i] for i in top_k(np.zeros(100), 10, ties)]
    backwards = [ids[::-1][i] for i in top_k(np.zeros(100), 10, tie_order(ids[::-1]))]
    assert forwards == backwards


def test_top_k_leaves_out_excluded_nan_and_minus_infinity():
    scores = np.array([1.0, np.nan, 3.0, -np.inf, 2.0])
    assert top_k(scores, 5, np.arange(5), np.array([2])).tolist() == [4, 0]


def test_compare_is_the_paired_difference(data):
    train, held = split(data)
    popularity = evaluate(Popularity().fit(train), held)
    assert compare(popularity, popularity).value == 0


def test_many_resamples_at_once_are_the_resamples_one_by_one(monkeypatch):
    """Means and coverage of every draw, against the definition, whatever the size of the blocks."""
    rng = np.random.default_rng(3)
    columns, top = rng.random((70, 3)), rng.integers(-1, 40, (70, 10))
    for block in (1, 70 * 7, 1 << 23):
        monkeypatch.setattr("models.evaluation.bootstrap.BLOCK", block)
        means, covered = draw_means(columns, top, 40, resamples=100)
        for weights, mean, share in zip(resample_weights(70, 100), means, covered, strict=True):
            np.testing.assert_allclose(mean, weights @ columns / 70)
            listed = top[weights > 0]
            assert share == len(np.unique(listed[listed >= 0])) / 40


def test_lists_that_name_a_track_twice_are_refused(data):
    held = hold_out(data, [["track-1"]], [["track-2"]])
    with pytest.raises(ValueError, match="names track number .* twice"):
        evaluate(Fixed([["track-2", "track-2"]], [["track-3"]]), held)


def test_lists_may_be_judged_without_the_model(data):
    train, held = split(data)
    model = Popularity().fit(train)
    lists = {task: ranked_lists(model, held, task) for task in ("next", "discover")}
    assert evaluate_lists(lists, held, "popularity").metrics == evaluate(model, held).metrics
    assert set(evaluate_lists({"next": lists["next"]}, held, "next only").users) == {"next"}
    with pytest.raises(ValueError, match="task: 'nxt' is not known"):
        evaluate_lists({"nxt": lists["next"]}, held, "x")
    with pytest.raises(ValueError, match="3 lists for"):
        evaluate_lists({"next": lists["next"][:3]}, held, "x")


def test_popularity_lift_by_hand(data):
    held = hold_out(data, [["track-1", "track-1", "track-2"], ["track-3"]], [["track-5"], ["track-6"]])
    model = Fixed([["track-9"]] * 2, [["track-9", "track-10"], []])
    listeners = dict(zip(data.catalogue.ids, data.listeners, strict=True))
    expected = (listeners["track-9"] + listeners["track-10"]) / (listeners["track-1"] + listeners["track-2"])
    got = evaluate(model, held).metrics["discover_popularity_lift_at_10"]
    assert got.value == pytest.approx(expected), "the user with an empty list counts in neither mean"


def test_popularity_recommends_what_is_more_popular_than_what_users_choose(data):
    train, held = split(data)
    assert evaluate(Popularity().fit(train), held).metrics["discover_popularity_lift_at_10"].lo > 1


def test_metrics_of_a_user_by_hand(data):
    held = hold_out(data, [["track-1"]], [["track-5", "track-6", "track-7"]])
    row = [f"track-{i}" for i in (9, 5, 10, 11, 12, 13, 14, 15, 16, 17, 6)]
    got = {name: m.value for name, m in evaluate(Fixed([row], [row]), held).metrics.items()}
    assert got["discover_recall_at_10"] == pytest.approx(1 / 3)
    assert got["discover_recall_at_100"] == pytest.approx(2 / 3)
    assert got["discover_mrr_at_100"] == pytest.approx(1 / 2)
    assert got["discover_ndcg_at_10"] == pytest.approx(DISCOUNT[1] / DISCOUNT[:3].sum())


def test_order_of_users_in_the_lake_changes_no_interval(data):
    """The hold-out puts users in the order of their ids."""
    reverse = np.arange(data.n_users)[::-1]
    other = replace(
        data,
        users=data.users[reverse],
        offsets=np.concatenate([[0], np.cumsum(np.diff(data.offsets)[reverse])]),
        **{
            name: np.concatenate([getattr(data, name)[data.offsets[u] : data.offsets[u + 1]] for u in reverse])
            for name in OF_PLAYS
        },
    )
    found = [evaluate(Popularity().fit(train), held).metrics for train, held in (split(data), split(other))]
    assert found[0] == found[1]
