"""Recent answers: for so many seconds, and no more of them than there is room for."""

from __future__ import annotations

from serving.online.cache import Recent


def test_values_age_and_the_oldest_go_first():
    recent: Recent[int] = Recent(10, size=2)
    recent.put("a", 1, now=0.0)
    assert recent.get("a", now=9.9) == 1 and recent.get("a", now=10.0) is None
    recent.put("b", 2, now=1.0)
    recent.put("a", 3, now=2.0)
    recent.put("c", 4, now=3.0)
    assert (recent.get("a", 4.0), recent.get("b", 4.0), recent.get("c", 4.0)) == (3, None, 4)


def test_nothing_is_kept_for_no_time():
    recent: Recent[int] = Recent(0)
    recent.put("a", 1)
    assert recent.get("a") is None
