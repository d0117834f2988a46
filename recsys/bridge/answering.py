"""Requests in, answers out: one, or one after another."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from recsys.bridge.deadlines import Watchdog, deadline_of, ended_after
from recsys.bridge.outcome import as_answer, attempt
from recsys.bridge.service import Service
from recsys.contract import MAX_BYTES, Request, parse_request, success
from recsys.contract.fields import shown
from recsys.errors import RecsysError, UsageError

ROOT = Path(__file__).resolve().parents[2]
WORKER = "--worker"
OPS = ("recommend", "similar")
RESIDENT_ONCE = 72 << 20  # bytes: a process that answers once has no use for what it has read

Send = Callable[[bytes], None]


def run(
    argv: Sequence[str],
    requests: BinaryIO,
    send: Send,
    environ: Mapping[str, str],
    *,
    root: Path = ROOT,
    watchdog: Watchdog | None = None,
) -> int:
    """Answer what the command line asks for and return the exit status.

    Args:
        argv: The command line without the program's name.
        requests: Where requests are read.
        send: Writes one line to the client.
        environ: The process environment.
        root: The folder that holds `.env`, `recsys.toml` and `models/`.
        watchdog: Watches over a worker's answers, and is told when its input ends.

    Raises:
        OSError: An answer could not be written.
    """
    if list(argv) == [WORKER]:
        from recsys.bridge.worker import work

        return work(requests, send, environ, root, watchdog or Watchdog())
    data = b"" if argv else requests.read(MAX_BYTES + 1)
    outcome = attempt(lambda: _refuse(argv) if argv else _answer(data, environ, root))
    send(as_answer(outcome, data))
    return outcome.exit_status if isinstance(outcome, RecsysError) else 0


def parse(data: bytes, ops: Sequence[str]) -> Request:
    """Return the request that one line holds."""
    from recsys.scorers import REGISTRY

    return parse_request(data, models=tuple(REGISTRY), ops=ops)


def respond(request: Request, service: Service, arrived: float, deadline: float | None) -> bytes:
    """Return the answer to a request for items.

    Args:
        request: The question.
        service: What answers.
        arrived: The moment of `time.monotonic` when the request was there.
        deadline: The moment after which an answer is of no use.
    """
    response = service.recommend(request, deadline)
    return success(replace(response, id=request.id, ms=round(1000 * (time.monotonic() - arrived), 1)))


def _refuse(argv: Sequence[str]) -> bytes:
    raise UsageError(f"The command line should be empty, or --worker. Received: {shown(' '.join(argv))}.")


def _answer(data: bytes, environ: Mapping[str, str], root: Path) -> bytes:
    """Return the answer to the only request; what can be known without settings, model or database is checked first."""
    arrived = time.monotonic()
    request = parse(data, OPS)
    deadline = deadline_of(request, arrived)
    with ended_after(deadline), closing(Service.open(environ, root, resident_limit=RESIDENT_ONCE)) as service:
        deadline_of(request, arrived)
        return respond(request, service, arrived, deadline)
