"""Settings: folders that follow from the lake, and the key of the pseudonyms."""

from __future__ import annotations

import multiprocessing
import stat
from pathlib import Path

import pytest
from pydantic import ValidationError

from lakehouse.settings import Settings, get_settings, use_lake


def test_state_lies_beside_a_local_lake_and_at_home_for_a_remote_one(tmp_path, monkeypatch):
    assert Settings(lake=str(tmp_path)).state_dir == tmp_path / "_soundlake"
    monkeypatch.setenv("HOME", str(tmp_path))
    remote = Settings(lake="s3://bucket/music/")
    assert remote.lake == "s3://bucket/music"
    assert remote.state_dir == tmp_path / ".local/share/soundlake/s3-bucket-music"
    assert remote.table_uri("silver.listens") == "s3a://bucket/music/silver/listens"
    assert Settings(lake="x", state=tmp_path / "s").dagster_home == tmp_path / "s" / "dagster"


def test_a_relative_lake_is_made_absolute_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Settings(lake="data").lake == str(tmp_path / "data")


def test_variables_set_every_value(tmp_path, monkeypatch):
    monkeypatch.setenv("SOUNDLAKE_LAKE", str(tmp_path))
    monkeypatch.setenv("SOUNDLAKE_TRAIN_EPOCHS", "0")
    with pytest.raises(ValidationError, match="train_epochs"):
        Settings()
    monkeypatch.setenv("SOUNDLAKE_TRAIN_EPOCHS", "3")
    assert (Settings().lake, Settings().train_epochs) == (str(tmp_path), 3)


def test_a_command_changes_the_lake_for_its_children_too(tmp_path):
    import os

    assert use_lake(str(tmp_path)).lake == get_settings().lake == os.environ["SOUNDLAKE_LAKE"] == str(tmp_path)


def test_the_key_of_the_pseudonyms_is_made_once_and_for_the_owner_only(tmp_path):
    settings = Settings(lake=str(tmp_path))
    key = settings.pseudonym_key_bytes()
    assert len(key) == 64
    assert Settings(lake=str(tmp_path)).pseudonym_key_bytes() == key
    files = list((tmp_path / "_soundlake").iterdir())
    assert [stat.S_IMODE(f.stat().st_mode) for f in files] == [0o600]
    assert Settings(lake=str(tmp_path / "other")).pseudonym_key_bytes() != key


def test_a_set_key_is_used_and_never_shown(tmp_path):
    settings = Settings(lake=str(tmp_path), pseudonym_key="secret")
    assert settings.pseudonym_key_bytes() == b"secret"
    assert "secret" not in repr(settings)
    assert list(tmp_path.iterdir()) == []


def _key(lake: str, barrier, results) -> None:
    barrier.wait(60)
    results.put(Settings(lake=lake).pseudonym_key_bytes())


def test_processes_that_race_for_the_key_get_the_same(tmp_path):
    context = multiprocessing.get_context("fork")
    count = 6
    barrier, results = context.Barrier(count), context.Queue()
    racing = [context.Process(target=_key, args=(str(tmp_path), barrier, results)) for _ in range(count)]
    for process in racing:
        process.start()
    keys = {results.get(timeout=60) for _ in racing}
    for process in racing:
        process.join(60)
    assert len(keys) == 1
    assert [path.name for path in Path(tmp_path, "_soundlake").iterdir()] == ["pseudonym.key"]
