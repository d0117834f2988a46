"""The worker: a process that answers one request a line until its input ends."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from recsys.artifacts import resident_bytes, trim_memory
from recsys.bridge import error_boundary
from recsys.bridge.hot_swap import Versions
from recsys.bridge.serving import OPS, Service, parse, respond
from recsys.bridge.watchdog import Watchdog, deadline_of
from recsys.contract import MAX_BYTES, Request, failure
from recsys.contract.worker_messages import Pong, Ready, Stats, worker_line
from recsys.errors import RecsysError

WORKER_OPS = (*OPS, "ping", "stats", "reload")
LAST_BUDGET_MS = 800  # after the end of input; with the watchdog's grace the worker ends within a second
FIRST_CONNECT_S = 1.0  # at the start, so that the first request need not connect; without a database it starts, too


def work(
    requests: BinaryIO, send: Callable[[bytes], None], environ: Mapping[str, str], root: Path, watchdog: Watchdog
) -> int:
    """Answer each line in turn until the input ends, and return the exit status.

    A worker that cannot start writes one line with the failure and ends.

    Args:
        requests: The stream of requests.
        send: Writes one line to the client.
        environ: The process environment.
        root: The folder that holds `.env`, `recsys.toml` and `models/`.
        watchdog: Limits the time of each answer.

    Raises:
        OSError: An answer could not be written.
    """
    worker = error_boundary.run(lambda: Worker.start(environ, root, watchdog))
    if isinstance(worker, RecsysError):
        with watchdog.answering():
            send(failure(worker))
        return worker.exit_status
    with closing(worker):
        with watchdog.answering():
            send(worker.greeting())
        for data in _lines(requests):
            with watchdog.answering():
                send(worker.answer(data))
            trim_memory()  # can wait until the answer is written
    return 0


class Worker:
    """Answers lines, and counts answers and failures."""

    def __init__(self, service: Service, watchdog: Watchdog) -> None:
        self._service = service
        self._versions = Versions(service)
        self._watchdog = watchdog
        self._failures: Counter[str] = Counter()
        self._answered = 0
        self._since = time.monotonic()

    @classmethod
    def start(cls, environ: Mapping[str, str], root: Path, watchdog: Watchdog) -> Worker:
        """Open everything that a request needs, so that the first request is as fast as the others.

        Raises:
            SettingsError: A setting is missing or wrong.
            NoModel: No version is published.
            ModelRefused: The version is damaged.
        """
        service = Service.open(environ, root, full=True)
        service.bundle.warm()
        with suppress(RecsysError):  # the first request will report it
            service.connection.use(lambda database: None, time.monotonic() + FIRST_CONNECT_S)
        worker = cls(service, watchdog)
        worker._versions.watch()
        return worker

    def greeting(self) -> bytes:
        """Return the first line of the worker, `ready`."""
        return worker_line(Ready(version=self._service.bundle.name, pid=os.getpid()))

    def answer(self, data: bytes) -> bytes:
        """Return the line that answers a line."""
        result = error_boundary.run(lambda: self._answer(data))
        self._watchdog.limit(None)  # a slow reader of the answer misses no deadline
        self._answered += 1
        if isinstance(result, RecsysError):
            self._failures[result.code] += 1
        return error_boundary.to_line(result, data)

    def close(self) -> None:
        """Close the database connection and stop looking for new versions."""
        self._versions.close()
        self._service.close()

    def _answer(self, data: bytes) -> bytes:
        arrived = time.monotonic()
        request = self._with_real_budget(parse(data, WORKER_OPS))
        deadline = deadline_of(request, arrived)
        self._watchdog.limit(deadline)
        if request.op in OPS:
            line = respond(request, self._service, arrived, deadline)
            self._versions.answered(request)
            return line
        if request.op == "stats":
            return self._stats(request)
        if request.op == "reload" and (error := self._versions.look(again=True)):
            raise error
        refused = self._versions.refused
        return worker_line(Pong(version=self._service.bundle.name, pid=os.getpid(), refused=refused, id=request.id))

    def _with_real_budget(self, request: Request) -> Request:
        """Return the request with a shorter budget after the end of input, and with none for `reload`."""
        if self._watchdog.ended:
            return replace(request, budget_ms=min(request.budget_ms or LAST_BUDGET_MS, LAST_BUDGET_MS))
        return replace(request, budget_ms=None) if request.op == "reload" else request

    def _stats(self, request: Request) -> bytes:
        return worker_line(
            Stats(
                version=self._service.bundle.name,
                pid=os.getpid(),
                uptime_s=round(time.monotonic() - self._since, 3),
                answered=self._answered,
                failures=dict(self._failures),
                swaps=self._versions.swaps,
                refused=self._versions.refused,
                connections=self._service.connection.opened,
                rss_bytes=resident_bytes(),
                id=request.id,
            )
        )


def _lines(requests: BinaryIO) -> Iterator[bytes]:
    """Yield each line; of a line that is too long, only its first `MAX_BYTES` + 1 bytes, which are then refused."""
    while line := requests.readline(MAX_BYTES + 1):
        rest = line
        while len(rest) > MAX_BYTES and not rest.endswith(b"\n"):
            rest = requests.readline(MAX_BYTES + 1)
        yield line
