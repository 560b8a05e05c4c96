"""What a model server answers, in plain Python and numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

START, LOADING, AVAILABLE, UNLOADING, END = "START", "LOADING", "AVAILABLE", "UNLOADING", "END"
PENDING = (START, LOADING)


@dataclass(frozen=True)
class VersionStatus:
    """State of one version: START, LOADING, AVAILABLE, UNLOADING or END; error_code 0 means no error."""

    version: int
    state: str
    error_code: int = 0
    error_message: str = ""


@dataclass(frozen=True)
class Prediction:
    """An answer and the version that gave it. String outputs are object arrays of bytes (see `as_text`)."""

    version: int
    signature: str
    outputs: dict[str, np.ndarray]


def as_text(array: np.ndarray) -> np.ndarray:
    """An object array of bytes, as string tensors come back, as an object array of str of the same shape."""
    flat = [item.decode() if isinstance(item, bytes) else str(item) for item in np.asarray(array).reshape(-1)]
    return np.array(flat, dtype=object).reshape(np.shape(array))


def tensor_specs(infos) -> dict[str, tuple[str, list[int | None] | None]]:
    """`TensorInfo` messages as name -> (dtype, shape): None for a free dimension, or for a free rank."""
    import tensorflow as tf

    return {
        key: (
            # Operations without a value, such as the initialiser of a SavedModel, have type 0.
            tf.as_dtype(info.dtype).name if info.dtype else "none",
            None
            if info.tensor_shape.unknown_rank
            else [None if dim.size == -1 else dim.size for dim in info.tensor_shape.dim],
        )
        for key, info in infos.items()
    }
