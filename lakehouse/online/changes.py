"""What changed in a Delta table between two versions, by its change data feed; read without a JVM."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lakehouse.online.from_arrow import keys_of
from lakehouse.online.views import View

if TYPE_CHECKING:
    import deltalake
    import pyarrow as pa

_BY_ROW = ("MERGE", "UPDATE", "DELETE")
_NO_ROWS = ("OPTIMIZE", "VACUUM START", "VACUUM END", "SET TBLPROPERTIES", "ADD CONSTRAINT", "FSCK")


class Changes(NamedTuple):
    """The newest row of each key that was written, and the keys that are gone."""

    rows: pa.Table
    removed: list[str]


def tells_rows(delta: deltalake.DeltaTable, after: int) -> bool:
    """Whether the commits after version ``after`` touched single rows: then the feed is shorter than the table.

    A table that was replaced has all of its rows in the feed, old and new; reading it once is less work.
    """
    commits = [c for c in delta.history(delta.version() - after) if c.get("version", 0) > after]
    if len(commits) < delta.version() - after:
        return False  # a part of the log is gone
    return all(_by_row(c.get("operation", ""), c.get("operationParameters") or {}) for c in commits)


def _by_row(operation: str, parameters: dict) -> bool:
    appended = operation in ("WRITE", "STREAMING UPDATE") and str(parameters.get("mode", "Append")).lower() == "append"
    return appended or operation in (*_BY_ROW, *_NO_ROWS)


def read(delta: deltalake.DeltaTable, view: View, after: int, limit: int) -> Changes | None:
    """Changes after version ``after``; None if the feed is not kept for all of them or has more than ``limit`` rows."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from deltalake.exceptions import DeltaError

    columns = [*view.columns, "_change_type", "_commit_version"]
    batches, rows = [], 0
    try:
        feed = delta.load_cdf(starting_version=after + 1, ending_version=delta.version(), columns=columns)
        for batch in pa.RecordBatchReader.from_stream(feed):
            batches.append(batch.cast(_plain(batch.schema)))
            rows += batch.num_rows
            if rows > limit:
                return None
    except DeltaError:  # the feed was switched on later, or VACUUM has removed a part of it
        return None
    if not batches:
        return Changes(pa.table({}), [])
    found = pa.Table.from_batches(batches)
    found = found.filter(pc.not_equal(found["_change_type"], "update_preimage"))
    last: dict[str, tuple[int, bool, int]] = {}
    marks = zip(found["_commit_version"].to_pylist(), found["_change_type"].to_pylist(), strict=True)
    for row, (key, (version, kind)) in enumerate(zip(keys_of(view, found), marks, strict=True)):
        last[key] = max(last.get(key, (-1, False, -1)), (version, kind != "delete", row))
    kept = [row for _, there, row in last.values() if there]
    return Changes(found.take(kept), [key for key, (_, there, _) in last.items() if not there])


def _plain(schema: pa.Schema) -> pa.Schema:
    """The feed has view types, which few functions of pyarrow know."""
    import pyarrow as pa

    def plain(kind: pa.DataType) -> pa.DataType:
        if pa.types.is_list(kind):
            return pa.list_(plain(kind.value_type))
        return pa.string() if pa.types.is_string_view(kind) else kind

    return pa.schema([field.with_type(plain(field.type)) for field in schema])
