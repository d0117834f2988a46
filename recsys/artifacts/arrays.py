"""Named arrays of a file, mapped into memory by what the version's manifest says of them."""

from __future__ import annotations

import math
import mmap
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from recsys.errors import ModelRefused

Attribute = str | int | float
KINDS = "fiuS"  # floats, integers, fixed-length bytes: nothing that needs decoding or points elsewhere
_MAPS: WeakSet[mmap.mmap] = WeakSet()  # of all files that are mapped now
_MAPS_LOCK = Lock()  # a new version is opened while the old one serves


class Arrays(dict[str, NDArray[Any]]):
    """Read-only arrays by name, such as `vars/item_factors`.

    Attributes:
        attrs: Texts and numbers that belong to all of them.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], attrs: Mapping[str, Attribute]) -> None:
        super().__init__(arrays)
        self.attrs = dict(attrs)


def map_arrays(
    path: Path,
    where: str,
    layout: Mapping[str, Sequence[Any]],
    shapes: Mapping[str, Sequence[int]],
    *,
    memory_map: bool = False,
) -> Arrays:
    """Return the arrays of a file whose place is known, without asking the file.

    Args:
        path: The file, whose hash was checked.
        where: What error messages call it.
        layout: dtype and offset in bytes, by name.
        shapes: By name.
        memory_map: Whether to map arrays that lie aligned; the others are read.

    Raises:
        ModelRefused: The layout names what the file does not have, or what no array may be.
    """
    try:
        mapped = mmap_file(path)
        return Arrays(
            {name: _placed(mapped, kind, offset, shapes[name], memory_map) for name, (kind, offset) in layout.items()},
            {},
        )
    except (OSError, LookupError, TypeError, ValueError) as error:
        raise ModelRefused(f"{where} should be laid out as its manifest says. Received: {error}.") from error


def _placed(mapped: NDArray[np.uint8], kind: str, offset: int, shape: Sequence[int], memory_map: bool) -> NDArray[Any]:
    """Return one array of the bytes of a file; read-only."""
    dtype = np.dtype(kind)
    size = math.prod(shape) * dtype.itemsize
    if dtype.kind not in KINDS or min(offset, *shape, 0) < 0 or offset + size > len(mapped):
        raise ValueError(f"{kind} of {' × '.join(map(str, shape))} at {offset} of {len(mapped)} bytes")
    array: NDArray[Any] = mapped[offset : offset + size].view(dtype).reshape(shape)
    if memory_map and shape and not offset % dtype.alignment:
        return array
    array = array.copy()
    array.flags.writeable = False  # as a mapped one is: threads share them
    return array


def mmap_file(path: Path) -> NDArray[np.uint8]:
    """Return the bytes of a file, mapped into memory; not by np.memmap, which takes thrice as long to slice."""
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    with _MAPS_LOCK:
        _MAPS.add(mapped)
    return np.frombuffer(mapped, np.uint8)


def release_pages() -> None:
    """Give back the memory of all mapped files; arrays stay usable, and what is read again comes from the file cache.

    To read one row, the kernel maps up to 2 MB around it, and it keeps what it has mapped: a process that reads some
    rows of everything ends up with everything resident. Giving 40 MB back takes 0.07 ms, mapping them again 0.4 ms.
    """
    with _MAPS_LOCK:
        maps = list(_MAPS)
    for mapped in maps:
        with suppress(AttributeError, OSError):  # a system without it does without
            mapped.madvise(mmap.MADV_DONTNEED)


MEMORY_FILE = "/proc/self/statm"  # Linux: sizes in pages, the second of them resident
RESIDENT_LIMIT = 256 << 20  # bytes, between two answers
ANSWERING_LIMIT = (
    512 << 20
)  # bytes, between two models of an answer, which waits while memory is given back and mapped again


def trim_memory(limit: int = RESIDENT_LIMIT) -> None:
    """Give mapped memory back, if the process holds more than it should; to be called between two uses of a large version.

    An answer over a large catalogue maps far more than it reads, since the system maps up to 2 MB around each row.
    Giving 900 MB back takes two milliseconds; whoever needs some of it maps it again, from the system's cache of files.

    Args:
        limit: Resident bytes that are fine.
    """
    resident = resident_bytes()
    if resident is not None and resident > limit:
        release_pages()


def resident_bytes() -> int | None:
    """Return the resident memory of this process in bytes; None where the system does not say."""
    if sys.platform != "linux":
        return None
    with open(MEMORY_FILE, encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
