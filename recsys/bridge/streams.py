"""The process's stdin and stdout, taken at file-descriptor level before a library can write to them.

It lies apart from `main`, because the watchdog writes to the same descriptors and `main` imports the watchdog.
"""

from __future__ import annotations

import os
import sys

STDIN, STDOUT, STDERR = 0, 1, 2


def take_streams() -> tuple[int, int]:
    """Keep stdin and stdout for the protocol; all other code gets an empty stdin, and its output goes to stderr.

    Python's `print`, C's `puts` and a child's `echo` all write to descriptor 1; after this they end on stderr.

    Returns:
        The descriptors of requests and of answers.

    Raises:
        OSError: stdout is closed, so that no answer can be written.
    """
    os.fstat(STDOUT)
    _open_if_closed(STDIN)
    _open_if_closed(STDERR)
    requests, answers = os.dup(STDIN), os.dup(STDOUT)
    if sys.stderr is None:  # stderr was closed when Python started
        sys.stderr = open(STDERR, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, STDIN)
    os.close(empty)
    os.dup2(STDERR, STDOUT)
    sys.stdout = sys.stderr
    for stream in (requests, answers):
        os.set_blocking(stream, True)  # a parent may pass a pipe that it uses without blocking
    return requests, answers


def send(answers: int, line: bytes) -> None:
    """Write one whole line.

    Args:
        answers: The descriptor of answers, from `take_streams`.
        line: The line, its line end included.

    Raises:
        OSError: The client has gone, or the disk is full.
    """
    rest = memoryview(line)
    while rest:
        rest = rest[os.write(answers, rest) :]


def _open_if_closed(stream: int) -> None:
    try:
        os.fstat(stream)
    except OSError:
        os.open(os.devnull, os.O_RDWR)  # takes the lowest free descriptor, which is `stream`
