"""Whoever holds a landing day keeps others out, and nobody waits for ever."""

from __future__ import annotations

import threading
from datetime import timedelta

from raw_zone import DAY

from lakehouse.day_locks import landing_days

NEXT = DAY + timedelta(1)


def test_a_held_day_is_waited_for_and_others_are_not(settings):
    order = []

    def other(days) -> None:
        with landing_days(settings, days):
            order.append(days)

    with landing_days(settings, [DAY]):
        waiting = threading.Thread(target=other, args=([NEXT, DAY],))
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
        other([NEXT + timedelta(1)])
        order.append("let go")
    waiting.join(10)
    assert order == [[NEXT + timedelta(1)], "let go", [NEXT, DAY]]


def test_two_that_want_the_same_days_in_other_orders_both_end(settings):
    done = []

    def hold(days) -> None:
        for _ in range(50):
            with landing_days(settings, days):
                done.append(1)

    threads = [threading.Thread(target=hold, args=(days,)) for days in ([DAY, NEXT], [NEXT, DAY])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(done) == 100
