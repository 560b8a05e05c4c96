"""Writers of one table meet: whoever commits second reads the table again and does its work once more.

Delta refuses a commit that was planned on files which another commit has changed since. That is no fault: the action
is idempotent and is repeated on the new version. Blind appends never meet; merges, deletes, OPTIMIZE and changes of a
table's metadata may.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

ATTEMPTS = 12
FIRST_WAIT = 0.1
LONGEST_WAIT = 8.0

_CONFLICTS = (
    "ConcurrentAppendException",
    "ConcurrentDeleteReadException",
    "ConcurrentDeleteDeleteException",
    "ConcurrentTransactionException",
    "ConcurrentWriteException",
    "MetadataChangedException",
    "ProtocolChangedException",
    "DeltaConcurrentModificationException",
    "CommitFailedError",  # delta-rs: every conflict it finds, and a version that another writer took
)
_TEXTS = (
    "DELTA_CONCURRENT_",
    "DELTA_METADATA_CHANGED",
    "DELTA_PROTOCOL_CHANGED",
    "io.delta.exceptions.Concurrent",
    "io.delta.exceptions.MetadataChanged",
)
_LOG = logging.getLogger(__name__)


def is_conflict(error: BaseException) -> bool:
    """Did another writer of the table win? True for Delta on Spark and for delta-rs, whatever wraps the error."""
    seen: BaseException | None = error
    while seen is not None:
        if any(cls.__name__ in _CONFLICTS for cls in type(seen).__mro__):
            return "constraint" not in str(seen).lower() or "DELTA_CONCURRENT" in str(seen)
        if any(text in str(seen) for text in _TEXTS):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def retry_conflicts(
    action: Callable[[], Result],
    what: str = "",
    attempts: int = ATTEMPTS,
    sleep: Callable[[float], None] = time.sleep,
) -> Result:
    """Run ``action`` until no other writer comes between; -> its result.

    ``action`` has to open the table itself (a snapshot taken before it would lose again) and to be idempotent. Waits
    grow from about 0.1 s to 8 s with jitter, 12 attempts take about a minute in all. The last conflict is raised as it
    is; any other error at once.
    """
    for attempt in range(1, attempts + 1):
        try:
            return action()
        except Exception as error:
            if attempt == attempts or not is_conflict(error):
                raise
            wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (attempt - 1)) * random.uniform(0.5, 1.5)
            _LOG.info(
                "%s: another writer was first (%s); attempt %d of %d", what, type(error).__name__, attempt + 1, attempts
            )
            sleep(wait)
    raise AssertionError("unreachable")
