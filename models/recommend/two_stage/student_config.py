"""Settings of the trees' student, see :mod:`models.recommend.two_stage.student`."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from models.limits import at_least


@dataclass(frozen=True)
class StudentConfig:
    """hidden: widths of the layers. bins: pieces that the range of each feature is cut into. moments: at most so many
    are learned from. temperature: of the soft targets. level: weight of the squared difference of the scores, about
    their moment's mean, beside the divergence: the score is added to other opinions, so its scale matters, not the
    order alone.
    """

    hidden: tuple[int, ...] = (64, 32)
    bins: int = 4
    epochs: int = 10
    batch_size: int = 64
    learning_rate: float = 4e-3
    weight_decay: float = 1e-4
    temperature: float = 1.0
    level: float = 0.1
    moments: int = 12_000
    seed: int = 0

    def __post_init__(self) -> None:
        at_least(1, self, "bins", "epochs", "batch_size", "moments")
        if not self.temperature > 0:
            raise ValueError(f"StudentConfig.temperature: {self.temperature} must be above 0")
        if not self.hidden or min(self.hidden) < 1:
            raise ValueError(f"StudentConfig.hidden: {self.hidden} must hold at least one width, each at least 1")

    def params(self) -> dict[str, object]:
        """As logged with a run."""
        return asdict(self)
