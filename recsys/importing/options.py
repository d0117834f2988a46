"""Options of an import: the meaning of the file's columns, and conditions for cancelled and dropped rows."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from recsys.errors import UsageError
from recsys.importing.amounts import amount, readings
from recsys.importing.records import NO_QUOTE
from recsys.store.columns import read_each

NULLS = ("", "NULL", "null", "NaN", "nan", "None", "\\N")  # null in databases, pandas and spreadsheets
TIMESTAMP_UNITS: Mapping[str, int] = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}  # per second
_CONDITION = re.compile(r"\s*(?P<column>[^=!<>^]+?)\s*(?P<operator>\^=|!=|<=|>=|=|<|>)\s*(?P<value>.*?)\s*", re.DOTALL)
_TEXT_TESTS: Mapping[str, Callable[[Any, Any], Any]] = {"=": operator.eq, "!=": operator.ne, "^=": str.startswith}
_NUMBER_TESTS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}


@dataclass(frozen=True)
class Condition:
    """A test of one column: `COLUMN=VALUE`, `!=`, `^=` (begins with), or `<`, `<=`, `>`, `>=` (as numbers).

    `COLUMN=` holds for a blank, `COLUMN!=` for every other value.

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
        if match["operator"] in _NUMBER_TESTS and math.isnan(amount(match["value"])):
            raise UsageError(f"`{match['operator']}` should be followed by a number. Received: {text!r}.")
        if match["operator"] == "^=" and not match["value"]:
            raise UsageError(f"`^=` should be followed by a text. Received: {text!r}.")
        return cls(match["column"], match["operator"], match["value"])

    def __str__(self) -> str:
        return f"{self.column}{self.operator}{self.value}"

    @property
    def is_of_numbers(self) -> bool:
        """Whether the condition compares numbers."""
        return self.operator in _NUMBER_TESTS

    @property
    def names_blanks(self) -> bool:
        """Whether the condition says what becomes of blanks."""
        return self.operator in {"=", "!="} and self.value in NULLS

    def holds(self, texts: NDArray, decimal: str | None = None) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Test values. A blank meets a condition only if that names blanks.

        Args:
            texts: `(n,)` object holding str or None.
            decimal: The decimal mark of numbers, `.` or `,`; None where it is not known.

        Returns:
            `(n,)` bool, the values that meet the condition, and `(n,)` bool, those of which that cannot be said: text
            that is no number, or that can mean two numbers of which one meets it.
        """
        if self.names_blanks:
            blank = np.array([text is None for text in texts.tolist()], np.bool_)
            return (blank if self.operator == "=" else ~blank), np.zeros(len(texts), np.bool_)
        test = self._test_numbers(decimal) if self.is_of_numbers else self._test_text
        verdicts = list(read_each(texts.tolist(), test))
        met = np.array([verdict is True for verdict in verdicts], np.bool_)
        return met, np.array([verdict is None for verdict in verdicts], np.bool_)

    def _test_text(self, text: str | None) -> bool:
        return text is not None and bool(_TEXT_TESTS[self.operator](text, self.value))

    def _test_numbers(self, decimal: str | None) -> Callable[[str | None], bool | None]:
        compare, (limit, *_) = _NUMBER_TESTS[self.operator], readings(self.value)

        def test(text: str | None) -> bool | None:
            verdicts = {bool(compare(meant, limit)) for meant in readings(text, decimal)}
            return False if text is None else verdicts.pop() if len(verdicts) == 1 else None

        return test


_COLUMNS = (
    *("user", "item", "event", "timestamp", "order", "quantity", "category", "price", "name", "device_type", "session"),
    "fill_down",
)
MAX_UNREADABLE = 0.2  # a larger share of unreadable rows is no accident: the options are wrong, or the file is


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
        quantity: Column of the pieces that were bought or cancelled; None annuls one purchase by each cancellation.
        category: Column of the product's category.
        price: Column of the product's price.
        name: Column of the product's name.
        device_type: Column of the device, which is the default schema's only context.
        session: Column of sessions: a guest's session becomes a user of its own. None drops the rows of guests.
        guests: Ids of the user column that stand for guests, besides those that are found.
        persons: Ids that are a user's, whatever they look like and however many rows they have.
        cancelled_when: A row that meets one of these conditions is the event `cancel`.
        drop_when: A row that meets one of these conditions is dropped, unless it is a cancellation.
        fill_down: Column of an order's id. Where a later line of an order is blank, what its first line has counts; not
            so in the columns of products, which each line has for itself.
        decimal: The decimal mark of numbers, `.` or `,`; None where they are to be read as far as they can mean one
            thing only.
        max_unreadable: The largest share of rows that may be unreadable.
        delimiter: The separator of a CSV's columns, ASCII; where it has several characters, fields are never quoted.
        quote: The character around fields of a CSV that hold its delimiter; `none` where quotes are plain text.
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
    quantity: str | None = None
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
    fill_down: str | None = None
    decimal: str | None = None
    max_unreadable: float = MAX_UNREADABLE
    delimiter: str = ","
    quote: str = '"'
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
        self._check_reading()

    def _check_reading(self) -> None:
        if not self.delimiter or not self.delimiter.isascii():
            raise UsageError(f"--delimiter should be ASCII characters, such as ; or ::. Received: {self.delimiter!r}.")
        if self.quote != NO_QUOTE and (
            len(self.quote) != 1 or not self.quote.isascii() or self.quote == self.delimiter
        ):
            raise UsageError(f"--quote should be none or one ASCII character, such as '. Received: {self.quote!r}.")
        if self.decimal not in {None, ".", ","}:
            raise UsageError(f"--decimal should be a dot or a comma. Received: {self.decimal!r}.")
        if not 0 <= self.max_unreadable <= 1:
            raise UsageError(f"--max-unreadable should be a share from 0 to 1. Received: {self.max_unreadable}.")
        if self.chunk < 1:
            raise UsageError(f"--chunk should be a positive integer. Received: {self.chunk}.")

    def columns(self) -> tuple[str, ...]:
        """Return the names of all columns that the options name, each once."""
        single = (getattr(self, name) for name in _COLUMNS)
        tested = (condition.column for condition in (*self.cancelled_when, *self.drop_when))
        return tuple(dict.fromkeys(name for name in (*single, *tested, *self.key) if name is not None))
