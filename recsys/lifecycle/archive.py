"""The archive of a version: a zip file that is read without trust.

`backup.json` lists all other files with their sizes and SHA-256, in the form of a version's manifest. `version/…` is
the version's folder, `encoders.json` what the database holds of it, and `metrics.json` its entries in the history.
The checksums tell damage. They do not tell who made an archive.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from recsys.artifacts.files import open_regular
from recsys.artifacts.manifest import (
    MANIFEST,
    MAX_MANIFEST_BYTES,
    FileEntry,
    is_version_name,
    parse_manifest,
    read_json,
    version_name,
)
from recsys.errors import ModelRefused, SettingsError
from recsys.errors.records import Record
from recsys.errors.wording import shown
from recsys.lifecycle.versions import named

LISTING, ENCODERS, ENTRIES, FOLDER = "backup.json", "encoders.json", "metrics.json", "version/"
CHUNK = 2**20  # bytes
MAX_ENTRIES_BYTES = 64 * 2**20  # a training run's entry has some hundred kilobytes
ENCRYPTED = 0x1  # of a zip file's flags
# What the libraries raise for an archive that is damaged, cut off or made up.
UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)


class Archive(Record, eq=False):
    """An open archive, whose names and sizes are checked. Each file is checked against its SHA-256 when it is read.

    Attributes:
        name: The version's name.
        parts: All listed files by path.
        manifest: The version's manifest.
        entries: The version's entries in the history.
    """

    name: str
    parts: Mapping[str, FileEntry]
    manifest: bytes
    entries: list[dict[str, Any]]
    _where: str
    _zip: zipfile.ZipFile

    def paths(self) -> list[str]:
        """Return the paths of the version's files, without its manifest."""
        inside = [path.removeprefix(FOLDER) for path in self.parts if path.startswith(FOLDER)]
        return [path for path in inside if path != MANIFEST]

    def save(self, path: str, target: Path) -> None:
        """Write one listed file.

        Raises:
            ModelRefused: It is damaged.
        """
        with target.open("wb") as file:
            for data in _chunks(self._zip, self.parts[path], self._where):
                file.write(data)

    def check(self, path: str) -> None:
        """Read one listed file and check it.

        Raises:
            ModelRefused: It is damaged.
        """
        for _ in _chunks(self._zip, self.parts[path], self._where):
            pass


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open an archive and check its names, sizes and listing; nothing is written.

    Raises:
        SettingsError: There is no such file.
        ModelRefused: It is damaged, or holds other things than its listing says.
    """
    where = path.name
    try:
        descriptor = open_regular(path)
    except FileNotFoundError as error:
        raise SettingsError(f"{path} should be a backup. Received: there is no such file.") from error
    with ExitStack() as held:
        file = held.enter_context(os.fdopen(descriptor, "rb"))
        with _readable(where):
            archive = held.enter_context(zipfile.ZipFile(file))
            opened = _checked(archive, where)
        yield opened


def _checked(archive: zipfile.ZipFile, where: str) -> Archive:
    """Return an archive once its listing, its names and the version's manifest agree."""
    members = archive.infolist()
    names = [member.filename for member in members]
    if LISTING not in names:
        raise ModelRefused(f"{where} should hold {LISTING}. Received: a zip file of something else.")
    for member in members:
        _check_member(member, where)
    listing, parts = parse_manifest(_small(archive, LISTING, MAX_MANIFEST_BYTES, where), f"{where}/{LISTING}")
    if len({name.lower() for name in names}) < len(names):
        raise ModelRefused(f"{where} should hold each file once. Received: one twice.")
    wrong = {*names} ^ {LISTING, *parts} or {ENCODERS, ENTRIES, FOLDER + MANIFEST} - {*parts}
    wrong |= {path for path in parts if path not in (ENCODERS, ENTRIES) and not path.startswith(FOLDER)}
    if wrong:
        raise ModelRefused(
            f"{where} should hold exactly the files of {LISTING}. Received: not so for {shown(min(wrong))}."
        )
    for path, entry in parts.items():
        if (received := archive.getinfo(path).file_size) != entry.size:
            raise ModelRefused(f"{where}/{path} should have {entry.size} bytes. Received: {received}.")
    name = str(listing.get("version"))
    manifest = _blob(archive, parts[FOLDER + MANIFEST], MAX_MANIFEST_BYTES, where)
    if not is_version_name(name) or version_name(name.split("-")[0], manifest) != name:
        raise ModelRefused(f"{where} should hold the version that its manifest belongs to. Received: {shown(name)}.")
    _, inside = parse_manifest(manifest, f"{where}/{FOLDER}{MANIFEST}")
    stored = {path: parts.get(FOLDER + path) for path in inside}
    same = all(
        entry and (entry.size, entry.sha256) == (inside[path].size, inside[path].sha256)
        for path, entry in stored.items()
    )
    if not same or len(parts) != len(inside) + 3:
        raise ModelRefused(f"{where} should hold exactly the files of the version's manifest. Received: others.")
    entries = read_json(_blob(archive, parts[ENTRIES], MAX_ENTRIES_BYTES, where), f"{where}/{ENTRIES}")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and named(entry) == name for entry in entries):
        raise ModelRefused(f"{where}/{ENTRIES} should hold entries of {name} only. Received: something else.")
    return Archive(name, parts, manifest, entries, where, archive)


def _check_member(member: zipfile.ZipInfo, where: str) -> None:
    kind = stat.S_IFMT(member.external_attr >> 16)
    if member.is_dir() or kind not in (0, stat.S_IFREG):
        raise ModelRefused(
            f"{where} should hold plain files only. Received: {shown(member.filename)}, a link, folder or device."
        )
    if member.flag_bits & ENCRYPTED or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ModelRefused(f"{where} should be a plain zip file. Received: {shown(member.filename)}, packed otherwise.")


def _small(archive: zipfile.ZipFile, path: str, limit: int, where: str) -> bytes:
    """Return the content of a file of at most `limit` bytes."""
    with archive.open(path) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ModelRefused(f"{where}/{path} should have at most {limit} bytes. Received: more.")
    return data


def _blob(archive: zipfile.ZipFile, entry: FileEntry, limit: int, where: str) -> bytes:
    """Return the content of a listed file of at most `limit` bytes, checked."""
    if entry.size > limit:
        raise ModelRefused(f"{where}/{entry.path} should have at most {limit} bytes. Received: {entry.size}.")
    return b"".join(_chunks(archive, entry, where))


def _chunks(archive: zipfile.ZipFile, entry: FileEntry, where: str) -> Iterator[bytes]:
    """Yield the content of a listed file in pieces, and check its size and its SHA-256 at the end."""
    digest, size = hashlib.sha256(), 0
    with _readable(where), archive.open(entry.path) as file:
        while data := file.read(CHUNK):
            size += len(data)
            digest.update(data)
            if size > entry.size:
                break
            yield data
    if size != entry.size or digest.hexdigest() != entry.sha256:
        raise ModelRefused(f"{where}/{entry.path} should be as {LISTING} says. Received: it is damaged.")


@contextmanager
def _readable(where: str) -> Iterator[None]:
    try:
        yield
    except UNREADABLE as error:
        raise ModelRefused(f"{where} should be a whole backup. Received: {error or type(error).__name__}.") from error
