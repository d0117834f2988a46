"""How much of a version's files a worker keeps in its memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from recsys.artifacts import let_go

MEMORY_FILE = "/proc/self/statm"  # Linux: sizes in pages, the second of them resident
RESIDENT_LIMIT = 320 << 20  # bytes; one more answer over 100,000 items stays below 400 MB
ROOM = 1.25  # of what one answer needs: a version that is larger than the limit is not mapped anew for each


class Residency:
    """Gives mapped memory back between answers, when there is more of it than a worker needs.

    Attributes:
        limit: Bytes; grows where a single answer needs most of it.
    """

    def __init__(self, limit: int = RESIDENT_LIMIT, let_go: Callable[[], None] = let_go) -> None:
        self.limit = limit
        self._let_go = let_go
        self._has_let_go = False

    def check(self, resident: int | None) -> None:
        """Give memory back if there is too much.

        Args:
            resident: Bytes after an answer; None where the system does not say.
        """
        if resident is None:
            return
        if self._has_let_go:  # all that is resident now, this answer needed
            self.limit = max(self.limit, int(resident * ROOM))
        self._has_let_go = resident > self.limit
        if self._has_let_go:
            self._let_go()


def resident_bytes() -> int | None:
    """Return the resident memory of this process in bytes; None where the system does not say."""
    if sys.platform != "linux":
        return None
    with open(MEMORY_FILE, encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
