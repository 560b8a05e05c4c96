"""Before a request reaches its route: bearer token, size of the body, rate of the client. Plain ASGI, a few µs."""

from __future__ import annotations

import hmac
import math
import time
from collections import OrderedDict

import msgspec

from lakehouse.settings import Settings
from serving.online.requests import Refused

OPEN = frozenset(("/health", "/ready", "/metrics", "/", "/page/page.js", "/page/page.css"))
"""Paths that need no token and are not counted: probes, scrapers, and the page's own files, which hold no data."""
_CLIENTS = 10_000
_json = msgspec.json.Encoder()


class Buckets:
    """A token bucket a client (Turner 1986, leaky bucket as a meter): ``burst`` at once, ``rate`` a second after."""

    def __init__(self, rate: float, burst: int):
        self.rate, self._burst = rate, burst
        self._clients: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str, now: float | None = None) -> float:
        """Seconds until the client may ask again, 0 if it may now (which takes one of its tokens)."""
        if not self.rate:
            return 0.0
        now = time.monotonic() if now is None else now
        left, at = self._clients.pop(client, (float(self._burst), now))
        left = min(self._burst, left + (now - at) * self.rate)
        allowed = left >= 1
        self._clients[client] = (left - allowed, now)
        if len(self._clients) > _CLIENTS:
            self._clients.popitem(last=False)
        return 0.0 if allowed else (1 - left) / self.rate


class Guard:
    """ASGI middleware; ``settings``: api_token, api_max_body, api_rate, api_burst."""

    def __init__(self, app, settings: Settings, refused=lambda path, status: None):
        self._app, self._refused = app, refused
        self._token = None if settings.api_token is None else settings.api_token.get_secret_value().encode()
        self._limit = settings.api_max_body
        self._buckets = Buckets(settings.api_rate, settings.api_burst)

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http" or scope["path"] in OPEN:
            return await self._app(scope, receive, send)
        try:
            headers = dict(scope["headers"])
            self._check_rate(scope)
            self._check_token(headers)
            receive = await self._bounded(headers, receive)
        except Refused as refused:
            self._refused(scope["path"], refused.status)
            return await reply(send, refused)
        await self._app(scope, receive, send)

    def _check_rate(self, scope) -> None:
        client = (scope.get("client") or ("local",))[0]
        wait = self._buckets.wait(client)
        if wait:
            text = f"more than {self._buckets.rate:g} requests a second; wait {wait:.2f} s"
            raise Refused(429, text, "client", headers=[(b"retry-after", b"%d" % math.ceil(wait))])

    def _check_token(self, headers: dict[bytes, bytes]) -> None:
        if self._token is None:
            return
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(given.strip(), self._token):
            text = "send `Authorization: Bearer TOKEN` with the token of SOUNDLAKE_API_TOKEN"
            raise Refused(401, text, "Authorization", headers=[(b"www-authenticate", b"Bearer")])

    async def _bounded(self, headers: dict[bytes, bytes], receive):
        """``receive`` of a body that is known to be small enough; a longer one is refused before it is kept."""
        length = headers.get(b"content-length", b"0")
        if not length.isdigit():
            raise Refused(400, "is no whole number", "Content-Length", length.decode("latin-1"))
        self._check_size(int(length))
        if b"content-length" in headers or b"transfer-encoding" not in headers:
            return receive  # the server holds the client to the length it told
        messages, size = [], 0
        while True:
            message = await receive()
            messages.append(message)
            size += len(message.get("body", b""))
            self._check_size(size)
            if message["type"] != "http.request" or not message.get("more_body"):
                break
        kept = iter(messages)

        async def again():
            return next(kept, None) or await receive()

        return again

    def _check_size(self, size: int) -> None:
        if size > self._limit:
            text = f"a body may have {self._limit:,} bytes; send fewer events or ids"
            raise Refused(413, text, "body", f"{size} bytes")


async def reply(send, refused: Refused) -> None:
    """Answer with the refusal."""
    body = _json.encode(refused.body())
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    headers += refused.headers
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
