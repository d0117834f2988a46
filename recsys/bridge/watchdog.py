"""Deadlines: a request's deadline, and timers that end a process that misses it or outlives its parent or its input."""

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

WATCHDOG_GRACE_S = 0.2  # after the deadline: time to answer with a failure, before the process is ended
LAST_ANSWER_S = 1.0  # after the end of input: time for the answer that is being computed
LAST_RESORT_S = 0.5  # then a signal ends the process, for writing the stack to a full pipe would block for ever
LEAST_S = 0.001  # faulthandler refuses a time of 0 or less
POLL_S = 0.25  # where the system does not report a parent's death, its id is polled
PR_SET_PDEATHSIG = 1  # from <linux/prctl.h>


def deadline_of(request: Request, arrived: float) -> float | None:
    """Return the moment of `time.monotonic` after which an answer is of no use, or None where the client waits.

    Args:
        request: The request, with its budget.
        arrived: The moment of `time.monotonic` at which the request was read.

    Raises:
        DeadlineExceeded: The deadline has passed already.
    """
    if request.budget_ms is None:
        return None
    deadline = arrived + request.budget_ms / 1000
    if deadline <= time.monotonic():
        raise DeadlineExceeded(
            f"`budget_ms` should be enough to get started. Received: {request.budget_ms}.", field="budget_ms"
        )
    return deadline


class Watchdog:
    """Ends a process that misses a deadline, or that still works on an answer one second after the end of its input.

    It ends with status 1 and its stack on stderr.
    A worker that computes, or that writes to a full pipe, cannot notice the end of its input itself.

    Attributes:
        ended: Whether the input has ended.
    """

    def __init__(self) -> None:
        self.ended = False
        self._deadline: float | None = None
        self._answering = False
        self._lock = threading.Lock()  # the end of input comes from another thread, but there is only one timer

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Limit the time of one answer until it is written: its deadline, and one second after the end of input."""
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
        """Set the deadline of the current answer.

        Args:
            deadline: A moment of `time.monotonic`; None for no deadline, as while the answer is written.
        """
        with self._lock:
            self._deadline = deadline
            self._arm()

    def end(self) -> None:
        """Record that the input has ended."""
        with self._lock:
            self.ended = True
            self._arm()

    def _arm(self) -> None:
        moments = [] if self._deadline is None else [self._deadline + WATCHDOG_GRACE_S]
        moments += [time.monotonic() + LAST_ANSWER_S] * self.ended
        if self._answering and moments:
            _end_process_in(min(moments) - time.monotonic())
        else:
            _cancel_end()


def _end_process_in(seconds: float) -> None:
    """End the process after some seconds, unless `_cancel_end` is called.

    A Python thread could not do this: it may wait for the interpreter lock while C code runs.
    """
    seconds = max(seconds, LEAST_S)
    faulthandler.dump_traceback_later(seconds, exit=True, file=STDERR)
    _alarm_in(seconds + LAST_RESORT_S)


def _cancel_end() -> None:
    faulthandler.cancel_dump_traceback_later()
    _alarm_in(0)


def _alarm_in(seconds: float) -> None:
    if hasattr(signal, "setitimer"):  # SIGALRM has no handler, so the kernel ends the process
        signal.setitimer(signal.ITIMER_REAL, seconds)


def die_with_parent(parent: int) -> None:
    """End this process when its parent ends; on Linux, when the thread that started it ends.

    Args:
        parent: The parent's process id, read as early as possible.
    """
    if not _signalled_by_kernel():
        threading.Thread(target=_poll_parent, args=(parent,), name="parent", daemon=True).start()
    if os.getppid() != parent:  # the parent ended before the signal was requested
        os._exit(0)


def watch_input(requests: int, ended: Callable[[], None]) -> None:
    """Call `ended` as soon as the writing end of the input is closed, even while requests wait to be read.

    Args:
        requests: The descriptor of requests. A file has no writing end, so that `ended` is not called for one.
        ended: Called once, in a thread of its own.
    """
    if hasattr(select, "poll"):
        threading.Thread(target=_wait_for_hangup, args=(requests, ended), name="input", daemon=True).start()


def _signalled_by_kernel() -> bool:
    """Request SIGKILL at the parent's end and return whether the system does that."""
    if sys.platform != "linux":
        return False
    import ctypes

    return bool(ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0)


def _poll_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_S)
    os._exit(0)


def _wait_for_hangup(requests: int, ended: Callable[[], None]) -> None:
    poller = select.poll()
    # POLLRDHUP reports a socket whose writing half is closed; a pipe's end is always reported.
    poller.register(requests, getattr(select, "POLLRDHUP", 0))
    poller.poll()
    ended()
