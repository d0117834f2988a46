"""Ctrl-C in a long computation: the process ends within a second, and nothing of an unfinished version is left.

Python handles a signal between two of its own instructions. A graph of TensorFlow, the sweeps of ALS or an inverse
return to Python only when they are done, which may take minutes. Therefore a thread hears of the signal, too. It waits
for the usual way out, and takes a shorter one where that does not come in time.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from recsys.artifacts.publish import DRAFT
from recsys.lifecycle.lock import OWNER, Owner

PATIENCE_S = 0.7  # seconds for the usual way out; with the rest of the way, a process ends within a second


@contextmanager
def ended_within_a_second(models_dir: Path, may_end: Callable[[], bool], leave: Callable[[], None]) -> Iterator[None]:
    """Interrupt the run on Ctrl-C, and end the process where the run does not end in time.

    Args:
        models_dir: The folder of versions, from which an unfinished one is removed.
        may_end: Whether the process may end at any instruction; not while a version is being published.
        leave: Ends the process.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed, whatever error TensorFlow made of it.
    """
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    done, pressed = threading.Event(), threading.Event()

    def interrupt(*_: object) -> None:
        pressed.set()
        raise KeyboardInterrupt

    def watch() -> None:
        while number := receiver.recv(1):
            if number[0] == signal.SIGINT and not done.wait(PATIENCE_S) and may_end():
                remove_unfinished(models_dir)
                leave()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    before = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    handler = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    except Exception as error:
        if pressed.is_set():
            raise KeyboardInterrupt from error
        raise
    finally:
        done.set()
        signal.signal(signal.SIGINT, handler)
        signal.set_wakeup_fd(before)
        sender.close()
        watcher.join()
        receiver.close()


def remove_unfinished(models_dir: Path) -> None:
    """Remove the drafts of this process, and its name from the training lock; what cannot be removed stays."""
    for draft in models_dir.glob(f"{DRAFT}*-{os.getpid()}"):
        shutil.rmtree(draft, ignore_errors=True)
    try:
        owner = Owner.read(models_dir / OWNER)
        if owner is not None and owner.process == os.getpid():
            (models_dir / OWNER).unlink()
    except OSError:
        return
