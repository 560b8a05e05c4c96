"""Compression of the registered two-stage recommender: its trees and its sequential model, logged and registered.

What was trained is fetched and restored, nothing is trained again but students; the hold-out is that of the training.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from models.compress.comparison import Comparison
from models.data import ListeningData
from models.evaluation.split import split
from models.recommend.two_stage.config import TwoStageConfig
from models.registry import CHALLENGER, CHAMPION, EVALUATION, aliased_version, fetch, name_of, register_files
from models.tracking import connect, log_data_versions, log_files, version_tags
from models.vocabulary import tie_order

RANKER, SEQUENCE = "compressed-ranker", "compressed-sequence"
TEACHER = "two_stage"
FOLDER = "compressed"
CANDIDATES = 500
_DESCRIPTION = "The smallest form of a model that keeps its quality; made and judged by soundlake's compression."


class NothingToCompress(ValueError):
    """No version is there that this can compress."""


@dataclass(frozen=True)
class Store:
    """Where versions are: as of the settings."""

    tracking_uri: str
    experiment: str
    registered_name: str
    artifact_root: str | None = None

    def teacher(self, folder: Path) -> tuple[Path, int]:
        """The exported ``evaluation/`` of the two-stage recommender that trees rank, and its version."""
        name = name_of(self.registered_name, TEACHER)
        for alias in (CHAMPION, CHALLENGER):
            number = aliased_version(self.tracking_uri, name, alias)
            if number is not None:
                return fetch(self.tracking_uri, name, number, EVALUATION, folder), number
        raise NothingToCompress(f"no version of {name} is registered; train one: soundlake run --select candidate")


@dataclass(frozen=True)
class Compressed:
    """name, version: as registered; of: the version that was compressed."""

    name: str
    version: int
    of: int
    run_id: str
    comparison: Comparison
    table: str
    plot: bytes = field(repr=False)
    card: str = field(repr=False)


def compress_ranker_of(
    store: Store,
    data: ListeningData,
    config: TwoStageConfig,
    data_versions: Mapping[str, int],
    how=None,
    moments: int = 1500,
    users: int = 1000,
    progress=None,
) -> Compressed:
    """The trees of the next play; raises NothingToCompress. config: of the training; moments: a cut, that students
    learn from; users: of the hold-out, at most, that are asked; how: a
    :class:`models.compress.ranker.RankerCompression`."""
    from models.compress.heldout import held_out_moments
    from models.compress.ranker import compress_ranker, judged_rows
    from models.compress.restore import restored_trees
    from models.recommend.two_stage.groundwork import Groundwork, prepared
    from models.recommend.two_stage.rankers import TreeRanker

    config = replace(config.with_moments(moments), sequence=None)
    groundwork = Groundwork(config)
    train, hold_out = split(in_tie_order(data))
    with tempfile.TemporaryDirectory(prefix="soundlake-compress-") as folder:
        path, number = store.teacher(Path(folder) / "teacher")
        trees = restored_trees(path, "next")
        parts = groundwork.parts("next", train, _nothing)
        stage, extra, _ = prepared(train, config, _nothing)
        some = hold_out.sample(users)
        examples = held_out_moments(in_tie_order(data), train, some, stage, config, CANDIDATES)
        names = [*stage.features.names, *extra.names]
        _check_width(trees, len(names), path)
        judged, ranker = judged_rows(examples, extra), TreeRanker(trees, extra)
        found, _ = compress_ranker(ranker, parts, judged, Path(folder) / "made", how, progress)
        also = {"features.json": json.dumps(names).encode()}
        return _kept(store, RANKER, found, number, some.description, data_versions, also)


def compress_sequence_of(
    store: Store, data: ListeningData, config: TwoStageConfig, data_versions: Mapping[str, int], how=None, progress=None
) -> Compressed:
    """The sequential model beside the rankers; raises NothingToCompress. how: a
    :class:`models.compress.sequence.SequenceCompression`."""
    from models.compress.sequence import compress_sequence

    train, hold_out = split(in_tie_order(data))
    with tempfile.TemporaryDirectory(prefix="soundlake-compress-") as folder:
        path, number = store.teacher(Path(folder) / "teacher")
        scorer = sequence_of(path, config, train)
        found, _ = compress_sequence(scorer, train, hold_out, Path(folder) / "made", how, progress)
        return _kept(store, SEQUENCE, found, number, hold_out.description, data_versions, {})


def sequence_of(path: Path, config: TwoStageConfig, data: ListeningData):
    """The sequential model of an export over the catalogue of ``data``; raises NothingToCompress."""
    from models.compress.restore import NotThere, restored_sequence

    if config.sequence is None:
        raise NothingToCompress("the settings train no sequential model beside the rankers (TwoStageConfig.sequence)")
    try:
        scorer = restored_sequence(path, config.sequence)
    except NotThere as error:
        raise NothingToCompress(str(error)) from error
    if int(scorer.rows.shape[0]) != data.n_tracks:
        raise NothingToCompress(
            f"the model knows {scorer.rows.shape[0]:,} tracks, the lake has {data.n_tracks:,}: it has grown since. "
            "Train again: soundlake run --select candidate"
        )
    return scorer


def _nothing(**values: float) -> None:
    """Of what the counting says, nothing is told."""


def in_tie_order(data: ListeningData) -> ListeningData:
    """The order of the catalogue that exported models have."""
    return data.in_order(np.argsort(tie_order(data.catalogue.ids)))


def _check_width(trees, width: int, path: Path) -> None:
    asked = int(trees.arrays["feature"].numpy().max()) + 1
    if asked > width:
        raise NothingToCompress(
            f"{path}: its trees read {asked} features, this code and these plays make {width}. Train again: soundlake "
            "run --select candidate"
        )


def _kept(
    store: Store,
    what: str,
    found: Comparison,
    number: int,
    hold_out: str,
    data_versions: Mapping[str, int],
    extra: Mapping[str, bytes],
) -> Compressed:
    """Log the comparison and register the chosen version with its card."""
    import mlflow

    from models.compress import report

    name, choice = name_of(store.registered_name, what), found.choice
    table, plot, chosen = report.markdown(found), report.plot(found), found.chosen.version
    card = report.card(found, name, number, hold_out)
    experiment = connect(store.tracking_uri, store.experiment, store.artifact_root)
    tags = {"compressed_version": str(number), "chosen": choice.name}
    with mlflow.start_run(experiment_id=experiment, run_name=what, tags=tags) as run:
        log_data_versions(data_versions)
        mlflow.log_metrics(found.metrics())
        log_files({"table.md": table.encode(), "plot.png": plot}, "report")
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / chosen.path.name
            (shutil.copytree if chosen.path.is_dir() else shutil.copyfile)(chosen.path, target)
            mlflow.log_artifacts(folder, FOLDER)
        log_files({"model_card.md": card.encode(), **extra}, FOLDER)
        version = register_files(name, run.info.run_id, mlflow.get_artifact_uri(FOLDER), _DESCRIPTION,
                                 tags | {"gate.reason": choice.reason} | version_tags(data_versions))  # fmt: skip
    client = mlflow.MlflowClient()
    client.update_model_version(name, str(version), card[:5000])
    client.set_registered_model_alias(name, CHAMPION, str(version))
    return Compressed(name, version, number, run.info.run_id, found, table, plot, card)
