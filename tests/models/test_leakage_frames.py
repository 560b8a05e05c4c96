from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.evaluation.leakage import LeakageError
from models.evaluation.leakage_frames import assert_no_frame_leak, find_frame_leaks, tampered_frames

KNOWN = ("user", "track", "device")


def world(n=300, seed=0, unit="ms") -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "at": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.sort(rng.integers(0, 10**7, n)), unit="ms"),
            "user": rng.integers(0, 20, n),
            "track": rng.choice(list("abcdefgh"), n),
            "device": rng.choice(["phone", "speaker"], n),
            "skipped": rng.integers(0, 2, n),
            "heard": rng.random(n),
        }
    )
    return frame if unit == "ms" else frame.assign(at=np.arange(n))


def skips_before(events):
    """Of the user, before the event."""
    return events.groupby("user").skipped.cumsum() - events.skipped


HONEST = {
    "skips before": skips_before,
    "device": lambda e: (e.device == "phone").astype(int),
    "since the last": lambda e: e["at"].astype("int64").groupby(e.user).diff().fillna(-1),
    "two at once": lambda e: np.stack([skips_before(e), e.user], 1),
}
LEAKING = {
    "skips with this one": lambda e: e.groupby("user").skipped.cumsum(),
    "skip rate of the track": lambda e: e.groupby("track").skipped.transform("mean"),
    "share heard": lambda e: e.heard,
    "next track of the user": lambda e: e.groupby("user").track.shift(-1).map(ord, na_action="ignore"),
    "plays of the user": lambda e: e.groupby("user").user.transform("size"),
    "until the next": lambda e: e["at"].astype("int64").diff().shift(-1).fillna(-1),
}


@pytest.mark.parametrize("unit", ["ms", "position"])
def test_planted_leaks_are_caught_and_honest_features_pass(unit):
    events = world(unit=unit)
    assert set(find_frame_leaks(HONEST | LEAKING, events, "at", KNOWN)) == set(LEAKING)
    assert_no_frame_leak(HONEST, events, "at", KNOWN)


def test_what_is_not_known_at_the_start_is_future():
    """Without the device among the known columns, a feature that reads it is a leak."""
    assert set(find_frame_leaks({"device": HONEST["device"]}, world(), "at", ("user", "track"))) == {"device"}


def test_the_error_names_the_feature():
    with pytest.raises(LeakageError, match="- share heard: 1 of"):
        assert_no_frame_leak({"share heard": LEAKING["share heard"]}, world(), "at", KNOWN)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="no column 'when'"):
        find_frame_leaks(HONEST, world(), "when")
    with pytest.raises(ValueError, match="1 rows for 300 events"):
        find_frame_leaks({"x": lambda e: np.zeros(1)}, world(), "at")


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 280), st.integers(0, 10**6))  # two rows left may be shuffled into what they were
def test_the_past_and_what_is_known_at_the_cut_stay(place, seed):
    events = world()
    start = events["at"].iloc[place]
    before, at_cut = events["at"] < start, events["at"] == start
    for kind, other in tampered_frames(events, "at", start, KNOWN, np.random.default_rng(seed)):
        pd.testing.assert_frame_equal(other[other["at"] < start], events[before], obj=kind)
        pd.testing.assert_frame_equal(
            other.loc[other["at"] == start, ["at", *KNOWN]], events.loc[at_cut, ["at", *KNOWN]], obj=kind
        )
        assert not other.equals(events)
