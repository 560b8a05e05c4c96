"""Training data from gold, by Arrow batches, with the Delta versions that were read."""

from __future__ import annotations

from lakehouse import arrow, delta_log
from lakehouse.settings import Settings
from lakehouse.tables.gold import SEQUENCES, TRACK_FEATURES
from lakehouse.tables.silver import USERS
from models.data import ListeningData

TABLES = (SEQUENCES, TRACK_FEATURES, USERS)


def load(settings: Settings) -> tuple[ListeningData, dict[str, int]]:
    """-> listening data and {table: Delta version}."""
    versions = {}
    for table in TABLES:
        state = delta_log.state(settings, table)
        if state is None:
            raise arrow.TableMissing(f"{table.name} does not exist in {settings.lake}; `soundlake run` makes it")
        versions[table.name] = state.version
    data = ListeningData.from_batches(*(arrow.batches(settings, table) for table in TABLES))
    return data, versions
