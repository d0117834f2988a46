"""How much of a version's files a worker keeps in its memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from recsys.artifacts import let_go

MEMORY_FILE = "/proc/self/statm"  # Linux: sizes in pages, the second of them resident
RESIDENT_LIMIT = 320 << 20  # bytes


class Residency:
    """Gives mapped memory back between answers, when there is more of it than a worker should hold.

    An answer over a large catalogue maps far more than it reads, since the system maps up to 2 MB around each row. Giving 900 MB back takes
    two milliseconds while nobody waits; the next answer maps again what it needs, from the system's cache of files.
    """

    def __init__(self, limit: int = RESIDENT_LIMIT, let_go: Callable[[], None] = let_go) -> None:
        self._limit = limit
        self._let_go = let_go

    def check(self, resident: int | None) -> None:
        """Give memory back if there is too much.

        Args:
            resident: Bytes after an answer; None where the system does not say.
        """
        if resident is not None and resident > self._limit:
            self._let_go()


def resident_bytes() -> int | None:
    """Return the resident memory of this process in bytes; None where the system does not say."""
    if sys.platform != "linux":
        return None
    with open(MEMORY_FILE, encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
