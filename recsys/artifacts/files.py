"""Effects on disk, one method each, so that tests can end the process between any two; locks and disk errors."""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from recsys.errors import InternalError, ModelRefused, Overloaded, RecsysError, SettingsError

if sys.platform != "win32":
    import fcntl

LOCK_POLL_S = 0.02  # locks are held for milliseconds; polling more often would slow the holder down
MAX_HOLDER_BYTES = 400  # a process id and a host name
DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EEXIST}
EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}


class Files:
    """All ways in which this package changes the disk. Each method is one effect; none is retried."""

    def make_dir(self, path: Path) -> None:
        """Create a folder and its parents, unless they exist."""
        path.mkdir(parents=True, exist_ok=True)

    def write(self, path: Path, data: bytes) -> None:
        """Create or overwrite a file. Durable only after `fsync`."""
        path.write_bytes(data)

    def create(self, path: Path, writer: Callable[[Path], None]) -> None:
        """Let a library write a file. Durable only after `fsync`."""
        writer(path)

    def fsync(self, path: Path) -> None:
        """Wait until a file's content, or a folder's entries, have reached the disk."""
        if sys.platform == "win32" and path.is_dir():
            return  # Windows cannot open folders, and needs no such step
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Replace `target` by `source` in one step, within one file system."""
        os.replace(source, target)

    def touch(self, path: Path) -> None:
        """Set a file's modification time to now, by the clock of the machine that holds the file."""
        os.utime(path)

    def remove(self, path: Path) -> None:
        """Remove a file or a symbolic link, if it exists."""
        path.unlink(missing_ok=True)

    def remove_dir(self, path: Path) -> None:
        """Remove an empty folder."""
        path.rmdir()

    def lock(self, path: Path, *, wait_s: float = 0.0) -> int:
        """Take an exclusive lock on a file, and write the holder into it. The system releases it when the process ends.

        Args:
            path: The lock file, created where missing and never removed.
            wait_s: Seconds to wait while another process holds the lock.

        Returns:
            A file descriptor; closing it releases the lock.

        Raises:
            Overloaded: Another process holds the lock; the message names it.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        deadline = time.monotonic() + wait_s
        while not try_lock(descriptor):
            if time.monotonic() >= deadline:
                holder = _holder(descriptor)
                os.close(descriptor)
                received = f"it is held by {holder}, which trains or publishes"
                raise Overloaded(f"{path} should be free. Received: {received}. Try again later.")
            time.sleep(LOCK_POLL_S)
        _note_holder(descriptor)
        return descriptor


DISK = Files()


class LockHandle:
    """An open file descriptor and its lock, released by `close` or when the object is deleted."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.close = weakref.finalize(self, os.close, descriptor)


def _note_holder(descriptor: int) -> None:
    with suppress(OSError, AttributeError):  # on a full disk, the lock holds without the note; Windows has no pwrite
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {os.uname().nodename}\n".encode(), 0)


def _holder(descriptor: int) -> str:
    """Return the holder that is written in a lock file, and since when it holds the lock."""
    with suppress(OSError, AttributeError):  # Windows has no pread
        words = os.pread(descriptor, MAX_HOLDER_BYTES, 0).decode("utf-8", "replace").strip()
        since = datetime.fromtimestamp(os.fstat(descriptor).st_mtime, UTC)
        if words:
            return f"{words} since {since:%Y-%m-%d %H:%M:%S} UTC"
    return "another process"


def try_lock(descriptor: int) -> bool:
    """Take an exclusive lock on an open file; returns whether it was free."""
    if sys.platform != "win32":
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def shared_lock(descriptor: int) -> None:
    """Take a shared lock on an open file, which keeps clean-up from removing it.

    Raises:
        OSError: The file is being removed, or its file system has no locks.
    """
    if sys.platform != "win32":
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)


@contextmanager
def disk_errors(models_dir: Path) -> Iterator[None]:
    """Turn a failed write, by this package or by a library, into an error that says what to do.

    Raises:
        Overloaded: The disk is full.
        SettingsError: The folder may not be written to.
        InternalError: The disk fails.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        code = error_number(error)
        if code is None:
            raise
        raise describe(code, models_dir) from error


def reserve(path: Path, n_bytes: int) -> None:
    """Reserve room for a file, so that a full disk fails here.

    Otherwise HDF5, which cannot write a file's end, would crash the process when it exits.

    Args:
        path: The file, created where missing; a library overwrites it afterwards.
        n_bytes: Its largest possible size.

    Raises:
        OSError: The disk has no room for it.
    """
    if hasattr(os, "posix_fallocate"):
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, n_bytes)


def error_number(error: BaseException | None) -> int | None:
    """Return the system's error number behind an exception.

    HDF5 reports a full disk when it closes the file, as a RuntimeError that has the number in its text only.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno:
            return error.errno
        if isinstance(error, RuntimeError) and (match := re.search(r"errno = ([0-9]+)", str(error))):
            return int(match[1])
        error = error.__cause__ or error.__context__
    return None


def describe(code: int, models_dir: Path) -> RecsysError:
    """Return the project's error for a failed write, by the system's error number."""
    reason = os.strerror(code)
    if code in DISK_FULL:
        return Overloaded(
            f"{models_dir} should have room for one more version. Received: {reason}. "
            "Free some space and try again; the active version is untouched and still serves."
        )
    if code in NOT_ALLOWED:
        return SettingsError(
            f"MODELS_DIR should be a folder that this user may write to. Received: {models_dir}: {reason}."
        )
    if code in EXHAUSTED:
        return Overloaded(f"The process should have file descriptors and memory to spare. Received: {reason}.")
    return InternalError(
        f"{models_dir} should take a write. Received: {reason}. The active version is untouched and still serves."
    )


def open_regular(path: Path) -> int:
    """Open a file for reading, refusing symbolic links, folders, pipes and devices.

    Raises:
        FileNotFoundError: There is no such file.
        ModelRefused: It is no plain file, or may not be read.
        Overloaded: The process has no free file descriptors.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)  # O_NONBLOCK: a pipe without a writer would block for ever
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in EXHAUSTED:
            raise Overloaded(f"{path} should open. Received: {error.strerror}.") from error
        raise ModelRefused(
            f"{path} should be a plain file that this user may read. Received: {error.strerror}."
        ) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ModelRefused(f"{path} should be a plain file. Received: a folder, pipe or device.")
    return descriptor


def read_small(path: Path, limit: int) -> bytes:
    """Return the content of a plain file of at most `limit` bytes.

    Raises:
        FileNotFoundError: There is no such file.
        ModelRefused: It is no plain file, or larger.
    """
    with os.fdopen(open_regular(path), "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ModelRefused(f"{path} should have at most {limit} bytes. Received: more.")
    return data
