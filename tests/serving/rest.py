"""REST calls of the tests."""

from __future__ import annotations

import json
import urllib.error
import urllib.request


def call(address: str, path: str, body=None) -> tuple[int, dict | str]:
    """(status, decoded answer) of a GET, or of a POST when there is a body (an object, or raw bytes)."""
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{address}{path}", data)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            status, text, kind = answer.status, answer.read().decode(), answer.headers["Content-Type"]
    except urllib.error.HTTPError as error:
        status, text, kind = error.code, error.read().decode(), error.headers["Content-Type"]
    return status, json.loads(text) if kind == "application/json" else text
