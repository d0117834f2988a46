"""Named arrays of a file, mapped into memory at the places that the version's manifest gives, and their memory."""

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

Arrays = dict[str, NDArray[Any]]  # read-only, by name, such as `vars/item_factors`
KINDS = "fiuS"  # dtype kinds: floats, integers, fixed-length bytes; none that needs decoding or points elsewhere
_MAPS: WeakSet[mmap.mmap] = WeakSet()  # all mapped files
_MAPS_LOCK = Lock()  # a new version is opened while the old one serves


def map_arrays(
    path: Path, where: str, layout: Mapping[str, Sequence[Any]], shapes: Mapping[str, Sequence[int]]
) -> Arrays:
    """Return the arrays of a file by a known layout, without parsing the file.

    Args:
        path: The file, whose hash was checked.
        where: The file's name in error messages.
        layout: dtype and offset in bytes, by array name.
        shapes: Shapes by array name.

    Raises:
        ModelRefused: The layout does not fit the file, or has a dtype that is not allowed.
    """
    try:
        mapped = mmap_file(path)
        return {name: array_at(mapped, dtype, offset, shapes[name]) for name, (dtype, offset) in layout.items()}
    except (OSError, LookupError, TypeError, ValueError) as error:
        raise ModelRefused(f"{where} should be laid out as its manifest says. Received: {error}.") from error


def array_at(mapped: NDArray[np.uint8], dtype_text: str, offset: int, shape: Sequence[int]) -> NDArray[Any]:
    """Return one read-only array of a file's bytes, mapped if it is aligned, otherwise a copy.

    Args:
        mapped: `(n,)` uint8, the file's bytes.
        dtype_text: A dtype as NumPy writes it, such as `<f4`.
        offset: The array's place in the file, in bytes.
        shape: Its shape.

    Raises:
        ValueError: The dtype is not allowed, or the file does not hold such an array there.
    """
    dtype = np.dtype(dtype_text)
    size = math.prod(shape) * dtype.itemsize
    if dtype.kind not in KINDS or min(offset, *shape, 0) < 0 or offset + size > len(mapped):
        raise ValueError(f"{dtype_text} of {' × '.join(map(str, shape))} at {offset} of {len(mapped)} bytes")
    array: NDArray[Any] = mapped[offset : offset + size].view(dtype).reshape(shape)
    if shape and not offset % dtype.alignment:
        return array
    return read_only(array.copy())


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array that was read, made read-only as mapped ones are, because threads share them."""
    array.flags.writeable = False
    return array


def mmap_file(path: Path) -> NDArray[np.uint8]:
    """Return the bytes of a file, mapped into memory; a slice of np.memmap would take three times as long."""
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    with _MAPS_LOCK:
        _MAPS.add(mapped)
    return np.frombuffer(mapped, np.uint8)


def release_pages() -> None:
    """Release the resident pages of all mapped files; arrays stay usable and are read again from the file cache.

    To read one row, the kernel maps up to 2 MB around it and keeps these pages. A process that reads a few rows of
    every array would therefore end up with whole files resident. Releasing 40 MB takes 0.07 ms, mapping them again
    0.4 ms.
    """
    with _MAPS_LOCK:
        maps = list(_MAPS)
    for mapped in maps:
        with suppress(AttributeError, OSError):  # not every system has it
            mapped.madvise(mmap.MADV_DONTNEED)


MEMORY_FILE = "/proc/self/statm"  # Linux: sizes in pages; the second is the resident size
RESIDENT_LIMIT = 256 << 20  # bytes, between two answers
ANSWERING_LIMIT = 512 << 20  # bytes, between two models of one answer, which waits while pages are mapped again


def trim_memory(limit: int = RESIDENT_LIMIT) -> None:
    """Release mapped pages if the process has more resident memory than the limit.

    Called between two uses of a large version. An answer over a large catalogue maps far more than it reads, since the
    system maps up to 2 MB around each row. Releasing 900 MB takes two milliseconds.

    Args:
        limit: Resident memory that is allowed, in bytes.
    """
    resident = resident_bytes()
    if resident is not None and resident > limit:
        release_pages()


def resident_bytes() -> int | None:
    """Return the resident memory of this process in bytes; None on systems other than Linux."""
    if sys.platform != "linux":
        return None
    with open(MEMORY_FILE, encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
