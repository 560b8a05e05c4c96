"""Running totals that must be fresh, per listener: session in progress, last 50 plays, ads of the last hour.

The state is a set of events by id, so a batch that runs again changes nothing. It lies in memory, holds the listeners
whose session goes on, and is made again from bronze at a start; plays before that come from the listener's own row in
the online store. A store that can't be written does not stop the stream: the rows are written with the next batch.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from lakehouse import arrow
from lakehouse.online.store import OnlineStore, OnlineStoreError
from lakehouse.settings import Settings
from lakehouse.stream.clock import Clock
from lakehouse.stream.listener import GAP_US, SESSION_US, Listener, Play, microseconds, session_row
from lakehouse.stream.totals_rows import AD_KINDS, ADS, RECENT, SESSION
from lakehouse.tables.bronze import EVENTS

if TYPE_CHECKING:
    import pyarrow as pa

_LOG = logging.getLogger(__name__)
_KINDS = ("play", "skip", *AD_KINDS)
_LANDED_WITHIN = timedelta(days=2)
_WRITE_ROWS = 5_000
ENVELOPE = ("user_key", "event_id", "event_type", "occurred_at", "received_at")
PAYLOAD = ("track_id", "ms_played", "play_event_id", "position_ms", "reason_end")
COLUMNS = (*ENVELOPE, *PAYLOAD)
"""Columns of the events that the totals are made from; those of the payload lie beside the others."""


@dataclass(frozen=True)
class TotalsResult:
    """``active``: listeners remembered, ``ended``: let go as the watermark passed; ``rows``: online rows written;
    ``waiting``: listeners whose rows could not be written yet."""

    active: int = 0
    ended: int = 0
    rows: int = 0
    waiting: int = 0


class Totals:
    """The totals of one stream; used by one thread."""

    def __init__(self, store: OnlineStore):
        self._store = store
        self._listeners: dict[str, Listener] = {}
        self._ends: list[tuple[int, str]] = []  # heap: (needed until, as it was then; listener)
        self._unwritten: set[str] = set()

    def restore(self, settings: Settings, clock: Clock) -> int:
        """Take in what bronze holds of the last day before ``clock``; -> listeners remembered."""
        at = clock.at or datetime.now(UTC)
        watermark = microseconds(at - clock.delay)
        try:
            for batch in _recent_events(settings, at):
                self._take(batch)
        except arrow.TableMissing:
            return 0
        ended = [k for k, one in self._listeners.items() if one.needed_until(one.session()) < watermark]
        for key in ended:
            del self._listeners[key]
        self._unwritten = set(self._listeners)
        return len(self._listeners)

    def update(self, events: pa.Table, clock: Clock) -> TotalsResult:
        """Take in ``events`` (COLUMNS, any event types) and write the rows of the listeners they touch."""
        self._unwritten |= self._take(events)
        if clock.at is None:
            return TotalsResult()
        now, watermark = microseconds(clock.at), microseconds(clock.watermark)
        ended = self._ended(watermark)
        rows = self._write(now, watermark, clock.at, ended)
        for key in ended - self._unwritten:
            del self._listeners[key]
        return TotalsResult(len(self._listeners), len(ended), rows, len(self._unwritten))

    # ------------------------------------------------------------------ state
    def _take(self, events: pa.Table | pa.RecordBatch) -> set[str]:
        """Events into the state; -> the listeners they belong to."""
        import pyarrow.compute as pc

        events = events.filter(pc.is_in(events["event_type"], _strings(_KINDS)))
        columns = [_plain(events[name]) for name in COLUMNS]
        touched = set()
        for key, event_id, kind, at, received, track, ms, play_id, position, reason in zip(*columns, strict=True):
            listener = self._listeners.get(key)
            if listener is None:
                listener = self._listeners[key] = Listener()
            touched.add(key)
            if kind == "play":
                listener.add_play(event_id, Play(received, at, track, ms, reason == "fwdbtn"))
            elif kind == "skip":
                listener.add_skip(play_id, position)
            else:
                listener.add_ad(event_id, at, kind)
        return touched

    def _ended(self, watermark: int) -> set[str]:
        """Listeners that nothing which is still to come can go on with."""
        ended = set()
        while self._ends and self._ends[0][0] < watermark:
            until, key = heapq.heappop(self._ends)
            listener = self._listeners.get(key)
            if listener and key not in self._unwritten and listener.needed_until(listener.session()) <= until:
                ended.add(key)
        return ended

    def _seed(self, key: str, listener: Listener, now: datetime) -> None:
        """Earlier plays from the listener's own row; events that are known are newer than what it says."""
        if listener.seeded:
            return
        row = self._store.get(RECENT, key, now)
        if not row.missing:
            values = row.values
            known = zip(
                values["event_ids"], values["track_ids"], values["played_at"], values["ms_played"], strict=False
            )
            for event_id, track, at, ms in known:
                if event_id not in listener.plays:
                    heard = int(ms) if ms >= 0 else None
                    listener.add_play(event_id, Play(0, int(at) * 1_000_000, track, heard, skipped=False))
        listener.seeded = True

    # ------------------------------------------------------------------ rows
    def _write(self, now: int, watermark: int, as_of: datetime, ended: set[str]) -> int:
        written = 0
        for keys in _slices(sorted(self._unwritten | ended), _WRITE_ROWS):
            try:
                written += self._write_some(keys, now, watermark, as_of)
            except OnlineStoreError as error:
                _LOG.warning("running totals wait for the online store: %s", error)
                self._unwritten |= set(keys)
                break
            self._unwritten -= set(keys)
        return written

    def _write_some(self, keys: list[str], now: int, watermark: int, as_of: datetime) -> int:
        recent, sessions, ads = {}, {}, {}
        for key in keys:
            listener = self._listeners[key]
            self._seed(key, listener, as_of)
            session = listener.session()
            goes_on = session is not None and session.heard_until + GAP_US >= watermark
            sessions[key] = session_row(session if goes_on else None)
            recent[key] = listener.recent_row()
            if listener.ads:
                ads[key] = listener.ads_row(now)
            listener.forget(now)
            heapq.heappush(self._ends, (listener.needed_until(session), key))
        for schema, rows in ((RECENT, recent), (SESSION, sessions), (ADS, ads)):
            if rows:
                self._store.put(schema, rows, as_of)
        return len(recent) + len(sessions) + len(ads)


def _recent_events(settings: Settings, at: datetime) -> Iterable[pa.RecordBatch]:
    import pyarrow.compute as pc

    first = at - timedelta(microseconds=SESSION_US)
    where = (
        (pc.field("landing_date") >= (at - _LANDED_WITHIN).date())
        & (pc.field("occurred_at") >= first)
        & arrow.text("event_type").isin(list(_KINDS))
    )
    return arrow.dataset(settings, EVENTS).to_batches(columns=arrow.event_columns(COLUMNS), filter=where)


def _plain(column: pa.ChunkedArray | pa.Array) -> list:
    """Python values; times as microseconds since 1970."""
    import pyarrow as pa

    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    return column.to_pylist()


def _strings(values: Iterable[str]) -> pa.Array:
    import pyarrow as pa

    return pa.array(list(values), pa.string())


def _slices(keys: list[str], size: int) -> Iterable[list[str]]:
    return (keys[start : start + size] for start in range(0, len(keys), size))
