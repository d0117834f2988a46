"""The process's own stdin and stdout, taken at file-descriptor level before a library can touch them."""

import os
import sys

STDIN, STDOUT, STDERR = 0, 1, 2


def take_streams() -> tuple[int, int]:
    """Keep stdin and stdout for the protocol and leave everybody else an empty stdin and stderr.

    Python's `print`, C's `puts` and a child's `echo` all write to descriptor 1; after this they end on stderr.

    Returns:
        The descriptors where requests are read and where answers are written.

    Raises:
        OSError: stdout is closed, so that nobody can be answered.
    """
    os.fstat(STDOUT)
    _open_if_closed(STDIN)
    _open_if_closed(STDERR)
    requests, answers = os.dup(STDIN), os.dup(STDOUT)
    if sys.stderr is None:  # Python found stderr closed when it started
        sys.stderr = open(STDERR, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, STDIN)
    os.close(empty)
    os.dup2(STDERR, STDOUT)
    sys.stdout = sys.stderr
    for stream in (requests, answers):
        os.set_blocking(stream, True)  # a parent may hand over a pipe that it uses without blocking
    return requests, answers


def send(answers: int, line: bytes) -> None:
    """Write one whole line.

    Raises:
        OSError: The reader is gone, or the disk behind it is full.
    """
    rest = memoryview(line)
    while rest:
        rest = rest[os.write(answers, rest) :]


def _open_if_closed(stream: int) -> None:
    try:
        os.fstat(stream)
    except OSError:
        os.open(os.devnull, os.O_RDWR)  # the lowest free descriptor, which is `stream`
