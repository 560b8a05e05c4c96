"""A recommender over an exported SavedModel: what batch predictions and the promotion gate use.

It needs the folder alone, not the data or the classes the model was trained with.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.context.wire import words
from models.recommend.base import UNRANKED, Histories, Requests


class SavedRecommender:
    """Implements :class:`models.recommend.base.Recommender` over ``path``.

    >>> SavedRecommender("models/recommender/3").recommend(Requests.of([["track-1"]]), k=5)
    """

    def __init__(self, path: str | Path, name: str | None = None, batch_size: int = 256):
        import tensorflow as tf

        if not (Path(path) / "saved_model.pb").is_file():
            raise FileNotFoundError(
                f"{path} holds no saved_model.pb; give the folder of one version, such as <base>/<name>/3"
            )
        self.path, self.name, self.batch_size = Path(path), name or Path(path).name, batch_size
        self._loaded = tf.saved_model.load(str(path))  # holds the tables and variables the signatures use
        missing = {"recommend", "score"} - set(self._loaded.signatures)
        if missing:
            raise ValueError(f"{path}: signatures {sorted(missing)} are missing; export it again with models.export")

    def recommend(self, requests: Requests, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`models.recommend.base.Recommender`."""
        n = len(requests)
        ids, scores = np.full((n, k), "", dtype=object), np.full((n, k), UNRANKED, np.float32)
        for rows in self._batches(n):
            batch = requests[rows]
            answer = self._call("recommend", batch, k=np.int32(k))
            ids[rows] = np.char.decode(answer["track_ids"].numpy().astype(bytes), "utf-8").astype(object)
            scores[rows] = answer["scores"].numpy()
        return ids, scores

    def score(self, requests: Requests, candidates: Histories) -> list[np.ndarray]:
        """Per request float32 [C], one score a candidate; ``UNRANKED`` for an unknown one."""
        out: list[np.ndarray] = []
        for rows in self._batches(len(requests)):
            answer = self._call("score", requests[rows], candidates=padded(candidates[rows]))
            found = answer["scores"].numpy()
            out += [row[: len(c)] for row, c in zip(found, candidates[rows], strict=True)]
        return out

    def rank(self, requests: Requests, candidates: Histories, k: int) -> dict[str, np.ndarray]:
        """Of a two-stage model: the lists of ``k`` with their reasons, as the signature ``rank`` gives them, ids as
        str; candidates: tracks found elsewhere, per request."""
        answer = self._call("rank", requests, candidates=padded(candidates), k=np.int32(k))
        found = {name: value.numpy() for name, value in answer.items()}
        ids = np.char.decode(found["track_ids"].astype(bytes), "utf-8").astype(object)
        return found | {"track_ids": ids}

    def encode(self, requests: Requests) -> np.ndarray:
        """float32 [B, D]: the listeners' vectors."""
        import tensorflow as tf

        inputs = {
            "history": padded(requests.histories),
            "context": padded(words(requests.context, requests.profile, len(requests))),
        }
        encode = self._loaded.signatures["encode"]
        return encode(**{key: tf.constant(value) for key, value in inputs.items()})["vector"].numpy()

    def explain(self, request: Requests, candidates: Sequence[str]) -> np.ndarray:
        """float32 [C, L + 1] for one request: what each play adds to each candidate's score; last, all else."""
        answer = self._call("explain", request, candidates=padded([candidates]))
        return answer["contributions"].numpy()[0]

    def reasons(self, request: Requests, candidates: Sequence[str]) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """For one request plays float32 [C, L, P], rest float32 [C, G] and the names of the G groups; they sum to the
        scores. Raises ValueError for a model that has shares per play only (:meth:`explain`)."""
        if "reasons" not in self._loaded.signatures:
            raise ValueError(f"{self.path}: has no signature reasons; ask explain, which every model has")
        answer = self._call("reasons", request, candidates=padded([candidates]))
        groups = [name.decode() for name in answer["groups"].numpy().tolist()]
        return answer["plays"].numpy()[0], answer["rest"].numpy()[0], groups

    def _batches(self, n: int):
        for start in range(0, n, self.batch_size):
            yield slice(start, min(start + self.batch_size, n))

    def _call(self, signature: str, batch: Requests, **inputs):
        import tensorflow as tf

        inputs |= {
            "history": padded(batch.histories),
            "exclude": padded([()] * len(batch) if batch.exclude is None else batch.exclude),
            "context": padded(words(batch.context, batch.profile, len(batch))),
        }
        return self._loaded.signatures[signature](**{key: tf.constant(value) for key, value in inputs.items()})


def padded(lists: Sequence[Sequence[str]]) -> np.ndarray:
    """object [B, longest]: lists side by side, "" where one is shorter."""
    out = np.full((len(lists), max((len(x) for x in lists), default=0)), "", dtype=object)
    for row, values in zip(out, lists, strict=True):
        row[: len(values)] = list(values)
    return out
