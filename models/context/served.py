"""Texts of a moment (:mod:`models.context.wire`) as codes, inside a TensorFlow graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from models.context.fields import BANDS, UNKNOWN, Categories
from models.context.wire import KEYS, MOMENT


class MomentCodes(tf.Module):
    """string [B, M], "" for nothing, to int32 [B, ``MOMENT``]: codes by ``KEYS``, -1 where nothing is said.

    What training never named, or no field of ours, is ignored. Of fields in bands (a temperature) a number is put into
    its band here; the name of a band is known, too.
    """

    def __init__(self, context: Categories, profile: Categories, folder: Path):
        """folder: where the table is written, as an asset of the SavedModel."""
        super().__init__(name="moment")
        fields = [(categories, name) for categories in (context, profile) for name in categories.fields]
        lines, column, code = [], [], []
        self._banded = []
        for at, (key, (categories, name)) in enumerate(zip(KEYS, fields, strict=True)):
            if name in BANDS and not BANDS[name].whole:
                self._banded.append((at, key, BANDS[name]))
            for number, word in enumerate(categories.names[name]):
                if "\n" not in word and "\r" not in word:  # could not be told from two words in the table
                    lines.append(f"{key}={word}")
                    column.append(at)
                    code.append(number)
        path = folder / "moment.txt"
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
        whole, line = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
        start = tf.lookup.TextFileInitializer(str(path), tf.string, whole, tf.int64, line)
        self._table = tf.lookup.StaticHashTable(start, len(lines))  # the last row is "not known"
        self._column = tf.Variable(np.asarray([*column, MOMENT], np.int32), trainable=False, name="column")
        self._code = tf.Variable(np.asarray([*code, UNKNOWN], np.int32), trainable=False, name="code")

    def __call__(self, words: tf.Tensor) -> tf.Tensor:
        row = self._table.lookup(words)
        there = tf.one_hot(tf.gather(self._column, row), MOMENT, dtype=tf.int32)
        codes = tf.reduce_max(there * (tf.gather(self._code, row)[..., None] + 1), 1)
        codes = tf.maximum(codes, 0) + UNKNOWN  # (the largest of nothing is far below)
        for at, key, bands in self._banded:
            there = tf.one_hot(at, MOMENT, dtype=tf.int32)
            codes = tf.maximum(codes, (_band(words, key, bands)[:, None] + 1) * there + UNKNOWN)
        return codes


def _band(words: tf.Tensor, key: str, bands) -> tf.Tensor:
    """int32 [B]: the band of the number that one of the words gives for ``key``, -1 where none does."""
    told = tf.strings.regex_full_match(words, key + r"=-?[0-9]+(\.[0-9]+)?")
    value = tf.strings.to_number(tf.where(told, tf.strings.regex_replace(words, "^[a-z_]+=", ""), "0"))
    code = tf.raw_ops.Bucketize(input=value, boundaries=list(map(float, bands.starts)))
    inside = told & (value >= bands.low) & (value <= bands.high)
    return tf.maximum(tf.reduce_max(tf.where(inside, code, UNKNOWN), 1), UNKNOWN)
