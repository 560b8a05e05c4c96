"""Documents that are generated from the contracts; a test fails when a committed one is stale."""

from __future__ import annotations

import json
from collections.abc import Callable

from lakehouse.contract import Sensitivity, Table
from lakehouse.events import json_schema
from lakehouse.features.catalogue import feature_catalogue
from lakehouse.tables import TABLES

_LAYERS = {"bronze": "Bronze", "silver": "Silver", "gold": "Gold"}


def data_dictionary() -> str:
    """``docs/data-dictionary.md``."""
    lines = [
        "# Data dictionary",
        "",
        "Generated from `lakehouse/tables/` by `soundlake docs`; change the contracts, not this page.",
        "",
        "`pii`: *personal* columns tell something of one listener, named by a pseudonym only; *identifying* ones "
        "name the listener and stay in bronze.",
    ]
    for layer, title in _LAYERS.items():
        lines += ["", f"## {title}"]
        for table in TABLES.values():
            if table.layer == layer:
                lines += ["", *_section(table)]
    return "\n".join(lines) + "\n"


def _section(table: Table) -> list[str]:
    facts = [f"key: {', '.join(f'`{k}`' for k in table.key)}", f"written: {table.write.value}"]
    if table.partition_by:
        facts.append(f"files by {', '.join(table.partition_by)}")
    if table.retention_days:
        facts.append(f"kept {table.retention_days} days")
    lines = [f"### {table.name}", "", table.description, "", "; ".join(facts), ""]
    lines += ["| column | type | null | pii | rule | description |", "|---|---|---|---|---|---|"]
    for column in table.columns:
        pii = "" if column.sensitivity is Sensitivity.NONE else column.sensitivity.value
        null = "yes" if column.nullable else "no"
        rule = column.check.text.replace("|", "\\|") if column.check else ""
        lines.append(f"| `{column.name}` | `{column.type}` | {null} | {pii} | {rule} | {column.description} |")
    return lines


def event_schema() -> str:
    """``docs/event-schema.json``."""
    return json.dumps(json_schema(), indent=2, sort_keys=True) + "\n"


GENERATED: dict[str, Callable[[], str]] = {
    "data-dictionary.md": data_dictionary,
    "event-schema.json": event_schema,
    "features.md": feature_catalogue,
}
