"""A tiny model with the signatures recommend, score and explain, and what it must answer, computed in numpy."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

TRACKS = ["t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7"]
DIMENSIONS = 4
UNKNOWN_SCORE = -1e9


def embeddings(version: int) -> tuple[np.ndarray, np.ndarray]:
    """Track vectors [T, D] and popularity bias [T] of a version; each version answers differently."""
    random = np.random.default_rng(version)
    return random.normal(size=(len(TRACKS), DIMENSIONS)), random.normal(size=len(TRACKS)) * 0.1


def expected_scores(version: int, history: list[str], exclude: list[str] = ()) -> dict[str, float]:
    """What the model must answer, computed in numpy: track -> score."""
    vectors, bias = embeddings(version)
    known = [TRACKS.index(track) for track in history if track in TRACKS]
    profile = vectors[known].mean(axis=0) if known else np.zeros(DIMENSIONS)
    scores = vectors @ profile + bias
    return {track: float(scores[i]) for i, track in enumerate(TRACKS) if track not in exclude}


def export_model(folder: Path, version: int, weights: int | None = None, refuses: str | None = None) -> Path:
    """Save the test model of `version` as `folder`/`version`, through a temporary sibling.

    weights: the version whose vectors it has; its own by default. refuses: a track that no history may hold.
    """
    import tensorflow as tf

    class DotProduct(tf.Module):
        def __init__(self):
            super().__init__()
            vectors, bias = embeddings(version if weights is None else weights)
            self.vectors = tf.Variable(vectors, dtype=tf.float32)
            self.bias = tf.Variable(bias, dtype=tf.float32)
            keys = tf.constant(TRACKS)
            values = tf.range(len(TRACKS), dtype=tf.int64)
            self.ids = tf.constant(TRACKS)
            self.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), -1)

        def plays(self, history):
            index = self.table.lookup(history)
            known = tf.cast(index >= 0, tf.float32)[..., None]
            weight = known / tf.maximum(tf.reduce_sum(known, axis=1, keepdims=True), 1.0)
            return tf.gather(self.vectors, tf.maximum(index, 0)) * weight

        def recommend(self, history, exclude, context, k):
            tf.debugging.assert_none_equal(history, refuses or "no track")
            scores = tf.reduce_sum(self.plays(history), 1) @ tf.transpose(self.vectors) + self.bias
            hidden = tf.reduce_max(tf.one_hot(self.table.lookup(exclude), len(TRACKS)), axis=1)
            best, index = tf.math.top_k(tf.where(hidden > 0, UNKNOWN_SCORE, scores), tf.minimum(k, len(TRACKS)))
            shown = best > UNKNOWN_SCORE
            return {"track_ids": tf.where(shown, tf.gather(self.ids, index), ""), "scores": best}

        def explain(self, history, exclude, context, candidates):
            index = self.table.lookup(candidates)
            wanted = tf.gather(self.vectors, tf.maximum(index, 0))
            shares = tf.einsum("bcd,bld->bcl", wanted, self.plays(history))
            rest = tf.gather(self.bias, tf.maximum(index, 0))[..., None]
            return {"contributions": tf.concat([shares, rest], axis=2)}

        def score(self, history, exclude, context, candidates):
            total = tf.reduce_sum(self.explain(history, exclude, context, candidates)["contributions"], axis=2)
            return {"scores": tf.where(self.table.lookup(candidates) < 0, UNKNOWN_SCORE, total)}

    def text(name):
        return tf.TensorSpec([None, None], tf.string, name)

    module = DotProduct()
    asked = [text("history"), text("exclude"), text("context")]
    recommend = tf.function(module.recommend, [*asked, tf.TensorSpec([], tf.int32, "k")])
    ask = [*asked, text("candidates")]
    signatures = {
        "serving_default": recommend,
        "recommend": recommend,
        "score": tf.function(module.score, ask),
        "explain": tf.function(module.explain, ask),
    }
    temporary = folder / f"tmp-{version}"
    tf.saved_model.save(module, str(temporary), signatures=signatures)
    write_warmup(temporary, recommend_inputs([["t1"]]))
    target = folder / str(version)
    os.rename(temporary, target)
    return target


def recommend_inputs(histories: list[list[str]], exclude: list[str] = ("",), k: int = 3) -> dict[str, np.ndarray]:
    """Inputs of `recommend` for a batch of histories (padded at the end with "")."""
    longest = max(len(history) for history in histories)
    rows = [history + [""] * (longest - len(history)) for history in histories]
    return {
        "history": np.array(rows, dtype=object),
        "exclude": np.array([list(exclude)] * len(rows), dtype=object),
        "context": np.array([[""]] * len(rows), dtype=object),
        "k": np.int32(k),
    }


def write_warmup(folder: Path, inputs: dict[str, np.ndarray], count: int = 2) -> None:
    """Write `count` warm-up records that ask `inputs`."""
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.name = "any"
    for name, value in inputs.items():
        log.predict_log.request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    extra = folder / "assets.extra"
    extra.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(extra / "tf_serving_warmup_requests")) as writer:
        for _ in range(count):
            writer.write(log.SerializeToString())
