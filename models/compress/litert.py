"""TensorFlow functions as LiteRT models: in float32, with int8 weights, and with int8 matrix products throughout.

Post-training quantisation after Jacob et al. 2018, "Quantization and training of neural networks for efficient
integer-arithmetic-only inference". With "int8" only the matrix products run in int8, their ranges taken from a
representative data set: raw features of unlike ranges do not fit one scale, so what prepares them stays in float32.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import tensorflow as tf

FLOAT, WEIGHTS, INT8 = "float32", "int8 weights", "int8"
KINDS = (FLOAT, WEIGHTS, INT8)
PRODUCTS = ("FULLY_CONNECTED", "BATCH_MATMUL")
"""The operations that "int8" runs in integers."""


def convert(
    function: Callable,
    specs: Sequence[tf.TensorSpec],
    owner: tf.Module,
    kind: str = FLOAT,
    calibration: Iterable[Mapping[str, np.ndarray]] = (),
) -> bytes:
    """A LiteRT model of ``function`` for arguments of fixed shapes and given names (``specs``).

    owner: holds its variables. calibration: arguments by name, the representative data set of "int8". Raises ValueError
    for another kind, or "int8" without one. Compare the answers afterwards: a conversion may lose what it likes.
    """
    if kind not in KINDS:
        raise ValueError(f"litert: kind {kind!r} is none of {', '.join(KINDS)}")
    samples = list(calibration)
    if kind == INT8 and not samples:
        raise ValueError("litert: int8 needs a representative data set; give calibration")
    concrete = tf.function(function, autograph=False).get_concrete_function(*specs)

    def converter():
        out = tf.lite.TFLiteConverter.from_concrete_functions([concrete], owner)
        if kind != FLOAT:
            out.optimizations = [tf.lite.Optimize.DEFAULT]
        return out

    if kind != INT8:
        return converter().convert()
    order = [spec.name for spec in specs]

    def representative():
        return ([np.asarray(sample[name]) for name in order] for sample in samples)

    plain = tf.lite.TFLiteConverter.from_concrete_functions([concrete], owner).convert()
    kept = sorted(operations(plain) - set(PRODUCTS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantised = converter()
        quantised.representative_dataset = representative
        options = tf.lite.experimental.QuantizationDebugOptions(denylisted_ops=kept)
        debugger = tf.lite.experimental.QuantizationDebugger(
            converter=quantised, debug_dataset=representative, debug_options=options
        )
        return bytes(debugger.get_nondebug_quantized_model())


def interpreter(content: bytes, threads: int = 1):
    """Ready to be run, by LiteRT's own package where it is installed, else by the one inside TensorFlow."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow's copy announces its end; the package is what follows
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            Interpreter = tf.lite.Interpreter
        made = Interpreter(model_content=content, num_threads=threads)
    made.allocate_tensors()
    return made


def operations(content: bytes) -> set[str]:
    """Names of the operations of a model, without those that delegates take over."""
    return {each["op_name"] for each in interpreter(content)._get_ops_details()} - {"DELEGATE"}


class LiteModel:
    """A LiteRT model as a function of named arrays, one thread by default.

    >>> LiteModel(convert(network, [tf.TensorSpec([500, 160], tf.float32, "rows")], network))(rows=rows)
    """

    def __init__(self, content: bytes, threads: int = 1):
        self._run = interpreter(content, threads)
        self._inputs = {plain_name(each["name"]): each["index"] for each in self._run.get_input_details()}
        self._output = self._run.get_output_details()[0]["index"]

    def __call__(self, **inputs: np.ndarray) -> np.ndarray:
        for name, index in self._inputs.items():
            self._run.set_tensor(index, inputs[name])
        self._run.invoke()
        return self._run.get_tensor(self._output)


def plain_name(name: str) -> str:
    """Of an input: without what the converter puts around it."""
    return name.removeprefix("serving_default_").partition(":")[0]
