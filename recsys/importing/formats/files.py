"""The files of a format, found in a folder or an archive, and read as one source of rows."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import pyarrow

from recsys.errors import UsageError
from recsys.errors.wording import listed
from recsys.importing.columns import texts
from recsys.importing.files import EventFile
from recsys.importing.options import ImportOptions
from recsys.importing.report import Unreadable
from recsys.importing.streams import Place, is_archive, places_in
from recsys.store.reading import shortened

Flags = Mapping[str, Any]
Column = list[str | None]
# Names of columns that formats give to what they compute.
USER, ITEM, EVENT, TIMESTAMP, NAME, CATEGORY, PRICE = "user", "item", "event", "timestamp", "name", "category", "price"

ILLEGIBLE_QUANTITY = "illegible quantity"
QUANTITIES = "Quantities should be numbers of pieces, such as 6, -6 or 1,200."


class Shape:
    """Turns the batches of a format's files into rows of its columns, one pass at a time.

    Attributes:
        dropped: Rows that were left out, by reason.
        unreadable: Those of these reasons for which something could not be read, with an example.
        withdrawn: Event and key of rows that are void by now.
        active: Whether items are sold by now, as far as the files tell.
        taken_back: How many purchases a cancellation takes back, by the text of its row, where it is not one.
    """

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()
        self.unreadable: dict[str, Unreadable] = {}
        self.active: dict[str, bool] = {}
        self.withdrawn: list[tuple[str, str]] = []
        self.taken_back: dict[str, int] = {}

    def rows(self, file: EventFile, batch: Any) -> Any:
        """Return a record batch of the format's columns; the base class returns the file's own."""
        return batch

    def drop_unread(self, reason: str, example: str | None, way_out: str, *, rows: int = 1) -> None:
        """Count rows that are left out because they cannot be read.

        Args:
            reason: The name under which they are counted.
            example: What could not be read in the first of them.
            way_out: A sentence on what helps.
            rows: Their number.
        """
        self.dropped[reason] += rows
        self.unreadable.setdefault(reason, Unreadable(shortened(example), way_out))


class Opened(NamedTuple):
    """A format's files, and what their columns mean."""

    options: ImportOptions
    source: FormatFile


class FormatFile:
    """The files of a format, one after the other; each call of `batches` reads them from the start.

    Attributes:
        columns: The names of the columns, in order.
        size: The size on disk of all files, in bytes.
        position: Number of bytes read so far.
        dropped: Rows that the last call of `batches` has left out so far, by reason.
        ignored: What that call has left out of other rows so far, by reason.
        unreadable: Those of these reasons for which something could not be read, with an example.
        withdrawn: Event and key of rows that are void by now, and may stem from an earlier import.
        active: Whether items are sold by now, as far as the files tell.
        taken_back: How many purchases a cancellation takes back, by the text of its row, where it is not one.
    """

    def __init__(
        self, files: Sequence[EventFile], new_shape: Callable[[], Shape] = Shape, columns: Sequence[str] = ()
    ) -> None:
        """Join files.

        Args:
            files: The files, in order.
            new_shape: Called for each pass over the files.
            columns: The columns that the shape returns; empty for those that the files have.

        Raises:
            UsageError: The files should have equal columns, and have not.
        """
        self._files, self._new_shape = tuple(files), new_shape
        self.columns: tuple[str, ...] = tuple(columns) or files[0].columns
        self.size = sum({file.path: file.size for file in files}.values())
        self.position = 0
        self.dropped, self.ignored = Counter[str](), Counter[str]()
        self.unreadable: dict[str, Unreadable] = {}
        self.withdrawn: Sequence[tuple[str, str]] = ()
        self.active: Mapping[str, bool] = {}
        self.taken_back: Mapping[str, int] = {}
        for file in files if not columns else ():
            if file.columns != self.columns:
                expected = f"the columns of the first file, {listed(self.columns)}"
                raise UsageError(f"{file.path.name} should have {expected}. Received: {listed(file.columns)}.")

    def require(self, columns: Sequence[str]) -> None:
        """Check that there is each column; raises UsageError, whose message lists the columns."""
        missing = [name for name in columns if name not in self.columns]
        if missing:
            raise UsageError(f"The format should have the column {missing[0]!r}. Received: {listed(self.columns)}.")

    def batches(self, rows: int, columns: Sequence[str] | None = None) -> Iterator[Any]:
        """Yield pyarrow record batches in order, from the start; None for all columns."""
        shape, read = self._new_shape(), 0
        self.withdrawn, self.active, self.taken_back = shape.withdrawn, shape.active, shape.taken_back
        self.dropped, self.ignored, self.unreadable = Counter(), Counter(), {}
        dropped, ignored = Counter[str](), Counter[str]()  # of the files before
        for file in self._files:
            for batch in file.batches(rows):
                self.position = min(self.size, read + file.position)
                shaped = shape.rows(file, batch)
                self.dropped, self.ignored = dropped + file.dropped + shape.dropped, ignored + file.ignored
                self.unreadable = {**file.unreadable, **shape.unreadable, **self.unreadable}
                yield shaped.select(list(columns)) if columns else shaped
            dropped, ignored, read = dropped + file.dropped, ignored + file.ignored, read + file.position


def open_files(path: Path, pattern: str, flags: Flags, *, needs: Sequence[str] = (), **how: Any) -> list[EventFile]:
    """Open a format's files.

    Args:
        path: A file of any name, or a folder or an archive, in which files are chosen by name.
        pattern: A regular expression for the names of the files, without .gz and .zip.
        flags: Options of the command line, of which encoding, delimiter, quote and sheets matter here.
        needs: Columns that each file should have.
        **how: Arguments of `EventFile`, which flags replace; without them, the start of a file tells.

    Raises:
        UsageError: There is no such file, or it cannot be read, or lacks a column.
    """
    places = places_in(path)
    if path.is_dir() or is_archive(path):
        places = [place for place in places if _is_named(place, pattern)]
    if not places:
        raise UsageError(f"{path.name} should hold {pattern}. Received: {listed(_names(path)) or 'no data files'}.")
    given = {name: flags[name] for name in ("delimiter", "quote", "encoding", "sheet_names") if name in flags}
    files = [open_place(place, **{**how, **given}) for place in places]
    for file in files:
        file.require(needs)
    return files


def open_place(place: Place, **how: Any) -> EventFile:
    """Open a file; the separator and the encoding of a CSV are told by its start, unless `how` has them."""
    start = start_of(place)
    guessed: dict[str, Any] = {"delimiter": max(",;\t", key=start.split(b"\n", 1)[0].decode("latin-1").count)}
    try:
        start.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(start) - 4:  # not a character that ends after the start
            guessed["encoding"] = "cp1252"
    return EventFile(place.path, member=place.member, **{**guessed, **how})


def start_of(place: Place) -> bytes:
    """Return a file's first bytes, decompressed; none of a damaged file, which is told when it is opened."""
    try:
        return place.start()
    except (OSError, EOFError, zlib.error, BadZipFile):
        return b""


def beside(path: Path, pattern: str) -> Place | None:
    """Return the first file of a name in the same folder or archive; None if there is none."""
    around = path if path.is_dir() or is_archive(path) else path.parent
    return next((place for place in places_in(around) if _is_named(place, pattern)), None)


def table_beside(path: Path, pattern: str, columns: Sequence[str], **how: Any) -> dict[str, tuple[str | None, ...]]:
    """Read a small table beside a format's main file.

    Args:
        path: The main file, or the folder or archive of all.
        pattern: A regular expression for the table's name.
        columns: Its columns to read; the first is the key.
        **how: Arguments of `EventFile`.

    Returns:
        The other columns by key, the first row of each; empty if there is no such file, or it has other columns.
    """
    place = beside(path, pattern)
    if place is None:
        return {}
    file = open_place(place, **how)
    if not set(columns) <= set(file.columns):
        return {}
    table: dict[str, tuple[str | None, ...]] = {}
    for batch in file.batches(50_000, columns):
        for key, *values in zip(*(column(batch, name) for name in columns), strict=True):
            if key is not None:
                table.setdefault(key, tuple(values))
    return table


def column(batch: Any, name: str) -> Column:
    """Return a column's stripped texts, None for null and blank; all None if there is no such column."""
    if name not in batch.schema.names:
        return [None] * int(batch.num_rows)
    values: Column = texts(batch.column(name)).tolist()
    return values


def as_batch(columns: Mapping[str, Sequence[str | None]]) -> Any:
    """Return a record batch of texts."""
    return pyarrow.RecordBatch.from_arrays(
        [pyarrow.array(values, pyarrow.string()) for values in columns.values()], list(columns)
    )


def options_with(flags: Flags, **of_format: Any) -> ImportOptions:
    """Return the options of a format, which flags replace one by one."""
    if "order" in flags or "timestamp" in flags:
        of_format.pop("order", None)
        of_format.pop("timestamp", None)
    return ImportOptions(**{**of_format, **flags})


def _is_named(place: Place, pattern: str) -> bool:
    bare = re.sub(r"\.(gz|zip)$", "", place.name, flags=re.IGNORECASE)
    return re.fullmatch(pattern, bare, re.IGNORECASE) is not None


def _names(path: Path) -> list[str]:
    return [place.name for place in places_in(path)][:10]
