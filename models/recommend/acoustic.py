"""Acoustic attributes as inputs of a model."""

from __future__ import annotations

import numpy as np


def acoustic_inputs(acoustic: np.ndarray) -> np.ndarray:
    """float32 [I, F]: the columns that are known for any track, standardised, 0 where missing."""
    known = ~np.isnan(acoustic)
    columns = known.any(0)
    values, known = acoustic[:, columns].astype(np.float64), known[:, columns]
    mean = np.where(known, values, 0).sum(0) / np.maximum(known.sum(0), 1)
    centred = np.where(known, values - mean, 0.0)
    spread = np.sqrt((centred**2).sum(0) / np.maximum(known.sum(0), 1))
    return (centred / np.where(spread > 0, spread, 1.0)).astype(np.float32)
