"""A trained recommender as a TensorFlow SavedModel that takes and returns raw track ids.

Signatures ``recommend`` (also the default), ``score`` and, where the model can share out its scores, ``explain``; of a
two-stage recommender ``reasons``, ``rank`` (the whole answer of a request at once) and ``encode``; see
:class:`RecommenderModule`. A version is written to a sibling and renamed, so that a model server polling the folder
never sees half of one.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from models.branches import call_branches
from models.context import Categories
from models.context.served import MomentCodes
from models.recommend.base import UNRANKED, CatalogueRecommender, Requests
from models.recommend.served import newest_first
from models.recommend.two_stage.reasons import Reasons
from models.recommend.two_stage.scorer import TwoStageScorer
from models.vocabulary import tie_order

STRINGS = tf.TensorSpec([None, None], tf.string)


ITEM_VECTORS = "assets.extra/item_vectors.npy"
"""float32 [I, D], in the order of the track table; only of a model that answers to ``encode``."""


class ExportMismatch(ValueError):
    """The exported model does not answer as the model in memory does."""


class RecommenderModule(tf.Module):
    """Strings in, strings out.

    history: string [B, L], oldest first, "" is padding, unknown ids are ignored; exclude: string [B, M], never
    returned; context: string [B, N], what is known of the moment and the listener, such as "hour=8" or "device=phone"
    (:mod:`models.context.wire`), in any order, "" is padding; k: int32 scalar.

    The track table is an asset file in tie order, and ``top_k`` prefers the lower row, so equal scores come out in
    an order that follows neither id nor popularity.
    """

    def __init__(self, model: CatalogueRecommender, folder: Path):
        super().__init__(name="soundlake_recommender")
        order = np.argsort(tie_order(model.catalogue.ids))
        in_order = bool((order == np.arange(len(order))).all())
        self.scorer = model.servable if in_order else model.servable.reordered(order)
        self._indices, self._names = string_table(folder / "tracks.txt", model.catalogue.ids[order].tolist())
        self._moment = MomentCodes(model.context_fields, model.profile_fields, folder)
        signatures = {"history": STRINGS, "context": STRINGS, "exclude": STRINGS}
        self.recommend = _signature(self._recommend, {**signatures, "k": tf.TensorSpec([], tf.int32)})
        self.score = _signature(self._score, {**signatures, "candidates": STRINGS})
        self.served = {"serving_default": self.recommend, "recommend": self.recommend, "score": self.score}
        explain = self._explain if hasattr(self.scorer, "contributions") else None
        if isinstance(self.scorer, TwoStageScorer):
            self.parts, explain = Reasons(self.scorer), self._explain_by_reasons
            self.reasons = self.served["reasons"] = _signature(self._reasons, {**signatures, "candidates": STRINGS})
            asked = {**signatures, "candidates": STRINGS, "k": tf.TensorSpec([], tf.int32)}
            self.rank = self.served["rank"] = _signature(self._rank, asked)
            if self.scorer.sequence is not None:
                self.encode = self.served["encode"] = _signature(self._encode, {"history": STRINGS, "context": STRINGS})
        if explain is not None:
            self.served["explain"] = _signature(explain, {**signatures, "candidates": STRINGS})

    def _recommend(self, history, context, exclude, k):
        """track_ids string [B, k], scores float32 [B, k], best first; "" and -1e9 where the catalogue has no more."""
        scores = self.scorer.ranked(*self._asked(history, context, exclude))
        best, rows = tf.math.top_k(scores, tf.minimum(k, tf.shape(scores)[1]))
        ids = tf.where(best > UNRANKED, self._names.lookup(tf.cast(rows, tf.int64)), "")
        missing = [[0, 0], [0, k - tf.shape(best)[1]]]
        return {
            "track_ids": tf.pad(ids, missing, constant_values=""),
            "scores": tf.pad(best, missing, constant_values=UNRANKED),
        }

    def _score(self, history, context, exclude, candidates):
        """scores float32 [B, C]; -1e9 for an unknown candidate."""
        asked = self._asked(history, context, exclude)
        return {"scores": self.scorer.candidate_scores(*asked, self._tracks(candidates))}

    def _explain(self, history, context, exclude, candidates):
        """contributions float32 [B, C, L + 1]: the share of each play, last of all else; they sum to the score.

        How a score is shared out is the model's own affair; see ``contributions`` of its scorer.
        """
        asked = self._asked(history, context, exclude)
        return {"contributions": self.scorer.contributions(*asked, self._tracks(candidates))}

    def _reasons(self, history, context, exclude, candidates):
        """plays float32 [B, C, L, P], the part of each play by the first P groups, rest float32 [B, C, G], that of all
        else; they sum to the score. groups string [G]: see ``models.recommend.two_stage.features.GROUPS``.
        """
        found = self.parts(*self._asked(history, context, exclude), self._tracks(candidates))
        return {"plays": found.plays, "rest": found.rest, "groups": tf.constant(found.groups)}

    def _rank(self, history, context, exclude, candidates, k):
        """The whole answer of one request: as :meth:`_recommend` of what the model finds and of ``candidates`` (string
        [B, C], "" is padding), with the reasons of the tracks in the list, as of :meth:`_reasons`.

        The branch of a condition that hardly ever fails: it is called as a function then, see :mod:`models.branches`.
        """
        asked, some = (history, context, exclude, candidates, k), tf.shape(history)[0] > 0
        answer = tf.cond(some, lambda: self._ranked(*asked), lambda: self._ranked_of_none(k))
        return answer | {"groups": tf.constant(self.parts.groups)}

    def _ranked(self, history, context, exclude, candidates, k):
        rows, moment, excluded = self._asked(history, context, exclude)
        plays = newest_first(rows, self.scorer.config.history)
        best = self.scorer.shortlist(plays, moment, excluded, self._tracks(candidates)).best(k)
        found = self.parts.of(rows, moment, excluded, best.candidates, best.features, best.chances)
        ids = tf.where(best.candidates >= 0, self._names.lookup(tf.cast(best.candidates, tf.int64)), "")
        missing = [[0, 0], [0, k - tf.shape(ids)[1]]]
        return {
            "track_ids": tf.pad(ids, missing, constant_values=""),
            "scores": tf.pad(best.values, missing, constant_values=UNRANKED),
            "plays": tf.pad(found.plays, [*missing, [0, 0], [0, 0]]),
            "rest": tf.pad(found.rest, [*missing, [0, 0]]),
        }

    def _ranked_of_none(self, k):
        """An answer without rows; call it after :meth:`_ranked`, which makes the groups known."""
        by_play, groups = len(self.scorer.attribution.of_plays) + 1, len(self.parts.groups)
        nothing = {"scores": [0, k], "plays": [0, k, 0, by_play], "rest": [0, k, groups]}
        return {"track_ids": tf.fill([0, k], "")} | {name: tf.zeros(shape) for name, shape in nothing.items()}

    def _encode(self, history, context):
        """vector float32 [B, D]: its inner products with the vectors of the tracks (:data:`ITEM_VECTORS`) order them as
        the sequential model's softmax does. The context is taken and not looked at."""
        plays = newest_first(self._tracks(history), self.scorer.config.history)
        return {"vector": self.scorer.sequence.vector(plays)}

    def _explain_by_reasons(self, history, context, exclude, candidates):
        """As :meth:`_explain`, by the graph of ``reasons``, which is a large one: once is enough."""
        found = self.reasons(history=history, context=context, exclude=exclude, candidates=candidates)
        known = self._tracks(candidates) >= 0
        rest = tf.where(known, tf.reduce_sum(found["rest"], -1), UNRANKED)
        return {"contributions": tf.concat([tf.reduce_sum(found["plays"], -1), rest[..., None]], -1)}

    def _asked(self, history, context, exclude):
        return self._tracks(history), self._moment(context), self._tracks(exclude)

    def _tracks(self, ids):
        return tf.cast(self._indices.lookup(ids), tf.int32)


def write_saved_model(model: CatalogueRecommender, path: Path, name: str = "recommender") -> Path:
    """Write the SavedModel with warm-up requests to the new folder ``path``, checked to answer like ``model``.

    Raises FileExistsError where ``path`` exists, ExportMismatch where the answers differ; nothing is left then.
    """
    from models.warmup import write_warmup

    path = Path(path)
    if path.exists():
        raise FileExistsError(f"{path} exists; a version is written once. Export under the next version number")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        with tempfile.TemporaryDirectory() as tables:
            module = RecommenderModule(model, Path(tables))
            tf.saved_model.save(module, str(partial), signatures=dict(module.served))
        call_branches(partial)
        write_warmup(partial, name, model.catalogue.ids, module.served)
        if "encode" in module.served:
            np.save(partial / ITEM_VECTORS, module.scorer.sequence.item_vectors())
        check_export(model, partial)
        partial.chmod(0o755)  # mkdtemp makes it private; a model server runs as somebody else
        partial.rename(path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return path


def export_version(model: CatalogueRecommender, base: Path, name: str, version: int) -> Path:
    """Write ``<base>/<name>/<version>/``, the layout TensorFlow Serving watches."""
    if version < 1:
        raise ValueError(f"version: {version} must be a positive integer; TensorFlow Serving ignores other folders")
    return write_saved_model(model, Path(base) / name / str(version), name)


def check_export(model: CatalogueRecommender, path: Path, k: int = 20, tolerance: float = 1e-3) -> None:
    """Compare the SavedModel with the model in memory: full and empty histories, exclusion, context.

    Scores must agree within ``tolerance``, and ids wherever the scores on both sides of a place differ by more.
    """
    from models.saved import SavedRecommender

    histories = _probe_histories(model.catalogue.ids)
    moments = _probe_moments(model.context_fields, len(histories))
    listeners = _probe_moments(model.profile_fields, len(histories))
    for exclude in (None, histories):
        asked = Requests.of(histories, exclude, listeners, **moments)
        ours, theirs = (m.recommend(asked, k) for m in (model, SavedRecommender(path)))
        if not np.allclose(ours[1], theirs[1], atol=tolerance, rtol=tolerance):
            worst = np.abs(ours[1] - theirs[1]).max()
            raise ExportMismatch(
                f"scores of {path} differ from the model in memory by up to {worst:.2g}; do not serve it"
            )
        gaps = -np.diff(ours[1], axis=1, prepend=np.inf, append=-np.inf)
        clear = (gaps[:, :-1] > 2 * tolerance) & (gaps[:, 1:] > 2 * tolerance)
        clear[:, -1] = False  # what comes after the last place is not known
        if (ours[0] != theirs[0])[clear].any():
            raise ExportMismatch(
                f"tracks recommended by {path} differ from those of the model in memory; do not serve it"
            )


def _probe_histories(ids: np.ndarray) -> list[list[str]]:
    rng = np.random.default_rng(0)
    lengths = [0, 1, 2, 5, 20, 80]
    return [rng.choice(ids, min(n, len(ids)), replace=False).tolist() + ["no such track"] * (n % 2) for n in lengths]


def _probe_moments(fields: Categories, n: int) -> dict[str, list]:
    """Raw values that go through every field, the first unknown."""
    codes = [[(row * 7) % (size + 1) - 1 for size in fields.sizes] for row in range(n)]
    return {name: values for name, values in fields.decode(np.asarray(codes)).items() if fields.names[name]}


def string_table(path: Path, names: list[str]):
    """Lookup tables name -> row and row -> name from one asset file, a name a line."""
    for name in names:
        if not name or "\n" in name or "\r" in name:
            raise ValueError(f"id {name!r} cannot be exported: ids must not be empty or hold line breaks")
    names = names or ["(none)"]  # TensorFlow refuses an empty file; its row is one that was never trained
    path.write_text("".join(f"{name}\n" for name in names), encoding="utf-8", newline="\n")
    whole, line = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
    to_row = tf.lookup.TextFileInitializer(str(path), tf.string, whole, tf.int64, line)
    to_name = tf.lookup.TextFileInitializer(str(path), tf.int64, line, tf.string, whole)
    return tf.lookup.StaticHashTable(to_row, -1), tf.lookup.StaticHashTable(to_name, "")


def _signature(function, inputs):
    return tf.function(function).get_concrete_function(
        **{name: tf.TensorSpec(s.shape, s.dtype, name) for name, s in inputs.items()}
    )
