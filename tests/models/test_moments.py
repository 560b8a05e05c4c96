from __future__ import annotations

import numpy as np
import pytest
from context_world import sequence_batch_with_context, user_batch
from listening_world import track_batch

from models.data import ListeningData
from models.evaluation.metrics import ranked_lists
from models.evaluation.moments import by_listener, moments
from models.recommend.transitions import Transitions


@pytest.fixture(scope="module")
def parts() -> tuple[ListeningData, ListeningData, ListeningData]:
    data = ListeningData.from_batches([sequence_batch_with_context()], [track_batch()], [user_batch()])
    later = data.times >= np.quantile(data.times, 0.8)
    return data, data.keep(~later), data.keep(later)


def test_a_row_is_a_play_with_all_that_was_before_it(parts):
    data, train, later = parts
    asked = moments(train, later, per_user=4)
    index = {user: i for i, user in enumerate(data.users)}
    requests = asked.requests("next")
    for row in range(0, len(asked), 5):
        user = index[asked.users[row]]
        own = slice(data.offsets[user], data.offsets[user + 1])
        play = own.start + len(asked.histories[row])
        assert asked.histories[row].tolist() == data.items[own.start : play].tolist()
        assert asked.truths[row].tolist() == [data.items[play]]
        assert requests.times[row].tolist() == data.times[own.start : play].tolist()
        assert requests.skipped[row].tolist() == data.skipped[own.start : play].tolist()
        assert requests.now[row] == data.times[play]
        moment = data.context_fields.decode(data.context[play : play + 1])
        assert {name: values[row] for name, values in asked.context.items()} == {k: v[0] for k, v in moment.items()}
        profile = data.profile_fields.decode(data.profiles[user : user + 1])
        assert {name: values[row] for name, values in asked.profile.items()} == {k: v[0] for k, v in profile.items()}


def test_every_held_out_play_or_as_many_as_were_asked_for(parts):
    _, train, later = parts
    counts = np.diff(later.offsets)[(np.diff(train.offsets) > 0) & (np.diff(later.offsets) > 0)]
    assert len(moments(train, later, per_user=1000)) == counts.sum()
    few = moments(train, later, per_user=3)
    assert len(few) == np.minimum(counts, 3).sum()
    again = moments(train, later, per_user=3)
    assert [t.tolist() for t in few.truths] == [t.tolist() for t in again.truths]
    assert few.context == again.context
    assert few.truths != moments(train, later, per_user=3, seed=1).truths
    with pytest.raises(ValueError, match="per_user: 0"):
        moments(train, later, per_user=0)


def test_values_are_means_over_a_listener_s_moments(parts):
    _, train, later = parts
    asked, model = moments(train, later, per_user=5), Transitions().fit(train)
    found = by_listener(model, asked)
    top = ranked_lists(model, asked, "next")
    hit = np.array([truth[0] in row[:10] for truth, row in zip(asked.truths, top, strict=True)], float)
    new = np.array([truth[0] not in history for truth, history in zip(asked.truths, asked.histories, strict=True)])
    users = np.unique(asked.users)
    by_hand = [hit[asked.users == user].mean() for user in users]
    np.testing.assert_allclose(found["moment_recall_at_10"], by_hand)
    by_hand = [hit[(asked.users == user) & new].mean() for user in users if ((asked.users == user) & new).any()]
    np.testing.assert_allclose(found["moment_new_recall_at_10"], by_hand)
    assert 0 < new.mean() < 1
    assert found["moment_ndcg_at_10"].mean() > 0
