"""Publishing: a draft is written beside the versions and made durable, and becomes a version by one rename."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from recsys.artifacts.active import HISTORY, replacing
from recsys.artifacts.files import (
    DISK,
    DISK_FULL,
    Files,
    LockHandle,
    describe,
    disk_errors,
    error_number,
    reserve,
)
from recsys.artifacts.manifest import (
    MANIFEST,
    RESERVED,
    SCHEMA,
    is_relative_path,
    list_files,
    parse_manifest,
    sha256_of,
    to_json,
    version_name,
)
from recsys.artifacts.version import CURRENT, STAMPS, check_hashes, check_sizes, current_name, is_current, open_version
from recsys.errors import ModelRefused, NoModel, Overloaded, RecsysError
from recsys.errors.wording import listed

DRAFT = ".draft-"  # begins the names of folders that the next publisher removes
PUBLISHER_LOCK = ".lock"  # held while a draft exists, until its version is active
LEAST_ROOM = 16 * 2**20  # bytes needed beyond the size of the active version


class Draft:
    """A version that is being written. It cannot be opened before `publish` has returned.

    As a context manager, it discards itself unless it was published. If the block fails after `publish`, but before the
    version is active, the version is removed. The publisher's lock is held until the block ends, so that only one draft
    exists at a time.
    """

    def __init__(self, folder: Path, created: str, lock: LockHandle, files: Files) -> None:
        """Wrap a folder; use `create` instead."""
        self._folder, self._created, self._lock, self._files = folder, created, lock, files
        self._open = True
        self._made: Path | None = None  # the published version, unless it existed before

    @classmethod
    def create(cls, models_dir: Path, now: int, files: Files = DISK) -> Draft:
        """Start a draft, and remove the files of publishers that died.

        Args:
            models_dir: The folder of all versions, created where missing.
            now: The version's time, in seconds since 1970 in UTC.
            files: The effects on disk.

        Raises:
            Overloaded: Another process is training or publishing, or the disk is full.
            SettingsError: The folder cannot be written to.
        """
        created = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
        folder = models_dir / f"{DRAFT}{created}-{os.getpid()}"
        with disk_errors(models_dir):
            files.make_dir(models_dir)
            with ExitStack() as on_failure:
                lock = LockHandle(files.lock(models_dir / PUBLISHER_LOCK))
                on_failure.callback(lock.close)
                _remove_leftovers(models_dir, files)
                files.make_dir(folder)
                on_failure.pop_all()
        return cls(folder, created, lock, files)

    def path(self, relpath: str, hdf5: Sequence[int] = ()) -> Path:
        """Return the path for a file that a library writes; its folder exists.

        Args:
            relpath: Path inside the version, such as `bmf_model.weights.h5`: letters, digits, `.`, `_`, `-`, `/`.
            hdf5: For an HDF5 file, the sizes of its arrays in bytes, for which room is reserved.

        Raises:
            RecsysError: The disk is full or not writable.
        """
        if not is_relative_path(relpath) or relpath == MANIFEST:
            raise ValueError(f"`relpath` should name a file inside the version. Received: {relpath!r}.")
        self._check_open()
        path = self._folder / relpath
        with disk_errors(self._folder.parent):
            if path.parent != self._folder:
                self._files.make_dir(path.parent)
            if hdf5:
                from recsys.artifacts.hdf5 import room  # serving does not publish

                reserve(path, room(hdf5))
        return path

    def write_json(self, relpath: str, value: object) -> None:
        """Write a JSON file: UTF-8, no NaN.

        Raises:
            ValueError: The value holds NaN or an infinity.
            TypeError: The value holds a type that JSON does not have, such as a NumPy scalar.
            RecsysError: The disk is full or not writable.
        """
        with disk_errors(self._folder.parent):
            self._files.write(self.path(relpath), to_json(value))

    def write_arrays(self, relpath: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write an HDF5 file of named arrays, contiguous so that they can be memory-mapped.

        Args:
            relpath: Path inside the version, with the suffix `.h5`.
            arrays: Floats, integers and fixed-length bytes of any shape. A `/` in a name makes a group.

        Raises:
            ValueError: A name or a dtype could not be read back.
            RecsysError: The disk is full or not writable.
        """
        from recsys.artifacts.hdf5 import write_arrays  # serving does not publish

        with disk_errors(self._folder.parent):
            self._files.create(self.path(relpath), lambda target: write_arrays(target, arrays))

    def publish(self, manifest: Mapping[str, Any]) -> str:
        """Make the version complete and durable. It serves only after `activate`.

        Args:
            manifest: The manifest, without `schema`, `created` and `files`.

        Returns:
            The version's name.

        Raises:
            ModelRefused: A file of the draft could not be opened from a version.
            RecsysError: The disk is full or not writable.
        """
        self._check_open()
        if RESERVED & set(manifest):
            received = listed(sorted(manifest))
            raise ValueError(
                f"`manifest` should leave {listed(sorted(RESERVED))} to the publisher. Received: {received}."
            )
        to_json(dict(manifest))  # fails before anything is hashed
        with disk_errors(self._folder.parent):
            entries = [self._hashed(path, status.st_size) for path, status in list_files(self._folder).items()]
            if not entries:
                raise ValueError("A version should hold at least one file. Received: an empty draft.")
            return self._finish(to_json({"schema": SCHEMA, "created": self._created, **manifest, "files": entries}))

    def publish_again(self, manifest: bytes) -> str:
        """Make the draft a version that was published before, with its manifest as it was then.

        Args:
            manifest: The content of manifest.json, from a backup.

        Returns:
            The version's name.

        Raises:
            ModelRefused: The draft does not hold the files of the manifest; no version of the name appears.
            RecsysError: The disk is full or not writable.
        """
        self._check_open()
        name = version_name(self._created, manifest)
        with disk_errors(self._folder.parent):
            _, entries = parse_manifest(manifest, f"{name}/{MANIFEST}")
            check_sizes(self._folder, name, entries)
            check_hashes(self._folder, name, entries)
            return self._finish(manifest)

    def _finish(self, manifest: bytes) -> str:
        """Make the draft durable and rename it; returns the version's name."""
        self._seal(manifest)
        name = version_name(self._created, manifest)
        self._appear(self._folder.parent / name)
        self._files.fsync(self._folder.parent)
        self._open = False
        return name

    def _check_open(self) -> None:
        if not self._open:
            raise ValueError("A draft should not be used after `publish` or `discard`.")

    def _hashed(self, path: str, size: int) -> Mapping[str, Any]:
        if not is_relative_path(path):
            raise ModelRefused(
                f"A version's files should be named by letters, digits, `.`, `_`, `-`. Received: {path!r}."
            )
        entry = {"path": path, "size": size, "sha256": sha256_of(self._folder / path)}
        if not path.endswith(".h5"):
            return entry
        from recsys.artifacts.hdf5 import described

        return {**entry, **described(self._folder / path, path)}

    def _seal(self, manifest: bytes) -> None:
        """Write the manifest last, and wait until every file and folder has reached the disk."""
        for path in list_files(self._folder):
            self._files.fsync(self._folder / path)
        self._files.write(self._folder / MANIFEST, manifest)
        self._files.fsync(self._folder / MANIFEST)
        for folder in sorted((path for path in self._folder.rglob("*") if path.is_dir()), reverse=True):
            self._files.fsync(folder)
        self._files.fsync(self._folder)

    def _appear(self, target: Path) -> None:
        if target.exists():  # a version of the same second and content is the same version
            open_version(target.parent, target.name, full=True, files=self._files).close()
            remove_tree(self._folder, self._files)
        else:
            self._made = target
            self._files.rename(self._folder, target)

    @property
    def is_new(self) -> bool:
        """Whether `publish` made a version that did not exist before."""
        return self._made is not None

    def discard(self) -> None:
        """Remove the draft, unless it was published. The next draft removes files that cannot be removed now."""
        try:
            if self._open:
                self._open = False
                with suppress(OSError):
                    remove_tree(self._folder, self._files)
        finally:
            self._lock.close()

    def __enter__(self) -> Draft:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        made, self._made = self._made, None
        try:
            if error is not None and made and not is_current(made.parent, made.name):
                with suppress(OSError):
                    self._files.remove(made.parent / STAMPS / f"{made.name}.json")
                    self._files.rename(made, self._folder)  # so that it is never a version in part
                    remove_tree(self._folder, self._files)
        finally:
            self.discard()
        code = error_number(error)
        if code in DISK_FULL and not isinstance(error, RecsysError):  # raised by a library that wrote to `path`
            raise describe(code, self._folder.parent) from error


def check_room(models_dir: Path) -> None:
    """Make sure that one more version like the active one would fit on the disk.

    Args:
        models_dir: The folder of all versions; it exists.

    Raises:
        Overloaded: It would not fit; the message gives the free and the needed room.
    """
    import shutil  # serving does not publish

    needed = LEAST_ROOM
    with suppress(NoModel, ModelRefused, OSError):
        needed += sum(status.st_size for status in list_files(models_dir / current_name(models_dir)).values())
    if (free := shutil.disk_usage(models_dir).free) < needed:
        raise Overloaded(
            f"{models_dir} should have room for one more version, {needed / 2**20:,.0f} MiB. "
            f"Received: {free / 2**20:,.0f} MiB free. "
            "Free some space and train again; the active version is untouched and still serves."
        )


def _remove_leftovers(models_dir: Path, files: Files) -> None:
    """Remove drafts and unfinished files of processes that died. The caller holds the publisher's lock."""
    for folder in models_dir.glob(f"{DRAFT}*"):
        remove_tree(folder, files)
    leftovers = [path for name in (CURRENT, HISTORY) if (path := models_dir / f"{name}.tmp").exists()]
    leftovers += [stamp for stamp in (models_dir / STAMPS).glob("*") if not (models_dir / stamp.stem).is_dir()]
    if leftovers:
        with replacing(models_dir, files):
            for path in leftovers:
                files.remove(path)


def remove_tree(folder: Path, files: Files) -> None:
    """Remove a folder and all in it; a symbolic link is removed, and what it leads to stays."""
    if folder.is_symlink() or not folder.is_dir():
        files.remove(folder)
        return
    for path in list(folder.iterdir()):
        remove_tree(path, files)
    files.remove_dir(folder)
