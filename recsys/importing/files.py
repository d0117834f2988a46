"""CSV, gzipped CSV and Parquet as a stream of record batches; pyarrow is imported when a file is opened, not before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from recsys.errors import UsageError

BLOCK_BYTES = 4 * 2**20  # about 50,000 lines of an order log; a line has to fit into one
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
                raise UsageError(f"{self.path.name} should be a {kind} file, as its name says. Received: something else.")

    def require(self, columns: Sequence[str]) -> None:
        """Check that each column is there, once.

        Raises:
            UsageError: One is missing, or its name stands for two; the error names the columns there are.
        """
        for name in columns:
            if self.columns.count(name) != 1:
                found = "no such column" if name not in self.columns else "more than one"
                raise UsageError(f"{self.path.name} should have one column {name!r}. Received: {found} among {', '.join(self.columns)}.")

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
            for batch in self._parquet_batches(rows, columns) if self._parquet else self._csv_batches(columns):
                for first in range(0, batch.num_rows, rows):
                    yield batch.slice(first, rows)

    def position(self) -> int:
        """Return how many bytes of the file have been read."""
        return self._position

    def _names(self) -> Sequence[str]:
        if self._parquet:
            import pyarrow.parquet

            with pyarrow.parquet.ParquetFile(self.path) as file:
                names: Sequence[str] = file.schema_arrow.names
                return names
        with self.path.open("rb") as stream, self._csv(stream, None, None) as reader:
            header: Sequence[str] = reader.schema.names
            return header

    def _parquet_batches(self, rows: int, columns: Sequence[str] | None) -> Iterator[Any]:
        import pyarrow.parquet

        with pyarrow.parquet.ParquetFile(self.path) as file:
            done = 0
            for batch in file.iter_batches(batch_size=rows, columns=list(columns) if columns else None):
                done += batch.num_rows
                self._position = self.size * done // max(1, file.metadata.num_rows)
                yield batch

    def _csv_batches(self, columns: Sequence[str] | None) -> Iterator[Any]:
        import pyarrow

        texts = dict.fromkeys(self.columns, pyarrow.string())
        with self.path.open("rb") as stream, self._csv(stream, texts, columns) as reader:
            for batch in reader:
                self._position = stream.tell()
                yield batch

    def _csv(self, stream: BinaryIO, types: dict[str, Any] | None, columns: Sequence[str] | None) -> Any:
        import pyarrow
        from pyarrow import csv

        source = pyarrow.PythonFile(stream, mode="r")
        return csv.open_csv(
            pyarrow.CompressedInputStream(source, "gzip") if self._gzip else source,
            read_options=csv.ReadOptions(block_size=BLOCK_BYTES, encoding=self._encoding, use_threads=True),
            parse_options=csv.ParseOptions(delimiter=self._delimiter, newlines_in_values=True, invalid_row_handler=self._skip_malformed),
            convert_options=csv.ConvertOptions(column_types=types, include_columns=list(columns) if columns else None),
        )

    def _skip_malformed(self, _: Any) -> str:
        self.malformed += 1
        return "skip"

    @contextmanager
    def _foreseen(self) -> Iterator[None]:
        """Turn what a reader raises about a bad file into the project's own error."""
        import pyarrow

        try:
            yield
        except FileNotFoundError as error:
            raise UsageError(f"{self.path} should be a file. Received: no such file.") from error
        except (pyarrow.ArrowException, OSError, EOFError, LookupError, UnicodeError) as error:
            raise UsageError(f"{self.path.name} cannot be read: {' '.join(str(error).split())}.") from error
