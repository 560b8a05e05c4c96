"""The approximate nearest neighbour index of one model version: which tracks lie near a listener's vector.

A graph of small worlds (HNSW, Malkov & Yashunin 2018) by usearch. It finds the largest inner products: each track's
vector gets one more number so that all are of the same length, after which the nearest are the largest (Bachrach et al.
2014, "Speeding up the Xbox recommender system using a Euclidean transformation for inner-product spaces").

In a catalogue of some ten thousand tracks the exact search is as fast; both are measured when an index is built, and
the faster one answers. The index lies in the version's own folder (:data:`INDEX`), is published, kept and deleted with
it, and names the vectors it was made of, so that it is never asked about another version's.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

INDEX = "assets.extra/index"
_GRAPH, _VECTORS, _REPORT, _IDS = "tracks.usearch", "vectors.npy", "report.json", "tracks.txt"
CONNECTIVITY, EFFORT = 32, 128
LEAST_RECALL = 0.95


class IndexMismatch(ValueError):
    """An index that does not belong to the version it lies in, or that is not whole."""


@dataclass(frozen=True)
class IndexReport:
    """What was built and measured. recall: share of the exact ``n`` best of sampled queries that the graph finds, on
    the average; worst: the least of any query; effort: candidates that a search of the graph looks at; graph_ms,
    exact_ms: medians of one search; exact: the exact search is the faster one here, so it answers; vectors: SHA-256 of
    the item vectors."""

    tracks: int
    dimensions: int
    n: int
    queries: int
    recall: float
    worst: float
    effort: int
    graph_ms: float
    exact_ms: float
    exact: bool
    bytes: int
    vectors: str


def build_index(
    folder: Path, vectors: np.ndarray, ids: Sequence[str], queries: np.ndarray, n: int = 100
) -> IndexReport:
    """Write the index of ``vectors`` float32 [I, D] to ``folder`` (whole or not at all) and measure it.

    queries: float32 [Q, D], vectors of listeners. The effort is doubled until the recall of the ``n`` best reaches
    :data:`LEAST_RECALL` or the whole catalogue is looked at.
    """
    if len(ids) != len(vectors):
        raise IndexMismatch(f"{len(vectors)} vectors but {len(ids)} track ids: export the version again")
    n, stored = min(n, len(vectors)), lengthened(vectors)
    graph = _graph(stored.shape[1])
    graph.add(np.arange(len(stored)), stored)
    exact, exact_ms = _timed(queries, lambda query: largest(vectors @ query, n))
    effort = n
    while True:
        graph.expansion_search = effort
        found, graph_ms = _timed(queries, lambda query: _nearest(graph, query, n))
        shares = np.array([np.isin(best, mine).mean() for best, mine in zip(exact, found, strict=True)])
        if shares.mean() >= LEAST_RECALL or effort >= len(vectors):
            break
        effort = min(2 * effort, len(vectors))
    partial = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    graph.save(str(partial / _GRAPH))
    np.save(partial / _VECTORS, np.ascontiguousarray(vectors, np.float32))
    (partial / _IDS).write_text("".join(f"{track}\n" for track in ids), encoding="utf-8", newline="\n")
    report = IndexReport(
        tracks=len(vectors), dimensions=vectors.shape[1], n=n, queries=len(queries), recall=float(shares.mean()),
        worst=float(shares.min()), effort=effort, graph_ms=graph_ms, exact_ms=exact_ms, exact=exact_ms <= graph_ms,
        bytes=(partial / _GRAPH).stat().st_size, vectors=fingerprint(vectors),
    )  # fmt: skip
    (partial / _REPORT).write_text(json.dumps(asdict(report), indent=1))
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return report


class ItemIndex:
    """An index as read; searches may come from several threads.

    >>> ItemIndex.load(models / "recommender" / "7").search(vector, 100)        # (track ids, scores float32 [n])
    """

    def __init__(self, version: int, report: IndexReport, graph, vectors: np.ndarray, ids: list[str]):
        self.version, self.report, self._graph, self._vectors, self._ids = version, report, graph, vectors, ids

    @classmethod
    def load(cls, version_folder: Path) -> ItemIndex:
        """Of the version folder ``<models>/<name>/<version>``; raises IndexMismatch, naming what is wrong, and
        FileNotFoundError where the version has no index."""
        folder = Path(version_folder) / INDEX
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder} does not exist: materialise serving/item_index")
        try:
            report = IndexReport(**json.loads((folder / _REPORT).read_text()))
            ids = (folder / _IDS).read_text(encoding="utf-8").splitlines()
            vectors = np.load(folder / _VECTORS, mmap_mode="r")
            graph = _graph(report.dimensions + 1)
            graph.view(str(folder / _GRAPH))
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            raise IndexMismatch(f"{folder} can not be read: {error}; materialise serving/item_index again") from error
        if not len(graph) == len(ids) == len(vectors) == report.tracks:
            raise IndexMismatch(f"{folder} is not whole: {report.tracks} tracks expected; build it again")
        graph.expansion_search = report.effort
        return cls(int(Path(version_folder).name), report, graph, vectors, ids)

    def search(self, vector: np.ndarray, n: int) -> tuple[list[str], np.ndarray]:
        """The at most ``n`` tracks with the largest inner products with ``vector`` float32 [D], best first, and those
        products (float32 [n])."""
        if len(vector) != self.report.dimensions:
            raise IndexMismatch(
                f"a vector of {len(vector)} numbers, but version {self.version} has {self.report.dimensions}"
            )
        n, query = min(n, self.report.tracks), np.asarray(vector, np.float32)
        if self.report.exact:
            products = self._vectors @ query
            rows = largest(products, n)
            return [self._ids[row] for row in rows], products[rows]
        rows = _nearest(self._graph, query, n)
        return [self._ids[row] for row in rows], self._vectors[rows] @ query


def largest(values: np.ndarray, n: int) -> np.ndarray:
    """Places of the ``n`` largest of ``values`` [I], the largest first."""
    top = np.argpartition(-values, n - 1)[:n] if n < len(values) else np.arange(len(values))
    return top[np.argsort(-values[top], kind="stable")]


def lengthened(vectors: np.ndarray) -> np.ndarray:
    """float32 [I, D + 1]: each of ``vectors`` [I, D] with a last number that makes all as long as the longest."""
    squared = (vectors.astype(np.float64) ** 2).sum(1)
    return np.concatenate([vectors, np.sqrt(squared.max(initial=0.0) - squared)[:, None]], 1).astype(np.float32)


def fingerprint(vectors: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(vectors, np.float32).tobytes()).hexdigest()


def _graph(dimensions: int):
    from usearch.index import Index

    return Index(ndim=dimensions, metric="l2sq", dtype="f32", connectivity=CONNECTIVITY, expansion_add=EFFORT)


def _nearest(graph, query: np.ndarray, n: int) -> np.ndarray:
    return np.asarray(graph.search(np.append(query, np.float32(0.0)), n, threads=1).keys, np.int64)


def _timed(queries: np.ndarray, search) -> tuple[list[np.ndarray], float]:
    """What ``search`` finds for each query, and the median time of a search in ms."""
    found, times = [], []
    for query in queries:
        started = time.perf_counter()
        found.append(search(query))
        times.append(1000 * (time.perf_counter() - started))
    return found, float(np.median(times))
