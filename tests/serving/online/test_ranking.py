"""Which version is asked what: candidates, ranking and reasons are of one version, and labels may move meanwhile."""

from __future__ import annotations

import asyncio
import os
import time
from types import SimpleNamespace

import grpc
import numpy as np
import pytest

from serving.answers import Prediction
from serving.errors import ModelNotServed, ModelServerError
from serving.online.indexes import Indexes
from serving.online.labels import Labels
from serving.online.ranking import Ranker, topped_up
from serving.recommend import inputs_of
from serving.slate import Arrangement, Place

BOTH = frozenset(("recommend", "rank", "encode", "reasons"))


class Server:
    """Stands for ``OnlineModel``: ``labels`` -> version, ``can``: version -> its signatures."""

    def __init__(self, labels, can):
        self.labels, self.can, self.asked = labels, can, []

    def deadline(self):
        return time.monotonic() + 1

    async def signatures(self, deadline, *, label):
        self.asked.append(("metadata", label))
        return self._version(label, None), self.can[self._version(label, None)]

    async def ask(self, inputs, signature, deadline, *, label=None, version=None):
        version = self._version(label, version)
        self.asked.append((signature, version))
        if signature not in self.can[version]:
            raise ModelServerError("server", grpc.StatusCode.INVALID_ARGUMENT, f"{signature} not found")
        if signature == "encode":
            return Prediction(version, signature, {"vector": np.array([[1.0, 0.0]], np.float32)})
        ids = np.array([[b"a", b"b", b""]], dtype=object)
        out = {"track_ids": ids, "scores": np.array([[2.0, 1.0, -1e9]], np.float32)}
        why = {"plays": np.ones((1, 3, 1, 1), np.float32), "rest": np.zeros((1, 3, 1), np.float32)}
        why["groups"] = np.array([b"base"], dtype=object)
        if signature == "rank":
            self.candidates = inputs["candidates"].tolist()
            return Prediction(version, signature, out | why)
        few = {"plays": why["plays"][:, :2], "rest": why["rest"][:, :2], "groups": why["groups"]}
        return Prediction(version, signature, few if signature == "reasons" else out)

    def _version(self, label, version):
        version = self.labels.get(label) if version is None else version
        if version not in self.can:
            raise ModelNotServed("server", grpc.StatusCode.NOT_FOUND, f"{label or version} is not served")
        return version


class Index:
    report = SimpleNamespace(tracks=10)

    def search(self, vector, n):
        return [f"near-{i}" for i in range(n)], np.zeros(n, np.float32)


def rank(server, tmp_path, times=1, indexes=None, label="stable", between=lambda: None, explain=True, index_from=0):
    async def run():
        ranker = Ranker(server, indexes or Indexes(tmp_path), 2, index_from)
        out = []
        for _ in range(times):
            out.append(await ranker.rank(inputs_of(["x"]), 2, Arrangement(), {}, label, explain))
            between()
        return out

    return asyncio.run(run())


def test_the_index_of_the_version_that_encoded_gives_the_candidates(tmp_path):
    server, indexes = Server({"stable": 3}, {3: BOTH}), Indexes(tmp_path)
    indexes._loaded[3] = Index()
    (found,) = rank(server, tmp_path, indexes=indexes)
    assert server.asked == [("metadata", "stable"), ("encode", 3), ("rank", 3)]
    assert server.candidates == [["near-0", "near-1"]]
    assert [place.track_id for place in found.places] == ["a", "b"] and found.told.groups == ["base"]
    assert found.shares.shape == (2, 2) and found.version == 3


def test_a_catalogue_that_the_model_searches_sooner_needs_no_index(tmp_path):
    server, indexes = Server({"stable": 3}, {3: BOTH}), Indexes(tmp_path)
    indexes._loaded[3] = Index()
    rank(server, tmp_path, indexes=indexes, index_from=11)
    assert server.asked == [("metadata", "stable"), ("rank", 3)] and server.candidates == [[""]]


def test_without_an_index_the_model_finds_them_itself(tmp_path):
    server = Server({"stable": 3}, {3: BOTH})
    rank(server, tmp_path)
    assert server.candidates == [[""]]


def test_a_version_of_before_is_asked_in_two_steps(tmp_path):
    server = Server({"stable": 1}, {1: frozenset(("recommend", "reasons"))})
    rank(server, tmp_path, times=2)
    assert server.asked == [("metadata", "stable"), *[("recommend", 1), ("reasons", 1)] * 2]
    server.asked.clear()
    rank(server, tmp_path, explain=False)
    assert server.asked == [("metadata", "stable"), ("recommend", 1)]


def test_a_label_that_moves_to_a_version_that_can_less(tmp_path):
    server = Server({"stable": 3}, {3: BOTH, 1: frozenset(("recommend", "reasons"))})
    versions = [found.version for found in rank(server, tmp_path, 2, between=lambda: server.labels.update(stable=1))]
    assert versions == [3, 1] and server.asked[-2:] == [("recommend", 1), ("reasons", 1)]


def test_a_trial_that_was_called_off_is_answered_by_stable(tmp_path):
    server = Server({"stable": 1, "canary": 3}, {3: BOTH, 1: BOTH})
    found = rank(server, tmp_path, 2, label="canary", between=lambda: server.labels.pop("canary", None))
    assert [(f.version, f.label) for f in found] == [(3, "canary"), (1, "stable")]


def test_nothing_served_is_an_error(tmp_path):
    with pytest.raises(ModelNotServed):
        rank(Server({}, {}), tmp_path)


def test_a_short_list_is_filled_with_the_best_of_the_rest():
    ranked = [("a", 3.0), ("b", 2.0), ("c", 1.0)]
    assert [p.track_id for p in topped_up([Place("b", 2.0)], ranked, 2)] == ["b", "a"]
    assert len(topped_up([Place("b", 2.0)], ranked, 9)) == 3


def test_without_a_rollout_everybody_is_answered_by_stable(tmp_path):
    labels = Labels(tmp_path)
    assert {labels.label_for(str(user)) for user in range(50)} == {"stable"}


def test_a_rollout_is_followed_once_it_changes_and_a_broken_one_is_none(tmp_path, monkeypatch):
    class Rollout:
        @classmethod
        def load(cls, folder):
            if (folder / "rollout.json").read_text() == "broken":
                raise ValueError("broken")
            return cls()

        def label_for(self, user_id):
            return "canary" if user_id < "b" else "stable"

    monkeypatch.setattr("serving.online.labels.Rollout", Rollout)
    monkeypatch.setattr("serving.online.labels._LOOK_EVERY_S", 0)
    labels = Labels(tmp_path)
    assert labels.label_for("a") == "stable"
    (tmp_path / "rollout.json").write_text("whole")
    assert (labels.label_for("a"), labels.label_for("b")) == ("canary", "stable")
    (tmp_path / "rollout.json").write_text("broken")
    os.utime(tmp_path / "rollout.json", ns=(1, 1))
    assert labels.label_for("a") == "stable"
    (tmp_path / "rollout.json").unlink()
    assert labels.label_for("a") == "stable"
