"""The process behind `recommend_api.py`: takes stdin and stdout, reads the command line, returns an exit status.

Importing this module imports nothing but `streams` and the standard library, so that no library prints before
`take_streams`.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NoReturn

from recsys.bridge.streams import send, take_streams

if TYPE_CHECKING:
    from recsys.bridge.watchdog import Watchdog

ANSWER_LOST = 74  # the exit status of an input/output error in sysexits.h
WORKER = "--worker"
HELP = """usage: recommend_api.py [--worker]

Without arguments: reads one request, a JSON object, from stdin, writes one line with the answer to stdout, and leaves
with 0, or with the status of the failure that the line names.

  --worker    answer one request a line until stdin ends; see docs/PROTOCOL.md
  -h, --help  print this and leave with 0

Settings come from the environment, .env and recsys.toml; see docs/SHOP.md.
"""


def main(argv: Sequence[str], root: Path) -> int:
    """Answer one request, or with `--worker` one after another, and return the exit status.

    Args:
        argv: The command line without the program's name.
        root: The folder that holds `.env`, `recsys.toml` and `models/`.
    """
    parent = os.getppid()
    # Ctrl-C ends the process as SIGTERM does: at once, by the signal, without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        requests, answers = take_streams()
        watchdog = _watch_parent(requests, parent) if list(argv) == [WORKER] else None
        with open(requests, "rb") as incoming:
            return run(argv, incoming, lambda line: send(answers, line), os.environ, root=root, watchdog=watchdog)
    except OSError as error:
        if sys.stderr is not None and not isinstance(error, BrokenPipeError):  # the client has gone: nothing to report
            sys.stderr.write(f"stdin or stdout broke off: {error}\n")
        return ANSWER_LOST
    finally:
        for stream in filter(None, (sys.__stdout__, sys.stderr)):
            with suppress(OSError):  # the stream's reader may have gone; the exit status stays the same
                stream.flush()  # `os._exit` skips what Python does at exit


def recommend_command(root: Path | None = None) -> NoReturn:
    """Run `recommend_api.py` or `recsys-recommend`; the process ends with the answer's exit status.

    Args:
        root: The folder that holds `.env`, `recsys.toml` and `models/`; by default the working directory.
    """
    for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ[threads] = "1"  # before NumPy loads: the scorers run in threads of their own
    if not sys.argv[1:]:
        gc.disable()  # one request leaves little garbage, and collecting it takes a tenth of the time; a worker does
    # The answer is written. A normal exit takes 20 ms for NumPy, and a hanging thread could delay it for ever.
    os._exit(main(sys.argv[1:], root or Path.cwd()))


def run(
    argv: Sequence[str],
    requests: BinaryIO,
    send: Callable[[bytes], None],
    environ: Mapping[str, str],
    *,
    root: Path,
    watchdog: Watchdog | None = None,
) -> int:
    """Do what the command line says and return the exit status.

    Args:
        argv: The command line without the program's name.
        requests: The stream of requests.
        send: Writes one line to the client.
        environ: The process environment.
        root: The folder that holds `.env`, `recsys.toml` and `models/`.
        watchdog: Limits the time of a worker's answers.

    Raises:
        OSError: An answer could not be written.
    """
    if list(argv) in (["-h"], ["--help"]):
        send(HELP.encode())
        return 0
    if list(argv) == [WORKER]:
        from recsys.bridge.watchdog import Watchdog
        from recsys.bridge.worker import work

        return work(requests, send, environ, root, watchdog or Watchdog())
    from recsys.bridge import error_boundary
    from recsys.bridge.serving import answer_once
    from recsys.contract import MAX_BYTES
    from recsys.errors import RecsysError

    data = b"" if argv else requests.read(MAX_BYTES + 1)
    result = error_boundary.run(lambda: _refuse(argv) if argv else answer_once(data, environ, root))
    send(error_boundary.to_line(result, data))
    return result.exit_status if isinstance(result, RecsysError) else 0


def _watch_parent(requests: int, parent: int) -> Watchdog:
    """Let a worker end with its parent, and soon after the end of its input.

    Args:
        requests: The descriptor of requests.
        parent: The parent's process id.
    """
    from recsys.bridge.watchdog import Watchdog, die_with_parent, watch_input

    die_with_parent(parent)
    watchdog = Watchdog()
    watch_input(requests, watchdog.end)
    return watchdog


def _refuse(argv: Sequence[str]) -> bytes:
    from recsys.contract.checks import shown
    from recsys.errors import UsageError

    raise UsageError(f"The command line should be empty, or --worker. Received: {shown(' '.join(argv))}.")
