"""NCF: the network against its formula, examples without leaks, and planted structure learned above popularity."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from handmade import listening

from models.evaluation.metrics import PRIMARY, evaluate
from models.evaluation.split import split
from models.recommend.base import Requests
from models.recommend.ncf import Ncf, mean_of_listeners
from models.recommend.ncf_config import NcfConfig
from models.recommend.ncf_examples import NcfSampler, before
from models.recommend.popularity import Popularity

SMALL = NcfConfig(dim=16, layers=(16, 8), epochs=3, min_steps=200, batch_size=128, history=10, learning_rate=1e-2)


@pytest.fixture(scope="module")
def parts(plain_data):
    train, held = split(plain_data)
    floor = evaluate(Popularity().fit(train), held, intervals=False).metrics[PRIMARY].value
    return train, held, floor


VARIANTS = [
    SMALL,
    replace(SMALL, kind="gmf"),
    replace(SMALL, kind="mlp"),
    replace(SMALL, loss="softmax", candidates=64),
    replace(SMALL, loss="softmax", candidates=64, repeats=False),
    replace(SMALL, user="id", half_life=10.0),
]


@pytest.mark.parametrize("config", VARIANTS, ids=lambda c: f"{c.kind}-{c.user}-{c.loss}-{c.repeats}")
def test_planted_structure_is_learned_above_popularity(parts, config):
    train, held, floor = parts
    heard = []
    model = Ncf(config).fit(train, heard.append)
    found = evaluate(model, held, intervals=False).metrics[PRIMARY].value
    assert found > 1.5 * floor
    assert heard[-1]["loss"] < heard[0]["loss"]
    assert [h["epoch"] for h in heard] == [1, 2, 3]


@pytest.fixture(scope="module")
def neumf(data):
    return Ncf(replace(SMALL, epochs=1, min_steps=30)).fit(data)


def reference(network, history: np.ndarray, track: int) -> float:
    """The formula for one pair, in numpy."""
    weights = network.by_age.numpy()[: len(history)]
    listener = {b: weights @ rows.numpy()[history[::-1]] for b, rows in network.listeners.items()}
    score = network.bias.numpy()[track]
    score += np.sum(network.gmf_out.numpy() * listener["gmf"] * network.items["gmf"].numpy()[track])
    hidden = np.concatenate([listener["mlp"], network.items["mlp"].numpy()[track]])
    for matrix, bias in zip(network.weights, network.biases, strict=True):
        hidden = np.maximum(hidden @ matrix.numpy() + bias.numpy(), 0)
    return float(score + (hidden @ network.mlp_out.numpy())[0])


def test_scores_equal_the_formula(neumf, data):
    histories = [data.history(0)[:4], data.history(1)[:9]]
    scores = neumf.score_histories(histories)
    assert scores.shape == (2, data.n_tracks)
    for row, history in zip(scores, histories, strict=True):
        for track in (0, 7, data.n_tracks - 1):
            assert row[track] == pytest.approx(reference(neumf._network, history, track), abs=1e-4)


def test_own_and_shared_candidates_score_the_same(neumf, data):
    listeners = neumf.listener_vectors([data.history(0), data.history(1)])
    shared = neumf._network.logits(listeners, np.array([2, 9, 4], np.int32)).numpy()
    own = neumf._network.logits(listeners, np.array([[2, 9, 4], [4, 2, 9]], np.int32)).numpy()
    np.testing.assert_allclose(own[0], shared[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(own[1], shared[1][[2, 0, 1]], rtol=1e-4, atol=1e-5)


def test_blocks_of_items_change_nothing(neumf, data, monkeypatch):
    whole = neumf.score_histories([data.history(0)])
    monkeypatch.setattr("models.recommend.ncf.ITEM_BLOCK", 17)
    np.testing.assert_allclose(neumf.score_histories([data.history(0)]), whole, rtol=1e-5, atol=1e-6)


def test_nobody_and_anybody_get_an_answer(neumf):
    ids, scores = neumf.recommend(Requests.of([[], ["track-1"], ["no such track"]]), 5)
    assert (ids != "").all()
    np.testing.assert_array_equal(ids[0], ids[2])
    assert np.isfinite(scores).all()


def test_a_listener_by_id_is_folded_in_from_those_who_heard_the_same(plain_data):
    model = Ncf(replace(SMALL, user="id", half_life=1e6)).fit(plain_data)
    assert model.name == "neumf_id"
    own = model.score_users(plain_data.users.tolist())
    folded = model.score_histories([plain_data.history(u) for u in range(plain_data.n_users)])
    same = [np.corrcoef(a, b)[0, 1] for a, b in zip(own, folded, strict=True)]
    others = [np.corrcoef(a, b)[0, 1] for a, b in zip(own, np.roll(folded, 1, 0), strict=True)]
    assert np.mean(same) > np.mean(others) + 0.1
    proxies = mean_of_listeners(plain_data, model._network.listeners)["gmf"]
    track = int(np.argmax(plain_data.listeners))
    heard = np.unique(plain_data.user_of_play[plain_data.items == track])
    np.testing.assert_allclose(proxies[track], model._network.listeners["gmf"].numpy()[heard].mean(0), atol=1e-6)
    with pytest.raises(KeyError):
        model.score_users(["nobody"])


def test_only_users_by_id_have_an_embedding(neumf):
    with pytest.raises(ValueError, match=r"neumf: has no embedding of users; fit it with NcfConfig\(user='id'\)"):
        neumf.score_users(["user-000"])


def test_histories_end_before_the_positive_and_stay_with_their_user(data):
    config = replace(SMALL, window=4)
    seen = 0
    for batch in NcfSampler(data, config).epoch(np.random.default_rng(0)):
        for user, history, positive in zip(*batch, strict=True):
            plays = data.history(user)
            length = int((history >= 0).sum())
            assert 1 <= length <= config.history
            ends = [
                e
                for e in range(length, len(plays))
                if plays[max(0, e - config.history) : e][::-1].tolist() == history[:length].tolist()
            ]
            assert any(positive in plays[e : e + config.window] for e in ends)
            seen += 1
    assert seen > 0.8 * (data.n_plays - data.n_users)


def test_without_repeats_the_positive_is_new_to_the_listener():
    data = listening({"u": "abcabcd", "v": "dda"})
    batches = list(NcfSampler(data, replace(SMALL, window=1, repeats=False)).epoch(np.random.default_rng(0)))
    found = sorted((int(u), "abcd"[p]) for b in batches for u, p in zip(b.users, b.positives, strict=True))
    assert found == [(0, "b"), (0, "c"), (0, "d"), (1, "a")]


def test_negatives_were_never_played(data):
    sampler = NcfSampler(data, replace(SMALL, negatives=50))
    drawn = sampler.negatives(np.arange(data.n_users), np.random.default_rng(0))
    assert drawn.shape == (data.n_users, 50)
    for user, tracks in enumerate(drawn):
        assert not set(tracks) & set(data.history(user))


def test_before_by_hand():
    items = np.array([5, 6, 7, 8, 9])
    assert before(items, np.array([0, 3]), np.array([3, 4]), 2).tolist() == [[7, 6], [8, -1]]


def test_the_shared_candidates_hide_the_listeners_own_tracks(data):
    from models.recommend.ncf_network import Network
    from models.recommend.ncf_trainer import NcfTrainer

    config = replace(SMALL, loss="softmax")
    network = Network(config, data.n_users, data.plays, np.random.default_rng(0))
    trainer = NcfTrainer(network, np.zeros(data.n_tracks, np.float32), 1)
    found = trainer._among(np.array([4, 9, 2], np.int32), np.array([[2, -1], [9, 9], [7, 1]], np.int32))
    assert found.numpy().astype(int).tolist() == [[0, 0, 1], [0, 1, 0], [0, 0, 0]]


def test_one_play_a_user_is_nothing_to_learn_from():
    with pytest.raises(ValueError, match="nothing to learn from, no user of 2 has two plays"):
        Ncf(SMALL).fit(listening({"u": "a", "v": "b"}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "nmf"}, "kind: 'nmf'; use one of gmf, mlp, neumf"),
        ({"layers": ()}, "layers"),
        ({"epochs": 0}, "epochs: 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        NcfConfig(**change)
