"""The bytes and lines of files: archives and compression are opened, encodings recognised, JSON lines read."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO, TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, cast
from zipfile import ZipFile, is_zipfile

_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}  # byte order signs
_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"
_WORKBOOK_PART = "xl/workbook.xml"  # every .xlsx archive has it
_DATA = re.compile(r".+\.(csv|tsv|txt|dat|data|item|inter|jsonl|ndjson|json|parquet|xlsx)(\.(gz|zip))?", re.IGNORECASE)
_FIRST_LINES = 1_000  # of JSON lines, whose keys are the columns
_START = 64 * 1024  # bytes that tell a file's kind


@dataclass(frozen=True)
class Place:
    """A file, on disk or in a zip archive.

    Attributes:
        path: The file, or the archive.
        member: The file's name in the archive; None for a file on disk.
    """

    path: Path
    member: str | None = None

    @property
    def name(self) -> str:
        """The file's name, without folders."""
        return self.path.name if self.member is None else self.member.rpartition("/")[2]

    def start(self) -> bytes:
        """Return the first bytes, decompressed."""
        with self.path.open("rb") as stream:
            opened = unpacked(stream, self.member)
            return opened.read(_START)


def places_in(path: Path) -> list[Place]:
    """Return the data files of a folder or a zip archive, in the order of their names and numbers; else the file.

    A workbook is one file, although it is an archive.
    """
    if path.is_dir():
        inner = [place for file in path.iterdir() if _DATA.fullmatch(file.name) for place in places_in(file)]
    elif is_archive(path):
        with ZipFile(path) as archive:
            names = [name for name in archive.namelist() if _DATA.fullmatch(name) and not name.startswith("__MACOSX")]
        inner = [Place(path, name) for name in names]
    else:
        return [Place(path)]
    return sorted(inner, key=lambda place: _natural(place.name))


def is_archive(path: Path) -> bool:
    """Return whether a file is a zip archive of other files, and no workbook."""
    if not path.is_file() or not is_zipfile(path):
        return False
    with ZipFile(path) as archive:
        return _WORKBOOK_PART not in archive.namelist()


def unpacked(stream: BinaryIO, member: str | None) -> BinaryIO:
    """Return the bytes of a file, or of an archive's member, without compression by gzip or an inner zip archive."""
    if member is not None:
        stream = cast(BinaryIO, ZipFile(stream).open(member))
    start = stream.read(4)
    stream.seek(0)
    if start.startswith(_GZIP):
        return cast(BinaryIO, gzip.GzipFile(fileobj=stream))
    if start == _ZIP and member is not None:
        inner = BytesIO(stream.read())
        with ZipFile(inner) as archive:
            names = archive.namelist()
        inner.seek(0)
        return unpacked(inner, names[0]) if _WORKBOOK_PART not in names and len(names) == 1 else inner
    return stream


def text_of(stream: BinaryIO, start: bytes, encoding: str) -> TextIOWrapper:
    """Return the text of a stream. A byte order mark in `start` wins over the encoding."""
    marked = next((name for start_bytes, name in _MARKS.items() if start.startswith(start_bytes)), None)
    return TextIOWrapper(stream, marked or encoding, newline="")


def is_json_lines(start: bytes, encoding: str) -> bool:
    """Return whether a file's first line begins as a JSON object."""
    marked = next((name for start_bytes, name in _MARKS.items() if start.startswith(start_bytes)), encoding)
    text = start.decode(marked, "ignore").lstrip()
    return re.match(r'\{\s*("|\})', text) is not None


def json_columns(text: TextIOWrapper) -> list[str]:
    """Return the keys of the first lines' objects, in the order of their appearance."""
    objects = filter(None, (_json_object(line) for line in islice(text, _FIRST_LINES)))
    return list(dict.fromkeys(name for found in objects for name in found))


def split_json(text: TextIOWrapper, columns: Sequence[str]) -> Iterator[list[Any]]:
    """Yield the values of each line's object in the order of the columns, as text, lists and objects as JSON.

    A line that holds no object has no column but one, so that it is counted as malformed.
    """
    for line in text:
        found = _json_object(line)
        if found is not None:
            yield [_json_text(found.get(name)) for name in columns]
        elif line.strip():
            yield [line] * (len(columns) + 1)


def _json_object(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line, parse_float=_Verbatim, parse_int=_Verbatim)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


class _Verbatim(str):
    """A number of JSON, digit by digit."""


def _json_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return None if value is None else str(value)
    return json.dumps(value)


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort `export_2` before `export_10`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name.lower()) if part]
