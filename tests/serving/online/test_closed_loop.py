"""One round of the light loop over a real API, a real model server and a lake of this test's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from online_api import listening as api_over

from benchmarks.closed_loop import LoopConfig, begin, listen_elsewhere, play_rounds
from benchmarks.closed_loop_light import LightConfig, LightWay, kept_by_listener, listening
from benchmarks.closed_loop_lines import PopularityLine, RandomLine, live_round
from benchmarks.closed_loop_report import answered, rises, tables
from lakehouse.ingest import pending
from simulation.live import moments

TINY = LoopConfig(2, 25, 120, history_share=0.5, own_share=0.0, longest=6, light=LightConfig(dim=8, epochs=1, steps=20))


@pytest.mark.slow
def test_listeners_events_come_back_as_the_next_version(world, settings):
    settings = settings.model_copy(
        update={"model_name": f"loop-{world.name}", "api_rate": 0, "api_refresh_seconds": 0.1,
                "api_model_timeout_ms": 5000}
    )  # fmt: skip
    simulated = begin(TINY, 3, settings)
    way = LightWay(settings, simulated, world.client, TINY.light)
    way.turn()
    before = listening(settings, way._tracks).n_plays
    with api_over(settings, world.server.address) as address:
        rounds = play_rounds(TINY, simulated, settings, address, way.turn, lambda line: None, wait=0.5)
    first, second = (one.lines["soundlake"] for one in rounds)
    assert "1" in rounds[0].versions and "2" in rounds[1].versions and "1" not in rounds[1].versions
    assert set(rounds[0].degraded) | set(rounds[1].degraded) <= {"unknown_user", "empty_history"}
    assert listening(settings, way._tracks).n_plays == before + first.plays  # what was heard is in silver, once
    assert any("/api-" in found.file.path for found in pending(settings))  # the second round waits for the next turn
    way.ingest()
    assert listening(settings, way._tracks).n_plays == before + first.plays + second.plays
    for one in rounds:
        assert one.lines["truth"].kept > one.lines["random"].kept
        assert {line.room for line in one.lines.values()} == {first.room if one is rounds[0] else second.room}
    text = tables({1: rounds, 2: rounds}) + rises({1: rounds, 2: rounds}) + answered({1: rounds})
    assert text.count("\n") > 5 and "nan" not in text


def test_policies_meet_the_same_sessions_and_learn_of_their_own(settings):
    simulated = begin(TINY, 4, settings)
    way = LightWay(settings, simulated, None, TINY.light)
    way.ingest()
    history = kept_by_listener(settings, simulated)
    assert history and all(tracks for tracks in history.values())
    day = list(moments(simulated, 1, longest=6))
    lines = [PopularityLine(simulated, history), RandomLine(simulated, history)]
    found = live_round(lines, day, 5)
    again = live_round([PopularityLine(simulated, history), RandomLine(simulated, history)], day, 5)
    assert found == again and found["popularity"] != found["random"]
    user = max(lines[0].kept, key=lambda one: len(lines[0].kept[one]))
    assert lines[0].kept[user][: len(history.get(user, []))] == history.get(user, [])
    order = lines[0]._order.copy()
    lines[0].learn()
    assert not np.array_equal(order, lines[0]._order)
    assert not list(Path(settings.lake).rglob("api-*"))  # nobody but the API writes what its listeners did


def test_what_listeners_choose_by_themselves_lands_and_is_told(settings):
    config = replace(TINY, own_share=0.5)
    simulated = begin(config, 4, settings)
    way = LightWay(settings, simulated, None, TINY.light)
    way.ingest()
    before = kept_by_listener(settings, simulated)
    told = listen_elsewhere(config, simulated, settings, 1)
    way.ingest()
    after = kept_by_listener(settings, simulated)
    assert told
    for user, tracks in told.items():
        assert set(tracks) <= set(after[user]) and len(after[user]) >= len(before.get(user, [])) + len(tracks)
