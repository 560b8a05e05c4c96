"""Settings of the two-stage recommender, with the reason for each default."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import NamedTuple

from models.limits import at_least
from models.recommend.sequence.config import GRU4RecConfig
from models.recommend.two_stage.contextual_config import ContextualConfig
from models.recommend.two_stage.lambdamart import LambdaMartConfig
from models.recommend.two_stage.student_config import StudentConfig


class Source(NamedTuple):
    """One way to score every track from the listener's latest plays.

    table: neighbours to sum (a name in ``Tables.tracks``); half_life: plays after which a play counts half; first,
    last: which plays are asked, 0 the latest; retrieves: its best tracks become candidates (otherwise it only says
    something about the candidates of others).
    """

    table: str
    half_life: float
    first: int
    last: int
    retrieves: bool = True

    @property
    def name(self) -> str:
        return f"{self.table}_{self.half_life:g}"


RANKERS = ("trees", "student", "network")
ONCE = 0.01  # a half-life so short that the latest play alone counts
SOURCES = (
    Source("successor", ONCE, 0, 1),
    Source("successor", 1.0, 0, 8),
    Source("second", ONCE, 1, 2),
    Source("third", ONCE, 2, 3, retrieves=False),
    Source("predecessor", ONCE, 0, 1, retrieves=False),
    Source("transitions", 2.0, 0, 50),
    Source("transitions", 16.0, 0, 50),
    Source("near", 0.7, 0, 8),
    Source("co_listened", 3.0, 0, 50),
    Source("co_listened", 30.0, 0, 200),
)


@dataclass(frozen=True)
class TaskConfig:
    """What the ranker of one task learns from, and how.

    cuts: shares of the plays before which all is counted for examples from after it. moments: at most so many of each
    cut. hard_negatives, easy_negatives: wrong candidates of a moment that are learned from, the best and some of the
    rest. opinion: weight of the sequential model's log-probability beside the trees.
    """

    cuts: tuple[float, ...]
    moments: int
    hard_negatives: int
    easy_negatives: int
    opinion: float
    ranker: LambdaMartConfig

    def __post_init__(self) -> None:
        if not self.cuts or not all(0 < cut < 1 for cut in self.cuts):
            raise ValueError(f"TaskConfig.cuts: {self.cuts} must be shares between 0 and 1, at least one")
        at_least(1, self, "moments")


NEXT = TaskConfig((0.76, 0.88), 40_000, 20, 40, 0.3, LambdaMartConfig())
DISCOVER = TaskConfig((0.8,), 14_000, 60, 100, 0.2, LambdaMartConfig(pairs=20))


@dataclass(frozen=True)
class TwoStageConfig:
    """Defaults were chosen on the validation tail of real listening (28 k tracks, 3 k users), never on its test part.

    history: latest plays looked at. neighbours: kept of each track in each table; pair_neighbours: of each pair.
    occurrences: plays of a track whose surroundings are kept, ``before`` plays before and ``after`` after each.
    shrinkage: listeners in common that make half of a similarity believed. per_source: best tracks that a source gives;
    candidates: how many of their union are ranked; rank_offset: the larger, the less the first places of a source
    outweigh the later ones.
    ranker: what orders the candidates, "trees" (LambdaMART), their "student" or the contextual "network".
    sequence: settings of the sequential model that stands beside the counts, None for none.
    ahead: what counts as found by "discover", in plays after the moment as a share of those before.
    popularity_penalty: taken off a new track's score for each unit of log(1 + listeners).
    """

    history: int = 256
    neighbours: int = 100
    pair_neighbours: int = 6
    occurrences: int = 64
    before: int = 6
    after: int = 3
    shrinkage: float = 20.0
    per_source: int = 100
    candidates: int = 256
    sources: tuple[Source, ...] = SOURCES
    rank_offset: float = 10.0
    sequence: GRU4RecConfig | None = field(default_factory=GRU4RecConfig)
    ranker: str = "trees"
    network: ContextualConfig = field(default_factory=ContextualConfig)
    student: StudentConfig = field(default_factory=StudentConfig)
    next: TaskConfig = NEXT
    discover: TaskConfig = DISCOVER
    ahead: float = 0.2
    popularity_penalty: float = 0.35
    batch_size: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        at_least(1, self, "history", "neighbours", "occurrences", "before", "after", "per_source", "candidates")
        if self.ranker not in RANKERS:
            raise ValueError(f"TwoStageConfig.ranker: {self.ranker!r} is none of {', '.join(RANKERS)}")

    def of(self, task: str) -> TaskConfig:
        return self.next if task == "next" else self.discover

    def with_moments(self, n: int) -> TwoStageConfig:
        """The same, learning from at most ``n`` moments a task and cut."""
        return replace(self, next=replace(self.next, moments=n), discover=replace(self.discover, moments=n))

    def params(self) -> dict[str, object]:
        """As logged with a run."""
        return asdict(self)
