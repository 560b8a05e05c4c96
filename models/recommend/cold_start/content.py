"""What is known of a track before anybody plays it, as one matrix: sound, genre, subgenre and words of its names."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from models.data import UNKNOWN, Catalogue
from models.recommend.acoustic import acoustic_inputs
from models.rows import column

NAMES = ("title", "artist_id", "artist_name", "genre", "subgenre")


@dataclass(frozen=True)
class TrackNames:
    """Names of the tracks of a catalogue, "" where unknown: columns object [I] in its order."""

    title: np.ndarray
    artist_id: np.ndarray
    artist_name: np.ndarray
    genre: np.ndarray
    subgenre: np.ndarray

    @classmethod
    def from_batches(cls, catalogue: Catalogue, batches: Iterable[pa.RecordBatch]) -> TrackNames:
        """Read rows of gold.track_features; columns other than ``track_id`` may be missing or null."""
        columns = {name: np.full(len(catalogue), "", dtype=object) for name in NAMES}
        for batch in batches:
            ids = column(batch, "track_id", "gold.track_features").cast(pa.string()).to_pylist()
            rows = catalogue.vocabulary.lookup(ids)
            for name in (n for n in NAMES if n in batch.schema.names):
                values = batch.column(name).cast(pa.string()).fill_null("").to_pylist()
                columns[name][rows[rows >= 0]] = np.asarray(values, dtype=object)[rows >= 0]
        return cls(**columns)


def content_matrix(catalogue: Catalogue, names: TrackNames | None = None, words: int = 256) -> sp.csr_matrix:
    """float32 [I, D]: acoustic attributes and their squares (standardised, 0 where missing), genre and subgenre as one
    of many, and titles and artist names as hashed n-grams in ``words`` columns (0: none)."""
    sound = acoustic_inputs(catalogue.acoustic)
    parts = [sp.csr_matrix(np.hstack([sound, acoustic_inputs(sound**2)])), one_of_many(catalogue.genre)]
    if names is not None:
        parts.append(one_of_many(codes_of(names.subgenre)))
        if words:
            parts.append(
                hashed_ngrams([f"{t} {a}" for t, a in zip(names.title, names.artist_name, strict=True)], words)
            )
    return sp.hstack(parts, format="csr", dtype=np.float32)


def codes_of(labels: Sequence[str]) -> np.ndarray:
    """int32 [n]: a code for every distinct label, -1 for ""."""
    text = np.asarray(labels, dtype=str)
    found, codes = np.unique(text, return_inverse=True)
    empty = np.searchsorted(found, "") if len(found) and found[0] == "" else len(found)
    return np.where(codes == empty, UNKNOWN, codes - (codes > empty)).astype(np.int32)


def one_of_many(codes: np.ndarray) -> sp.csr_matrix:
    """float32 [n, largest code + 1]: 1 in the column of each code, a row of zeros for -1."""
    known = np.flatnonzero(codes >= 0)
    shape = (len(codes), int(codes.max(initial=-1)) + 1)
    return sp.csr_matrix((np.ones(len(known), np.float32), (known, codes[known])), shape=shape)


def hashed_ngrams(texts: Sequence[str], columns: int, lengths: Sequence[int] = (3, 4)) -> sp.csr_matrix:
    """float32 [n, columns]: signed counts of the character n-grams of each text's words, rows of length 1 (the hashing
    trick, Weinberger et al. 2009)."""
    rows, places, signs = [], [], []
    for row, text in enumerate(texts):
        for word in str(text).lower().split():
            padded = f" {word} "
            for n in lengths:
                for start in range(len(padded) - n + 1):
                    code = zlib.crc32(padded[start : start + n].encode())
                    rows.append(row)
                    places.append(code % columns)
                    signs.append(1.0 if code >> 31 else -1.0)
    matrix = sp.csr_matrix((np.asarray(signs, np.float32), (rows, places)), shape=(len(texts), columns))
    norm = np.sqrt(matrix.multiply(matrix).sum(1)).A1
    return sp.csr_matrix(sp.diags(1 / np.maximum(norm, 1e-9)) @ matrix, dtype=np.float32)
