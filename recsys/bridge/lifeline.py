"""A worker's ties to whoever started it: it ends with its parent, and with its input, even while it computes."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable

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
    poller.register(requests, getattr(select, "POLLRDHUP", 0))  # a socket's writing half closed; a pipe's end comes unasked
    poller.poll()
    ended()
