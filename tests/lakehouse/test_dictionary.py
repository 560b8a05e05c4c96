"""Generated documents are as fresh as the contracts."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakehouse.dictionary import GENERATED
from lakehouse.tables import TABLES

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", GENERATED)
def test_the_committed_document_is_fresh(name):
    written = (DOCS / name).read_text()
    assert written == GENERATED[name](), f"docs/{name} is stale: write it again with `soundlake docs`"


def test_the_dictionary_has_every_column():
    text = GENERATED["data-dictionary.md"]()
    for table in TABLES.values():
        section = text.split(f"### {table.name}\n")[1].split("\n### ")[0]
        assert [c.name for c in table.columns if f"| `{c.name}` | `{c.type}` |" not in section] == []
