"""Explanations of fitted models, by requests in raw ids: what :mod:`models.recommend.fidelity` asks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from models.recommend.base import CatalogueRecommender, Requests
from models.recommend.explain import Explanation, TrackInfo, explanations
from models.recommend.fidelity import Tracks


class Explained:
    """A fitted recommender with a TensorFlow ``scorer`` that can say why: the two-stage recommender by plays and kinds
    of evidence, any other by its exact shares per play (the linear ones of the two towers).

    >>> Explained(model).explain(requests, ids)[0][0].record()
    """

    batch_size = 16

    def __init__(self, model: CatalogueRecommender, info: TrackInfo | None = None):
        from models.recommend.two_stage.reasons import Reasons
        from models.recommend.two_stage.scorer import TwoStageScorer

        self.model, self.info = model, info or {}
        scorer = model.scorer
        self._reasons = Reasons(scorer) if isinstance(scorer, TwoStageScorer) else None
        self._scores = _traced(scorer.candidate_scores)
        self._parts = _traced(scorer.contributions if self._reasons is None else self._by_play_and_group)

    def scores_of(self, requests: Requests, tracks: Tracks) -> list[np.ndarray]:
        """Per request float32 [C]."""
        out = []
        for _, asked, inputs in self._batches(requests, tracks):
            scores = self._scores(*inputs)[0].numpy()
            out += [row[: len(chosen)] for row, chosen in zip(scores, asked, strict=True)]
        return out

    def explain(self, requests: Requests, tracks: Tracks) -> list[list[Explanation]]:
        """Of the given tracks of each request, which the model must know."""
        out: list[list[Explanation]] = []
        for batch, asked, inputs in self._batches(requests, tracks):
            parts = [part.numpy() for part in self._parts(*inputs)]
            ids = self.model.catalogue.ids
            known = [ids[row].tolist() for row in self.model.queries(batch).histories]
            for row, (history, chosen) in enumerate(zip(known, asked, strict=True)):
                out.append(self._of_row([part[row] for part in parts], history, chosen))
        return out

    def _by_play_and_group(self, *inputs):
        found = self._reasons(*inputs)
        return found.plays, found.rest

    def _of_row(self, parts: list[np.ndarray], history: list[str], tracks: list[str]) -> list[Explanation]:
        n, length = len(tracks), len(history)
        if self._reasons is None:
            shares = parts[0][:n]
            plays_and_rest = np.concatenate([shares[:, :length], shares[:, -1:]], 1)
            return [Explanation.linear(t, history, s, self.info) for t, s in zip(tracks, plays_and_rest, strict=True)]
        plays, rest = (part[:n] for part in parts)
        return explanations(tracks, history, plays[:, :length], rest, self._reasons.groups, self.info)

    def _batches(self, requests: Requests, tracks: Tracks) -> Iterator[tuple[Requests, list[list[str]], tuple]]:
        """(requests, tracks, inputs of the scorer)."""
        from models.recommend.two_stage.two_stage import padded

        vocabulary = self.model.catalogue.vocabulary
        for start in range(0, len(requests), self.batch_size):
            rows = slice(start, start + self.batch_size)
            batch, asked = requests[rows], [list(chosen) for chosen in tracks[rows]]
            queries = self.model.queries(batch)
            candidates = padded([vocabulary.lookup(chosen) for chosen in asked])
            exclude = padded(queries.exclude or [[]] * len(queries))
            yield batch, asked, (padded(queries.histories), queries.moment, exclude, candidates)


def _traced(function):
    import tensorflow as tf

    indices = tf.TensorSpec([None, None], tf.int32)

    def answered(*inputs):
        found = function(*inputs)
        return found if isinstance(found, tuple) else (found,)

    return tf.function(answered, input_signature=[indices] * 4)
