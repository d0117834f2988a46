"""Opens published versions, and verifies them before anything is read."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson

from recsys.artifacts.arrays import Arrays, map_arrays
from recsys.artifacts.files import DISK, Files, LockHandle, open_regular, read_small, shared_lock
from recsys.artifacts.manifest import (
    MANIFEST,
    MAX_MANIFEST_BYTES,
    FileEntry,
    is_version_name,
    list_files,
    parse_manifest,
    read_json,
    sha256_of,
    version_name,
)
from recsys.errors import ModelRefused, NoModel, RecsysError
from recsys.errors.records import Record

CURRENT = "CURRENT"
STAMPS = ".stamps"
MAX_CURRENT_BYTES = 128
MAX_STAMP_BYTES = 2**20

Stamp = dict[str, list[int]]


def current_name(models_dir: Path) -> str:
    """Return the name of the active version, without checking its folder.

    Raises:
        NoModel: Nothing is published.
        ModelRefused: CURRENT does not hold a version's name.
    """
    try:
        data = read_small(models_dir / CURRENT, MAX_CURRENT_BYTES)
    except FileNotFoundError as error:
        raise NoModel(
            f"{models_dir} should hold a published version. Received: none is active. Run train.py first."
        ) from error
    name = data.decode("ascii", "replace").removesuffix("\n")
    if not is_version_name(name):
        raise ModelRefused(
            f"{CURRENT} should name a version. Received: {name!r}. Roll back to a version that is whole."
        )
    return name


def is_current(models_dir: Path, name: str) -> bool:
    """Return whether a version is the active one; True also if CURRENT cannot be read."""
    try:
        return current_name(models_dir) == name
    except NoModel:
        return False
    except RecsysError:
        return True


def current(models_dir: Path, *, full: bool = False, files: Files = DISK) -> Version:
    """Open the active version, with the arguments and errors of `open_version`."""
    return open_version(models_dir, current_name(models_dir), full=full, files=files)


def open_version(models_dir: Path, name: str, *, full: bool = False, files: Files = DISK) -> Version:
    """Open one version and verify it.

    Args:
        models_dir: The folder of all versions.
        name: The version's name.
        full: Whether to hash every file; see `Version.verify`.
        files: The effects on disk.

    Raises:
        NoModel: There is no such version.
        ModelRefused: The version is damaged, or its manifest is not allowed.
    """
    descriptor = _open_manifest(models_dir, name)
    lock = LockHandle(descriptor)
    with ExitStack() as on_failure:
        on_failure.callback(lock.close)
        where = f"{name}/{MANIFEST}"
        _share(descriptor, where)
        if (size := os.fstat(descriptor).st_size) > MAX_MANIFEST_BYTES:
            raise ModelRefused(f"{where} should have at most {MAX_MANIFEST_BYTES} bytes. Received: {size}.")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(MAX_MANIFEST_BYTES)
        if version_name(name.split("-")[0], data) != name:
            raise ModelRefused(
                f"{where} should have the SHA-256 that the version's name carries. Received: another; it was changed."
            )
        manifest, entries = parse_manifest(data, where)
        version = Version(name, models_dir / name, MappingProxyType(manifest), entries, files, lock)
        version.verify(full=full)
        on_failure.pop_all()
    return version


def _open_manifest(models_dir: Path, name: str) -> int:
    if not is_version_name(name):
        raise ModelRefused(f"A version's name should be like 20261120T233000Z-0f1e2d3c. Received: {name!r}.")
    folder = models_dir / name
    if folder.is_symlink():
        raise ModelRefused(f"{name} should be a folder. Received: a symbolic link.")
    if not folder.is_dir():
        raise NoModel(
            f"{models_dir} should hold the version {name}. Received: it is missing. Roll back or train again."
        )
    try:
        return open_regular(folder / MANIFEST)
    except FileNotFoundError as error:
        raise ModelRefused(f"{name}/{MANIFEST} should exist. Received: it is missing.") from error


def _share(descriptor: int, where: str) -> None:
    try:
        shared_lock(descriptor)
    except BlockingIOError as error:
        raise NoModel(f"{where} should be free to read. Received: the version is being removed.") from error
    except OSError:
        pass  # a file system without locks; the active version is never removed anyway


def check_sizes(folder: Path, name: str, entries: Mapping[str, FileEntry]) -> Stamp:
    """Check that a folder holds exactly the listed files, with their sizes.

    Args:
        folder: The version's folder, or a draft.
        name: The version's name, for messages.
        entries: The files by path.

    Returns:
        The inode, size and modification time of each file.

    Raises:
        ModelRefused: A file is missing, unlisted, no plain file, or has another size; the message names it.
    """
    statuses = list_files(folder)
    statuses.pop(MANIFEST, None)
    for path in sorted(statuses.keys() | entries.keys()):
        if path not in statuses:
            raise ModelRefused(f"{name}/{path} should exist. Received: it is missing.")
        if path not in entries:
            raise ModelRefused(f"{name} should hold the files of its manifest only. Received: {path}.")
        size, received = entries[path].size, statuses[path].st_size
        if received != size:
            raise ModelRefused(f"{name}/{path} should have {size} bytes. Received: {received}.")
    return {path: [status.st_ino, status.st_size, status.st_mtime_ns] for path, status in statuses.items()}


def check_hashes(folder: Path, name: str, entries: Mapping[str, FileEntry]) -> None:
    """Check the SHA-256 of the listed files, with the arguments of `check_sizes`.

    Raises:
        ModelRefused: A file has another one, or cannot be read; the message names it.
    """
    for entry in entries.values():
        received = sha256_of(folder / entry.path)
        if received != entry.sha256:
            raise ModelRefused(f"{name}/{entry.path} should have the SHA-256 {entry.sha256}. Received: {received}.")


class Version(Record, eq=False):
    """A published version, verified when it was opened. While it is open, clean-up does not remove its folder.

    Attributes:
        name: `<UTC time>-<first 8 digits of the manifest's SHA-256>`.
        path: The folder.
        manifest: The manifest: `schema`, `created`, `files` and the publisher's own fields.
    """

    name: str
    path: Path
    manifest: Mapping[str, Any]
    _entries: Mapping[str, FileEntry] = field(repr=False)
    _files: Files = field(repr=False)
    _lock: LockHandle = field(repr=False)

    def file(self, relpath: str) -> Path:
        """Return the path of a listed file.

        Raises:
            ModelRefused: The manifest does not list it.
        """
        if relpath not in self._entries:
            raise ModelRefused(f"{self.name} should hold {relpath}. Received: its manifest does not list it.")
        return self.path / relpath

    @property
    def size(self) -> int:
        """The total size of all listed files, in bytes."""
        return sum(entry.size for entry in self._entries.values())

    def holds(self, relpath: str) -> bool:
        """Return whether the manifest lists a file."""
        return relpath in self._entries

    def arrays(self, relpath: str) -> Arrays:
        """Return the read-only arrays of a listed HDF5 file by name; contiguous, aligned ones are mapped into memory.

        Args:
            relpath: The file, as the manifest lists it.

        Raises:
            ModelRefused: The file is not listed, or holds other things than plain arrays.
        """
        path, where, entry = self.file(relpath), f"{self.name}/{relpath}", self._entries[relpath]
        if entry.layout is not None and entry.shapes is not None:
            return map_arrays(path, where, entry.layout, entry.shapes)
        from recsys.artifacts.hdf5 import read_arrays  # importing h5py is slow

        return read_arrays(path, where)

    def json(self, relpath: str) -> Any:
        """Parse a listed JSON file.

        Raises:
            ModelRefused: The file is not listed, or no JSON.
        """
        path = self.file(relpath)
        try:
            return read_json(read_small(path, self._entries[relpath].size), f"{self.name}/{relpath}")
        except FileNotFoundError as error:
            raise ModelRefused(f"{self.name}/{relpath} should exist. Received: it is missing.") from error

    def verify(self, full: bool) -> None:
        """Check that the folder holds exactly the listed files with their sizes and hashes.

        Args:
            full: Whether to hash every file. Otherwise files are trusted if all have the inode, size and modification
                time of the last full check; if one differs, all are hashed.

        Raises:
            ModelRefused: A file is missing, unlisted, no plain file, or changed; the message names it.
        """
        observed = check_sizes(self.path, self.name, self._entries)
        if not full and self._stamped() == observed:
            return
        check_hashes(self.path, self.name, self._entries)
        self._stamp(observed)

    def close(self) -> None:
        """Release the version for clean-up; arrays that were read or mapped stay usable."""
        self._lock.close()

    def __enter__(self) -> Version:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _stamp_path(self) -> Path:
        return self.path.parent / STAMPS / f"{self.name}.json"

    def _stamped(self) -> Stamp | None:
        try:
            stamp: Stamp = orjson.loads(read_small(self._stamp_path(), MAX_STAMP_BYTES))
            return stamp
        except (OSError, ValueError, RecursionError, RecsysError):
            return None  # without a readable stamp, all files are hashed

    def _stamp(self, observed: Stamp) -> None:
        target = self._stamp_path()
        own = target.with_suffix(f".{os.getpid()}-{threading.get_ident()}.tmp")
        with suppress(OSError):  # a user without write access hashes every time, which is slower but correct
            self._files.make_dir(target.parent)
            self._files.write(own, orjson.dumps(observed))
            self._files.rename(own, target)
