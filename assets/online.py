"""The online store as an asset: every view brought up to the newest version of its table, and compared with it."""

import dagster as dg

from assets.describe import DAILY, OWNERS, RETRY, WHEN_PARENTS_CHANGE, key_of
from lakehouse.online.materialise import Materialised, materialise
from lakehouse.online.views import VIEWS
from lakehouse.settings import Settings

SAMPLE_ROWS = 1000
_SHOWN_DIFFERENCES = 20
_TITLES = ("view", "way", "rows", "changed", "removed", "bytes", "seconds", "table", "Delta version", "as of (UTC)")


@dg.asset(
    key=["online", "store"],
    deps=[key_of(view.table) for view in VIEWS.values()],
    description="Rows that answer in microseconds: each feature table, one row a key, in LMDB or Redis. Readers see "
    "the old rows of a view or the new ones, never half.",
    group_name="online",
    kinds={"lmdb", "redis"},
    owners=OWNERS,
    tags={"layer": "online", "domain": "listening", "pii": "true"},
    code_version="1",
    automation_condition=WHEN_PARENTS_CHANGE,
    freshness_policy=DAILY,
    retry_policy=RETRY,
)
def store(context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]) -> dg.MaterializeResult:
    from lakehouse import delta_log
    from lakehouse.online.store import open_store

    done, absent = [], []
    with open_store(settings) as online:
        for view in VIEWS.values():
            if delta_log.open_table(settings, view.table) is None:
                absent.append(view.name)
                context.log.warning("view %s: %s does not exist yet", view.name, view.table.name)
                continue
            done.append(materialise(settings, online, view))
            context.log.info("view %s: %s, %d rows changed", view.name, done[-1].way, done[-1].changed)
        address, kind, size = online.address, online.kind, online.size()
    return dg.MaterializeResult(
        metadata={
            "summary": f"{len(done)} views, {sum(d.changed for d in done):,} rows changed, {size / 1e6:,.1f} MB",
            "dagster/row_count": sum(d.info.rows for d in done),
            "dagster/uri": address,
            "store": kind,
            "changed rows": sum(d.changed for d in done),
            "removed rows": sum(d.removed for d in done),
            "bytes": size,
            "seconds": round(sum(d.seconds for d in done), 3),
            "Delta versions": dg.MetadataValue.json({d.info.source.table: d.info.source.delta_version for d in done}),
            "views": dg.MetadataValue.md(_report(done)),
            **({"without a table": ", ".join(absent)} if absent else {}),
        }
    )


def _report(done: list[Materialised]) -> str:
    lines = ["| " + " | ".join(_TITLES) + " |", "|" + "---|" * len(_TITLES)]
    for d in done:
        source, before = d.info.source, "" if d.from_delta_version is None else f"{d.from_delta_version} → "
        cells = [d.view, d.way, f"{d.info.rows:,}", f"{d.changed:,}", f"{d.removed:,}", f"{d.info.bytes:,}"]
        cells += [
            f"{d.seconds:.2f}",
            str(source.table),
            f"{before}{source.delta_version}",
            f"{source.as_of:%Y-%m-%d %H:%M:%S}" if d.info.rows else "-",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


@dg.asset_check(
    asset=store,
    description=f"{SAMPLE_ROWS:,} random rows of each view are, field by field, what its Delta table says.",
)
def agrees_with_delta(settings: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
    from lakehouse.online.store import open_store
    from lakehouse.online.verify import compare_with_delta

    differences, compared, fresher = [], {}, 0
    with open_store(settings, read_only=True) as online:
        for info in online.views():
            view = VIEWS.get(info.view)
            if view is None or info.source.delta_version is None:
                continue  # a view that the stream alone writes
            result = compare_with_delta(settings, online, view, SAMPLE_ROWS, settings.seed + info.source.delta_version)
            compared[view.name], fresher = result.compared, fresher + result.fresher
            differences += [f"{view.name}, {text}" for text in result.differences]
    total = sum(compared.values())
    return dg.AssetCheckResult(
        passed=total > 0 and not differences,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{total - len(differences):,} of {total:,} rows agree"
        + (f", {fresher:,} are fresher than their table" if fresher else "")
        + (f"; first difference: {differences[0]}" if differences else ""),
        metadata={
            "rows compared": dg.MetadataValue.json(compared),
            "differences": dg.MetadataValue.json(differences[:_SHOWN_DIFFERENCES]),
            "fresher than their table": fresher,
        },
    )
