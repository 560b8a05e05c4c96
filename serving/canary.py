"""The trial of a canary: opened on a share of the listeners, judged by their traffic, then promoted or rolled back.

Where no API answers there is no traffic to judge by: a version is promoted on the requests that the infra gate
replayed, and the journal says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from serving.compare import Finding, Thresholds, compare, more_errors
from serving.files import write_atomically
from serving.publish import Publisher
from serving.rollout import CANARY, STABLE, Rollout
from serving.traffic import ByLabel, Traffic, plus, since

FILE = "trial.json"
PROMOTE, ROLL_BACK, WAIT, OPEN, NOTHING = "promote", "roll back", "wait", "open", "nothing"
EARLY_REQUESTS, EARLY_ALPHA = 50, 0.001
"""From so many requests on a canary that errs is rolled back before it has had all its requests. It is looked at many
times, so the test is stricter than the last one."""


@dataclass(frozen=True)
class Rules:
    """share of listeners, requests that a judgement needs, and after how long it is given on what has come."""

    share: float = 0.05
    requests: int = 500
    hours: float = 24.0
    limits: Thresholds = field(default_factory=Thresholds)


@dataclass(frozen=True)
class Decision:
    """What to do with a version, why, and the comparison it rests on (none where nothing was compared)."""

    action: str
    version: int
    reason: str
    findings: tuple[Finding, ...] = ()
    requests: int = 0


@dataclass(frozen=True)
class Trial:
    """What the API counted since a trial began: `last` is what it said at the last look, `total` what came between."""

    opened_at: str
    last: ByLabel
    total: ByLabel

    @classmethod
    def load(cls, folder: Path) -> Trial | None:
        """The trial written in `folder`; None where there is none, or its file is broken (it begins anew then)."""
        try:
            content = json.loads((Path(folder) / FILE).read_bytes())
            parts = {
                name: {label: Traffic.from_json(one) for label, one in content[name].items()}
                for name in ("last", "total")
            }
            return cls(content["opened_at"], **parts)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def save(self, folder: Path) -> None:
        parts = {
            name: {label: one.to_json() for label, one in getattr(self, name).items()} for name in ("last", "total")
        }
        write_atomically(Path(folder) / FILE, json.dumps({"opened_at": self.opened_at, **parts}) + "\n")

    def seen(self, now: ByLabel) -> Trial:
        """With what came since the last look."""
        return Trial(self.opened_at, now, plus(self.total, since(now, self.last)))


class CanaryTrial:
    """The way of one model's versions from staged to stable.

    Args:
        publisher: of the model; its folder holds rollout, trial and journal.
        look: what the API has counted, by label; None where no API answers.
        rules: share, requests, patience and thresholds.
        now: the time, UTC.
    """

    def __init__(
        self,
        publisher: Publisher,
        look: Callable[[], ByLabel | None],
        rules: Rules | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ):
        self.publisher, self._look, self.rules, self._now = publisher, look, rules or Rules(), now

    def decide(self, version: int) -> Decision:
        """What is to be done with the staged `version`; nothing is done yet, but the trial's counts are kept."""
        current = self.publisher.current()
        stable = current.labels.get(STABLE) if current else None
        if stable == version:
            return Decision(NOTHING, version, f"version {version} is stable already")
        rejected = self.publisher.journal.rejected(version)
        if rejected is not None:
            return Decision(ROLL_BACK, version, f"it was rolled back before ({rejected}); `soundlake rollout --retry`")
        if stable is None:
            return Decision(PROMOTE, version, "the first version: nothing to compare it with")
        traffic = self._look()
        rollout = Rollout.load(self.publisher.folder)
        if rollout.under_way and (rollout.model, rollout.canary) == (self.publisher.name, version):
            return self._judge(rollout, traffic)
        if traffic is None:
            return Decision(
                PROMOTE, version, "no API answers, so no traffic will come: by the gate's replayed requests"
            )
        return Decision(OPEN, version, f"{self.rules.share:.1%} of listeners for {self.rules.requests} requests")

    def carry_out(self, decision: Decision) -> None:
        """Do what was decided. Raises `PublishError` where the server does not let it."""
        if decision.action == PROMOTE:
            self.publisher.promote(decision.version, decision.reason)
        elif decision.action == ROLL_BACK:
            if self.publisher.journal.rejected(decision.version) is None:
                self.publisher.reject_canary(decision.version, decision.reason)
            else:
                self.publisher.unstage()
        elif decision.action == OPEN:
            rollout = self.publisher.open_canary(decision.version, self.rules.share)
            Trial(rollout.opened_at, self._look() or {}, {}).save(self.publisher.folder)
        elif decision.action == NOTHING:
            self.publisher.unstage()  # the infra gate had staged it

    def _judge(self, rollout: Rollout, traffic: ByLabel | None) -> Decision:
        version, folder = rollout.canary, self.publisher.folder
        trial = Trial.load(folder)
        if trial is None or trial.opened_at != rollout.opened_at:
            # Killed between rollout and first look: counting begins now.
            trial = Trial(rollout.opened_at, traffic or {}, {})
        elif traffic is not None:
            trial = trial.seen(traffic)
        trial.save(folder)
        stable, canary = (trial.total.get(label, Traffic()) for label in (STABLE, CANARY))
        came = int(canary.requests)
        over = self._now() - datetime.fromisoformat(rollout.opened_at) > timedelta(hours=self.rules.hours)
        if came < self.rules.requests and not over:
            if came >= EARLY_REQUESTS and more_errors(stable, canary, EARLY_ALPHA):
                found = compare(stable, canary, self.rules.limits)
                return Decision(ROLL_BACK, version, f"it errs: {found[0].text}", tuple(found), came)
            return Decision(WAIT, version, f"{came} of {self.rules.requests} requests", requests=came)
        found = tuple(compare(stable, canary, self.rules.limits))
        told = "; ".join(one.text for one in found)
        if worse := "; ".join(one.text for one in found if one.worse):
            return Decision(ROLL_BACK, version, f"worse than the stable version: {worse}", found, came)
        late = f" after {self.rules.hours:g} h" if came < self.rules.requests else ""
        return Decision(PROMOTE, version, f"{came} requests{late}: {told}", found, came)
