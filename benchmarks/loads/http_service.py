"""The HTTP service as a process of its own, with two empty routes beside its own, and a client that costs little.

python benchmarks/loads/http_service.py        serve, with the settings of the environment, for a benchmark
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from fastapi import Request, Response  # noqa: E402

from recsys.service import __main__ as process  # noqa: E402
from recsys.service.parts import Parts  # noqa: E402

EMPTY = "/empty"
START_S = 300.0
TRY_S = 0.1
END_S = 30.0


class Reply(NamedTuple):
    """One answer.

    Attributes:
        status: The HTTP status.
        body: The body.
        seconds: From the request's first byte to the answer's last one.
    """

    status: int
    body: bytes
    seconds: float


class Client:
    """One connection that stays open; it reads no more of HTTP than it has to."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, request: bytes) -> Reply:
        """Send the bytes of one request, and return its answer.

        Raises:
            OSError: The connection broke off; the next call opens another one.
        """
        began = time.perf_counter()
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            self._writer.write(request)
            head = await self._reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            body = await self._reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            await self.close()
            raise OSError(f"the connection broke off: {error!r}") from error
        return Reply(int(head.split(b" ", 2)[1]), body, time.perf_counter() - began)

    async def close(self) -> None:
        """Close the connection, and wait until it is."""
        writer, self._reader, self._writer = self._writer, None, None
        if writer is not None:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


def request(method: str, path: str, body: bytes = b"") -> bytes:
    """Return the bytes of a request."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Content-Type: application/json\r\n\r\n".encode() + body


class ServiceProcess:
    """The service as a process that can be killed and started again on the same port."""

    def __init__(self, environ: Mapping[str, str], log: Path, *, with_empty_routes: bool = False) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._environ = {**os.environ, **environ, "SERVICE_PORT": str(self.port), "SERVICE_HOST": "127.0.0.1"}
        self._environ |= {"PYTHONPATH": str(ROOT), "RATE_LIMIT_USER": "0", "RATE_LIMIT_IP": "0"}
        self._command = [sys.executable, __file__] if with_empty_routes else [sys.executable, "-m", "recsys.service"]
        self._log = log
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ServiceProcess:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill(gently=True)

    def start(self) -> None:
        """Start the process, and return once it listens."""
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(self._command, cwd=ROOT, env=self._environ, stderr=log)
        until = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if self._child.poll() is not None or time.monotonic() > until:
                    raise SystemExit(f"the service does not start; {self._log} says why") from None
                time.sleep(TRY_S)

    def kill(self, *, gently: bool = False) -> None:
        """End the process by SIGKILL, or by SIGTERM."""
        if self._child is None:
            return
        if gently:
            self._child.terminate()
            try:
                self._child.wait(END_S)
            except subprocess.TimeoutExpired:
                self._child.kill()
        else:
            self._child.kill()
        self._child.wait()
        self._child = None

    @property
    def cpu_s(self) -> float:
        """The seconds that the process has computed, in all its threads."""
        assert self._child is not None
        fields = Path(f"/proc/{self._child.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def resident_bytes(self) -> int:
        """Its resident memory."""
        assert self._child is not None
        pages = int(Path(f"/proc/{self._child.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


async def closed_loop(port: int, requests: list[bytes], n_clients: int, seconds: float) -> list[Reply]:
    """Let clients ask one request after another for some seconds, and return all answers."""
    replies: list[Reply] = []
    until = time.perf_counter() + seconds

    async def run(number: int) -> None:
        client, at = Client(port), number
        while time.perf_counter() < until:
            replies.append(await client.ask(requests[at % len(requests)]))
            at += n_clients
        await client.close()

    await asyncio.gather(*(run(number) for number in range(n_clients)))
    return replies


async def steady(port: int, requests: list[bytes], per_second: float, seconds: float) -> list[float]:
    """Send requests at an even rate, and return the seconds of each answer from the moment that it was due."""
    clients = [Client(port) for _ in range(16)]
    free: asyncio.Queue[Client] = asyncio.Queue()
    for client in clients:
        await client.ask(requests[0])
        free.put_nowait(client)
    taken: list[float] = []
    began = time.perf_counter()

    async def one(due: float, data: bytes) -> None:
        client = await free.get()
        await client.ask(data)
        taken.append(time.perf_counter() - due)
        free.put_nowait(client)

    tasks = []
    for number in range(int(per_second * seconds)):
        due = began + number / per_second
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.ensure_future(one(due, requests[number % len(requests)])))
    await asyncio.gather(*tasks)
    for client in clients:
        await client.close()
    return taken


async def one_by_one(
    port: int, requests: list[bytes], between: Callable[[], Awaitable[None]] | None = None
) -> list[float]:
    """Send requests one after another over one connection, and return the seconds of each."""
    client, taken = Client(port), []
    for data in requests:
        reply = await client.ask(data)
        if reply.status >= 300:
            raise SystemExit(f"a request should be answered. Received: {reply.status} {reply.body[:200]!r}")
        taken.append(reply.seconds)
        if between is not None:
            await between()
    await client.close()
    return taken


def serve() -> int:
    """Serve as `python -m recsys.service` does, with an empty route for GET and one for POST."""
    make_app = process.make_app

    def with_empty_routes(parts: Parts | None = None) -> object:
        app = make_app(parts)

        @app.api_route(EMPTY, methods=["GET", "POST"])
        async def empty(request: Request) -> Response:
            await request.body()
            return Response(b"{}", media_type="application/json")

        return app

    process.make_app = with_empty_routes  # type: ignore[assignment]
    logging.getLogger("recsys.service").setLevel(logging.WARNING)
    return process.main([], os.environ, ROOT)


if __name__ == "__main__":
    sys.exit(serve())
