"""Reads and writes HDF5 files, ours and Keras' own, without trusting their headers. The only module that imports h5py.

Serving imports it only for versions whose manifest has no layout of the arrays: the import takes a tenth of a request's
time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from recsys.artifacts.arrays import KINDS, Arrays, array_at, mmap_file, read_only
from recsys.artifacts.files import reserve
from recsys.errors import ModelRefused

ALIGNMENT = 64  # bytes of a cache line, on which memory-mapped arrays start
ALIGNED_FROM = 512  # bytes; smaller arrays are not worth the padding
AROUND_ARRAY = 4_096  # most bytes of headers, groups and padding around one array
NOT_ARRAYS = "optimizer"  # the group of a compiled Keras model's optimizer state
_H5_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError)  # what h5py raises on damaged files


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays to an HDF5 file, contiguous and aligned.

    Args:
        path: The file to create.
        arrays: Floats, integers and fixed-length bytes of any shape. A `/` in a name makes a group.

    Raises:
        ValueError: A name or a dtype could not be read back.
    """
    checked = {name: _checked(name, np.asarray(array)) for name, array in arrays.items()}
    reserve(path, room([array.nbytes for array in checked.values()]))
    with h5py.File(path, "w", alignment_threshold=ALIGNED_FROM, alignment_interval=ALIGNMENT) as file:
        for name, array in checked.items():
            file.create_dataset(name, data=array, track_times=False)


def room(sizes: Sequence[int]) -> int:
    """Return the largest possible size of an HDF5 file of arrays, by the arrays' sizes in bytes."""
    return sum(sizes) + AROUND_ARRAY * (len(sizes) + 2)


def _checked(name: str, array: NDArray[Any]) -> NDArray[Any]:
    parts = name.split("/")
    if parts[0] == NOT_ARRAYS or any(part in ("", ".", "..") or part.startswith("_") or "\0" in part for part in parts):
        raise ValueError(f"An array's name should be parts joined by `/`, none starting with `_`. Received: {name!r}.")
    if array.dtype.kind not in KINDS:
        raise ValueError(
            f"`{name}` should hold floats, integers or bytes (encode texts as UTF-8). Received: {array.dtype}."
        )
    return array


def read_arrays(path: Path, where: str) -> Arrays:
    """Return the arrays of an HDF5 file: contiguous, aligned ones mapped, the others read.

    Keras' optimizer state and groups that start with `_` are left out.

    Args:
        path: The file.
        where: The file's name in error messages.

    Raises:
        ModelRefused: The file is damaged, or holds a link, a virtual dataset, a dtype beyond floats, integers and
            bytes, or datasets that declare more than the file stores.
    """
    with _checked_datasets(path, where) as datasets:
        mapped = mmap_file(path)
        return {name: _array(dataset, mapped) for name, dataset in datasets.items()}


def described(path: Path, where: str) -> dict[str, Any]:
    """Return an HDF5 file's entry in the manifest, after the same checks as in `read_arrays`.

    Returns:
        `shapes`: Shapes by array name.
        `layout`: dtype and offset in bytes, by array name; absent unless all arrays are contiguous.
    """
    with _checked_datasets(path, where) as datasets:
        # An array in chunks has no offset; an empty one needs none.
        offsets = {name: dataset.id.get_offset() if _bytes(dataset) else 0 for name, dataset in datasets.items()}
        layout = {name: [dataset.dtype.str, offsets[name]] for name, dataset in datasets.items()}
        shapes = {name: list(dataset.shape) for name, dataset in datasets.items()}
    return {"shapes": shapes} if None in offsets.values() else {"shapes": shapes, "layout": layout}


@contextmanager
def _checked_datasets(path: Path, where: str) -> Iterator[dict[str, Any]]:
    """Open a file and yield its datasets by name; all are checked before any is read."""
    try:
        with h5py.File(path, "r", locking=False) as file:  # a version never changes, so HDF5 needs no lock of its own
            yield dict(_walk(file, "", where, {h5py.h5o.get_info(file.id).addr}))
    except _H5_ERRORS as error:
        raise ModelRefused(f"{where} should be a readable HDF5 file. Received: {error}.") from error


def _walk(group: Any, prefix: str, where: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    for part in group:
        name = prefix + part
        if name == NOT_ARRAYS or part.startswith("_"):
            continue
        if group.id.links.get_info(part.encode()).type != h5py.h5l.TYPE_HARD:
            raise ModelRefused(f"{where} should hold arrays only. Received: a soft or external link at `{name}`.")
        item = group[part]
        address = h5py.h5o.get_info(item.id).addr
        if address in seen:
            raise ModelRefused(f"{where} should hold every array once. Received: a second link to `{name}`.")
        seen.add(address)  # two links to one group could make a loop
        if isinstance(item, h5py.Group):
            yield from _walk(item, f"{name}/", where, seen)
        else:
            _check_dataset(item, name, where)
            yield name, item


def _check_dataset(item: Any, name: str, where: str) -> None:
    if not isinstance(item, h5py.Dataset) or item.shape is None:
        raise ModelRefused(f"{where} should hold arrays only. Received: {type(item).__name__} at `{name}`.")
    if item.is_virtual or item.id.get_create_plist().get_external_count():
        raise ModelRefused(f"{where} should hold its own data. Received: `{name}` lies in another file.")
    if item.dtype.kind not in KINDS:
        raise ModelRefused(f"{where} should hold floats, integers and bytes. Received: {item.dtype} at `{name}`.")
    if _bytes(item) > item.id.get_storage_size():
        received = f"`{name}` declares {_bytes(item)} bytes and stores {item.id.get_storage_size()}"
        raise ModelRefused(f"{where} should store its arrays in full and uncompressed. Received: {received}.")


def _bytes(dataset: Any) -> int:
    return int(math.prod(dataset.shape)) * int(dataset.dtype.itemsize)  # Python's integers do not overflow


def _array(dataset: Any, mapped: NDArray[np.uint8]) -> NDArray[Any]:
    offset = dataset.id.get_offset()
    if offset is None:  # a chunked or an empty dataset
        return read_only(np.asarray(dataset[()], dataset.dtype))  # h5py returns scalars in a type of its own
    return array_at(mapped, dataset.dtype.str, offset, dataset.shape)
