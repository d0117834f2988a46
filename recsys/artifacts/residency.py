"""How much of the versions' files a process keeps in its memory."""

from __future__ import annotations

import os
import sys

from recsys.artifacts.arrays import let_go

MEMORY_FILE = "/proc/self/statm"  # Linux: sizes in pages, the second of them resident
RESIDENT_LIMIT = 256 << 20  # bytes, between two answers
ANSWERING_LIMIT = 512 << 20  # bytes, between two models of an answer, which waits while memory is given back and mapped again


def settle(limit: int = RESIDENT_LIMIT) -> None:
    """Give mapped memory back, if the process holds more than it should; to be called between two uses of a large version.

    An answer over a large catalogue maps far more than it reads, since the system maps up to 2 MB around each row. Giving 900 MB back takes
    two milliseconds; whoever needs some of it maps it again, from the system's cache of files.

    Args:
        limit: Resident bytes that are fine.
    """
    resident = resident_bytes()
    if resident is not None and resident > limit:
        let_go()


def resident_bytes() -> int | None:
    """Return the resident memory of this process in bytes; None where the system does not say."""
    if sys.platform != "linux":
        return None
    with open(MEMORY_FILE, encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
