"""Errors that a person can act on, told without a traceback (SOUNDLAKE_TRACEBACK=1 shows it)."""

from __future__ import annotations

from lakehouse.arrow import TableMissing
from lakehouse.evolution import EvolutionRefused
from lakehouse.ingest_days import DayOutOfRange
from lakehouse.jars import JarError
from lakehouse.maintenance import KeepTooShort
from lakehouse.online.rows import RowError
from lakehouse.online.store import OnlineStoreError
from lakehouse.restore import RestoreError
from lakehouse.sources.base import SourceError
from lakehouse.spark import JavaError
from lakehouse.storage import StorageError
from lakehouse.stream.errors import StreamError
from serving.batch import NothingServed
from serving.config import ConfigError
from serving.errors import ModelServerError
from serving.process import ServerStartError
from serving.publish import PublishError
from serving.rollout import RolloutError


class CommandError(Exception):
    """A command that can't do what was asked; the text says what to try next."""


EXPECTED = (
    CommandError,
    EvolutionRefused,
    KeepTooShort,
    RestoreError,
    TableMissing,
    JarError,
    JavaError,
    SourceError,
    StorageError,
    DayOutOfRange,
    ConfigError,
    NothingServed,
    RowError,
    OnlineStoreError,
    StreamError,
    ModelServerError,
    ServerStartError,
    PublishError,
    RolloutError,
)
