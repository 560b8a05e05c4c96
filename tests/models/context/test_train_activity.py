"""The classifier of activities from data to a promoted version, and what keeps a worse one out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from activity_world import activity_world

from models.context import FIELDS, UNKNOWN
from models.registry import CHALLENGER, CHAMPION, aliased_version
from models.train_activity import champion_activity, train_activity

NAME = "soundlake-recommender-activity"


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


def trained(data, uri):
    return train_activity(data, uri, "recommendation", NAME, {"gold.sequences": 4}, "0123abc", seed=1)


@pytest.fixture(scope="module")
def first(uri):
    return trained(activity_world(), uri)


def test_the_first_is_promoted_with_its_report_and_tags(first, uri):
    import mlflow

    assert first.promoted and first.version == 1 and first.difference is None
    assert first.metrics["log_loss"] < first.metrics["log_loss_hi"] < np.log(3)
    client = mlflow.MlflowClient(uri, uri)
    version = client.get_model_version_by_alias(NAME, CHAMPION)
    assert version.tags["data_version.gold.sequences"] == "4" and "log loss" in version.description
    assert {"report.md", "activity"} <= {file.path for file in client.list_artifacts(first.run_id)}
    assert client.get_run(first.run_id).data.metrics["accuracy"] == pytest.approx(first.metrics["accuracy"])


def test_the_champion_answers_as_it_was_trained(first, uri):
    data = activity_world(seed=3)
    found = champion_activity(uri, NAME).probabilities(data, np.arange(20))
    assert found.shape == (20, 3) and np.allclose(found.sum(1), 1, atol=1e-5)
    said = data.of_context("activity")[:20]
    assert (found.argmax(1) == said).mean() > 0.5


def test_one_that_learned_nonsense_is_refused(first, uri):
    data = activity_world()
    context, column = data.context.copy(), FIELDS.index("activity")
    early = data.times < np.quantile(data.times, 0.9)
    context[early, column] = np.random.default_rng(0).permutation(context[early, column])
    found = trained(replace(data, context=context), uri)
    assert not found.promoted and "Refused" in found.reason and found.difference.hi < 0
    assert aliased_version(uri, NAME, CHAMPION) == 1
    assert aliased_version(uri, NAME, CHALLENGER) == found.version == 2


def test_plays_that_never_say_it_are_an_error_that_says_so(uri):
    data = activity_world(users=5)
    with pytest.raises(ValueError, match="0 plays name 0 activities"):
        trained(replace(data, context=np.full_like(data.context, UNKNOWN)), uri)
