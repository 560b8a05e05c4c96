"""Spark SQL types as text to the JSON that Delta's schema has, without a JVM."""

from __future__ import annotations

from typing import Any

_NAMES = {"bigint": "long", "int": "integer", "smallint": "short", "tinyint": "byte", "real": "float"}


def type_json(text: str) -> Any:
    """The type as Spark's JSON has it; array elements and struct fields may be null.

    >>> type_json("array<struct<x: int>>")["elementType"]["fields"][0]["type"]
    'integer'
    """
    text = text.strip()
    kind, bracket, inside = text.partition("<")
    if not bracket:
        name = text.lower()
        return _NAMES.get(name, name)
    if not inside.endswith(">"):
        raise ValueError(f"type {text!r}: a '>' is missing")
    parts = _split(inside[:-1])
    if kind == "array":
        return {"type": "array", "elementType": type_json(inside[:-1]), "containsNull": True}
    if kind == "map":
        key, value = parts
        return {"type": "map", "keyType": type_json(key), "valueType": type_json(value), "valueContainsNull": True}
    if kind == "struct":
        fields = (part.partition(":") for part in parts)
        return {"type": "struct", "fields": [field_json(name.strip(), kind_) for name, _, kind_ in fields]}
    raise ValueError(f"type {text!r}: {kind!r} is none of array, map, struct")


def field_json(name: str, type_text: str, nullable: bool = True, comment: str | None = None) -> dict[str, Any]:
    metadata = {} if comment is None else {"comment": comment}
    return {"name": name, "type": type_json(type_text), "nullable": nullable, "metadata": metadata}


def _split(text: str) -> list[str]:
    """At the commas that are in no bracket."""
    parts, depth, start = [], 0, 0
    for number, character in enumerate(text):
        depth += (character in "<(") - (character in ">)")
        if character == "," and depth == 0:
            parts.append(text[start:number])
            start = number + 1
    return [*parts, text[start:]]
