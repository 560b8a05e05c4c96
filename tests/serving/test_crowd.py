"""Who is alone, for how long nobody was, and whose turn it is."""

from __future__ import annotations

import threading
import time

import pytest

from serving.model_server.crowd import Crowd


@pytest.fixture
def clock(monkeypatch):
    """Sets what time it is."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def to(moment: float) -> None:
        now[0] = moment

    return to


def test_a_client_that_waits_for_each_answer_is_alone(clock):
    crowd = Crowd(2)
    for now in (0.0, 0.01, 0.02):
        clock(now)
        with crowd.turn() as alone:
            assert alone


def test_who_meets_another_is_not_nor_who_comes_soon_after(clock):
    crowd = Crowd(2, quiet_s=1.0)
    with crowd.turn() as first:
        clock(0.1)
        with crowd.turn() as second:
            assert first and not second
    clock(0.9)
    with crowd.turn() as alone:
        assert not alone
    clock(1.2)
    with crowd.turn() as alone:
        assert alone


def test_nobody_spreads_where_that_is_not_wanted():
    with Crowd(2, spread=False).turn() as alone:
        assert not alone


def test_no_more_run_at_a_time_than_have_a_turn():
    crowd, lock, running, most = Crowd(2), threading.Lock(), 0, 0

    def ask() -> None:
        nonlocal running, most
        with crowd.turn():
            with lock:
                running += 1
                most = max(most, running)
            time.sleep(0.02)
            with lock:
                running -= 1

    threads = [threading.Thread(target=ask) for _ in range(7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (running, most) == (0, 2)


def test_a_request_that_fails_gives_its_turn_back():
    crowd = Crowd(1)
    for _ in range(3):
        with pytest.raises(RuntimeError), crowd.turn():
            raise RuntimeError
    with crowd.turn() as alone:
        assert alone
