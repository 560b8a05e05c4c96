"""Settings of the two-tower model, with the reason for each default."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from models.limits import at_least
from models.recommend.transitions import TransitionConfig


@dataclass(frozen=True)
class TwoTowerConfig:
    """Defaults were chosen on a validation tail of real listening (28 k tracks, 3 k users), never on its test part.

    dim: width of all embeddings. history: latest plays looked at; older ones hardly matter once recent ones are known.
    half_lives: recency at the start, one head each, in plays; learned from there.
    window, window_decay: the tracks to predict are those of the next ``window`` plays, each worth ``window_decay`` of
    the one before: a wide window teaches what a listener will want, a steep decay what fits right now.
    repeat_weight: worth of a target the listener already knew; new tracks count 1, they are what `discover` asks for.
    examples_per_user: positions drawn from each user and epoch, so that heavy listeners do not outweigh the rest.
    learning_rate, head_learning_rate: of the tables, and of the user tower, which sees every example and would overfit
    at the pace rare tracks need: four times slower was worth half a point of Recall@100.
    min_steps: updates at the least; small data are passed over several times an epoch until there are that many.
    negatives: expected candidates in a step's softmax; the whole catalogue when it is not larger.
    negative_power: candidates are drawn by plays ** power; corrected for, so it sets variance, not bias.
    history_dropout: share of a history's plays hidden in training; no track may lean on one other track alone.
    memory_neighbours: transitions kept for each track; 0 leaves the memory out.
    memory_plays, memory_half_life, memory_scale: how many latest plays use it, and its factors by age. Transitions are
    shares of plays, tower scores log-odds: a transition that happens every tenth time is worth about 3.
    empty_share: share of histories hidden altogether, from which the answer to a new listener is learned.
    """

    dim: int = 128
    history: int = 50
    half_lives: tuple[float, ...] = (1.0, 4.0, 16.0, 64.0)
    window: int = 20
    window_decay: float = 0.8
    repeat_weight: float = 0.0
    examples_per_user: int = 16
    batch_size: int = 256
    epochs: int = 4
    learning_rate: float = 3e-3
    head_learning_rate: float = 7.5e-5
    weight_decay: float = 0.0
    negatives: int = 4096
    negative_power: float = 0.5
    history_dropout: float = 0.2
    empty_share: float = 0.01
    memory_neighbours: int = 64
    memory_plays: int = 16
    memory_half_life: float = 2.0
    memory_scale: float = 30.0
    transitions: TransitionConfig = field(default_factory=TransitionConfig)
    min_steps: int = 400
    init_scale: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        at_least(1, self, "dim", "history", "window", "examples_per_user", "batch_size", "epochs", "negatives")
        for name in ("history_dropout", "empty_share"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"TwoTowerConfig.{name}: {getattr(self, name)} must lie in [0, 1)")

    def params(self) -> dict[str, object]:
        """As logged with a run."""
        return asdict(self)
