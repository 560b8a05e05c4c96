"""The page shows the last result of every check, needs nothing from elsewhere, and survives whatever a value says."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import pyarrow as pa
import pytest

from lakehouse.contract import Column, Sensitivity, Table, Write, between
from lakehouse.quality import store, validate
from lakehouse.quality.store import Result, load, newest_page, record

BAD = Result(
    "silver.listens",
    "valid_values",
    False,
    True,
    "between on completion: 2 rows",
    run_id="r1",
    failures=[
        {"column": "completion", "unexpected": 2, "rows": [{"event_id": "<script>x</script>", "completion": "7.5"}]}
    ],
)
GOOD = Result(
    "bronze.events", "volume", True, False, "none is unusual", series={"play": [["2026-01-05", 3], ["2026-01-07", 9]]}
)
REASONS = Result(
    "bronze.quarantine",
    "quarantine_share",
    False,
    False,
    "4 lines",
    counts={"By reason": {"broken JSON": 3, "wrong encoding": 1}},
)


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.sources += [value for name, value in attributes if name in ("src", "href")]


def test_a_page_of_every_run_and_the_newest_at_one_place(settings):
    assert newest_page(settings) is None
    page = record(settings, [BAD, GOOD, REASONS])
    assert page == newest_page(settings)
    html = page.read_text()
    for text in (
        "valid_values",
        "✗ error",
        "! warning",
        "✓ passed",
        "broken JSON",
        "75.0%",
        "7.5",
        "between on completion",
    ):
        assert text in html
    parser = _Tags()
    parser.feed(html)
    assert "script" not in parser.tags and parser.sources == []
    assert parser.tags.count("rect") == 2  # a day without a dump has no bar
    record(settings, [replace(BAD, passed=True, failures=[], run_id="r2")])
    assert "✗ error" not in newest_page(settings).read_text()
    assert "✗ error" in (page.parent / "run-r1.html").read_text()
    assert [r.check for r in load(settings)] == ["volume", "quarantine_share", "valid_values"]


def test_pages_of_old_runs_go(settings, monkeypatch):
    monkeypatch.setattr(store, "_PAGES_KEPT", 2)
    for number in range(4):
        record(settings, [replace(GOOD, run_id=f"r{number}")])
    assert len(list(store.folder(settings).glob("run-*.html"))) == 2


PEOPLE = Table(
    "silver.people",
    "People.",
    (
        Column("id", "string", "an id", nullable=False, sensitivity=Sensitivity.IDENTIFYING),
        Column("part", "string", "a part", nullable=False),
        Column("age", "int", "an age", check=between(0, 120)),
        Column("score", "double", "a score", check=between(0, 1, blocking=False)),
    ),
    key=("id", "part"),
    write=Write.REPLACE,
)


@pytest.mark.parametrize("engine", ["pandas", "spark"])
def test_failing_rows_show_key_and_value_and_never_who_it_is(lake, monkeypatch, engine):
    import deltalake

    if engine == "spark":
        monkeypatch.setattr("lakehouse.quality.suites.PANDAS_ROWS", -1)
    rows = [("Jane", "a", 300, 0.5), ("Joe", "b", 30, 7.0), ("Joe", "b", 30, None)]
    schema = pa.schema([("id", "string"), ("part", "string"), ("age", "int32"), ("score", "float64")])
    data = pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema)
    deltalake.write_deltalake(lake.settings.table_uri(PEOPLE.name), data)
    lake._ensured.add(PEOPLE.name)  # its rows break the contract
    results = validate(PEOPLE, lake)
    assert {name for name, r in results.items() if not r.passed} == {"unique_key", "valid_values", "plausible_values"}
    assert results["valid_values"].failures[0]["rows"] == [{"id": "(not shown)", "part": "a", "age": "300"}]
    assert results["plausible_values"].failures[0]["rows"] == [{"id": "(not shown)", "part": "b", "score": "7.0"}]
    assert len(results["unique_key"].failures[0]["rows"]) == 2
    assert "Jane" not in str(results)
