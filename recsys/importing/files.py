"""CSV, gzipped CSV and Parquet as a stream of record batches; pyarrow is imported when a file is opened, not before.

CSV goes through the standard library: pyarrow's streaming reader works ahead in threads, which die with an abort, not an
error, when a file on the Python side ends badly.
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
    """A file of rows with named columns, read from the start as often as asked.

    Attributes:
        path: Where it is.
        columns: The names of its columns, in order.
        size: Its bytes on disk.
        malformed: Lines so far, in the newest reading, that had too few or too many fields.
    """

    def __init__(self, path: Path, *, delimiter: str = ",", encoding: str = "utf8") -> None:
        self.path, self._delimiter, self._encoding = path, delimiter, encoding
        self.malformed = 0
        self._position = 0
        with self._foreseen():
            self.size = path.stat().st_size
            with path.open("rb") as stream:
                start = stream.read(4)
        self._parquet = start == _PARQUET
        self._gzip = start[:2] == _GZIP
        self._check_name(start)
        with self._foreseen():
            self.columns: tuple[str, ...] = tuple(self._names())

    def _check_name(self, start: bytes) -> None:
        if not start:
            raise UsageError(f"{self.path.name} should hold a header and rows. Received: an empty file.")
        for suffix, kind, is_kind in ((".gz", "gzip", self._gzip), (".parquet", "Parquet", self._parquet)):
            if self.path.suffix.lower() == suffix and not is_kind:
                raise UsageError(
                    f"{self.path.name} should be a {kind} file, as its name says. Received: something else."
                )

    def require(self, columns: Sequence[str]) -> None:
        """Check that each column is there, once.

        Raises:
            UsageError: One is missing, or its name stands for two; the error names the columns there are.
        """
        for name in columns:
            if self.columns.count(name) != 1:
                found = "no such column" if name not in self.columns else "more than one"
                raise UsageError(
                    f"{self.path.name} should have one column {name!r}. Received: {found} among {', '.join(self.columns)}."
                )

    def batches(self, rows: int, columns: Sequence[str] | None = None) -> Iterator[Any]:
        """Yield pyarrow record batches of at most `rows` rows, in the file's order; a CSV's columns are all text.

        Args:
            rows: The most rows of a batch.
            columns: The columns to read; None for all.

        Raises:
            UsageError: The file breaks off or is not what it seems.
        """
        self.malformed = self._position = 0
        with self._foreseen():
            yield from self._parquet_batches(rows, columns) if self._parquet else self._csv_batches(rows, columns)

    def position(self) -> int:
        """Return how many bytes of the file have been read."""
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
            done = 0
            for batch in file.iter_batches(batch_size=rows, columns=list(columns) if columns else None):
                done += batch.num_rows
                self._position = self.size * done // max(1, file.metadata.num_rows)
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
                self.malformed += len(lines) - len(whole) - lines.count([])  # an empty line is no row at all
                fields = list(zip(*whole, strict=True)) or [()] * len(self.columns)
                yield pyarrow.RecordBatch.from_arrays(
                    [pyarrow.array(fields[place], pyarrow.string()) for place in places], names
                )

    @contextmanager
    def _csv(self) -> Iterator[tuple[Iterator[list[str]], BinaryIO]]:
        """Open the file as lines of fields, beside the bytes that they come from."""
        encoding = (
            "utf-8-sig" if self._encoding.lower().replace("-", "") == "utf8" else self._encoding
        )  # Excel writes a mark
        with self.path.open("rb") as stream:
            plain = gzip.GzipFile(fileobj=stream) if self._gzip else stream
            with TextIOWrapper(plain, encoding, newline="") as text:
                yield csv.reader(text, delimiter=self._delimiter), stream

    @contextmanager
    def _foreseen(self) -> Iterator[None]:
        """Turn what a reader raises about a bad file into the project's own error."""
        import pyarrow

        try:
            yield
        except FileNotFoundError as error:
            raise UsageError(f"{self.path} should be a file. Received: no such file.") from error
        except UnicodeError as error:
            raise UsageError(
                f"{self.path.name} should be written in {self._encoding}, or --encoding say how. Received: {error}."
            ) from error
        except (pyarrow.ArrowException, csv.Error, zlib.error, OSError, EOFError, LookupError) as error:
            raise UsageError(f"{self.path.name} cannot be read: {' '.join(str(error).split())}.") from error
