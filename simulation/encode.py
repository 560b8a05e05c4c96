"""Rows of the simulated world to contract events."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct

from lakehouse.events import (
    EVENTS,
    SCHEMA_VERSION,
    Context,
    Device,
    Envelope,
    Play,
    PlaylistAction,
    Search,
    SessionMark,
    Skip,
    SubscriptionChange,
    TrackAction,
)
from simulation.log import KINDS, REASONS_END, REASONS_START, ROW
from simulation.rhythm import ACTIVITIES, DEVICES, NETWORKS, OPERATING_SYSTEMS, PLACES, WEATHERS
from simulation.users import PLANS

if TYPE_CHECKING:
    from simulation.world import World

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_UNKNOWN_DEVICE = Device()


def encode_rows(world: World, table: np.ndarray, prefix: str = "sim") -> Iterator[Envelope]:
    """Events of ``table`` in its order. Device and context objects are shared between events: don't change them.

    Ids of events and sessions begin with ``prefix`` and the seed.
    """
    encoder = _Encoder(world, table, prefix)
    for index in range(len(table)):
        yield encoder.event(index)


class _Encoder:
    """Reads the columns as Python lists (a quick way through them row by row) and reuses what repeats."""

    def __init__(self, world: World, table: np.ndarray, prefix: str):
        self._users, self._tracks = world.users, world.tracks
        self._prefix = f"{prefix}{world.seed}"
        self._column = {name: table[name].tolist() for name in ROW.names}
        self._contexts: dict[tuple[int, int, int], Context] = {}
        self._devices: dict[tuple[int, int, int], Device] = {}
        self._track_ids: dict[int, str] = {}
        self._payloads = {
            "session_start": self._mark,
            "session_end": self._mark,
            "search": self._search,
            "play": self._play,
            "skip": self._skip,
            "like": self._track_action,
            "unlike": self._track_action,
            "playlist_add": self._playlist_add,
            "subscription_change": self._plan_change,
        }
        self._kinds = [(EVENTS[kind], self._payloads[kind]) for kind in KINDS]

    def event(self, index: int) -> Envelope:
        column = self._column
        cls, payload = self._kinds[column["kind"][index]]
        day, session, user = column["day"][index], column["session"][index], column["user"][index]
        return cls(
            event_id=f"{self._prefix}-{day}-{column['number'][index]}",
            schema_version=SCHEMA_VERSION,
            user_id=self._users.user_id(user),
            session_id=f"{self._prefix}-{day}-s{session}" if session >= 0 else None,
            occurred_at=_EPOCH + column["occurred"][index] * _MS,
            received_at=_EPOCH + column["received"][index] * _MS,
            device=self._device(index, day) if session >= 0 else _UNKNOWN_DEVICE,
            context=self._contexts.get((day, session, user)) or self._context(index, (day, session, user)),
            payload=payload(index),
        )

    def _track_id(self, index: int) -> str:
        track = self._column["track"][index]
        known = self._track_ids.get(track)
        if known is None:
            known = self._track_ids[track] = self._tracks.track_id(track)
        return known

    def _mark(self, _: int) -> Struct:
        return SessionMark()

    def _play(self, index: int) -> Struct:
        column = self._column
        return Play(
            track_id=self._track_id(index),
            ms_played=column["ms_played"][index],
            duration_ms=int(self._tracks.duration_ms[column["track"][index]]),
            reason_start=REASONS_START[column["reason_start"][index]],
            reason_end=REASONS_END[column["reason_end"][index]],
        )

    def _skip(self, index: int) -> Struct:
        column = self._column
        played = f"{self._prefix}-{column['day'][index]}-{column['ref'][index]}"
        return Skip(track_id=self._track_id(index), play_event_id=played, position_ms=column["value"][index])

    def _track_action(self, index: int) -> Struct:
        return TrackAction(track_id=self._track_id(index))

    def _playlist_add(self, index: int) -> Struct:
        playlist = f"p{self._column['user'][index]:07d}-{self._column['value'][index]}"
        return PlaylistAction(track_id=self._track_id(index), playlist_id=playlist)

    def _search(self, index: int) -> Struct:
        artist = self._tracks.artist[self._column["track"][index]]
        return Search(query=self._tracks.artist_name[artist].lower(), results=self._column["value"][index])

    def _plan_change(self, index: int) -> Struct:
        user = self._column["user"][index]
        return SubscriptionChange(PLANS[self._users.plan[user]], PLANS[self._users.next_plan[user]])

    def _device(self, index: int, day: int) -> Device:
        key = (self._column["device"][index], self._column["os"][index], day // 14)
        device = self._devices.get(key)
        if device is None:
            device = self._devices[key] = Device(DEVICES[key[0]], OPERATING_SYSTEMS[key[1]], f"9.{key[2]}.0")
        return device

    def _context(self, index: int, key: tuple[int, int, int]) -> Context:
        column = self._column
        country, region, offset = PLACES[self._users.place[key[2]]][:3]
        context = Context(utc_offset_min=offset, country=country, region=region)
        if key[1] >= 0:
            context.activity = ACTIVITIES[column["activity"][index]]
            context.network = NETWORKS[column["network"][index]]
        if column["weather"][index] >= 0:
            context.weather = WEATHERS[column["weather"][index]]
            context.temperature_c = round(column["temperature"][index], 1)
        self._contexts[key] = context
        return context
