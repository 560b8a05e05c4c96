"""A TCP proxy that loses the answer to the first PUT of an HTTP client: the server did what the client can't know."""

from __future__ import annotations

import socket
import threading

from servers.tunnel import SPAWN, Tunnel


class LossyProxy(Tunnel):
    """``lost`` is set when the answer has been lost; everything else goes through."""

    def __init__(self, upstream: int):
        self.lost = SPAWN.Event()
        super().__init__(upstream)

    def request(self, data: bytes, client: socket.socket, server: socket.socket, mark: threading.Event) -> bool:
        if data.startswith(b"PUT "):
            mark.set()  # a PUT is on its way on this connection
        return True

    def answer(self, data: bytes, server: socket.socket, client: socket.socket, mark: threading.Event) -> bool:
        if mark.is_set() and not self.lost.is_set() and not data.startswith(b"HTTP/1.1 100"):
            self.lost.set()
            return False
        return True
