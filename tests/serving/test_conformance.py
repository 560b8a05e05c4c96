"""The stand-in against TensorFlow Serving's own test model and the metadata that the real server answered for it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from rest import call

from serving.config import ModelConfig, empty_server_config, with_model

NAME = "saved_model_half_plus_two_2_versions"
DATA = Path(__file__).parents[2].parent / "shared" / "data" / "tf_serving"


@pytest.fixture
def half_plus_two(world):
    """The model with both versions loaded and labelled."""
    if not (DATA / NAME).is_dir():
        pytest.skip(f"TensorFlow Serving's test model is not at {DATA}")
    plain = ModelConfig(NAME, str(DATA / NAME), (123, 124))
    world.client.reload(with_model(empty_server_config(), plain))
    for version in (123, 124):
        world.client.wait_available(NAME, version, failed_before=True)
    labelled = ModelConfig(NAME, str(DATA / NAME), (123, 124), {"stable": 123, "canary": 124})
    world.client.reload(with_model(empty_server_config(), labelled))
    return world


def test_metadata_is_what_the_real_server_answers(half_plus_two):
    expected = json.loads((DATA / f"{NAME}_metadata.json").read_text())
    address = half_plus_two.server.rest_address
    assert call(address, f"/v1/models/{NAME}/versions/123/metadata") == (200, expected)
    expected["model_spec"]["version"] = "124"
    assert call(address, f"/v1/models/{NAME}/metadata") == (200, expected)


def test_both_versions_halve_and_add_two_over_grpc(half_plus_two):
    x = np.array([[1.0], [2.0], [5.0]], np.float32)
    for which, version in (({"version": 123}, 123), ({"label": "stable"}, 123), ({"label": "canary"}, 124), ({}, 124)):
        answer = half_plus_two.client.ask(NAME, {"x": x}, **which)
        assert answer.version == version
        np.testing.assert_array_equal(answer.outputs["y"], x / 2 + 2)
    assert {item.version: item.state for item in half_plus_two.client.status(NAME)} == {
        123: "AVAILABLE",
        124: "AVAILABLE",
    }


def test_signatures_made_for_regress_and_classify_answer_predict(half_plus_two):
    x = np.array([[4.0]], np.float32)
    outputs = half_plus_two.client.predict(NAME, {"inputs": x}, "regress_x2_to_y3", version=123)
    np.testing.assert_array_equal(outputs["outputs"], x / 2 + 3)


def test_both_versions_halve_and_add_two_over_rest(half_plus_two):
    address = half_plus_two.server.rest_address
    for which in ("", "/versions/123", "/labels/canary"):
        path = f"/v1/models/{NAME}{which}:predict"
        assert call(address, path, {"instances": [[1.0], [2.0]]}) == (200, {"predictions": [[2.5], [3.0]]})
        assert call(address, path, {"instances": [{"x": [1]}]}) == (200, {"predictions": [[2.5]]})
        assert call(address, path, {"inputs": {"x": [[5.0]]}}) == (200, {"outputs": [[4.5]]})
