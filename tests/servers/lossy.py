"""A TCP proxy that loses the answer to the first PUT of an HTTP client: the server did what the client can't know."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class LossyProxy:
    """``lost`` is set when the answer has been lost; everything else goes through."""

    def __init__(self, upstream: int):
        self._upstream, self.lost = upstream, threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._upstream))
                writes = threading.Event()  # a PUT is on its way on this connection
                threading.Thread(target=self._forward, args=(client, server, writes), daemon=True).start()
                threading.Thread(target=self._back, args=(server, client, writes), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket, writes: threading.Event) -> None:
        with contextlib.suppress(OSError), client, server:
            while data := client.recv(65536):
                if data.startswith(b"PUT "):
                    writes.set()
                server.sendall(data)

    def _back(self, server: socket.socket, client: socket.socket, writes: threading.Event) -> None:
        with contextlib.suppress(OSError), client, server:
            while data := server.recv(65536):
                if writes.is_set() and not self.lost.is_set() and not data.startswith(b"HTTP/1.1 100"):
                    self.lost.set()
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(data)


@contextmanager
def losing_an_answer(upstream: int) -> Iterator[LossyProxy]:
    proxy = LossyProxy(upstream)
    try:
        yield proxy
    finally:
        proxy.close()
