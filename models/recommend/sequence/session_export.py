"""The session model as a SavedModel, and answers from one: raw track ids and stored memories in, raw track ids out.

``space.json`` beside it says what its memories are: the name of the space and the settings that end a session and weigh
it. Signatures: ``recommend`` (also the default) and ``embed``; see :class:`SessionModule`.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from models.context import FIELDS, PROFILE_FIELDS, Categories
from models.export import string_table
from models.recommend.base import Requests
from models.recommend.sequence.config import SessionConfig
from models.recommend.sequence.long_term import LongTerm
from models.recommend.sequence.memory_table import Space, caught_up
from models.recommend.sequence.session_model import SessionModel
from models.recommend.sequence.session_windows import session_plays
from models.recommend.sequence.windows import Plays
from models.saved import padded
from models.vocabulary import Vocabulary

SPACE, TRACKS = "space.json", "tracks.txt"


class SessionModule(tf.Module):
    """Strings in, strings out.

    session: string [B, T], plays of the current session, "" in front of the first; gaps, hours: int32 [B, T], of the
    play after each, -1 unknown (:class:`models.recommend.sequence.windows.Plays`); vector: float32 [B, D] and sessions:
    int32 [B], the stored memory, zeros for none; exclude: string [B, M], never returned; k: int32.
    """

    def __init__(self, model: SessionModel, folder: Path):
        super().__init__(name="soundlake_session")
        self.scorer = model.scorer
        self._indices, self._names = string_table(folder / TRACKS, model.catalogue.ids.tolist())
        strings, grid = tf.TensorSpec([None, None], tf.string), tf.TensorSpec([None, None], tf.int32)
        memory = tf.TensorSpec([None, model.config.memory_dim], tf.float32), tf.TensorSpec([None], tf.int32)
        specs = {"session": strings, "gaps": grid, "hours": grid, "vector": memory[0], "sessions": memory[1]}
        specs |= {"exclude": strings, "k": tf.TensorSpec([], tf.int32)}
        self.recommend = _signature(self._recommend, specs)
        self.embed = _signature(self._embed, {"tracks": tf.TensorSpec([None], tf.string)})

    def _recommend(self, session, gaps, hours, vector, sessions, exclude, k):
        """track_ids string [B, k] and scores float32 [B, k], best first; "" and -inf where there are no more."""
        tracks = self._rows(session)
        here = tf.where(tracks >= 0, 0, -1)
        plays = Plays(tracks, here, tf.zeros_like(here), gaps, hours)
        scores = self.scorer.log_probabilities(plays, (vector, sessions))
        hidden = self._rows(exclude)
        batch = tf.broadcast_to(tf.range(tf.shape(hidden)[0])[:, None], tf.shape(hidden))
        at = tf.boolean_mask(tf.stack([batch, hidden], -1), hidden >= 0)
        scores = tf.tensor_scatter_nd_update(scores, at, tf.fill([tf.shape(at)[0]], -np.inf))
        best, rows = tf.math.top_k(scores, tf.minimum(k, tf.shape(scores)[1]))
        ids = tf.where(best > -np.inf, self._names.lookup(tf.cast(rows, tf.int64)), "")
        missing = [[0, 0], [0, k - tf.shape(best)[1]]]
        return {
            "track_ids": tf.pad(ids, missing, constant_values=""),
            "scores": tf.pad(best, missing, constant_values=-np.inf),
        }

    def _embed(self, tracks):
        """vectors float32 [N, D], what each track adds to a memory, 0 for an unknown one."""
        rows = self._rows(tracks)
        known = tf.cast(rows >= 0, tf.float32)[:, None]
        return {"vectors": tf.gather(self.scorer.rows, tf.maximum(rows, 0)) * known}

    def _rows(self, ids):
        return tf.cast(self._indices.lookup(ids), tf.int32)


def _signature(function, specs):
    named = {name: tf.TensorSpec(s.shape, s.dtype, name) for name, s in specs.items()}
    return tf.function(function).get_concrete_function(**named)


def write_session_model(model: SessionModel, path: Path) -> Path:
    """Write the SavedModel and its space to the new folder ``path``."""
    path = Path(path)
    if path.exists():
        raise FileExistsError(f"{path} exists; a version is written once. Write the model to a new folder")
    with tempfile.TemporaryDirectory() as tables:
        module = SessionModule(model, Path(tables))
        signatures = {"recommend": module.recommend, "embed": module.embed, "serving_default": module.recommend}
        tf.saved_model.save(module, str(path), signatures=signatures)
    (path / SPACE).write_text(json.dumps({"name": model.version, "config": model.config.params()}, indent=2) + "\n")
    return path


class SavedSession:
    """Answers of an exported session model.

    >>> saved = SavedSession("models/session")
    >>> saved.recommend(Requests.of([[]]), [memory], k=10)
    """

    def __init__(self, path: str | Path):
        path = Path(path)
        if not (path / SPACE).is_file():
            raise FileNotFoundError(f"{path} holds no {SPACE}; give a folder that write_session_model has written")
        self._loaded = tf.saved_model.load(str(path))
        told = json.loads((path / SPACE).read_text())
        ids = (path / "assets" / TRACKS).read_text(encoding="utf-8").split("\n")[:-1]
        vectors = self._loaded.signatures["embed"](tracks=tf.constant(ids))["vectors"].numpy()
        self.space = Space(told["name"], Vocabulary(ids), vectors, SessionConfig(**told["config"]))

    def recommend(
        self, requests: Requests, memories: Sequence[LongTerm | None], k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The best ``k`` tracks: ids (object [B, k], "" where there are no more) and log probabilities [B, k].

        requests: the plays since the memory was stored, at least those of the current session; memories: one each, None
        for a listener without one. Raises ValueError for a memory of another space.
        """
        space, fields = self.space, (Categories.of(FIELDS), Categories.of(PROFILE_FIELDS))
        queries = requests.encode(space.vocabulary, *fields)
        told = [memory or LongTerm.empty(space.dim, space.name) for memory in memories]
        lengths, told = caught_up(queries, told, space)
        as_of = np.asarray([memory.as_of for memory in told], np.int64)
        plays = session_plays(queries, lengths, as_of, space.config)
        ids = np.append(space.vocabulary.ids, "")[plays.tracks]  # -1 is the last, ""
        answer = self._loaded.signatures["recommend"](
            session=tf.constant(ids.tolist(), tf.string),
            gaps=tf.constant(plays.gaps),
            hours=tf.constant(plays.hours),
            vector=tf.constant(np.stack([memory.vector for memory in told]).astype(np.float32)),
            sessions=tf.constant([memory.sessions for memory in told], tf.int32),
            exclude=tf.constant(padded(requests.exclude or [()] * len(requests))),
            k=tf.constant(k, tf.int32),
        )
        return np.char.decode(answer["track_ids"].numpy().astype(bytes), "utf-8").astype(object), answer[
            "scores"
        ].numpy()
