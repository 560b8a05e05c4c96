"""A table follows its contract: what changed in the declaration is changed in the table, or refused with the reason.

Applied: a new optional column or struct field, a new value of a set or a wider range, a widened type, a column made
optional, comments and properties. Refused: whatever would lose or invent values in rows that are there. Everything but
a widened type is a change of the log alone. Types are widened by rewriting the table in one commit: Delta's own type
widening is a reader feature that delta-rs, with which every table is read, does not know.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lakehouse import delta_log
from lakehouse.commits import retry_conflicts
from lakehouse.contract import Table
from lakehouse.settings import Settings

if TYPE_CHECKING:
    import deltalake
    import pyarrow as pa

    from lakehouse.lake import Lake

_WIDER = {
    "byte": {"short", "integer", "long", "double"},
    "short": {"integer", "long", "double"},
    "integer": {"long", "double"},
    "float": {"double"},
    "date": {"timestamp"},
}
_CONSTRAINT = "delta.constraints."
_BATCH_ROWS = 50_000
_INSTEAD = (
    "Declare it as it was, or declare a second table or column beside it and fill that from bronze "
    "(`soundlake tables NAME` shows what is there)"
)


class EvolutionRefused(ValueError):
    """A table can not follow its contract without harm to the rows it has."""


@dataclass(frozen=True)
class Change:
    """One step of a plan. ``kind`` is column, type, nullable, constraint, property or comment."""

    kind: str
    subject: str
    text: str
    apply: Callable[[Lake, deltalake.DeltaTable], None] = field(compare=False, repr=False)


@dataclass
class Plan:
    """What has to be done to a table in order, and why some of it can not be done."""

    table: Table
    changes: list[Change] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def raise_if_refused(self) -> None:
        if self.refused:
            raise EvolutionRefused(f"{self.table.name}: " + "; ".join(self.refused) + f". {_INSTEAD}")


def plan(settings: Settings, table: Table) -> Plan | None:
    """Contract against table, without Spark and without a change; None if the table does not exist yet."""
    delta = delta_log.open_table(settings, table)
    return _compare(table, delta) if delta is not None else None


def evolve(lake: Lake, table: Table) -> list[Change]:
    """Bring an existing table to its contract; -> the changes made, empty if there were none.

    Raises EvolutionRefused before anything is changed. Safe beside other writers: each step is one commit that is
    planned again on the table as it stands when another process was first.
    """
    done: list[Change] = []
    while True:
        change = retry_conflicts(lambda: _one_step(lake, table), f"evolution of {table.name}")
        if change is None:
            return done
        done.append(change)


def _one_step(lake: Lake, table: Table) -> Change | None:
    delta = delta_log.open_table(lake.settings, table)
    assert delta is not None  # ensure() made it
    found = _compare(table, delta)
    found.raise_if_refused()
    if not found.changes:
        return None
    found.changes[0].apply(lake, delta)
    return found.changes[0]


# ---------------------------------------------------------------------- what differs
def _compare(table: Table, delta: deltalake.DeltaTable) -> Plan:
    result = Plan(table)
    metadata = delta.metadata()
    if list(table.partition_by) != list(metadata.partition_columns):
        was, now = ", ".join(metadata.partition_columns) or "none", ", ".join(table.partition_by) or "none"
        result.refused.append(f"partitioned by {was}, declared by {now}: files would have to move")
    old_key = metadata.configuration.get("soundlake.key")
    if old_key not in (None, ",".join(table.key)):
        result.refused.append(f"its key is {old_key}, declared {','.join(table.key)}: rows could be doubled or lost")
    _compare_columns(result, delta)
    _compare_configuration(result, metadata)
    result.changes.sort(key=lambda change: change.kind != "type")  # the rewrite brings new columns with it
    return result


def _compare_columns(result: Plan, delta: deltalake.DeltaTable) -> None:
    table = result.table
    old = {f["name"]: f for f in json.loads(delta.schema().to_json())["fields"]}
    new = {f["name"]: f for f in delta_log.schema_json(table)["fields"]}
    added, gone = [n for n in new if n not in old], [n for n in old if n not in new]
    for name in gone:
        alike = [n for n in added if new[n]["type"] == old[name]["type"]]
        hint = f" (renamed to {alike[0]}?)" if len(alike) == len(gone) == 1 else ""
        result.refused.append(f"column {name} {_text(old[name]['type'])} is in the table and no longer declared{hint}")
    for name in added:
        if not new[name]["nullable"]:
            result.refused.append(f"new column {name} {_text(new[name]['type'])} has to be optional: old rows lack it")
        else:
            text = f"add {name} {_text(new[name]['type'])}"
            result.changes.append(Change("column", name, text, _add(new[name])))
    for name, was in old.items():
        if name in new:
            _compare_column(result, name, was, new[name])


def _compare_column(result: Plan, name: str, was: dict, now: dict) -> None:
    for path, kind, text in _type_differences(name, was["type"], now["type"]):
        if kind == "add":
            result.changes.append(Change("column", path, f"add {path} {text}", _add(now)))
        elif kind == "widen" and name not in result.table.partition_by:
            result.changes.append(Change("type", path, f"{path}: {text} (rewrites the table)", _widen(result.table)))
        else:
            result.refused.append(f"column {path} can not go from {text}: values could be lost")
    if was["nullable"] and not now["nullable"]:
        result.refused.append(f"column {name} {_text(was['type'])} is optional and can not become required")
    if now["nullable"] and not was["nullable"]:
        result.changes.append(
            Change("nullable", name, f"{name} becomes optional", lambda _, d: d.alter.drop_column_not_null(name))
        )
    comment = now["metadata"]["comment"]
    if was["metadata"].get("comment") != comment:
        metadata = {"comment": comment}
        result.changes.append(
            Change("comment", name, f"{name}: {comment}", lambda _, d: d.alter.set_column_metadata(name, metadata))
        )


def _type_differences(path: str, was: Any, now: Any) -> Iterator[tuple[str, str, str]]:
    """-> (path, "add" | "widen" | "refuse", text) of each difference, inside structs and arrays too."""
    if was == now:
        return
    if isinstance(was, str) or isinstance(now, str) or was["type"] != now["type"]:
        kind = "widen" if isinstance(was, str) and isinstance(now, str) and now in _WIDER.get(was, ()) else "refuse"
        yield path, kind, f"{_text(was)} to {_text(now)}"
    elif was["type"] == "array":
        yield from _type_differences(f"{path}[]", was["elementType"], now["elementType"])
    elif was["type"] == "struct":
        old, new = ({f["name"]: f["type"] for f in t["fields"]} for t in (was, now))
        for name in old:
            if name in new:
                yield from _type_differences(f"{path}.{name}", old[name], new[name])
            else:
                yield f"{path}.{name}", "refuse", f"{_text(old[name])} to nothing"
        for name in new:
            if name not in old:
                yield f"{path}.{name}", "add", _text(new[name])
    else:
        yield path, "refuse", f"{_text(was)} to {_text(now)}"


def _text(kind: Any) -> str:
    names = {"integer": "int", "long": "bigint", "short": "smallint", "byte": "tinyint"}
    if isinstance(kind, str):
        return names.get(kind, kind)
    if kind["type"] == "array":
        return f"array<{_text(kind['elementType'])}>"
    if kind["type"] == "struct":
        return "struct<" + ", ".join(f"{f['name']}: {_text(f['type'])}" for f in kind["fields"]) + ">"
    return kind["type"]


def _compare_configuration(result: Plan, metadata: Any) -> None:
    table, old = result.table, metadata.configuration
    new = delta_log.configuration(table)
    for name, value in new.items():
        if old.get(name) == value or name.startswith("delta.min"):
            continue
        if name.startswith(_CONSTRAINT):
            short = name.removeprefix(_CONSTRAINT)
            result.changes.append(Change("constraint", short, f"CHECK {value}", _constrain(table, name, value)))
        else:
            result.changes.append(Change("property", name, f"{old.get(name)} to {value}", _set(name, value)))
    for name in old:
        short = name.removeprefix(_CONSTRAINT)
        if name.startswith(_CONSTRAINT) and name not in new and short.endswith("_valid"):
            result.changes.append(
                Change("constraint", short, f"drop CHECK {old[name]}", lambda _, d, n=short: d.alter.drop_constraint(n))
            )
    if metadata.description != table.description:
        text = table.description
        result.changes.append(Change("comment", "table", text, lambda _, d: d.alter.set_table_description(text)))


# ---------------------------------------------------------------------- how it is changed
def _add(field_json: dict) -> Callable:
    def apply(_lake: Lake, delta: deltalake.DeltaTable) -> None:
        from deltalake import Field

        delta.alter.add_columns([Field.from_json(json.dumps(field_json))])

    return apply


def _set(name: str, value: str) -> Callable:
    return lambda _lake, delta: delta.alter.set_table_properties({name: value}, raise_if_not_exists=False)


def _constrain(table: Table, name: str, sql: str) -> Callable:
    def apply(lake: Lake, delta: deltalake.DeltaTable) -> None:
        old = delta.metadata().configuration.get(name)
        if not (old and loosens(old, sql)):
            _refuse_if_broken(lake, table, name.removeprefix(_CONSTRAINT), sql)
        _set(name, sql)(lake, delta)  # one commit: there is no moment without the constraint

    return apply


def _refuse_if_broken(lake: Lake, table: Table, name: str, sql: str) -> None:
    broken = lake.spark.read.format("delta").load(lake.uri(table)).where(f"NOT coalesce({sql}, false)").count()
    if broken:
        raise EvolutionRefused(
            f"{table.name}: {broken:,} rows break the new rule {name} ({sql}). Declare the check enforced=False to be "
            "warned of them only, or correct the rows first"
        )


def loosens(old: str, new: str) -> bool:
    """Does every value that passes the CHECK ``old`` pass ``new``? False where the texts do not tell."""
    if ("IS NULL OR" in old) and ("IS NULL OR" not in new):
        return False
    old_set, new_set = (re.search(r"\bIN \((.*?)\)", sql) for sql in (old, new))
    if old_set and new_set:
        return set(re.findall(r"'([^']*)'", old_set[1])) <= set(re.findall(r"'([^']*)'", new_set[1]))
    if old_set or new_set:
        return False
    return all(_bound(new, sign, worst) * way <= _bound(old, sign, worst) * way for sign, worst, way in _SIDES)


_SIDES = ((">=", "-inf", 1), ("<=", "inf", -1))


def _bound(sql: str, sign: str, worst: str) -> float:
    found = re.search(re.escape(sign) + r" (-?[\d.]+)", sql)
    return float(found[1] if found else worst)


def _widen(table: Table) -> Callable:
    """Rewrite in one commit, as a stream: columns in their declared types, one that is not there yet comes as null.

    delta-rs does it: what Spark overwrites with a new schema forgets which columns are required.
    """

    def apply(_lake: Lake, delta: deltalake.DeltaTable) -> None:
        import pyarrow as pa
        from deltalake import CommitProperties, Schema, write_deltalake

        schema = pa.schema(Schema.from_json(json.dumps(delta_log.schema_json(table))).to_arrow())

        stored = delta.to_pyarrow_dataset().to_batches(batch_size=_BATCH_ROWS)

        def batches() -> Iterator[pa.RecordBatch]:
            for batch in _read_ahead(stored):
                have = batch.schema.names
                columns = [
                    batch.column(f.name).cast(f.type) if f.name in have else pa.nulls(len(batch), f.type)
                    for f in schema
                ]
                yield pa.RecordBatch.from_arrays(columns, schema=schema)

        reader = pa.RecordBatchReader.from_batches(schema, batches())
        write_deltalake(
            delta,
            reader,
            mode="overwrite",
            schema_mode="overwrite",
            partition_by=list(table.partition_by) or None,
            commit_properties=CommitProperties(max_commit_retries=0),  # a row that landed meanwhile: read all again
        )

    return apply


def _read_ahead(batches: Iterator[pa.RecordBatch], depth: int = 4) -> Iterator[pa.RecordBatch]:
    """``batches``, read by a thread of their own: delta-rs can not read inside a callback of its own writer."""
    import queue
    import threading

    ready: queue.Queue = queue.Queue(depth)

    def feed() -> None:
        try:
            for batch in batches:
                ready.put(batch)
            ready.put(None)
        except BaseException as error:  # the writer's side raises it
            ready.put(error)

    threading.Thread(target=feed, daemon=True, name="rewrite-reader").start()
    while (item := ready.get()) is not None:
        if isinstance(item, BaseException):
            raise item
        yield item
