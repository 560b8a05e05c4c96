"""Magnitude pruning with a gradual schedule (Zhu & Gupta 2017, "To prune, or not to prune").

From ``begin`` to ``end`` of the steps the share of weights that are 0 rises as

    s(t) = final * (1 - (1 - t)³),    t from 0 to 1,

fast while much is redundant and slowly where little is; the steps after ``end`` let the others make up for it.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf


@dataclass(frozen=True)
class PruningConfig:
    """final: share of the weights of each matrix that are 0 at the end. begin, end: shares of the steps. every: steps
    between two masks. epochs: of fine-tuning; learning_rate: of it, as a share of the training's."""

    final: float = 0.7
    begin: float = 0.0
    end: float = 0.7
    every: int = 10
    epochs: int = 5
    learning_rate: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.final < 1:
            raise ValueError(f"PruningConfig.final: {self.final} must lie in [0, 1)")
        if not 0 <= self.begin < self.end <= 1:
            raise ValueError(f"PruningConfig.begin, end: {self.begin}, {self.end} must be shares, the first below")
        if self.every < 1 or self.epochs < 1:
            raise ValueError(f"PruningConfig.every, epochs: {self.every}, {self.epochs} must be at least 1")

    def sparsity(self, share: float) -> float:
        """The share of 0s after this share of the steps."""
        through = min(1.0, max(0.0, (share - self.begin) / (self.end - self.begin)))
        return self.final * (1.0 - (1.0 - through) ** 3)


class MagnitudePruning:
    """Sets the smallest weights of each matrix to 0 and keeps them there; call ``after`` when a step is done."""

    def __init__(self, weights: Sequence[tf.Variable], steps: int, config: PruningConfig):
        self.weights, self.config, self.steps = list(weights), config, max(1, steps)
        self.masks = [tf.Variable(tf.ones_like(w), trainable=False) for w in self.weights]
        self._put_on = tf.function(self._applied)

    def after(self, done: int) -> None:
        """``done``: steps done, from 1."""
        if done % self.config.every == 0 or done >= self.steps:
            self.mask(self.config.sparsity(done / self.steps))
        self._put_on()

    def mask(self, share: float) -> None:
        """Masks that leave out ``share`` of each matrix: what was left out stays out, for it is 0."""
        for weight, mask in zip(self.weights, self.masks, strict=True):
            size = np.abs(weight.numpy()).ravel()
            n = int(round(share * len(size)))
            kept = np.ones(len(size), np.float32)
            kept[np.argpartition(size, n - 1)[:n] if n else []] = 0.0
            mask.assign(kept.reshape(weight.shape))

    def _applied(self) -> None:
        for weight, mask in zip(self.weights, self.masks, strict=True):
            weight.assign(weight * mask)

    @property
    def sparsity(self) -> float:
        """The share of 0s now, of all matrices together."""
        zero = sum(int(np.sum(w.numpy() == 0)) for w in self.weights)
        return zero / sum(int(np.prod(w.shape)) for w in self.weights)


def stored_bytes(path: Path) -> int:
    """Bytes of a file, or of all files of a folder."""
    return sum(len(content) for content in _contents(path))


def gzip_bytes(path: Path) -> int:
    """The same after gzip, file by file: what a download takes, and where zeros pay."""
    return sum(len(gzip.compress(content, 9, mtime=0)) for content in _contents(path))


def _contents(path: Path) -> list[bytes]:
    path = Path(path)
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return [file.read_bytes() for file in files]
