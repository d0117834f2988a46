"""Turns the rows of a record batch into events, and counts the other rows by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow
import pyarrow.types as types
from numpy.typing import NDArray

from recsys.errors import UsageError
from recsys.importing.columns import event_id, prices, row_texts, seconds, texts
from recsys.importing.id_allocation import is_storable
from recsys.importing.options import Condition, ImportOptions
from recsys.store.reading import shortened

CANCEL = "cancel"
LOUD = 0.01  # a larger share of unreadable rows is a warning
NO_PRICE = "price not a number above 0"
MOMENTS = "--timestamp-format says how text is written, --timestamp-unit what numbers count."
MAX_NAME, MAX_CODE = 255, 50  # the widths of Products.name, and of Products.categoryId and Interactions.device_type
MAX_NAMED_EVENTS = 20  # unknown event names with a count of their own; a column of free text has no end of them


@dataclass(frozen=True)
class Events:
    """The rows of a batch that are events, in the file's order.

    Attributes:
        users: `(n,)` object holding str, the file's ids.
        items: `(n,)` object holding str, the file's ids.
        events: `(n,)` object holding str, our event names.
        seconds: `(n,)` int64, seconds since 1970 in UTC.
        event_ids: `(n,)` object holding str, the keys by which later imports recognise the rows.
        categories: `(n,)` object holding str, or None where unknown.
        names: `(n,)` object holding str, or None where unknown.
        devices: `(n,)` object holding str, or None where unknown.
        prices: `(n,)` float64, NaN where unknown.
    """

    users: NDArray
    items: NDArray
    events: NDArray
    seconds: NDArray[np.int64]
    event_ids: NDArray
    categories: NDArray
    names: NDArray
    devices: NDArray
    prices: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True)
class Unreadable:
    """An example of what could not be read, and what helps.

    Attributes:
        example: The first such value or line, and where it stands.
        way_out: A sentence on the option that helps.
    """

    example: str
    way_out: str


@dataclass
class ImportReport:
    """Counts of an import. Every row of the file counts once, in `added` or in `dropped`.

    Attributes:
        rows: Rows of the file.
        added: New rows of Interactions, by event.
        dropped: Rows that were not added, by reason.
        ignored: Values that were left out of added rows, by reason.
        new_users: New rows of Users.
        new_products: New rows of Products.
        priced_products: Products with a price in the file.
        unreadable: Those of the reasons in `dropped` and `ignored` for which something could not be read.
    """

    rows: int = 0
    added: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    new_users: int = 0
    new_products: int = 0
    priced_products: int = 0
    unreadable: dict[str, Unreadable] = field(default_factory=dict)

    def refuse_unreadable(self, most: float) -> None:
        """Refuse a file of which too much cannot be read.

        Args:
            most: The largest share of rows that may be dropped because they are unreadable.

        Raises:
            UsageError: More are; the message shows the commonest reason, an example, and what helps.
        """
        counts = Counter({reason: self.dropped[reason] for reason in self.unreadable})
        if counts.total() > most * self.rows:
            (reason, _), *_ = counts.most_common(1)
            unreadable = self.unreadable[reason]
            raise UsageError(
                f"At most {most:.0%} of all rows may be unreadable. Received: {counts.total():,} of the first "
                f"{self.rows:,}, mostly by {reason}, e.g. {unreadable.example}. {unreadable.way_out} --max-unreadable "
                "names another share."
            )

    def unreadable_lines(self) -> list[tuple[bool, str]]:
        """Return a line for each kind of unreadable value, and whether it is more than 1 % of the rows."""
        lines = []
        for reason, unreadable in self.unreadable.items():
            count = self.dropped[reason] or self.ignored[reason]
            words = f"{reason}: {count:,} of {self.rows:,} rows, e.g. {unreadable.example}. {unreadable.way_out}"
            lines.append((count > LOUD * self.rows, words))
        return lines


class FirstLines:
    """What an export writes only into the first line of each order, such as its status; it grows with the orders."""

    def __init__(self, column: str) -> None:
        """Start with no order.

        Args:
            column: The column of the orders' ids.
        """
        self._column = column
        self._known: dict[str, dict[str, str | None]] = {}

    def fill(self, batch: Any, name: str) -> NDArray:
        """Return a column of a batch as texts, in which blanks of an order's later lines are filled.

        Args:
            batch: A record batch; batches come in the file's order, and all columns of one before the next.
            name: The column.

        Returns:
            `(n,)` object holding str or None. A line without an order's id stays as it is.
        """
        known = self._known.setdefault(name, {})
        values = texts(batch.column(name))
        for row, (order, value) in enumerate(
            zip(texts(batch.column(self._column)).tolist(), values.tolist(), strict=True)
        ):
            if order is not None:
                first = known.setdefault(order, value)
                values[row] = first if value is None else value
        return values


class RowReader:
    """Reads batches, and counts the rows and values that it leaves out in a report."""

    def __init__(self, options: ImportOptions, known_events: Collection[str], report: ImportReport) -> None:
        self._options = options
        self._event_map = {**{name: name for name in known_events}, **options.event_map}
        self._unknown_events: set[str] = set()
        self._report = report
        self._first_lines = FirstLines(options.fill_down) if options.fill_down else None
        conditions = (*options.cancelled_when, *options.drop_when)
        self._named_blanks = {condition.column for condition in conditions if condition.names_blanks}

    def read(self, batch: Any) -> Events:
        """Return a batch's events; each other row is counted once, under the first reason that applies."""
        options = self._options
        cancelled, keep = np.zeros(batch.num_rows, np.bool_), np.ones(batch.num_rows, np.bool_)
        undecided: dict[Condition, NDArray[np.bool_]] = {}
        for condition in options.cancelled_when:
            met, undecided[condition] = self._test(batch, condition)
            cancelled |= met
        for condition in options.drop_when:
            met, undecided[condition] = self._test(batch, condition)
            self._drop(keep, met & ~cancelled, f"dropped as {condition}")
        for condition, unread in undecided.items():
            reason = f"unreadable number for {condition}"
            values = batch.column(condition.column)
            self._drop(keep, unread & ~cancelled, reason, values, "--decimal says which mark is decimal.")
        users, items = self._filled(batch, options.user), texts(batch.column(options.item))
        for kind, ids in (("user", users), ("item", items)):
            self._drop(keep, _is_none(ids), f"no {kind}")
            too_long = np.array([text is not None and not is_storable(text) for text in ids.tolist()], np.bool_)
            column = batch.column(getattr(options, kind))
            self._drop(keep, too_long, f"{kind} id too long", column, f"--{kind} names the column of ids.")
        events = self._events(batch, keep, cancelled)
        column = batch.column(options.timestamp or options.order)
        if self._first_lines and types.is_string(column.type):
            filled = self._filled(batch, options.timestamp or options.order or "")
            column = pyarrow.array(filled.tolist(), pyarrow.string())
        moments, legible = seconds(column, options)
        reason = "illegible order" if options.order else "illegible timestamp"
        self._drop(keep, ~legible, reason, column, MOMENTS)
        rows = batch.filter(pyarrow.array(keep))
        kept = events[keep]
        return Events(
            users=users[keep],
            items=items[keep],
            events=kept,
            seconds=moments[keep],
            event_ids=_objects([event_id(*pair) for pair in zip(kept.tolist(), row_texts(rows), strict=True)]),
            categories=self._codes(rows, options.category, "category"),
            names=self._names(rows),
            devices=self._codes(rows, options.device_type, "device_type"),
            prices=self._prices(rows),
        )

    def _filled(self, batch: Any, name: str) -> NDArray:
        return self._first_lines.fill(batch, name) if self._first_lines else texts(batch.column(name))

    def _test(self, batch: Any, condition: Condition) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return the rows that meet a condition, and those of which that cannot be said; blanks are counted."""
        values = self._filled(batch, condition.column)
        if condition.column not in self._named_blanks and (condition.is_of_numbers or condition.operator == "!="):
            self._report.ignored[f"blank {condition.column}, which {condition} does not meet"] += int(
                _is_none(values).sum()
            )
        return condition.holds(values, self._options.decimal)

    def _drop(
        self, keep: NDArray[np.bool_], bad: NDArray[np.bool_], reason: str, column: Any = None, way_out: str = ""
    ) -> None:
        """Take rows out of `keep` and count them.

        Args:
            keep: `(n,)` bool, the rows to keep, updated in place.
            bad: `(n,)` bool, the rows to drop.
            reason: The name under which they are counted.
            column: What could not be read in these rows, `(n,)`; None where rows are dropped for another reason.
            way_out: What helps to read it.
        """
        bad = bad & keep
        self._report.dropped[reason] += int(bad.sum())
        keep &= ~bad
        if column is not None and bad.any() and reason not in self._report.unreadable:
            place = int(np.argmax(bad))
            row = self._report.rows - len(bad) + place + 1
            example = f"{shortened(column[place].as_py())} (row {row:,})"
            self._report.unreadable[reason] = Unreadable(example, way_out)

    def _events(self, batch: Any, keep: NDArray[np.bool_], cancelled: NDArray[np.bool_]) -> NDArray:
        """Return `(n,)` our event names; rows with unknown names are dropped, and counted by name."""
        if self._options.event is None:
            events = _objects([self._options.event_name] * batch.num_rows)
        else:
            names = self._filled(batch, self._options.event)
            events = _objects([self._event_map.get(name) for name in names.tolist()])
            unknown = _is_none(events) & ~cancelled
            for name in dict.fromkeys(names[unknown & keep].tolist()):
                self._drop(keep, unknown & (names == name), self._reason(name))
        events[cancelled] = CANCEL
        return events

    def _reason(self, name: str | None) -> str:
        if name is None:
            return "no event"
        if len(self._unknown_events) < MAX_NAMED_EVENTS:
            self._unknown_events.add(name)
        return f"unknown event {name[:MAX_CODE]!r}" if name in self._unknown_events else "other unknown events"

    def _codes(self, rows: Any, column: str | None, kind: str) -> NDArray:
        codes = _texts_or_none(rows, column)
        is_bad = [code is not None and (len(code) > MAX_CODE or "\0" in code) for code in codes.tolist()]
        too_long = np.array(is_bad, np.bool_)
        self._report.ignored[f"{kind} longer than {MAX_CODE} characters"] += int(too_long.sum())
        codes[too_long] = None
        return codes

    def _names(self, rows: Any) -> NDArray:
        names = _texts_or_none(rows, self._options.name).tolist()
        return _objects([name and name.replace("\0", "")[:MAX_NAME] for name in names])

    def _prices(self, rows: Any) -> NDArray[np.float64]:
        plain = _texts_or_none(rows, self._options.price)
        amounts = prices(plain, self._options.decimal)
        unusable = np.isinf(amounts)
        self._report.ignored[NO_PRICE] += int(unusable.sum())
        if unusable.any() and NO_PRICE not in self._report.unreadable:
            example = shortened(plain[int(np.argmax(unusable))])
            self._report.unreadable[NO_PRICE] = Unreadable(example, "--decimal says which mark is decimal.")
        amounts[unusable] = np.nan
        return amounts


def _texts_or_none(rows: Any, column: str | None) -> NDArray:
    return _objects([None] * rows.num_rows) if column is None else texts(rows.column(column))


def _is_none(values: NDArray) -> NDArray[np.bool_]:
    return np.array([value is None for value in values.tolist()], np.bool_)


def _objects(values: list[Any]) -> NDArray:
    column = np.empty(len(values), object)
    column[:] = values
    return column
