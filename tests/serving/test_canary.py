"""The trial of a version: judged by traffic, kept over restarts of the API; roll back by number, files retired."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from serving.canary import NOTHING, OPEN, PROMOTE, ROLL_BACK, WAIT, CanaryTrial, Rules, Trial
from serving.compare import compare
from serving.journal import FILE as JOURNAL
from serving.publish import Publisher, PublishError
from serving.retire import retire
from serving.rollout import CANARY, STABLE, Rollout
from serving.traffic import Traffic, plus, read_traffic, scrape, since


class Api:
    """Counts as the API does; `look` reads its page."""

    def __init__(self, seed: int = 0):
        self.random, self.up = np.random.default_rng(seed), True
        self.restart()

    def restart(self) -> None:
        self.registry = registry = CollectorRegistry()
        bounds = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 1)
        self.model = Histogram("soundlake_model_seconds", "s", ("label",), registry=registry, buckets=bounds)
        self.scores = Histogram("soundlake_scores", "s", ("label",), registry=registry, buckets=tuple(range(-4, 12)))
        self.requests = Counter("soundlake_requests", "n", ("route", "status", "label"), registry=registry)

    def serve(self, label: str, count: int, errors: float = 0.0, seconds: float = 0.004, score: float = 3.0) -> None:
        for _ in range(count):
            self.requests.labels("/v1/recommendations", "200", label).inc()
            self.model.labels(label).observe(seconds * self.random.lognormal(0, 0.4))
            if self.random.random() >= errors:
                self.scores.labels(label).observe(self.random.normal(score, 1.5))

    def look(self):
        return read_traffic(generate_latest(self.registry).decode()) if self.up else None


@pytest.fixture
def api():
    return Api()


@pytest.fixture
def publisher(world) -> Publisher:
    return Publisher(world.client, world.config_file, world.base, None, world.name, load_timeout_s=30, notice_s=0)


@pytest.fixture(autouse=True)
def no_trial_left(world):
    yield
    for name in ("rollout.json", "trial.json", JOURNAL):
        (world.config_file.parent / name).unlink(missing_ok=True)


class Clock:
    def __init__(self):
        self.hours = 0.0

    def __call__(self) -> datetime:
        return datetime.now(UTC) + timedelta(hours=self.hours)


@pytest.fixture
def on_trial(world, publisher, api):
    """Version 1 is stable, version 2 on trial."""
    clock = Clock()
    trial = CanaryTrial(publisher, api.look, Rules(requests=400), clock)
    trial.clock = clock
    world.add(world.name, 1, 2)
    publisher.stage(1)
    trial.carry_out(trial.decide(1))
    publisher.stage(2)
    decision = trial.decide(2)
    assert decision.action == OPEN
    trial.carry_out(decision)
    return trial


def settle(trial, version=2):
    decision = trial.decide(version)
    trial.carry_out(decision)
    return decision


def state(publisher):
    rollout = Rollout.load(publisher.folder)
    return publisher.current().labels, rollout.canary if rollout.under_way else None


def test_a_version_as_good_as_the_stable_one_is_promoted_when_it_has_had_its_requests(on_trial, api):
    api.serve(STABLE, 3000)
    api.serve(CANARY, 150)
    assert on_trial.decide(2).action == WAIT
    assert state(on_trial.publisher) == ({"canary": 2, "stable": 1}, 2)
    api.serve(CANARY, 300)
    decision = settle(on_trial)
    assert (decision.action, decision.requests) == (PROMOTE, 450)
    assert state(on_trial.publisher) == ({"previous": 1, "stable": 2}, None)
    assert settle(on_trial).action == NOTHING


@pytest.mark.parametrize(
    ("worse", "name"), [({"errors": 0.05}, "errors"), ({"seconds": 0.012}, "p95"), ({"score": 5.0}, "scores")]
)
def test_a_worse_version_is_rolled_back_and_not_tried_again(on_trial, api, worse, name):
    api.serve(STABLE, 4000)
    api.serve(CANARY, 500, **worse)
    decision = settle(on_trial)
    assert decision.action == ROLL_BACK and f"worse than the stable version: {name}" in decision.reason
    assert state(on_trial.publisher) == ({"stable": 1}, None)
    on_trial.publisher.stage(2)
    again = settle(on_trial)
    assert again.action == ROLL_BACK and "it was rolled back before" in again.reason
    assert state(on_trial.publisher) == ({"stable": 1}, None)
    on_trial.publisher.journal.note("retry", 2)
    on_trial.publisher.stage(2)
    assert on_trial.decide(2).action == OPEN


def test_a_version_that_errs_does_not_get_all_its_requests(on_trial, api):
    api.serve(STABLE, 2000)
    api.serve(CANARY, 60, errors=0.5)
    decision = settle(on_trial)
    assert (decision.action, decision.requests) == (ROLL_BACK, 60)
    assert decision.reason.startswith("it errs: errors")


def test_without_enough_traffic_it_is_judged_on_what_came_when_time_is_over(on_trial, api):
    api.serve(STABLE, 500)
    api.serve(CANARY, 20)
    assert on_trial.decide(2).action == WAIT
    on_trial.clock.hours = 25
    decision = settle(on_trial)
    assert decision.action == PROMOTE and decision.reason.startswith("20 requests after 24 h: ")


def test_a_restart_of_the_api_loses_nothing_that_was_seen(on_trial, api):
    api.serve(STABLE, 1000)
    api.serve(CANARY, 250)
    assert on_trial.decide(2).requests == 250
    api.restart()
    api.serve(STABLE, 1000)
    api.serve(CANARY, 100)
    assert on_trial.decide(2).requests == 350
    api.up = False
    assert (on_trial.decide(2).action, on_trial.decide(2).requests) == (WAIT, 350)


def test_what_came_before_the_trial_does_not_count(world, publisher, api):
    api.serve(STABLE, 100)
    api.serve(CANARY, 5000, errors=1.0)
    trial = CanaryTrial(publisher, api.look, Rules(requests=100))
    world.add(world.name, 1, 2)
    publisher.stage(1)
    publisher.promote(1)
    publisher.stage(2)
    settle(trial)
    api.serve(STABLE, 100)
    assert trial.decide(2).requests == 0


def test_where_no_api_runs_the_gate_alone_decides(world, publisher):
    trial = CanaryTrial(publisher, lambda: scrape("http://127.0.0.1:9"))
    world.add(world.name, 1, 2)
    publisher.stage(1)
    assert settle(trial, 1).reason.startswith("the first version")
    publisher.stage(2)
    decision = settle(trial)
    assert decision.action == PROMOTE and "no API answers" in decision.reason
    assert [act.action for act in publisher.journal.acts()] == ["staged", "promoted", "staged", "promoted"]
    assert publisher.journal.acts()[-1].reason == decision.reason


def test_another_version_ends_the_trial_before_it_takes_the_label(on_trial, world):
    world.add(world.name, 3)
    seen = []
    on_trial.publisher.step = lambda step: seen.append((step, Rollout.load(on_trial.publisher.folder).under_way))
    on_trial.publisher.stage(3)
    assert seen[0] == ("end the canary", True)
    assert not any(under_way for _, under_way in seen[1:])
    assert state(on_trial.publisher) == ({"canary": 3, "stable": 1}, None)


def test_what_can_not_go_on_trial(world, publisher):
    world.add(world.name, 1, 2)
    with pytest.raises(PublishError, match="version 1 .* is not staged"):
        publisher.open_canary(1, 0.1)
    publisher.stage(1)
    with pytest.raises(PublishError, match="has no stable version beside 1"):
        publisher.open_canary(1, 0.1)


def test_roll_back_to_a_version_by_number_ends_a_trial_too(on_trial, world):
    publisher = on_trial.publisher
    with pytest.raises(PublishError, match="no previous version to return to"):
        publisher.rollback()
    with pytest.raises(PublishError, match="version 1 of .* is the stable one already"):
        publisher.rollback(1)
    with pytest.raises(PublishError, match="9 does not exist"):
        publisher.rollback(9)
    assert state(publisher) == ({"canary": 2, "stable": 1}, 2)
    publisher.promote(2)
    world.add(world.name, 3)
    publisher.stage(3)
    publisher.promote(3)
    assert publisher.current().versions == (2, 3)
    publisher.rollback(1, "too slow")
    assert state(publisher) == ({"stable": 1}, None) or state(publisher)[0]["stable"] == 1
    assert world.client.ask(world.name, asked(), label="stable").version == 1
    assert publisher.journal.rejected(3) == "too slow"


def asked():
    from tiny_model import recommend_inputs

    return recommend_inputs([["t1"]])


def test_files_of_old_versions_go_unless_something_holds_them(world, publisher):
    world.add(world.name, 1, 2, 3)
    base = world.base / world.name
    for version in (1, 2, 3):
        publisher.stage(version)
        publisher.promote(version)
    assert retire(publisher, 1) == [1]  # 2 is `previous`, 3 `stable`
    (base / ".gone-0").mkdir()
    (base / "4").mkdir()  # on its way
    assert retire(publisher, 1) == []
    assert sorted(path.name for path in base.iterdir()) == ["2", "3", "4"]
    with pytest.raises(ValueError, match="keep: 0"):
        retire(publisher, 0)


# The comparison


def test_equal_sides_are_told_apart_as_seldom_as_is_said():
    alarms = 0
    for seed in range(150):
        api = Api(seed)
        api.serve(STABLE, 600)
        api.serve(CANARY, 200)
        sides = api.look()
        alarms += any(one.worse for one in compare(sides[STABLE], sides[CANARY]))
    assert alarms <= 3


def test_traffic_is_read_kept_and_added_up(api, tmp_path):
    api.serve(STABLE, 30, errors=0.5)
    before = api.look()
    api.serve(STABLE, 20)
    api.serve(CANARY, 5)
    api.requests.labels("/v1/recommendations", "503", CANARY).inc(2)
    grown = since(api.look(), before)
    assert (grown[STABLE].requests, grown[STABLE].errors) == (20, 0)
    assert (grown[CANARY].requests, grown[CANARY].errors) == (5, 2)
    assert 5 < before[STABLE].errors < 25
    Trial("now", before, grown).save(tmp_path)
    kept = Trial.load(tmp_path)
    assert kept == Trial("now", before, grown)
    assert plus(kept.total, grown)[CANARY].requests == 10
    (tmp_path / "trial.json").write_text("{")
    assert Trial.load(tmp_path) is None
    assert np.isnan(Traffic().latency.quantile(0.5))
