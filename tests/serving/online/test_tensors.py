"""Tensors as TensorFlow's own conversions make and read them."""

from __future__ import annotations

import numpy as np
import pytest

from serving.online.tensors import array, fill


def test_a_request_is_as_tensorflow_makes_it():
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    texts = np.array([["a", "", "é蓝"]], dtype=object)
    fill(request, {"history": texts, "k": np.int32(7)})
    assert request.inputs["history"] == tf.make_tensor_proto(texts)
    assert tf.make_ndarray(request.inputs["k"]) == 7 and request.inputs["k"].dtype == tf.int32.as_datatype_enum


@pytest.mark.parametrize(
    "values",
    [
        np.arange(12, dtype=np.float32).reshape(3, 4),
        np.arange(3, dtype=np.float64),
        np.array([[True, False]]),
        np.array(5, np.int64),
        np.zeros((2, 0), np.float32),
        np.array([[b"a", b""], [b"\xff", b"c"]], dtype=object),
        np.full((4, 5), 2.5, np.float32),
    ],
    ids=lambda values: f"{values.dtype}{values.shape}",
)
def test_an_answer_is_as_tensorflow_reads_it(values):
    import tensorflow as tf

    found = array(tf.make_tensor_proto(values))
    assert found.shape == values.shape and found.tolist() == values.tolist()


def test_values_that_are_left_out_repeat_the_last():
    from tensorflow.core.framework import tensor_pb2

    tensor = tensor_pb2.TensorProto(dtype=1, float_val=[1.0, 2.0])
    tensor.tensor_shape.dim.add().size = 4
    assert array(tensor).tolist() == [1, 2, 2, 2]
    with pytest.raises(ValueError, match="type 14"):
        array(tensor_pb2.TensorProto(dtype=14))
