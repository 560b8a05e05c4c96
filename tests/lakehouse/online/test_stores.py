"""What every online store does: one suite, run against each of them."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from taste import NOON, TASTE

from lakehouse.online.rows import Field, RowError, RowSchema, SchemaMismatch, microseconds
from lakehouse.online.store import LoadSuperseded, OnlineStoreError, Source, StoreUnavailable, Written

LATER = NOON + timedelta(minutes=5)
EARLIER = NOON - timedelta(minutes=5)
WIDER = RowSchema("taste", (*TASTE.fields, Field("likes", "int64")))


def rows(values: dict[str, int], as_of=NOON, schema=TASTE) -> list[tuple[str, bytes]]:
    """Encoded rows of the batch: key -> plays."""
    payloads = schema.codec.encode([{"plays": n} for n in values.values()], microseconds(as_of))
    return list(zip(values, payloads, strict=True))


def source(as_of=NOON, version: int = 0) -> Source:
    return Source("gold.taste", "id", version, microseconds(as_of))


def load(store, values: dict[str, int], as_of=NOON, schema=TASTE, version: int = 0):
    with store.begin(schema) as loading:
        loading.write(rows(values, as_of, schema))
        return loading.switch(source(as_of, version))


def plays(store, *keys: str) -> list[int | None]:
    return [None if row.missing else row.values["plays"] for row in store.get_many(TASTE, keys)]


def test_a_row_comes_back_as_it_was_put(store):
    values = {"plays": 2**40, "genres": [0.5, 0.25, 1], "skip_rate": 0.1, "last_at": LATER, "recent": ["a", "é"]}
    assert store.put(TASTE, {"u": values}, NOON) == Written(changed=1)
    row = store.get(TASTE, "u")
    assert row.found and not row.expired and not row.missing
    assert row.as_of == NOON
    assert row.vector.dtype == np.float32
    np.testing.assert_array_equal(row.vector, np.float32([2**40, 0.5, 0.25, 1, 0.1]))
    got = row.values
    assert got.pop("genres").tolist() == values.pop("genres")
    assert got == values


def test_a_missing_key_and_a_missing_view_give_the_declared_defaults(store):
    for _ in range(2):
        row = store.get(TASTE, "nobody")
        assert not row.found and row.missing and not row.expired
        assert row.as_of is None
        np.testing.assert_array_equal(row.vector, np.float32([0, 0.25, 0.25, 0.25, -1]))
        assert row.values["recent"] == [] and row.values["last_at"] is None
        store.put(TASTE, {"somebody": {}}, NOON)


def test_an_expired_row_gives_the_defaults_and_says_how_old_it_is(store):
    schema = RowSchema("short", (Field("plays", "int64", default=-7),), ttl_seconds=60)
    store.put(schema, {"view": {"plays": 1}}, NOON)
    store.put(schema, {"own": {"plays": 2}}, NOON, ttl_seconds=3600)
    after = NOON + timedelta(seconds=61)
    assert store.get(schema, "view", now=NOON).values == {"plays": 1}
    row = store.get(schema, "view", now=after)
    assert row.found and row.expired and row.missing
    assert row.as_of == NOON and row.vector.tolist() == [-7] and row.values == {"plays": -7}
    assert store.get(schema, "own", now=after).values == {"plays": 2}


def test_of_two_rows_the_newest_is_served_in_either_order(store):
    store.put(TASTE, {"u": {"plays": 1}}, NOON)
    assert store.put(TASTE, {"u": {"plays": 2}}, EARLIER) == Written(unchanged=1)
    assert plays(store, "u") == [1]
    store.put(TASTE, {"u": {"plays": 3}}, LATER)
    assert plays(store, "u") == [3]


def test_many_rows_in_their_order_with_repeats_and_gaps(store):
    store.put(TASTE, {f"u{i}": {"plays": i} for i in range(3000)}, NOON)
    assert plays(store, "u2999", "none", "u0", "u2999") == [2999, None, 0, 2999]
    assert store.get_many(TASTE, []) == []


def test_a_load_is_invisible_until_the_switch(opened):
    store, other = opened(), opened(read_only=True)
    load(store, {"a": 1, "b": 1})
    with store.begin(TASTE) as loading:
        loading.write(rows({"a": 2, "c": 2}, LATER))
        assert plays(other, "a", "b", "c") == [1, 1, None]
        info = loading.switch(source(LATER, 5))
    assert plays(other, "a", "b", "c") == [2, None, 2]
    assert info.rows == 2 and info.version == 2 and info.source.delta_version == 5
    assert other.info("taste") == info and other.views() == [info]
    assert info.bytes == sum(len(key) + len(payload) for key, payload in store.scan(TASTE))


def test_an_error_while_loading_leaves_the_old_version(store):
    load(store, {"a": 1})
    with pytest.raises(ZeroDivisionError), store.begin(TASTE) as loading:
        loading.write(rows({"a": 2}, LATER))
        raise ZeroDivisionError
    assert plays(store, "a") == [1]
    load(store, {"a": 3}, LATER)
    assert plays(store, "a") == [3]
    assert [key for key, _ in store.scan(TASTE)] == ["a"]


def test_a_load_that_was_left_behind_is_swept_and_may_not_go_on(store):
    load(store, {"a": 1})
    dead = store.begin(TASTE)
    dead.write(rows({"a": 2, "z": 2}, LATER))
    load(store, {"a": 3}, LATER)
    for step in (lambda: dead.write(rows({"a": 4}, LATER)), lambda: dead.switch(source(LATER))):
        with pytest.raises(LoadSuperseded, match="taste: another materialisation"):
            step()
    dead.abandon()
    assert plays(store, "a", "z") == [3, None]


def test_fresh_rows_survive_a_load_of_older_ones(store):
    """Put before the load, during it, and of a key that the table does not know."""
    load(store, {"before": 1, "during": 1, "old": 1, "gone": 1})
    store.put(TASTE, {"before": {"plays": 10}, "new": {"plays": 10}}, LATER)
    store.put(TASTE, {"old": {"plays": 10}}, NOON + timedelta(seconds=1))
    with store.begin(TASTE) as loading:
        store.put(TASTE, {"during": {"plays": 11}, "newer": {"plays": 11}}, LATER)
        loading.write(rows({"before": 2, "during": 2, "old": 2}, NOON + timedelta(minutes=1)))
        assert plays(store, "during", "newer") == [11, 11]
        info = loading.switch(source(NOON + timedelta(minutes=1)))
    assert plays(store, "before", "during", "new", "newer", "old", "gone") == [10, 11, 10, 11, 2, None]
    assert info.rows == 5


def test_fresh_rows_that_the_table_has_overtaken_go(store):
    store.put(TASTE, {"erased": {"plays": 1}, "kept": {"plays": 1}}, NOON)
    load(store, {"kept": 2}, LATER)
    assert plays(store, "erased", "kept") == [None, 2]


def test_an_update_changes_removes_and_records_in_one_step(store):
    load(store, {"same": 1, "other": 1, "gone": 1, "fresh": 1, "fresh_gone": 1})
    store.put(TASTE, {"fresh": {"plays": 9}, "fresh_gone": {"plays": 9}}, LATER + timedelta(minutes=1))
    changed = rows({"same": 1, "other": 2, "fresh": 2, "added": 2}, LATER)
    written = store.update(TASTE, changed, ["gone", "fresh_gone", "never_there"], source(LATER, 7))
    assert written == Written(changed=2, unchanged=2, removed=1)
    assert plays(store, "same", "other", "gone", "fresh", "fresh_gone", "added") == [1, 2, None, 9, 9, 2]
    info = store.info("taste")
    assert info.source.delta_version == 7 and info.rows == 5 and info.version == 1
    assert info.bytes == sum(len(key) + len(payload) for key, payload in store.scan(TASTE))


def test_a_corrected_batch_row_replaces_one_with_a_later_moment(store):
    """Only rows of the stream are kept for their later moment: a correction may take events away."""
    load(store, {"a": 5}, LATER)
    assert store.update(TASTE, rows({"a": 4}, NOON), [], source(LATER, 1)) == Written(changed=1)
    assert plays(store, "a") == [4]


def test_rows_that_expire_are_written_again_for_their_later_moment(store):
    schema = RowSchema("taste", TASTE.fields, ttl_seconds=60)
    load(store, {"a": 1}, schema=schema)
    assert store.update(schema, rows({"a": 1}, LATER, schema), [], source(LATER)) == Written(changed=1)
    assert store.get(schema, "a", now=LATER).as_of == LATER


def test_another_schema_is_refused_by_name(store):
    load(store, {"a": 1})
    with pytest.raises(SchemaMismatch, match="view taste: the row of 'a' was written with schema"):
        store.get(WIDER, "a")
    for refused in (
        lambda: store.put(WIDER, {"a": {}}, LATER),
        lambda: store.update(WIDER, [], [], source()),
    ):
        with pytest.raises(SchemaMismatch, match="likes only here.*soundlake online materialise taste"):
            refused()
    assert plays(store, "a") == [1]


def test_a_load_brings_a_new_schema_while_the_old_is_served(store):
    load(store, {"a": 1})
    with store.begin(WIDER) as loading:
        store.put(TASTE, {"a": {"plays": 5}}, LATER)
        store.put(WIDER, {"b": {"likes": 4}}, LATER)
        loading.write(rows({"a": 2}, NOON, WIDER))
        assert plays(store, "a") == [5]
        loading.switch(source())
    assert store.get(WIDER, "b").values["likes"] == 4
    assert store.get(WIDER, "a").values["plays"] == 2


def test_an_update_needs_a_view(store):
    with pytest.raises(OnlineStoreError, match="has no view taste; `soundlake online materialise taste`"):
        store.update(TASTE, [], [], source())


def test_erasure_removes_a_row_everywhere_whatever_its_time(store):
    store.put(TASTE, {"a": {}, "b": {}}, NOON)
    with store.begin(TASTE) as loading:
        loading.write(rows({"a": 1, "b": 1}, LATER))
        assert store.remove(TASTE, ["a", "nobody"]) == 1
        assert plays(store, "a", "b") == [None, 0]
        assert loading.switch(source(LATER)).rows == 1
    assert plays(store, "a", "b") == [None, 1]


def test_a_dropped_view_leaves_nothing_to_a_later_one(store):
    load(store, {"a": 1, "b": 1})
    assert store.size() > 0
    store.drop("taste")
    store.drop("never_there")
    assert store.info("taste") is None and store.views() == [] and plays(store, "a") == [None]
    store.put(TASTE, {"b": {"plays": 3}}, EARLIER)
    assert plays(store, "a", "b") == [None, 3]
    assert store.info("taste").rows == 1


def test_views_do_not_touch_each_other(store):
    other = RowSchema("taste_2", (Field("plays", "int64"),))
    load(store, {"a": 1})
    load(store, {"a": 2}, schema=other)
    store.drop("taste")
    assert plays(store, "a") == [None]
    assert store.get(other, "a").values == {"plays": 2}


def test_keys_that_do_not_fit_are_refused(store):
    for key in ("", "k" * 600):
        with pytest.raises(RowError, match="view taste: key"):
            store.put(TASTE, {key: {}}, NOON)


def test_a_reader_does_not_write(opened):
    opened().put(TASTE, {"a": {"plays": 1}}, NOON)
    reader = opened(read_only=True)
    assert plays(reader, "a") == [1]
    for refused in (lambda: reader.put(TASTE, {"a": {}}, NOON), lambda: reader.begin(TASTE)):
        with pytest.raises(StoreUnavailable, match="opened for reading only"):
            refused()


def test_the_same_bytes_in_both_stores(store):
    store.put(TASTE, {"a": {"plays": 7, "recent": ["x"]}}, NOON)
    [(key, payload)] = store.scan(TASTE)
    assert key == "a"
    assert payload == TASTE.codec.encode([{"plays": 7, "recent": ["x"]}], microseconds(NOON), flags=1)[0]
