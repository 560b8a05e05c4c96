"""Publishing: stage, verify, promote, roll back; failures, and crashes between any two steps."""

from __future__ import annotations

import multiprocessing
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
from crash_worker import publish_and_die
from tiny_model import expected_scores, recommend_inputs

from serving.config import get_model, load_server_config, with_model
from serving.publish import Publisher, PublishError
from serving.retire import retire
from serving.rollout import Rollout
from serving.verify import compare_rows


@pytest.fixture
def publisher(world) -> Publisher:
    return Publisher(world.client, world.config_file, world.base, None, world.name, load_timeout_s=30, notice_s=0)


def answering(world, label="stable") -> int:
    return world.client.ask(world.name, recommend_inputs([["t1"]]), "recommend", label=label).version


def publish(world, publisher, version):
    world.add(world.name, version)
    publisher.stage(version)
    publisher.promote(version)


def test_the_first_publication_starts_from_an_empty_server(world, publisher):
    assert publisher.current() is None
    world.add(world.name, 1)
    staged = publisher.stage(1)
    assert (staged.versions, staged.labels) == ((1,), {"canary": 1})
    assert answering(world, "canary") == 1
    promoted = publisher.promote(1)
    assert (promoted.versions, promoted.labels) == ((1,), {"stable": 1})
    assert get_model(load_server_config(world.config_file), world.name) == promoted
    assert answering(world) == 1


def test_a_canary_stands_beside_the_stable_version_until_it_is_promoted(world, publisher):
    publish(world, publisher, 1)
    world.add(world.name, 2)
    publisher.stage(2)
    assert (answering(world), answering(world, "canary")) == (1, 2)
    assert publisher.promote(2).labels == {"previous": 1, "stable": 2}
    assert answering(world) == 2
    assert world.client.available_versions(world.name) == {1, 2}


def test_older_versions_are_dropped_and_the_previous_one_is_kept(world, publisher):
    for version in (1, 2, 3):
        publish(world, publisher, version)
    assert publisher.current().versions == (2, 3)
    assert publisher.current().labels == {"previous": 2, "stable": 3}


def test_roll_back_returns_to_the_previous_version_once(world, publisher):
    publish(world, publisher, 1)
    with pytest.raises(PublishError, match="no previous version to return to"):
        publisher.rollback()
    publish(world, publisher, 2)
    assert publisher.rollback().labels == {"stable": 1}
    assert answering(world) == 1
    # The version that was rolled back can come again.
    publisher.stage(2)
    assert answering(world, "canary") == 2


def test_a_canary_can_be_taken_back(world, publisher):
    world.add(world.name, 1, 2)
    publisher.stage(1)
    assert publisher.unstage() is None
    assert publisher.current() is None
    publisher.stage(1)
    publisher.promote(1)
    publisher.stage(2)
    assert publisher.unstage().labels == {"stable": 1}
    assert publisher.current().versions == (1,)


def test_promoting_what_was_not_staged_is_refused(world, publisher):
    publish(world, publisher, 1)
    with pytest.raises(PublishError, match=r"version 2 of tiny-\d+ is not served: stage it first"):
        publisher.promote(2)


@pytest.mark.parametrize("harm", ["truncated graph", "broken variables"])
def test_a_version_the_server_cannot_load_leaves_everything_as_it_was(world, publisher, harm):
    publish(world, publisher, 1)
    before = world.config_file.read_text()
    world.add(world.name, 2)
    folder = world.base / world.name / "2"
    if harm == "truncated graph":
        (folder / "saved_model.pb").write_bytes((folder / "saved_model.pb").read_bytes()[:1000])
    else:
        (folder / "variables" / "variables.index").write_bytes(b"not an index")
    with pytest.raises(PublishError, match="(?s)could not load version 2 .* configuration was put back"):
        publisher.stage(2)
    assert world.config_file.read_text() == before
    assert answering(world) == 1
    assert world.client.available_versions(world.name) == {1}

    # Exported again, the same number can be published: its earlier end is not mistaken for a new one.
    shutil.rmtree(folder)
    publish(world, publisher, 2)
    assert answering(world) == 2


def test_a_first_version_the_server_cannot_load_leaves_an_empty_server(world, publisher):
    world.add(world.name, 1)
    (world.base / world.name / "1" / "saved_model.pb").write_bytes(b"not a graph")
    with pytest.raises(PublishError, match=r"did not become available.*configuration was put back"):
        publisher.stage(1)
    assert publisher.current() is None
    assert world.client.available_versions(world.name) == set()
    shutil.rmtree(world.base / world.name / "1")
    publish(world, publisher, 1)
    assert answering(world) == 1


def test_an_incomplete_folder_is_refused_before_the_server_hears_of_it(world, publisher):
    with pytest.raises(PublishError, match="does not exist: export version 1 first"):
        publisher.stage(1)
    world.add(world.name, 1)
    (world.base / world.name / "1" / "variables" / "variables.index").unlink()
    with pytest.raises(PublishError, match="variables.index is missing or empty"):
        publisher.stage(1)
    assert world.client.status(world.name) == []


def test_other_models_in_the_file_are_left_alone(world, publisher):
    neighbour = Publisher(world.client, world.config_file, world.base, None, f"{world.name}-ads")
    world.add(f"{world.name}-ads", 1)
    neighbour.stage(1)
    neighbour.promote(1)
    publish(world, publisher, 1)
    publish(world, publisher, 2)
    assert neighbour.current().labels == {"stable": 1}
    assert world.client.available_versions(f"{world.name}-ads") == {1}


def verification(version: int, users: int = 8):
    histories = [[f"t{user % 8}", f"t{(user * 3) % 8}"] for user in range(users)]
    requests = [recommend_inputs([history]) for history in histories]
    ranked = [sorted(expected_scores(version, h).items(), key=lambda item: -item[1])[:3] for h in histories]
    return requests, [[t for t, _ in row] for row in ranked], [[s for _, s in row] for row in ranked]


def test_verify_compares_the_answers_of_the_server_with_the_trainers(world, publisher):
    world.add(world.name, 1, 2)
    publisher.stage(1)
    publisher.promote(1)
    publisher.stage(2)
    result = publisher.verify(2, *verification(2))
    assert result.ok and (result.asked, result.agreed) == (8, 8)
    assert result.worst_score_difference < 1e-5

    wrong = publisher.verify(2, *verification(1))
    assert not wrong.ok and wrong.agreed < 8
    assert wrong.first_disagreement.startswith("row 0: position 1: expected ")
    assert wrong.worst_score_difference > 0.01


def test_rows_may_swap_tracks_only_within_a_tie():
    wanted, scores = np.array(["a", "b", "c"]), np.array([3.0, 2.0, 2.0])
    assert compare_rows(wanted, scores, np.array(["a", "c", "b"]), scores, 1e-4) == (0.0, None)
    assert compare_rows(wanted, scores, np.array(["b", "a", "c"]), scores, 1e-4)[1].startswith("position 1")
    # A track from beyond the end may stand where it ties with the last one.
    assert compare_rows(wanted, scores, np.array(["a", "b", "d"]), scores, 1e-4)[1] is None
    assert compare_rows(wanted, scores, np.array(["a", "b", "b"]), scores, 1e-4)[1] == "a track is served twice"
    difference, reason = compare_rows(wanted, scores, wanted, np.array([3.0, 2.0, np.nan]), 1e-4)
    assert difference == float("inf") and reason.startswith("position 3")


# Crashes

STEPS = ["load version 2", "set labels", "write the configuration file", "done"]


@pytest.fixture(scope="module")
def workers():
    """Processes that have the heavy modules loaded and no thread running."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["no_keras", "crash_worker", "serving.publish", "tensorflow_serving.apis.predict_pb2"]
    )
    return context


def crash(workers, world, operation, step, *given):
    arguments = (world.server.address, world.config_file, world.base, world.name, operation, given or (2,), step)
    process = workers.Process(target=publish_and_die, args=arguments)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL, f"{operation} never came to {step!r}"


@pytest.mark.parametrize(("operation", "step"), [("stage", s) for s in STEPS] + [("promote", s) for s in STEPS[1:]])
def test_killed_between_any_two_steps_the_next_run_finishes(world, publisher, workers, operation, step):
    publish(world, publisher, 1)
    world.add(world.name, 2)
    if operation == "promote":
        publisher.stage(2)
    crash(workers, world, operation, step)

    left = publisher.current()
    assert all((world.base / world.name / str(version) / "saved_model.pb").exists() for version in left.versions)
    assert answering(world) in (1, 2)
    world.client.reload(load_server_config(world.config_file))  # what a restarted server does
    assert answering(world) == left.labels["stable"]

    publisher.stage(2)
    assert publisher.verify(2, *verification(2)).ok
    assert publisher.promote(2).labels in ({"previous": 1, "stable": 2}, {"stable": 2})
    assert answering(world) == 2
    assert list(world.config_file.parent.glob(".models.config.*")) == []


def served_whole(world, publisher) -> dict[str, int]:
    """Everything that the file and the rollout name is there, whole, and answers; -> the labels."""
    left = publisher.current()
    # what a restarted server does: versions, then labels
    config = load_server_config(world.config_file)
    world.client.reload(with_model(config, replace(left, labels={})))
    for version in left.versions:
        world.client.wait_available(world.name, version, failed_before=True)
    world.client.reload(config)
    for label, version in left.labels.items():
        assert answering(world, label) == version
    rollout = Rollout.load(publisher.folder)
    if rollout.under_way:
        assert left.labels[rollout.label_for("anyone")] and left.labels["canary"] == rollout.canary
    return dict(left.labels)


@pytest.mark.parametrize(
    ("operation", "given", "step", "ends"),
    [
        ("open_canary", (2, 1.0), "open the canary", {"canary": 2, "stable": 1}),
        ("open_canary", (2, 1.0), "note the canary", {"canary": 2, "stable": 1}),
        ("promote", (2,), "end the canary", {"previous": 1, "stable": 2}),
        ("promote", (2,), "set labels", {"previous": 1, "stable": 2}),
        ("promote", (2,), "write the configuration file", {"previous": 1, "stable": 2}),
        ("reject_canary", (2, "slow"), "note the rollback", {"stable": 1}),
        ("reject_canary", (2, "slow"), "end the canary", {"stable": 1}),
        ("reject_canary", (2, "slow"), "set labels", {"stable": 1}),
    ],
)
def test_killed_during_a_trial_the_same_again_finishes_it(world, publisher, workers, operation, given, step, ends):
    publish(world, publisher, 1)
    world.add(world.name, 2)
    publisher.stage(2)
    if operation != "open_canary":
        publisher.open_canary(2, 1.0)
    crash(workers, world, operation, step, *given)
    assert served_whole(world, publisher)["stable"] == 1
    getattr(publisher, operation)(*given)
    assert served_whole(world, publisher) == ends
    assert Rollout.load(publisher.folder).under_way == (operation == "open_canary")
    publisher.unstage()


@pytest.mark.parametrize("step", ["note the rollback", "load version 1", "set labels", "write the configuration file"])
def test_killed_during_a_roll_back_the_same_again_finishes_it(world, publisher, workers, step):
    for version in (1, 2, 3):
        publish(world, publisher, version)
    crash(workers, world, "rollback", step, 1)
    assert served_whole(world, publisher)["stable"] in (1, 3)
    if publisher.current().labels["stable"] == 3:
        publisher.rollback(1)
    assert served_whole(world, publisher)["stable"] == 1
    assert publisher.journal.rejected(3) is not None


@pytest.mark.parametrize("step", ["delete version 1", "empty version 1"])
def test_killed_while_files_are_deleted_no_half_version_is_left(world, publisher, workers, step):
    for version in (1, 2, 3):
        publish(world, publisher, version)
    crash(workers, world, "retire", step, 1)
    assert served_whole(world, publisher) == {"previous": 2, "stable": 3}
    assert all((folder / "saved_model.pb").exists() for folder in (world.base / world.name).glob("[0-9]*"))
    retire(publisher, 1)
    assert sorted(path.name for path in (world.base / world.name).iterdir()) == ["2", "3"]


def test_a_restarted_server_serves_what_the_file_says(world, tmp_path_factory):
    # The configuration speaks of the server's own path, as with a container's mount.
    server_base = "/mount" / world.base.relative_to(tmp_path_factory.getbasetemp())
    publisher = Publisher(world.client, world.config_file, world.base, server_base, world.name)
    publish(world, publisher, 1)
    world.add(world.name, 3)
    publisher.stage(3)
    assert publisher.current().base_path == f"{server_base}/{world.name}"

    address = world.server.address
    world.server.kill()
    assert not world.client.is_up()
    world.server.start()
    assert world.server.address == address
    assert (answering(world), answering(world, "canary")) == (1, 3)
