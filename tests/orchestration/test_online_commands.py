"""`soundlake features` and `soundlake online` as a person types them, on a real store."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lakehouse.features.declare import KEY_SEPARATOR
from lakehouse.online.rows import Field, RowSchema
from lakehouse.online.store import open_store
from lakehouse.parse import pseudonymiser
from lakehouse.settings import Settings

PROGRAM = Path(sys.executable).with_name("soundlake")
NOW = datetime.now(UTC)
TASTE = RowSchema(
    "taste", (Field("plays", "int64"), Field("genres", "float32", size=2), Field("recent", "ids", size=9))
)
BY_GENRE = RowSchema("by_genre", (Field("plays", "int64"),), ttl_seconds=60)


pytestmark = pytest.mark.slow


@pytest.fixture
def typed(settings: Settings):
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        named = {
            "SOUNDLAKE_LAKE": settings.lake,
            "SOUNDLAKE_STATE": str(settings.state),
            "SOUNDLAKE_PSEUDONYM_KEY": settings.pseudonym_key.get_secret_value(),
            "COLUMNS": "200",
        }
        environment = {**os.environ, **named}
        return subprocess.run([str(PROGRAM), *words], capture_output=True, text=True, env=environment, timeout=120)

    return run


def test_rows_of_a_user_by_the_id_of_the_raw_events(settings, typed):
    user = pseudonymiser(settings.pseudonym_key_bytes())("ann")
    with open_store(settings) as store:
        store.put(TASTE, {user: {"plays": 12, "genres": [0.5, 0.25], "recent": list("abcdefg")}}, NOW)
        store.put(BY_GENRE, {KEY_SEPARATOR.join([user, "rock"]): {"plays": 3}}, datetime(2020, 1, 1, tzinfo=UTC))
    done = typed("features", "ann")
    assert done.returncode == 0, done.stderr
    assert "taste version 1" in done.stdout and "served" in done.stdout
    assert "0.5, 0.25" in done.stdout and "a, b, c, d, e, … 7 in all" in done.stdout
    assert "1 of 2 views know ann" in done.stdout

    done = typed("features", "ann", "rock", "--view", "by_genre")
    assert "expired: readers get the defaults" in done.stdout and "3" in done.stdout


def test_what_the_store_holds(settings, typed):
    with open_store(settings) as store:
        store.put(TASTE, {"u1": {}, "u2": {}}, NOW)
    shown = typed("online", "show").stdout
    assert "taste" in shown and "the stream" in shown and "lmdb at" in shown
    dropped = typed("online", "drop", "taste")
    assert "taste: version 1 with 2 rows is gone" in dropped.stdout


def test_mistakes_are_told_with_what_to_do(typed):
    for words, told in (
        (("features", "ann"), "no online store in"),
        (("online", "materialise", "user_featurs"), "did you mean user_features"),
    ):
        done = typed(*words)
        assert done.returncode == 2
        assert told in done.stderr and "Traceback" not in done.stderr
