"""Who is alone, and for how long nobody was."""

from __future__ import annotations

from serving.model_server.crowd import Crowd


def test_a_client_that_waits_for_each_answer_is_alone():
    crowd = Crowd(quiet_s=1.0)
    for now in (0.0, 0.01, 0.02):
        assert crowd.arrive(now)
        crowd.leave()


def test_who_meets_another_is_not_nor_who_comes_soon_after():
    crowd = Crowd(quiet_s=1.0)
    assert crowd.arrive(0.0)
    assert not crowd.arrive(0.1)  # the first one is still there
    crowd.leave()
    crowd.leave()
    assert not crowd.arrive(0.9)
    crowd.leave()
    assert crowd.arrive(1.2)
