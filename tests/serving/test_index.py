"""The index of track vectors: what it finds, what it says of itself, whose it is."""

from __future__ import annotations

import json

import numpy as np
import pytest

from serving.index import INDEX, LEAST_RECALL, IndexMismatch, ItemIndex, build_index, largest, lengthened


@pytest.fixture(scope="module")
def vectors():
    """Clustered, as those of tracks are, of very different lengths."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, 16))
    drawn = centres[rng.integers(0, 40, 3000)] + 0.4 * rng.normal(size=(3000, 16))
    return (drawn * np.exp(0.5 * rng.normal(size=(3000, 1)))).astype(np.float32)


@pytest.fixture(scope="module")
def queries():
    return np.random.default_rng(1).normal(size=(60, 16)).astype(np.float32)


@pytest.fixture(scope="module")
def version(vectors, queries, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "recommender" / "7"
    report = build_index(folder / INDEX, vectors, [f"t{row}" for row in range(len(vectors))], queries, 50)
    return folder, report


def test_the_recall_told_is_the_recall_found(version, vectors, queries):
    folder, report = version
    told = json.loads((folder / INDEX / "report.json").read_text())
    told["exact"] = False  # ask the graph, whichever was faster
    (folder / INDEX / "report.json").write_text(json.dumps(told))
    index = ItemIndex.load(folder)
    shares = []
    for query in queries:
        exact = {f"t{row}" for row in largest(vectors @ query, 50)}
        shares.append(len(exact & set(index.search(query, 50)[0])) / 50)
    assert np.mean(shares) == pytest.approx(report.recall) and report.recall >= LEAST_RECALL
    assert min(shares) == pytest.approx(report.worst)


@pytest.mark.parametrize("exact", [True, False])
def test_scores_are_the_inner_products_best_first(version, vectors, queries, exact):
    folder, _ = version
    told = json.loads((folder / INDEX / "report.json").read_text()) | {"exact": exact}
    (folder / INDEX / "report.json").write_text(json.dumps(told))
    ids, scores = ItemIndex.load(folder).search(queries[0], 20)
    rows = [int(track[1:]) for track in ids]
    np.testing.assert_allclose(scores, vectors[rows] @ queries[0], rtol=1e-4, atol=1e-4)
    assert (np.diff(scores) <= 1e-5).all() and len(set(ids)) == 20
    assert rows[0] == int(np.argmax(vectors @ queries[0]))


def test_the_nearest_of_lengthened_vectors_has_the_largest_product(vectors, queries):
    """Bachrach et al. 2014: all are as long, so |x - q|² falls as the product grows."""
    longer = lengthened(vectors)
    np.testing.assert_allclose((longer**2).sum(1), (longer**2).sum(1).max(), rtol=1e-4)
    padded = np.pad(queries, ((0, 0), (0, 1)))
    for query, wide in zip(queries[:10], padded, strict=False):
        assert np.argmin(((longer - wide) ** 2).sum(1)) == np.argmax(vectors @ query)


def test_it_knows_its_version_and_refuses_vectors_of_another(version):
    index = ItemIndex.load(version[0])
    assert index.version == 7
    with pytest.raises(IndexMismatch, match="a vector of 3 numbers, but version 7 has 16"):
        index.search(np.zeros(3, np.float32), 5)


def test_more_than_there_is_gives_all(tmp_path):
    vectors = np.eye(4, dtype=np.float32)
    build_index(tmp_path / "3" / INDEX, vectors, list("abcd"), vectors)
    assert set(ItemIndex.load(tmp_path / "3").search(vectors[1], 50)[0]) == set("abcd")


def test_a_version_without_an_index_and_a_damaged_one_are_told_apart(version, tmp_path):
    with pytest.raises(FileNotFoundError, match="materialise serving/item_index"):
        ItemIndex.load(tmp_path / "1")
    import shutil

    shutil.copytree(version[0], tmp_path / "7")
    (tmp_path / "7" / INDEX / "tracks.txt").write_text("t0\n")
    with pytest.raises(IndexMismatch, match="not whole: 3000 tracks"):
        ItemIndex.load(tmp_path / "7")
    (tmp_path / "7" / INDEX / "report.json").write_text("{")
    with pytest.raises(IndexMismatch, match="can not be read"):
        ItemIndex.load(tmp_path / "7")


def test_vectors_without_ids_are_refused(tmp_path, vectors, queries):
    with pytest.raises(IndexMismatch, match="3000 vectors but 1 track ids"):
        build_index(tmp_path / INDEX, vectors, ["t0"], queries)
    assert not (tmp_path / INDEX).exists()
