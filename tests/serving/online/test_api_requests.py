"""What is refused before any model is asked: the field and the value are named, and nothing is a 5xx."""

from __future__ import annotations

import asyncio
import json
import random

import httpx
import pytest

from lakehouse.settings import Settings
from serving.api import create_app
from serving.online.events import parse_events
from serving.online.guard import Buckets
from serving.online.requests import Refused, parse_ask

MIB = 1024 * 1024


class Client:
    """The app without its start: what is refused needs neither model nor store."""

    def __init__(self, **more):
        self.app = create_app(Settings(lake="/tmp/no-lake", pseudonym_key="k", **more))

    def __call__(self, method: str, path: str, content=None, **headers) -> httpx.Response:
        async def send():
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
                return await client.request(method, path, content=content, headers=headers)

        return asyncio.run(send())


@pytest.mark.parametrize(
    ("body", "field", "value"),
    [
        ('{"user_id": "u", "k": 10000000}', "k", 10000000),
        ('{"user_id": "u", "k": 99999999999999999999999}', "k", None),
        ('{"user_id": "u", "k": 0}', "k", 0),
        ('{"user_id": "u", "k": 2.5}', "k", "2.5"),
        ('{"user_id": "u", "k": "ten"}', "k", "ten"),
        ('{"user_id": "u", "k": true}', "k", True),
        ('{"user_id": 7}', "user_id", 7),
        ('{"user_id": ""}', "user_id", ""),
        ('{"k": 3}', "user_id", None),
        ('{"user_id": "u", "context": {"hour": NaN}}', "context.hour", "nan"),
        ('{"user_id": "u", "context": {"temperature": -Infinity}}', "context.temperature", "-inf"),
        ('{"user_id": "u", "context": {"hour": "NaN"}}', "context.hour", "NaN"),
        ('{"user_id": "u", "context": {"hour": 24}}', "context.hour", 24),
        ('{"user_id": "u", "context": {"hour": 7.5}}', "context.hour", "7.5"),
        ('{"user_id": "u", "context": {"device": 3}}', "context.device", 3),
        ('{"user_id": "u", "context": {"mood": "sad"}}', "context.mood", "sad"),
        ('{"user_id": "u", "context": {"device": ["phone"]}}', "context[...]", None),
        ('{"user_id": "u", "context": []}', "context", "[]"),
        ('{"user_id": "u", "exclude": ["a", 3]}', "exclude[1]", 3),
        ('{"user_id": "u", "exclude": "a"}', "exclude", "a"),
        ('{"user_id": "u", "history": [null]}', "history[0]", None),
        ('{"user_id": "u", "explain": "yes"}', "explain", "yes"),
        ('{"user_id": "u", "limit": 3}', "limit", 3),
        ("[]", "body", "[]"),
    ],
)
def test_a_wrong_value_is_named(body, field, value):
    with pytest.raises(Refused) as refused:
        parse_ask(body.encode())
    assert refused.value.status == 422
    error = refused.value.body()["error"]
    assert error["field"] == field
    if value is not None:
        assert error["value"] == value


NO_JSON = [b"", b"{", b"\xff\xfe", b'{"user_id": "\xff"}', b"[" * 100_000, b'{"user_id": "u"} x']


@pytest.mark.parametrize("body", NO_JSON)
def test_what_is_no_json_is_said_to_be_none(body):
    with pytest.raises(Refused) as refused:
        parse_ask(body)
    assert refused.value.field == "body" and refused.value.status == (422 if body.startswith(b"[") else 400)
    with pytest.raises(Refused):
        parse_events(body)


def test_all_fields_of_the_context_are_taken():
    from models.context.fields import BANDS, FIELDS

    context = {name: BANDS[name].low if name in BANDS else "word" for name in FIELDS}
    assert parse_ask(json.dumps({"user_id": "u", "context": context}).encode()).context == context
    assert parse_ask(b'{"user_id": "u", "context": {"hour": null, "temperature": -3.5}}').context["hour"] is None


def test_a_mebibyte_of_garbage_and_more():
    client, garbage = Client(), random.Random(1).randbytes(MIB)
    for path in ("/v1/recommendations", "/v1/events"):
        assert client("POST", path, garbage).status_code == 400
        too_long = client("POST", path, garbage + b"x")
        assert too_long.status_code == 413 and too_long.json()["error"]["field"] == "body"

        async def pieces():
            for _ in range(20):
                yield b"x" * (MIB // 10)

        assert client("POST", path, pieces()).status_code == 413


def test_the_token_is_asked_for():
    client = Client(api_token="secret")
    for header in ({}, {"authorization": "Bearer wrong"}, {"authorization": "secret"}, {"authorization": "Bearer "}):
        refused = client("POST", "/v1/recommendations", b"{}", **header)
        assert refused.status_code == 401 and refused.headers["www-authenticate"] == "Bearer"
        assert client("GET", "/docs", **header).status_code == 401
    assert client("POST", "/v1/recommendations", b"{}", authorization="bearer secret").status_code == 422
    for path in ("/health", "/metrics", "/"):
        assert client("GET", path).status_code == 200
    assert client("GET", "/ready").status_code == 503


def test_a_client_that_asks_too_often_waits():
    client = Client(api_rate=0.5, api_burst=2)
    statuses = [client("POST", "/v1/recommendations", b"{}").status_code for _ in range(3)]
    refused = client("POST", "/v1/recommendations", b"{}")
    assert statuses == [422, 422, 429] and 1 <= int(refused.headers["retry-after"]) <= 2
    assert client("GET", "/health").status_code == 200


def test_a_bucket_fills_again_and_is_each_client_s_own():
    buckets = Buckets(rate=2, burst=1)
    assert buckets.wait("a", 0.0) == 0 and buckets.wait("a", 0.0) == pytest.approx(0.5)
    assert buckets.wait("b", 0.0) == 0
    assert buckets.wait("a", 0.5) == 0 and buckets.wait("a", 0.6) == pytest.approx(0.4)
    assert all(Buckets(rate=0, burst=1).wait("a", 0.0) == 0 for _ in range(5))


def test_paths_and_methods_that_are_not_there():
    client = Client()
    assert client("GET", "/v1/nothing").json()["error"]["value"] == "/v1/nothing"
    assert client("GET", "/v1/recommendations").status_code == 405
    assert client("GET", "/page/../../settings.py").status_code == 404
    assert client("POST", "/v1/recommendations", b"{}", **{"content-length": "x"}).status_code == 400
