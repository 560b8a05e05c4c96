"""How a mapping makes one value from the columns of a row.

``column_name``, or one of: ``{column: c}`` with optional ``scale`` (a factor), ``values`` (a translation) and
``default``; ``{constant: x}``; ``{hash: [c1, c2], prefix: "track-"}`` (a stable id made from several columns).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lakehouse.sources.base import stable_id

if TYPE_CHECKING:
    from lakehouse.sources.mapping import MappingNode

_KEYS = ("column", "scale", "values", "default", "constant", "hash", "prefix")


class ValueProblem(ValueError):
    """A value of a row can't be used; the text is the reason the row is rejected with."""


@dataclass
class Value:
    column: str | None = None
    scale: float | None = None
    values: dict[str, Any] | None = None
    default: Any = None
    constant: Any = None
    hash: list[str] = field(default_factory=list)
    prefix: str = ""

    def of(self, row: dict[str, Any]) -> Any:
        """The value in ``row``; None when there is none. Raises ValueProblem."""
        if self.constant is not None:
            return self.constant
        if self.hash:
            parts = [row.get(column) for column in self.hash]
            known = any(part not in (None, "") for part in parts)
            return f"{self.prefix}{stable_id(*parts)}" if known else self.default
        value = row.get(self.column)
        if value is None or value == "":
            return self.default
        if self.values is not None:
            return self.values.get(word(value), self.default)
        return self._scaled(value) if self.scale is not None else value

    @property
    def place(self) -> str:
        """Where the value comes from, for messages."""
        return f"columns {', '.join(self.hash)}" if self.hash else f"column {self.column}"

    def _scaled(self, value: Any) -> int | float:
        try:
            scaled = float(value) * self.scale
            return round(scaled) if scaled == round(scaled) or abs(scaled) >= 1000 else scaled
        except (TypeError, ValueError, OverflowError):
            raise ValueProblem(f"column {self.column!r} is no number, so it can't be scaled") from None


def word(value: Any) -> str:
    """A cell as the key of a translation table would be written."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def value_from(node: MappingNode, columns: dict[str, MappingNode]) -> Value:
    """Check and build a value; the columns it reads are added to ``columns``."""
    if isinstance(node.value, str):
        columns[node.text()] = node
        return Value(column=node.value)
    table = node.table(_KEYS, "a column name, or {column: ...}, {constant: ...} or {hash: [...]}")
    kinds = [key for key in ("column", "constant", "hash") if key in table]
    if len(kinds) != 1:
        raise node.error(f"has {' and '.join(kinds) or 'no source'}", "Give exactly one of column, constant and hash")
    if kinds[0] == "constant":
        if table["constant"] is None or len(table) > 1:
            raise node.error("a constant needs a value and takes no other key", "Write {constant: US}")
        return Value(constant=table["constant"])
    if kinds[0] == "hash":
        names = node.child("hash").texts()
        columns.update(dict.fromkeys(names, node))
        return Value(hash=names, prefix=str(table.get("prefix", "")), default=table.get("default"))
    column = node.child("column").text()
    columns[column] = node
    scale = table.get("scale")
    if scale is not None and (isinstance(scale, bool) or not isinstance(scale, (int, float)) or not scale):
        raise node.error(f"is {scale!r}", "Write a number, like 1000 for seconds to milliseconds", "scale")
    values = dict(node.child("values").table()) if "values" in table else None
    return Value(column=column, scale=scale, values=values, default=table.get("default"))
