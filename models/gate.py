"""Who is served: the promotion gate.

Candidate and champion are compared by their ``evaluation/`` models (see :mod:`models.registry`) on one hold-out, the
current one, listener by listener.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from models.evaluation.bootstrap import Interval
from models.evaluation.metrics import PRIMARY, Evaluation, compare, evaluate
from models.evaluation.split import HoldOut
from models.lineup import NAMES
from models.recommend.base import Recommender
from models.recommend.popularity import Popularity
from models.registry import CHALLENGER, CHAMPION, EVALUATION, aliased_version, fetch, name_of

MARGIN = 0.02  # share of the champion's value a newer model may lose, for knowing newer tracks


@dataclass(frozen=True)
class GateDecision:
    """promote: move the alias or not; reason: why, in one sentence; interval: paired difference, candidate minus
    ``against``, on the primary metric; metrics: what both reached on the hold-out, by name."""

    promote: bool
    reason: str
    interval: Interval
    against: str
    metrics: dict[str, float] = field(default_factory=dict)


def decide(
    candidate: Recommender, champion: Recommender | None, hold_out: HoldOut, metric: str = PRIMARY
) -> GateDecision:
    """Judge a candidate.

    Without a champion it must beat popularity, the paired 95 % interval above zero. With one it must not be worse: a
    difference of at least zero, or an interval that stays above -2 % of the champion's value (non-inferior; the newer
    model knows newer tracks).
    """
    ours = evaluate(candidate, hold_out, "candidate")
    baseline = Popularity().fit_listeners(hold_out.catalogue, hold_out.listeners) if champion is None else champion
    theirs = evaluate(baseline, hold_out, "popularity" if champion is None else "champion")
    difference = compare(theirs, ours, metric)
    verdict = _first(difference) if champion is None else _succession(difference, theirs.metrics[metric].value)
    promote, why = verdict
    reason = (
        f"{'Promoted' if promote else 'Refused'}: {metric} {ours.metrics[metric]} against {theirs.model} "
        f"{theirs.metrics[metric]}, paired difference {difference:+} over {len(hold_out)} listeners: {why}."
    )
    return GateDecision(promote, reason, difference, theirs.model, _flat(ours) | _flat(theirs))


def _first(difference: Interval) -> tuple[bool, str]:
    if difference.lo > 0:
        return True, "there is no champion, and it is better than popularity"
    return False, "there is no champion, but it is not shown to be better than popularity"


def _succession(difference: Interval, champion_value: float) -> tuple[bool, str]:
    floor = -MARGIN * champion_value
    if difference.value >= 0:
        return True, "it is at least as good as the champion"
    if difference.lo > floor:
        return (
            True,
            f"it is not inferior to the champion (interval above {floor:+.4f}, {MARGIN:.0%} of the champion's value)",
        )
    return (
        False,
        f"it may lose more than {MARGIN:.0%} of the champion's value (the interval reaches below {floor:+.4f})",
    )


def _flat(evaluation: Evaluation) -> dict[str, float]:
    return {f"{evaluation.model}_{name}": value for name, value in evaluation.flat().items()}


def decide_and_promote(
    tracking_uri: str, registered_name: str, candidate_version: int, hold_out: HoldOut, metric: str = PRIMARY
) -> GateDecision:
    """Judge a registered version against the current champion, write the decision to it and move the alias if it won.

    Judging the champion against itself changes nothing and is answered with promote=True.
    """
    from models import stored

    number = aliased_version(tracking_uri, registered_name, CHAMPION)
    with tempfile.TemporaryDirectory(prefix="soundlake-gate-") as folder:

        def load(version: int, name: str) -> Recommender:
            found = fetch(tracking_uri, registered_name, version, EVALUATION, Path(folder) / name)
            return stored.load(found, name)

        champion = None if number is None else load(number, "champion")
        decision = decide(load(candidate_version, "candidate"), champion, hold_out, metric)
    record(tracking_uri, registered_name, candidate_version, number, decision)
    return decision


def promote_line_up(tracking_uri: str, registered_name: str, hold_out: HoldOut) -> dict[str, GateDecision]:
    """Judge the challenger of every model of the line-up against the champion of its own name."""
    out = {}
    for name in (name_of(registered_name, model) for model in NAMES):
        challenger = aliased_version(tracking_uri, name, CHALLENGER)
        if challenger is not None:
            out[name] = decide_and_promote(tracking_uri, name, challenger, hold_out)
    return out


def record(tracking_uri: str, registered_name: str, version: int, champion: int | None, decision: GateDecision) -> None:
    """Write the decision to the version (tags, top of the description) and its run; on promotion move ``champion``."""
    import mlflow

    client = mlflow.MlflowClient(tracking_uri, tracking_uri)
    tags = {
        "gate.promoted": str(decision.promote).lower(),
        "gate.reason": decision.reason,
        "gate.against": decision.against if champion is None else f"version {champion}",
        "gate.difference": f"{decision.interval.value:.6f}",
        "gate.difference_lo": f"{decision.interval.lo:.6f}",
        "gate.difference_hi": f"{decision.interval.hi:.6f}",
    }
    for key, value in tags.items():
        client.set_model_version_tag(registered_name, str(version), key, value)
    found = client.get_model_version(registered_name, str(version))
    card = (found.description or "").split("\n\n---\n\n", 1)[-1]
    client.update_model_version(registered_name, str(version), f"{decision.reason}\n\n---\n\n{card}"[:5000])
    if found.run_id:
        for name, value in decision.metrics.items():
            client.log_metric(found.run_id, f"gate_{name}", value)
    if decision.promote:
        client.set_registered_model_alias(registered_name, CHAMPION, str(version))
        if aliased_version(tracking_uri, registered_name, CHALLENGER) == version:
            client.delete_registered_model_alias(registered_name, CHALLENGER)
