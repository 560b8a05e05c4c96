"""Does the store serve what the table says? Random rows of the table, field by field against the store."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from lakehouse import delta_log
from lakehouse.online.from_arrow import keys_of
from lakehouse.online.rows import Field
from lakehouse.online.rules import streamed_after
from lakehouse.online.store import OnlineStore, OnlineStoreError
from lakehouse.online.views import View
from lakehouse.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Comparison:
    """``fresher``: sampled rows that the stream has overtaken, so that they have nothing to be compared with."""

    delta_version: int
    compared: int
    fresher: int
    differences: list[str]


def compare_with_delta(settings: Settings, store: OnlineStore, view: View, rows: int, seed: int) -> Comparison:
    """Compare ``rows`` random rows of the table, as of the version that the store was made from.

    Raises OnlineStoreError where the store has no rows of this view.
    """
    info = store.info(view.name)
    if info is None or info.source.delta_version is None:
        raise OnlineStoreError(
            f"view {view.name} is not materialised in {store.address}; `soundlake online materialise {view.name}`"
        )
    sample = _sample(settings, view, info.source.delta_version, rows, seed)
    if sample.num_rows == 0:
        return Comparison(info.source.delta_version, 0, 0, [])
    keys = keys_of(view, sample)
    fresher, differences = 0, []
    for key, payload, wanted in zip(keys, store.payloads(view.name, keys), sample.to_pylist(), strict=True):
        if payload is None:
            differences.append(f"{key}: the store has no row")
        elif streamed_after(payload, info.source.as_of_us):
            fresher += 1
        else:
            served = view.schema.codec.values(payload)
            wrong = [f.name for f in view.schema.fields if not _same(f, served[f.name], wanted[f.name])]
            if wrong:
                shown = wrong[0]
                told = f"{shown} is {served[shown]!r}, in Delta {wanted[shown]!r}"
                differences.append(f"{key}: {', '.join(wrong)} differ; {told}")
    return Comparison(info.source.delta_version, sample.num_rows - fresher, fresher, differences)


def _sample(settings: Settings, view: View, version: int, rows: int, seed: int) -> pa.Table:
    """Random rows, chosen by their place in the table; one seed gives the same rows of one version again."""
    import pyarrow as pa

    delta = delta_log.open_table(settings, view.table, version)
    if delta is None:
        raise OnlineStoreError(f"{view.table.name} is gone from {settings.lake}; `soundlake run` makes it")
    data = delta.to_pyarrow_dataset()
    total = data.count_rows()
    places = np.sort(np.random.default_rng(seed).choice(total, min(rows, total), replace=False))
    batches, start = [], 0
    for batch in data.to_batches(columns=view.columns):
        here = places[(places >= start) & (places < start + batch.num_rows)] - start
        if len(here):
            batches.append(batch.take(pa.array(here)))
        start += batch.num_rows
    return pa.Table.from_batches(batches) if batches else pa.table({})


def _same(f: Field, served: Any, wanted: Any) -> bool:
    """A value as read from the store against the table's, with a null as the declared default."""
    if f.kind == "ids":
        return served == ([] if wanted is None else [wanted] if isinstance(wanted, str) else wanted)
    if f.kind == "timestamp":
        return served == wanted if wanted is None or isinstance(wanted, datetime) else False
    numbers = wanted if isinstance(wanted, list) else [wanted] * (f.size if wanted is None else 1)
    numbers = [f.default if n is None else n for n in numbers]
    got = served.tolist() if isinstance(served, np.ndarray) else [served]
    if f.kind == "float32":
        numbers = np.float32(numbers).tolist()
    return len(got) == len(numbers) and all(map(_equal, got, numbers))


def _equal(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))
