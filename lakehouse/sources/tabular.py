"""Rows of csv, tsv, json, jsonl and parquet files, as dicts with the place they came from."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from lakehouse.sources.base import Origin, SourceError, numbered_lines, open_parquet, open_text

FORMATS = ("csv", "tsv", "json", "jsonl", "parquet")
_SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
_decode = msgspec.json.Decoder().decode


class Row(NamedTuple):
    """``values`` by column; ``problem`` is the reason a row can't be read, else None."""

    file: str
    line: int
    values: dict[str, Any]
    problem: str | None = None

    def origin(self) -> Origin:
        return Origin(self.file, self.line, json.dumps(self.values, ensure_ascii=False, default=str))


def find_tables(path: Path, kind: str | None) -> list[tuple[Path, str]]:
    """Files to read and the format of each: the file itself, or the files of a folder, by name."""
    if path.is_file():
        found = kind or _format_of(path)
        if found is None:
            raise SourceError(f"{path}: the name does not tell the format; add `format: csv` (or {', '.join(FORMATS)})")
        return [(path, found)]
    files = [file for file in sorted(path.rglob("*")) if file.is_file() and not file.name.startswith((".", "_"))]
    tables = [(file, _format_of(file)) for file in files]
    chosen = [(file, found) for file, found in tables if found is not None and kind in (None, found)]
    if not chosen:
        raise SourceError(f"{path}: no {kind or ', '.join(FORMATS)} file is in this folder")
    return chosen


def column_names(path: Path, kind: str) -> list[str] | None:
    """The columns of a file that declares them; None for JSON, where every row has its own."""
    if kind == "parquet":
        with open_parquet(path) as file:
            return file.schema_arrow.names
    if kind in ("csv", "tsv"):
        with open_text(path) as stream:
            return next(csv.reader(stream, _dialect(kind)), [])
    return None


def read_table(path: Path, kind: str, columns: list[str]) -> Iterator[Row]:
    """Rows of one file; of parquet only ``columns``. JSON objects within objects get dotted names."""
    if kind == "parquet":
        yield from _parquet(path, columns)
    elif kind in ("csv", "tsv"):
        yield from _delimited(path, _dialect(kind))
    elif kind == "jsonl":
        for origin in numbered_lines(path):
            yield _json_row(origin)
    else:
        yield from _json(path)


def _delimited(path: Path, dialect: type[csv.Dialect]) -> Iterator[Row]:
    with open_text(path) as stream:
        reader = csv.reader(stream, dialect)
        header = next(reader, [])
        while True:
            start = reader.line_num + 1
            try:
                cells = next(reader, None)
            except csv.Error as error:
                yield Row(path.name, start, {}, f"row can't be split into columns: {error}")
                continue
            if cells is None:
                return
            if not cells:
                continue
            values: dict[str, Any] = dict(zip(header, cells, strict=False))
            if len(cells) != len(header):
                values["(rest)"] = cells[len(header) :]
                yield Row(path.name, start, values, "row has more or fewer columns than the first line")
            else:
                yield Row(path.name, start, values)


def _json(path: Path) -> Iterator[Row]:
    """A JSON array of objects; also one object a line, which many tools call .json."""
    with open_text(path) as stream:
        array = stream.read(4096).lstrip().startswith("[")
    if not array:
        for origin in numbered_lines(path):
            yield _json_row(origin)
        return
    with open_text(path) as stream:
        try:
            rows = _decode(stream.read())
        except msgspec.DecodeError as error:
            raise SourceError(f"{path}: broken JSON ({error}); check it with `python -m json.tool {path}`") from error
    for number, row in enumerate(rows, 1):
        if isinstance(row, dict):
            yield Row(path.name, number, _flat(row))
        else:
            yield Row(path.name, number, {"value": row}, "element is no JSON object")


def _json_row(origin: Origin) -> Row:
    try:
        row = _decode(origin.text)
    except msgspec.DecodeError:
        return Row(origin.file, origin.line, {"line": origin.text}, "line is broken JSON")
    if not isinstance(row, dict):
        return Row(origin.file, origin.line, {"line": origin.text}, "line is no JSON object")
    return Row(origin.file, origin.line, _flat(row))


def _flat(row: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _parquet(path: Path, columns: list[str]) -> Iterator[Row]:
    number = 0
    with open_parquet(path, columns) as file:
        for batch in file.iter_batches(batch_size=65536, columns=columns):
            for values in batch.to_pylist():
                number += 1
                yield Row(path.name, number, values)


def _dialect(kind: str) -> type[csv.Dialect]:
    return csv.excel_tab if kind == "tsv" else csv.excel


def _format_of(path: Path) -> str | None:
    name = path.with_suffix("") if path.suffix == ".gz" else path
    return _SUFFIXES.get(name.suffix.lower())
