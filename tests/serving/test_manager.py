"""Versions in the manager, without a wire: order of loading, the state machine, requests in flight."""

from __future__ import annotations

import threading

import pytest
from tensorflow_serving.apis import model_pb2

from serving.config import ModelConfig, empty_server_config, with_model
from serving.model_server.errors import ServingError
from serving.model_server.manager import ModelManager
from serving.model_server.state import State, VersionEntry, next_action


class Loads:
    """Stands for TensorFlow: loads at once, on permission, or not at all."""

    def __init__(self):
        self.order: list[int] = []
        self.broken: set[int] = set()
        self.gates: dict[int, threading.Event] = {}

    def __call__(self, path, version):
        self.order.append(version)
        if version in self.gates:
            assert self.gates[version].wait(10)
        if version in self.broken:
            raise ValueError(f"{path} is broken")
        return f"servable {version}"


@pytest.fixture
def loads():
    return Loads()


@pytest.fixture
def manager(loads):
    manager = ModelManager(poll_wait_seconds=0, load=loads)
    yield manager
    for gate in loads.gates.values():
        gate.set()
    manager.close()


@pytest.fixture
def config(tmp_path):
    for version in (1, 2, 3):
        (tmp_path / "m" / str(version)).mkdir(parents=True)

    def make(*versions, labels=None, policy="specific", number=1, name="m"):
        part = ModelConfig(name, str(tmp_path / "m"), versions, labels or {}, policy, number)
        return with_model(empty_server_config(), part)

    return make


def spec(version=None, label=None, name="m"):
    spec = model_pb2.ModelSpec(name=name)
    if version is not None:
        spec.version.value = version
    if label is not None:
        spec.version_label = label
    return spec


def states(manager) -> dict[int, State]:
    return {version: state for version, state, *_ in manager.status(spec())}


def wait_for(manager, condition):
    with manager._changed:
        assert manager._changed.wait_for(condition, timeout=10)


def wait_states(manager, **expected):
    wanted = {int(key[1:]): value for key, value in expected.items()}
    wait_for(manager, lambda: states(manager) == wanted)


def test_the_new_version_serves_before_the_old_one_leaves(manager, loads, config):
    manager.reload(config(1))
    loads.gates[2] = threading.Event()
    manager.reload(config(2))
    wait_states(manager, v1=State.AVAILABLE, v2=State.LOADING)
    with manager.servable(spec()) as (version, _):
        assert version == 1
    with pytest.raises(ServingError, match=r"Servable not found for request: Specific\(m, 2\)"):
        manager.servable(spec(2)).__enter__()
    loads.gates[2].set()
    wait_states(manager, v1=State.END, v2=State.AVAILABLE)
    with manager.servable(spec()) as (version, servable):
        assert (version, servable) == (2, "servable 2")


def test_a_version_in_use_is_unloaded_when_its_last_request_is_done(manager, config):
    manager.reload(config(1))
    with manager.servable(spec(1)):
        manager.reload(config(2))
        wait_states(manager, v1=State.UNLOADING, v2=State.AVAILABLE)
    assert states(manager) == {1: State.END, 2: State.AVAILABLE}


def test_a_broken_version_keeps_the_old_one_and_is_tried_again_only_when_asked_again(manager, loads, config):
    manager.reload(config(1))
    loads.broken.add(2)
    manager.reload(config(2))
    wait_states(manager, v1=State.AVAILABLE, v2=State.END)
    assert manager.status(spec(2))[0][2:] == (2, f"ValueError: {manager._table.of('m')[2].path} is broken")
    manager.reload(config(2))
    assert loads.order == [1, 2]

    manager.reload(config(1))
    loads.broken.clear()
    manager.reload(config(2))
    wait_states(manager, v1=State.END, v2=State.AVAILABLE)


def test_a_model_taken_out_is_unloaded(manager, config):
    manager.reload(config(1))
    manager.reload(empty_server_config())
    wait_states(manager, v1=State.END)
    with pytest.raises(ServingError, match=r"Servable not found for request: Latest\(m\)"):
        manager.servable(spec()).__enter__()


def test_policies_latest_and_all(manager, config):
    manager.reload(config(policy="latest", number=2))
    wait_states(manager, v3=State.AVAILABLE, v2=State.AVAILABLE)
    manager.reload(config(policy="all"))
    wait_states(manager, v3=State.AVAILABLE, v2=State.AVAILABLE, v1=State.AVAILABLE)


def test_a_base_path_that_vanishes_changes_nothing(manager, config, tmp_path):
    manager.reload(config(1))
    (tmp_path / "m").rename(tmp_path / "away")
    manager.reload(config(2))
    assert states(manager) == {1: State.AVAILABLE}


def test_a_new_model_without_versions_is_waited_for_only_while_the_caller_is_there(manager, config, tmp_path):
    asked = []

    def keep_waiting():
        asked.append(True)
        return len(asked) < 3

    with pytest.raises(ServingError, match="stopped waiting for models to load: m"):
        manager.reload(config(9), keep_waiting)
    assert len(asked) == 3


def test_at_the_start_every_version_is_waited_for(manager, loads, config):
    loads.broken.add(3)
    manager.reload(config(1, 2, 3), starting=True)
    assert states(manager) == {1: State.AVAILABLE, 2: State.AVAILABLE, 3: State.END}


def test_labels_must_name_available_versions(manager, config):
    with pytest.raises(ServingError, match="Request to assign label to version 1 of model m") as caught:
        manager.reload(config(1, labels={"stable": 1}))
    assert caught.value.http_status == 400
    with pytest.raises(ServingError, match="Could not find any versions of model m"):
        manager.status(spec())
    manager.reload(config(1))
    manager.reload(config(1, labels={"stable": 1}))
    with manager.servable(spec(label="stable")) as (version, _):
        assert version == 1
    with pytest.raises(ServingError, match="Unrecognized servable version label: canary"):
        manager.servable(spec(label="canary")).__enter__()


def test_labels_for_versions_to_come_where_allowed(loads, config):
    manager = ModelManager(0, allow_unavailable_labels=True, load=loads)
    try:
        manager.reload(config(1, labels={"stable": 1}), starting=True)
        with pytest.raises(ServingError, match="label to version 2"):
            manager.reload(config(1, 2, labels={"stable": 2}))
        manager.reload(config(1, 2, labels={"stable": 1, "canary": 2}))
        wait_states(manager, v1=State.AVAILABLE, v2=State.AVAILABLE)
        manager.reload(config(1, 2, labels={"stable": 2}))
        with manager.servable(spec(label="stable")) as (version, _):
            assert version == 2
    finally:
        manager.close()


def test_order_of_actions():
    def entry(version, state, aspired=True):
        return VersionEntry(version, "", aspired, state)

    old, new = entry(1, State.AVAILABLE, aspired=False), entry(2, State.START)
    assert next_action([old, new]) == ("load", new)
    assert next_action([old, entry(2, State.AVAILABLE)]) == ("unload", old)
    assert next_action([old]) == ("unload", old)
    assert next_action([old, entry(2, State.END)]) is None
    third = entry(3, State.START)
    assert next_action([new, third]) == ("load", third)
