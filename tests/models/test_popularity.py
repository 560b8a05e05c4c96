"""Popularity of late and by segment, on counts small enough to do by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from handmade import listening

from models.context import PROFILE_FIELDS, Categories
from models.recommend.base import Queries, Requests
from models.recommend.popularity import Popularity, PopularityConfig


def order(model: Popularity, n: int = 10, devices: list[str] | None = None) -> str:
    ids, _ = model.recommend(Requests.of([[]], device=devices), n)
    return "".join(ids[0])


def device_scores(model: Popularity, name: str) -> np.ndarray:
    return model.scores(model.queries(Requests.of([[]], device=[name])))[0]


def test_recent_with_a_clock_counts_each_listener_by_their_latest_play():
    data = listening({"u": "aab", "v": "ac"}, {"u": [0, 4, 10], "v": [2, 6]})
    model = Popularity(PopularityConfig(half_life_days=2.0)).fit(data)
    scores = model.scores(Queries.of([[]]))[0]
    # the data end on day 10: a by u on day 4 and by v on day 2, b on day 10, c on day 6
    np.testing.assert_allclose(scores, [0.5**3 + 0.5**4, 1.0, 0.5**2])
    assert model.name == "popularity_recent"
    assert order(Popularity().fit(data)) == "abc" or order(Popularity().fit(data)) == "acb"


def test_recent_without_a_clock_counts_from_each_listeners_end():
    data = listening({"u": "aab", "v": "aca"})
    scores = Popularity(PopularityConfig(half_life_plays=1.0)).fit(data).scores(Queries.of([[]]))[0]
    np.testing.assert_allclose(scores, [0.5 + 1.0, 1.0, 0.5])


def test_days_of_a_synthetic_clock_are_refused():
    with pytest.raises(ValueError, match="true clock.*set PopularityConfig.half_life_plays"):
        Popularity(PopularityConfig(last_days=3.0)).fit(listening({"u": "ab"}))


def test_a_window_of_days_forgets_what_is_older():
    data = listening({"u": "ab", "v": "ac", "w": "ab"}, {"u": [0, 9.5], "v": [1, 8], "w": [2, 9.9]})
    scores = Popularity(PopularityConfig(last_days=1.0)).fit(data).scores(Queries.of([[]]))[0]
    assert scores.tolist() == [0, 2, 0]


@pytest.fixture(scope="module")
def by_device():
    users = {f"u{i}": "ab" for i in range(6)} | {"v0": "ac", "v1": "ac", "w": "d"}
    kinds = {u: ["phone"] * 2 if u[0] == "u" else ["car"] * 2 if u[0] == "v" else ["tv"] for u in users}
    return listening(users, devices=kinds)


def test_a_segment_is_shrunk_to_everybody(by_device):
    model = Popularity(PopularityConfig(segment="device", shrinkage=2.0)).fit(by_device)
    everybody = np.array([8, 6, 2, 1]) / 17
    car = (np.array([2, 0, 2, 0]) + 2.0 * everybody) / (4 + 2.0)
    np.testing.assert_allclose(device_scores(model, "car"), car, rtol=1e-6)
    assert order(model, devices=["car"]) == "acbd"
    assert order(model, devices=["phone"]) == order(model, devices=["toaster"]) == "abcd"
    assert model.name == "popularity_device"


def test_the_more_it_is_shrunk_the_nearer_it_is_to_everybodys_list(by_device):
    everybody = np.array([8, 6, 2, 1]) / 17
    far = [
        np.abs(
            device_scores(Popularity(PopularityConfig(segment="device", shrinkage=m)).fit(by_device), "tv") - everybody
        ).sum()
        for m in (0.0, 1.0, 10.0, 1e6)
    ]
    assert far == sorted(far, reverse=True)
    assert far[-1] < 1e-5 < far[0]


def test_the_profile_makes_segments_too(by_device):
    country = Categories.of(PROFILE_FIELDS, country=("SE", "FR"))
    column = PROFILE_FIELDS.index("country")
    profiles = np.full((by_device.n_users, len(PROFILE_FIELDS)), -1, np.int16)
    profiles[:, column] = [0 if user[0] == "v" else 1 for user in by_device.users]
    data = replace(by_device, profiles=profiles, profile_fields=country)
    model = Popularity(PopularityConfig(segment="country", shrinkage=0.1)).fit(data)

    def ranked(name):
        ids, _ = model.recommend(Requests.of([[]], profile={"country": [name]}), 4)
        return "".join(ids[0])

    assert (ranked("SE"), ranked("FR"), ranked("XX")) == ("acbd", "abdc", "abcd")
    with pytest.raises(ValueError, match="'mood' is no field"):
        PopularityConfig(segment="mood")


@pytest.mark.parametrize("segment", ["weather", "plan"])
def test_a_segment_that_nobody_tells_leaves_everybodys_list(by_device, segment):
    model = Popularity(PopularityConfig(segment=segment)).fit(by_device)
    asked = {"weather": ["rain"]} if segment == "weather" else {"profile": {"plan": ["free"]}}
    ids, scores = model.recommend(Requests.of([[]], **asked), 4)
    assert "".join(ids[0]) == "abcd"
    assert scores[0].tolist() == [8, 6, 2, 1]
    assert model.name == f"popularity_{segment}"


def test_a_segment_without_plays_of_late_has_everybodys_list():
    devices = {"u": ["phone"] * 2, "v": ["car"] * 2}
    data = listening({"u": "ab", "v": "cb"}, {"u": [0, 1], "v": [8, 9]}, devices)
    model = Popularity(PopularityConfig(segment="device", last_days=2.0, shrinkage=0.0)).fit(data)
    np.testing.assert_allclose(device_scores(model, "phone"), [0, 0.5, 0.5])
    np.testing.assert_allclose(device_scores(model, "car"), [0, 0.5, 0.5])


def test_a_listener_of_two_segments_counts_once_in_each_and_once_for_all():
    data = listening({"u": "aaa"}, devices={"u": ["phone", "car", "phone"]})
    model = Popularity(PopularityConfig(segment="device", shrinkage=0.0)).fit(data)
    assert model._score.tolist() == [1.0]
    counts = model._counts(data, data.of_context("device").astype(int), 2)
    assert counts.tolist() == [[1.0], [1.0]]


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="half_life_days: 0 must be above 0"):
        PopularityConfig(half_life_days=0)
    with pytest.raises(ValueError, match="exclude each other"):
        replace(PopularityConfig(half_life_days=1.0), last_days=2.0)
