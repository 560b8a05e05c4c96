"""Settings of the contextual neural ranker, with the published weights of its heads."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from models.limits import at_least

HEADS = ("completion", "skip", "like", "add")
"""What may become of a play: heard to the end, skipped, liked, put on a playlist."""


@dataclass(frozen=True)
class HeadWeights:
    """score = play + sum over the heads of weight * (logit - logit of the base rate).

    ``play`` is the logit of "this is what is played here". An outcome's logit is taken against the base rate of the
    training plays, so that a head that knows nothing adds nothing. A head without outcomes in training weighs 0.
    The defaults are small: outcomes break near ties of the play, they do not overrule it. Twice as large, they took
    0.003 (95 % 0.000 to 0.007) of next NDCG@10 in the simulated world.
    """

    completion: float = 0.05
    skip: float = -0.05
    like: float = 0.02
    add: float = 0.02

    def values(self) -> tuple[float, ...]:
        """In the order of ``HEADS``."""
        return tuple(float(getattr(self, name)) for name in HEADS)


@dataclass(frozen=True)
class ContextualConfig:
    """dim: of every embedding. history: latest plays attended to. hidden: widths of the layers.

    bins: pieces that each feature is cut into. track_embeddings: whether a track has an embedding of its own beside
    those of its artist, album, genre and sound. hide_field, hide_context: chance that a field, or the whole moment and
    profile, is hidden in a training step, so that requests that do not say it are no surprise.
    min_category: training moments that a category must have for its embedding to be used.
    head_loss: weight of the outcomes' cross entropy beside that of the play. completed: share heard that counts as to
    the end. min_outcomes: positives and negatives that a head needs to be learned.
    """

    dim: int = 24
    history: int = 50
    hidden: tuple[int, ...] = (128, 64)
    bins: int = 8
    track_embeddings: bool = False
    init_scale: float = 0.1
    epochs: int = 6
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    dropout: float = 0.1
    hide_field: float = 0.1
    hide_context: float = 0.1
    min_category: int = 20
    head_loss: float = 0.2
    completed: float = 0.9
    min_outcomes: int = 50
    weights: HeadWeights = field(default_factory=HeadWeights)
    seed: int = 0

    def __post_init__(self) -> None:
        at_least(1, self, "dim", "history", "bins", "epochs", "batch_size")
        for name in ("dropout", "hide_field", "hide_context"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"ContextualConfig.{name}: {getattr(self, name)} must be from 0 to below 1")
        if not self.hidden or min(self.hidden) < 1:
            raise ValueError(f"ContextualConfig.hidden: {self.hidden} must hold at least one width, each at least 1")

    def params(self) -> dict[str, object]:
        """As logged with a run."""
        return asdict(self)
