"""A TCP proxy before an HTTP server; what it does to requests and answers is left to its kinds.

It runs in a process of its own: some clients keep Python's lock while they wait for an answer.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import socket
import threading
from typing import Self

SPAWN = multiprocessing.get_context("spawn")


class Tunnel(contextlib.AbstractContextManager):
    """Everything goes through both ways; ``mark`` is one event for each connection, of the kind's own use."""

    def __init__(self, upstream: int):
        self._upstream = upstream
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        process = SPAWN.Process(target=self._accept, daemon=True)
        process.start()
        self._process = process
        self._listener.close()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()  # it has nothing to put in order, and a request to end it was once not heard
        self._process.join(30)

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            try:
                server = socket.create_connection(("127.0.0.1", self._upstream))
            except OSError:  # nobody is there: no answer to this client, the next one may have more luck
                client.close()
                continue
            mark = threading.Event()
            threading.Thread(target=self._pump, args=(client, server, self.request, mark), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, self.answer, mark), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, look, mark: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while (data := source.recv(65536)) and look(data, source, target, mark):
                target.sendall(data)
        for end in (source, target):  # close alone would leave the other thread's recv waiting, and the peer too
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def request(self, data: bytes, client: socket.socket, server: socket.socket, mark: threading.Event) -> bool:
        """-> False: the data goes no further and the connection ends."""
        return True

    def answer(self, data: bytes, server: socket.socket, client: socket.socket, mark: threading.Event) -> bool:
        """As ``request``, the other way."""
        return True
