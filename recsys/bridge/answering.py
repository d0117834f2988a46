"""Requests in, answers out: one, or one after another."""

from __future__ import annotations

import faulthandler
import functools
import math
import os
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from recsys.bridge.streams import STDERR
from recsys.contract import MAX_BYTES, Request, Response, failure, parse_request, pong, ready, request_id, success
from recsys.contract.fields import shown
from recsys.errors import DeadlineExceeded, InternalError, Overloaded, RecsysError, SettingsError, UsageError

if TYPE_CHECKING:
    from recsys.recommending import Loaded
    from recsys.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
DATABASE_TIMEOUT_S = 5.0  # without a budget: far above an indexed query's time, below a visitor's patience
WATCHDOG_GRACE_S = 0.2  # after the budget: time for an orderly refusal, before the process is ended in the middle of whatever it does
WORKER_OPS = ("recommend", "similar", "ping")
ONE_SHOT_OPS = ("recommend", "similar")

Send = Callable[[bytes], None]


@dataclass(frozen=True)
class Service:
    """What a process opens once.

    Attributes:
        settings: What the process was told from outside.
        loaded: The current version and its scorers.
    """

    settings: Settings
    loaded: Loaded


def run(argv: Sequence[str], requests: BinaryIO, send: Send, environ: Mapping[str, str], *, root: Path = ROOT) -> int:
    """Answer what the command line asks for and return the exit status.

    Args:
        argv: The command line without the program's name.
        requests: Where requests are read.
        send: Writes one line to the client.
        environ: The process environment.
        root: The folder that holds `.env`, `recsys.toml` and `models/`.

    Raises:
        OSError: An answer could not be written.
    """
    service = functools.cache(lambda: _open_service(environ, root))
    if list(argv) == ["--worker"]:
        return _work(requests, send, service)
    data = b"" if argv else _read(requests)
    line, exit_status = _attempt(lambda: _refuse(argv) if argv else _answer(data, service, ONE_SHOT_OPS), data)
    send(line)
    return exit_status


def _work(requests: BinaryIO, send: Send, service: Callable[[], Service]) -> int:
    """Answer each line in turn until the input ends; a worker that cannot start says why and leaves."""
    line, exit_status = _attempt(lambda: ready(service().loaded.name, pid=os.getpid()))
    send(line)
    if exit_status:
        return exit_status
    for data in _lines(requests):
        send(_attempt(functools.partial(_answer, data, service, WORKER_OPS), data)[0])
    return 0


def _attempt(step: Callable[[], bytes], data: bytes = b"") -> tuple[bytes, int]:
    """Return the line that a step makes, or the failure it ends in, with the exit status that belongs to it."""
    try:
        return step(), 0
    except (Exception, SystemExit) as error:  # the process boundary: whatever happens becomes one line
        named = _named(error)
        return failure(named, id=request_id(data)), named.exit_status


def _named(error: BaseException) -> RecsysError:
    if isinstance(error, MemoryError):
        return Overloaded("Memory should suffice for the request. Received: no more from the system.")
    if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("recsys"):
        return SettingsError(f"Python 3.11 or newer should have the packages of requirements-serve.txt. Missing: {error.name}.")
    if isinstance(error, RecsysError) and error.code != InternalError.code:
        return error
    with suppress(OSError):  # nobody may be reading stderr
        traceback.print_exception(error)
    return InternalError("The recommender should not fail like this; its stderr has the traceback.")


def _refuse(argv: Sequence[str]) -> bytes:
    raise UsageError(f"The command line should be empty, or --worker. Received: {shown(' '.join(argv))}.")


def _answer(data: bytes, service: Callable[[], Service], ops: Sequence[str]) -> bytes:
    """Return the answer to one request; what can be known without settings, model or database is checked first."""
    arrived = time.monotonic()
    from recsys.scorers import REGISTRY

    request = parse_request(data, models=tuple(REGISTRY), ops=ops)
    if request.op == "ping":
        return pong(service().loaded.name, pid=os.getpid(), id=request.id)
    deadline = None if request.budget_ms is None else arrived + request.budget_ms / 1000
    _seconds_left(request, deadline)  # before anything is opened: a process that starts late has nothing to win
    with _watchdog(deadline):
        response = _recommend(request, service(), deadline)
        return success(replace(response, id=request.id, ms=round(1000 * (time.monotonic() - arrived), 1)))


def _recommend(request: Request, service: Service, deadline: float | None) -> Response:
    from recsys.recommending import recommend
    from recsys.store import connect

    settings = service.settings
    timeout_s = min(_seconds_left(request, deadline), DATABASE_TIMEOUT_S)
    with connect(settings.database_url, timeout_s=timeout_s) as database:
        return recommend(
            request,
            service.loaded,
            database,
            shop=settings.shop,
            now=int(time.time()),
            deadline=deadline,
            monotonic=time.monotonic,
        )


def _seconds_left(request: Request, deadline: float | None) -> float:
    left = math.inf if deadline is None else deadline - time.monotonic()
    if left <= 0:
        raise DeadlineExceeded(f"`budget_ms` should be enough to get started. Received: {request.budget_ms}.", field="budget_ms")
    return left


def _open_service(environ: Mapping[str, str], root: Path) -> Service:
    from recsys.recommending import load
    from recsys.settings import load_settings

    settings = load_settings(environ, root)
    return Service(settings, load(settings.models_dir))


@contextmanager
def _watchdog(deadline: float | None) -> Iterator[None]:
    """End the process with status 1 and its stack on stderr if the block outlasts the deadline.

    A thread of ours could not: it waits for the interpreter's lock, which C code may hold.
    """
    if deadline is None:
        yield
        return
    faulthandler.dump_traceback_later(max(deadline - time.monotonic(), 0) + WATCHDOG_GRACE_S, exit=True, file=STDERR)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def _read(requests: BinaryIO) -> bytes:
    return requests.read(MAX_BYTES + 1)


def _lines(requests: BinaryIO) -> Iterator[bytes]:
    """Yield each line; of one that is too long, enough to refuse it."""
    while line := requests.readline(MAX_BYTES + 1):
        rest = line
        while len(rest) > MAX_BYTES and not rest.endswith(b"\n"):
            rest = requests.readline(MAX_BYTES + 1)
        yield line
