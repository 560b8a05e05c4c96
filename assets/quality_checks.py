"""Checks that look beyond one row: volume, freshness, quarantine, unknown tracks and fields. They warn, never block."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from assets.describe import PARTITIONS, days_of, key_of
from assets.record import report
from lakehouse import arrow
from lakehouse.lake import Lake
from lakehouse.quality.anomalies import WINDOW_DAYS, judge, judge_gap
from lakehouse.quality.drift import unknown_fields
from lakehouse.quality.store import Result
from lakehouse.tables import bronze, silver

QUARANTINE_SHARE = 0.01
"""More bad lines than this share of all lines is worth a warning even when every one of them has a reason."""

UNKNOWN_TRACKS_SHARE = 0.05
DRIFT_LINES = 2_000
_JUDGED_DAYS = 7


def _run_days(context: dg.AssetCheckExecutionContext) -> tuple[date, date] | None:
    op = context.op_execution_context
    return days_of(op) if op.has_partition_key or op.has_partition_key_range else None


def _counts_by_day(lake: Lake, first: date, last: date) -> dict[str, dict[date, int]]:
    """event type -> landing day -> good lines; every day that has any line is in every type."""
    from pyspark.sql import functions as F

    rows = lake.read(bronze.EVENTS, (first, last)).groupBy("landing_date", "event_type").agg(F.count("*").alias("n"))
    found: dict[str, dict[date, int]] = {}
    days: set[date] = set()
    for row in rows.collect():
        found.setdefault(row["event_type"], {})[row["landing_date"]] = row["n"]
        days.add(row["landing_date"])
    return {kind: {day: found[kind].get(day, 0) for day in sorted(days)} for kind in sorted(found)}


@dg.asset_check(asset=key_of(bronze.EVENTS), name="volume", partitions_def=PARTITIONS)
def volume(context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Lake]):
    """Events per type and landing day, each of the run's last days against the 28 days before it (robust z-score)."""
    last = (_run_days(context) or (date.min, datetime.now(UTC).date()))[1]
    first = last - timedelta(WINDOW_DAYS + _JUDGED_DAYS)
    counts = _counts_by_day(lake, first, last)
    total: Counter = Counter()
    for series in counts.values():
        total.update(series)
    today = datetime.now(UTC).date()
    judged = [d for d in sorted(total) if d < today and (last - d).days < _JUDGED_DAYS]  # today is not over
    verdicts = [judge(kind, series, day) for kind, series in {"all events": total, **counts}.items() for day in judged]
    unusual = [v for v in verdicts if v.unusual]
    compared = sum(v.z is not None for v in verdicts)
    text = f"{compared} counts of {len(judged)} days compared with the {WINDOW_DAYS} days before each: " + (
        "; ".join(v.text for v in unusual[:5]) if unusual else "none is unusual"
    )
    series = {
        name: [[d.isoformat(), n] for d, n in sorted(values.items())][-WINDOW_DAYS:]
        for name, values in {"all events": total, **counts}.items()
    }
    yield from report(
        context, lake, Result("bronze.events", "volume", not unusual, False, text, series=series),
        {"unusual": dg.MetadataValue.json([v.text for v in unusual]), "compared": compared},
    )  # fmt: skip


@dg.asset_check(asset=key_of(bronze.EVENTS), name="freshness", partitions_def=PARTITIONS)
def freshness(context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Lake]):
    """Age of the newest landing day against the rhythm of the 28 days before it."""
    days = arrow.read(lake.settings, bronze.FILES, ["landing_date", "entity"]).to_pylist()
    passed, text = judge_gap([d["landing_date"] for d in days if d["entity"] == "events"], datetime.now(UTC).date())
    yield from report(context, lake, Result("bronze.events", "freshness", passed, False, text), {})


@dg.asset_check(asset=key_of(bronze.EVENTS), name="declared_fields", partitions_def=PARTITIONS)
def declared_fields(context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Lake]):
    """Fields of accepted lines that the event contract does not have: a client changed before the contract did."""
    from pyspark.sql import functions as F

    frame = lake.read(bronze.EVENTS, _run_days(context)).select("raw", F.xxhash64("source_file", "line").alias("h"))
    lines = [row["raw"] for row in frame.orderBy("h").limit(DRIFT_LINES).collect()]
    seen, found = unknown_fields(lines)
    text = f"{seen:,} lines looked at: " + (
        f"{len(found)} fields are in no contract, first {', '.join(name for name, _ in found.most_common(3))}"
        if found
        else "every field is declared"
    )
    yield from report(
        context, lake,
        Result("bronze.events", "declared_fields", not found, False, text, counts={"Undeclared fields": dict(found)}),
        {"lines": seen, "fields": dg.MetadataValue.json(dict(found))},
    )  # fmt: skip


@dg.asset_check(asset=key_of(bronze.QUARANTINE), name="quarantine_share", partitions_def=PARTITIONS)
def quarantine_share(context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Lake]):
    """How many raw lines could not be used, by reason and by source file, in the whole lake."""
    from pyspark.sql import functions as F

    frame = lake.read(bronze.QUARANTINE).where("status = 'open'")
    reason = F.regexp_replace("reason", "[:-].*$", "")
    reasons = {r["reason"]: r["count"] for r in frame.groupBy(reason.alias("reason")).count().collect()}
    worst = frame.groupBy("source_file").count().orderBy(F.desc("count"), "source_file").limit(10).collect()
    ledger = arrow.read(lake.settings, bronze.FILES, ["source_file", "good", "bad"]).to_pylist()
    lines = {row["source_file"]: row["good"] + row["bad"] for row in ledger}
    files = {r["source_file"]: {"lines": r["count"], "of": lines.get(r["source_file"])} for r in worst}
    by_day = {r["landing_date"]: r["count"] for r in frame.groupBy("landing_date").count().collect()}
    bad, good = sum(reasons.values()), lake.state(bronze.EVENTS).rows + lake.state(bronze.CATALOGUE).rows
    share = bad / (bad + good) if bad else 0.0
    text = f"{bad} lines in quarantine ({share:.2%}); `soundlake quarantine list` shows them"
    series = {"quarantined lines": [[d.isoformat(), n] for d, n in sorted(by_day.items())][-WINDOW_DAYS:]}
    passed = share <= QUARANTINE_SHARE
    counts = {
        "Quarantine by reason": reasons,
        "Quarantine by source file, the worst ten": {path: entry["lines"] for path, entry in files.items()},
    }
    yield from report(
        context, lake,
        Result("bronze.quarantine", "quarantine_share", passed, False, text, counts=counts, series=series),
        {
            "lines": bad, "share": share, "reasons": dg.MetadataValue.json(reasons),
            "source files": dg.MetadataValue.json(files),
        },
    )  # fmt: skip


@dg.asset_check(asset=key_of(silver.TRACKS), name="known_tracks")
def known_tracks(context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Lake]):
    """Plays of tracks that no catalogue dump has: they are kept, their track is marked in_catalogue = false."""
    from pyspark.sql import functions as F

    tracks = lake.read(silver.TRACKS).select("track_id", "in_catalogue")
    plays = lake.read(silver.LISTENS).select("track_id").join(tracks, "track_id", "left")
    unknown = F.sum(F.when(F.col("in_catalogue"), 0).otherwise(1))
    row = plays.agg(F.count("*").alias("plays"), unknown.alias("unknown"), F.max("in_catalogue").alias("any")).first()
    total, missing = row["plays"], row["unknown"] or 0
    share = missing / total if total else 0.0
    if row["any"] is not True:
        passed, text = True, f"the lake has no catalogue of the {total:,} plays' tracks: nothing to compare with"
    else:
        passed = share <= UNKNOWN_TRACKS_SHARE
        text = f"{missing:,} of {total:,} plays ({share:.2%}) are of tracks in no catalogue dump; kept and flagged"
    yield from report(
        context, lake, Result("silver.tracks", "known_tracks", passed, False, text),
        {"plays": total, "plays of unknown tracks": missing, "share": share},
    )  # fmt: skip


QUALITY_CHECKS = [volume, freshness, declared_fields, quarantine_share, known_tracks]
