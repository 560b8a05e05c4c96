"""The load generator: a stall counts for every request that was due in it, errors and causes are counted."""

from __future__ import annotations

import asyncio
import json

import pytest

from benchmarks.online_load import Generator, Load, Outcome, table

STALL_S = 0.3
REPLY = {"timings_ms": dict.fromkeys(("features", "candidates", "rank", "slate", "reasons", "total"), 1.0)}


def put(load: Load, stall_at: int = -1, status: int = 200, cause: str | None = None) -> Outcome:
    """Load on a server that answers one request after the other, and stops for STALL_S at one of them."""
    seen, turn = [], asyncio.Lock()

    async def answer(reader, writer):
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                return writer.close()
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            async with turn:
                seen.append(json.loads(await reader.readexactly(length)))
                if len(seen) == stall_at:
                    await asyncio.sleep(STALL_S)
            degraded = {"cause": cause, "detail": ""} if cause else None
            body = json.dumps({**REPLY, "version": 4, "degraded": degraded}).encode()
            writer.write(b"HTTP/1.1 %d x\r\ncontent-length: %d\r\n\r\n" % (status, len(body)) + body)

    async def run() -> Outcome:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            load.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            return await Generator(load).run()

    outcome = asyncio.run(run())
    outcome.seen = seen
    return outcome


def test_a_stall_counts_for_all_that_were_due_in_it():
    outcome = put(Load("", rate=100, seconds=1.0), stall_at=30)
    p50, _, p99, longest = outcome.stages["client"]
    assert outcome.requests == 100 and outcome.errors == {} and outcome.versions == {"4": 100}
    assert longest >= STALL_S * 1000 * 0.9
    # A client that waits would have seen one slow request of its hundred; a third of these were due in the stall.
    slow = sorted(outcome.stages["client"])
    assert p99 > STALL_S * 1000 / 2 > p50 and slow
    assert "| client |" in table(outcome)


def test_one_client_waits_for_each_answer():
    outcome = put(Load("", rate=0, seconds=0.2, unknown=True), cause="unknown_user")
    assert outcome.requests == len(outcome.seen) == outcome.degraded["unknown_user"] > 5
    assert all(body["user_id"].startswith("nobody-") for body in outcome.seen)


def test_refusals_are_errors_and_the_same_seed_asks_the_same():
    first, second = (put(Load("", rate=200, seconds=0.2, seed=3), status=503) for _ in range(2))
    assert first.errors == {"status 503": 40} and first.throughput == 0
    assert sorted(b["user_id"] for b in first.seen) == sorted(b["user_id"] for b in second.seen)


@pytest.mark.parametrize("tracks", [200])
def test_the_world_s_listeners_play_runs_of_their_artists(tracks):
    from benchmarks.online_world import PER_ARTIST, WorldConfig, listening

    data = listening(WorldConfig(tracks=tracks, listeners=30, plays=24))
    assert len(data.items) == 30 * 24 and len(data.catalogue) == tracks
    onward = (data.items[1:] // PER_ARTIST == data.items[:-1] // PER_ARTIST).mean()
    assert onward > 0.6
