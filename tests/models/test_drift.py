"""Drift: the statistics, how seldom they cry wolf, and a day of listening that moved against one that did not."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.settings import Settings
from models.evaluation.drift import alarms, category_drift, chi_square, ks, numeric_drift, psi
from models.evaluation.report.drift import drift_plot
from models.feature_drift import feature_drift, reference_days

COUNTS = st.lists(st.integers(0, 500), min_size=2, max_size=12)


def test_psi_is_the_sum_of_its_definition_less_its_bias():
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    expected = np.sum((q - p) * np.log(q / p)) - 2 * (1 / 1e6 + 1 / 1e6)
    assert psi(p * 1e6, q * 1e6) == pytest.approx(expected)


@settings(deadline=None)  # the first example imports scipy
@given(COUNTS, st.integers(1, 20))
def test_the_same_shares_have_not_moved(counts, times):
    counts = np.array(counts)
    assert psi(counts, counts * times) == 0
    assert ks(counts, counts * times)[0] == pytest.approx(0)


@settings(deadline=None)
@given(COUNTS, st.data())
def test_psi_is_symmetric_finite_and_not_negative(counts, data):
    one = np.array(counts)
    other = np.array(data.draw(st.lists(st.integers(0, 500), min_size=len(one), max_size=len(one))))
    assert 0 <= psi(one, other) < np.inf
    assert psi(one, other) == pytest.approx(psi(other, one))
    assert 0 <= ks(one, other)[0] <= 1 and 0 <= ks(one, other)[1] <= 1


def test_ks_and_chi_square_agree_with_scipy():
    from scipy.stats import chi2_contingency, ks_2samp

    random = np.random.default_rng(1)
    one, other = random.normal(size=400), random.normal(0.2, 1, size=300)
    found, expected = numeric_drift("x", one, other), ks_2samp(one, other, method="asymp")
    assert found.statistic == pytest.approx(expected.statistic)
    assert found.p_value == pytest.approx(expected.pvalue, rel=0.2)
    table = np.array([[30, 50, 20], [60, 40, 10]])
    assert chi_square(*table) == pytest.approx(chi2_contingency(table, correction=False).pvalue)


def test_values_that_are_missing_or_new_are_seen():
    random = np.random.default_rng(2)
    values = random.normal(size=2000)
    half = np.where(random.random(2000) < 0.5, np.nan, values)
    gone = numeric_drift("x", values, half)
    assert gone.bins[-1] == "(missing)" and alarms([gone]) == [gone]
    new = category_drift("device", ["phone"] * 500 + ["desktop"] * 500, ["phone"] * 500 + ["watch"] * 500)
    assert dict(zip(new.bins, new.sample, strict=True)) == {"desktop": 0.0, "phone": 0.5, "(others)": 0.5}
    assert alarms([new]) == [new]
    nothing = numeric_drift("x", np.array([]), np.array([np.nan]))
    assert alarms([nothing]) == []


def test_false_alarms_of_thirteen_columns_stay_below_one_in_a_hundred():
    """200 days that did not move, at the sizes of a small world: the rate that docs/drift.md states."""
    random, false = np.random.default_rng(3), 0
    for _ in range(200):
        found = [numeric_drift(str(i), random.normal(size=2500), random.normal(size=250)) for i in range(6)]
        found += [
            category_drift(str(10 + i), random.choice(list("abcde"), 2500), random.choice(list("abcde"), 250))
            for i in range(7)
        ]
        false += bool(alarms(found))
    assert false <= 4  # 1 % of 200 is 2; 5 or more has a chance of 5 %


def test_a_significant_difference_that_is_small_is_no_alarm():
    random = np.random.default_rng(4)
    small = numeric_drift("x", random.normal(size=200_000), random.normal(0.05, 1, size=200_000))
    assert small.p_value < 1e-6 and small.effect == "stable" and alarms([small]) == []


# A lake

DAYS = [date(2026, 1, 5) + timedelta(n) for n in range(12)]  # a Monday to the Friday after next
LISTENERS = 220


def plays(day: date, random: np.random.Generator, moved: bool = False) -> pd.DataFrame:
    count = LISTENERS * 3
    users = np.repeat(np.arange(LISTENERS), 3)
    hours = random.choice([8, 9, 13, 18, 20, 21], count)
    completion = np.clip(random.beta(4, 2, count) * (0.5 if moved else 1), 0, 1)
    return pd.DataFrame(
        {
            "user_key": [f"u{n}" for n in users],
            "track_id": [f"t{n}" for n in random.zipf(1.7, count) % 300],
            "event_date": day,
            "clock": "event",
            "local_hour": hours.astype("int32"),
            "temperature_c": random.normal(5, 3, count),
            "duration_ms": random.normal(2e5, 3e4, count).astype("int64"),
            "device_type": random.choice(["phone", "desktop", "speaker"], count, p=[0.2, 0.2, 0.6] if moved else
                                         [0.6, 0.3, 0.1]),
            "country": random.choice(["SE", "DE"], count),
            "activity": None,
            "network": random.choice(["wifi", "cellular"], count),
            "weather": random.choice(["sun", "rain"], count),
            "playlist_type": None,
            "reason_start": random.choice(["click", "next"], count),
            "completion": completion,
            "skipped": completion < 0.3,
        }
    )  # fmt: skip


def lake_of(folder, moved: bool) -> Settings:
    lake = Settings(lake=str(folder / "lake"), seed=1)
    random = np.random.default_rng(5)
    for day in DAYS:
        frame = plays(day, random, moved and day == DAYS[-1])
        table = pa.Table.from_pandas(frame, preserve_index=False)
        for name in ("activity", "playlist_type"):
            place = table.column_names.index(name)
            table = table.set_column(place, name, pa.nulls(len(frame), pa.string()))
        write_deltalake(lake.table_uri("silver.listens"), table, mode="append", partition_by=["event_date"])
    return lake


def test_a_planted_drift_is_found_and_named(tmp_path):
    found = feature_drift(lake_of(tmp_path, moved=True), 7, None)
    assert (found.day, found.version) == (DAYS[-1], 7)
    assert {"device_type", "completion"} <= set(found.moved) <= {"device_type", "completion", "skipped"}
    assert "columns moved: device_type (PSI" in found.text or "columns moved: completion (PSI" in found.text
    kept = json.loads(found.write(tmp_path).read_text())
    assert kept["moved"] == list(found.moved) and kept["day"] == DAYS[-1].isoformat()
    assert {one.column for one in found.columns}.isdisjoint({"activity", "playlist_type"})  # nobody says them
    plot = drift_plot(found.columns, found.moved, "Drift", found.text)
    assert plot.startswith(b"\x89PNG") and len(plot) > 20_000


def test_the_asset_warns_and_leaves_plot_and_figures(tmp_path):
    import dagster as dg

    from assets.drift import feature_drift as asset

    lake = lake_of(tmp_path, moved=True)
    done = dg.materialize([asset], resources={"settings": lake})
    (check,) = done.get_asset_check_evaluations()
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "device_type" in check.description
    metadata = done.asset_materializations_for_node("quality__feature_drift")[0].metadata
    assert metadata["plot"].value.startswith("![drift](data:image/png;base64,")
    assert metadata["largest PSI"].value > 0.25
    folder = lake.state_dir / "reports" / "drift"
    assert (folder / "feature_drift.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((folder / "drift.json").read_text())["moved"]


def test_a_day_like_the_others_is_no_drift(tmp_path):
    lake = lake_of(tmp_path, moved=False)
    found = feature_drift(lake, None, None)
    assert found.moved == () and len(found.columns) == 11 and found.reason is None
    assert found.days == tuple(day for day in DAYS[:-1] if day.weekday() < 5)
    earlier = feature_drift(lake, 3, DAYS[3])
    assert earlier.days == tuple(DAYS[:4])
    assert all(sum(one.rows) == LISTENERS * 5 for one in earlier.columns)  # one play a listener and day


def test_the_reference_is_of_training_days_of_the_same_kind():
    saturday = date(2026, 1, 17)
    weekend = [date(2026, 1, 10), date(2026, 1, 11)]
    assert reference_days(DAYS, saturday, None) == weekend
    assert reference_days(DAYS[:5], saturday, None) == DAYS[:5]  # no weekend yet
    assert reference_days(DAYS, DAYS[-1], DAYS[0] - timedelta(9)) == DAYS[:1]


def test_too_little_is_said_and_not_judged(tmp_path):
    lake = Settings(lake=str(tmp_path / "lake"))
    frame = plays(DAYS[0], np.random.default_rng(0)).head(9).drop(columns=["activity", "playlist_type"])
    table = pa.Table.from_pandas(frame, preserve_index=False)
    write_deltalake(lake.table_uri("silver.listens"), table, partition_by=["event_date"])
    found = feature_drift(lake, None, None)
    assert found.moved == () and found.text == "drift: fewer than two days with plays and a clock"
    assert datetime.now(UTC).date() > DAYS[-1]
    with pytest.raises(ValueError, match="no column was compared"):
        drift_plot([], [], "")
