"""What the command line asks for: one answer, or with `--worker` one after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from recsys.bridge.error_boundary import as_answer, attempt
from recsys.bridge.serving import answer_once
from recsys.bridge.watchdog import Watchdog
from recsys.contract import MAX_BYTES
from recsys.contract.fields import shown
from recsys.errors import RecsysError, UsageError

ROOT = Path(__file__).resolve().parents[2]
WORKER = "--worker"
HELP = """usage: recommend_api.py [--worker]

Without arguments: reads one request, a JSON object, from stdin, writes one line with the answer to stdout, and leaves with 0, or with the
status of the failure that the line names.

  --worker    answer one request a line until stdin ends; see docs/PROTOCOL.md
  -h, --help  print this and leave with 0

Settings come from the environment, .env and recsys.toml; see docs/SHOP.md.
"""

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
    if list(argv) in (["-h"], ["--help"]):
        send(HELP.encode())
        return 0
    if list(argv) == [WORKER]:
        from recsys.bridge.worker import work  # one request has no use for it

        return work(requests, send, environ, root, watchdog or Watchdog())
    data = b"" if argv else requests.read(MAX_BYTES + 1)
    outcome = attempt(lambda: _refuse(argv) if argv else answer_once(data, environ, root))
    send(as_answer(outcome, data))
    return outcome.exit_status if isinstance(outcome, RecsysError) else 0


def _refuse(argv: Sequence[str]) -> bytes:
    raise UsageError(f"The command line should be empty, or --worker. Received: {shown(' '.join(argv))}.")
