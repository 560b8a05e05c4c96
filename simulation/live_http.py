"""Simulated listeners against a recommendation API over HTTP: they ask, hear what is shown, and report what they did.

Only what any app would know of the API is used: its two routes and the event contract.
"""

from __future__ import annotations

import http.client
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from lakehouse.events import Envelope, encode_event
from simulation.live import Heard, Moment, listen, moments
from simulation.world import World

LATEST_SKIPS, LATEST_KEPT = 500, 50
"""Tracks that a listener skipped and heard last, which their app asks not to be shown again. The API leaves out what it
knows as heard last, but may learn of this day's listening only tomorrow."""
_TRIES = 5
_AGAIN = (429, 503)


class LiveError(RuntimeError):
    """The API does not do what it should; the text says what it answered and what to do."""


class Api:
    """One connection that is kept alive. address: such as http://127.0.0.1:8600; token: bearer token, if it asks."""

    def __init__(self, address: str, token: str | None = None, timeout: float = 30.0):
        parts = urlsplit(address if "//" in address else f"http://{address}")
        if parts.scheme != "http" or not parts.hostname:
            raise LiveError(f"--address {address!r}: write http://host:port, such as http://127.0.0.1:8600")
        self.address = f"http://{parts.netloc}"
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=timeout)
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    def recommend(self, moment: Moment, k: int, exclude: Sequence[str] = (), explain: bool = True) -> dict:
        """The answer of POST /v1/recommendations. Raises LiveError."""
        asked = {"user_id": moment.user_id, "k": k, "context": moment.context, "exclude": list(exclude)}
        return self._post("/v1/recommendations", json.dumps(asked | {"explain": explain}).encode(), 200)

    def send(self, events: Sequence[Envelope]) -> int:
        """POST /v1/events; -> how many were taken. Sent again if not durable. Raises LiveError."""
        body = b'{"events":[' + b",".join(map(encode_event, events)) + b"]}"
        return int(self._post("/v1/events", body, 202)["accepted"])

    def close(self) -> None:
        self._connection.close()

    def _post(self, path: str, body: bytes, wanted: int) -> dict:
        status, text, wait = 0, b"", 0.0
        for turn in range(_TRIES):
            time.sleep(wait)
            try:
                self._connection.request("POST", path, body, self._headers)
                response = self._connection.getresponse()
                status, text = response.status, response.read()
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                if turn == _TRIES - 1:
                    what = f"no answer from {self.address}{path}: {error or type(error).__name__}"
                    raise LiveError(f"{what}; start the API with `soundlake serve`") from None
                wait = 0.1 * 2**turn
                continue
            if status == wanted:
                return json.loads(text)
            if status not in _AGAIN:
                break
            wait = float(response.headers.get("Retry-After") or 0.2 * 2**turn)
        raise LiveError(f"{self.address}{path} answers {status}: {text[:500].decode(errors='replace')}")


@dataclass
class LiveSummary:
    """What happened. room: plays that the listeners had time for; versions, degraded: lists by version and cause."""

    sessions: int = 0
    lists: int = 0
    room: int = 0
    plays: int = 0
    kept: int = 0
    likes: int = 0
    events: int = 0
    seconds: float = 0.0
    versions: Counter = field(default_factory=Counter)
    degraded: Counter = field(default_factory=Counter)

    def add(self, heard: Heard, events: int) -> None:
        self.sessions += 1
        self.room += heard.moment.plays
        self.plays += len(heard.plays.track)
        self.kept += len(heard.kept)
        self.likes += heard.likes
        self.events += events


class Listeners:
    """The listeners of a world and their apps: what each has skipped and heard is remembered."""

    def __init__(self, world: World, api: Api, k: int = 10, explain: bool = True):
        self.world, self.summary = world, LiveSummary()
        self._api, self._k, self._explain = api, k, explain
        self._place = {world.tracks.track_id(i): i for i in range(len(world.tracks))}
        self._skips: dict[int, list[int]] = {}
        self._kept: dict[int, list[int]] = {}

    def session(self, moment: Moment, asked: Callable[[], None] = lambda: None) -> Heard:
        """Live through one session and report it; ``asked`` is called before each list is asked for."""

        skips, kept = (before.setdefault(moment.user, []) for before in (self._skips, self._kept))
        known = [*skips[-LATEST_SKIPS:], *kept[-LATEST_KEPT:]]

        def ask(shown: Sequence[int]) -> list[int]:
            asked()
            left_out = dict.fromkeys([*known, *shown])
            ids = [self.world.tracks.track_id(track) for track in left_out]
            answer = self._api.recommend(moment, self._k, ids, self._explain)
            self._count(answer)
            return self._tracks(answer)

        heard = listen(moment, ask)
        skips.extend(heard.skipped.tolist())
        kept.extend(heard.kept.tolist())
        self.summary.add(heard, self._api.send(heard.events()))
        return heard

    def _count(self, answer: dict) -> None:
        self.summary.lists += 1
        self.summary.versions[str(answer["version"] or answer["model"])] += 1
        if answer["degraded"]:
            self.summary.degraded[answer["degraded"]["cause"]] += 1

    def _tracks(self, answer: dict) -> list[int]:
        ids = [item["track_id"] for item in answer["items"]]
        unknown = [track for track in ids if track not in self._place]
        if unknown:
            raise LiveError(
                f"the API recommends {unknown[0]!r}, which is no track of this world: simulate with the numbers of "
                "listeners and tracks, the start and the seed that the lake was filled with"
            )
        return [self._place[track] for track in ids]


def live(
    listeners: Listeners,
    day: int,
    requests: int | None = None,
    minutes: float | None = None,
    rate: float = 0.0,
    only: int | None = None,
    progress: Callable[[LiveSummary], None] = lambda summary: None,
) -> LiveSummary:
    """Sessions of ``day`` and the days after it, one after the other, until so many lists were asked for or so much
    time has passed; a session that has begun is lived to its end.

    rate: lists a second at most, 0 for no limit. only: the first so many listeners of the world. progress: told after
    each session.
    """
    began, summary = time.monotonic(), listeners.summary

    def pace() -> None:
        if rate:
            time.sleep(max(0.0, began + summary.lists / rate - time.monotonic()))

    for moment in _endless(listeners.world, day, only):
        listeners.session(moment, pace)
        summary.seconds = time.monotonic() - began
        progress(summary)
        if requests is not None and summary.lists >= requests:
            break
        if minutes is not None and summary.seconds >= minutes * 60:
            break
    return summary


def _endless(world: World, day: int, only: int | None) -> Iterator[Moment]:
    while True:
        yield from moments(world, day, only)
        day += 1
