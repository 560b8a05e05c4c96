"""Tuning of several models of the line-up, one after the other, and where the choices are kept for later trainings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from models import baselines
from models.baselines import BaselineConfig
from models.data import ListeningData
from models.evaluation.split import split
from models.tracking import connect, log_data_versions
from models.tuning import Budget, Tuned, tune

OBJECTIVE = {"next_ndcg_at_10": 0.5, "discover_ndcg_at_10": 0.5}


def tune_line_up(
    data: ListeningData,
    names: Sequence[str],
    budget: Budget,
    tracking_uri: str,
    experiment: str,
    data_versions: Mapping[str, int],
    seed: int = 0,
    artifact_root: str | None = None,
    config: BaselineConfig | None = None,
) -> dict[str, Tuned]:
    """Tune each of ``names`` on the tail of the training part, ``budget`` each; the hold-out stays unseen.

    One parent run in MLflow with a nested run a trial. Raises ValueError for a model that has nothing to tune.
    """
    import mlflow

    config = config or BaselineConfig()
    for name in names:
        if name not in baselines.KINDS or not baselines.KINDS[name].space:
            able = ", ".join(key for key, kind in baselines.KINDS.items() if kind.space)
            raise ValueError(f"tune_models: {name!r} can not be tuned; there are {able}")
    train, _ = split(data)
    experiment_id = connect(tracking_uri, experiment, artifact_root)
    out = {}
    with mlflow.start_run(experiment_id=experiment_id, run_name="tuning", tags={"model": "tuning"}):
        log_data_versions(data_versions)
        mlflow.log_params({"seed": seed, "trials": budget.trials, "seconds": budget.seconds, "models": ",".join(names)})
        for name in names:
            kind = baselines.KINDS[name]
            found = out[name] = tune(kind.make, getattr(config, name), kind.space, train, OBJECTIVE, budget, seed)
            mlflow.log_metrics({f"{name}_start": found.trials[0].value, f"{name}_best": found.value})
    return out


def keep(path: Path, found: Mapping[str, Tuned]) -> None:
    """Write the chosen configurations beside those kept before."""
    kept = json.loads(path.read_text()) if path.exists() else {}
    kept |= {name: asdict(tuned.config) for name, tuned in found.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(kept, indent=1))


def kept(path: Path, config: BaselineConfig | None = None) -> BaselineConfig:
    """The configurations with those that were chosen; raises ValueError for a file that names a field there is not."""
    config = config or BaselineConfig()
    chosen: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
    for name, values in chosen.items():
        current = getattr(config, name, None)
        unknown = set(values) - {field.name for field in fields(current)} if current else {name}
        if unknown:
            raise ValueError(f"{path}: {name} has no {', '.join(sorted(unknown))}; tune again, or remove the file")
        known = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        config = replace(config, **{name: replace(current, **known)})
    return config
