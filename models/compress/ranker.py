"""The second stage's ranker in smaller forms: LambdaMART by its student, the contextual network as it is.

Trees have no int8 and no weights to prune: their student has (:mod:`models.recommend.two_stage.student`). What is
compared is what a model server would run for one moment: all candidates with their features in, scores out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import tensorflow as tf

from models.compress.comparison import Comparison, Judged, measure
from models.compress.forms import Form, lite_versions, saved_version
from models.compress.latency import ROUNDS, latencies
from models.compress.litert import KINDS
from models.compress.pruning import MagnitudePruning, PruningConfig
from models.recommend.two_stage.context_features import ContextFeatures
from models.recommend.two_stage.examples import RankingExamples
from models.recommend.two_stage.groundwork import Part
from models.recommend.two_stage.rankers import TreeRanker
from models.recommend.two_stage.student import Ramps, RowNetwork, StudentRanker
from models.recommend.two_stage.student_config import StudentConfig
from models.recommend.two_stage.student_training import Distillation, SoftMoments
from models.recommend.two_stage.trees import Trees

ROWS = "rows"
CALIBRATION = 64
"""Moments of the representative data set."""


@dataclass(frozen=True)
class RankerCompression:
    """student: the network that learns from the trees; small: widths of the smaller one; pruning: of the student.
    kinds: LiteRT files made of each."""

    student: StudentConfig = field(default_factory=StudentConfig)
    small: tuple[int, ...] = (32, 16)
    kinds: tuple[str, ...] = KINDS
    pruning: PruningConfig = field(default_factory=PruningConfig)
    rounds: int = ROUNDS


def judged_rows(examples: RankingExamples, extra: ContextFeatures) -> Judged:
    """Held-out moments as rows of all features: memory about 4 Q C F bytes. extra: of the plays before them."""
    rows = []
    for start in range(0, len(examples), 64):
        part = examples[start : start + 64]
        context = tf.constant(part.context.astype(np.int32))
        columns = extra(tf.constant(part.candidates, tf.int32), context).numpy()
        rows.append(np.concatenate([part.features.astype(np.float32), columns], -1))
    return Judged({ROWS: np.concatenate(rows)}, examples.relevant, examples.candidates >= 0, examples.users)


def compress_ranker(
    ranker: TreeRanker,
    parts: Sequence[Part],
    judged: Judged,
    folder: Path,
    config: RankerCompression | None = None,
    progress=None,
) -> tuple[Comparison, Mapping[str, RowNetwork]]:
    """Versions of the trees of one task in ``folder``, judged at held-out moments; and their students by name.

    parts: the examples that the trees learned from, which teach the students and say the ranges of int8.
    """
    config, folder = config or RankerCompression(), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    shape = judged.inputs[ROWS].shape[1:]
    students = distilled_students(ranker, parts, config, progress)
    calibration = calibration_rows(parts, shape[0], config.student.seed)
    reference = Form("trees", walked(ranker.trees), [tf.TensorSpec(shape, tf.float32, ROWS)])
    versions = [saved_version(reference, "trees", judged, folder, "LambdaMART, SavedModel in float32")]
    notes = {
        "student": f"distilled, layers {config.student.hidden}",
        "small student": f"distilled, layers {config.small}",
        "pruned student": f"distilled, {config.pruning.final:.0%} of the weights pruned",
    }
    for name, network in students.items():
        form = replace(reference, name=name, module=network)
        if name == "student":
            versions.append(saved_version(form, "trees", judged, folder, notes[name] + ", SavedModel in float32"))
        versions += lite_versions(form, "trees", judged, folder, config.kinds, calibration, notes[name])
    middle = judged.moment(len(judged) // 2)
    taken = latencies({v.name: v.path for v in versions}, middle, folder, config.rounds)
    return measure(versions, judged, taken, "LambdaMART"), students


def distilled_students(
    ranker: TreeRanker, parts: Sequence[Part], config: RankerCompression, progress=None
) -> dict[str, RowNetwork]:
    """name -> network: "student", "small student" and "pruned student"."""
    settings, rng = config.student, np.random.default_rng(config.student.seed)
    moments = SoftMoments(tf.function(ranker.trees, reduce_retracing=True), parts, settings.moments, rng)
    ramps = Ramps.of_trees(ranker.trees, moments.sample(rng), settings.bins)
    out = {}
    for name, hidden in (("student", settings.hidden), ("small student", config.small)):
        out[name] = RowNetwork(ramps, hidden, settings.seed)
        learn(out[name], moments, settings, progress=told(progress, name))
    out["pruned student"] = RowNetwork(ramps, settings.hidden, settings.seed)
    for mine, learned in zip(out["pruned student"].variables, out["student"].variables, strict=True):
        mine.assign(learned)
    prune(out["pruned student"], moments, settings, config.pruning, told(progress, "pruned student"))
    return out


def learn(network: RowNetwork, moments: SoftMoments, config: StudentConfig, after=None, progress=None) -> None:
    """``config.epochs`` passes of distillation over the moments."""
    rng = np.random.default_rng(config.seed)
    learning = Distillation(network, config, config.epochs * moments.steps(config.batch_size), after)
    for epoch in range(1, config.epochs + 1):
        loss = learning.epoch(moments, rng)
        if progress is not None:
            progress({"epoch": epoch, "loss": loss})


def prune(network: RowNetwork, moments: SoftMoments, config: StudentConfig, how: PruningConfig, progress=None) -> None:
    """Zeroes that grow by the schedule while the network goes on learning from its teacher."""
    tuned = replace(config, epochs=how.epochs, learning_rate=config.learning_rate * how.learning_rate)
    matrices = [weights for weights, _ in network.layers[:-1]]
    mask = MagnitudePruning(matrices, how.epochs * moments.steps(config.batch_size), how)
    learn(network, moments, tuned, mask.after, progress)


def walked(trees: Trees) -> Trees:
    """The trees without what only their Shapley values need: a model that scores and nothing else."""
    arrays = {name: value.numpy() for name, value in trees.arrays.items() if not name.startswith("path")}
    return Trees({**arrays, "depth": np.int32(trees.depth)}, float(trees.base))


def calibration_rows(parts: Sequence[Part], candidates: int, seed: int = 0) -> list[dict[str, np.ndarray]]:
    """The representative data set: rows float32 [candidates, F] put together from training moments."""
    rng, found = np.random.default_rng(seed), []
    for examples, extra in parts:
        some = np.sort(rng.choice(len(examples), min(len(examples), CALIBRATION * 8), replace=False))
        judged = judged_rows(examples[some], extra)
        found.append(judged.inputs[ROWS][judged.there])
    rows = np.concatenate(found)
    drawn = rng.integers(0, len(rows), (CALIBRATION, candidates))
    return [{ROWS: rows[row]} for row in drawn]


def student_of(ranker: TreeRanker, network: RowNetwork) -> StudentRanker:
    """A network of :func:`distilled_students` in the place of the trees."""
    return StudentRanker(network, ranker.extra)


def told(progress, name: str):
    """``progress`` with the version's name added."""
    return None if progress is None else lambda values: progress({"version": name, **values})
