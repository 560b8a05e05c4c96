"""Arrow batches of a view's table as encoded rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lakehouse.features.declare import KEY_SEPARATOR
from lakehouse.online.codec import NULL_TIME
from lakehouse.online.rows import Field
from lakehouse.online.views import View

if TYPE_CHECKING:
    import pyarrow as pa


def encode_batches(
    view: View, batches: Iterable[pa.RecordBatch | pa.Table], commit_us: int
) -> Iterator[tuple[str, bytes]]:
    """Key and bytes of every row; ``commit_us`` is the ``as_of`` of a view that has no column for it."""
    for batch in batches:
        if batch.num_rows:
            moments = commit_us if view.as_of is None else _moments(batch.column(view.as_of))
            columns = {f.name: _column(f, batch.column(f.name)) for f in view.schema.fields}
            payloads = view.schema.codec.encode_columns(columns, batch.num_rows, moments)
            yield from zip(keys_of(view, batch), payloads, strict=True)


def keys_of(view: View, batch: pa.RecordBatch | pa.Table) -> list[str]:
    """The key of each row as text."""
    parts = [batch.column(name).to_pylist() for name in view.table.key]
    if len(parts) == 1:
        return [value if isinstance(value, str) else str(value) for value in parts[0]]
    return [KEY_SEPARATOR.join(map(str, key)) for key in zip(*parts, strict=True)]


def _moments(column: pa.Array) -> np.ndarray:
    """Microseconds since 1970; a null is NULL_TIME."""
    import pyarrow as pa
    import pyarrow.compute as pc

    micros = column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64())
    return _numpy(pc.fill_null(micros, NULL_TIME))


def _column(f: Field, column: pa.Array) -> Sequence[Any] | np.ndarray:
    import pyarrow as pa
    import pyarrow.compute as pc

    if f.kind == "timestamp":
        return _moments(column)
    if f.kind == "ids" or not _is_flat(f, column):
        return column.to_pylist()
    if f.size > 1:
        return _numpy(pc.list_flatten(column)).reshape(-1, f.size)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int64())
    if pa.types.is_integer(column.type):
        return _numpy(pc.fill_null(column, int(f.default)))
    return _numpy(pc.fill_null(column, f.default))


def _is_flat(f: Field, column: pa.Array) -> bool:
    """Whether the numbers can be taken as one array: no null lists, no nulls within, each list of the declared size."""
    import pyarrow.compute as pc

    if f.size == 1:
        return True
    sizes = pc.list_value_length(column)
    return not column.null_count and pc.list_flatten(column).null_count == 0 and bool(pc.all(pc.equal(sizes, f.size)))


def _numpy(column: Any) -> np.ndarray:
    found = column.to_numpy() if hasattr(column, "chunks") else column.to_numpy(zero_copy_only=False)
    return np.asarray(found)
