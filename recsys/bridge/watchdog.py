"""How long a request may take, and what ends the process if it takes longer."""

from __future__ import annotations

import faulthandler
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from recsys.bridge.streams import STDERR
from recsys.contract import Request
from recsys.errors import DeadlineExceeded

WATCHDOG_GRACE_S = (
    0.2  # after the budget: time for an orderly refusal, before the process is ended in the middle of whatever it does
)
LAST_ANSWER_S = 1.0  # what is being answered when the input ends has so long, not as long as it likes
# Then the kernel ends it: what nobody reads keeps the stack from being written, and the process from ending over it
LAST_RESORT_S = 0.5
LEAST_S = 0.001  # faulthandler takes no time that has passed


def deadline_of(request: Request, arrived: float) -> float | None:
    """Return the moment of `time.monotonic` after which an answer is of no use, or None where the client waits.

    Raises:
        DeadlineExceeded: It is past already: a process that starts late has nothing to win.
    """
    if request.budget_ms is None:
        return None
    deadline = arrived + request.budget_ms / 1000
    if deadline <= time.monotonic():
        raise DeadlineExceeded(
            f"`budget_ms` should be enough to get started. Received: {request.budget_ms}.", field="budget_ms"
        )
    return deadline


@contextmanager
def ended_after(deadline: float | None) -> Iterator[None]:
    """End the process with status 1 and its stack on stderr if the block outlasts the deadline."""
    if deadline is None:
        yield
        return
    _end_process_in(deadline + WATCHDOG_GRACE_S - time.monotonic())
    try:
        yield
    finally:
        _let_live()


class Watchdog:
    """Ends a worker whose answer outlasts its deadline, or the input by a second.

    A process that computes, or writes what nobody reads, notices no end of input.

    Attributes:
        ended: Whether the input has ended.
    """

    def __init__(self) -> None:
        self.ended = False
        self._deadline: float | None = None
        self._answering = False
        self._lock = threading.Lock()  # the input's end comes from another thread; there is one timer for both

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Watch over one line until its answer is out: its deadline, as long as there is one, and a second from the input's end on."""
        with self._lock:
            self._answering, self._deadline = True, None
            self._arm()
        try:
            yield
        finally:
            with self._lock:
                self._answering = False
                self._arm()

    def limit(self, deadline: float | None) -> None:
        """Set the deadline of what is done from now on, a moment of `time.monotonic`; writing the answer has none."""
        with self._lock:
            self._deadline = deadline
            self._arm()

    def end(self) -> None:
        """Take note that the input has ended."""
        with self._lock:
            self.ended = True
            self._arm()

    def _arm(self) -> None:
        moments = [] if self._deadline is None else [self._deadline + WATCHDOG_GRACE_S]
        moments += [time.monotonic() + LAST_ANSWER_S] * self.ended
        if self._answering and moments:
            _end_process_in(min(moments) - time.monotonic())
        else:
            _let_live()


def _end_process_in(seconds: float) -> None:
    """Let the process end unless that is cancelled. A thread of ours could not: it waits for the lock that C code may hold."""
    seconds = max(seconds, LEAST_S)
    faulthandler.dump_traceback_later(seconds, exit=True, file=STDERR)
    _alarm_in(seconds + LAST_RESORT_S)


def _let_live() -> None:
    faulthandler.cancel_dump_traceback_later()
    _alarm_in(0)


def _alarm_in(seconds: float) -> None:
    if hasattr(signal, "setitimer"):  # SIGALRM, which nothing here handles, ends a process without asking it
        signal.setitimer(signal.ITIMER_REAL, seconds)


POLL_S = 0.25  # where the system does not tell of a parent's death, it is noticed so soon
PR_SET_PDEATHSIG = 1  # from <linux/prctl.h>


def die_with_parent(parent: int) -> None:
    """Let the process end when its parent does; on Linux, when the thread that started it does.

    Args:
        parent: The parent's id, read as early as possible.
    """
    if not _told_by_the_kernel():
        threading.Thread(target=_poll, args=(parent,), name="parent", daemon=True).start()
    if os.getppid() != parent:  # it died before the kernel was asked
        os._exit(0)


def watch_input(requests: int, ended: Callable[[], None]) -> None:
    """Call `ended` as soon as nobody can write requests any more, however many are waiting to be read.

    Args:
        requests: The descriptor where requests are read. A file has an end, but nobody who could hang up.
        ended: Called once, in a thread of its own.
    """
    if hasattr(select, "poll"):
        threading.Thread(target=_wait_for_the_end, args=(requests, ended), name="input", daemon=True).start()


def _told_by_the_kernel() -> bool:
    if sys.platform != "linux":
        return False
    import ctypes

    return bool(ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0)


def _poll(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_S)
    os._exit(0)


def _wait_for_the_end(requests: int, ended: Callable[[], None]) -> None:
    poller = select.poll()
    poller.register(
        requests, getattr(select, "POLLRDHUP", 0)
    )  # a socket's writing half closed; a pipe's end comes unasked
    poller.poll()
    ended()
