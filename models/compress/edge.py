"""The edge bundle: all that a device needs to rank a region's tracks without a network, in one file.

A ZIP archive without compression: ``manifest.json`` (version, region, model, checksums), ``model.tflite`` (the
sequential model without its items), ``items.npy`` (int8 [N, D]) with ``scales.npy`` (float32 [N]) and ``bias.npy``
(float32 [N]), ``tracks.json`` (ids and titles, a row each). An item's vector is its int8 row times its scale. The model
takes ``history`` int32 [1, L] (rows of the bundle, newest first, -1 after the last play), ``items`` float32 [N, D] and
``bias``, and gives log probabilities [1, N]. ``examples/edge_client.py`` is a client.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from models.data import UNKNOWN, ListeningData

FORMAT = 1
MANIFEST, MODEL, ITEMS, SCALES, BIAS, TRACKS = (
    "manifest.json", "model.tflite", "items.npy", "scales.npy", "bias.npy", "tracks.json"
)  # fmt: skip
HISTORY_LENGTH = 50
LARGEST = 127


class BundleDamaged(ValueError):
    """The file is not what was written."""


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read and found whole. items: float32 [N, D]; tracks: ids; titles: "" where unknown."""

    manifest: Mapping[str, object]
    model: bytes
    items: np.ndarray
    bias: np.ndarray
    tracks: list[str]
    titles: list[str]


def region_tracks(data: ListeningData, country: str, n: int) -> np.ndarray:
    """int64: the ``n`` tracks with the most plays in a country, the most played first; only those that are played.

    A play counts for the country that its event names. Raises ValueError, with the countries there are, where none
    does.
    """
    names = data.context_fields.names["country"]
    codes = data.of_context("country")
    if country not in names:
        known = ", ".join(sorted(names)) or "none: the events do not say it"
        raise ValueError(f"country: {country!r} is in no play of the lake; there are {known}")
    played = np.bincount(data.items[codes == names.index(country)], minlength=data.n_tracks)
    order = np.argsort(-played, kind="stable")[:n]
    return order[played[order] > 0]


def most_heard_country(data: ListeningData) -> str | None:
    """The country that most plays name, None where none does."""
    codes = data.of_context("country")
    known = codes[codes >= 0]
    return data.context_fields.names["country"][int(np.bincount(known).argmax())] if len(known) else None


def quantised(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(int8 [N, D], scales float32 [N]) of float [N, D]: each row by its own largest value, symmetrically."""
    scale = np.maximum(np.abs(vectors).max(1), 1e-12) / LARGEST
    return np.clip(np.round(vectors / scale[:, None]), -LARGEST, LARGEST).astype(np.int8), scale.astype(np.float32)


def regional(scorer, rows: np.ndarray):
    """The sequential model over some of its tracks, in their order: everything else is forgotten."""
    from models.recommend.sequence.followers import FollowerTables
    from models.recommend.sequence.scorer import SequenceScorer

    tables = None
    if scorer.tables is not None:
        place = np.full(int(scorer.rows.shape[0]) + 1, UNKNOWN, np.int32)
        place[rows] = np.arange(len(rows))
        followers = place[scorer.tables.tracks.numpy()[:, :, rows]]
        tables = FollowerTables(followers, np.exp(scorer.tables.logs.numpy()[:, :, rows]))
    parts = (part.numpy()[rows] for part in (scorer.rows, scorer.bias, scorer.artists, scorer.albums))
    return SequenceScorer(scorer.network, *parts, tables)


def write_bundle(
    scorer,
    data: ListeningData,
    country: str,
    out: Path,
    version: str,
    titles: Mapping[str, str] | None = None,
    n: int = 2000,
    length: int = HISTORY_LENGTH,
) -> dict[str, object]:
    """Write the bundle of a country's ``n`` most played tracks to ``out``, whole or not at all; -> its manifest.

    scorer: a :class:`SequenceScorer` over the catalogue of ``data``, in its order; version: of the model it is.
    """
    import tensorflow as tf

    from models.compress.litert import WEIGHTS, convert
    from models.compress.sequence import with_rows

    chosen = region_tracks(data, country, n)
    small = regional(scorer, chosen)
    items, scales = quantised(small.rows.numpy())
    length = min(length, scorer.network.config.history)
    specs = [
        tf.TensorSpec([1, length], tf.int32, "history"),
        tf.TensorSpec(items.shape, tf.float32, "items"),
        tf.TensorSpec([len(items)], tf.float32, "bias"),
    ]
    model = convert(lambda history, rows, bias: with_rows(small, rows, bias)(history), specs, small, WEIGHTS)
    ids = data.catalogue.ids[chosen].tolist()
    names = [(titles or {}).get(track, "") for track in ids]
    members = {
        MODEL: model,
        ITEMS: _npy(items),
        SCALES: _npy(scales),
        BIAS: _npy(small.bias.numpy()),
        TRACKS: json.dumps({"ids": ids, "titles": names}, ensure_ascii=False).encode(),
    }
    manifest = {
        "format": FORMAT, "version": version, "country": country, "tracks": len(ids), "history": length,
        "width": int(items.shape[1]), "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in members.items()},
    }  # fmt: skip
    _write({MANIFEST: json.dumps(manifest, indent=1).encode(), **members}, Path(out))
    return manifest


def read_bundle(path: Path) -> Bundle:
    """Raises BundleDamaged, naming the member, where a checksum or the format is not right."""
    members = _members(Path(path))
    manifest = json.loads(members[MANIFEST])
    tracks = json.loads(members[TRACKS])
    arrays = {name: np.load(io.BytesIO(members[name]), allow_pickle=False) for name in (ITEMS, SCALES, BIAS)}
    items = arrays[ITEMS].astype(np.float32) * arrays[SCALES][:, None]
    return Bundle(manifest, members[MODEL], items, arrays[BIAS], tracks["ids"], tracks["titles"])


def rank(bundle: Bundle, model, history: Sequence[str], k: int = 10) -> list[tuple[str, float]]:
    """The ``k`` best tracks for a history of ids, oldest first, with their log probabilities. model: a
    :class:`models.compress.litert.LiteModel` of ``bundle.model``."""
    place = {track: row for row, track in enumerate(bundle.tracks)}
    known = [place[track] for track in reversed(history) if track in place][: bundle.manifest["history"]]
    asked = np.full((1, bundle.manifest["history"]), UNKNOWN, np.int32)
    asked[0, : len(known)] = known
    scores = model(history=asked, items=bundle.items, bias=bundle.bias)[0]
    return [(bundle.tracks[row], float(scores[row])) for row in np.argsort(-scores, kind="stable")[:k]]


def _members(path: Path) -> dict[str, bytes]:
    again = "write it again: soundlake edge-bundle"
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        manifest = json.loads(members[MANIFEST])
        sums = dict(manifest["sha256"])
    except (zipfile.BadZipFile, zipfile.LargeZipFile, KeyError, ValueError, TypeError, EOFError) as error:
        raise BundleDamaged(f"{path}: is no whole edge bundle ({error}); {again}") from error
    if manifest.get("format") != FORMAT:
        raise BundleDamaged(f"{path}: format {manifest.get('format')!r}, this reads {FORMAT}; {again}")
    for name in (MODEL, ITEMS, SCALES, BIAS, TRACKS):
        found = hashlib.sha256(members.get(name, b"")).hexdigest()
        if found != sums.get(name):
            raise BundleDamaged(f"{path}: {name} has checksum {found[:12]}, not {str(sums.get(name))[:12]}; {again}")
    return members


def _write(members: Mapping[str, bytes], out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()
