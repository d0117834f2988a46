"""Servers that misbehave, for tests of timeouts."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from urllib.parse import urlsplit

BUFFER = 65_536
POLL_S = 0.05  # how soon a thread notices that the test is over


class FreezableProxy:
    """Passes bytes between a client and a database server until told to freeze; the connections stay open."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._frozen = threading.Event()
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        user = f"{parts.username}:{parts.password}" if parts.password else parts.username
        self.url = parts._replace(netloc=f"{user}@127.0.0.1:{self._listener.getsockname()[1]}").geturl()

    def __enter__(self) -> FreezableProxy:
        self._start(self._accept)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def freeze(self) -> None:
        self._frozen.set()

    def _start(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        self._listener.settimeout(POLL_S)
        while not self._over.is_set():
            with suppress(TimeoutError, OSError):
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                self._start(self._pump, client, server)
                self._start(self._pump, server, client)

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        source.settimeout(POLL_S)
        with source:
            while not self._over.is_set():
                with suppress(TimeoutError):
                    try:
                        data = source.recv(BUFFER)
                    except ConnectionError:
                        return
                    if not data:
                        return
                    if not self._frozen.is_set():
                        with suppress(OSError):
                            target.sendall(data)


@contextmanager
def silent_server() -> Iterator[int]:
    """Yield the port of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]
