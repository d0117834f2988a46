"""Backups: one archive of a version, its encoders in the database and its entries in the history; and the way back."""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import IO, Any

from recsys import store
from recsys.artifacts import DISK, Draft, Files, Version, append_history, open_version
from recsys.artifacts.files import DISK_FULL, LockHandle, open_regular, read_small, try_lock
from recsys.artifacts.manifest import MANIFEST, MAX_MANIFEST_BYTES, SCHEMA, sha256_of, to_json
from recsys.errors import ModelMismatch, ModelRefused, NoModel, Overloaded, SettingsError
from recsys.errors.records import Record
from recsys.lifecycle.archive import CHUNK, ENCODERS, ENTRIES, FOLDER, LISTING, Archive, open_archive
from recsys.lifecycle.versions import (
    ACTIVATE,
    RESTORE,
    RESTORED_AT,
    Connect,
    Switch,
    encoded,
    encoders_of,
    named,
    recorded,
    switch,
    trained_at,
    write_encoders,
)
from recsys.settings import Settings

OURS_ONLY = 0o600  # a version holds the ids of the shop's users
LEVEL = 1  # of zlib: weights hardly shrink, and more takes five times as long
ZIP64_FROM = 2**31 - 1  # bytes of a file for which zip needs its larger headers
LEAST_ROOM = 16 * 2**20  # bytes needed beyond the version's own


class Restored(Record):
    """What a restore did.

    Attributes:
        name: The version.
        is_new: Whether the folder lacked it.
        wrote_encoders: Whether the database lacked its encoders, or held other ones.
        switched: The switch to it; None if it was not asked for.
    """

    name: str
    is_new: bool
    wrote_encoders: bool
    switched: Switch | None


def back_up(
    settings: Settings,
    name: str,
    target: Path,
    *,
    replace: bool = False,
    files: Files = DISK,
    connect: Connect = store.connect,
) -> int:
    """Write the archive of a version, read it back, and let it appear in one step.

    Args:
        settings: Where versions and database are.
        name: The version.
        target: The archive. Its folder is made where it is missing.
        replace: Whether an existing file may be replaced.
        files: The effects on disk.
        connect: Opens the database.

    Returns:
        The archive's size in bytes.

    Raises:
        NoModel: There is no such version.
        ModelRefused: The version is damaged.
        ModelMismatch: The database does not hold the version's encoders, or other ones.
        Overloaded: The disk is full.
        SettingsError: The archive exists, or cannot be written there.
    """
    if os.path.lexists(target) and not replace:
        raise SettingsError(f"{target} should be a new file. Received: it exists. Move it away, or name another.")
    with open_version(settings.models_dir, name, full=True, files=files) as version:
        blobs = {
            ENCODERS: _stored_encoders(settings, version, connect),
            ENTRIES: to_json(_entries(settings.models_dir, name)),
            FOLDER + MANIFEST: read_small(version.path / MANIFEST, MAX_MANIFEST_BYTES),
        }
        with _written(target, files) as aside:
            files.create(aside, lambda path: _write(path, version, blobs))
            files.fsync(aside)
            with open_archive(aside) as archive:
                for path in archive.parts:
                    archive.check(path)
            files.rename(aside, target)
            files.fsync(target.parent)
            return target.stat().st_size


def restore(
    settings: Settings,
    path: Path,
    *,
    now: int,
    activate: bool = False,
    files: Files = DISK,
    connect: Connect = store.connect,
) -> Restored:
    """Bring a version back from its archive: its folder, its encoders in the database, its entries in the history.

    What is there already stays. If the archive or the database fails, the folder stays as it was.

    Args:
        settings: Where versions and database are.
        path: The archive.
        now: Seconds since 1970.
        activate: Whether the version should serve.
        files: The effects on disk.
        connect: Opens the database.

    Raises:
        ModelRefused: The archive is damaged, holds what it should not, or the folder has another version of its name.
        Overloaded: The disk is full, or another process trains.
        SettingsError: There is no such archive, or the folder cannot be written to.
    """
    models_dir = settings.models_dir
    with open_archive(path) as archive, ExitStack() as held:
        name = archive.name
        is_new = not os.path.lexists(models_dir / name)
        if is_new:
            draft = held.enter_context(Draft.create(models_dir, trained_at(name), files))
            version = held.enter_context(_unpacked(archive, draft, models_dir, files))
        else:
            version = held.enter_context(_same(archive, models_dir, files))
        archive.check(ENCODERS)
        if hashlib.sha256(encoded(encoders_of(version))).hexdigest() != archive.parts[ENCODERS].sha256:
            raise ModelRefused(
                f"{path} should hold the encoders of {name}. Received: others than in the version's files."
            )
        with connect(settings.database_url) as db:
            store.migrate(db, shop=False)
            wrote = write_encoders(db, version)
        if is_new or name not in map(named, recorded(models_dir)):
            _record(archive, models_dir, now, files)
        options: dict[str, Any] = {"action": ACTIVATE, "now": now, "files": files, "connect": connect}
        switched = switch(settings, name, **options) if activate else None
    return Restored(name, is_new, wrote, switched)


def _unpacked(archive: Archive, draft: Draft, models_dir: Path, files: Files) -> Version:
    """Write an archive's version into a draft and publish it; returns the open version."""
    needed = LEAST_ROOM + sum(entry.size for entry in archive.parts.values())
    if (free := shutil.disk_usage(models_dir).free) < needed:
        room = f"{needed / 2**20:,.0f} MiB. Received: {free / 2**20:,.0f} MiB free"
        raise Overloaded(f"{models_dir} should have room for the version, {room}.")
    for path in archive.paths():
        files.create(draft.path(path), _saver(archive, FOLDER + path))
    if (name := draft.publish_again(archive.manifest)) != archive.name:
        raise ModelRefused(
            f"A version's name should begin with a time. Received: {archive.name}, which would be {name}."
        )
    return open_version(models_dir, name, full=True, files=files)


def _saver(archive: Archive, path: str) -> Callable[[Path], None]:
    return lambda target: archive.save(path, target)


def _same(archive: Archive, models_dir: Path, files: Files) -> Version:
    """Return the version that the folder holds already, if it is the archive's."""
    try:
        version = open_version(models_dir, archive.name, full=True, files=files)
    except (ModelRefused, NoModel) as error:
        raise ModelRefused(
            f"{models_dir} should hold no other {archive.name} than the backup's. Received: {error} "
            "Move it away and restore again."
        ) from error
    if sha256_of(version.path / MANIFEST) != archive.parts[FOLDER + MANIFEST].sha256:
        version.close()
        raise ModelRefused(
            f"{models_dir} should hold no other {archive.name} than the backup's. Received: another manifest."
        )
    return version


def _record(archive: Archive, models_dir: Path, now: int, files: Files) -> None:
    """Add to the history that the version was restored, with its own entries unless they are there."""
    known = _entries(models_dir, archive.name)
    missing = [entry for entry in archive.entries if entry not in known]
    for entry in missing:
        append_history(models_dir, {**entry, RESTORED_AT: now}, files)
    if not missing:
        append_history(models_dir, {"action": RESTORE, "timestamp": now, "version": archive.name}, files)


def _entries(models_dir: Path, name: str) -> list[dict[str, Any]]:
    """Return the entries of a version's training run, as they were written at first."""
    entries = [entry for entry in recorded(models_dir) if entry.get("published") == name]
    return [{key: value for key, value in entry.items() if key != RESTORED_AT} for entry in entries]


def _stored_encoders(settings: Settings, version: Version, connect: Connect) -> bytes:
    """Return the encoders that the database holds; they have to be those of the version's files."""
    with connect(settings.database_url) as db:
        stored = encoded(store.read_version(db, version.name))
    if stored != encoded(encoders_of(version)):
        raise ModelMismatch(
            f"The database should hold the encoders of version {version.name}. Received: other ones. "
            f"Run scripts/migrate_encoders.py --version {version.name}."
        )
    return stored


def _write(path: Path, version: Version, blobs: Mapping[str, bytes]) -> None:
    """Write the listing, then every file."""
    sealed = {path: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for path, data in blobs.items()}
    inside = {
        FOLDER + entry["path"]: {"size": entry["size"], "sha256": entry["sha256"]}
        for entry in version.manifest["files"]
    }
    listed = [{"path": path, **entry} for path, entry in {**sealed, **inside}.items()]
    listing = to_json({"schema": SCHEMA, "version": version.name, "files": listed})
    with path.open("r+b") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as archive:
        for name, data in {LISTING: listing, **blobs}.items():
            archive.writestr(name, data)
        for name, entry in inside.items():
            source = version.file(name.removeprefix(FOLDER))
            with os.fdopen(open_regular(source), "rb") as content, _member(archive, name, entry["size"]) as part:
                shutil.copyfileobj(content, part, CHUNK)


def _member(archive: zipfile.ZipFile, name: str, size: int) -> IO[bytes]:
    return archive.open(name, "w", force_zip64=size > ZIP64_FROM)


@contextmanager
def _written(target: Path, files: Files) -> Iterator[Path]:
    """Yield an empty file beside the target, locked against the next backup, which removes what killed ones left."""
    try:
        files.make_dir(target.parent)
        for leftover in target.parent.glob(f".{escape(target.name)}.*.tmp"):
            if _is_free(leftover):
                files.remove(leftover)
        aside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        lock = LockHandle(os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL, OURS_ONLY))
        try:
            try_lock(lock.descriptor)
            yield aside
        finally:
            with suppress(OSError):  # the next backup tries again
                files.remove(aside)
            lock.close()
    except OSError as error:
        if error.errno in DISK_FULL:
            raise Overloaded(
                f"{target} should fit on the disk. Received: {error.strerror}. Free some space and run it again."
            ) from error
        raise SettingsError(
            f"{target} should be a file that this user may write. Received: {error.strerror}."
        ) from error


def _is_free(path: Path) -> bool:
    """Return whether no process writes an unfinished archive."""
    try:
        lock = LockHandle(os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)))
        try:
            return try_lock(lock.descriptor)
        finally:
            lock.close()
    except OSError:
        return False
