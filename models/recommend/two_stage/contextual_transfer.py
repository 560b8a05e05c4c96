"""A contextual ranker over another catalogue: what it learned of artists, albums, genres and sound goes with it."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from models.data import UNKNOWN, Catalogue
from models.recommend.two_stage.contextual import ContextualRanker
from models.recommend.two_stage.contextual_config import HEADS

ATTRIBUTES = ("artist", "album", "genre")


def over(ranker: ContextualRanker, mine: Catalogue, theirs: Catalogue) -> ContextualRanker:
    """The same ranker for requests in the indices of ``theirs``; ``mine`` is the catalogue that it was fitted over.

    Catalogues number artists each in their own way; they are recognised by the tracks that both have. What is new gets
    no embedding and is judged by the rest. Fields keep the codes of the training data: recode requests by
    ``Categories.recode``. Raises ValueError where the two share no track.
    """
    at = mine.vocabulary.lookup(theirs.ids.tolist())
    shared = np.flatnonzero(at >= 0)
    if not len(shared):
        raise ValueError("contextual: the catalogues share no track, there is nothing to carry over; fit it anew")
    known = dict(zip(HEADS, tf.sigmoid(ranker.base).numpy().tolist(), strict=True))
    rates = {name: known[name] for name, learned in zip(HEADS, ranker.learned.numpy(), strict=True) if learned}
    plays = np.zeros(len(theirs), np.int64)
    plays[shared] = 1  # only these have an embedding of their own to bring
    out = ContextualRanker(theirs, plays, ranker.pieces, ranker.fields, rates, ranker.config)
    pairs = {"track": (shared, at[shared])}
    for name in ATTRIBUTES:
        new, old = getattr(theirs, name)[shared], getattr(mine, name)[at[shared]]
        both = (new != UNKNOWN) & (old != UNKNOWN)
        pairs[name] = new[both], old[both]
    learned = {variable.name: variable for variable in ranker.variables}
    tables = {variable.name for variable in out.items.variables}
    for variable in out.variables:
        source = learned.get(variable.name)
        what = variable.name.split("_")[0]
        if what in pairs and variable.name in tables:
            table = np.zeros(variable.shape, np.float32)
            new, old = pairs[what]
            if source is not None:
                table[new] = source.numpy()[old]
            variable.assign(table)
        elif source is not None and source is not variable and source.shape == variable.shape:
            variable.assign(source)
    return out
