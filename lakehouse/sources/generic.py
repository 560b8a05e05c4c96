"""Anyone's own columns, by a declarative YAML mapping: csv, tsv, json, jsonl or parquet (text formats also gzipped)."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from lakehouse.catalogue import ENTITIES, ENTITY_KEY
from lakehouse.events import EVENTS, SCHEMA_VERSION
from lakehouse.sources.base import Record, checked, stable_id
from lakehouse.sources.mapping import Mapping, load_mapping
from lakehouse.sources.tabular import Row, column_names, find_tables, read_table
from lakehouse.sources.values import Value, ValueProblem, word


class Generic:
    """Option ``mapping``: the YAML file.

    Event ids come from the ``event_id`` columns, or else from all mapped columns: rows that agree in those are one
    event. A catalogue row is written the first time its id is seen.
    """

    name = "generic"
    description = "csv, tsv, json, jsonl or parquet with columns of your own, described by a YAML mapping"

    def read(self, path: Path, *, mapping: str | Path) -> Iterator[Record]:
        rules = load_mapping(Path(mapping))
        converter = _Converter(rules)
        for file, kind in find_tables(path, rules.format):
            _check_columns(rules, file, column_names(file, kind))
            for row in read_table(file, kind, list(rules.columns)):
                if row.problem is not None:
                    yield row.origin().rejected(row.problem)
                else:
                    yield from converter.records(row)


def _check_columns(rules: Mapping, file: Path, found: list[str] | None) -> None:
    for column, node in rules.columns.items():
        if found is not None and column not in found:
            close = difflib.get_close_matches(column, found, n=2, cutoff=0.5)
            hint = f"Did you mean {' or '.join(close)}?" if close else f"It has: {', '.join(found)}"
            raise node.error(f"{file.name} has no column {column!r}", hint)


class _Converter:
    def __init__(self, rules: Mapping):
        self._rules = rules
        self._positions: Counter[str] = Counter()
        self._seen: dict[str, set[str]] = {entity: set() for entity in rules.catalogue}
        self._id_columns = rules.event_id or sorted(rules.columns)

    def records(self, row: Row) -> Iterator[Record]:
        """New catalogue entities of the row, then its event; or the row rejected."""
        try:
            event = self._event(row)
        except ValueProblem as problem:
            yield row.origin().rejected(str(problem))
            return
        except msgspec.ValidationError as error:
            yield row.origin().rejected(f"breaks the contract: {error}")
            return
        yield from self._entities(row)
        yield checked(event, row.origin())

    def _event(self, row: Row) -> Record:
        rules, values = self._rules, row.values
        kind = self._kind(values)
        made: dict[str, Any] = {"payload": {}, "schema_version": SCHEMA_VERSION}
        for path, value in rules.fields.items():
            found = value.of(values)
            if found is None and path in rules.required[kind]:
                raise ValueProblem(f"{path} has no value in {value.place}")
            _put(made, path, found)
        identity: list[Any] = [values.get(column) for column in self._id_columns]
        if rules.clock.column is None:
            user = str(made.get("user_id"))
            position = self._positions[user]
            self._positions[user] += 1
            made["occurred_at"], made["clock"] = rules.clock.at(position), "synthetic"
            if not rules.event_id:
                identity.append(position)
        else:
            made["occurred_at"] = rules.clock.read(values)
        made["received_at"] = rules.received.read(values) if rules.received else made["occurred_at"]
        made["event_id"] = stable_id("generic", rules.name, kind, *identity)
        made["event_type"] = kind
        return msgspec.convert(_texts(made), EVENTS[kind], strict=False)

    def _kind(self, values: dict[str, Any]) -> str:
        rules = self._rules
        if rules.event_type is not None:
            return rules.event_type
        found = word(values.get(rules.event_type_column))
        kind = rules.event_type_values.get(found)
        if kind is None:
            raise ValueProblem(f"{rules.event_type_column}={found[:80]!r} is not among the mapping's event types")
        return kind

    def _entities(self, row: Row) -> Iterator[Record]:
        for entity, fields in self._rules.catalogue.items():
            try:
                made = self._entity(fields, row.values)
                key = made.get(ENTITY_KEY[entity])
                if key is None or str(key) in self._seen[entity]:
                    continue
                record = msgspec.convert(_texts(made), ENTITIES[entity], strict=False)
            except (ValueProblem, msgspec.ValidationError) as problem:
                yield row.origin().rejected(f"catalogue {entity}: {problem}")
                continue
            self._seen[entity].add(str(key))
            yield checked(record, row.origin())

    @staticmethod
    def _entity(fields: dict[str, Value], values: dict[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for path, value in fields.items():
            _put(made, path, value.of(values))
        return made


def _put(made: dict[str, Any], path: str, value: Any) -> None:
    if value is not None:
        head, _, name = path.partition(".")
        if name:
            made.setdefault(head, {})[name] = value
        else:
            made[head] = value


def _texts(made: dict[str, Any]) -> dict[str, Any]:
    """Ids that came as numbers (JSON, parquet) become texts, as the contract wants them."""
    for name, value in made.items():
        if isinstance(value, dict):
            _texts(value)
        elif name.endswith("_id") and isinstance(value, int):
            made[name] = str(value)
    return made
