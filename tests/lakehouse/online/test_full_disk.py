"""A full disk under the embedded store: a clear error, the old rows whole, and the next load finishes."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path

import lmdb
import pytest
from taste import NOON, TASTE

from lakehouse.online import lmdb_env
from lakehouse.online.lmdb_store import LmdbStore
from lakehouse.online.rows import microseconds
from lakehouse.online.store import OnlineStore, Source, StoreFull

ROWS = 12_000
ROOM = 300_000
"""Bytes that the disk has left for the load, which wants some megabytes."""
ROOT = Path(__file__).parents[3]
LATER = NOON + timedelta(hours=1)


@contextmanager
def file_limit(folder: Path) -> Iterator[None]:
    """No file of this process may grow by more than ROOM bytes: what a quota does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((folder / "data.mdb").stat().st_size + ROOM, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def filled_up(folder: Path) -> Iterator[None]:
    """All but ROOM bytes of the file system taken by another file."""
    free = os.statvfs(folder)
    ballast = folder.parent / "ballast"
    ballast.write_bytes(b"x" * (free.f_bavail * free.f_frsize - ROOM))
    try:
        yield
    finally:
        ballast.unlink()


@pytest.fixture(params=["quota", "small disk"])
def disk(request, tmp_path) -> Iterator[tuple[Path, Callable[[Path], AbstractContextManager]]]:
    """A folder for the store, and what makes its disk full."""
    if request.param == "quota":
        yield tmp_path / "online", file_limit
        return
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk needs the right to mount one")
    try:
        yield tmp_path / "online", filled_up
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def load(store: OnlineStore, plays: int) -> None:
    rows = [{"plays": plays, "recent": [f"track-{i}"] * 5} for i in range(ROWS)]
    keys = [f"user-{i}" for i in range(ROWS)]
    with store.begin(TASTE) as loading:
        loading.write(zip(keys, TASTE.codec.encode(rows, microseconds(NOON)), strict=True))
        loading.switch(Source("gold.taste", "id", plays, microseconds(NOON)))


def served(store: OnlineStore) -> set[int]:
    rows = list(store.scan(TASTE))
    assert len(rows) == ROWS
    return {TASTE.codec.values(payload)["plays"] for _, payload in rows}


@pytest.mark.chaos
def test_a_full_disk_leaves_what_was_served(disk):
    folder, full = disk
    store = LmdbStore(str(folder))
    load(store, 1)
    with full(folder):
        for _ in range(2):
            with pytest.raises(StoreFull, match="no room on its disk.*`soundlake online materialise`"):
                load(store, 2)
            assert served(store) == {1}
            assert store.get(TASTE, "user-7").values["recent"] == ["track-7"] * 5
        assert store.info("taste").version == 1
    with LmdbStore(str(folder), read_only=True) as reader:
        assert served(reader) == {1}
    store.close()
    whole(folder)
    with LmdbStore(str(folder)) as again:
        load(again, 3)
        assert served(again) == {3}
        assert again.put(TASTE, {"user-7": {"plays": 4}}, LATER).changed == 1
    whole(folder)


def whole(folder: Path) -> None:
    """Nothing is corrupt: LMDB can copy every page that is in use."""
    with lmdb.open(str(folder), readonly=True, lock=False) as env:
        copy = folder.parent / "copy"
        copy.mkdir()
        env.copy(str(copy), compact=True)
        with lmdb.open(str(copy), readonly=True, lock=False) as copied:
            assert copied.stat()["entries"] == env.stat()["entries"]
        for file in copy.iterdir():
            file.unlink()
        copy.rmdir()


READER = """
import sys
from taste import TASTE
from lakehouse.online import lmdb_env
from lakehouse.online.lmdb_store import LmdbStore
lmdb_env.FIRST_MAP_BYTES = 2**20
with LmdbStore(sys.argv[1], read_only=True) as store:
    for line in sys.stdin:
        print(int(store.get(TASTE, "user-7").vector[0]), flush=True)
"""


def test_the_map_grows_under_a_reader(tmp_path, monkeypatch):
    """The writer outgrows its first map; a reader of another process, who mapped as little, follows it."""
    monkeypatch.setattr(lmdb_env, "FIRST_MAP_BYTES", 2**20)
    with LmdbStore(str(tmp_path)) as store:
        store.put(TASTE, {"user-7": {"plays": 1}}, NOON - timedelta(hours=1))
        path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
        reader = subprocess.Popen(
            [sys.executable, "-c", READER, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
            text=True,
        )
        with reader:
            for plays in (1, 2, 3):
                reader.stdin.write("?\n")
                reader.stdin.flush()
                assert reader.stdout.readline() == f"{plays}\n"
                load(store, plays + 1)
                assert served(store) == {plays + 1}
            reader.stdin.close()
        assert reader.returncode == 0
        assert store.size() > 2 * 2**20


def test_pages_are_used_again_while_readers_rest(tmp_path):
    """The file stops growing: versions that are gone make room for the next, though a reader stays open."""
    with LmdbStore(str(tmp_path)) as store, LmdbStore(str(tmp_path), read_only=True) as reader:
        sizes = []
        for plays in range(1, 9):
            load(store, plays)
            assert reader.get(TASTE, "user-7").vector[0] == plays
            sizes.append(store.size())
        assert sizes[-1] <= 1.25 * sizes[2]
