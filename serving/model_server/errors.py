"""Errors of the model server, with the canonical status codes of gRPC."""

from __future__ import annotations

import grpc

_GRPC_CODES = {code.value[0]: code for code in grpc.StatusCode}

# The REST status of each code, as TensorFlow Serving maps them.
_HTTP_STATUS = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
}


class ServingError(Exception):
    """A request that cannot be answered: a canonical status code and a message for the caller."""

    def __init__(self, code: grpc.StatusCode, message: str):
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def http_status(self) -> int:
        """The status of a REST answer that carries this error."""
        return _HTTP_STATUS.get(self.code, 500)

    @property
    def number(self) -> int:
        """The canonical code as the integer that protocol messages carry."""
        return self.code.value[0]


def invalid_argument(message: str) -> ServingError:
    """The request itself is wrong."""
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(message: str) -> ServingError:
    """No such model or version is being served."""
    return ServingError(grpc.StatusCode.NOT_FOUND, message)


def failed_precondition(message: str) -> ServingError:
    """The request is well formed, but the server is not in a state to grant it."""
    return ServingError(grpc.StatusCode.FAILED_PRECONDITION, message)


def error_of_code(code: int, message: str) -> ServingError:
    """An error with the canonical code as protocol messages and TensorFlow's C API carry it."""
    return ServingError(_GRPC_CODES.get(code, grpc.StatusCode.UNKNOWN), message)


def as_serving_error(error: BaseException) -> ServingError:
    """Any exception as a `ServingError`; TensorFlow's own errors keep their code."""
    if isinstance(error, ServingError):
        return error
    code = _GRPC_CODES.get(getattr(error, "error_code", None), grpc.StatusCode.UNKNOWN)
    message = getattr(error, "message", None) or f"{type(error).__name__}: {error}"
    return ServingError(code, str(message))
