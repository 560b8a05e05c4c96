"""PredictRequest in, PredictResponse out, for one loaded model."""

from __future__ import annotations

from tensorflow_serving.apis import predict_pb2

from serving.model_server.batching import Batcher
from serving.model_server.errors import ServingError, invalid_argument
from serving.model_server.servable import Servable
from serving.model_server.signatures import DEFAULT_SIGNATURE, check_names, misfit, wanted_outputs
from serving.model_server.values import Value


def run_predict(
    servable: Servable, version: int, request, batcher: Batcher | None = None
) -> predict_pb2.PredictResponse:
    """Answer a `PredictRequest` with `servable`; the answer's model_spec names the version and the signature."""
    response = predict_pb2.PredictResponse()
    response.model_spec.name = request.model_spec.name
    response.model_spec.version.value = version
    response.model_spec.signature_name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    for name, value in predict_values(servable, request, batcher).items():
        value.write(response.outputs[name])
    return response


def predict_values(servable: Servable, request, batcher: Batcher | None = None) -> dict[str, Value]:
    """The outputs that a `PredictRequest` asks for, by name.

    Raises FAILED_PRECONDITION for an unknown signature, INVALID_ARGUMENT for inputs that do not fit it.
    """
    signature = servable.signature(request.model_spec.signature_name)
    check_names(signature, request.inputs)
    wanted = wanted_outputs(signature, list(request.output_filter))
    fed = sorted(signature.inputs)
    tensors = [request.inputs[name] for name in fed]
    for position, (name, tensor) in enumerate(zip(fed, tensors, strict=True)):
        shape = [dim.size for dim in tensor.tensor_shape.dim]
        wrong = misfit(name, position, signature.inputs[name], tensor.dtype, shape)
        if wrong is not None:
            raise wrong
    plan = servable.plan([signature.inputs[name] for name in fed], [signature.outputs[name] for name in wanted])
    if batcher is not None and plan.batchable:
        return dict(zip(wanted, batcher.run(servable, plan, _values(fed, tensors)), strict=True))
    try:
        outputs = plan.run([tensor.SerializeToString() for tensor in tensors])
    except ServingError as error:
        if "TensorProto" not in error.message:
            raise
        raise invalid_argument(f"tensor parsing error: {_broken(fed, tensors) or error.message}") from error
    return dict(zip(wanted, outputs, strict=True))


def _values(names: list[str], tensors: list) -> list[Value]:
    values = []
    for name, tensor in zip(names, tensors, strict=True):
        try:
            values.append(Value.read(tensor))
        except ValueError as error:
            raise invalid_argument(f"tensor parsing error: {name}: {error}") from error
    return values


def _broken(names: list[str], tensors: list) -> str | None:
    """The name of the first tensor whose content and shape do not agree."""
    for name, tensor in zip(names, tensors, strict=True):
        try:
            Value.read(tensor)
        except (ValueError, KeyError) as error:
            return f"{name}: {error}"
    return None
