"""The cold-start recommender: any model, joined with what is known without plays by how many plays there are."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from models.data import ListeningData
from models.recommend.base import CatalogueRecommender, Progress, Queries
from models.recommend.cold_start.config import ColdStartConfig
from models.recommend.cold_start.content import TrackNames
from models.recommend.cold_start.pool import Pool, fit_theta
from models.recommend.cold_start.sources import NAMES, Sources

LEAST = 10  # listeners that the weights of a knot are fit on; where there are few, up to a third of them is taken


class ColdStart(CatalogueRecommender):
    """Wraps ``base``, an unfitted recommender whose settings are used.

    >>> model = ColdStart(Ease(EaseConfig())).fit(data)
    >>> ids, scores = model.recommend(Requests.of([[]], profile={"birth_year": [1999]}), k=10)

    The base is fit twice: without some listeners and tracks, to learn how far it can be trusted about such, and on
    everything, to answer. ``pools`` has the weights of the sources, in the order of ``sources.NAMES``, for each task: a
    request that excludes the track playing now wants what is new to the listener ("discover"), any other the "next"
    play. ``names``: of the tracks of the data it will be fit on; without them there is no text and no subgenre.
    """

    name = "cold_start"
    batch_size = 64

    def __init__(
        self, base: CatalogueRecommender, config: ColdStartConfig | None = None, names: TrackNames | None = None
    ):
        super().__init__()
        self.config = config or ColdStartConfig()
        self._base, self._names = base, names

    def fit(self, data: ListeningData, progress: Progress | None = None) -> ColdStart:
        """Raises ValueError where fewer than ``LEAST`` listeners could be held out."""
        self._learn(data)
        self.pools = self._fit_pools(data, progress)
        self.sources = Sources(self._base.refit(data, progress), data, self.config, self._names)
        return self

    def refit(self, data: ListeningData, progress: Progress | None = None) -> ColdStart:
        return ColdStart(self._base, self.config, self._names).fit(data, progress)

    def scores(self, queries: Queries) -> np.ndarray:
        plays = np.array([len(history) for history in queries.histories])
        anew = [
            bool(len(history)) and history[-1] in exclude
            for history, exclude in zip(queries.histories, queries.exclude or [()] * len(queries), strict=True)
        ]
        theta = np.where(np.array(anew, bool)[:, None], self.pools["discover"].at(plays), self.pools["next"].at(plays))
        return np.einsum("bk,bki->bi", theta.astype(np.float32), self.sources.phi(queries))

    def _fit_pools(self, data: ListeningData, progress: Progress | None) -> dict[str, Pool]:
        config, rng = self.config, np.random.default_rng(self.config.seed)
        lengths = np.diff(data.offsets)
        usable = rng.permutation(np.flatnonzero(lengths > 1))
        wanted = max(int(config.held_out * len(usable)), min(2 * LEAST, len(usable) // 3))
        chosen = usable[: min(config.most_held_out, wanted)]
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
        knots, theta = [], {"next": [], "discover": []}
        for plays in config.knots:
            users = chosen[lengths[chosen] > plays]
            if len(users) < LEAST:
                break
            examples = self._examples(sources, data, users, plays, new)
            found = {task: self._fit_knot(examples, task, start) for task in theta}
            if found["discover"] is None:
                break
            knots.append(plays)
            for task, weights in found.items():
                theta[task].append(weights)
                if progress is not None:
                    progress({"plays": plays, "task": task, **dict(zip(NAMES, weights.tolist(), strict=True))})
        return {task: Pool(tuple(knots), np.stack(rows)) for task, rows in theta.items()}

    def _fit_knot(self, examples: Examples, task: str, start: np.ndarray) -> np.ndarray | None:
        """float64 [K], or None where too few listeners go on to something new."""
        phi, histories, truths = examples.phi, None, examples.truths
        if task == "discover":
            truths = [np.setdiff1d(truth, seen) for truth, seen in zip(truths, examples.histories, strict=True)]
            kept = [i for i, truth in enumerate(truths) if len(truth)]
            phi, truths = [phi[i] for i in kept], [truths[i] for i in kept]
            histories = [examples.histories[i] for i in kept]
        return fit_theta(phi, truths, self.config.penalty, start, histories) if len(phi) >= LEAST else None

    def _examples(
        self, sources: Sources, data: ListeningData, users: np.ndarray, plays: int, new: np.ndarray
    ) -> Examples:
        """What the sources say of listeners after their first plays, and what came then. Tracks taken for new are in
        no history, as such a track is in nobody's."""
        start = data.offsets[users]
        first = [data.items[a : a + plays] for a in start]
        queries = Queries.of([history[~new[history]] for history in first])
        queries = replace(queries, profile=data.profiles[users].astype(np.int32), context=data.context[start + plays])
        phi: list[np.ndarray] = []
        for at in range(0, len(users), self.batch_size):
            phi.extend(sources.phi(_cut(queries, slice(at, at + self.batch_size))))
        ends = np.minimum(start + plays + self.config.follow, data.offsets[users + 1])
        truths = [np.unique(data.items[a + plays : b]) for a, b in zip(start, ends, strict=True)]
        return Examples(phi, queries.histories, truths)


@dataclass(frozen=True)
class Examples:
    """Per listener: phi float32 [K, I], the plays known and the tracks that came, both as indices."""

    phi: list[np.ndarray]
    histories: list[np.ndarray]
    truths: list[np.ndarray]


def _cut(queries: Queries, rows: slice) -> Queries:
    return replace(queries, histories=queries.histories[rows], profile=queries.profile[rows],
                   context=queries.context[rows])  # fmt: skip
