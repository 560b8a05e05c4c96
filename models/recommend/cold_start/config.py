"""Settings of the cold start, with the reason for each default."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from models.recommend.cold_start.mapping import MappingConfig
from models.recommend.space import Real, Space, Whole

COLD_START_SPACE: Space = {
    "penalty": Real(0.05, 10.0, log=True),
    "follow": Whole(5, 50, log=True),
    "new_share": Real(0.02, 0.3, log=True),
}


@dataclass(frozen=True)
class ColdStartConfig:
    """knots: plays known at which the weights of the sources are fit; beyond the last they stay as there.
    held_out, most_held_out: the share of listeners, and the most of them, that the weights are fit on.
    new_share: the share of played tracks taken for new while they are, so that new ones are placed among the others.
    follow: plays after those known that the weights are fit to.
    segment, own: plays at which the shares of genres, artists (and tracks) of a segment, or of a listener, weigh as
    much as what is expected without them.
    penalty: on weights away from "the base's order alone", in listeners' worth.
    words: columns of hashed n-grams of titles and artist names, where names are given.
    """

    knots: tuple[int, ...] = (0, 1, 3, 10, 30, 100, 300)
    held_out: float = 0.15
    most_held_out: int = 300
    new_share: float = 0.15
    follow: int = 20
    segment: tuple[float, float, float] = (20.0, 100.0, 1000.0)
    own: tuple[float, float] = (4.0, 8.0)
    penalty: float = 0.5
    words: int = 256
    mapping: MappingConfig = field(default_factory=MappingConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.knots or list(self.knots) != sorted(set(self.knots)) or self.knots[0] != 0:
            raise ValueError(f"ColdStartConfig.knots: {self.knots} must ascend from 0")
        if not 0 < self.held_out < 1 or not 0 <= self.new_share < 1:
            raise ValueError("ColdStartConfig.held_out: a share above 0 and below 1; new_share: from 0 to below 1")
        for name in ("most_held_out", "follow", "penalty"):
            if getattr(self, name) <= 0:
                raise ValueError(f"ColdStartConfig.{name}: {getattr(self, name)} must be above 0")
        if min(*self.segment, *self.own) <= 0:
            raise ValueError("ColdStartConfig.segment and own: strengths must be above 0")

    def params(self) -> dict[str, object]:
        """As logged with a run."""
        return asdict(self)
