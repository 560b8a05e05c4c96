"""The contextual network in smaller forms: int8, pruned, and a narrower student of the same kind.

What is asked is one moment: the latest plays, all candidates with their features, context and profile. Student and
pruned network learn from the scores of the network itself at training moments.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import tensorflow as tf

from models.compress.comparison import Comparison, Judged, measure
from models.compress.forms import Form, lite_versions, saved_version
from models.compress.latency import ROUNDS, latencies
from models.compress.litert import KINDS
from models.compress.pruning import MagnitudePruning, PruningConfig
from models.compress.sequence import NARROW, told
from models.compress.teaching import TeachingConfig, teach
from models.context import Categories
from models.data import Catalogue
from models.recommend.two_stage.contextual import ContextualRanker
from models.recommend.two_stage.contextual_parts import Pieces
from models.recommend.two_stage.contextual_trainer import make
from models.recommend.two_stage.examples import RankingExamples

INPUTS = ("history", "candidates", "features", "context", "profile")
CALIBRATION = 64


@dataclass(frozen=True)
class NetworkCompression:
    """dim, hidden, bins: of the student."""

    dim: int = 12
    hidden: tuple[int, ...] = (48, 24)
    bins: int = 4
    epochs: int = 8
    batch_size: int = 64
    learning_rate: float = 3e-3
    temperature: float = 1.0
    level: float = 0.1
    pruning: PruningConfig = field(default_factory=PruningConfig)
    kinds: tuple[str, ...] = KINDS
    rounds: int = ROUNDS
    seed: int = 0


class PortablePieces(tf.Module):
    """The same encoding in operations that LiteRT has: asinh(x) = sign(x) log(|x| + sqrt(x² + 1))."""

    def __init__(self, pieces: Pieces):
        super().__init__(name="portable_pieces")
        self._pieces, self.bins, self.centre = pieces, pieces.bins, pieces.centre
        self.slope = tf.Variable(1.0 / pieces.width.numpy(), trainable=False, name="slope")

    def __call__(self, features: tf.Tensor) -> tf.Tensor:
        pieces = self._pieces
        x = (features - pieces.centre) / pieces.spread
        smooth = tf.sign(x) * tf.math.log(tf.abs(x) + tf.sqrt(x * x + 1.0))
        through = tf.clip_by_value((features[..., None] - pieces.low) * self.slope, 0.0, 1.0)
        flat = tf.reshape(through, tf.concat([tf.shape(features)[:-1], [pieces.low.shape[0] * self.bins]], 0))
        return tf.concat([smooth, flat], -1)


def portable(network: ContextualRanker) -> ContextualRanker:
    """The same network, of the same variables, as LiteRT can have it."""
    out = copy.copy(network)
    object.__setattr__(out, "pieces", PortablePieces(network.pieces))
    return out


def judged_moments(examples: RankingExamples, plays: int) -> Judged:
    """Held-out moments as the network is asked; ``plays`` of the history that it attends to."""
    inputs = {name: array[:, None] for name, array in zip(INPUTS, asked(examples, plays), strict=True)}
    return Judged(inputs, examples.relevant, examples.candidates >= 0, examples.users)


def asked(examples: RankingExamples, plays: int) -> tuple[np.ndarray, ...]:
    """Arguments of the network, by ``INPUTS``."""
    codes = (examples.context.astype(np.int32), examples.profile.astype(np.int32))
    return examples.history[:, :plays], examples.candidates, examples.features.astype(np.float32), *codes


def compress_network(
    network: ContextualRanker,
    learned: RankingExamples,
    catalogue: Catalogue,
    fields: tuple[Categories, Categories],
    examples: RankingExamples,
    folder: Path,
    config: NetworkCompression | None = None,
    progress=None,
) -> tuple[Comparison, dict[str, ContextualRanker]]:
    """Versions of a trained network in ``folder``, judged at held-out ``examples``; the student and the pruned one by
    name. learned: training moments; fields: of context and profile, as it was trained with."""
    config, folder = config or NetworkCompression(), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    plays = network.config.history
    small = replace(network.config, dim=config.dim, hidden=config.hidden, bins=config.bins, seed=config.seed)
    nothing = np.zeros(len(catalogue), np.int64)
    smaller = {"student": make(learned, catalogue, nothing, *fields, small),
               "pruned": make(learned, catalogue, nothing, *fields, network.config)}  # fmt: skip
    for mine, theirs in zip(smaller["pruned"].variables, network.variables, strict=True):
        mine.assign(theirs)
    learn(smaller["student"], network, learned, config, progress=told(progress, "student"))
    prune(smaller["pruned"], network, learned, config, told(progress, "pruned"))
    judged = judged_moments(examples, plays)
    calibration = calibration_moments(learned, judged, plays, config.seed)
    shapes = {name: judged.inputs[name].shape[1:] for name in INPUTS}
    specs = [tf.TensorSpec(shapes[n], tf.float32 if n == "features" else tf.int32, n) for n in INPUTS]
    form = Form("network", network, specs)
    versions = [saved_version(form, "network", judged, folder, "SavedModel in float32")]
    notes = {"network": "as trained", "student": f"distilled, width {config.dim}, layers {config.hidden}",
             "pruned": f"{config.pruning.final:.0%} of the weights pruned"}  # fmt: skip
    for name, module in {"network": network, **smaller}.items():
        other = replace(form, name=name, module=portable(module))
        versions += lite_versions(other, "network", judged, folder, config.kinds, calibration, notes[name])
    middle = judged.moment(len(judged) // 2)
    taken = latencies({v.name: v.path for v in versions}, middle, folder, config.rounds)
    return measure(versions, judged, taken, "the contextual network"), smaller


def learn(student, teacher, learned: RankingExamples, config: NetworkCompression, after=None, progress=None) -> None:
    """``config.epochs`` passes over training moments."""
    rng, plays = np.random.default_rng(config.seed), teacher.config.history

    def batches():
        order = rng.permutation(len(learned))
        for start in range(0, len(order), config.batch_size):
            yield asked(learned[order[start : start + config.batch_size]], plays)

    teach(
        student, teacher, lambda history, candidates, *rest: candidates >= 0, student.trained, teacher.signature(),
        batches, steps_of(learned, config),
        TeachingConfig(config.epochs, config.learning_rate, config.temperature, config.level), after, progress,
    )  # fmt: skip


def prune(student, teacher, learned: RankingExamples, config: NetworkCompression, progress=None) -> None:
    """Zeroes that grow by the schedule in every matrix, while the rest learns to do without."""
    how = config.pruning
    tuned = replace(config, epochs=how.epochs, learning_rate=config.learning_rate * how.learning_rate)
    matrices = [v for v in student.trained if len(v.shape) == 2 and min(v.shape) >= NARROW]
    mask = MagnitudePruning(matrices, how.epochs * steps_of(learned, config), how)
    learn(student, teacher, learned, tuned, mask.after, progress)


def steps_of(learned: RankingExamples, config: NetworkCompression) -> int:
    """Batches of one pass."""
    return -(-len(learned) // config.batch_size)


def calibration_moments(learned: RankingExamples, judged: Judged, plays: int, seed: int) -> list[dict[str, np.ndarray]]:
    """The representative data set: training moments, their candidates repeated until there are as many as are asked."""
    rng = np.random.default_rng(seed)
    wanted = judged.inputs["candidates"].shape[-1]
    some = learned[np.sort(rng.choice(len(learned), min(CALIBRATION, len(learned)), replace=False))]
    again = np.arange(wanted) % some.candidates.shape[1]
    arrays = dict(zip(INPUTS, asked(some, plays), strict=True))
    for name in ("candidates", "features"):
        arrays[name] = arrays[name][:, again]
    return [{name: array[row][None] for name, array in arrays.items()} for row in range(len(some))]
