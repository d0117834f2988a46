"""Options of an import: the meaning of the file's columns, and conditions for cancelled and dropped rows."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from recsys.errors import UsageError
from recsys.store.columns import read_each

TIMESTAMP_UNITS: Mapping[str, int] = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}  # per second
_CONDITION = re.compile(r"\s*(?P<column>[^=!<>^]+?)\s*(?P<operator>\^=|!=|<=|>=|=|<|>)\s*(?P<value>.*?)\s*", re.DOTALL)
_TEXT_TESTS: Mapping[str, Callable[[Any, Any], Any]] = {"=": operator.eq, "!=": operator.ne, "^=": str.startswith}
_NUMBER_TESTS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}


@dataclass(frozen=True)
class Condition:
    """A test of one column: `COLUMN=VALUE`, `!=`, `^=` (begins with), or `<`, `<=`, `>`, `>=` (as numbers).

    Attributes:
        column: The column's name.
        operator: One of the operators above.
        value: The text after the operator, a number for `<`, `<=`, `>`, `>=`.
    """

    column: str
    operator: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Parse a condition.

        Raises:
            UsageError: The text is no condition.

        >>> Condition.parse("InvoiceNo^=C")
        Condition(column='InvoiceNo', operator='^=', value='C')
        """
        match = _CONDITION.fullmatch(text)
        if not match:
            raise UsageError(
                f"A condition should be COLUMN, one of = != ^= < <= > >=, and a value. Received: {text!r}."
            )
        if match["operator"] in _NUMBER_TESTS and np.isnan(number(match["value"])):
            raise UsageError(f"`{match['operator']}` should be followed by a number. Received: {text!r}.")
        return cls(match["column"], match["operator"], match["value"])

    def __str__(self) -> str:
        return f"{self.column}{self.operator}{self.value}"

    def holds(self, texts: NDArray) -> NDArray[np.bool_]:
        """Return `(n,)` bool: the values that meet the condition. Null never does, nor text compared as a number.

        Args:
            texts: `(n,)` object holding str or None.
        """
        read: Callable[[str], Any] = number if self.operator in _NUMBER_TESTS else str
        compare, value = {**_TEXT_TESTS, **_NUMBER_TESTS}[self.operator], read(self.value)
        met = read_each(texts.tolist(), lambda text: text is not None and compare(read(text), value))
        return np.array(list(met), np.bool_)


def number(text: str | None) -> float:
    """Parse a number; NaN for None and for other text."""
    try:
        return float(text) if text is not None else np.nan
    except ValueError:
        return np.nan


_COLUMNS = ("user", "item", "event", "timestamp", "order", "category", "price", "name", "device_type", "session")


@dataclass(frozen=True)
class ImportOptions:
    """How a file's columns and event names map to the default schema.

    Attributes:
        user: Column of user ids.
        item: Column of product ids.
        event: Column of event names; None if every row is an `event_name`.
        event_name: The event of every row, for files without an event column.
        event_map: The file's event names to ours; our names map to themselves.
        timestamp: Column of timestamps: ISO 8601 text, numbers, or a date-time type. Either this or `order` is set.
        order: Column of a running number, for files without timestamps.
        timestamp_unit: Unit of numbers, a key of TIMESTAMP_UNITS; None for seconds, and milliseconds above 1e11.
        timestamp_format: Format of text in the notation of strptime; None for ISO 8601.
        time_zone: The zone of timestamps without one.
        category: Column of the product's category.
        price: Column of the product's price.
        name: Column of the product's name.
        device_type: Column of the device, which is the default schema's only context.
        session: Column of sessions: a guest's session becomes a user of its own. None drops the rows of guests.
        guests: Ids of the user column that stand for guests, besides those that are found.
        persons: Ids that are a user's, whatever they look like and however many rows they have.
        cancelled_when: A row that meets one of these conditions is the event `cancel`.
        drop_when: A row that meets one of these conditions is dropped, unless it is a cancellation.
        delimiter: The separator of a CSV's columns, ASCII; where it has several characters, fields are never quoted.
        encoding: The encoding of a CSV.
        sheet_names: Sheets of a workbook to read, in order; empty for all.
        key: Columns that identify a row in later imports; empty for all columns.
        chunk: Most rows in one transaction.
    """

    user: str
    item: str
    event: str | None = None
    event_name: str = "purchase"
    event_map: Mapping[str, str] = field(default_factory=dict)
    timestamp: str | None = None
    order: str | None = None
    timestamp_unit: str | None = None
    timestamp_format: str | None = None
    time_zone: str = "UTC"
    category: str | None = None
    price: str | None = None
    name: str | None = None
    device_type: str | None = None
    session: str | None = None
    guests: Sequence[str] = ()
    persons: Sequence[str] = ()
    cancelled_when: Sequence[Condition] = ()
    drop_when: Sequence[Condition] = ()
    delimiter: str = ","
    encoding: str = "utf8"
    sheet_names: Sequence[str] = ()
    key: Sequence[str] = ()
    chunk: int = 50_000

    def __post_init__(self) -> None:
        if (self.timestamp is None) == (self.order is None):
            raise UsageError("Either --timestamp or --order should be given. Received: both or neither.")
        if self.timestamp_unit not in {None, *TIMESTAMP_UNITS}:
            units = ", ".join(TIMESTAMP_UNITS)
            raise UsageError(f"--timestamp-unit should be one of {units}. Received: {self.timestamp_unit}.")
        if self.timestamp_unit and self.timestamp_format:
            raise UsageError("--timestamp-unit is for numbers and --timestamp-format for text. Received: both.")
        if self.event_map and self.event is None:
            raise UsageError("--event-map should come with --event. Received: no event column.")
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise UsageError(
                f"--time-zone should be a name such as UTC or Asia/Shanghai. Received: {self.time_zone!r}."
            ) from error
        if not self.delimiter or not self.delimiter.isascii():
            raise UsageError(f"--delimiter should be ASCII characters, such as ; or ::. Received: {self.delimiter!r}.")
        if self.chunk < 1:
            raise UsageError(f"--chunk should be a positive integer. Received: {self.chunk}.")

    def columns(self) -> tuple[str, ...]:
        """Return the names of all columns that the options name, each once."""
        single = (getattr(self, name) for name in _COLUMNS)
        tested = (condition.column for condition in (*self.cancelled_when, *self.drop_when))
        return tuple(dict.fromkeys(name for name in (*single, *tested, *self.key) if name is not None))
