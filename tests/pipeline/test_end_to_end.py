"""The whole graph on a tiny world, by the command line: from raw dumps to answers, and again with nothing to do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from whole_lake import prepare_lake

from lakehouse import delta_log
from lakehouse.settings import get_settings
from lakehouse.tables import TABLES

pytestmark = [pytest.mark.e2e, pytest.mark.spark, pytest.mark.timeout(3600)]

KNOWN, UNKNOWN = "u0000003", "nobody knows this one"
TINY = {
    "SOUNDLAKE_TRAIN_EPOCHS": "1",
    "SOUNDLAKE_TRAIN_DIM": "16",
    "SOUNDLAKE_TRAIN_MOMENTS": "300",
    "SOUNDLAKE_TRAIN_MODELS": "popularity,ease_recent,two_tower,two_stage",
    "SOUNDLAKE_PSEUDONYM_KEY": "test",
}


@dataclass(frozen=True)
class Done:
    exit_code: int
    output: str


def soundlake(*arguments: str) -> Done:
    """Run the installed command as a user does, in a process of its own."""
    command = [str(Path(sys.executable).with_name("soundlake")), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return Done(done.returncode, done.stdout)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A lake of 60 listeners, 200 tracks and 6 days after `soundlake run`; -> (settings, output of the run)."""
    folder = tmp_path_factory.mktemp("world") / "lake"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**TINY, "SOUNDLAKE_LAKE": str(folder)}.items():
            patch.setenv(name, value)
        get_settings.cache_clear()
        made = soundlake("simulate", "--users", "60", "--tracks", "200", "--days", "6", "--lake", str(folder))
        assert made.exit_code == 0, made.output
        run = soundlake("run", "--lake", str(folder))
        assert run.exit_code == 0, run.output
    return str(folder), run.output


@pytest.fixture
def settings(world, monkeypatch):
    for name, value in TINY.items():
        monkeypatch.setenv(name, value)
    return prepare_lake(Path(world[0]))[0]


def versions(settings) -> dict[str, int]:
    return {name: delta_log.state(settings, table).version for name, table in TABLES.items()}


def champion(settings) -> int:
    from models.registry import CHAMPION, aliased_version

    return aliased_version(settings.tracking_uri, settings.registered_model, CHAMPION)


def test_the_run_made_every_table_and_serves_a_champion(settings, world):
    from serving.batch import served_version

    rows = {name: delta_log.state(settings, table).rows for name, table in TABLES.items()}
    empty = {name for name, count in rows.items() if not count}
    assert empty == {"bronze.quarantine", "silver.ads", "gold.user_ads", "gold.user_ad_hour"}  # nobody hears ads there
    assert rows["silver.listens"] < rows["bronze.events"]
    assert champion(settings) == served_version(settings) == 1
    assert "0 failed" in world[1] and "Recommended" in world[1]


def test_nothing_is_done_twice(settings):
    before = versions(settings)
    again = soundlake("run", "--lake", settings.lake)
    assert again.exit_code == 0, again.output
    assert "Nothing is new" in again.output
    assert versions(settings) == before
    assert champion(settings) == 1


def test_a_listener_known_or_not_gets_recommendations(settings):
    from serving.ask import ask
    from serving.lake_model import model_server

    users = (KNOWN, UNKNOWN)
    answers = [soundlake("recommend", user, "--k", "5", "--lake", settings.lake) for user in users]
    with model_server(settings) as running:
        asked = [ask(settings, running.client, user, 5) for user in users]
    for user, answer, (listener, found) in zip(users, answers, asked, strict=True):
        assert answer.exit_code == 0, answer.output
        assert "recommender version 1" in answer.output
        assert bool(listener.history) == (user == KNOWN)
        tracks = [item.track_id for item in found]
        assert len(tracks) == len(set(tracks)) == 5
        assert not set(tracks) & set(listener.history)
        assert all((item.title or item.track_id) in answer.output for item in found)


@pytest.mark.parametrize("task", ["next", "discover"])
def test_predictions_for_every_listener(settings, tmp_path, task):
    from lakehouse import arrow
    from lakehouse.tables.gold import SEQUENCES
    from serving.listeners import user_ids

    out = tmp_path / f"{task}.parquet"
    done = soundlake("predictions", "--task", task, "--out", str(out), "--k", "10", "--lake", settings.lake)
    assert done.exit_code == 0, done.output
    table = pq.read_table(out)
    assert table.column_names == ["user_id", "rank", "track_id"]
    names = user_ids(settings)
    heard = {
        names[row["user_key"]]: set(row["track_ids"])
        for row in arrow.read(settings, SEQUENCES, ["user_key", "track_ids"]).to_pylist()
    }
    ranked: dict[str, list[tuple[int, str]]] = {}
    for row in table.to_pylist():
        ranked.setdefault(row["user_id"], []).append((row["rank"], row["track_id"]))
    assert set(ranked) == set(heard)
    for user, pairs in ranked.items():
        assert [rank for rank, _ in sorted(pairs)] == list(range(1, len(pairs) + 1))
        tracks = {track for _, track in pairs}
        assert len(tracks) == len(pairs) <= 10
        assert task == "next" or not tracks & heard[user]


def test_looking_at_the_lake(settings):
    grid = soundlake("tables", "--lake", settings.lake)
    assert grid.exit_code == 0 and all(name in grid.output for name in TABLES)
    one = soundlake("tables", "silver.listens", "--lake", settings.lake)
    assert "milliseconds heard" in one.output and "WRITE" in one.output
    status = soundlake("status", "--lake", settings.lake)
    assert status.exit_code == 0
    lines = {line.split("  ")[0].strip(): line for line in status.output.splitlines()}
    assert lines["days to ingest"].endswith("none")
    assert lines["stale assets"].endswith("none")
    assert lines["served"].endswith("version 1")
    quarantine = soundlake("quarantine", "list", "--lake", settings.lake)
    assert quarantine.exit_code == 0 and "0 lines" in quarantine.output


# ---------------------------------------------------------------------- killed while publishing
KILLED = """
import os, signal, sys
from pathlib import Path
import serving.exported, serving.lake_model
from lakehouse.settings import get_settings
from serving.publish import CANARY

moment, settings = sys.argv[1], get_settings()
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)

def half(*arguments):
    folder = fetch(*arguments)
    graph = folder / "saved_model.pb"
    graph.write_bytes(graph.read_bytes()[:100])
    die()

fetch = serving.exported.fetch
if moment == "copy":
    serving.exported.fetch = half
serving.exported.export_champion(settings, 1)
with serving.lake_model.model_server(settings) as running:
    serving.lake_model.publisher(settings, running).stage(1)
    die()
"""


@pytest.mark.parametrize("moment", ["copy", "between stage and promote"])
def test_a_killed_publication_leaves_whole_versions_only_and_is_finished_by_the_next(settings, tmp_path, moment):
    from serving.batch import served_version
    from serving.config import get_model, load_server_config
    from serving.exported import export_champion
    from serving.lake_model import model_server, publisher
    from serving.publish import check_version_folder

    own = settings.model_copy(update={"serving_models": tmp_path / "serving"})
    environment = {**os.environ, "SOUNDLAKE_SERVING_MODELS": str(tmp_path / "serving")}
    killed = subprocess.run([sys.executable, "-c", KILLED, moment], env=environment, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr

    folder = own.models_dir / own.model_name
    whole = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
    assert whole == ([] if moment == "copy" else ["1"])
    named = get_model(load_server_config(own.models_config), own.model_name) if own.models_config.exists() else None
    for version in named.versions if named else ():
        check_version_folder(folder, version)
    assert served_version(own) is None

    assert export_champion(own, 1) == folder / "1"
    assert [path.name for path in folder.iterdir()] == ["1"]
    check_version_folder(folder, 1)
    with model_server(own) as running:
        publishing = publisher(own, running)
        publishing.stage(1)
        assert publishing.promote(1).labels == {"stable": 1}
    assert served_version(own) == 1
