"""Counts of the unreadable values in each column of a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from recsys.errors import SettingsError
from recsys.store.columns import Mask, is_blank, unreadable

EXAMPLE_LENGTH = 60  # characters of a value that a message shows
READABLE: Mapping[str, str] = {
    "user_id": "whole numbers or text of 1 to 512 bytes",
    "item_id": "whole numbers or text of 1 to 512 bytes",
    "event": "text",
    "rating": "numbers with a dot",
    "session_id": "whole numbers or text of 1 to 512 bytes",
    "quantity": "numbers with a dot",
    "timestamp": "date-times, ISO 8601 text, or seconds or milliseconds since 1970",
    "active": "numbers, or words such as yes and no",
    "price": "numbers from 0 with a dot, without a currency",
    "name": "text",
}
LOUD = 0.01  # a larger share of unreadable values is a warning
_CAST = "CAST them in recsys.toml"
_WAYS_OUT: Mapping[str, str] = {
    "user_id": f"{_CAST}; HEX() writes bytes as text",
    "item_id": f"{_CAST}; HEX() writes bytes as text",
    "session_id": f"{_CAST}; HEX() writes bytes as text",
    "active": f"{_CAST}, or name a condition such as state = 'on sale'",
}
LABEL = "text of 1 to 512 bytes"  # categories, brands, contexts


class Column:
    """Counts of one column.

    Attributes:
        present: Number of values, without null, and without blank text where it counts as absent.
        unread: How many of them could not be read.
        example: One of the unreadable values, with its row.
        is_blank: Whether all unreadable values are blank text.
    """

    def __init__(self) -> None:
        self.present = self.unread = 0
        self.example = ""
        self.is_blank = True

    @property
    def share(self) -> str:
        """How many of the values could not be read, for messages."""
        return f"{self.unread:,} of {self.present:,}"

    @property
    def is_unreadable(self) -> bool:
        """Whether no value can be read; a column of blank text is only empty."""
        return self.present == self.unread and not self.is_blank


class Reading:
    """Counts of the columns of one table.

    Attributes:
        columns: Counts by column name, in the order of reading.
    """

    def __init__(self, table: str, row: str) -> None:
        """Start with no columns.

        Args:
            table: The table's name in messages; empty to leave it out.
            row: The name of a row in messages, such as `product`.
        """
        self.columns: dict[str, Column] = {}
        self._table, self._row = table, row

    def add(
        self,
        name: str,
        column: Sequence[Any],
        readable: Mask,
        row_names: Sequence[Any],
        *,
        blank_is_nothing: bool = True,
    ) -> Mask:
        """Count a chunk of a column.

        Args:
            name: The column.
            column: `(n,)` values as the driver returned them.
            readable: `(n,)` bool, the values that could be read.
            row_names: `(n,)` names of the rows in messages.
            blank_is_nothing: Whether blank text counts as absent; in columns of numbers and dates it does not.

        Returns:
            `(n,)` bool, the values that are present but could not be read.
        """
        unread = unreadable(column, readable, blank_is_nothing=blank_is_nothing)
        places = np.flatnonzero(unread).tolist()
        tally = self.columns.setdefault(name, Column())
        tally.present += int(np.count_nonzero(readable)) + len(places)
        tally.unread += len(places)
        if places and tally.is_blank:
            place = next((place for place in places if not is_blank(column[place])), places[0])
            tally.is_blank = is_blank(column[place])
            tally.example = f"{shortened(column[place])} ({self._row} {shortened(row_names[place])})"
        return unread

    def finish(self, where: str, tell: Callable[[str], None] | None, most: float) -> None:
        """Report unreadable values, or refuse a table of which too much cannot be read.

        Args:
            where: The part of recsys.toml that maps the table.
            tell: Called with a line for each column with unreadable values; a warning if they are more than 1 %.
            most: The largest share of a column's values that may be unreadable. All of them never may.

        Raises:
            SettingsError: A column has more; the message names it, shows a value and says what to do.
        """
        for name, column in self.columns.items():
            if column.is_unreadable or (column.unread > most * column.present and not column.is_blank):
                raise SettingsError(self._refusal(where, name, column, most))
            if column.unread and tell:
                warning = "WARNING: " if column.unread > LOUD * column.present else ""
                tell(f"{warning}{self._called(name)}: {column.share} unreadable, e.g. {column.example}")

    def _refusal(self, where: str, name: str, column: Column, most: float) -> str:
        count, way_out = f"{column.present:,}", _WAYS_OUT.get(name, _CAST)
        if not column.is_unreadable:
            count, way_out = column.share, f"{way_out}, or allow more than {most:.0%} by `max_unreadable` of [shop]"
        return (
            f"{where} {self._called(name)} should hold {READABLE.get(name, LABEL)}. "
            f"Received: {count} values that are none, e.g. {column.example}. {way_out}."
        )

    def _called(self, name: str) -> str:
        return f"`{name}` of {self._table}" if self._table else name


def shortened(value: object) -> str:
    """Return a value as Python writes it, cut to a length that fits into a line."""
    if isinstance(value, memoryview | bytearray):
        value = bytes(value)
    if isinstance(value, str | bytes):
        value = value[:EXAMPLE_LENGTH]  # before it is written out: it may be megabytes
    written = repr(value)
    return written if len(written) <= EXAMPLE_LENGTH + 3 else f"{written[:EXAMPLE_LENGTH]}…"
