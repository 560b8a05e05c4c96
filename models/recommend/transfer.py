"""Cross-domain transfer: what was learned from one source of listening, carried to another that has less of it.

Source and target are listeners over one catalogue, as one lake has it: tracks that only one of them plays are new to
the other and meet it through artist and content. Two ways:

- :class:`TransferredTwoTower` goes on training from the source's towers, with a smaller step;
- :class:`models.recommend.cold_start.factors.ContentFactors` with a ``source`` adds the target's listeners to what the
  source knows of each track, as much as its own listeners told it; of others, to what its content mapping says.

Both stand beside the same model from scratch, and beside the source's model as it is, in :func:`learning_curve`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from models.data import ListeningData
from models.evaluation.bootstrap import Difference, Interval
from models.evaluation.metrics import PRIMARY, Evaluation, compare, evaluate
from models.evaluation.split import HoldOut
from models.recommend.base import CatalogueRecommender, Progress
from models.recommend.cold_start.factors import same_catalogue
from models.recommend.config import TwoTowerConfig
from models.recommend.two_tower import TwoTower

if TYPE_CHECKING:
    import pandas as pd

SCRATCH, SOURCE, TRANSFERRED = "from scratch", "source as it is", "transferred"
COLUMNS = ("listeners", "way", "metric", "value", "lo", "hi", "gain", "gain_lo", "gain_hi")


@dataclass(frozen=True)
class FineTuneConfig:
    """step: share of the learning rates of training from scratch; epochs and updates: as ``epochs`` and ``min_steps``
    there. What the source taught is lost to long training with large steps on few listeners (Howard & Ruder 2018)."""

    step: float = 0.3
    epochs: int = 1
    updates: int = 30

    def __post_init__(self) -> None:
        if not 0 < self.step <= 1 or min(self.epochs, self.updates) < 1:
            raise ValueError(
                f"FineTuneConfig: step {self.step} must lie in (0, 1], epochs {self.epochs} and updates {self.updates} "
                "be at least 1"
            )


class TransferredTwoTower(TwoTower):
    """A two-tower model that begins as ``source``, fitted over the same catalogue with the same settings.

    Embeddings of tracks that the source never heard begin as they would from scratch, as do their biases; those of
    artists, albums and genres, the projection of the sound and the whole user tower are the source's. The memory of
    transitions goes on counting where the source's ended.
    """

    name = "two_tower_transferred"

    def __init__(self, source: TwoTower, config: FineTuneConfig | None = None):
        tune = config or FineTuneConfig()
        own: TwoTowerConfig = source.config
        rates = {name: getattr(own, name) * tune.step for name in ("learning_rate", "head_learning_rate")}
        super().__init__(replace(own, epochs=tune.epochs, min_steps=tune.updates, **rates))
        self.source, self._tune = source, tune

    def refit(self, data: ListeningData, progress: Progress | None = None) -> TransferredTwoTower:
        return TransferredTwoTower(self.source, self._tune).fit(data, progress)

    def fit(self, data: ListeningData, progress: Progress | None = None) -> TransferredTwoTower:
        """Raises ValueError where the source has another catalogue."""
        same_catalogue(self.source, data)
        super().fit(data, progress)
        self.heard = self.source.heard + data.plays
        return self

    def _start(self, data: ListeningData):
        from models.recommend.towers import ItemTower, UserTower

        theirs, heard = self.source.towers, self.source.heard
        items = ItemTower(data.catalogue, data.plays + heard, self.config)
        user = UserTower(len(self.device_names), self.config)
        for mine, other in zip(items.variables, theirs[0].variables, strict=True):
            value = other.numpy()
            if mine.name.startswith(("track_", "bias")):
                value = np.where((heard > 0).reshape(-1, *[1] * (value.ndim - 1)), value, mine.numpy())
            mine.assign(value)
        for mine, other in zip(user.variables, theirs[1].variables, strict=True):
            mine.assign(self._of_devices(other) if mine.name.startswith("devices") else other)
        return items, user

    def _memory(self, data: ListeningData):
        from models.recommend.memory import TransitionMemory
        from models.recommend.transitions import transition_counts

        counts, heard = transition_counts(data, self.config.transitions), self.source.heard
        if self.source.scorer.memory is not None:
            counts = (counts + self.source.scorer.memory.counts(heard, self.config)).tocsr()
        return TransitionMemory.of_counts(counts, data.plays + heard, self.config)

    def _of_devices(self, theirs) -> np.ndarray:
        """float32 [devices, D]: the source's rows by the target's codes; zero, as from scratch, where it has none."""
        rows = dict(zip(self.source.device_names, theirs.numpy(), strict=False))
        nothing = np.zeros(theirs.shape[1], np.float32)
        return np.stack([rows.get(name, nothing) for name in self.device_names] or [nothing])


@dataclass(frozen=True)
class LearningCurve:
    """judged: (listeners of the target, way) -> evaluation on the same held-out listeners of the target."""

    judged: Mapping[tuple[int, str], Evaluation]

    def gain(self, listeners: int, metric: str = PRIMARY, over: str = SCRATCH) -> Difference:
        """Transferred minus ``over``, paired."""
        return compare(self.judged[listeners, over], self.judged[listeners, TRANSFERRED], metric)

    def frame(self, metrics: Sequence[str] = (PRIMARY,)) -> pd.DataFrame:
        """Tidy, with columns ``COLUMNS``; gain is that of transfer over the row's way (NaN in its own row)."""
        import pandas as pd

        rows = []
        for (listeners, way), found in self.judged.items():
            for metric in metrics:
                value = found.metrics[metric]
                gain = Interval(np.nan, np.nan, np.nan)
                if way != TRANSFERRED:
                    gain = self.gain(listeners, metric, way)
                rows.append((listeners, way, metric, value.value, value.lo, value.hi, gain.value, gain.lo, gain.hi))
        return pd.DataFrame(rows, columns=list(COLUMNS))

    def markdown(self, metric: str = PRIMARY) -> str:
        """A row a size: each way with its interval, and the paired gains of transfer, bold where they exclude zero."""
        head = ["listeners", SCRATCH, SOURCE, TRANSFERRED, f"gain over {SCRATCH}", f"gain over {SOURCE}"]
        lines = [head, ["---"] * len(head)]
        for size in dict.fromkeys(size for size, _ in self.judged):
            values = [str(self.judged[size, way].metrics[metric]) for way in (SCRATCH, SOURCE, TRANSFERRED)]
            gains = [self.gain(size, metric, over) for over in (SCRATCH, SOURCE)]
            lines.append([str(size), *values, *(f"**{d:+}**" if d.excludes_zero() else f"{d:+}" for d in gains)])
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def learning_curve(
    source: CatalogueRecommender,
    scratch: Callable[[], CatalogueRecommender],
    transferred: Callable[[], CatalogueRecommender],
    target: ListeningData,
    hold_out: HoldOut,
    sizes: Sequence[int],
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> LearningCurve:
    """Fit both ways on ever more listeners of the target (the smaller samples within the larger) and judge all.

    source: fitted; hold_out: listeners of the target who are in no training. Raises ValueError for a size that the
    target has not.
    """
    players = np.flatnonzero(np.diff(target.offsets) > 0)
    if not sizes or min(sizes) < 1 or max(sizes) > len(players):
        raise ValueError(f"sizes: {list(sizes)} must be from 1 to the {len(players)} listeners of the target")
    order = np.random.default_rng(seed).permutation(players)
    as_it_is = evaluate(source, hold_out, SOURCE)
    judged: dict[tuple[int, str], Evaluation] = {}
    for size in sizes:
        sample = target.keep(np.isin(target.user_of_play, order[:size]))
        for way, make in ((SCRATCH, scratch), (TRANSFERRED, transferred)):
            if progress is not None:
                progress(f"{size} listeners, {way}")
            judged[size, way] = evaluate(make().fit(sample), hold_out, way)
        judged[size, SOURCE] = as_it_is
    return LearningCurve(judged)
