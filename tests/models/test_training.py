"""From data to a promoted version: what is logged, what is registered, and what the gate lets through."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from models.evaluation.bootstrap import Interval
from models.evaluation.metrics import PRIMARY, evaluate
from models.evaluation.split import split
from models.gate import _succession, decide, decide_and_promote, promote_line_up
from models.lineup import RIVALS, LineupConfig
from models.predict import predict
from models.recommend.base import Requests
from models.recommend.ease import Ease, EaseConfig
from models.recommend.popularity import Popularity
from models.registry import CHALLENGER, CHAMPION, EVALUATION, aliased_version, fetch, name_of
from models.saved import SavedRecommender
from models.train import TrainConfig, train_and_evaluate

NAME = "soundlake-recommender"
NAMES = ("popularity", "transitions", "two_tower", "two_stage", "two_stage_student", "two_stage_network")


@pytest.fixture(scope="module")
def world(data, small_config, two_stage_config, tmp_path_factory):
    """One training on a fresh SQLite store: (tracking uri, result, what progress was told)."""
    folder = tmp_path_factory.mktemp("mlflow")
    uri, heard = f"sqlite:///{folder}/mlflow.db", []
    result = train_and_evaluate(
        data,
        TrainConfig(LineupConfig(NAMES, two_tower=replace(small_config, min_steps=150), two_stage=two_stage_config)),
        folder / "out",
        uri,
        "recommendation",
        NAME,
        {"gold.sequences": 7, "gold.track_features": 3},
        "0123abc",
        seed=3,
        progress=heard.append,
    )
    return uri, result, heard


@pytest.mark.parametrize(
    ("trees", "student", "network", "shipped"),
    [
        (0.2, 0.1992, 0.1, "two_stage_student"),
        (0.2, 0.198, 0.1, "two_stage"),
        (0.2, 0.1995, 0.3, "two_stage_network"),
        (0.2, None, 0.1, "two_stage"),
    ],
)
def test_the_best_rival_ships_or_the_fast_one_where_it_costs_nothing(trees, student, network, shipped):
    from types import SimpleNamespace

    from models.evaluation.metrics import PRIMARY
    from models.train import _Judged

    found = {"two_stage": trees, "two_stage_student": student, "two_stage_network": network, "popularity": 0.9}
    judged = _Judged(
        evaluations=[SimpleNamespace(model=name, metrics={PRIMARY: SimpleNamespace(value=value)})
                     for name, value in found.items() if value is not None],
        rivals=dict.fromkeys(("two_stage", "two_stage_student", "two_stage_network")),
    )  # fmt: skip
    assert judged.best_rival() == shipped == judged.evaluations[-1].model


def test_all_models_are_judged_side_by_side(world):
    _, result, heard = world
    names = [e.model for e in result.evaluations]
    assert sorted(names) == sorted(NAMES)
    assert names[-1] == result.shipped
    rivals = [e for e in result.evaluations if e.model in RIVALS]
    assert result.evaluations[-1] == max(rivals, key=lambda e: e.metrics[PRIMARY].value)
    assert len({tuple(sorted(e.metrics)) for e in result.evaluations}) == 1
    assert {h["stage"] for h in heard} == {"evaluation", "serving"}
    assert set(result.fit_seconds) == set(names)


def test_what_the_runs_hold(world):
    import mlflow

    uri, result, _ = world
    client = mlflow.MlflowClient(uri)
    parent = client.get_run(result.run_id)
    assert parent.data.tags["data_version.gold.sequences"] == "7"
    assert parent.data.tags["git_revision"] == "0123abc"
    assert {(d.dataset.name, d.dataset.digest) for d in parent.inputs.dataset_inputs} == {
        ("gold.sequences", "v7"),
        ("gold.track_features", "v3"),
    }
    assert "model_card.md" in {a.path for a in client.list_artifacts(result.run_id)}
    nested = client.search_runs(
        [parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{result.run_id}'", max_results=20
    )
    assert {run.data.tags["model"] for run in nested} == {e.model for e in result.evaluations}
    for run in nested:
        assert {PRIMARY, f"{PRIMARY}_lo", f"{PRIMARY}_hi", "fit_seconds"} <= set(run.data.metrics)
    neural = next(run for run in nested if run.data.tags["model"] == "two_tower")
    assert neural.data.params["dim"] == "16"
    assert [m.step for m in client.get_metric_history(neural.info.run_id, "epoch_loss")] == [1, 2]
    assert "learning_curve.png" in {a.path for a in client.list_artifacts(neural.info.run_id)}


def test_a_report_is_stored_with_its_run(world):
    import mlflow

    uri, result, _ = world
    client = mlflow.MlflowClient(uri)
    stored = {Path(a.path).name for a in client.list_artifacts(result.run_id, "report")}
    assert {"report.html", "pairs.csv", "tradeoff.png", "comparison.csv", "learning_curves.png"} <= stored
    assert stored == set(result.report)


def test_the_version_carries_its_card_tags_and_alias(world):
    import mlflow

    uri, result, _ = world
    version = mlflow.MlflowClient(uri, uri).get_model_version(NAME, str(result.version))
    assert version.tags["git_revision"] == "0123abc"
    assert "## Evaluation" in version.description
    for section in ("## Data", "## Limits", "gold.sequences version 7", f"{result.shipped} - popularity"):
        assert section in result.card


def test_every_model_has_a_name_of_its_own(world, data):
    import mlflow

    uri, result, _ = world
    client = mlflow.MlflowClient(uri, uri)
    assert result.versions == dict.fromkeys(NAMES, 1)
    for model in NAMES:
        version = client.get_model_version_by_alias(name_of(NAME, model), CHALLENGER)
        assert version.tags["model"] == model and version.tags["seed"] == "3"
        assert "## Evaluation" in version.description
        assert client.get_run(version.run_id).data.tags["model"] == model


def test_each_is_judged_against_the_champion_of_its_name(world, data):
    uri, result, _ = world
    decisions = promote_line_up(uri, NAME, result.hold_out)
    assert set(decisions) == {name_of(NAME, model) for model in NAMES}
    beaten = {name for name, decision in decisions.items() if not decision.promote}
    assert beaten == {name_of(NAME, "popularity")}, "popularity does not beat popularity"
    judged = {name: aliased_version(uri, name, CHAMPION) for name in decisions}
    assert judged == {name: None if name in beaten else 1 for name in decisions}


def test_the_registered_model_answers_with_a_frame(world, data):
    import mlflow

    uri, result, _ = world
    mlflow.set_tracking_uri(uri)
    model = mlflow.pyfunc.load_model(result.model_uri)
    frame = pd.DataFrame({"history": [data.histories([0])[0], []], "hour": [8, -1], "device": ["phone", ""]})
    answer = model.predict(frame, params={"k": 4})
    assert answer.columns.tolist() == ["track_ids", "scores"]
    assert [len(x) for x in answer["track_ids"]] == [4, 4]
    assert not set(answer["track_ids"][0]) & set(frame["history"][0])
    histories = frame["history"].tolist()
    asked = Requests.of(histories, histories, hour=[8, -1], device=["phone", ""])
    expected, _ = SavedRecommender(result.serving_model).recommend(asked, 4)
    assert answer["track_ids"].tolist() == expected.tolist()


def test_the_evaluation_model_has_not_seen_the_hold_out_and_the_serving_model_has(world, data):
    _, result, _ = world
    train, _ = split(data)
    judged, served = SavedRecommender(result.evaluation_model), SavedRecommender(result.serving_model)
    logged = result.evaluations[-1].metrics[PRIMARY].value
    assert evaluate(judged, result.hold_out).metrics[PRIMARY].value == pytest.approx(logged, abs=0.02)
    asked = Requests.of(data.histories([0, 1]))
    assert np.abs(judged.recommend(asked, 5)[1] - served.recommend(asked, 5)[1]).max() > 0


def test_first_version_is_promoted_then_judged_against_itself(world):
    import mlflow

    uri, result, _ = world
    assert aliased_version(uri, NAME, CHALLENGER) == result.version
    decision = decide_and_promote(uri, NAME, result.version, result.hold_out)
    assert decision.promote
    assert decision.against == "popularity"
    assert decision.interval.lo > 0
    assert aliased_version(uri, NAME, CHAMPION) == result.version
    assert aliased_version(uri, NAME, CHALLENGER) is None

    again = decide_and_promote(uri, NAME, result.version, result.hold_out)
    assert (again.promote, again.against, again.interval.value) == (True, "champion", 0.0)
    version = mlflow.MlflowClient(uri, uri).get_model_version(NAME, str(result.version))
    assert version.tags["gate.promoted"] == "true"
    assert version.tags["gate.reason"] == again.reason
    assert version.description.startswith(again.reason)
    assert version.description.count("Promoted: ") == 1, "the reason is replaced, not piled up"


def test_fetching_what_is_not_there_says_so(world, tmp_path):
    uri, result, _ = world
    assert (fetch(uri, NAME, result.version, EVALUATION, tmp_path) / "saved_model.pb").is_file()
    with pytest.raises(ValueError, match="has no artifacts/nonsense"):
        fetch(uri, NAME, result.version, "nonsense", tmp_path)
    assert aliased_version(uri, "no such model", CHAMPION) is None


@pytest.fixture(scope="module")
def judged(plain_data):
    train, hold_out = split(plain_data)
    return hold_out, Popularity().fit(train), Ease(EaseConfig(20.0)).fit(train)


def test_a_first_model_no_better_than_popularity_is_refused(judged):
    hold_out, popularity, _ = judged
    decision = decide(popularity, None, hold_out)
    assert not decision.promote
    assert "not shown to be better than popularity" in decision.reason


def test_a_better_model_replaces_the_champion_and_a_worse_one_does_not(judged):
    hold_out, popularity, ease = judged
    assert decide(ease, popularity, hold_out).promote
    refused = decide(popularity, ease, hold_out)
    assert not refused.promote
    assert refused.reason.startswith("Refused: discover_ndcg_at_10")
    assert refused.interval.value < 0
    assert refused.metrics["champion_" + PRIMARY] > refused.metrics["candidate_" + PRIMARY]


@pytest.mark.parametrize(
    ("interval", "promote", "why"),
    [
        (Interval(0.0, -0.05, 0.05), True, "at least as good"),
        (Interval(-0.0005, -0.0019, 0.001), True, "not inferior"),
        (Interval(-0.0005, -0.0021, 0.001), False, "may lose more than 2%"),
        (Interval(-0.003, -0.004, -0.0025), False, "may lose more than 2%"),
    ],
)
def test_two_percent_of_the_champion_is_the_margin(interval, promote, why):
    """A champion at 0.1: the interval has to stay above -0.002, as the newer model knows newer tracks."""
    verdict, reason = _succession(interval, 0.1)
    assert verdict == promote
    assert why in reason


@pytest.mark.parametrize("task", ["next", "discover"])
def test_predictions_are_ranked_rows(plain_data, task):
    model = Popularity().fit(plain_data)
    histories = dict(zip(["b", "a"], plain_data.histories([0, 1]), strict=True))
    table = predict(model, list(histories), Requests.of(list(histories.values())), task, k=20)
    assert table.column_names[:3] == ["user_id", "rank", "track_id"]
    assert table["user_id"].to_pylist() == ["b"] * 20 + ["a"] * 20
    assert table["rank"].to_pylist() == [*range(1, 21)] * 2
    repeats = [row["track_id"] in histories[row["user_id"]] for row in table.to_pylist()]
    assert any(repeats) == (task == "next")


def test_predictions_stop_where_the_catalogue_ends(plain_data):
    model = Popularity().fit(plain_data)
    table = predict(model, ["a"], Requests.of([plain_data.catalogue.ids[:-3].tolist()]), "discover", k=10)
    assert table["rank"].to_pylist() == [1, 2, 3]


def test_an_unknown_task_is_named(plain_data):
    with pytest.raises(ValueError, match="'new' is neither 'next'"):
        predict(Popularity().fit(plain_data), [], Requests.of([]), "new")
