"""Turns the rows of a record batch into events, and counts the other rows by reason.

Equal rows are one event that was exported twice; where the clock knows days only, they are several pieces.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow
from numpy.typing import NDArray

from recsys.importing.columns import event_id, local_seconds, prices, row_texts, seconds, texts
from recsys.importing.guests import users_of_sessions
from recsys.importing.id_allocation import is_storable
from recsys.importing.options import Condition, ImportOptions

CANCEL = "cancel"
MAX_NAME, MAX_CODE = 255, 50  # the widths of Products.name, and of Products.categoryId and Interactions.device_type
_DAY_S = 86_400
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
    rows: Sequence[str]

    def __len__(self) -> int:
        return len(self.users)


@dataclass
class ImportReport:
    """Counts of an import. Every row of the file counts once, in `added` or in `dropped`.

    Attributes:
        rows: Rows of the file.
        added: New rows of Interactions, by event.
        dropped: Rows that were not added, by reason.
        ignored: Values that were left out of added rows, by reason.
        withdrawn: Rows of earlier imports that were deleted, because the file says that they are void by now.
        new_users: New rows of Users.
        new_products: New rows of Products.
        priced_products: Products with a price in the file.
        guest_rows: Rows of guests that became events of their sessions.
        oddities: What is odd about ids, a line with an example for each kind.
    """

    rows: int = 0
    added: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    withdrawn: int = 0
    new_users: int = 0
    new_products: int = 0
    priced_products: int = 0
    guest_rows: int = 0
    oddities: list[str] = field(default_factory=list)


class PieceCounter:
    """Numbers equal rows of a day in the order of the file, so that each keeps its number in the next import.

    Rows with a time of the day are not numbered: the same second twice is the same event. It takes 8 bytes a row.
    """

    def __init__(self) -> None:
        self._runs: list[NDArray[np.uint64]] = []  # sorted, each at most half as long as the one before

    def numbers(self, event_ids: Sequence[str], local_seconds: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many equal rows came before each row; 0 for rows with a time of the day.

        Args:
            event_ids: `(n,)` keys of the rows, equal for equal rows; they end with hexadecimal digits.
            local_seconds: `(n,)` moments on the clock of the file, in seconds.
        """
        numbers = np.zeros(len(event_ids), np.int64)
        days = np.flatnonzero(local_seconds % _DAY_S == 0)
        if not len(days):
            return numbers
        hashes = np.array([int(event_ids[row][-16:], 16) for row in days.tolist()], np.uint64)
        order = np.argsort(hashes, kind="stable")
        ordered = hashes[order]
        in_batch = np.arange(len(ordered)) - np.searchsorted(ordered, ordered, "left")
        before = sum(
            (np.searchsorted(run, ordered, "right") - np.searchsorted(run, ordered, "left") for run in self._runs),
            start=np.zeros(len(ordered), np.int64),
        )
        numbers[days[order]] = in_batch + before
        self._add(ordered)
        return numbers

    def _add(self, ordered: NDArray[np.uint64]) -> None:
        while self._runs and 2 * len(ordered) > len(self._runs[-1]):
            ordered = np.sort(np.concatenate([self._runs.pop(), ordered]), kind="stable")
        self._runs.append(ordered)


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

    def read(self, batch: Any) -> Events:
        """Return a batch's events; each other row is counted once, under the first reason that applies."""
        options = self._options
        cancelled = self._any(batch, options.cancelled_when)
        keep = np.ones(batch.num_rows, np.bool_)
        for condition in options.drop_when:
            self._drop(keep, self._any(batch, (condition,)) & ~cancelled, f"dropped as {condition}")
        users, items = self._users(batch, keep), texts(batch.column(options.item))
        for kind, ids in (("user", users), ("item", items)):
            self._drop(keep, _is_none(ids), f"no {kind}")
            for text in [text for text in set(ids.tolist()) - {None} if not is_storable(text)]:
                self._drop(keep, ids == text, f"{kind} id too long")
        events = self._events(batch, keep, cancelled)
        moments, legible = seconds(batch.column(options.timestamp or options.order), options)
        self._drop(keep, ~legible, "illegible order" if options.order else "illegible timestamp")
        rows = batch.filter(pyarrow.array(keep))
        kept, written = events[keep], row_texts(rows)
        event_ids, later = self._keys(rows, written, kept, moments[keep])
        return Events(
            users=users[keep],
            items=items[keep],
            events=kept,
            seconds=moments[keep] + later,  # one after the other, because equal events of a second are one
            event_ids=_objects(event_ids),
            categories=self._codes(rows, options.category, "category"),
            names=self._names(rows),
            devices=self._codes(rows, options.device_type, "device_type"),
            prices=self._prices(rows),
            rows=written,
        )

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
        users = texts(batch.column(self._options.user))
        if self._options.session is not None:
            users, is_guest = users_of_sessions(users, texts(batch.column(self._options.session)), self._guests)
            self._report.guest_rows += int(np.count_nonzero(is_guest))
        for user in sorted(self._guests.intersection(users.tolist())):
            self._drop(keep, users == user, f"guests as user {user[:MAX_CODE]!r}")
        return users

    def _any(self, batch: Any, conditions: Collection[Condition]) -> NDArray[np.bool_]:
        holds = np.zeros(batch.num_rows, np.bool_)
        for condition in conditions:
            holds |= condition.holds(texts(batch.column(condition.column)))
        return holds

    def _drop(self, keep: NDArray[np.bool_], bad: NDArray[np.bool_], reason: str) -> None:
        bad = bad & keep
        self._report.dropped[reason] += int(bad.sum())
        keep &= ~bad

    def _events(self, batch: Any, keep: NDArray[np.bool_], cancelled: NDArray[np.bool_]) -> NDArray:
        """Return `(n,)` our event names; rows with unknown names are dropped, and counted by name."""
        if self._options.event is None:
            events = _objects([self._options.event_name] * batch.num_rows)
        else:
            names = texts(batch.column(self._options.event))
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
        amounts = prices(_texts_or_none(rows, self._options.price))
        unusable = np.isinf(amounts)
        self._report.ignored["price not a number above 0"] += int(unusable.sum())
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
