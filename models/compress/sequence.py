"""The sequential model in smaller forms: int8, pruned, and a narrower student of the same kind.

Student and pruned model learn from the model itself: at moments of training plays, the distribution over the whole
catalogue that it gives is the soft target,

    loss = T² KL(softmax(log p_teacher / T) || softmax(log p_student / T)),

so that neither labels nor samples of negatives are needed (Hinton et al. 2015).
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
from models.compress.teaching import TeachingConfig, teach
from models.data import UNKNOWN, ListeningData
from models.evaluation.split import HoldOut
from models.limits import at_least
from models.recommend.sequence.config import SequenceConfig
from models.recommend.sequence.followers import FollowerTables
from models.recommend.sequence.network import Network
from models.recommend.sequence.scorer import SequenceScorer
from models.recommend.two_stage.moments import histories, next_moments

HISTORY = "history"
CALIBRATION = 64
NARROW = 8
"""Matrices with a side below this are left alone when the others are pruned: there is little to gain."""


@dataclass(frozen=True)
class SequenceCompression:
    """width: of the student, as a share of the teacher's; successors: followers of each track that it keeps. moments:
    of training plays that are learned from; epochs: passes over them. history: plays that are looked at, at most those
    of the teacher."""

    width: float = 0.5
    successors: int = 16
    moments: int = 4000
    epochs: int = 4
    batch_size: int = 32
    learning_rate: float = 3e-3
    temperature: float = 1.0
    history: int = 200
    users: int = 1000
    pruning: PruningConfig = field(default_factory=lambda: PruningConfig(epochs=2))
    kinds: tuple[str, ...] = KINDS
    rounds: int = ROUNDS
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.width <= 1:
            raise ValueError(f"SequenceCompression.width: {self.width} must lie in (0, 1]")
        at_least(1, self, "successors", "moments", "epochs", "batch_size", "history", "users")


def judged_histories(hold_out: HoldOut, length: int) -> Judged:
    """The very next play of each listener, of the whole catalogue: memory 2 U I bytes."""
    asked = np.full((len(hold_out), 1, length), UNKNOWN, np.int32)
    relevant = np.zeros((len(hold_out), len(hold_out.catalogue)), bool)
    for row, (plays, truth) in enumerate(zip(hold_out.histories, hold_out.truths, strict=True)):
        latest = plays[::-1][:length]
        asked[row, 0, : len(latest)] = latest
        relevant[row, truth[0]] = True
    return Judged({HISTORY: asked}, relevant, np.ones_like(relevant), hold_out.users)


def compress_sequence(
    scorer: SequenceScorer,
    data: ListeningData,
    hold_out: HoldOut,
    folder: Path,
    config: SequenceCompression | None = None,
    progress=None,
) -> tuple[Comparison, dict[str, SequenceScorer]]:
    """Versions of a trained model in ``folder``, judged on the hold-out; and the student and the pruned one by name.

    data: the training part, in the catalogue's order that the scorer has.
    """
    config, folder = config or SequenceCompression(), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    length = min(config.history, scorer.network.config.history)
    name = "transformer" if hasattr(scorer.network.config, "heads") else "gru4rec"
    asked = training_histories(data, config, length)
    smaller = {"student": student_of(scorer, config), "pruned": copied(scorer)}
    learn(smaller["student"], scorer, asked, config, progress=told(progress, "student"))
    prune(smaller["pruned"], scorer, asked, config, told(progress, "pruned"))
    judged = judged_histories(hold_out.sample(config.users, config.seed), length)
    calibration = [{HISTORY: row[None]} for row in asked[:CALIBRATION]]
    form = Form(name, scorer, [tf.TensorSpec([1, length], tf.int32, HISTORY)])
    versions = [saved_version(form, name, judged, folder, "SavedModel in float32")]
    notes = {
        name: "as trained",
        "student": f"distilled, width {smaller['student'].network.config.dim}",
        "pruned": f"{config.pruning.final:.0%} of the weights pruned",
    }
    for each, module in {name: scorer, **smaller}.items():
        other = replace(form, name=each, module=module)
        versions += lite_versions(other, name, judged, folder, config.kinds, calibration, notes[each])
    middle = judged.moment(len(judged) // 2)
    taken = latencies({v.name: v.path for v in versions}, middle, folder, config.rounds)
    return measure(versions, judged, taken, name), smaller


def training_histories(data: ListeningData, config: SequenceCompression, length: int) -> np.ndarray:
    """int32 [N, length]: what was played before drawn plays of the training part, newest first."""
    rng = np.random.default_rng(config.seed)
    return histories(data, next_moments(data, 0.0, 1.0, config.moments, rng), length)


def student_of(scorer: SequenceScorer, config: SequenceCompression) -> SequenceScorer:
    """A narrower model of the same kind before its first step: its items are the main directions of its teacher's."""
    dim = narrowed(scorer.network.config, config.width)
    settings = replace(scorer.network.config, dim=dim)
    tables = None if scorer.tables is None else strongest(scorer.tables, config.successors)
    rows = scorer.rows.numpy()
    _, _, directions = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    small = Network(settings, scorer.network.clock)
    return SequenceScorer(
        small, rows @ directions[:dim].T, scorer.bias.numpy(), scorer.artists.numpy(), scorer.albums.numpy(), tables
    )


def narrowed(config: SequenceConfig, share: float) -> int:
    """A share of the width that the heads of attention divide."""
    heads = getattr(config, "heads", 1)
    return max(heads, int(round(config.dim * share / heads)) * heads)


def strongest(tables: FollowerTables, n: int) -> FollowerTables:
    """The ``n`` strongest followers of each track."""
    return FollowerTables(tables.tracks.numpy()[..., :n], np.exp(tables.logs.numpy()[..., :n]))


def copied(scorer: SequenceScorer) -> SequenceScorer:
    """The same model with variables of its own; the counted tables are shared."""
    network = Network(scorer.network.config, scorer.network.clock)
    for mine, learned in zip(network.trainable_variables, scorer.network.trainable_variables, strict=True):
        mine.assign(learned)
    arrays = (part.numpy() for part in (scorer.rows, scorer.bias, scorer.artists, scorer.albums))
    return SequenceScorer(network, *arrays, scorer.tables)


def learn(student, teacher, asked: np.ndarray, config: SequenceCompression, after=None, progress=None) -> None:
    """``config.epochs`` passes over histories int32 [N, L]. ``after``: called with the number of steps done."""
    rng, size = np.random.default_rng(config.seed), config.batch_size

    def batches():
        order = rng.permutation(len(asked))
        return ((asked[order[start : start + size]],) for start in range(0, len(order), size))

    teach(
        student, teacher, lambda history: tf.ones([tf.shape(history)[0], tf.shape(teacher.bias)[0]], tf.bool),
        [*student.network.trainable_variables, student.rows, student.bias], [tf.TensorSpec([None, None], tf.int32)],
        batches, steps_of(asked, config), TeachingConfig(config.epochs, config.learning_rate, config.temperature),
        after, progress,
    )  # fmt: skip


def prune(student, teacher, asked: np.ndarray, config: SequenceCompression, progress=None) -> None:
    """Zeroes that grow by the schedule in every matrix, the items' among them, while the rest learns to do without."""
    how = config.pruning
    tuned = replace(config, epochs=how.epochs, learning_rate=config.learning_rate * how.learning_rate)
    matrices = [v for v in student.network.trainable_variables if len(v.shape) == 2 and min(v.shape) >= NARROW]
    mask = MagnitudePruning([*matrices, student.rows], how.epochs * steps_of(asked, config), how)
    learn(student, teacher, asked, tuned, mask.after, progress)


def steps_of(asked: np.ndarray, config: SequenceCompression) -> int:
    """Batches of one pass."""
    return -(-len(asked) // config.batch_size)


def told(progress, name: str):
    """``progress`` with the version's name added."""
    return None if progress is None else lambda values: progress({"version": name, **values})


def with_rows(scorer: SequenceScorer, rows: tf.Tensor, bias: tf.Tensor) -> SequenceScorer:
    """The same model over items that are given as tensors, float32 [N, D] and [N]."""
    out = copy.copy(scorer)
    object.__setattr__(out, "rows", rows)
    object.__setattr__(out, "bias", bias)
    return out
