"""Settings of the sequential models, with the reason for each default."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from models.limits import at_least

LOSSES = ("softmax", "gbce")
REACHES = ("history", "session")


@dataclass(frozen=True)
class SequenceConfig:
    """What both models share. dropout, track_dropout, epochs and ties were chosen by GRU4Rec on a validation tail of
    real listening (28 k tracks, 3 k users); the others are customary values that have not been compared.

    dim: width of the embeddings and of the state. history: plays looked at; listeners return to tracks of long ago.
    overlap: plays a training window repeats from the one before it, so that no target lacks a past.
    reach: "history", the encoder looks at the whole window; "session", at the session of the latest play alone.
    loss: "softmax", cross-entropy over sampled candidates with log-Q correction, exact where the catalogue is no larger
    than ``negatives``; "gbce" with its calibration ``gbce_t`` (Petrov & Macdonald 2023), 0 plain and 1 softmax-like.
    negatives, negative_power: as in :class:`models.recommend.examples.NegativeSampler`.
    explore_weight: share of a loss in which the softmax over the catalogue answers alone; without it, it would learn
    only from what neither copying nor counting explains.
    copy_heads: ways of copying from the history; 0 leaves it out. successors: followers kept of each track in the
    counted tables, 0 leaves them out. lags: latest plays whose followers are looked at.
    ties: whether candidates are scored by what ties them to the latest play and the history, too (``ties.TIES``).
    folds: groups of listeners; in training a listener's followers are counted on the other groups, for the counts of
    a group know its answers.
    memory: whether closed sessions are remembered in a long-term vector; memory_decay: share kept at each session end;
    slow_memory_decay: the same of a second average beside it, which forgets more slowly, 0 for none.
    session_gap_minutes: a longer pause ends a session. session_plays: its length where times are unknown.
    clock: whether times are an input, where the data have true ones. moment_dropout: share of moments hidden in
    training, for a request need not say when it is.
    batch_size: windows a step. epochs: at dropout 0.3 NDCG@10 of the tail fell from .330 after three passes to .318
    after nine, while the loss went on falling: embeddings learn the plays by heart and the gate then trusts them.
    dropout: of inputs and layers, high for the same reason; track_dropout: share of a batch's tracks known by artist
    and album only, so that the model learns what to make of rare ones.
    """

    dim: int = 64
    history: int = 200
    overlap: int = 50
    reach: str = "history"
    loss: str = "softmax"
    gbce_t: float = 0.75
    negatives: int = 2048
    negative_power: float = 0.5
    explore_weight: float = 0.2
    copy_heads: int = 3
    successors: int = 64
    lags: int = 4
    ties: bool = True
    folds: int = 4
    memory: bool = True
    memory_decay: float = 0.7
    slow_memory_decay: float = 0.0
    session_gap_minutes: float = 30.0
    session_plays: int = 20
    clock: bool = True
    moment_dropout: float = 0.1
    batch_size: int = 32
    epochs: int = 4
    learning_rate: float = 3e-3
    dropout: float = 0.5
    track_dropout: float = 0.3
    init_scale: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        name = type(self).__name__
        at_least(1, self, "dim", "history", "negatives", "batch_size", "epochs", "session_plays", "lags")
        at_least(0, self, "overlap", "copy_heads", "successors")
        at_least(2, self, "folds")
        for field in ("dropout", "track_dropout", "moment_dropout", "memory_decay", "slow_memory_decay"):
            if not 0 <= getattr(self, field) < 1:
                raise ValueError(f"{name}.{field}: {getattr(self, field)} must lie in [0, 1)")
        for field in ("explore_weight", "gbce_t"):
            if not 0 <= getattr(self, field) <= 1:
                raise ValueError(f"{name}.{field}: {getattr(self, field)} must lie in [0, 1]")
        for field in ("learning_rate", "session_gap_minutes", "init_scale"):
            if not getattr(self, field) > 0:
                raise ValueError(f"{name}.{field}: {getattr(self, field)} must be above 0")
        for field, known in (("loss", LOSSES), ("reach", REACHES)):
            if getattr(self, field) not in known:
                raise ValueError(f"{name}.{field}: {getattr(self, field)!r} is none of {', '.join(known)}")
        if self.overlap >= self.history:
            raise ValueError(f"{name}.overlap: {self.overlap} must be below history, {self.history}")

    @property
    def decays(self) -> tuple[float, ...]:
        """Of each average that the memory is made of."""
        return (self.memory_decay, self.slow_memory_decay) if self.slow_memory_decay else (self.memory_decay,)

    @property
    def memory_dim(self) -> int:
        """Width of the memory: the averages side by side."""
        return self.dim * len(self.decays)

    def params(self) -> dict[str, object]:
        """As logged with a run."""
        return asdict(self)


@dataclass(frozen=True)
class GRU4RecConfig(SequenceConfig):
    """layers: stacked recurrences; one, as in GRU4Rec, more have not been compared."""

    layers: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.layers < 1:
            raise ValueError(f"GRU4RecConfig.layers: {self.layers} must be at least 1")


@dataclass(frozen=True)
class SessionConfig(GRU4RecConfig):
    """slow_memory_decay: on a simulated world that no figure of the documents is from, NDCG@10 of the first play of a
    session was .222 with one average at 0.7, .229 with one at 0.9 and .230 with both 0.7 and 0.97 (998 plays: the last
    two are not told apart)."""

    slow_memory_decay: float = 0.97


@dataclass(frozen=True)
class TransformerConfig(SequenceConfig):
    """layers, heads: two small blocks, as in SASRec; other sizes have not been compared."""

    layers: int = 2
    heads: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("layers", "heads"):
            if getattr(self, field) < 1:
                raise ValueError(f"TransformerConfig.{field}: {getattr(self, field)} must be at least 1")
        if self.dim % self.heads:
            raise ValueError(f"TransformerConfig.dim: {self.dim} must be a multiple of heads, {self.heads}")
