"""Runs an import: reads events from a file, assigns ids and writes them, in one transaction per chunk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.errors import Overloaded, UsageError
from recsys.errors.wording import listed
from recsys.importing.columns import texts
from recsys.importing.files import EventFile
from recsys.importing.id_allocation import IdAllocator, is_whole
from recsys.importing.options import ImportOptions
from recsys.importing.rows import CANCEL, Events, RowReader
from recsys.settings import Shop
from recsys.store import Database, Duplicate
from recsys.store.migrations import migrate, renumber
from recsys.store.writes import (
    BASE_CODES,
    add_views,
    describe_products,
    known_ids,
    last_interaction,
    stored_events,
    write_codes,
    write_prices,
)

Progress = Callable[[int, int], None]


def import_events(
    db: Database, path: Path, options: ImportOptions, *, shop: Shop, progress: Progress | None = None
) -> ImportReport:
    """Add a file's events to the default schema, with their users and products.

    A row is identified by its event and all its columns, so that the same file, or an export that overlaps it, adds no
    row twice. An import that was killed can therefore be run again. Rows that are equal in every column count as one.

    Args:
        db: A database; the schema is created if it is missing.
        path: A CSV, gzipped CSV or Parquet file.
        options: The meaning of the file's columns.
        shop: The mapping, which holds the event names that training knows.
        progress: Called after each chunk with the numbers of bytes and rows read so far.

    Raises:
        UsageError: The file, a column or an event name is wrong.
        Overloaded: Another process adds rows at the same time.
    """
    known_events = {*shop.event_weights, *shop.cancel_events, CANCEL}
    unknown = {options.event_name, *options.event_map.values()} - known_events
    if unknown:
        raise UsageError(
            f"Events should be {listed(sorted(known_events))}, or be given a weight in recsys.toml. "
            f"Received: {listed(sorted(unknown))}."
        )
    file = EventFile(path, delimiter=options.delimiter, encoding=options.encoding)
    file.require(options.columns())
    migrate(db)
    write_codes(db, BASE_CODES)
    run = _Import(db, file, options)
    reader = RowReader(options, known_events)
    rows = 0
    for batch in file.batches(options.chunk):
        rows += batch.num_rows
        try:
            run.write(reader.read(batch))
        except Duplicate as error:  # an id that was free when this import began is taken
            raise Overloaded(
                "Something else is adding rows to the same tables. Run the import again when it has ended."
            ) from error
        if progress:
            progress(file.position(), rows)
    if rows + file.malformed == 0:
        raise UsageError(f"{path.name} should hold rows. Received: a header only.")
    run.finish()
    dropped = reader.dropped + run.dropped + Counter({"line with too few or too many fields": file.malformed})
    return ImportReport(
        rows + file.malformed,
        run.added,
        dropped,
        +reader.ignored,
        run.new_users,
        run.new_products,
        priced_products=len(run.prices),
    )


class _Import:
    """The state of one import; its size grows with users and products, not with rows."""

    def __init__(self, db: Database, file: EventFile, options: ImportOptions) -> None:
        self._db = db
        self._before = last_interaction(db)
        whole_users, whole_items = _whole_columns(file, options)
        self._users = IdAllocator(known_ids(db, "Users"), file_is_whole=whole_users)
        self._items = IdAllocator(known_ids(db, "Products"), file_is_whole=whole_items)
        self._undescribed: dict[str, set[int]] = {"name": set(), "category": set()}
        self._codes: set[str] = set()
        self._priced_at: dict[int, int] = {}
        self.prices: dict[int, float] = {}
        self.added: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.new_users = self.new_products = 0

    def write(self, events: Events) -> None:
        """Write one chunk in one transaction."""
        users, new_users = self._users.numbers(events.users)
        items, new_items = self._items.numbers(events.items)
        stamps = [text.replace("T", " ") for text in events.seconds.astype("datetime64[s]").astype(str).tolist()]
        with self._db.atomic():
            self._write_users(new_users, users, stamps)
            self._write_products(new_items, events, items, stamps)
            new = self._new_rows(events)
            self._write_interactions(events, users, items, stamps, new)
        self._learn_prices(events, items)
        self.new_users += len(new_users)
        self.new_products += len(new_items)

    def finish(self) -> None:
        """Write prices, whose newest value only the whole file gives."""
        write_prices(self._db, self.prices)
        renumber(self._db)

    def _write_users(self, new: dict[int, str | None], users: NDArray[np.int64], stamps: list[str]) -> None:
        since = _first(users, stamps)
        self._db.insert(
            "Users",
            (
                {
                    "id": user,
                    "externalId": external,
                    "roleId": "R2",
                    "statusId": "S1",
                    "createdAt": since[user],
                    "updatedAt": since[user],
                }
                for user, external in new.items()
            ),
        )

    def _write_products(
        self, new: dict[int, str | None], events: Events, items: NDArray[np.int64], stamps: list[str]
    ) -> None:
        """Add new products with their first name and category; a later chunk may fill in missing ones."""
        for waiting in self._undescribed.values():
            waiting.update(new)
        names = self._descriptions("name", items, events.names)
        categories = self._descriptions("category", items, events.categories)
        codes = set(categories.values()) - self._codes
        write_codes(self._db, (("CATEGORY", code, code) for code in sorted(codes)))
        self._codes |= codes
        since = _first(items, stamps)
        self._db.insert(
            "Products",
            (
                {
                    "id": item,
                    "externalId": external,
                    "name": names.pop(item, f"Product {external or item}"),
                    "categoryId": categories.pop(item, None),
                    "createdAt": since[item],
                    "updatedAt": since[item],
                }
                for item, external in new.items()
            ),
        )
        describe_products(self._db, names, categories)  # products of earlier chunks, which lacked these values

    def _descriptions(self, kind: str, items: NDArray[np.int64], values: NDArray | None) -> dict[int, str]:
        waiting, descriptions = self._undescribed[kind], {}
        for item, value in zip(items.tolist(), () if values is None else values.tolist(), strict=False):
            if value is not None and item in waiting:
                waiting.discard(item)
                descriptions[item] = value
        return descriptions

    def _new_rows(self, events: Events) -> list[int]:
        """Return the positions of rows that are not stored yet; the others are counted."""
        first: dict[str, int] = {}
        for position, key in enumerate(events.event_ids.tolist()):
            first.setdefault(key, position)
        stored = stored_events(self._db, list(first))
        earlier = sum(number <= self._before for number in stored.values())
        self.dropped["imported before"] += earlier
        self.dropped["equal to an earlier row"] += len(events) - len(first) + len(stored) - earlier
        return [position for key, position in first.items() if key not in stored]

    def _write_interactions(
        self, events: Events, users: NDArray, items: NDArray, stamps: list[str], new: list[int]
    ) -> None:
        kinds, keys = events.events.tolist(), events.event_ids.tolist()
        devices = events.devices.tolist() if events.devices is not None else [None] * len(events)
        self._db.insert(
            "Interactions",
            (
                {
                    "userId": int(users[k]),
                    "productId": int(items[k]),
                    "actionCode": kinds[k],
                    "device_type": devices[k],
                    "timestamp": stamps[k],
                    "eventId": keys[k],
                }
                for k in new
            ),
        )
        self.added.update(kinds[k] for k in new)
        add_views(self._db, Counter(int(items[k]) for k in new if kinds[k] == "view"))

    def _learn_prices(self, events: Events, items: NDArray[np.int64]) -> None:
        """Remember the newest price of each product."""
        if events.prices is None:
            return
        for item, second, price in zip(items.tolist(), events.seconds.tolist(), events.prices.tolist(), strict=True):
            if price == price and second >= self._priced_at.get(item, 0):
                self._priced_at[item] = second
                self.prices[item] = price


def _first(ids: NDArray[np.int64], stamps: Iterable[str]) -> dict[int, str]:
    """Return the earliest time of each id; the times sort correctly as text."""
    first: dict[int, str] = {}
    for number, stamp in zip(ids.tolist(), stamps, strict=True):
        if number not in first or stamp < first[number]:
            first[number] = stamp
    return first


def _whole_columns(file: EventFile, options: ImportOptions) -> tuple[bool, bool]:
    """Return whether all user ids, and all item ids, are whole numbers; stops reading once neither is."""
    whole = {options.user: True, options.item: True}
    for batch in file.batches(options.chunk, list(whole)):
        for name in [name for name, still in whole.items() if still]:
            whole[name] = all(is_whole(text) for text in set(texts(batch.column(name)).tolist()) - {None})
        if not any(whole.values()):
            break
    return whole[options.user], whole[options.item]


@dataclass(frozen=True)
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
    """

    rows: int
    added: Mapping[str, int]
    dropped: Mapping[str, int]
    ignored: Mapping[str, int]
    new_users: int
    new_products: int
    priced_products: int
