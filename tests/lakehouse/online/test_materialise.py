"""Delta tables come into either store whole, by their change data feed, or by comparison."""

from __future__ import annotations

from datetime import timedelta

import pytest
from deltalake import DeltaTable
from taste import NOON, TABLE, TASTE, VIEW, append_rows, delete_rows, merge_rows, replace_table

from lakehouse import delta_log
from lakehouse.arrow import TableMissing
from lakehouse.online import materialise as module
from lakehouse.online.materialise import materialise
from lakehouse.online.rows import Field, RowSchema, microseconds
from lakehouse.online.verify import compare_with_delta
from lakehouse.online.views import View

LATER, LATEST = NOON + timedelta(hours=1), NOON + timedelta(hours=2)


def counts(done) -> tuple[str, int, int, int]:
    return done.way, done.offered, done.changed, done.removed


def served(store, *keys: str) -> list[int | None]:
    return [None if row.missing else row.values["plays"] for row in store.get_many(TASTE, keys)]


def agrees(settings, store) -> bool:
    result = compare_with_delta(settings, store, VIEW, rows=1000, seed=1)
    assert result.compared, "nothing was compared"
    return not result.differences


def test_the_first_time_is_whole(store_settings, store):
    replace_table(store_settings, {f"u{i}": i for i in range(300)}, NOON)
    done = materialise(store_settings, store, VIEW)
    assert counts(done) == ("full", 300, 300, 0)
    assert done.info.rows == 300
    assert done.info.source.delta_version == 1 and done.info.source.table == "gold.taste"
    assert done.info.source.as_of_us == microseconds(NOON)
    assert store.get(TASTE, "u7").as_of == NOON
    assert agrees(store_settings, store)


def test_a_second_time_does_nothing(store_settings, store):
    replace_table(store_settings, {"a": 1}, NOON)
    first = materialise(store_settings, store, VIEW)
    again = materialise(store_settings, store, VIEW)
    assert counts(again) == ("up to date", 0, 0, 0)
    assert again.info == first.info
    assert materialise(store_settings, store, VIEW, whole=True).info.version == first.info.version + 1


def test_merged_rows_come_by_the_change_data_feed(store_settings, store):
    replace_table(store_settings, {f"u{i}": i for i in range(100)}, NOON)
    materialise(store_settings, store, VIEW)
    merge_rows(store_settings, {"u1": 10, "u2": 2, "new": 5}, LATER)
    merge_rows(store_settings, {"u1": 11}, LATER)
    delete_rows(store_settings, "u3")
    append_rows(store_settings, {"added": 6}, LATER)
    delta = DeltaTable(delta_log.uri(store_settings, TABLE))
    delta.optimize.compact()
    assert delta.history(1)[0]["operation"] == "OPTIMIZE"
    done = materialise(store_settings, store, VIEW)
    assert counts(done) == ("changes", 5, 3, 1)  # u2 is as it was
    assert (done.from_delta_version, done.info.source.delta_version, done.info.version) == (1, 6, 1)
    assert done.info.source.as_of_us == microseconds(LATER)
    assert served(store, "u1", "u2", "u3", "u4", "new", "added") == [11, 2, None, 4, 5, 6]
    assert agrees(store_settings, store)


def test_a_replaced_table_is_compared_and_only_what_differs_is_written(store_settings, store):
    replace_table(store_settings, {f"u{i}": i for i in range(100)}, NOON)
    materialise(store_settings, store, VIEW)
    replace_table(store_settings, {f"u{i}": i + (i == 8) for i in range(1, 101)}, NOON)
    done = materialise(store_settings, store, VIEW)
    assert counts(done) == ("comparison", 100, 2, 1)
    assert served(store, "u0", "u7", "u8", "u100") == [None, 7, 9, 100]
    assert done.info.rows == 100
    assert agrees(store_settings, store)


def test_where_most_rows_differ_a_new_version_is_loaded(store_settings, store, monkeypatch):
    replace_table(store_settings, {f"u{i}": i for i in range(20)}, NOON)
    materialise(store_settings, store, VIEW)
    replace_table(store_settings, {f"u{i}": i + 1 for i in range(20)}, LATER)
    assert counts(materialise(store_settings, store, VIEW)) == ("full", 20, 20, 0)
    monkeypatch.setattr(module, "MOST_CHANGES", 3)
    merge_rows(store_settings, {f"u{i}": 70 for i in range(4)}, LATER)
    done = materialise(store_settings, store, VIEW)
    assert (done.way, done.info.version) == ("full", 3)
    assert agrees(store_settings, store)


def test_rows_of_the_stream_are_kept_until_the_table_has_caught_up(store_settings, store):
    replace_table(store_settings, {f"u{i}": i for i in range(50)}, NOON)
    materialise(store_settings, store, VIEW)
    store.put(TASTE, {"u1": {"plays": 100}, "stranger": {"plays": 1}}, LATER)
    replace_table(store_settings, {f"u{i}": i for i in range(50)}, NOON)
    assert materialise(store_settings, store, VIEW).way == "comparison"
    assert served(store, "u1", "stranger") == [100, 1]
    assert agrees(store_settings, store)  # rows that are fresher than the table are not compared
    assert materialise(store_settings, store, VIEW, whole=True).info.rows == 51
    assert served(store, "u1", "stranger") == [100, 1]
    replace_table(store_settings, {f"u{i}": i for i in range(50)}, LATEST)
    materialise(store_settings, store, VIEW)
    assert served(store, "u1", "stranger") == [1, None]


def test_a_table_made_anew_is_loaded_whole_though_its_version_is_lower(store_settings, store):
    import shutil

    replace_table(store_settings, {"a": 1}, NOON)
    merge_rows(store_settings, {"b": 2}, NOON)
    materialise(store_settings, store, VIEW)
    shutil.rmtree(delta_log.uri(store_settings, TABLE))
    replace_table(store_settings, {"c": 3}, NOON)
    assert materialise(store_settings, store, VIEW).way == "full"
    assert served(store, "a", "b", "c") == [None, None, 3]


def test_a_restored_table_is_compared(store_settings, store):
    replace_table(store_settings, {f"u{i}": i for i in range(10)}, NOON)
    merge_rows(store_settings, {"bad": 666, "u1": 666}, NOON)
    materialise(store_settings, store, VIEW)
    DeltaTable(delta_log.uri(store_settings, TABLE)).restore(1)
    done = materialise(store_settings, store, VIEW)
    assert (done.way, done.changed, done.removed) == ("comparison", 1, 1)
    assert served(store, "bad", "u1") == [None, 1]


def test_another_schema_of_the_view_is_loaded_whole(store_settings, store):
    replace_table(store_settings, {"a": 1}, NOON)
    materialise(store_settings, store, VIEW)
    narrow = View(RowSchema("taste", (Field("plays", "int64"),)), TABLE)
    done = materialise(store_settings, store, narrow)
    assert (done.way, done.info.version) == ("full", 2)
    assert store.get(narrow.schema, "a").vector.tolist() == [1]


def test_a_difference_is_found(store_settings, store):
    replace_table(store_settings, {f"u{i}": i for i in range(10)}, NOON)
    materialise(store_settings, store, VIEW)
    wrong = TASTE.codec.encode([{"plays": 7, "genres": [0, 0, 0], "recent": ["t0"]}], microseconds(NOON))
    store.update(TASTE, [("u7", wrong[0])], ["u3"], store.info("taste").source)
    result = compare_with_delta(store_settings, store, VIEW, rows=1000, seed=1)
    assert (result.compared, result.fresher) == (10, 0)
    assert len(result.differences) == 2
    text = "\n".join(result.differences)
    assert "u3: the store has no row" in text and "u7: genres, skip_rate, last_at" in text


def test_without_a_table_the_command_to_make_it_is_named(store_settings, store):
    with pytest.raises(TableMissing, match=r"gold.taste does not exist .* `soundlake run`"):
        materialise(store_settings, store, VIEW)
