"""The exported model: the contract of its signatures, and that it answers as the model in memory does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.export import ExportMismatch, check_export, export_version, write_saved_model
from models.recommend.base import UNRANKED, Recommender, Requests
from models.saved import SavedRecommender
from models.warmup import LENGTHS, WARMUP


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory) -> Path:
    return export_version(trained, tmp_path_factory.mktemp("models"), "recommender", 3)


@pytest.fixture(scope="module")
def saved(folder) -> SavedRecommender:
    return SavedRecommender(folder)


def test_layout_is_what_tensorflow_serving_watches(folder):
    assert folder.parts[-2:] == ("recommender", "3")
    assert (folder / "saved_model.pb").is_file()
    assert (folder / "variables" / "variables.index").is_file()
    assert (folder / "assets" / "tracks.txt").is_file()
    assert [p.name for p in folder.parent.iterdir()] == ["3"], "no partial folder is left"


def test_signatures_have_the_shapes_and_types_agreed_on(saved):
    import tensorflow as tf

    signatures = saved._loaded.signatures
    assert {"recommend", "score", "explain", "serving_default"} <= set(signatures)

    def inputs(name):
        return {k: (v.dtype.name, v.shape.rank) for k, v in signatures[name].structured_input_signature[1].items()}

    context = dict.fromkeys(("history", "context", "exclude"), ("string", 2))
    assert inputs("recommend") == {**context, "k": ("int32", 0)}
    assert inputs("serving_default") == inputs("recommend")
    assert inputs("score") == inputs("explain") == {**context, "candidates": ("string", 2)}
    outputs = signatures["recommend"].structured_outputs
    assert (outputs["track_ids"].dtype, outputs["scores"].dtype) == (tf.string, tf.float32)


def test_same_answers_as_the_model_in_memory(saved, trained, data):
    assert isinstance(saved, Recommender)
    histories = data.histories(range(30))
    hours, devices = [h % 24 for h in range(30)], ["phone", "speaker", ""] * 10
    for exclude in (None, histories):
        asked = Requests.of(histories, exclude, hour=hours, device=devices)
        ours, theirs = trained.recommend(asked, 15), saved.recommend(asked, 15)
        np.testing.assert_allclose(ours[1], theirs[1], atol=1e-3)
        assert (ours[0] == theirs[0]).mean() > 0.99


def test_batches_do_not_change_the_answer(folder, saved, data):
    histories = data.histories(range(11))
    asked = Requests.of(histories, histories, hour=range(11))
    whole = saved.recommend(asked, 8)
    parts = SavedRecommender(folder, batch_size=3).recommend(asked, 8)
    assert (whole[0] == parts[0]).all()
    np.testing.assert_allclose(whole[1], parts[1], atol=1e-4)


def test_padding_and_unknown_ids_change_nothing(saved):
    plain = ["track-3", "track-4", "track-50"]
    noisy = ["", "track-3", "no such track", "", "track-4", "track-50", ""]
    ids, scores = saved.recommend(Requests.of([plain, noisy]), 10)
    assert (ids[0] == ids[1]).all()
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-4)


def test_excluded_tracks_never_come_back_and_empty_places_are_marked(saved, data):
    everything = data.catalogue.ids.tolist()
    ids, scores = saved.recommend(Requests.of([["track-1"]], [everything[:-2] + ["", "no such track"]]), 5)
    assert set(ids[0, :2]) == set(everything[-2:])
    assert (ids[0, 2:] == "").all()
    assert (scores[0, 2:] == UNRANKED).all()


def test_more_than_the_catalogue_may_be_asked_for(saved, data):
    ids, _ = saved.recommend(Requests.of([["track-1"]]), data.n_tracks + 7)
    assert (ids[0, :-7] != "").all()
    assert set(ids[0, :-7]) == set(data.catalogue.ids)


def test_an_empty_history_and_an_empty_batch_work(saved):
    ids, scores = saved.recommend(Requests.of([[]]), 5)
    assert (ids != "").all()
    assert (np.diff(scores[0]) <= 0).all()
    assert saved.recommend(Requests.of([]), 5)[0].shape == (0, 5)


def test_score_agrees_with_recommend_and_marks_unknown_candidates(saved):
    asked = Requests.of([["track-10", "track-11"]], hour=[8], device=["phone"])
    ids, scores = saved.recommend(asked, 6)
    found = saved.score(asked, [[*ids[0], "no such track"]])[0]
    np.testing.assert_allclose(found[:-1], scores[0], atol=1e-4)
    assert found[-1] == UNRANKED


def test_contributions_sum_to_the_score(saved, data):
    history = [*data.histories([2])[0], "no such track", ""]
    candidates = data.catalogue.ids[:40].tolist()
    asked = Requests.of([history], hour=[9], device=["speaker"])
    shares, scores = saved.explain(asked, candidates), saved.score(asked, [candidates])[0]
    assert shares.shape == (40, len(history) + 1)
    np.testing.assert_allclose(shares.sum(1), scores, atol=1e-3)
    assert (shares[:, -3:-1] == 0).all(), "padding and unknown plays contribute nothing"
    assert np.abs(shares[:, :-3]).max() > 0


def test_without_plays_the_whole_score_is_the_rest(saved):
    shares = saved.explain(Requests.of([[]]), ["track-1", "track-2"])
    assert shares.shape == (2, 1)
    np.testing.assert_allclose(shares[:, 0], saved.score(Requests.of([[]]), [["track-1", "track-2"]])[0], atol=1e-4)


def test_warm_up_requests_can_be_replayed(folder, saved):
    import tensorflow as tf
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    records = [PredictionLog.FromString(r.numpy()) for r in tf.data.TFRecordDataset(str(folder / WARMUP))]
    assert len(records) == len(LENGTHS)
    for record in records:
        request = record.predict_log.request
        assert (request.model_spec.name, request.model_spec.signature_name) == ("recommender", "recommend")
        inputs = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
        assert inputs["history"].shape[0] == 1
        answer = saved._loaded.signatures["recommend"](**inputs)
        assert answer["track_ids"].shape == (1, 10)


def test_a_version_is_written_once(trained, folder):
    with pytest.raises(FileExistsError, match="next version number"):
        write_saved_model(trained, folder)


def test_a_version_is_a_positive_number(trained, tmp_path):
    with pytest.raises(ValueError, match="version: 0"):
        export_version(trained, tmp_path, "recommender", 0)


def test_an_export_that_answers_otherwise_is_refused(trained, folder):
    trained.scorer.bias.assign_add(np.linspace(0, 1, len(trained.catalogue), dtype=np.float32))
    try:
        with pytest.raises(ExportMismatch, match="do not serve it"):
            check_export(trained, folder)
    finally:
        trained.scorer.bias.assign_sub(np.linspace(0, 1, len(trained.catalogue), dtype=np.float32))
    check_export(trained, folder)


def test_a_failed_export_leaves_nothing(trained, tmp_path, monkeypatch):
    def fail(*arguments):
        raise OSError("disk full")

    monkeypatch.setattr("models.warmup.write_warmup", fail)
    with pytest.raises(OSError, match="disk full"):
        export_version(trained, tmp_path, "recommender", 1)
    assert list((tmp_path / "recommender").iterdir()) == []


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no saved_model.pb"):
        SavedRecommender(tmp_path)
