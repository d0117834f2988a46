"""A process that stays: one line in, one line out, until the input ends."""

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
from recsys.bridge.error_boundary import as_answer, attempt
from recsys.bridge.hot_swap import Versions
from recsys.bridge.serving import OPS, Service, parse, respond
from recsys.bridge.watchdog import Watchdog, deadline_of
from recsys.contract import MAX_BYTES, Request, failure
from recsys.contract.worker_messages import Pong, Ready, Stats, worker_line
from recsys.errors import RecsysError

WORKER_OPS = (*OPS, "ping", "stats", "reload")
LAST_BUDGET_MS = (
    800  # once the input has ended; with the watchdog's grace a worker is gone a second later whatever it computes
)
# The first request should not pay for connecting; a database that is down should not keep the worker from starting
FIRST_CONNECT_S = 1.0


def work(
    requests: BinaryIO, send: Callable[[bytes], None], environ: Mapping[str, str], root: Path, watchdog: Watchdog
) -> int:
    """Answer each line in turn until the input ends; a worker that cannot start says why and leaves.

    Args:
        requests: Where requests are read.
        send: Writes one line to the client.
        environ: The process environment.
        root: The folder that holds `.env`, `recsys.toml` and `models/`.
        watchdog: Watches over the answers, and is told when the input ends.
    """
    worker = attempt(lambda: Worker.start(environ, root, watchdog))
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
            worker.tidy()
    return 0


class Worker:
    """Answers lines, and counts what becomes of them."""

    def __init__(self, service: Service, watchdog: Watchdog) -> None:
        self._service = service
        self._versions = Versions(service)
        self._watchdog = watchdog
        self._failures: Counter[str] = Counter()
        self._answered = 0
        self._since = time.monotonic()

    @classmethod
    def start(cls, environ: Mapping[str, str], root: Path, watchdog: Watchdog) -> Worker:
        """Open everything that a request needs, so that the first one is as fast as the others."""
        service = Service.open(environ, root, full=True)
        service.bundle.warm()
        with suppress(RecsysError):  # whoever asks will be told
            service.connection.use(lambda database: None, time.monotonic() + FIRST_CONNECT_S)
        worker = cls(service, watchdog)
        worker._versions.watch()
        return worker

    def greeting(self) -> bytes:
        """Return the first line."""
        return worker_line(Ready(version=self._service.bundle.name, pid=os.getpid()))

    def answer(self, data: bytes) -> bytes:
        """Return the line that answers a line."""
        outcome = attempt(lambda: self._answer(data))
        self._watchdog.limit(None)  # whoever reads the answer takes the time that it takes
        self._answered += 1
        if isinstance(outcome, RecsysError):
            self._failures[outcome.code] += 1
        return as_answer(outcome, data)

    def tidy(self) -> None:
        """Do what can wait until an answer is out."""
        trim_memory()

    def close(self) -> None:
        """Let go of the database, and of the folder of versions."""
        self._versions.close()
        self._service.close()

    def _answer(self, data: bytes) -> bytes:
        arrived = time.monotonic()
        request = self._bounded(parse(data, WORKER_OPS))
        deadline = deadline_of(request, arrived)
        self._watchdog.limit(deadline)
        if request.op in OPS:
            return respond(request, self._service, arrived, deadline)
        if request.op == "stats":
            return self._stats(request)
        if request.op == "reload" and (error := self._versions.look(again=True)):
            raise error
        return worker_line(Pong(version=self._service.bundle.name, pid=os.getpid(), id=request.id))

    def _bounded(self, request: Request) -> Request:
        """Return the request with the budget that it really has."""
        if self._watchdog.ended:
            return replace(request, budget_ms=min(request.budget_ms or LAST_BUDGET_MS, LAST_BUDGET_MS))
        return (
            replace(request, budget_ms=None) if request.op == "reload" else request
        )  # a version takes the time that it takes

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
    """Yield each line; of one that is too long, enough to refuse it."""
    while line := requests.readline(MAX_BYTES + 1):
        rest = line
        while len(rest) > MAX_BYTES and not rest.endswith(b"\n"):
            rest = requests.readline(MAX_BYTES + 1)
        yield line
