"""Errors of calls to a model server: each names the address, what went wrong, and what to try next."""

from __future__ import annotations

import grpc


class ModelServerError(Exception):
    """A call to the model server that failed; `code` is the gRPC status, `address` the server."""

    def __init__(self, address: str, code: grpc.StatusCode, message: str):
        super().__init__(message)
        self.address, self.code = address, code


class ServerUnreachable(ModelServerError):
    """Nothing answers at the address (or not in time)."""


class ModelNotServed(ModelServerError):
    """The server knows no such model or version, or has it no more."""


class ModelLoading(ModelNotServed):
    """The version is still being loaded: ask again, or call `wait_available`."""


class ModelFailed(ModelServerError):
    """The server could not load a version; the message carries its reason."""


class Overloaded(ModelServerError):
    """The server was not asked: too many requests wait for it already."""


def translate(address: str, error: grpc.RpcError) -> ModelServerError:
    """A failed call to the server at `address` as one of the errors above."""
    code, details = error.code(), error.details()
    if code is grpc.StatusCode.UNAVAILABLE:
        return ServerUnreachable(
            address,
            code,
            f"no model server at {address}: start one with `soundlake dev`, or with "
            f"`python -m serving.model_server --model_config_file FILE` ({details})",
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return ServerUnreachable(address, code, f"the model server at {address} did not answer in time: read its log")
    if code is grpc.StatusCode.NOT_FOUND:
        return ModelNotServed(
            address, code, f"{address}: {details}: see what is served at http://HOST:8501/v1/models/NAME"
        )
    return ModelServerError(address, code, f"{address}: {code.name}: {details}")
