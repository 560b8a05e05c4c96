"""Our figures against those of the common scorer, on the same plays and the same lists."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from common_scorer import SHARED, listening_data, needs_peers, needs_scorer, plays_frame, prepared, scorer

from models.evaluation.metrics import compare, evaluate_lists
from models.evaluation.predictions import evaluate_files, lists_of, read_predictions
from models.evaluation.protocol import protocol_split

TASKS, PARTS = ("next", "discover"), ("valid", "test")


@pytest.fixture(scope="module")
def world(plain_data):
    """(our split, the scorer's)."""
    return protocol_split(plain_data), prepared(plays_frame(plain_data))


def part_of(split, name):
    return split.validation if name == "valid" else split.test


def random_predictions(theirs, part: str, task: str, seed: int, helped: float = 0.0) -> pd.DataFrame:
    """5 to 100 random tracks a user; a share ``helped`` of the users has a held-out track somewhere among them."""
    rng = np.random.default_rng(seed)
    known, held = theirs.history(part), theirs.truth(part)
    rows = []
    for user in range(theirs.n_users):
        seen = np.unique(known[1][known[0] == user]) if task == "discover" else []
        free = np.setdiff1d(np.arange(theirs.n_items), seen)
        items = rng.permutation(free)[: rng.integers(5, 100)]
        wanted = np.intersect1d(held[1][held[0] == user], free)
        if len(wanted) and rng.random() < helped:
            items = np.unique(np.append(items[:90], wanted[0]))
            items = rng.permutation(items)
        rows += [(theirs.users[user], rank, theirs.items[item]) for rank, item in enumerate(items, 1)]
    return pd.DataFrame(rows, columns=["user_id", "rank", "track_id"])


def within_ties(mine: float, theirs: float, a, b, metric: str) -> bool:
    """Equal but for resamples without a difference: we count them on both sides, the scorer wherever rounding says."""
    ties = (np.abs(a.draws[metric] - b.draws[metric]) < 1e-12).sum()
    return -1e-12 <= mine - theirs <= 2 * ties / 1001 + 1e-12


@needs_scorer
def test_split_is_the_scorers(world):
    ours, theirs = world
    assert ours.train.n_tracks == theirs.n_items
    for part, fit in (("valid", ours.fit), ("test", ours.train)):
        held = part_of(ours, part)
        assert held.users.tolist() == theirs.users.tolist()
        for get, mine in ((theirs.history, held.histories), (theirs.truth, held.truths)):
            user, item = get(part)
            assert [theirs.items[item[user == u]].tolist() for u in range(theirs.n_users)] == [
                held.catalogue.ids[x].tolist() for x in mine
            ]
        assert fit.n_plays == len(theirs.history(part)[0])


@needs_scorer
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("task", TASKS)
def test_values_and_intervals_are_the_scorers(world, task, part):
    ours, theirs = world
    frame = random_predictions(theirs, part, task, seed=5, helped=0.5)
    expected = scorer().evaluate(theirs, task, frame, part)["metrics"]
    held = part_of(ours, part)
    got = evaluate_lists({task: lists_of(pa.Table.from_pandas(frame), held, task)}, held, "random").metrics
    assert len(expected) >= 3
    for name, value in expected.items():
        mine = got[f"{task}_{name.replace('@', '_at_')}"]
        assert mine.value == pytest.approx(value["value"], abs=1e-12), name
        assert [mine.lo, mine.hi] == pytest.approx(value["ci95"], abs=1e-12), name


@needs_scorer
@pytest.mark.parametrize("task", TASKS)
def test_differences_and_p_values_are_the_scorers(world, task):
    ours, theirs = world
    frames = [random_predictions(theirs, "test", task, seed, helped) for seed, helped in ((1, 0.3), (2, 0.7))]
    expected = scorer().compare(theirs, task, *frames)["metrics"]
    a, b = (
        evaluate_lists({task: lists_of(pa.Table.from_pandas(f), ours.test, task)}, ours.test, n)
        for f, n in zip(frames, "ab", strict=True)
    )
    for name, value in expected.items():
        mine = compare(a, b, f"{task}_{name.replace('@', '_at_')}")
        assert mine.value == pytest.approx(value["difference"], abs=1e-12), name
        assert [mine.lo, mine.hi] == pytest.approx(value["ci95"], abs=1e-12), name
        assert within_ties(mine.p_value, value["p_value"], a, b, f"{task}_{name.replace('@', '_at_')}"), name


@needs_scorer
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda f: f.assign(track_id=[None, *f.track_id[1:]]),
        lambda f: f.assign(rank=f["rank"] - 1),
        lambda f: f.assign(rank=f["rank"] * 1.0),
        lambda f: f.assign(user_id=["nobody", *f.user_id[1:]]),
        lambda f: f.assign(track_id=["no such track", *f.track_id[1:]]),
        lambda f: pd.concat([f, f.tail(1)]),
        lambda f: f.assign(track_id=[f.track_id.iloc[1], *f.track_id[1:]]),
        lambda f: f.drop(index=1),
        lambda f: f[f.user_id != f.user_id.iloc[0]],
    ],
)
def test_what_the_scorer_refuses_is_refused(world, task, spoil):
    ours, theirs = world
    bad = spoil(random_predictions(theirs, "test", task, seed=5))
    with pytest.raises(scorer().InputError):
        scorer().evaluate(theirs, task, bad)
    with pytest.raises(ValueError, match="predictions: "):
        lists_of(pa.Table.from_pandas(bad), ours.test, task)


@needs_scorer
def test_a_track_of_the_history_is_refused_in_discover(world):
    ours, theirs = world
    frame = random_predictions(theirs, "test", "discover", seed=5)
    own = ours.test.catalogue.ids[ours.test.histories[0][0]]
    frame.loc[0, "track_id"] = own
    with pytest.raises(ValueError, match=f"own history.*{own!r}"):
        lists_of(pa.Table.from_pandas(frame), ours.test, "discover")


@needs_scorer
def test_users_without_predictions_may_count_as_misses(world):
    ours, theirs = world
    frame = random_predictions(theirs, "test", "next", seed=5, helped=1.0)
    frame = frame[frame.user_id != frame.user_id.iloc[0]]
    expected = scorer().evaluate(theirs, "next", frame, allow_missing=True)["metrics"]["mrr@100"]["value"]
    lists = lists_of(pa.Table.from_pandas(frame), ours.test, "next", allow_missing=True)
    got = evaluate_lists({"next": lists}, ours.test, "partial").metrics["next_mrr_at_100"].value
    assert got == pytest.approx(expected, abs=1e-12)


def test_a_file_that_is_no_table_is_named(tmp_path):
    (tmp_path / "x.parquet").write_text("no parquet")
    with pytest.raises(ValueError, match="x.parquet: not readable as parquet"):
        read_predictions(tmp_path / "x.parquet")
    pd.DataFrame({"user": [1]}).to_parquet(tmp_path / "y.parquet")
    with pytest.raises(ValueError, match="y.parquet: lacks column"):
        read_predictions(tmp_path / "y.parquet")


@needs_peers
@pytest.mark.slow
def test_the_peers_table_comes_out_the_same():
    """All of the real data: filter, split and every figure of four published prediction files."""
    score = scorer()
    plays = score.read_sequences(str(SHARED / "data/30music/sequences.lst.gz"))
    theirs, ours = prepared(plays), protocol_split(listening_data(plays))
    assert [int(u) for u in ours.test.users] == theirs.users.tolist()
    assert (len(ours.test.catalogue), len(ours.test)) == (theirs.n_items, theirs.n_users)
    folder = SHARED / "bench/peers/30music"
    judged = {}
    for task in TASKS:
        for peer in ("ease", "transitions"):
            path = folder / f"{peer}.{task}.parquet"
            expected = score.evaluate(theirs, task, score.read_predictions(str(path)))["metrics"]
            judged[peer] = evaluate_files({task: path}, ours.test, peer)
            for name, value in expected.items():
                mine = judged[peer].metrics[f"{task}_{name.replace('@', '_at_')}"]
                assert [mine.value, mine.lo, mine.hi] == pytest.approx([value["value"], *value["ci95"]], abs=1e-12)
        frames = [score.read_predictions(str(folder / f"{p}.{task}.parquet")) for p in judged]
        for name, value in score.compare(theirs, task, *frames)["metrics"].items():
            metric = f"{task}_{name.replace('@', '_at_')}"
            mine = compare(*judged.values(), metric)
            assert [mine.value, mine.lo, mine.hi] == pytest.approx([value["difference"], *value["ci95"]], abs=1e-12)
            assert within_ties(mine.p_value, value["p_value"], *judged.values(), metric)
