"""The API's OpenAPI document: schemas of the very structs that decode and encode, no second description."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from lakehouse.events import AnyEvent
from models.context.fields import BANDS, FIELDS
from serving.online.answers import Reply, Taken
from serving.online.requests import MAX_TEXT, Ask
from serving.online.users import User


class Events(Struct):
    """Events of the contract (docs/event-schema.json). ``received_at`` may be left out: the API fills it in."""

    events: list[AnyEvent]


class ErrorText(Struct):
    """``field``: the one that is wrong, null where it is none; ``value``: what it was."""

    field: str | None
    value: str | int | bool | None
    message: str


class Error(Struct):
    error: ErrorText


_REF = "#/components/schemas/{name}"
_SHAPES = (Ask, Reply, Events, Taken, User, Error)
REFUSALS = {
    400: "the body is no JSON",
    401: "no token, or a wrong one (where SOUNDLAKE_API_TOKEN is set)",
    413: "the body is too large",
    422: "a field is wrong; nothing was done",
    429: "too many requests of this client; Retry-After says how long to wait",
}


def components() -> dict[str, Any]:
    _, found = msgspec.json.schema_components(_SHAPES, ref_template=_REF)
    # The contract wants received_at, the API does without.
    for name, schema in found.items():
        if name.endswith("Event") and "received_at" in schema.get("required", ()):
            schema["required"] = [field for field in schema["required"] if field != "received_at"]
    found["Ask"]["properties"]["context"] = _context()
    return found


def _context() -> dict[str, Any]:
    """The fields of a moment, each with its range; every one may be left out or null."""
    fields: dict[str, Any] = {}
    for name in FIELDS:
        bands = BANDS.get(name)
        if bands is None:
            fields[name] = {"type": ["string", "null"], "maxLength": MAX_TEXT}
        else:
            kind = "integer" if bands.whole else "number"
            fields[name] = {"type": [kind, "null"], "minimum": bands.low, "maximum": bands.high}
    return {"type": "object", "properties": fields, "additionalProperties": False, "default": {}}


def describe(answers: str, shape: type | None, body: type | None = None, status: int = 200) -> dict[str, Any]:
    """What a route adds to its part of the document."""
    codes = (401, 429, 422) if body is None else REFUSALS
    responses = {str(code): _response(REFUSALS[code], Error) for code in codes}
    responses[str(status)] = _response(answers, shape)
    extra: dict[str, Any] = {"responses": dict(sorted(responses.items())), "security": [{"bearer": []}, {}]}
    if body is not None:
        extra["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(body)}}}
    return extra


def document(app) -> dict[str, Any]:
    """The whole document, made once."""
    if app.openapi_schema is None:
        from fastapi.openapi.utils import get_openapi

        found = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schemas = found.setdefault("components", {}).setdefault("schemas", {})
        schemas.pop("HTTPValidationError", None)
        schemas.pop("ValidationError", None)
        schemas.update(components())
        found["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        app.openapi_schema = found
    return app.openapi_schema


def _response(text: str, shape: type | None) -> dict[str, Any]:
    content = {} if shape is None else {"content": {"application/json": {"schema": _ref(shape)}}}
    return {"description": text, **content}


def _ref(shape: type) -> dict[str, str]:
    return {"$ref": _REF.format(name=shape.__name__)}
