from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cold_worlds import TRACKS

from models.evaluation import cold
from models.recommend.base import Requests
from models.recommend.cold_start.choices import ChosenPrior, SignUpChoices
from models.recommend.cold_start.cold_start import ColdStart
from models.recommend.cold_start.config import ColdStartConfig
from models.recommend.ease import Ease, EaseConfig


@pytest.fixture(scope="module")
def asked(world):
    return cold.new_listeners(world)


@pytest.fixture(scope="module")
def choices(asked, names):
    return SignUpChoices(asked.train, names)


@pytest.fixture(scope="module")
def fitted(asked):
    unsaid = replace(asked.train, profiles=np.full(asked.train.profiles.shape, -1, np.int16))
    return ColdStart(Ease(EaseConfig()), ColdStartConfig(knots=(0, 1, 3, 10), held_out=0.25, words=0)).fit(unsaid)


def test_a_choice_stands_for_its_most_heard_tracks_by_id_name_and_genre(asked, choices):
    found = asked.train.catalogue.vocabulary.lookup(choices.tracks("a3"))
    artist = np.arange(3 * TRACKS, 4 * TRACKS)
    assert set(found) <= set(artist)
    assert asked.train.listeners[found].min() >= np.sort(asked.train.listeners[artist])[-3]
    assert choices.tracks("Band 3") == choices.tracks("a3") and len(choices.tracks("g2")) == 3
    assert choices.plays(["a3", "a4"])[-2:] == [choices.tracks("a4")[0], choices.tracks("a3")[0]]
    with pytest.raises(ValueError, match="'polka'"):
        choices.tracks("polka")


def test_choices_are_the_history_of_those_without_a_play_and_of_nobody_else(choices):
    requests = Requests([[], ["t1", "t2"]], times=[[], [5, 9]], skipped=[[], [0, 1]]).for_task("discover")
    told = choices.before(requests, [["a3"], ["a3"]])
    assert told.histories == [choices.plays(["a3"]), ["t1", "t2"]]
    assert told.exclude == [[], ["t1", "t2"]]
    assert [len(row) for row in told.times] == [3, 2] and told.skipped[1] == [0, 1]
    with pytest.raises(ValueError, match="1 lists for 2"):
        choices.before(requests, [["a3"]])


def test_what_was_chosen_wins_before_the_first_play_and_gives_way_to_plays(choices, fitted):
    prior, picks = ChosenPrior(fitted, choices), ["a3"]

    def of_choice(plays) -> int:
        ids, _ = prior.recommend(Requests.of([plays]), [picks], 8)
        return sum(int(track[1:]) // TRACKS == 3 for track in ids[0])

    other = [f"t{t}" for t in range(17 * TRACKS, 18 * TRACKS)]
    assert of_choice([]) > 5 > of_choice(other)
    requests = Requests.of([[], ["t1"]])
    nothing = prior.recommend(requests, [[], []], 8)
    assert (nothing[0] == fitted.recommend(requests, 8)[0]).all()


def test_the_prior_helps_new_listeners_and_excludes_what_is_known(asked, choices, fitted):
    """They choose the artist that they go on to play most."""
    hold_out = asked.slices[1]
    artists = [np.bincount(truth // TRACKS).argmax() for truth in hold_out.truths]

    class Told:
        name = "told"

        def recommend(self, requests, k):
            return ChosenPrior(fitted, choices).recommend(requests, [[f"a{artist}"] for artist in artists], k)

    ids, _ = Told().recommend(hold_out.requests("discover"), 20)
    assert not any(
        set(row) & set(history) for row, history in zip(ids, hold_out.requests("next").histories, strict=True)
    )
    judged = cold.judge_listeners([fitted, Told()], asked)
    found = cold.differences(judged, "told")
    assert found["0 plays", fitted.name].lo > 0 and all(d.hi > 0 for d in found.values())


def test_settings_out_of_range_are_named(asked, names, choices, fitted):
    with pytest.raises(ValueError, match="per_choice 0"):
        SignUpChoices(asked.train, names, 0)
    with pytest.raises(ValueError, match="fade 0"):
        ChosenPrior(fitted, choices, 0)
