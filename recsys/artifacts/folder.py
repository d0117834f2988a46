"""Which versions the folder holds, and the removal of one, which spares the active one and those that are read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from recsys.artifacts.files import DISK, Files, LockHandle, disk_errors, try_lock
from recsys.artifacts.manifest import MANIFEST, is_version_name
from recsys.artifacts.publish import DRAFT, PUBLISHER_LOCK, remove_tree
from recsys.artifacts.version import STAMPS, is_current


def version_names(models_dir: Path) -> list[str]:
    """Return the names of all versions in the folder, whole or damaged, the oldest first."""
    try:
        with os.scandir(models_dir) as entries:
            folders = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    return sorted(filter(is_version_name, folders))


@contextmanager
def publisher_lock(models_dir: Path, files: Files = DISK) -> Iterator[None]:
    """Hold the publisher's lock, so that nobody else publishes meanwhile.

    Raises:
        Overloaded: Another process holds it; the message names it.
        SettingsError: The folder cannot be written to.
    """
    with disk_errors(models_dir):
        lock = LockHandle(files.lock(models_dir / PUBLISHER_LOCK))
    try:
        yield
    finally:
        lock.close()


def remove_version(
    models_dir: Path, name: str, files: Files = DISK, *, forget: Callable[[], None] = lambda: None
) -> bool:
    """Remove a version, unless it is the active one or a reader holds it. The caller holds the publisher's lock.

    The folder loses its version's name before its first file, so that it is never a version in part.

    Args:
        models_dir: The folder of all versions.
        name: The version's name; its folder exists.
        files: The effects on disk.
        forget: Removes what belongs to the version elsewhere. It is called when nobody can open the version any more,
            and before its folder is touched: after a crash between the two, the next removal does both again.

    Returns:
        Whether it was removed.

    Raises:
        RecsysError: The folder is not writable, or the disk fails.
    """
    folder, aside = models_dir / name, models_dir / f"{DRAFT}removed-{name}"
    with ExitStack() as held:
        if os.path.lexists(folder / MANIFEST):  # without a manifest, nobody can have opened it
            lock = _lock_out_readers(folder / MANIFEST)
            if lock is None:
                return False
            held.callback(lock.close)
        if is_current(models_dir, name):
            return False
        forget()
        with disk_errors(models_dir):
            files.remove(models_dir / STAMPS / f"{name}.json")
            files.rename(folder, aside)
            files.fsync(models_dir)
            remove_tree(aside, files)
    return True


def _lock_out_readers(manifest: Path) -> LockHandle | None:
    """Take an exclusive lock on a manifest; None while a reader shares it, or where that cannot be known."""
    try:  # for writing, without which NFS has no exclusive locks
        lock = LockHandle(os.open(manifest, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)))
    except OSError:
        return None
    try:
        if try_lock(lock.descriptor):
            return lock
    except OSError:  # a file system without locks
        pass
    lock.close()
    return None
