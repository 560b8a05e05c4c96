"""The cold-start recommender: any model, joined with what is known without plays by how many plays there are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.data import ListeningData
from models.recommend.base import CatalogueRecommender, Progress, Queries
from models.recommend.cold_start.config import ColdStartConfig
from models.recommend.cold_start.content import TrackNames
from models.recommend.cold_start.pool import Pool, fit_theta
from models.recommend.cold_start.sources import NAMES, Sources

LEAST = 20  # listeners that the weights of a knot are fit on


class ColdStart(CatalogueRecommender):
    """Wraps ``base``, an unfitted recommender whose settings are used.

    >>> model = ColdStart(Ease(EaseConfig())).fit(data)
    >>> ids, scores = model.recommend(Requests.of([[]], profile={"birth_year": [1999]}), k=10)

    The base is fit twice: without some listeners and tracks, to learn how far it can be trusted about such (``pool``
    has the weights, in the order of ``sources.NAMES``), and on everything, to answer. ``names``: of the tracks of the
    data it will be fit on; without them there is no text and no subgenre.
    """

    batch_size = 64

    def __init__(
        self, base: CatalogueRecommender, config: ColdStartConfig | None = None, names: TrackNames | None = None
    ):
        super().__init__()
        self.config = config or ColdStartConfig()
        self._base, self._names = base, names
        self.name = f"cold_start_{base.name}"

    def fit(self, data: ListeningData, progress: Progress | None = None) -> ColdStart:
        """Raises ValueError where fewer than ``LEAST`` listeners could be held out."""
        self._learn(data)
        self.pool = self._fit_pool(data, progress)
        self.sources = Sources(self._base.refit(data, progress), data, self.config, self._names)
        return self

    def refit(self, data: ListeningData, progress: Progress | None = None) -> ColdStart:
        return ColdStart(self._base, self.config, self._names).fit(data, progress)

    def scores(self, queries: Queries) -> np.ndarray:
        theta = self.pool.at(np.array([len(history) for history in queries.histories]))
        return np.einsum("bk,bki->bi", theta.astype(np.float32), self.sources.phi(queries))

    def _fit_pool(self, data: ListeningData, progress: Progress | None) -> Pool:
        config, rng = self.config, np.random.default_rng(self.config.seed)
        lengths = np.diff(data.offsets)
        usable = rng.permutation(np.flatnonzero(lengths > 1))
        chosen = usable[: min(config.most_held_out, int(config.held_out * len(usable)))]
        if len(chosen) < LEAST:
            raise ValueError(
                f"{self.name}: {len(chosen)} of {data.n_users} listeners can be held out to weigh the sources, and "
                f"{LEAST} are needed; ingest more listeners or raise ColdStartConfig.held_out"
            )
        asked = np.isin(np.arange(data.n_users), chosen)
        new = rng.random(data.n_tracks) < config.new_share
        inner = data.keep(~asked[data.user_of_play] & ~new[data.items])
        sources = Sources(self._base.refit(inner, progress), inner, config, self._names)
        start = np.zeros(len(NAMES))
        start[NAMES.index("base_order")] = 1.0
        knots, theta = [], []
        for plays in config.knots:
            users = chosen[lengths[chosen] > plays]
            if len(users) < LEAST:
                break
            phi, truths = self._examples(sources, data, users, plays)
            theta.append(fit_theta(phi, truths, config.penalty, start))
            knots.append(plays)
            if progress is not None:
                progress({"plays": plays, **dict(zip(NAMES, theta[-1].tolist(), strict=True))})
        return Pool(tuple(knots), np.stack(theta))

    def _examples(self, sources: Sources, data: ListeningData, users: np.ndarray, plays: int):
        """What the sources say of listeners after their first plays, and what came then."""
        start = data.offsets[users]
        queries = Queries.of([data.items[a : a + plays] for a in start])
        queries = replace(queries, profile=data.profiles[users].astype(np.int32), context=data.context[start + plays])
        phi: list[np.ndarray] = []
        for first in range(0, len(users), self.batch_size):
            rows = slice(first, first + self.batch_size)
            phi.extend(sources.phi(_cut(queries, rows)))
        ends = np.minimum(start + plays + self.config.follow, data.offsets[users + 1])
        return phi, [np.unique(data.items[a + plays : b]) for a, b in zip(start, ends, strict=True)]


def _cut(queries: Queries, rows: slice) -> Queries:
    return replace(queries, histories=queries.histories[rows], profile=queries.profile[rows],
                   context=queries.context[rows])  # fmt: skip
