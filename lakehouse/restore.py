"""Back to an earlier version of a table after a bad load, and what that means for the ledger of raw files.

RESTORE is a new commit that holds the files of an old version: nothing is lost, and it can itself be undone. The ledger
``bronze.files`` does not go back with the table. It still says that the bad files are done, which is right while they
are being mended: a file that is replaced has a new version and is pending by itself. ``read_again`` takes the files
that were read since out of the ledger; reading them again adds what is missing and changes nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from lakehouse import delta_log
from lakehouse.commits import retry_conflicts
from lakehouse.contract import Table
from lakehouse.settings import Settings
from lakehouse.tables.bronze import FILES

if TYPE_CHECKING:
    import deltalake

SLACK = timedelta(hours=1)
"""A file may have been closed in the ledger this long before its rows reached a table of silver."""


class RestoreError(ValueError):
    """The version asked for can not be had."""


@dataclass(frozen=True)
class Restored:
    """``read_since``: raw files that were ingested after the restored version; ``version`` is the new one."""

    table: str
    to_version: int
    version: int
    rows_before: int
    rows_after: int
    read_since: tuple[str, ...]


def restore(settings: Settings, table: Table, version: int | None = None, before: datetime | None = None) -> Restored:
    """Make ``table`` what it was at ``version``, or at the last commit before the time ``before`` (UTC).

    Raises RestoreError if there is no such version, or its files have been removed by VACUUM.
    """
    delta = _existing(settings, table)
    commits = {c["version"]: datetime.fromtimestamp(c["timestamp"] / 1000, UTC) for c in delta.history()}
    target = _target(table, commits, version, before)
    if target == max(commits):
        raise RestoreError(f"{table.name} is at version {target} already; `soundlake tables {table.name}` lists others")
    rows_before = _rows(settings, table)
    retry_conflicts(lambda: _restore(settings, table, target), f"RESTORE of {table.name}")
    return Restored(
        table.name,
        target,
        _existing(settings, table).version(),
        rows_before,
        _rows(settings, table),
        tuple(_read_since(settings, commits[target] - SLACK)),
    )


def read_again(settings: Settings, files: tuple[str, ...]) -> int:
    """Take ``files`` out of the ledger, so that they are pending; -> how many were in it."""
    if not files or delta_log.open_table(settings, FILES) is None:
        return 0
    quoted = ", ".join("'" + path.replace("'", "''") + "'" for path in files)

    def forget() -> int:
        return _existing(settings, FILES).delete(f"source_file IN ({quoted})")["num_deleted_rows"]

    return retry_conflicts(forget, "ledger")


def _target(table: Table, commits: dict[int, datetime], version: int | None, before: datetime | None) -> int:
    if (version is None) == (before is None):
        raise RestoreError("give one of --version N and --before TIME")
    oldest, newest = min(commits), max(commits)
    if version is None:
        fitting = [number for number, at in commits.items() if at < before]
        if not fitting:
            raise RestoreError(
                f"{table.name} has no version before {before:%Y-%m-%d %H:%M:%S} UTC; its oldest is {oldest} of "
                f"{commits[oldest]:%Y-%m-%d %H:%M:%S}"
            )
        return max(fitting)
    if version not in commits:
        raise RestoreError(
            f"{table.name} has no version {version}, it has {oldest} to {newest}: `soundlake tables {table.name}`"
        )
    return version


def _restore(settings: Settings, table: Table, version: int) -> None:
    try:
        _existing(settings, table).restore(version)
    except Exception as error:
        if "missing" in str(error).lower() or "not found" in str(error).lower():
            raise RestoreError(
                f"files of version {version} of {table.name} are gone (VACUUM keeps 7 days): {error}. "
                f"`soundlake tables {table.name}` lists younger versions"
            ) from error
        raise


def _existing(settings: Settings, table: Table) -> deltalake.DeltaTable:
    delta = delta_log.open_table(settings, table)
    if delta is None:
        raise RestoreError(f"{table.name} does not exist in {settings.lake}; `soundlake run` makes it")
    return delta


def _rows(settings: Settings, table: Table) -> int:
    state = delta_log.state(settings, table)
    return state.rows if state else 0


def _read_since(settings: Settings, moment: datetime) -> list[str]:
    """Files whose ledger row is younger than ``moment``, by path."""
    delta = delta_log.open_table(settings, FILES)
    if delta is None:
        return []
    rows = delta.to_pyarrow_table(columns=["source_file", "ingested_at"]).to_pylist()
    return sorted(row["source_file"] for row in rows if row["ingested_at"] > moment)
