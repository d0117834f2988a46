"""Runs an import: reads events from a file, assigns ids and writes them, in one transaction per chunk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.errors import Overloaded, UsageError
from recsys.errors.wording import listed
from recsys.importing.columns import event_id
from recsys.importing.files import EventFile, EventSource
from recsys.importing.guests import find_guests
from recsys.importing.id_allocation import IdAllocator
from recsys.importing.options import ImportOptions
from recsys.importing.report import ImportReport
from recsys.importing.returns import purchases_taken_back
from recsys.importing.rows import CANCEL, Events, RowReader
from recsys.settings import Shop
from recsys.store import Database, Duplicate
from recsys.store.migrations import migrate, renumber
from recsys.store.writes import (
    BASE_CODES,
    add_views,
    delete_events,
    describe_products,
    known_ids,
    last_interaction,
    stored_events,
    write_activity,
    write_codes,
    write_prices,
)

Progress = Callable[[int, int], None]
MIN_JUDGED = 10_000  # rows of which the unreadable share is judged; nothing of a shorter file is written before its end
NEW_USER = {"roleId": "R2", "statusId": "S1"}  # codes of an active customer


def import_events(
    db: Database,
    path: Path,
    options: ImportOptions,
    *,
    shop: Shop,
    progress: Progress | None = None,
    source: EventSource | None = None,
) -> ImportReport:
    """Add a file's events to the default schema, with their users and products.

    A row is identified by its event and all its columns, so that the same file, or an export that overlaps it, adds no
    row twice. An import that was killed can therefore be run again. Rows that are equal in every column count as one.

    Args:
        db: A database; the schema is created if it is missing.
        path: The file, as `EventFile` reads it; a folder only with a source.
        options: The meaning of the file's columns.
        shop: The mapping, which holds the event names that training knows.
        progress: Called after each chunk with the numbers of bytes and rows read so far.
        source: The rows of a format by name; None reads `path` as it is.

    Raises:
        UsageError: The file, a column or an event name is wrong.
        Overloaded: Another process adds rows at the same time.
    """
    known_events = {*shop.event_weights, *shop.cancel_events, *shop.uncart_events, CANCEL}
    unknown = {options.event_name, *options.event_map.values()} - known_events
    if unknown:
        raise UsageError(
            f"Events should be {listed(sorted(known_events))}, or be given a weight in recsys.toml. "
            f"Received: {listed(sorted(unknown))}."
        )
    file: EventSource = source or EventFile(
        path,
        delimiter=options.delimiter,
        quote=options.quote,
        encoding=options.encoding,
        sheet_names=options.sheet_names,
    )
    file.require(options.columns())
    migrate(db)
    write_codes(db, BASE_CODES)
    report = ImportReport()
    run = _Import(db, file, report)
    guests = find_guests(file, options)
    by_pieces = purchases_taken_back(file, options, shop, known_events, guests) if options.quantity else None
    reader = RowReader(options, known_events, report, guests)
    for batch in file.batches(options.chunk):
        report.rows += batch.num_rows
        run.add(reader.read(batch, file.taken_back if by_pieces is None else by_pieces), options.max_unreadable)
        if progress:
            progress(file.position, report.rows)
    if not report.rows + file.dropped.total():
        raise UsageError(f"{path.name} should hold rows. Received: a header only.")
    run.finish(options.max_unreadable)
    report.dropped, report.ignored = +report.dropped, +report.ignored
    return report


class _Import:
    """The state of one import; its size grows with users and products, not with rows."""

    def __init__(self, db: Database, file: EventSource, report: ImportReport) -> None:
        self._db, self._file, self._report = db, file, report
        self._waiting: list[Events] = []
        self._counted = (
            Counter[str](),
            Counter[str](),
        )  # the file's dropped and ignored, as far as the report has them
        self._before = last_interaction(db)
        self._users, self._items = IdAllocator(known_ids(db, "Users")), IdAllocator(known_ids(db, "Products"))
        self._undescribed: dict[str, set[int]] = {"name": set(), "category": set()}
        self._codes: set[str] = set()
        self._priced_at: dict[int, int] = {}
        self._prices: dict[int, float] = {}

    def add(self, events: Events, max_unreadable: float) -> None:
        """Write chunks, one in a transaction each, once so much is read that one can say whether it is readable."""
        self._waiting.append(events)
        if self._report.rows >= MIN_JUDGED:
            self._write_waiting(max_unreadable)

    def _write_waiting(self, max_unreadable: float) -> None:
        self._count_dropped()
        self._report.refuse_unreadable(max_unreadable)
        waiting, self._waiting = self._waiting, []
        for events in waiting:
            try:
                self._write(events)
            except Duplicate as error:  # an id that was free when this import began is taken
                raise Overloaded(
                    "Something else is adding rows to the same tables. Run the import again when it has ended."
                ) from error

    def _count_dropped(self) -> None:
        """Count what the file has left out since the last call."""
        dropped, ignored = self._counted
        new = self._file.dropped - dropped
        self._report.rows += new.total()
        self._report.dropped += new
        self._report.ignored += self._file.ignored - ignored
        self._report.unreadable.update(self._file.unreadable)
        self._counted = Counter(self._file.dropped), Counter(self._file.ignored)

    def _write(self, events: Events) -> None:
        users, new_users = self._users.numbers(events.users, events.rows)
        items, new_items = self._items.numbers(events.items, events.rows)
        stamps = [text.replace("T", " ") for text in events.seconds.astype("datetime64[s]").astype(str).tolist()]
        with self._db.atomic():
            new_rows = _shared_columns(new_users, users, events.seconds, stamps)
            self._db.insert("Users", ({**row, **NEW_USER} for row in new_rows))
            self._write_products(_shared_columns(new_items, items, events.seconds, stamps), events, items)
            self._write_interactions(events, users, items, stamps)
        self._learn_prices(events, items)
        self._report.new_users += len(new_users)
        self._report.new_products += len(new_items)

    def finish(self, max_unreadable: float) -> None:
        """Write the last chunks, prices, of which the newest counts, and what is sold; delete what is void.

        Raises:
            UsageError: More than the share `max_unreadable` of all rows is unreadable.
        """
        self._write_waiting(max_unreadable)
        write_prices(self._db, self._prices)
        renumber(self._db)
        self._report.priced_products = len(self._prices)
        withdrawn = [event_id(event, text) for event, text in self._file.withdrawn]
        self._report.withdrawn = delete_events(self._db, withdrawn)
        write_activity(self._db, self._file.active)
        for kind, ids in (("user", self._users), ("product", self._items)):
            for oddity, found in ids.oddities.items():
                self._report.oddities.append(f"{found.n_ids:,} {kind} ids: {oddity}, e.g. {found.example}")

    def _write_products(self, new: Sequence[Mapping[str, Any]], events: Events, items: NDArray[np.int64]) -> None:
        """Add new products with their first name and category; a later chunk may fill in missing ones."""
        for waiting in self._undescribed.values():
            waiting.update(row["id"] for row in new)
        names = self._descriptions("name", items, events.names)
        categories = self._descriptions("category", items, events.categories)
        codes = set(categories.values()) - self._codes
        write_codes(self._db, (("CATEGORY", code, code) for code in sorted(codes)))
        self._codes |= codes
        described = []
        for row in new:
            name = names.pop(row["id"], f"Product {row['externalId'] or row['id']}")
            described.append({**row, "name": name, "categoryId": categories.pop(row["id"], None)})
        self._db.insert("Products", described)
        describe_products(self._db, names, categories)  # products of earlier chunks, which lacked these values

    def _descriptions(self, kind: str, items: NDArray[np.int64], values: NDArray) -> dict[int, str]:
        waiting, descriptions = self._undescribed[kind], {}
        for item, value in zip(items.tolist(), values.tolist(), strict=True):
            if value is not None and item in waiting:
                waiting.discard(item)
                descriptions[item] = value
        return descriptions

    def _new_rows(self, events: Events) -> list[int]:
        """Return the positions of rows that are not stored yet; the others are counted."""
        keys = events.event_ids.tolist()
        first = dict.fromkeys(keys, 0)
        first.update(zip(reversed(keys), range(len(keys) - 1, -1, -1), strict=True))  # in order, and of the first row
        stored = stored_events(self._db, list(first))
        earlier = sum(number <= self._before for number in stored.values())
        self._report.dropped["imported before"] += earlier
        self._report.dropped["equal to an earlier row"] += len(events) - len(first) + len(stored) - earlier
        return [position for key, position in first.items() if key not in stored]

    def _write_interactions(self, events: Events, users: NDArray, items: NDArray, stamps: Sequence[str]) -> None:
        columns = {
            "userId": users.tolist(),
            "productId": items.tolist(),
            "actionCode": events.events.tolist(),
            "device_type": events.devices.tolist(),
            "timestamp": stamps,
            "eventId": events.event_ids.tolist(),
        }
        new, kinds = self._new_rows(events), columns["actionCode"]
        self._db.insert("Interactions", ({name: values[k] for name, values in columns.items()} for k in new))
        self._report.added.update(kinds[k] for k in new)
        add_views(self._db, Counter(columns["productId"][k] for k in new if kinds[k] == "view"))

    def _learn_prices(self, events: Events, items: NDArray[np.int64]) -> None:
        """Remember the newest price of each product."""
        for item, second, price in zip(items.tolist(), events.seconds.tolist(), events.prices.tolist(), strict=True):
            if price == price and second >= self._priced_at.get(item, 0):
                self._priced_at[item] = second
                self._prices[item] = price


def _shared_columns(
    new: Mapping[int, str | None], ids: NDArray[np.int64], seconds: NDArray[np.int64], stamps: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the columns that new users and new products have in common, with the time of their first event.

    Args:
        new: The external id of each new number.
        ids: `(n,)` int64, the numbers of a chunk's rows.
        seconds: `(n,)` int64, the rows' moments.
        stamps: `(n,)` the same as text.
    """
    if not new:
        return []
    latest_first = np.argsort(-seconds, kind="stable")  # so that the earliest stays in a dict
    since = dict(zip(ids[latest_first].tolist(), latest_first.tolist(), strict=True))
    return [
        {
            "id": number,
            "externalId": external,
            "createdAt": stamps[since[number]],
            "updatedAt": stamps[since[number]],
        }
        for number, external in new.items()
    ]
