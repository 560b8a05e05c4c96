from __future__ import annotations

import numpy as np

from models.evaluation import cold
from models.recommend.cold_start.mapped import ContentMapped
from models.recommend.cold_start.simple import RandomOrder
from models.recommend.ease import Ease, EaseConfig
from models.recommend.transitions import TransitionConfig, Transitions

BASE = Ease(EaseConfig(regularization=20.0))


def test_new_tracks_are_found_and_the_others_keep_their_order(world, names):
    asked = cold.new_tracks(world, share=0.15, held_out=0.3)
    plain, mapped = BASE.refit(asked.train), ContentMapped(BASE, names=names).fit(asked.train)
    judged = cold.judge_tracks([RandomOrder().fit(asked.train), plain, mapped], asked)
    found = cold.differences(judged, "ease_mapped")
    assert found[cold.AMONG, "ease"].lo > 0.1 and found[cold.AMONG, "random"].lo > 0.1
    assert found[cold.WHOLE, "ease"].lo > 0
    queries = mapped.queries(asked.hold_out.requests("next")[:5])
    assert np.allclose(mapped.scores(queries)[:, ~asked.new], plain.scores(queries)[:, ~asked.new])
    assert judged[cold.EVERY, "ease"].metrics["discover_ndcg_at_10"].value > 0


def test_what_the_base_does_not_rank_is_not_ranked(world):
    """Transitions rank what followed the latest plays, and new tracks alone are added to that."""
    base = Transitions(TransitionConfig()).fit(world)
    mapped = ContentMapped(base).fit(world)
    requests = cold.new_listeners(world).slices[3].requests("next")[:5]
    assert ((mapped.recommend(requests, 160)[0] == "") == (base.recommend(requests, 160)[0] == "")).all()
    again = mapped.refit(world).recommend(requests, 10)
    assert (again[0] == mapped.recommend(requests, 10)[0]).all()
