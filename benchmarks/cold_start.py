"""Cold start on the simulated world: new listeners, new tracks, and one market that learns from another.

python -m benchmarks.cold_start [listeners tracks transfer]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.cold_world import KnownWorld, another_market, known_world, picked_artists, picked_subgenres, read
from benchmarks.report import write_part

if TYPE_CHECKING:
    from models.data import ListeningData
    from models.recommend.base import Recommender
    from models.recommend.cold_start.choices import ChosenPrior, SignUpChoices
    from models.recommend.cold_start.content import TrackNames
    from models.recommend.requests import Requests

PARTS = ("listeners", "tracks", "transfer")
USERS, TRACKS, DAYS, SEED = 3000, 4000, 45, 7
MARKET, LEAST_AGE, SIZES = 2400, 35, (30, 100, 300)
JUDGED = 500  # hold-out listeners at the most for new tracks
SHOWN = 40  # artists on the sign-up page


@dataclass(frozen=True)
class Told:
    """A model, told what listeners chose at sign-up: one list of choices each, in the order they ask."""

    name: str
    model: Recommender | ChosenPrior
    choices: SignUpChoices
    chosen: Sequence[Sequence[str]]

    def recommend(self, requests: Requests, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`models.recommend.base.Recommender`."""
        from models.recommend.cold_start.choices import ChosenPrior

        if isinstance(self.model, ChosenPrior):
            return self.model.recommend(requests, self.chosen, k)
        return self.model.recommend(self.choices.before(requests, self.chosen), k)


def listeners(known: KnownWorld, names: TrackNames) -> str:
    """Markdown: new listeners by the plays known, and what a prior adds."""
    from models.evaluation import cold
    from models.recommend.cold_start.choices import ChosenPrior, SignUpChoices
    from models.recommend.cold_start.cold_start import ColdStart
    from models.recommend.cold_start.simple import GroupPopularity
    from models.recommend.ease import Ease, EaseConfig
    from models.recommend.popularity import Popularity, PopularityConfig

    asked = cold.new_listeners(known.data)
    train, users = asked.train, asked.slices[0].users
    base = Ease(EaseConfig())
    full = _fit("cold start, profile", ColdStart(base, names=names), train)
    by_artist = _fit("popularity by artist", GroupPopularity("artist"), train)
    choices = SignUpChoices(train, names)
    prior = ChosenPrior(full, choices)
    subgenres = picked_subgenres(known, users)
    artists = picked_artists(known, users, _most_heard(train, names))
    models: list[Recommender] = [
        _fit("popularity", Popularity(), train),
        _fit("popularity by age", Popularity(PopularityConfig(segment="birth_year")), train),
        by_artist,
        _fit("EASE", base, train),
        _fit("cold start, no profile", ColdStart(base, names=names), without_profiles(train)),
        full,
        Told("popularity by artist, 3 artists chosen", by_artist, choices, artists),
        Told("cold start, profile, 3 subgenres chosen", prior, choices, subgenres),
        Told("cold start, profile, 3 artists chosen", prior, choices, artists),
    ]
    judged = cold.judge_listeners(models, asked)
    told = {key: e for key, e in judged.items() if "chosen" in key[1] or key[1] == full.name}
    plain = {key: e for key, e in judged.items() if "chosen" not in key[1]}
    return (
        f"{len(users)} new listeners, the same in every slice; {train.n_plays:,} plays of others before they arrive "
        "are learned from; at most 20 plays after those known are judged. NDCG@10 of what is new to the listener:\n\n"
        f"{cold.markdown(judged)}\n\nWhat the model with profiles has more, paired:\n\n"
        f"{cold.gains(plain, full.name)}\n\n"
        f"What three artists chosen at sign-up have more:\n\n{cold.gains(told, models[-1].name)}\n\n"
        f"The next play, NDCG@10:\n\n{cold.markdown(judged, 'next_ndcg_at_10')}"
    )


def tracks(known: KnownWorld, names: TrackNames) -> str:
    """Markdown: new tracks among themselves and in the whole catalogue."""
    from models.evaluation import cold
    from models.recommend.cold_start.cold_start import ColdStart
    from models.recommend.cold_start.factors import ContentFactors, FactorsConfig
    from models.recommend.cold_start.mapped import ContentMapped
    from models.recommend.cold_start.simple import GroupPopularity, RandomOrder
    from models.recommend.ease import Ease, EaseConfig

    asked = cold.new_tracks(known.data, held_out=0.2)
    asked = replace(asked, hold_out=asked.hold_out.sample(JUDGED), among=asked.among.sample(JUDGED))
    base, plain = Ease(EaseConfig()), ContentFactors(FactorsConfig(content=False))
    models = [
        _fit("random", RandomOrder(), asked.train),
        _fit("popularity by genre", GroupPopularity("genre"), asked.train),
        _fit("popularity by artist", GroupPopularity("artist"), asked.train),
        _fit("EASE", base, asked.train),
        _fit("factors, mapped", ContentMapped(plain, names=names), asked.train),
        _fit("factors leaning on content", ContentFactors(FactorsConfig(), names), asked.train),
        _fit("EASE, mapped", ContentMapped(base, names=names), asked.train),
        _fit("cold start", ColdStart(base, names=names), asked.train),
    ]
    judged = cold.judge_tracks(models, asked)
    metrics = {"NDCG@10": "discover_ndcg_at_10", "Recall@100": "discover_recall_at_100"}
    tables = [f"{title}:\n\n{cold.markdown(judged, metric)}" for title, metric in metrics.items()]
    part = {key: e for key, e in judged.items() if key[0] == cold.WHOLE}
    return (
        f"{asked.new.sum()} new tracks of {len(asked.new):,}; {asked.hold_out.description}.\n\n"
        + "\n\n".join(tables)
        + f"\n\nShare of the first ten places that new tracks get:\n\n{cold.markdown(part, 'discover_exposure_at_10')}"
        + f"\n\nNDCG@10, paired:\n\n{cold.gains(judged, 'EASE, mapped')}\n\n{cold.gains(judged, 'cold start')}"
    )


def transfer(known: KnownWorld, names: TrackNames) -> str:
    """Markdown: the learning curve of a small market from scratch and from a larger one."""
    from models.evaluation import cold
    from models.recommend.cold_start.factors import ContentFactors, FactorsConfig
    from models.recommend.config import TwoTowerConfig
    from models.recommend.transfer import TransferredTwoTower, learning_curve
    from models.recommend.two_tower import TwoTower

    market = read(another_market(known.world, MARKET, LEAST_AGE, SEED + 1)).data
    asked = cold.new_listeners(market, share=0.4, known=(10,))
    hold_out, parts = asked.slices[10], []
    factors, towers = FactorsConfig(), TwoTowerConfig(dim=64, epochs=2)
    ways = {
        "Factors leaning on content": (
            lambda: ContentFactors(factors, names),
            lambda source: ContentFactors(factors, names, source),
        ),
        "Two-tower": (lambda: TwoTower(towers), TransferredTwoTower),
    }
    for title, (scratch, onward) in ways.items():
        source = _fit(f"source, {title}", scratch(), known.data)
        curve = learning_curve(
            source, scratch, partial(onward, source), asked.train, hold_out, SIZES, progress=_say
        )  # fmt: skip
        parts.append(f"**{title}**, NDCG@10 of what is new to the listener:\n\n{curve.markdown()}")
    return (
        f"The larger market: {known.data.n_users:,} listeners, {known.data.n_plays:,} plays. The smaller: others of "
        f"the same catalogue, all of {LEAST_AGE} years or more; {len(hold_out)} of them are in no training and judged "
        "after 10 plays.\n\n" + "\n\n".join(parts)
    )


def without_profiles(data: ListeningData) -> ListeningData:
    """The same plays of listeners who said nothing of themselves."""
    return replace(data, profiles=np.full(data.profiles.shape, -1, np.int16))


def _most_heard(train: ListeningData, names: TrackNames) -> list[str]:
    """The artists of most listening, as a sign-up page shows them."""
    totals: dict[str, float] = {}
    for artist, n in zip(names.artist_id, train.listeners, strict=True):
        totals[artist] = totals.get(artist, 0) + n
    return sorted((a for a in totals if a), key=lambda a: (-totals[a], a))[:SHOWN]


def _fit(name: str, model: Recommender, train: ListeningData) -> Recommender:
    began = time.monotonic()
    fitted = model.refit(train)
    fitted.name = name
    _say(f"fit: {name}, {time.monotonic() - began:.0f} s")
    return fitted


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    from models.recommend.cold_start.content import TrackNames

    wanted = sys.argv[1:] or PARTS
    unknown = [part for part in wanted if part not in PARTS]
    if unknown:
        sys.exit(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    known = known_world(USERS, TRACKS, DAYS, SEED)
    names = TrackNames.from_batches(known.data.catalogue, [known.names])
    titles = {
        "listeners": (listeners, "Cold start: new listeners"),
        "tracks": (tracks, "Cold start: new tracks"),
        "transfer": (transfer, "Cold start: from a large market to a small one"),
    }
    for part in wanted:
        make, title = titles[part]
        write_part(title, make(known, names), "python -m benchmarks.cold_start")


if __name__ == "__main__":
    main()
