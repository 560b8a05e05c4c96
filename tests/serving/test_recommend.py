"""Recommendations with reasons, from the tiny model and from catalogues with holes."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_model import expected_scores

from models.recommend.diversify import Diversity
from serving.answers import Prediction
from serving.errors import ModelNotServed, ModelServerError
from serving.recommend import PLAY, POPULAR, SAME_ARTIST, SAME_GENRE, recommend
from serving.slate import Arrangement

CATALOGUE = {
    "a": {"title": "Alpha", "artist": "Ann", "artist_id": "1", "genre": "jazz"},
    "b": {"title": "Beta", "artist": "Ann", "artist_id": "1", "genre": "rock"},
    "c": {"title": "Gamma", "artist": "Cid", "artist_id": "2", "genre": "folk"},
    "d": {"title": "Delta", "artist": "Cid", "artist_id": "2", "genre": "jazz"},
    "e": {"title": None, "artist": "", "genre": None},
}


class FixedModel:
    """Answers as a model server would: `scores` for recommend, `shares` [C, L+1] for explain; for reasons `parts`
    (plays [C, L, G], rest [C, G], groups), without them there is no such signature."""

    def __init__(self, tracks, shares, version=4, gone=False, parts=None):
        self.tracks, self.shares, self.version, self.gone, self.asked = tracks, shares, version, gone, []
        self.parts = parts

    def ask(self, name, inputs, signature, **options):
        self.asked.append((signature, inputs, options))
        ids = np.array([[track.encode() for track in self.tracks]], object)
        scores = np.linspace(2, 1, len(self.tracks), dtype=np.float32)[None]
        return Prediction(self.version, signature, {"track_ids": ids, "scores": scores})

    def predict(self, name, inputs, signature, **options):
        self.asked.append((signature, inputs, options))
        if self.gone:
            raise ModelNotServed("server", None, "version 4 has gone")
        if signature == "reasons":
            if self.parts is None:
                raise ModelServerError("server", None, 'Serving signature name: "reasons" not found')
            plays, rest, groups = self.parts
            names = np.array([name.encode() for name in groups], object)
            return {"plays": np.array([plays], np.float32), "rest": np.array([rest], np.float32), "groups": names}
        return {"contributions": np.array([self.shares], np.float32)}


def ask(history, tracks, shares, **options):
    model = FixedModel(tracks, shares, **{k: options.pop(k) for k in ("gone",) if k in options})
    return recommend(model, "m", history, track_info=options.pop("track_info", CATALOGUE), **options)


@pytest.mark.parametrize(
    ("history", "track", "shares", "sentence"),
    [
        (["a", "b"], "c", [1.0, 0.5, 0.5], "Because you played Alpha and Beta by Ann."),
        (["a", "c"], "d", [0.2, 0.8, 0.0], "Because you played Gamma by Cid and Alpha by Ann."),
        (["e", "a"], "d", [0.9, 0.1, 0.0], "Because you played e and Alpha by Ann."),
        (["e"], "d", [0.9, 0.1], "Because you played e."),
        (["a", "c"], "c", [0.2, 0.8, 0.0], "Because you played it before."),
        (["a", "c"], "c", [0.7, 0.3, 0.0], "Because you played Alpha by Ann."),
        (["a"], "b", [-0.2, 0.9], "Because you listen to Ann."),
        (["a"], "d", [0.0, 0.9], "Because you listen to jazz."),
        (["a"], "c", [0.0, 0.9], "Popular with listeners this week."),
        ([], "e", [0.0, 0.3], "Chosen for its overall popularity and the moment, not for one particular play."),
    ],
)
def test_one_sentence_says_why(history, track, shares, sentence):
    answer = ask(history, [track], [shares], popular={"c"})
    assert answer[0].sentence == sentence


def test_reasons_are_the_largest_shares_and_then_facts():
    # Played twice, `c` counts twice; a play that lowers the score is no reason.
    answer = ask(["c", "a", "b", "c"], ["d"], [[0.2, 0.1, -0.5, 0.3, 0.4]], popular={"d"})
    reasons = answer[0].reasons
    assert [(r.kind, r.track_id) for r in reasons] == [
        (PLAY, "c"),
        (PLAY, "a"),
        (SAME_ARTIST, None),
        (SAME_GENRE, None),
        (POPULAR, None),
    ]
    assert [round(r.share, 6) for r in reasons[:2]] == [0.5, 0.1]
    assert [r.text for r in reasons[2:]] == ["you listen to Cid", "you listen to jazz", "popular this week"]


def test_a_catalogue_of_ids_only():
    answer = ask(["x", "y"], ["z"], [[0.6, 0.3, 0.1]], track_info=None)
    assert (answer[0].title, answer[0].artist) == (None, None)
    assert answer[0].sentence == "Because you played x and y."


def test_the_version_that_answered_explains_and_is_reported():
    model = FixedModel(["c", "d"], [[0.5, 0.5], [0.5, 0.5]])
    answer = recommend(
        model, "m", ["a"], ["b"], 2, {"hour": 9, "device": "phone"}, {"plan": "free"}, CATALOGUE, label="stable"
    )
    assert (answer.version, answer.model, len(answer)) == (4, "m", 2)
    (first, inputs, options), _, (second, explained, version) = model.asked
    assert (first, options["label"], second, version["version"]) == ("recommend", "stable", "explain", 4)
    assert inputs["exclude"].tolist() == [["b"]] and inputs["k"] == 2
    assert explained["context"].tolist() == [["hour=9", "device=phone", "plan=free"]]
    assert explained["candidates"].tolist() == [["c", "d"]]


def test_a_model_with_reasons_says_what_a_play_speaks_of():
    parts = [[[0.0, 0.2], [0.9, 0.0]]], [[0.1, 1.0]], ["follows", "base"]
    model, day = FixedModel(["b"], None, parts=parts), 24 * 3600 * 1000
    answer = recommend(model, "m", ["c", "a"], track_info=CATALOGUE, times=[0, 30 * day])
    assert (
        answer[0].sentence
        == "Because you played Alpha by Ann this week and Beta by the same artist often comes after it."
    )
    assert answer[0].explanation.score == pytest.approx(2.2)
    assert [(r.kind, r.track_id) for r in answer[0].reasons] == [(PLAY, "a"), (PLAY, "c"), (SAME_ARTIST, None)]
    assert model.asked[1][0] == "reasons" and model.asked[1][2]["version"] == 4 and len(model.asked) == 2


def test_a_list_is_arranged_before_it_is_explained():
    model = FixedModel(["a", "b", "c", "d"], [[0.0, 0.1]] * 2)
    how = Arrangement(Diversity("mmr", 0.9, artist_cap=1, pool=4))
    answer = recommend(model, "m", ["e"], k=2, track_info=CATALOGUE, arrangement=how)
    assert [item.track_id for item in answer] == ["a", "c"] and answer[0].propensity == 1
    assert model.asked[0][1]["k"] == 4 and model.asked[-1][1]["candidates"].tolist() == [["a", "c"]]


def test_without_an_explanation_there_are_still_facts():
    answer = ask(["a"], ["b"], [], gone=True)
    assert [reason.kind for reason in answer[0].reasons] == [SAME_ARTIST]


def test_padding_of_the_answer_is_left_out_and_k_is_checked():
    assert len(ask([], ["c", ""], [[0.0, 0.1]])) == 1
    with pytest.raises(ValueError, match="k: 0 is below 1"):
        ask([], ["c"], [[0.0, 0.1]], k=0)


def test_over_the_wire(world):
    world.add(world.name, 1)
    world.client.reload(world.model(world.name, 1))
    answer = recommend(world.client, world.name, ["t1", "t4"], ["t2"], 3)
    ranked = sorted(expected_scores(1, ["t1", "t4"], ["t2"]).items(), key=lambda item: -item[1])[:3]
    assert [item.track_id for item in answer] == [track for track, _ in ranked]
    assert answer.version == 1
    for item in answer:
        assert 0 <= sum(reason.share or 0 for reason in item.reasons) <= 1
        assert item.sentence.endswith(".")
    # A listener without history, and more tracks asked for than are left.
    everything = [f"t{i}" for i in range(8)]
    assert len(recommend(world.client, world.name, [], everything[:6], 8)) == 2
    with pytest.raises(ModelServerError, match="no-such-model"):
        recommend(world.client, "no-such-model", ["t1"])
