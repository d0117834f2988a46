"""Turns the rows of a record batch into events, and counts the other rows by reason.

Equal rows are one event that was exported twice; where the clock knows days only, they are several pieces.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow
import pyarrow.types as types
from numpy.typing import NDArray

from recsys.importing.amounts import amount
from recsys.importing.columns import event_id, local_seconds, prices, row_texts, seconds, texts
from recsys.importing.guests import users_of_sessions
from recsys.importing.id_allocation import is_storable
from recsys.importing.options import Condition, ImportOptions
from recsys.importing.report import ImportReport, Unreadable
from recsys.importing.row_memory import FirstLines, PieceCounter
from recsys.store.reading import shortened

CANCEL = "cancel"
NO_PRICE = "price not a number above 0"
NO_QUANTITY = "quantity not a number"
PART = "cancellation of a part of a purchase"
DECIMAL = "--decimal says which mark is decimal."
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
        quantities: `(n,)` float64, the number of pieces; NaN where unknown.
        rows: `(n,)` the rows themselves, for messages.
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
    quantities: NDArray[np.float64]
    rows: Sequence[str]

    def __len__(self) -> int:
        return len(self.users)

    def repeated(self, numbers: NDArray[np.int64]) -> Events:
        """Return each event a number of times, a second and a key of its own for each.

        Args:
            numbers: `(n,)` int64, at least 1 each.
        """
        places = np.repeat(np.arange(len(self)), numbers)
        again = np.arange(len(places)) - np.repeat(np.cumsum(numbers) - numbers, numbers)
        columns = {field.name: getattr(self, field.name)[places] for field in fields(self) if field.name != "rows"}
        keys = [
            f"{key}+{n}" if n else key for key, n in zip(columns["event_ids"].tolist(), again.tolist(), strict=True)
        ]
        columns |= {"seconds": columns["seconds"] + again, "event_ids": _objects(keys)}
        return Events(**columns, rows=[self.rows[place] for place in places.tolist()])


class RowReader:
    """Reads batches, and counts the rows and values that it leaves out in a report."""

    def __init__(
        self,
        options: ImportOptions,
        known_events: Collection[str],
        report: ImportReport,
        guests: frozenset[str] = frozenset(),
    ) -> None:
        """Start with no rows.

        Args:
            options: The meaning of the columns.
            known_events: Our event names.
            report: Counts, updated in place.
            guests: The user ids that stand for guests.
        """
        self._options = options
        self._guests = guests
        self._event_map = {**{name: name for name in known_events}, **options.event_map}
        self._unknown_events: set[str] = set()
        self._pieces = PieceCounter()
        self._report = report
        self._first_lines = FirstLines(options.fill_down) if options.fill_down else None
        conditions = (*options.cancelled_when, *options.drop_when)
        self._named_blanks = {condition.column for condition in conditions if condition.names_blanks}

    def read(self, batch: Any, taken_back: Mapping[str, int] = MappingProxyType({})) -> Events:
        """Return a batch's events; each other row is counted once, under the first reason that applies.

        Args:
            batch: The batch.
            taken_back: How many purchases a cancellation takes back, by the text of its row; 1 where it is absent.
        """
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
            self._drop(keep, unread & ~cancelled, reason, values, DECIMAL)
        users, items = self._users(batch, keep), texts(batch.column(options.item))
        for kind, ids in (("user", users), ("item", items)):
            self._drop(keep, _is_none(ids), f"no {kind}")
            column = batch.column(getattr(options, kind))
            self._drop(keep, _is_too_long(ids), f"{kind} id too long", column, f"--{kind} names the column of ids.")
        events = self._events(batch, keep, cancelled)
        column = batch.column(options.timestamp or options.order)
        if self._first_lines and types.is_string(column.type):
            filled = self._filled(batch, options.timestamp or options.order or "")
            column = pyarrow.array(filled.tolist(), pyarrow.string())
        moments, legible = seconds(column, options)
        reason = "illegible order" if options.order else "illegible timestamp"
        self._drop(keep, ~legible, reason, column, MOMENTS)
        rows = batch.filter(pyarrow.array(keep))
        written = row_texts(rows)
        numbers = np.array([taken_back.get(text, 1) for text in written] if taken_back else [], np.int64)
        if not numbers.all():
            is_part = np.zeros(len(keep), np.bool_)
            is_part[keep] = numbers == 0
            self._drop(keep, is_part, PART)
            rows, written = (
                rows.filter(pyarrow.array(numbers > 0)),
                [t for t, n in zip(written, numbers, strict=True) if n],
            )
            numbers = numbers[numbers > 0]
        kept = events[keep]
        event_ids, later = self._keys(rows, written, kept, moments[keep])
        read = Events(
            users=users[keep],
            items=items[keep],
            events=kept,
            seconds=moments[keep] + later,  # one after the other, because equal events of a second are one
            event_ids=_objects(event_ids),
            categories=self._codes(rows, options.category, "category"),
            names=self._names(rows),
            devices=self._codes(rows, options.device_type, "device_type"),
            prices=self._prices(rows),
            quantities=self._quantities(rows),
            rows=written,
        )
        self._report.repeated += int((numbers - 1).sum())
        return read.repeated(numbers) if (numbers > 1).any() else read

    def _filled(self, batch: Any, name: str) -> NDArray:
        return self._first_lines.fill(batch, name) if self._first_lines else texts(batch.column(name))

    def _keys(
        self, rows: Any, written: Sequence[str], events: NDArray, moments: NDArray[np.int64]
    ) -> tuple[list[str], NDArray[np.int64]]:
        """Return each row's key, and its number among equal rows of a day that has no times."""
        texts_of_rows = row_texts(rows.select(self._options.key)) if self._options.key else written
        keys = [event_id(*pair) for pair in zip(events.tolist(), texts_of_rows, strict=True)]
        local = local_seconds(moments, self._options.time_zone)
        numbers = self._pieces.numbers(keys, local) if self._options.order is None else np.zeros(len(keys), np.int64)
        for row in np.flatnonzero(numbers).tolist():
            keys[row] = f"{keys[row]}:{numbers[row]}"
        return keys, numbers

    def _users(self, batch: Any, keep: NDArray[np.bool_]) -> NDArray:
        """Return `(n,)` the users' ids; rows of guests have their session's or, without one, are dropped by name."""
        users = self._filled(batch, self._options.user)
        if self._options.session is not None:
            users, is_guest = users_of_sessions(users, self._filled(batch, self._options.session), self._guests)
            self._report.guest_rows += int(np.count_nonzero(is_guest))
        for user in sorted(self._guests.intersection(users.tolist())):
            self._drop(keep, users == user, f"guests as user {user[:MAX_CODE]!r}")
        return users

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
            unread = (text for text in plain[unusable].tolist() if math.isnan(amount(text, self._options.decimal)))
            for text in islice(unread, 1):
                self._report.unreadable[NO_PRICE] = Unreadable(shortened(text), DECIMAL)
        amounts[unusable] = np.nan
        return amounts

    def _quantities(self, rows: Any) -> NDArray[np.float64]:
        if self._options.quantity is None:
            return np.full(rows.num_rows, np.nan)
        plain = texts(rows.column(self._options.quantity))
        quantities = np.array([amount(text, self._options.decimal) for text in plain.tolist()], np.float64)
        unusable = np.isnan(quantities) & ~_is_none(plain)
        self._report.ignored[NO_QUANTITY] += int(unusable.sum())
        for text in plain[unusable][:1].tolist():
            self._report.unreadable.setdefault(NO_QUANTITY, Unreadable(shortened(text), DECIMAL))
        return quantities


def _texts_or_none(rows: Any, column: str | None) -> NDArray:
    return _objects([None] * rows.num_rows) if column is None else texts(rows.column(column))


def _is_none(values: NDArray) -> NDArray[np.bool_]:
    return np.array([value is None for value in values.tolist()], np.bool_)


def _is_too_long(ids: NDArray) -> NDArray[np.bool_]:
    """Return `(n,)` bool, the ids that databases cannot store."""
    texts_of_ids: list[str | None] = ids.tolist()
    bad = {text for text in set(texts_of_ids) - {None} if text is not None and not is_storable(text)}
    return np.array([text in bad for text in texts_of_ids], np.bool_) if bad else np.zeros(len(ids), np.bool_)


def _objects(values: list[Any]) -> NDArray:
    column = np.empty(len(values), object)
    column[:] = values
    return column
