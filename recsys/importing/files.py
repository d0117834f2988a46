"""Reads CSV, JSON lines, Parquet and Excel as record batches, plain, gzipped or in a zip archive.

CSV is split with the standard library. Lines with too few or too many fields are counted, and `007` and `NA` stay as
they are; pandas fills short lines and needs an option for the others. pyarrow's streaming reader reads ahead in
threads, and these abort the process when a Python file object raises an error.
"""

from __future__ import annotations

import csv
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from zipfile import BadZipFile

import pyarrow
import pyarrow.parquet as parquet

from recsys.errors import UsageError
from recsys.errors.wording import listed
from recsys.importing import streams
from recsys.importing.records import Records
from recsys.importing.report import Unreadable
from recsys.store.reading import shortened

# The kinds that their first bytes tell, with the ending of their names. Everything else is CSV or JSON lines.
_KINDS = {"gzip": (b"\x1f\x8b", ".gz"), "Parquet": (b"PAR1", ".parquet"), "Excel": (b"PK\x03\x04", ".xlsx")}
MALFORMED = "line with too few or too many fields"
MALFORMED_WAY_OUT = "--delimiter names the separator, --quote none says that quotes are text."
STRAY_QUOTES = "quote that is no quote of a field"
STRAY_WAY_OUT = "--quote none says that all quotes are text."
_OLE = b"\xd0\xcf\x11\xe0"  # the container of encrypted workbooks, and of .xls


class EventSource(Protocol):
    """Rows with named columns, from one file or several.

    Attributes:
        columns: The names of the columns, in order.
        size: The size on disk, in bytes.
        position: Number of bytes read so far.
        dropped: Rows that the last call of `batches` has left out so far, by reason.
        ignored: What that call has left out of other rows so far, by reason.
        unreadable: Those of these reasons for which something could not be read, with an example.
        withdrawn: Event and key of rows that are void by now, and may stem from an earlier import.
        active: Whether items are sold by now, as far as the source tells.
        taken_back: How many purchases the cancellations read so far take back, by the text of their rows, where it is
            not one.
    """

    columns: tuple[str, ...]
    size: int
    position: int
    dropped: Counter[str]
    ignored: Counter[str]
    unreadable: dict[str, Unreadable]
    withdrawn: Sequence[tuple[str, str]]
    active: Mapping[str, bool]
    taken_back: Mapping[str, int]

    def require(self, columns: Sequence[str]) -> None:
        """Check that there is each column, once; raises UsageError."""

    def batches(self, rows: int, columns: Sequence[str] | None = None) -> Iterator[Any]:
        """Yield pyarrow record batches in order, from the start; None for all columns."""


class EventFile:
    """A file of rows with named columns. Each call of `batches` reads it from the start.

    CSV and Parquet are read as a stream. A workbook is read once and held as text, because its sheets are not stored as
    streams.

    Attributes:
        path: The file.
        columns: The names of its columns, in order.
        size: Its size on disk, in bytes.
        position: Number of bytes read so far.
        dropped: Lines with too few or too many fields, read so far by the last call of `batches`, under that name.
        ignored: Lines with a quote that is no quote of a field, read so far by that call, under that name.
        unreadable: An example of each, and what helps.
        withdrawn: Rows that are void by now; none, because only formats by name tell that.
        active: Whether items are sold by now; none, for the same reason.
        taken_back: How many purchases a cancellation takes back; none, for the same reason.
    """

    def __init__(
        self,
        path: Path,
        *,
        member: str | None = None,
        names: Sequence[str] = (),
        delimiter: str = ",",
        quote: str = '"',
        encoding: str = "utf8",
        sheet_names: Sequence[str] = (),
    ) -> None:
        """Open a file.

        Args:
            path: A CSV, JSON lines, Parquet or .xlsx file, plain, gzipped or alone in a zip archive.
            member: The file to read of a zip archive that holds several.
            names: The names of a CSV's columns, if it has no line of them.
            delimiter: The separator of a CSV.
            quote: The character around fields of a CSV; `none` if it has no such fields.
            encoding: The encoding of text; a byte order mark wins over it.
            sheet_names: Sheets of a workbook to read, in order; empty for all.

        Raises:
            UsageError: The file is missing, empty, damaged, encrypted or not what its name says, or lacks a sheet.
        """
        self.path, self._delimiter, self._quote, self._encoding = path, delimiter, quote, encoding
        self._given_names = tuple(names)
        self.withdrawn: Sequence[tuple[str, str]] = ()
        self.active: Mapping[str, bool] = {}
        self.taken_back: Mapping[str, int] = {}
        self._begin()
        with self._usage_errors():
            self.size = path.stat().st_size
            with path.open("rb") as stream:
                start = stream.read(4)
            self._member = member or self._only_member(start)
            if self._member is not None:
                start = streams.Place(path, self._member).start()
        self._kind = next((kind for kind, (magic, _) in _KINDS.items() if start.startswith(magic)), "CSV")
        if self._member is None:
            self._check_name(start)
        with self._usage_errors():
            self._start = start if self._member else streams.Place(path).start()
            self._is_packed = self._member is not None or self._kind == "gzip"
            if self._kind == "gzip" and self._start.startswith(_KINDS["Parquet"][0]):
                self._kind = "Parquet"
            if self._kind in {"CSV", "gzip"} and streams.is_json_lines(self._start, encoding):
                self._kind = "JSON lines"
        if sheet_names and self._kind != "Excel":
            raise UsageError(f"--sheet is for .xlsx files. Received: {path.name}, which is {self._kind}.")
        with self._usage_errors():
            self._table: Any = None
            self._header = path.name
            if self._kind == "Excel":
                from recsys.importing.workbook import read_workbook  # imported here: pandas is slow to load

                self._table, self._header = read_workbook(path, sheet_names, member=self._member)
            self.columns: tuple[str, ...] = tuple(self._names())

    def _begin(self) -> None:
        self.position = 0
        self.dropped, self.ignored = Counter[str](), Counter[str]()
        self.unreadable: dict[str, Unreadable] = {}

    def _only_member(self, start: bytes) -> str | None:
        """Return the only data file of a zip archive; None for other files."""
        magic, suffix = _KINDS["Excel"]
        if not start.startswith(magic) or self.path.suffix.lower() == suffix or not streams.is_archive(self.path):
            return None
        inner = [place.member for place in streams.places_in(self.path)]
        if len(inner) != 1:
            raise UsageError(
                f"{self.path.name} should hold one file of rows. Received: {len(inner)} files, such as "
                f"{listed([str(name) for name in inner[:3]])}; unpack it first, or name its --format."
            )
        return inner[0]

    def _check_name(self, start: bytes) -> None:
        if not start:
            raise UsageError(f"{self.path.name} should hold a header and rows. Received: an empty file.")
        if start == _OLE:
            expected = "an .xlsx file without a password"
            raise UsageError(f"{self.path.name} should be {expected}. Received: an encrypted workbook, or an old .xls.")
        for kind, (_, suffix) in _KINDS.items():
            if self.path.suffix.lower() == suffix and kind != self._kind:
                raise UsageError(f"{self.path.name} should be {kind}, as its name says. Received: something else.")

    def require(self, columns: Sequence[str]) -> None:
        """Check that the file has each column, once.

        Raises:
            UsageError: A column is missing, or two have its name; the message lists the file's columns.
        """
        for name in columns:
            if self.columns.count(name) != 1:
                received = "no such column" if name not in self.columns else "more than one"
                raise UsageError(
                    f"{self._header} should have one column {name!r}. "
                    f"Received: {received} among {', '.join(self.columns)}."
                )

    def batches(self, rows: int, columns: Sequence[str] | None = None) -> Iterator[Any]:
        """Yield pyarrow record batches in the file's order; all columns of a CSV or a workbook are text.

        Args:
            rows: Most rows of a batch.
            columns: The columns to read; None for all.

        Raises:
            UsageError: The file is truncated or damaged.
        """
        self._begin()
        with self._usage_errors():
            if self._kind == "Parquet":
                with self._parquet() as file:
                    batches = file.iter_batches(batch_size=rows, columns=list(columns) if columns else None)
                    yield from self._positioned(batches, file.metadata.num_rows)
            elif self._table is not None:
                table = self._table.select(list(columns)) if columns else self._table
                yield from self._positioned(table.to_batches(max_chunksize=rows), len(table))
            else:
                yield from self._text_batches(rows, columns)

    def _names(self) -> Sequence[str]:
        if self._table is not None:
            return list(self._table.column_names)
        if self._kind == "Parquet":
            with self._parquet() as file:
                return list(file.schema_arrow.names)
        if self._given_names:
            return self._given_names
        with self._text() as (text, _):
            if self._kind == "JSON lines":
                return streams.json_columns(text)
            return next(self._records(text), [])

    def _records(self, text: TextIOWrapper) -> Records:
        width = len(self._given_names) or None
        return Records(text, delimiter=self._delimiter, quote=self._quote, width=width)

    def _positioned(self, batches: Iterable[Any], n_rows: int) -> Iterator[Any]:
        """Yield batches, with the position that their share of all rows gives."""
        n_read = 0
        for batch in batches:
            n_read += batch.num_rows
            self.position = self.size * n_read // max(1, n_rows)
            yield batch

    def _text_batches(self, rows: int, columns: Sequence[str] | None) -> Iterator[Any]:
        names = list(columns or self.columns)
        places = [self.columns.index(name) for name in names] if columns else list(range(len(names)))
        with self._text() as (text, stream):
            records = self._records(text) if self._kind != "JSON lines" else None
            if records is not None and not self._given_names:
                next(records, None)
            lines_of: Iterator[list[Any]] = streams.split_json(text, self.columns) if records is None else records
            while lines := list(islice(lines_of, rows)):
                self.position = stream.tell()
                whole = [line for line in lines if len(line) == len(self.columns)]
                if len(whole) < len(lines):
                    self._count_malformed(lines)
                if records is not None and records.stray_quotes:
                    self.ignored[STRAY_QUOTES] = records.stray_quotes
                    self.unreadable[STRAY_QUOTES] = Unreadable(shortened(records.example), STRAY_WAY_OUT)
                fields = ([line[place] for line in whole] for place in places)
                yield pyarrow.RecordBatch.from_arrays(
                    [pyarrow.array(column, pyarrow.string()) for column in fields], names
                )

    def _count_malformed(self, lines: Sequence[list[str]]) -> None:
        """Count lines with too few or too many fields; empty lines are not counted."""
        malformed = [line for line in lines if line and len(line) != len(self.columns)]
        self.dropped[MALFORMED] += len(malformed)
        if malformed and MALFORMED not in self.unreadable:
            is_json = self._kind == "JSON lines"
            line = malformed[0][0] if is_json else self._delimiter.join(malformed[0])
            way_out = "Each line should be one JSON object." if is_json else MALFORMED_WAY_OUT
            self.unreadable[MALFORMED] = Unreadable(shortened(line.rstrip()), way_out)

    @contextmanager
    def _parquet(self) -> Iterator[Any]:
        """Open a Parquet file. A packed one is held in memory, because it is not read from its start to its end."""
        if not self._is_packed:
            with parquet.ParquetFile(self.path) as file:
                yield file
            return
        with self.path.open("rb") as stream, streams.unpacked(stream, self._member) as plain:
            content = pyarrow.py_buffer(plain.read())
        with parquet.ParquetFile(pyarrow.BufferReader(content)) as file:
            yield file

    @contextmanager
    def _text(self) -> Iterator[tuple[TextIOWrapper, BinaryIO]]:
        """Open the file; yields its text, and the byte stream below it."""
        is_utf8 = self._encoding.lower().replace("-", "") == "utf8"
        with self.path.open("rb") as stream:
            plain = streams.unpacked(stream, self._member)
            with streams.text_of(plain, self._start, "utf-8-sig" if is_utf8 else self._encoding) as text:
                yield text, stream

    @contextmanager
    def _usage_errors(self) -> Iterator[None]:
        """Turn the errors that readers raise for a bad file into UsageError."""
        try:
            yield
        except FileNotFoundError as error:
            raise UsageError(f"{self.path.name} should be a file. Received: no such file.") from error
        except UnicodeError as error:
            raise UsageError(
                f"{self.path.name} should be written in {self._encoding}, or --encoding say how. Received: {error}."
            ) from error
        except (pyarrow.ArrowException, csv.Error, BadZipFile, zlib.error, OSError, EOFError, LookupError) as error:
            raise UsageError(f"{self.path.name} cannot be read: {' '.join(str(error).split())}.") from error
