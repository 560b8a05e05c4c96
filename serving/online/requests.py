"""What may be asked of the API: decoded strictly, and whatever is wrong names the field and the value."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from lakehouse.events import Id
from models.context.fields import BANDS, FIELDS

MAX_K = 100
MAX_IDS = 1000
MAX_TEXT = 256
_SHOWN_VALUE = 80

K = Annotated[int, Meta(ge=1, le=MAX_K, description="how many tracks")]
Ids = Annotated[list[Id], Meta(max_length=MAX_IDS)]
ContextValue = int | float | Annotated[str, Meta(max_length=MAX_TEXT)] | None


class Refused(Exception):
    """A request that can not be answered: HTTP status, the field, its value, what to do about it, further headers."""

    def __init__(
        self,
        status: int,
        message: str,
        field: str | None = None,
        value: Any = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ):
        super().__init__(message)
        self.status, self.message, self.field, self.value, self.headers = status, message, field, value, headers

    def body(self) -> dict[str, Any]:
        """As the API answers it."""
        return {"error": {"field": shown(self.field), "value": shown(self.value), "message": shown(self.message, 500)}}


class Ask(Struct, kw_only=True, forbid_unknown_fields=True):
    """One question for recommendations.

    context: what is known of the moment, by ``models.context.FIELDS``. exclude: tracks never to return. history:
    track ids, oldest first, instead of what the online store knows. repeats: tracks of the history may come again.
    """

    user_id: Id
    k: K = 10
    context: dict[str, ContextValue] = msgspec.field(default_factory=dict)
    exclude: Ids = msgspec.field(default_factory=list)
    explain: bool = True
    history: Ids | None = None
    repeats: bool = False


_decoder = msgspec.json.Decoder(Ask)


def parse_ask(body: bytes) -> Ask:
    """The question in a request's body; raises Refused."""
    ask = decode(_decoder, body)
    for name, value in ask.context.items():
        _check_context(name, value)
    return ask


def decode(decoder: msgspec.json.Decoder, body: bytes) -> Any:
    """Decode a body; raises Refused with 422 for a wrong value and 400 for what is no JSON."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        text, field = _parted(str(error))
        raise Refused(422, text, field, value_at(body, field)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _no_json(body, error) from None


def _check_context(name: str, value: Any) -> None:
    field = f"context.{name}"
    if name not in FIELDS:
        raise Refused(422, f"no field of the context is called {name[:MAX_TEXT]!r}; there are {', '.join(FIELDS)}",
                      field[:MAX_TEXT], value)  # fmt: skip
    bands = BANDS.get(name)
    if value is None:
        return
    if bands is None:
        if not isinstance(value, str):
            raise Refused(422, "is no text; leave it out where it is not known", field, value)
    elif isinstance(value, str):
        raise Refused(422, "is text; give a number, or leave it out where it is not known", field, value)
    elif not (math.isfinite(value) and bands.low <= value <= bands.high) or bands.whole and value != int(value):
        kind = "a whole number" if bands.whole else "a number"
        raise Refused(422, f"is not {kind} from {bands.low:g} to {bands.high:g}", field, value)


def _parted(text: str) -> tuple[str, str | None]:
    """msgspec's "Expected `int`, got `str` - at `$.k`" -> (what, "k")."""
    what, _, place = text.partition(" - at `")
    unknown = re.search(r"unknown field `(.+)`$", what)
    path = place.rstrip("`").removeprefix("$").removeprefix(".")
    if unknown:
        return what, f"{path}.{unknown[1]}" if path else unknown[1]
    missing = re.search(r"missing required field `(.+)`$", what)
    if missing:
        return what, f"{path}.{missing[1]}" if path else missing[1]
    return what, path or "body"


def value_at(body: bytes, path: str | None) -> Any:
    """The value at a path such as "exclude[3]", None where there is none."""
    try:
        value = msgspec.json.decode(body)
        for part in re.findall(r"[^.\[\]]+|\[\d+\]", "" if path in (None, "body") else path):
            value = value[int(part[1:-1])] if part.startswith("[") else value[part]
    except (ValueError, RecursionError, KeyError, IndexError, TypeError):  # bad UTF-8 is a ValueError, too
        return None
    return value


def _no_json(body: bytes, error: Exception) -> Refused:
    """NaN and Infinity are no JSON, but Python writes them: say in which field."""
    try:
        found = _not_finite(json.loads(body), "")
    except (ValueError, RecursionError):
        found = None
    if found:
        return Refused(422, "is not a finite number, which JSON can not carry", *found)
    return Refused(400, f"the body is no JSON: {error}", "body", body[:_SHOWN_VALUE].decode(errors="replace"))


def _not_finite(value: Any, path: str) -> tuple[str, str] | None:
    if isinstance(value, float) and not math.isfinite(value):
        return path or "body", str(value)
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in parts:
        place = f"{path}[{key}]" if isinstance(key, int) else f"{path}.{key}" if path else key
        if found := _not_finite(item, place):
            return found
    return None


def shown(value: Any, longest: int = _SHOWN_VALUE) -> Any:
    """A value as an error repeats it: short, and always JSON."""
    if value is None or isinstance(value, bool) or isinstance(value, int) and abs(value) < 2**53:
        return value
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= longest else f"{text[:longest]}…"
