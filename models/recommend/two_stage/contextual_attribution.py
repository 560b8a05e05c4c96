"""Why the contextual ranker gives a candidate its score: integrated gradients over how much of each thing is there.

The way leads from a candidate of which nothing is known (every feature at its median, no field of the moment, no play,
no attribute of the track) to the candidate as it is. Fields and plays have codes and no gradient, so what grows is
their presence, from 0, where they take no part in the attention, to 1; of the track it is that of its artist, album,
genre and sound; of a feature it is its encoding (the pieces of its range), so that only the network's own kinks lie on
the way.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from models.recommend.integrated_gradients import integrated_gradients
from models.recommend.two_stage.contextual import ContextualRanker

ATTRIBUTES = ("track", "artist", "album", "genre", "sound")
STEPS = 32
"""Of integrated gradients."""


class ContextualParts(NamedTuple):
    """What made the scores: features float32 [B, C, F]; plays float32 [B, C, K], the latest, newest first; fields
    float32 [B, C, S], of the context and then the profile; attributes float32 [B, C, 5], of the candidate, by
    ``ATTRIBUTES``; base float32 [B, C], the score of a candidate of which nothing is known. All together are the score,
    but for the error of the quadrature, gap float32 [B, C], which has been taken off the base.
    """

    features: tf.Tensor
    plays: tf.Tensor
    fields: tf.Tensor
    attributes: tf.Tensor
    base: tf.Tensor
    gap: tf.Tensor


def contextual_parts(
    ranker: ContextualRanker, history, candidates, features, context, profile, steps: int = STEPS
) -> ContextualParts:
    """Arguments of the ranker -> the parts of its scores; 0 throughout for a candidate of -1. Eagerly or in a graph."""
    embedded = ranker.items.parts("candidate", tf.maximum(candidates, 0))
    attributes = tf.stack(list(embedded.values()), 2)  # [B, C, A, D]
    slots = ranker.slots(history, context, profile)
    encoded = ranker.pieces(features)

    def score(evidence, of_track, of_plays, of_fields):
        track = tf.reduce_sum(attributes * of_track[..., None], 2)
        logits = ranker.combined(evidence, track, slots, (of_plays, of_fields))
        return logits[..., 0] + tf.linalg.matvec(logits[..., 1:], ranker.head_weights)

    shape = tf.shape(candidates)
    seen = [
        tf.broadcast_to(there[:, None], tf.concat([shape, tf.shape(there)[1:]], 0))
        for there in ranker.known(history, context, profile)
    ]
    ends = encoded, tf.ones_like(attributes[..., 0]), *seen
    found = integrated_gradients(score, ends, (ranker.pieces(ranker.pieces.centre), 0.0, 0.0, 0.0), steps)
    listed = tf.cast(candidates >= 0, tf.float32)
    evidence, of_track, of_plays, of_fields = (part * listed[..., None] for part in found.parts)
    smooth, pieces = evidence[..., : ranker.n_features], evidence[..., ranker.n_features :]
    pieces = tf.reshape(pieces, tf.concat([tf.shape(smooth), [ranker.pieces.bins]], 0))
    by_name = dict(zip(embedded, tf.unstack(of_track, axis=-1), strict=True))
    return ContextualParts(
        smooth + tf.reduce_sum(pieces, -1),
        of_plays,
        of_fields,
        tf.stack([by_name.get(name, tf.zeros(shape)) for name in ATTRIBUTES], -1),
        (found.baseline - found.gap) * listed,
        found.gap * listed,
    )
