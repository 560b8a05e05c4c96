"""The newest day of listening against the days that the served model was trained on, column by column.

Plays of one listener resemble each other, so a day gives one play of each listener (drawn by the seed): rows are then
as good as independent, which the tests need. A Sunday is not compared with Mondays: the reference are training days of
the same kind (working day or weekend) where there are at least two.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lakehouse import arrow, delta_log
from lakehouse.settings import Settings
from lakehouse.tables.bronze import EVENTS
from lakehouse.tables.gold import SEQUENCES
from lakehouse.tables.silver import LISTENS
from models.evaluation.drift import Drift, alarms, category_drift, numeric_drift

if TYPE_CHECKING:
    import pandas as pd

WINDOW_DAYS = 28
LEAST_LISTENERS = 100
MOST_LISTENERS = 20_000
"""Of a day: more rows make the tests no better and the reading slower."""

FEATURES = {
    "local_hour": "numeric",
    "temperature_c": "numeric",
    "duration_ms": "numeric",
    "track_popularity": "numeric",
    "device_type": "categories",
    "country": "categories",
    "activity": "categories",
    "network": "categories",
    "weather": "categories",
    "playlist_type": "categories",
    "reason_start": "categories",
}
LABELS = {"completion": "numeric", "skipped": "categories"}
LOGGED = {"shown_propensity": "numeric"}
"""What the log of shown lists says of the policy: the chance of each list."""

_READ = [name for name in (*FEATURES, *LABELS) if name != "track_popularity"]


@dataclass(frozen=True)
class DriftReport:
    """The columns of ``day`` beside those of ``days``. reason: why nothing was compared, where that is so."""

    day: date | None
    days: tuple[date, ...]
    version: int | None
    columns: tuple[Drift, ...] = ()
    moved: tuple[str, ...] = ()
    reason: str | None = None

    @property
    def text(self) -> str:
        """One line for people."""
        if self.reason:
            return self.reason
        trained = f"version {self.version} was trained on" if self.version else "before it"
        against = f"{self.day} against {len(self.days)} days to {self.days[-1]} ({trained})"
        worst = {one.column: one for one in self.columns}
        told = "; ".join(f"{name} (PSI {worst[name].psi:.2f})" for name in self.moved)
        return f"{against}: " + (f"{len(self.moved)} of {len(self.columns)} columns moved: {told}" if told else
                                 f"none of {len(self.columns)} columns moved")  # fmt: skip

    def write(self, folder: Path) -> Path:
        """Keep the figures as ``drift.json``; -> the file."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "drift.json"
        path.write_text(json.dumps(asdict(self), default=str, indent=1) + "\n", encoding="utf-8")
        return path


def feature_drift(settings: Settings, version: int | None, trained_to: date | None) -> DriftReport:
    """Compare the newest whole day with the training days up to ``trained_to`` (all before it where None)."""
    days = event_days(settings)
    today = datetime.now(UTC).date()
    whole = [day for day in days if day < today] or days
    if len(whole) < 2:
        return DriftReport(None, (), version, reason="drift: fewer than two days with plays and a clock")
    newest = whole[-1]
    reference = reference_days(whole[:-1], newest, trained_to)
    popularity: dict[str, int] = {}
    old, new = plays_of(settings, reference, popularity, True), plays_of(settings, [newest], popularity, False)
    if min(len(old), len(new)) < LEAST_LISTENERS:
        few = f"{len(new)} listeners on {newest}, {len(old)} before"
        return DriftReport(newest, tuple(reference), version, reason=f"drift: too few to compare: {few}")
    found = compared({**FEATURES, **LABELS}, old, new)
    shown = shown_propensities(settings, reference), shown_propensities(settings, [newest])
    if min(map(len, shown)) >= LEAST_LISTENERS:
        found.append(numeric_drift("shown_propensity", *shown))
    moved = tuple(one.column for one in alarms(found))
    return DriftReport(newest, tuple(reference), version, tuple(found), moved)


def compared(kinds: dict[str, str], old: pd.DataFrame, new: pd.DataFrame) -> list[Drift]:
    """The drift of each column that has a value on one side at least."""
    found = []
    for name, kind in kinds.items():
        if not (old[name].notna().any() or new[name].notna().any()):
            continue
        if kind == "numeric":
            found.append(numeric_drift(name, old[name].to_numpy(float), new[name].to_numpy(float)))
        else:
            sides = [[None if missing else value for value, missing in zip(f[name], f[name].isna(), strict=True)]
                     for f in (old, new)]  # fmt: skip
            found.append(category_drift(name, *sides))
    return found


def event_days(settings: Settings) -> list[date]:
    """Days that ``silver.listens`` has plays of, ascending."""
    table = delta_log.open_table(settings, LISTENS)
    if table is None:
        raise arrow.TableMissing(f"{LISTENS.name} does not exist in {settings.lake}; `soundlake run` makes it")
    return sorted({date.fromisoformat(str(part["event_date"])) for part in table.partitions()})


def reference_days(before: Sequence[date], newest: date, trained_to: date | None) -> list[date]:
    """The training days of the last ``WINDOW_DAYS``: those of the kind of ``newest`` where there are two at least."""
    last = min(trained_to or before[-1], before[-1])
    window = [day for day in before if last - timedelta(WINDOW_DAYS) < day <= last] or list(before[:1])
    alike = [day for day in window if (day.weekday() >= 5) == (newest.weekday() >= 5)]
    return alike if len(alike) >= 2 else window


def plays_of(settings: Settings, days: Sequence[date], popularity: dict[str, int], counting: bool) -> pd.DataFrame:
    """One play of each listener and day, with ``track_popularity``: ⌊log2(1 + plays of the track in the reference)⌋.

    With ``counting`` the days are those of the reference: their plays are counted into ``popularity``, and a play is
    left out of its own track's count. In whole steps of log2, that one play does not tell the two sides apart.
    """
    import pandas as pd
    import pyarrow.compute as pc

    parts = []
    for day in days:
        where = (pc.field("event_date") == day) & (arrow.text("clock") == "event")
        table = arrow.read(settings, LISTENS, ["user_key", "track_id", *_READ], where)
        frame = table.to_pandas()
        if counting:
            for track, count in frame["track_id"].value_counts().items():
                popularity[track] = popularity.get(track, 0) + int(count)
        random = np.random.default_rng([settings.seed, day.toordinal()])
        frame = frame.iloc[random.permutation(len(frame))].drop_duplicates("user_key").head(MOST_LISTENERS)
        parts.append(frame)
    plays = pd.concat(parts, ignore_index=True)
    counts = plays["track_id"].map(popularity).fillna(0).to_numpy(float) - counting
    return plays.assign(track_popularity=np.floor(np.log2(1 + np.maximum(counts, 0))))


def shown_propensities(settings: Settings, days: Sequence[date]) -> np.ndarray:
    """The logged chance of each shown list of these days; empty where none were logged."""
    import pyarrow.compute as pc

    columns = arrow.event_columns(["propensity"])
    if delta_log.open_table(settings, EVENTS) is None:
        return np.array([])
    start, end = (datetime(d.year, d.month, d.day, tzinfo=UTC) for d in (min(days), max(days) + timedelta(1)))
    at = pc.field("occurred_at")
    where = (arrow.text("event_type") == "recommendation_shown") & (at >= start) & (at < end)
    found = arrow.dataset(settings, EVENTS).to_table(columns=columns, filter=where)
    values = np.array(found["propensity"].to_pylist(), float)
    return values[np.isfinite(values)]


def trained_to(settings: Settings, version: int | None) -> date | None:
    """The last day with a play in the data of a registered version; None where it can't be read any more."""
    import mlflow
    import pyarrow.compute as pc

    if version is None:
        return None
    client = mlflow.MlflowClient(settings.tracking_uri, settings.tracking_uri)
    try:
        tags = client.get_model_version(settings.registered_model, str(version)).tags
        read = int(tags[f"data_version.{SEQUENCES.name}"])
        times = arrow.dataset(settings, SEQUENCES, read).to_table(columns=["occurred_at"])["occurred_at"]
        last = pc.max(pc.list_flatten(times.combine_chunks())).as_py()
    except (mlflow.exceptions.MlflowException, KeyError, ValueError, OSError, arrow.TableMissing):
        return None
    return last.date() if last else None
