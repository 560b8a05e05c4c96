from __future__ import annotations

import numpy as np
import pytest
from context_world import sequence_batch_with_context, user_batch
from listening_world import track_batch

from models.context import FIELDS, PROFILE_FIELDS, UNKNOWN, Categories
from models.data import ListeningData
from models.recommend.popularity import Popularity
from models.recommend.requests import Queries, Requests, moment_of, requests_of
from models.vocabulary import Vocabulary

TRACKS = Vocabulary(["a", "b", "c"])
CONTEXT, PROFILE = Categories.of(FIELDS, device=["phone"]), Categories.of(PROFILE_FIELDS, plan=["free"])


@pytest.fixture(scope="module")
def rich() -> ListeningData:
    return ListeningData.from_batches([sequence_batch_with_context(8)], [track_batch()], [user_batch()])


def test_unknown_tracks_go_with_their_times_and_skips():
    asked = Requests([["a", "?", "b"], []], times=[[10, 20, 30], []], skipped=[[1, 0, -1], []], now=[40, None])
    queries = asked.encode(TRACKS, CONTEXT, PROFILE)
    assert [h.tolist() for h in queries.histories] == [[0, 1], []]
    assert [t.tolist() for t in queries.times] == [[10, 30], []]
    assert [s.tolist() for s in queries.skipped] == [[1, -1], []]
    assert queries.now.tolist() == [40, UNKNOWN]


def test_the_month_is_that_of_now_unless_it_is_given():
    march = 1_710_000_000_000
    plain = Requests([[], []], now=[march, None]).encode(TRACKS, CONTEXT, PROFILE)
    assert plain.of_context("month").tolist() == [2, UNKNOWN]
    given = Requests([[]], now=[march], context={"month": [12]}).encode(TRACKS, CONTEXT, PROFILE)
    assert given.of_context("month").tolist() == [11]


def test_slices_keep_everything_in_step():
    asked = Requests(
        [["a"], ["b"], ["c"]], [[], ["a"], ["b"]], [[1], [2], [3]], [[0], [1], [0]], [4, 5, 6],
        {"device": ["phone", None, "tv"]}, {"plan": ["free", "x", None]},
    )  # fmt: skip
    part = asked[1:3]
    assert part == Requests(
        [["b"], ["c"]], [["a"], ["b"]], [[2], [3]], [[1], [0]], [5, 6], {"device": [None, "tv"]}, {"plan": ["x", None]}
    )
    assert len(asked[:0]) == 0


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="hour has 2 entries for 1 histories"):
        Requests.of([["a"]], hour=[1, 2])
    with pytest.raises(ValueError, match="no field is called 'colour'"):
        Requests.of([["a"]], colour=["red"])
    with pytest.raises(ValueError, match="times has 1 entries for 2 plays"):
        Requests([["a", "b"]], times=[[1]]).encode(TRACKS, CONTEXT, PROFILE)
    with pytest.raises(ValueError, match="'new' is neither 'next'"):
        Requests.of([["a"]]).for_task("new")


def test_batches_of_a_recommender_change_nothing(rich):
    class Echo(Popularity):
        """Scores by all that a query carries."""

        def scores(self, queries: Queries) -> np.ndarray:
            told = queries.context.sum(1) + queries.profile.sum(1) + np.array([t.sum() % 7 for t in queries.times])
            return np.asarray(self._score * (1.0 + told[:, None] % 5), np.float32)

    model = Echo().fit(rich)
    model._learn(rich)
    context, now = moment_of(rich, rich.offsets[1:] - 1)
    base = requests_of(rich)
    asked = Requests(base.histories, None, base.times, base.skipped, now, context, base.profile)
    whole = model.recommend(asked, 5)
    model.batch_size = 3
    parts = model.recommend(asked, 5)
    assert (whole[0] == parts[0]).all()
    np.testing.assert_array_equal(whole[1], parts[1])
    assert len(np.unique(whole[1][:, 0])) > 1


def test_the_moment_of_a_play_encodes_to_its_codes(rich):
    plays = np.arange(0, rich.n_plays, 7)
    context, now = moment_of(rich, plays)
    assert (rich.context_fields.encode(context, len(plays)) == rich.context[plays]).all()
    assert (now == rich.times[plays]).all()
    profile = requests_of(rich, [2]).profile
    assert profile == {"birth_year": ["1990 to 1994"], "gender": ["f"], "country": ["SE"], "plan": ["free"]}
