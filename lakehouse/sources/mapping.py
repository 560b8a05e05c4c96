"""The mapping file of the generic source: read from YAML, checked against the contract, with lines in every error.

docs of the format: ``lakehouse/sources/examples/classic_rock_radio.yaml`` shows every common key with comments.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import yaml

from lakehouse.catalogue import ENTITIES, ENTITY_KEY
from lakehouse.events import EVENTS, PAYLOADS, Context, Device
from lakehouse.sources.base import SourceError
from lakehouse.sources.clocks import Clock, clock_from
from lakehouse.sources.tabular import FORMATS
from lakehouse.sources.values import Value, value_from

_KEYS = ("name", "format", "event_type", "event_id", "timestamp", "received_at", "fields", "constants", "catalogue")
_ENVELOPE_FIELDS = ("user_id", "session_id")


class MappingError(SourceError):
    """A mistake in a mapping file: names the file, the line, the key, and the fix."""


class MappingNode:
    """A YAML value that knows where it stands."""

    def __init__(self, value: Any, file: str, lines: dict[str, int], path: str = ""):
        self.value, self.path = value, path
        self._file, self._lines = file, lines

    def error(self, problem: str, fix: str, key: str | None = None) -> MappingError:
        path = ".".join(part for part in (self.path, key or "") if part)
        line = self._lines.get(path) or self._lines.get(self.path) or 1
        return MappingError(f"{self._file}, line {line}: {path or 'mapping'}: {problem}. {fix}")

    def child(self, key: str) -> MappingNode:
        path = f"{self.path}.{key}" if self.path else key
        return MappingNode(self.value[key], self._file, self._lines, path)

    def table(self, known: Collection[str] | None = None, what: str = "a table of keys and values") -> dict[str, Any]:
        """The value as a dict; with ``known``, other keys are errors."""
        if not isinstance(self.value, dict):
            raise self.error(f"is {self.value!r}", f"Write {what}")
        for key in self.value:
            if known is not None and key not in known:
                raise self.error("unknown key", _suggest(key, known), key)
        return self.value

    def text(self, choices: Collection[str] | None = None) -> str:
        if not isinstance(self.value, str) or not self.value:
            raise self.error(f"is {self.value!r}", "Write a text, in quotes if YAML reads it as something else")
        if choices is not None and self.value not in choices:
            raise self.error(f"is {self.value!r}", _suggest(self.value, choices))
        return self.value

    def texts(self) -> list[str]:
        values = [self.value] if isinstance(self.value, str) else self.value
        if not isinstance(values, list) or not values or not all(isinstance(item, str) for item in values):
            raise self.error(f"is {self.value!r}", "Write a column name or a list of them, like [song, artist]")
        return values


@dataclass
class Mapping:
    """A checked mapping.

    ``fields`` go from dotted paths of the event to values, ``required`` are the paths each event type must have,
    ``columns`` tells for every column that is read where the mapping names it.
    """

    name: str
    format: str | None
    event_type: str | None
    event_type_column: str | None
    event_type_values: dict[str, str]
    event_id: list[str]
    clock: Clock
    received: Clock | None
    fields: dict[str, Value]
    required: dict[str, set[str]]
    catalogue: dict[str, dict[str, Value]] = field(default_factory=dict)
    columns: dict[str, MappingNode] = field(default_factory=dict)


def load_mapping(path: Path) -> Mapping:
    """Read and check a mapping file; raises MappingError."""
    root = _parse(path)
    root.table(_KEYS)
    for key, fix in (
        ("name", "Add `name: my-data-set`; it keeps event ids of different data sets apart"),
        ("event_type", "Add `event_type: play`, or a column and its values"),
        ("timestamp", "Add `timestamp: {column: ..., format: iso}`, or `timestamp: synthetic` if there is none"),
        ("fields", "Add `fields:` with at least user_id"),
    ):
        if key not in root.value:
            raise root.error(f"the key {key!r} is missing", fix)
    columns: dict[str, MappingNode] = {}
    kinds, kind_column = _event_type(root.child("event_type"), columns)
    event_id: list[str] = []
    if "event_id" in root.value:
        event_id = root.child("event_id").texts()
        columns.update(dict.fromkeys(event_id, root.child("event_id")))
    mapping = Mapping(
        name=root.child("name").text(),
        format=root.child("format").text(FORMATS) if "format" in root.value else None,
        event_type=None if kind_column else next(iter(kinds.values())),
        event_type_column=kind_column,
        event_type_values=kinds,
        event_id=event_id,
        clock=clock_from(root.child("timestamp"), columns, synthetic=True),
        received=clock_from(root.child("received_at"), columns) if "received_at" in root.value else None,
        fields=_fields(root, set(kinds.values()), columns),
        required={kind: _required(kind) for kind in kinds.values()},
        columns=columns,
    )
    if "catalogue" in root.value:
        mapping.catalogue = _catalogue(root.child("catalogue"), columns)
    return mapping


def _event_type(node: MappingNode, columns: dict[str, MappingNode]) -> tuple[dict[str, str], str | None]:
    """-> ({value of the column: event type}, column); for a constant {"": type} and None."""
    if isinstance(node.value, str):
        return {"": node.text(EVENTS)}, None
    table = node.table(("column", "values"), "an event type, or {column: ..., values: {their word: play}}")
    for key in ("column", "values"):
        if key not in table:
            raise node.error(f"the key {key!r} is missing", "Write {column: action, values: {listened: play}}")
    column = node.child("column").text()
    columns[column] = node.child("column")
    values = node.child("values")
    if not values.table():
        raise values.error("is empty", "Name at least one value, like {listened: play}")
    return {value: values.child(value).text(EVENTS) for value in values.value}, column


def _fields(root: MappingNode, kinds: set[str], columns: dict[str, MappingNode]) -> dict[str, Value]:
    known = list(_ENVELOPE_FIELDS)
    known += [f"device.{name}" for name in _names(Device)] + [f"context.{name}" for name in _names(Context)]
    payload = sorted({f"payload.{name}" for kind in kinds for name in _names(PAYLOADS[kind])})
    fields: dict[str, Value] = {}
    node = root.child("fields")
    for path in node.table(known + payload):
        fields[path] = value_from(node.child(path), columns)
    if "constants" in root.value:
        node = root.child("constants")
        for path, value in node.table(known + payload).items():
            if path in fields:
                raise node.error("is in fields too", "Keep one of the two", path)
            fields[path] = Value(constant=value)
    for path in sorted(set().union(*map(_required, kinds)) - fields.keys()):
        raise root.error(f"{path} is missing", f"Add `{path}: <column>`: events of this type must have it", "fields")
    return fields


def _catalogue(node: MappingNode, columns: dict[str, MappingNode]) -> dict[str, dict[str, Value]]:
    catalogue: dict[str, dict[str, Value]] = {}
    for entity in node.table(ENTITIES):
        part = node.child(entity)
        known = [name for name in _names(ENTITIES[entity]) if name != "acoustic"]
        if entity == "tracks":
            acoustic = next(f.type for f in msgspec.structs.fields(ENTITIES[entity]) if f.name == "acoustic")
            known += [f"acoustic.{name}" for name in _names(acoustic)]
        part.table(known)
        if ENTITY_KEY[entity] not in part.value:
            raise part.error(f"{ENTITY_KEY[entity]} is missing", f"Add `{ENTITY_KEY[entity]}: <column>`")
        catalogue[entity] = {name: value_from(part.child(name), columns) for name in part.value}
    return catalogue


def _required(kind: str) -> set[str]:
    return {"user_id"} | {f"payload.{item.name}" for item in msgspec.structs.fields(PAYLOADS[kind]) if item.required}


def _names(struct: type[msgspec.Struct]) -> list[str]:
    return [item.name for item in msgspec.structs.fields(struct)]


def _suggest(word: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    return f"Did you mean {' or '.join(close)}?" if close else f"Known: {', '.join(known)}"


def _parse(path: Path) -> MappingNode:
    if not path.is_file():
        raise MappingError(f"mapping file {path} does not exist; give --mapping FILE.yaml")
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise MappingError(f"{path} is no valid YAML: {error}") from error
    lines: dict[str, int] = {}
    value = _plain(node, "", lines, path) if node is not None else {}
    return MappingNode(value, str(path), lines)


def _plain(node: yaml.Node, path: str, lines: dict[str, int], file: Path) -> Any:
    """A YAML node as plain values, keys as texts; ``lines`` gets the line of every dotted key."""
    if isinstance(node, yaml.MappingNode):
        table: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                line = key_node.start_mark.line + 1
                raise MappingError(f"{file}, line {line}: {path or 'mapping'}: a key is no text. Write `key: value`")
            key = key_node.value  # as written: `yes: like` is about the word yes, not about true
            inner = f"{path}.{key}" if path else key
            lines[inner] = key_node.start_mark.line + 1
            if key in table:
                raise MappingError(f"{file}, line {lines[inner]}: {inner}: the key appears twice. Keep one of them")
            table[key] = _plain(value_node, inner, lines, file)
        return table
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, path, lines, file) for item in node.value]
    return yaml.SafeLoader("").construct_object(node)
