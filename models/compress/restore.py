"""What can be compressed of a two-stage recommender that was exported: its trees, and its sequential model.

A SavedModel holds functions and variables, not the Python objects that made them; these are made again and the
variables read into them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from models.recommend.sequence.config import SequenceConfig
from models.recommend.sequence.followers import FollowerTables
from models.recommend.sequence.network import Network
from models.recommend.sequence.scorer import SequenceScorer
from models.recommend.two_stage.trees import Trees

_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
_SEQUENCE = "scorer/sequence/scorer/"


class NotThere(ValueError):
    """The export has no such part."""


def restored_trees(path: Path, task: str) -> Trees:
    """The trees of "next" or "discover"; raises NotThere where something else ranks."""
    values = _Variables(path)
    prefix = f"scorer/rankers/{task}/trees/"
    arrays = {name: values[f"{prefix}arrays/{name}"] for name in values.below(f"{prefix}arrays/")}
    if not arrays:
        raise NotThere(f"{path}: its {task} ranker is none of trees; give the version that LambdaMART ranks")
    return Trees({**arrays, "depth": np.int32(depth(arrays["root"], arrays["left"], arrays["right"]))},
                 float(values[f"{prefix}base"]))  # fmt: skip


def restored_sequence(path: Path, config: SequenceConfig) -> SequenceScorer:
    """The sequential model that stands beside the rankers, whose settings were ``config``; raises NotThere without one
    and ValueError where the settings are others."""
    values = _Variables(path)
    if f"{_SEQUENCE}rows" not in values:
        raise NotThere(f"{path}: has no sequential model; train with TwoStageConfig.sequence")
    rows, bias, artists, albums = (values[_SEQUENCE + name] for name in ("rows", "bias", "artists", "albums"))
    if rows.shape[1] != config.dim:
        raise ValueError(f"{path}: its items have {rows.shape[1]} dimensions, the settings say {config.dim}")
    tables = None
    if f"{_SEQUENCE}tables/tracks" in values:
        tables = FollowerTables(values[f"{_SEQUENCE}tables/tracks"], np.exp(values[f"{_SEQUENCE}tables/logs"]))
    network = Network(config, clock=f"{_SEQUENCE}network/gaps" in values)
    scorer = SequenceScorer(network, rows, bias, artists, albums, tables)
    holder = tf.train.Checkpoint(scorer=tf.train.Checkpoint(sequence=tf.train.Checkpoint(scorer=scorer)))
    holder.read(values.prefix).assert_existing_objects_matched().expect_partial()
    return scorer


def depth(root: np.ndarray, left: np.ndarray, right: np.ndarray) -> int:
    """Of the deepest tree; a leaf is its own child."""
    at, steps = root, 0
    while True:
        below = np.unique(np.concatenate([left[at], right[at]]))
        if np.array_equal(below, np.unique(at)):
            return steps
        at, steps = below, steps + 1


class _Variables:
    """Values by the path of attributes that leads to them."""

    def __init__(self, path: Path):
        self.prefix = str(Path(path) / "variables" / "variables")
        self._reader = tf.train.load_checkpoint(self.prefix)
        self._names = {name.removesuffix(_VALUE) for name in self._reader.get_variable_to_shape_map()}

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def __getitem__(self, name: str) -> np.ndarray:
        return self._reader.get_tensor(name + _VALUE)

    def below(self, prefix: str) -> list[str]:
        """Names right below a prefix."""
        return sorted(name.removeprefix(prefix) for name in self._names if name.startswith(prefix))
