"""Lists as shown: the cap, the draw, and that nothing changes where nothing is asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.recommend.diversify import Diversity
from models.recommend.explore import Exploration
from serving.slate import Arrangement, arranged

RANKED = [(f"t{i}", 10.0 - i) for i in range(30)]
INFO = {f"t{i}": {"artist_id": f"a{i // 4}", "genre": "jazz" if i % 3 else None} for i in range(28)}
CAPPED = Diversity("mmr", 0.8, artist_cap=1, pool=30)
DRAWN = Exploration((1, 3), pool=8, epsilon=1.0)


def test_as_ranked_unless_something_is_asked():
    assert [(p.track_id, p.score) for p in arranged(RANKED, 5, Arrangement(), INFO)] == RANKED[:5]
    assert Arrangement().depth(5) == 5 and arranged([], 5, Arrangement(CAPPED), INFO) == []


@given(st.integers(1, 12), st.text("abc", min_size=1, max_size=6))
def test_cap_and_exploration_hold_together(k, request):
    how = Arrangement(CAPPED, DRAWN, request)
    places = arranged(RANKED[: how.depth(k)], k, how, INFO)
    assert len({p.track_id for p in places}) == len(places) <= k
    kept = [INFO.get(p.track_id, {}).get("artist_id", p.track_id) for p in places if not p.explored]
    assert len(set(kept)) == len(kept)
    assert all((p.propensity < 1) == p.explored for p in places)
    assert places == arranged(RANKED[: how.depth(k)], k, how, INFO)


def test_enough_is_asked_of_the_model():
    assert Arrangement(Diversity(pool=100)).depth(10) == 100
    assert Arrangement(None, DRAWN, "r").depth(10) == 18


def test_exploration_needs_the_name_of_its_request():
    with pytest.raises(ValueError, match="request_id: is empty"):
        Arrangement(exploration=DRAWN)
