"""One writer for many requests: together when they come together, and a failed write fails those it carried alone."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from lakehouse.events import SessionMark, make_event
from lakehouse.parse import utc_now
from serving.online.landing import FileTarget, Landing, LandingFailed


def events(*names: str):
    now = utc_now()
    mark = SessionMark()
    return [
        make_event("session_start", event_id=n, user_id="u", occurred_at=now, received_at=now, payload=mark)
        for n in names
    ]


class SlowTarget:
    def __init__(self):
        self.groups, self.free = [], threading.Event()

    def write(self, found):
        self.free.wait(5)
        self.groups.append([event.event_id for event in found])
        if "bad" in self.groups[-1]:
            raise OSError("no room")
        return [f"group {len(self.groups)}"]


def test_who_waits_goes_together():
    target = SlowTarget()

    async def run():
        landing = Landing(target)
        first = asyncio.create_task(landing.append(events("a")))
        await asyncio.sleep(0.05)  # its write is under way
        others = [asyncio.create_task(landing.append(events(name))) for name in "bcd"]
        await asyncio.sleep(0)
        target.free.set()
        places = await asyncio.gather(first, *others)
        await landing.close()
        return places

    assert asyncio.run(run()) == [["group 1"], *[["group 2"]] * 3]
    assert target.groups == [["a"], ["b", "c", "d"]]


def test_a_failed_write_is_told_and_the_next_one_goes_on():
    target = SlowTarget()
    target.free.set()

    async def run():
        landing = Landing(target)
        with pytest.raises(LandingFailed, match="no room"):
            await landing.append(events("bad"))
        places = await landing.append(events("good"))
        await landing.close()
        return places

    assert asyncio.run(run()) == ["group 2"]


def test_a_request_that_was_given_up_does_not_stop_the_writer():
    target = SlowTarget()

    async def run():
        landing = Landing(target)
        given_up = asyncio.create_task(landing.append(events("a")))
        await asyncio.sleep(0.02)
        given_up.cancel()
        later = asyncio.create_task(landing.append(events("b")))
        target.free.set()
        await later
        await landing.close()

    asyncio.run(run())
    assert target.groups == [["a"], ["b"]]  # what was given is written all the same


def test_the_loop_is_free_while_a_write_is_under_way(settings):
    target = FileTarget(settings)

    async def run():
        landing = Landing(target)
        started = time.perf_counter()
        write = asyncio.create_task(landing.append(events(*map(str, range(5000)))))
        await asyncio.sleep(0)
        ticks = 0
        while not write.done():
            await asyncio.sleep(0.001)
            ticks += 1
        await landing.close()
        return ticks, time.perf_counter() - started

    ticks, _ = asyncio.run(run())
    assert ticks > 1
