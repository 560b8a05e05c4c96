"""Table contracts: what they refuse, and what is made from them."""

from __future__ import annotations

import json

import pytest
from msgspec import inspect
from raw_zone import DAY, raw_event

from lakehouse.contract import Column, Sensitivity, Table, Write, between, one_of
from lakehouse.events import (
    EVENTS,
    PAYLOADS,
    Context,
    ContractError,
    decode_event,
    encode_event,
    json_schema,
    make_event,
)
from lakehouse.tables import TABLES, get_table
from lakehouse.tables.bronze import CONTEXT_FIELDS, PAYLOAD_FIELDS

KEY = Column("id", "string", "an id", nullable=False)


def table(*columns: Column, **options) -> Table:
    return Table("silver.things", "Things.", (KEY, *columns), **{"key": ("id",), "write": Write.MERGE, **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key": ("ID",)}, "table silver.things: 'ID' is not one of its columns \\(id, n\\)"),
        ({"partition_by": ("day",)}, "'day' is not one of its columns"),
        ({"newest_by": "seen"}, "'seen' is not one of its columns"),
        ({"run_partition": "landed"}, "'landed' is not one of its columns"),
        ({"key": ("n",)}, "table silver.things: key column 'n' must be nullable=False"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        table(Column("n", "int", "a number"), **options)


def test_a_column_twice_and_a_bad_name_are_refused():
    with pytest.raises(ValueError, match="table silver.things: a column is declared twice"):
        table(Column("n", "int", "one"), Column("n", "int", "two"))
    for name in ("Name", "a-b", "1st", "a b", ""):
        with pytest.raises(ValueError, match="use lower_snake_case"):
            Column(name, "int", "a number")


def test_constraints_let_null_pass_where_it_is_allowed():
    made = table(
        Column("share", "double", "a share", check=between(0, 1)),
        Column("count", "bigint", "a count", nullable=False, check=between(0, None)),
        Column("most", "bigint", "at most", nullable=False, check=between(None, 5)),
        Column("kind", "string", "a kind", check=one_of("a", "b")),
        Column("soft", "int", "not enforced", check=between(0, 9, enforced=False)),
    )
    assert made.constraints() == {
        "share_valid": "share IS NULL OR (share >= 0 AND share <= 1)",
        "count_valid": "count >= 0",
        "most_valid": "most <= 5",
        "kind_valid": "kind IS NULL OR (kind IN ('a', 'b'))",
    }


def test_ddl_and_names():
    made = table(Column("n", "int", "a number"))
    assert made.ddl() == "id string NOT NULL, n int"
    assert (made.layer, made.short_name, made.column_names) == ("silver", "things", ["id", "n"])
    assert not made.has_personal_data
    assert table(Column("n", "int", "x", sensitivity=Sensitivity.PERSONAL)).has_personal_data


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (between(0, 1), "0 ≤ value ≤ 1"),
        (between(0, None), "0 ≤ value"),
        (between(None, 1), "value ≤ 1"),
        (one_of("a", "b"), "one of a, b"),
    ],
)
def test_rules_in_words(check, text):
    assert check.text == text


def test_identifying_columns_stay_in_bronze():
    for made in TABLES.values():
        if made.layer != "bronze":
            assert [c.name for c in made.columns if c.sensitivity is Sensitivity.IDENTIFYING] == []


def test_every_table_has_words_for_every_column_and_spark_knows_its_types(spark):
    from pyspark.sql.types import StructType

    for made in TABLES.values():
        assert made.description
        assert all(column.description for column in made.columns)
        assert StructType.fromDDL(made.ddl()).names == made.column_names


def test_an_unknown_table_names_the_nearest():
    with pytest.raises(KeyError, match="no table 'silver.listen'; did you mean silver.listens"):
        get_table("silver.listen")


# ---------------------------------------------------------------------- bronze against the event contract
def spark_type(kind) -> str:
    """The Spark type that holds a contract type (of msgspec.inspect)."""
    if isinstance(kind, inspect.UnionType):
        (kind,) = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
    if isinstance(kind, inspect.ListType):
        return f"array<{spark_type(kind.item_type)}>"
    if isinstance(kind, inspect.LiteralType):
        return "string"
    return {inspect.StrType: "string", inspect.IntType: "bigint", inspect.FloatType: "double"}[type(kind)]


def fields_of(struct) -> dict[str, str]:
    return {field.name: spark_type(field.type) for field in inspect.type_info(struct).fields}


def test_bronze_has_a_column_of_the_right_type_for_every_payload_field():
    declared = {}
    for payload in PAYLOADS.values():
        for name, kind in fields_of(payload).items():
            assert declared.setdefault(name, kind) == kind
    assert declared == PAYLOAD_FIELDS


def test_bronze_has_a_column_for_every_context_field():
    columns = {name: {"int": "bigint"}.get(kind, kind) for name, (kind, _) in CONTEXT_FIELDS.items()}
    assert columns == fields_of(Context)


# ---------------------------------------------------------------------- the event contract
def full_payload(kind: str) -> dict:
    values = {"string": "x", "bigint": 7, "double": 0.5, "array<string>": ["x"], "array<double>": [0.5]}
    exact = {"reason_start": "clickrow", "reason_end": "endplay"}
    return {name: exact.get(name) or values[type_] for name, type_ in fields_of(PAYLOADS[kind]).items()}


@pytest.mark.parametrize("kind", PAYLOADS)
def test_every_event_survives_encoding(kind):
    event = decode_event(json.dumps(raw_event(kind, payload=full_payload(kind))), DAY)
    assert type(event) is EVENTS[kind]
    assert decode_event(encode_event(event), DAY) == event
    assert b"\n" not in encode_event(event)
    built = make_event(
        kind,
        payload=event.payload,
        event_id="e1",
        user_id="u1",
        occurred_at=event.occurred_at,
        received_at=event.received_at,
    )
    assert built == event


@pytest.mark.parametrize("share", [0, -0.1, 1.1])
def test_a_propensity_is_a_probability_above_zero(share):
    payload = {"ad_break_id": "b", "policy": "p", "policy_version": "1", "propensity": share}
    with pytest.raises(ContractError, match=r"at `\$\.payload\.propensity`"):
        decode_event(json.dumps(raw_event("ad_request", payload=payload)))


def test_the_published_schema_knows_every_event():
    schema = json_schema()
    mapping = schema["discriminator"]["mapping"]
    assert set(mapping) == set(PAYLOADS)
    assert schema["$schema"].endswith("2020-12/schema")
