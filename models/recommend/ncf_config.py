"""Settings of neural collaborative filtering, with the reason for each default."""

from __future__ import annotations

from dataclasses import dataclass, replace

from models.limits import at_least
from models.recommend.space import Choice, Real, Space, Whole

KINDS, USERS, LOSSES = ("gmf", "mlp", "neumf"), ("history", "id"), ("bce", "softmax")


@dataclass(frozen=True)
class NcfConfig:
    """kind: "gmf", "mlp" or "neumf", the sum of both with tables of their own.
    user: "history", the listener is their latest plays; "id", an embedding each, as in the paper.
    dim: width of the embeddings of each branch. layers: units after the concatenated pair, the last being the
    predictive factors.
    history: latest plays looked at; half_life: plays after which one counts half, at the start ("history", learned from
    there) or for folding in ("id").
    window, window_decay: the positive of an example is one of the next ``window`` plays, each less likely by the decay.
    repeats: whether a play of a track known to the listener is a positive too; no user's own track is ever a negative.
    loss: "bce", the paper's: log loss against ``negatives`` tracks per positive drawn evenly from what the listener
    never played; "softmax": cross-entropy against ``candidates`` tracks shared by a batch, drawn by
    plays^negative_power and corrected for that (log-Q).
    l2: weight of the squared norms of the rows a batch touches, per example.
    """

    kind: str = "neumf"
    user: str = "history"
    dim: int = 64
    layers: tuple[int, ...] = (64, 32)
    history: int = 30
    half_life: float = 3.0
    window: int = 5
    window_decay: float = 0.7
    repeats: bool = True
    loss: str = "bce"
    negatives: int = 4
    candidates: int = 512
    negative_power: float = 0.5
    batch_size: int = 1024
    epochs: int = 10
    learning_rate: float = 2e-3
    l2: float = 1e-6
    init_scale: float = 0.05
    min_steps: int = 400
    seed: int = 0

    def __post_init__(self) -> None:
        for name, values in (("kind", KINDS), ("user", USERS), ("loss", LOSSES)):
            if getattr(self, name) not in values:
                raise ValueError(f"NcfConfig.{name}: {getattr(self, name)!r}; use one of {', '.join(values)}")
        at_least(1, self, "dim", "history", "window", "negatives", "candidates", "batch_size", "epochs")
        if not self.layers:
            raise ValueError("NcfConfig.layers: () must name at least one layer")


# Chosen on the validation tail of real listening (28 k tracks, 3 k users, 1,000 of them sampled); few settings tried,
# as a fit takes minutes. What mattered: the softmax (GMF of 5 epochs: next NDCG@10 .153 and discover .109, where the
# paper's loss gave .101 and .065), then smaller batches and twice the width (.177 and .119).
# NeuMF with the softmax, tried once, gave the same listeners .146 and .105 in as much time: the dot product is ahead.
# MLP has NeuMF's settings and was not judged on these data.
GMF = NcfConfig(
    kind="gmf", dim=128, half_life=2.0, window=10, loss="softmax", candidates=1024, batch_size=256, epochs=4,
    learning_rate=3e-3,
)  # fmt: skip
NEUMF = NcfConfig(
    half_life=2.0, window=10, loss="softmax", candidates=256, batch_size=512, epochs=4, learning_rate=3e-3
)
MLP = replace(NEUMF, kind="mlp")
NCF_SPACE: Space = {
    "loss": Choice(LOSSES),
    "dim": Choice((32, 64, 128)),
    "learning_rate": Real(5e-4, 1e-2, log=True),
    "epochs": Whole(3, 20, log=True),
    "window": Whole(1, 20, log=True),
    "half_life": Real(0.5, 20.0, log=True),
    "l2": Real(1e-7, 1e-3, log=True),
    "repeats": Choice((True, False)),
}
