"""Servers that misbehave, for tests of timeouts."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from urllib.parse import urlsplit

BUFFER = 65_536
DRIP_BYTES = 3
DRIP_S = 0.02  # so often, a few bytes: no wait for the next ones is ever long
DRIPS = 500  # ten seconds
POLL_S = 0.05  # how soon a thread notices that the test is over


class FreezableProxy:
    """Passes bytes between a client and a database server until `freeze` or `drip`; connections stay open."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._frozen = threading.Event()
        self._dripping = threading.Event()
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        user = f"{parts.username}:{parts.password}" if parts.password else parts.username
        self.url = parts._replace(netloc=f"{user}@127.0.0.1:{self._listener.getsockname()[1]}").geturl()

    def __enter__(self) -> FreezableProxy:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def freeze(self) -> None:
        self._frozen.set()

    def drip(self) -> None:
        """Let the server's bytes arrive a few at a time."""
        self._dripping.set()

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
                self._start(self._pump, client, server, threading.Event())
                self._start(self._pump, server, client, self._dripping)

    def _pump(self, source: socket.socket, target: socket.socket, dripping: threading.Event) -> None:
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
                            self._forward(data, target, dripping)

    def _forward(self, data: bytes, target: socket.socket, dripping: threading.Event) -> None:
        while data and dripping.is_set() and not self._over.wait(DRIP_S):
            target.sendall(data[:DRIP_BYTES])
            data = data[DRIP_BYTES:]
        target.sendall(data)


@contextmanager
def silent_server() -> Iterator[int]:
    """Yield the port of a server that accepts connections and never writes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


# The beginning of a message that is long in coming: MySQL's greeting, PostgreSQL's refusal.
BEGINNINGS = {"mysql+pymysql": b"\xff\xff\xff\x00\x0a", "postgresql+psycopg": b"E\x00\x00\x75\x00"}


@contextmanager
def dripping_server(scheme: str) -> Iterator[str]:
    """Yield the URL of a server whose first message comes a few bytes at a time, for ten seconds, and breaks off."""
    over = threading.Event()

    def drip(client: socket.socket) -> None:
        with client, suppress(OSError):
            client.sendall(BEGINNINGS[scheme])
            for _ in range(DRIPS):
                if over.wait(DRIP_S):
                    break
                client.sendall(b"x" * DRIP_BYTES)

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threads.append(threading.Thread(target=drip, args=(client,)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads = [threading.Thread(target=accept)]
        threads[0].start()
        options = "?sslmode=disable&gssencmode=disable" if scheme.startswith("postgresql") else ""
        yield f"{scheme}://root@127.0.0.1:{listener.getsockname()[1]}/x{options}"
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join()
