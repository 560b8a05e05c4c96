"""Rows of the simulated world to contract events."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct

from lakehouse.events import (
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
    make_event,
)
from simulation.log import KINDS, REASONS_END, REASONS_START, ROW
from simulation.rhythm import ACTIVITIES, DEVICES, NETWORKS, OPERATING_SYSTEMS, PLACES, WEATHERS
from simulation.users import PLANS

if TYPE_CHECKING:
    from simulation.world import World

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_UNKNOWN_DEVICE = Device()


def encode_rows(world: World, table: np.ndarray) -> Iterator[Envelope]:
    """Events of ``table`` in its order. Device and context objects are shared between events: don't change them."""
    encoder = _Encoder(world)
    columns = [table[name].tolist() for name in ROW.names]
    for values in zip(*columns, strict=True):
        yield encoder.event(dict(zip(ROW.names, values, strict=True)))


class _Encoder:
    def __init__(self, world: World):
        self._users, self._tracks = world.users, world.tracks
        self._prefix = f"sim{world.seed}"
        self._contexts: dict[tuple, Context] = {}
        self._devices: dict[tuple, Device] = {}

    def event(self, row: dict) -> Envelope:
        kind = KINDS[row["kind"]]
        in_session = row["session"] >= 0
        return make_event(
            kind,
            event_id=self._event_id(row["day"], row["number"]),
            user_id=self._users.user_id(row["user"]),
            session_id=f"{self._prefix}-{row['day']}-s{row['session']}" if in_session else None,
            occurred_at=_EPOCH + row["occurred"] * _MS,
            received_at=_EPOCH + row["received"] * _MS,
            device=self._device(row) if in_session else _UNKNOWN_DEVICE,
            context=self._context(row),
            payload=self._payload(kind, row),
        )

    def _event_id(self, day: int, number: int) -> str:
        return f"{self._prefix}-{day}-{number}"

    def _payload(self, kind: str, row: dict) -> Struct:
        if kind == "play":
            return Play(
                track_id=self._tracks.track_id(row["track"]),
                ms_played=row["ms_played"],
                duration_ms=int(self._tracks.duration_ms[row["track"]]),
                reason_start=REASONS_START[row["reason_start"]],
                reason_end=REASONS_END[row["reason_end"]],
            )
        if kind in ("session_start", "session_end"):
            return SessionMark()
        if kind == "subscription_change":
            old, new = self._users.plan[row["user"]], self._users.next_plan[row["user"]]
            return SubscriptionChange(from_plan=PLANS[old], to_plan=PLANS[new])
        if kind == "search":
            return Search(
                query=self._tracks.artist_name[self._tracks.artist[row["track"]]].lower(), results=row["value"]
            )
        track = self._tracks.track_id(row["track"])
        if kind == "skip":
            played = self._event_id(row["day"], row["ref"])
            return Skip(track_id=track, play_event_id=played, position_ms=row["value"])
        if kind == "playlist_add":
            return PlaylistAction(track_id=track, playlist_id=f"p{row['user']:07d}-{row['value']}")
        return TrackAction(track_id=track)

    def _device(self, row: dict) -> Device:
        version = max(row["day"], 0) // 14
        key = (row["device"], row["os"], version)
        device = self._devices.get(key)
        if device is None:
            device = Device(DEVICES[key[0]], OPERATING_SYSTEMS[key[1]], f"9.{version}.0")
            self._devices[key] = device
        return device

    def _context(self, row: dict) -> Context:
        key = (row["day"], row["session"], row["user"])
        context = self._contexts.get(key)
        if context is None:
            country, region, offset = PLACES[self._users.place[row["user"]]][:3]
            context = Context(utc_offset_min=offset, country=country, region=region)
            if row["session"] >= 0:
                context.activity = ACTIVITIES[row["activity"]]
                context.network = NETWORKS[row["network"]]
            if row["weather"] >= 0:
                context.weather = WEATHERS[row["weather"]]
                context.temperature_c = round(row["temperature"], 1)
            self._contexts[key] = context
        return context
