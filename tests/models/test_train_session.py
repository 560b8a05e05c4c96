"""The session model from training to answers of what was registered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.recommend.base import Requests
from models.recommend.sequence import SessionConfig
from models.recommend.sequence.long_term import LongTerm
from models.recommend.sequence.memory_table import updated
from models.recommend.sequence.session_export import SavedSession, write_session_model
from models.recommend.sequence.session_model import SessionModel
from models.registry import CHAMPION, aliased_version, name_of
from models.train_session import METRIC, champion_session, fetch_session, spaces, train_session

NAME = name_of("soundlake-recommender", "session")
CONFIG = SessionConfig(dim=16, history=60, overlap=5, epochs=4, successors=8, batch_size=8, learning_rate=0.01)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """(tracking uri, result, what progress was told) of one training on a fresh SQLite store."""
    uri, heard = f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db", []
    return uri, train_session(data, CONFIG, uri, "sessions", NAME, {"gold.sequences": 7}, heard.append), heard


def test_a_version_is_judged_registered_and_becomes_the_champion(trained):
    import mlflow

    uri, result, heard = trained
    assert result.promoted and result.gain.value > 0
    assert result.evaluation.metrics[METRIC].value > 0.1
    assert [h["epoch"] for h in heard] == [1, 2, 3, 4, 1], "the refit is one pass"
    assert aliased_version(uri, NAME, CHAMPION) == result.version == 1
    client = mlflow.MlflowClient(uri, uri)
    experiment = client.get_run(result.run_id).info.experiment_id
    [nested] = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{result.run_id}'")
    assert nested.data.tags["model"] == "session" and nested.data.params["dim"] == "16"
    assert nested.data.metrics[METRIC] == result.evaluation.metrics[METRIC].value
    assert len(client.get_metric_history(nested.info.run_id, "epoch_loss")) == CONFIG.epochs
    version = client.get_model_version(NAME, "1")
    assert version.tags["space"] == result.space
    assert version.tags["data_version.gold.sequences"] == "7"
    assert '"promoted": true' in version.tags["gate.reason"]
    assert spaces(uri, NAME) == [result.space]


def test_the_champion_answers_for_an_empty_session_from_memory(trained, data, tmp_path):
    uri, result, _ = trained
    saved = champion_session(uri, NAME, tmp_path)
    assert saved.space.name == result.space
    user = int(np.argmax(np.diff(data.offsets)))
    plays = slice(data.offsets[user], data.offsets[user + 1])
    now = int(data.times[plays][-1]) + 20 * 3_600_000
    memory = updated(None, data.items[plays].astype(np.int64), data.times[plays], now, saved.space).memory
    asked = Requests(histories=[[], []], times=[[], []], now=[now, now])
    ids, scores = saved.recommend(asked, [memory, None], 10)
    assert (ids != "").all() and (np.diff(scores, axis=1) <= 0).all()
    heard = set(data.histories([user])[0])
    assert len(heard & set(ids[0])) > len(heard & set(ids[1]))
    hidden, _ = saved.recommend(replace(asked, exclude=[ids[0].tolist(), []]), [memory, None], 10)
    assert not set(hidden[0]) & set(ids[0])


def test_what_is_exported_answers_as_the_model_in_memory(data, tmp_path):
    model = SessionModel(replace(CONFIG, epochs=1)).fit(data)
    saved = SavedSession(write_session_model(model, tmp_path / "session"))
    np.testing.assert_array_equal(saved.space.vectors, model.vectors)
    users = range(6)
    plays = [slice(data.offsets[u], data.offsets[u + 1]) for u in users]
    asked = Requests(
        histories=[[*h, "unheard of"] for h in data.histories(users)],
        times=[[*data.times[p], data.times[p][-1]] for p in plays],
        now=[int(data.times[p][-1]) + 60_000 for p in plays],
    )
    memory = model.remember(None, data.histories([7])[0])
    for memories in ([None] * 6, [memory, None, memory, None, memory, memory]):
        ours, theirs = model.recommend_beside(asked, memories, 8), saved.recommend(asked, memories, 8)
        np.testing.assert_allclose(ours[1], theirs[1], atol=1e-4)
        assert (ours[0] == theirs[0]).mean() > 0.9
    ids, scores = saved.recommend(asked[:1], [None], data.n_tracks + 3)
    assert ids[0, -3:].tolist() == [""] * 3 and np.isneginf(scores[0, -3:]).all()
    with pytest.raises(ValueError, match="'of before'"):
        saved.recommend(asked[:1], [LongTerm.empty(32, "of before")], 3)
    with pytest.raises(FileExistsError, match="written once"):
        write_session_model(model, tmp_path / "session")


def test_without_a_champion_there_is_none_and_lost_files_are_named(trained, tmp_path):
    uri, _, _ = trained
    assert champion_session(uri, "no such model", tmp_path) is None
    with pytest.raises(ValueError, match="soundlake run"):
        fetch_session(uri, NAME, 99, tmp_path)
    with pytest.raises(FileNotFoundError, match="space.json"):
        SavedSession(tmp_path)
