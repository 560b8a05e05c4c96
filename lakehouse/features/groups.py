"""Facts and questions in Spark groups of bounded size, each evaluated by the kernel in a Python worker.

All rows of one first key (a listener, a track) fall into one group, so every group is complete in itself. A group holds
many entities at once: the kernel is vectorised over them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lakehouse.features.declare import FeatureView
from lakehouse.features.evaluate import TIME, arrow_type, evaluate, fact_columns, to_arrow

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

GROUP_ROWS = 100_000
"""Facts in a group, about: some 30 MB in a worker for the widest view."""

GROUP = "_group"
ROW = "_row"


def groups_for(rows: int) -> int:
    """How many groups ``rows`` facts are cut into."""
    return max(1, -(-rows // GROUP_ROWS))


def grouped(frame: DataFrame, key: str, groups: int) -> DataFrame:
    """``frame`` with the number of its group."""
    from pyspark.sql import functions as F

    return frame.withColumn(GROUP, F.pmod(F.xxhash64(key), F.lit(groups)).cast("int"))


def at_questions(views: Sequence[FeatureView], facts: DataFrame, asked: DataFrame, groups: int) -> DataFrame:
    """Values of ``views`` (of one first key) at each question.

    ``asked``: ``_row``, ``time_ms`` and the keys of all views as text. -> ``_row`` and ``<view>__<feature>``.
    """
    import pyarrow as pa

    key = _first_key(views)
    columns = fact_columns(views)
    fields = [(ROW, pa.int64())] + [(f"{v.name}__{f.name}", arrow_type(f)) for v in views for f in v.features]
    schema = pa.schema(fields)

    def answer(facts: pa.Table, asked: pa.Table) -> pa.Table:
        facts = facts.select(columns)
        values = {f"{v.name}__{n}": c for v in views for n, c in to_arrow(v, evaluate(v, facts, asked)).items()}
        return pa.table({ROW: asked[ROW], **values}).cast(schema)

    left = grouped(facts.where(f"{key} IS NOT NULL").select(*columns), key, groups).groupBy(GROUP)
    right = grouped(asked, key, groups).groupBy(GROUP)
    return left.cogroup(right).applyInArrow(answer, _spark_schema(schema))


def at_one_time(view: FeatureView, facts: DataFrame, time_ms: int, groups: int) -> DataFrame:
    """Values of every entity in ``facts`` as of just before ``time_ms`` -> keys (text) and features.

    Entities of which nothing counts any more, or yet, are left out: they have the defaults.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    columns, oldest = fact_columns([view]), time_ms - view.horizon
    keys = list(view.keys)
    schema = pa.schema([(k, pa.string()) for k in keys] + [(f.name, arrow_type(f)) for f in view.features])

    def answer(facts: pa.Table) -> pa.Table:
        facts = facts.select(columns)
        entities = facts.filter(pc.greater_equal(facts["occurred_ms"], oldest)).group_by(keys).aggregate([])
        asked = entities.append_column(TIME, pa.array([time_ms] * len(entities), pa.int64()))
        return pa.table({**{k: entities[k] for k in keys}, **to_arrow(view, evaluate(view, facts, asked))}).cast(schema)

    present = " AND ".join(f"{k} IS NOT NULL" for k in keys)
    # by when it was known: a version that is too old to count may replace one that is not
    counting = facts.select(*columns).where(f"{present} AND known_ms < {time_ms} AND known_ms >= {oldest}")
    return grouped(counting, keys[0], groups).groupBy(GROUP).applyInArrow(answer, _spark_schema(schema))


def _first_key(views: Sequence[FeatureView]) -> str:
    first = {view.keys[0] for view in views}
    if len(first) != 1:
        raise ValueError(f"views of one group must share their first key; got {', '.join(sorted(first))}")
    return first.pop()


def _spark_schema(schema: pa.Schema) -> Callable:
    from pyspark.sql.pandas.types import from_arrow_schema

    return from_arrow_schema(schema)
