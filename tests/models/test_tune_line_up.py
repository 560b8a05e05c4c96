"""Tuning of the line-up: what was chosen is kept, logged, and used by the next training."""

from __future__ import annotations

import json

import pytest

from models.baselines import BaselineConfig
from models.tune_line_up import keep, kept, tune_line_up
from models.tuning import Budget


def test_what_is_chosen_is_kept_and_used(data, tmp_path):
    import mlflow

    uri, path = f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "state" / "tuned.json"
    found = tune_line_up(data, ["transitions", "item_knn"], Budget(3, 60), uri, "tuning", {"gold.sequences": 2})
    keep(path, found)
    config = kept(path)
    for name, tuned in found.items():
        assert getattr(config, name) == tuned.config
        assert tuned.value >= tuned.trials[0].value and len(tuned.trials) == 3
    assert config.ease == BaselineConfig().ease
    client = mlflow.MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("tuning").experiment_id])
    assert sorted(r.data.tags.get("tuning", "") for r in runs) == ["", *["item_knn"] * 3, *["transitions"] * 3]
    parent = next(r for r in runs if "tuning" not in r.data.tags)
    assert parent.data.metrics["item_knn_best"] == found["item_knn"].value
    later = tune_line_up(data, ["item_knn"], Budget(1, 60), uri, "tuning", {}, config=config)
    keep(path, later)
    assert kept(path).transitions == config.transitions, "what is not tuned again stays"


def test_what_can_not_be_tuned_is_named(data, tmp_path):
    with pytest.raises(ValueError, match=r"tune_models: 'popularity' can not be tuned; there are .*item_knn"):
        tune_line_up(data, ["popularity"], Budget(1, 1), f"sqlite:///{tmp_path}/m.db", "tuning", {})


def test_a_file_of_another_version_is_an_error_with_its_name(tmp_path):
    path = tmp_path / "tuned.json"
    assert kept(path) == BaselineConfig()
    path.write_text(json.dumps({"item_knn": {"wings": 2}}))
    with pytest.raises(ValueError, match=r"tuned\.json: item_knn has no wings; tune again"):
        kept(path)
