"""A TCP proxy before an HTTP server that can say for a while what S3 says under load: 503 Slow Down."""

from __future__ import annotations

import socket
import threading

from servers.tunnel import SPAWN, Tunnel

_BODY = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
_HEAD = b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
_ANSWER = _HEAD % len(_BODY) + _BODY
_METHODS = (b"GET ", b"PUT ", b"POST ", b"HEAD ", b"DELETE ")


class BusyProxy(Tunnel):
    """``busy`` set: every new request is refused; ``refused`` is set by the first one."""

    def __init__(self, upstream: int):
        self.busy, self.refused = SPAWN.Event(), SPAWN.Event()
        super().__init__(upstream)

    def request(self, data: bytes, client: socket.socket, server: socket.socket, mark: threading.Event) -> bool:
        if self.busy.is_set() and data.startswith(_METHODS):
            self.refused.set()
            client.sendall(_ANSWER)
            return False
        return True
