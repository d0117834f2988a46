"""Reads CSV, gzipped CSV and Parquet as a stream of record batches; pyarrow is imported when a file is opened.

CSV is read with the standard library. pyarrow's streaming reader reads ahead in threads, and these abort the process
when a Python file object raises an error.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from recsys.errors import UsageError

_GZIP, _PARQUET = b"\x1f\x8b", b"PAR1"


class EventFile:
    """A file of rows with named columns. Each call of `batches` reads it from the start.

    Attributes:
        path: The file.
        columns: The names of its columns, in order.
        size: Its size on disk, in bytes.
        malformed: Number of lines with too few or too many fields, read so far by the last call of `batches`.
    """

    def __init__(self, path: Path, *, delimiter: str = ",", encoding: str = "utf8") -> None:
        self.path, self._delimiter, self._encoding = path, delimiter, encoding
        self.malformed = 0
        self._position = 0
        with self._usage_errors():
            self.size = path.stat().st_size
            with path.open("rb") as stream:
                start = stream.read(4)
        self._parquet = start == _PARQUET
        self._gzip = start[:2] == _GZIP
        self._check_name(start)
        with self._usage_errors():
            self.columns: tuple[str, ...] = tuple(self._names())

    def _check_name(self, start: bytes) -> None:
        if not start:
            raise UsageError(f"{self.path.name} should hold a header and rows. Received: an empty file.")
        for suffix, kind, is_kind in ((".gz", "gzip", self._gzip), (".parquet", "Parquet", self._parquet)):
            if self.path.suffix.lower() == suffix and not is_kind:
                expected = f"a {kind} file, as its name says"
                raise UsageError(f"{self.path.name} should be {expected}. Received: something else.")

    def require(self, columns: Sequence[str]) -> None:
        """Check that the file has each column, once.

        Raises:
            UsageError: A column is missing, or two have its name; the message lists the file's columns.
        """
        for name in columns:
            if self.columns.count(name) != 1:
                received = "no such column" if name not in self.columns else "more than one"
                raise UsageError(
                    f"{self.path.name} should have one column {name!r}. "
                    f"Received: {received} among {', '.join(self.columns)}."
                )

    def batches(self, rows: int, columns: Sequence[str] | None = None) -> Iterator[Any]:
        """Yield pyarrow record batches in the file's order; all columns of a CSV are text.

        Args:
            rows: Most rows of a batch.
            columns: The columns to read; None for all.

        Raises:
            UsageError: The file is truncated or damaged.
        """
        self.malformed = self._position = 0
        with self._usage_errors():
            yield from self._parquet_batches(rows, columns) if self._parquet else self._csv_batches(rows, columns)

    def position(self) -> int:
        """Return the number of bytes read so far."""
        return self._position

    def _names(self) -> Sequence[str]:
        if self._parquet:
            import pyarrow.parquet

            with pyarrow.parquet.ParquetFile(self.path) as file:
                names: Sequence[str] = file.schema_arrow.names
                return names
        with self._csv() as (reader, _):
            return next(reader, [])

    def _parquet_batches(self, rows: int, columns: Sequence[str] | None) -> Iterator[Any]:
        import pyarrow.parquet

        with pyarrow.parquet.ParquetFile(self.path) as file:
            n_read = 0
            for batch in file.iter_batches(batch_size=rows, columns=list(columns) if columns else None):
                n_read += batch.num_rows
                self._position = self.size * n_read // max(1, file.metadata.num_rows)
                yield batch

    def _csv_batches(self, rows: int, columns: Sequence[str] | None) -> Iterator[Any]:
        import pyarrow

        names = list(columns or self.columns)
        places = [self.columns.index(name) for name in names] if columns else list(range(len(names)))
        with self._csv() as (reader, stream):
            next(reader, None)
            while lines := list(islice(reader, rows)):
                self._position = stream.tell()
                whole = [line for line in lines if len(line) == len(self.columns)]
                self.malformed += len(lines) - len(whole) - lines.count([])  # empty lines are not counted
                fields = list(zip(*whole, strict=True)) or [()] * len(self.columns)
                yield pyarrow.RecordBatch.from_arrays(
                    [pyarrow.array(fields[place], pyarrow.string()) for place in places], names
                )

    @contextmanager
    def _csv(self) -> Iterator[tuple[Iterator[list[str]], BinaryIO]]:
        """Open the file; yields an iterator of lines as lists of fields, and the byte stream below it."""
        is_utf8 = self._encoding.lower().replace("-", "") == "utf8"
        encoding = "utf-8-sig" if is_utf8 else self._encoding  # Excel writes a byte order mark
        with self.path.open("rb") as stream:
            plain = gzip.GzipFile(fileobj=stream) if self._gzip else stream
            with TextIOWrapper(plain, encoding, newline="") as text:
                yield csv.reader(text, delimiter=self._delimiter), stream

    @contextmanager
    def _usage_errors(self) -> Iterator[None]:
        """Turn the errors that readers raise for a bad file into UsageError."""
        import pyarrow

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
