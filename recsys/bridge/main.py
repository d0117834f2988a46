"""The process boundary: stdin and stdout, and every failure as one JSON line with its exit status."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from recsys.bridge.streams import send, take_streams

if TYPE_CHECKING:
    from recsys.bridge.watchdog import Watchdog

ANSWER_LOST = 74  # the sysexits number of an input/output error


def main(argv: Sequence[str], root: Path | None = None) -> int:
    """Answer one request, or with `--worker` one after another, and return the exit status.

    Args:
        argv: The command line without the program's name.
        root: The folder that holds `.env`, `recsys.toml` and `models/`; by default the one above the package.
    """
    parent = os.getppid()
    signal.signal(
        signal.SIGINT, signal.SIG_DFL
    )  # Ctrl-C ends the process as SIGTERM does: at once, by the signal, without a traceback
    try:
        requests, answers = take_streams()
        from recsys.bridge.command_line import ROOT, WORKER, run  # only now: what this imports may print

        watchdog = _watch_parent(requests, parent) if list(argv) == [WORKER] else None
        with open(requests, "rb") as incoming:
            return run(
                argv, incoming, lambda line: send(answers, line), os.environ, root=root or ROOT, watchdog=watchdog
            )
    except OSError as error:
        if sys.stderr is not None and not isinstance(error, BrokenPipeError):  # a reader that has left needs no word
            sys.stderr.write(f"stdin or stdout broke off: {error}\n")
        return ANSWER_LOST
    finally:
        for stream in filter(None, (sys.__stdout__, sys.stderr)):
            with suppress(OSError):  # its reader may be gone; the exit status stands all the same
                stream.flush()  # the door leaves without Python's own tidying up


def _watch_parent(requests: int, parent: int) -> Watchdog:
    """Let a worker end with its parent and with its input."""
    from recsys.bridge.watchdog import Watchdog, die_with_parent, watch_input

    die_with_parent(parent)
    watchdog = Watchdog()
    watch_input(requests, watchdog.end)
    return watchdog


def recommend_command() -> NoReturn:
    """Run `recsys-recommend`; the process ends with the answer's exit status."""
    import gc

    for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ[threads] = "1"  # before NumPy loads: the scorers run in threads of their own
    if not sys.argv[1:]:
        gc.disable()  # one request leaves little garbage; a worker does collect it
    pass

    os._exit(main(sys.argv[1:], root=Path.cwd()))  # without Python's tidying up, as recommend_api.py
