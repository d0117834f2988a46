"""The manifest of a version, which lists its files with their sizes and hashes."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

from recsys.artifacts.files import open_regular
from recsys.errors import ModelRefused
from recsys.errors.records import Record

SCHEMA = 1
MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 16 * 2**20
RESERVED = frozenset({"schema", "created", "files"})
NAME = r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}"
PATH = r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*"  # excludes "..", a leading "/" and "\"
SHA256 = r"[0-9a-f]{64}"
# Bytes. A read and a hash let other threads run, and then may wait 5 ms for a thread that answers requests: with small
# parts, a worker under load would need seconds to check a version.
HASHED_AT_ONCE = 8 * 2**20


class FileEntry(Record):
    """One file of a version.

    Attributes:
        path: Relative to the version's folder, with forward slashes.
        size: Bytes.
        sha256: Lower-case hexadecimal.
        layout: dtype and offset of each array of an HDF5 file; None if the file has to be parsed.
        shapes: Shapes of these arrays; None for other files.
    """

    path: str
    size: int
    sha256: str
    layout: Mapping[str, Any] | None = None
    shapes: Mapping[str, Any] | None = None


def is_version_name(text: str) -> bool:
    """Return whether a text has the form of a version's name, as `20261120T233000Z-0f1e2d3c`.

    >>> is_version_name("20261120T233000Z-0f1e2d3c"), is_version_name("../secret")
    (True, False)
    """
    return re.fullmatch(NAME, text) is not None


def is_relative_path(text: str) -> bool:
    """Return whether a text may name a file inside a version.

    >>> [is_relative_path(path) for path in ("bmf_config.json", "bmf/items.h5", "../x", "/x", "a//b", ".hidden")]
    [True, True, False, False, False, False]
    """
    return re.fullmatch(PATH, text) is not None


def version_name(created: str, manifest: bytes) -> str:
    """Return a version's name: its time, and the first 8 digits of its manifest's SHA-256."""
    return f"{created}-{hashlib.sha256(manifest).hexdigest()[:8]}"


def parse_manifest(data: bytes, where: str) -> tuple[dict[str, Any], dict[str, FileEntry]]:
    """Parse a manifest; returns it with its files by path.

    Args:
        data: The content of manifest.json.
        where: The file's name in error messages.

    Raises:
        ModelRefused: It is no manifest, has another schema, or names a file outside the version.
    """
    manifest = read_json(data, where, _without_duplicates)
    if not isinstance(manifest, dict):
        raise ModelRefused(f"{where} should be a JSON object. Received: {type(manifest).__name__}.")
    schema = manifest.get("schema")
    if isinstance(schema, bool) or schema != SCHEMA:
        raise ModelRefused(
            f"{where} `schema` should be {SCHEMA}. Received: {schema!r}. Publish again with this code, or update it."
        )
    listed = manifest.get("files")
    if not isinstance(listed, list) or not listed:
        raise ModelRefused(f"{where} `files` should be a list of files. Received: {type(listed).__name__}.")
    files: dict[str, FileEntry] = {}
    seen = {MANIFEST}
    for item in listed:
        entry = _entry(item, where)
        if entry.path.lower() in seen:
            raise ModelRefused(f"{where} should list a path once. Received: {entry.path} again.")
        seen.add(entry.path.lower())  # two names that differ by case are one file on some systems
        files[entry.path] = entry
    return manifest, files


def _entry(item: object, where: str) -> FileEntry:
    if not isinstance(item, dict):
        raise ModelRefused(f"{where} `files` should hold objects. Received: {item!r:.100}.")
    path, size, sha256 = item.get("path"), item.get("size"), item.get("sha256")
    if not isinstance(path, str) or not is_relative_path(path):
        raise ModelRefused(f"{where} `path` should name a file inside the version. Received: {path!r:.100}.")
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise ModelRefused(f"{where} `size` of {path} should be a number of bytes. Received: {size!r:.100}.")
    if not isinstance(sha256, str) or not re.fullmatch(SHA256, sha256):
        raise ModelRefused(
            f"{where} `sha256` of {path} should be 64 lower-case hexadecimal digits. Received: {sha256!r:.100}."
        )
    tables = {name: item.get(name) for name in ("layout", "shapes")}
    for name, table in tables.items():
        if not isinstance(table, dict | None):
            raise ModelRefused(f"{where} `{name}` of {path} should be an object. Received: {table!r:.100}.")
    return FileEntry(path, size, sha256, **tables)


def read_json(data: bytes, where: str, parse: Callable[[bytes], Any] = orjson.loads) -> Any:
    """Parse a UTF-8 JSON text.

    Raises:
        ModelRefused: It is no JSON, or holds NaN or an infinity.
    """
    try:
        return parse(data)
    except (ValueError, RecursionError) as error:
        raise ModelRefused(f"{where} should be valid JSON. Received: {error}.") from error


def to_json(value: object) -> bytes:
    """Return a value as indented UTF-8 JSON.

    Raises:
        ValueError: It holds NaN or an infinity.
        TypeError: It holds a type that JSON does not have, or a key other than text.
    """
    data = orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    if b"null" in data:  # which orjson also writes for NaN
        json.dumps(value, allow_nan=False)
    return data


def _without_duplicates(data: bytes) -> Any:
    """Parse JSON in which no object has a key twice; orjson would take the last one."""

    def table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(made := dict(pairs)) != len(pairs):
            raise ValueError("a key twice")
        return made

    orjson.loads(data)  # refuses NaN and all that is not UTF-8
    return json.loads(data, object_pairs_hook=table)


def list_files(folder: Path, *, prefix: str = "") -> dict[str, os.stat_result]:
    """Return the status of every file below a folder, by relative path.

    Raises:
        ModelRefused: An entry is neither a plain file nor a folder, or cannot be read.
    """
    statuses: dict[str, os.stat_result] = {}
    try:
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.is_dir(follow_symlinks=False):
                    statuses |= list_files(Path(entry.path), prefix=f"{prefix}{entry.name}/")
                elif entry.is_file(follow_symlinks=False):
                    statuses[prefix + entry.name] = os.lstat(entry.path)
                else:
                    kind = "a symbolic link" if entry.is_symlink() else "a pipe, socket or device"
                    raise ModelRefused(f"{folder.name}/{entry.name} should be a plain file. Received: {kind}.")
    except OSError as error:
        raise ModelRefused(
            f"{folder} should be a folder that this user may read. Received: {error.strerror}."
        ) from error
    return statuses


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a plain file, in lower-case hexadecimal.

    Raises:
        ModelRefused: The file is missing, no plain file, or cannot be read.
    """
    digest, buffer = hashlib.sha256(), memoryview(bytearray(HASHED_AT_ONCE))
    try:
        with os.fdopen(open_regular(path), "rb", buffering=0) as file:
            while n := file.readinto(buffer):
                digest.update(buffer[:n])
        return digest.hexdigest()
    except OSError as error:
        raise ModelRefused(f"{path} should be readable. Received: {error.strerror}.") from error
