"""Smaller, faster models: int8 by LiteRT, magnitude pruning, distillation, side by side with what they cost.

>>> from models.compress import compress_ranker
>>> found = compress_ranker(ranker, parts, judged, folder)          # a Comparison: table(), plot(), choice

Modules: ``litert`` converts and runs, ``pruning`` has the mask schedule, ``ranker`` and ``sequence`` make the versions
of a model, ``comparison`` judges them and picks one, ``latency`` times them in a process of its own, ``register`` keeps
the chosen one, ``edge`` packs a model for a region into one file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.compress.comparison import Comparison


def compress_ranker(*arguments, **named) -> Comparison:
    """See :func:`models.compress.ranker.compress_ranker`."""
    from models.compress import ranker

    return ranker.compress_ranker(*arguments, **named)


def compress_sequence(*arguments, **named) -> Comparison:
    """See :func:`models.compress.sequence.compress_sequence`."""
    from models.compress import sequence

    return sequence.compress_sequence(*arguments, **named)
