"""Reads CSV, gzipped CSV, Parquet and Excel as record batches.

CSV is split with the standard library. Lines with too few or too many fields are counted, and `007` and `NA` stay as
they are; pandas fills short lines and needs an option for the others. pyarrow's streaming reader reads ahead in
threads, and these abort the process when a Python file object raises an error.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow
import pyarrow.parquet as parquet

from recsys.errors import UsageError
from recsys.importing.records import Records

# The kinds that their first bytes tell, with the ending of their names. Everything else is read as CSV.
_KINDS = {"gzip": (b"\x1f\x8b", ".gz"), "Parquet": (b"PAR1", ".parquet"), "Excel": (b"PK\x03\x04", ".xlsx")}
_OLE = b"\xd0\xcf\x11\xe0"  # the container of encrypted workbooks, and of .xls


class EventFile:
    """A file of rows with named columns. Each call of `batches` reads it from the start.

    CSV and Parquet are read as a stream. A workbook is read once and held as text, because its sheets are not stored as
    streams.

    Attributes:
        path: The file.
        columns: The names of its columns, in order.
        size: Its size on disk, in bytes.
        position: Number of bytes read so far.
        malformed: Number of lines with too few or too many fields, read so far by the last call of `batches`.
        malformed_line: The first of these lines; empty without any.
        stray_quotes: Number of lines with a quote that is no quote of a field, read so far by that call.
        stray_line: The first of these lines; empty without any.
    """

    def __init__(
        self,
        path: Path,
        *,
        delimiter: str = ",",
        quote: str = '"',
        encoding: str = "utf8",
        sheet_names: Sequence[str] = (),
    ) -> None:
        """Open a file.

        Args:
            path: A CSV, gzipped CSV, Parquet or .xlsx file.
            delimiter: The separator of a CSV.
            quote: The character around fields of a CSV; `none` if it has no such fields.
            encoding: The encoding of a CSV.
            sheet_names: Sheets of a workbook to read, in order; empty for all.

        Raises:
            UsageError: The file is missing, empty, damaged, encrypted or not what its name says, or lacks a sheet.
        """
        self.path, self._delimiter, self._quote, self._encoding = path, delimiter, quote, encoding
        self._begin()
        with self._usage_errors():
            self.size = path.stat().st_size
            with path.open("rb") as stream:
                start = stream.read(4)
        self._kind = next((kind for kind, (magic, _) in _KINDS.items() if start.startswith(magic)), "CSV")
        self._check_name(start)
        if sheet_names and self._kind != "Excel":
            raise UsageError(f"--sheet is for .xlsx files. Received: {path.name}, which is {self._kind}.")
        with self._usage_errors():
            self._table: Any = None
            self._header = path.name
            if self._kind == "Excel":
                from recsys.importing.workbook import read_workbook  # imported here: pandas is slow to load

                self._table, self._header = read_workbook(path, sheet_names)
            self.columns: tuple[str, ...] = tuple(self._names())

    def _begin(self) -> None:
        self.malformed = self.position = self.stray_quotes = 0
        self.malformed_line = self.stray_line = ""

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
                with parquet.ParquetFile(self.path) as file:
                    batches = file.iter_batches(batch_size=rows, columns=list(columns) if columns else None)
                    yield from self._positioned(batches, file.metadata.num_rows)
            elif self._table is not None:
                table = self._table.select(list(columns)) if columns else self._table
                yield from self._positioned(table.to_batches(max_chunksize=rows), len(table))
            else:
                yield from self._csv_batches(rows, columns)

    def _names(self) -> Sequence[str]:
        if self._table is not None:
            return list(self._table.column_names)
        if self._kind == "Parquet":
            with parquet.ParquetFile(self.path) as file:
                return list(file.schema_arrow.names)
        with self._csv() as (lines, _):
            return self._header_of(lines)

    def _header_of(self, lines: Iterator[str]) -> list[str]:
        quoting = {"quoting": csv.QUOTE_NONE} if self._quote == "none" else {"quotechar": self._quote}
        return next(csv.reader(lines, delimiter=self._delimiter, **quoting), [])

    def _positioned(self, batches: Iterable[Any], n_rows: int) -> Iterator[Any]:
        """Yield batches, with the position that their share of all rows gives."""
        n_read = 0
        for batch in batches:
            n_read += batch.num_rows
            self.position = self.size * n_read // max(1, n_rows)
            yield batch

    def _csv_batches(self, rows: int, columns: Sequence[str] | None) -> Iterator[Any]:
        names = list(columns or self.columns)
        places = [self.columns.index(name) for name in names] if columns else list(range(len(names)))
        with self._csv() as (text, stream):
            self._header_of(text)
            records = Records(text, delimiter=self._delimiter, quote=self._quote, width=len(self.columns))
            while lines := list(islice(records, rows)):
                self.position = stream.tell()
                whole = [line for line in lines if len(line) == len(self.columns)]
                self.stray_quotes, self.stray_line = records.stray_quotes, records.example
                if len(whole) < len(lines):
                    self._count_malformed(lines)
                fields = list(zip(*whole, strict=True)) or [()] * len(self.columns)
                yield pyarrow.RecordBatch.from_arrays(
                    [pyarrow.array(fields[place], pyarrow.string()) for place in places], names
                )

    def _count_malformed(self, lines: Sequence[list[str]]) -> None:
        """Count lines with too few or too many fields; empty lines are not counted."""
        malformed = [line for line in lines if line and len(line) != len(self.columns)]
        self.malformed += len(malformed)
        if malformed and not self.malformed_line:
            self.malformed_line = self._delimiter.join(malformed[0])

    @contextmanager
    def _csv(self) -> Iterator[tuple[TextIOWrapper, BinaryIO]]:
        """Open the file; yields its lines, and the byte stream below them."""
        is_utf8 = self._encoding.lower().replace("-", "") == "utf8"
        encoding = "utf-8-sig" if is_utf8 else self._encoding  # Excel writes a byte order mark
        with self.path.open("rb") as stream:
            plain = gzip.GzipFile(fileobj=stream) if self._kind == "gzip" else stream
            with TextIOWrapper(plain, encoding, newline="") as text:
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
        except (pyarrow.ArrowException, csv.Error, zlib.error, OSError, EOFError, LookupError) as error:
            raise UsageError(f"{self.path.name} cannot be read: {' '.join(str(error).split())}.") from error
