"""The import itself: file → events → numbers → the default schema, a transaction a chunk."""

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
    """Add a file's events to the default schema, with the users and products that they name.

    Every row is known by its event and all its columns, so that the same file, or another export that overlaps it, adds
    nothing twice: a killed import is simply run again. Rows of a file that are equal in every column count as one.

    Args:
        db: A database; the schema is created where it is missing.
        path: CSV, gzipped CSV or Parquet.
        options: What is what in the file.
        shop: Names the events that training knows.
        progress: Called after each chunk with the bytes and the rows read so far.

    Raises:
        UsageError: The file, its columns or an event name is not what it should be.
        Overloaded: Another import runs at the same time.
    """
    known_events = {*shop.event_weights, *shop.cancel_events, CANCEL}
    strange = {options.event_name, *options.event_map.values()} - known_events
    if strange:
        raise UsageError(
            f"Events should be {listed(sorted(known_events))}, or be given a weight in recsys.toml. Received: {listed(sorted(strange))}."
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
        except Duplicate as error:  # the ids were free when this import began
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
    """What one import has learnt and done so far; it grows with users and products, not with rows."""

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
        """Write one chunk: all of it, or nothing."""
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
        """Write what only the whole file tells."""
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
        """Add new products with the first name and category that the file has for them; later chunks may still tell more."""
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
        describe_products(self._db, names, categories)  # what is left was waiting since an earlier chunk

    def _descriptions(self, kind: str, items: NDArray[np.int64], values: NDArray | None) -> dict[int, str]:
        waiting, found = self._undescribed[kind], {}
        for item, value in zip(items.tolist(), () if values is None else values.tolist(), strict=False):
            if value is not None and item in waiting:
                waiting.discard(item)
                found[item] = value
        return found

    def _new_rows(self, events: Events) -> list[int]:
        """Return the positions of the rows that are not stored yet."""
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
    """Return the earliest moment of each id; as text the moments sort as they happened."""
    first: dict[int, str] = {}
    for number, stamp in zip(ids.tolist(), stamps, strict=True):
        if number not in first or stamp < first[number]:
            first[number] = stamp
    return first


def _whole_columns(file: EventFile, options: ImportOptions) -> tuple[bool, bool]:
    """Return whether all users, and all items, are whole numbers; reads on only while one of both may be."""
    whole = {options.user: True, options.item: True}
    for batch in file.batches(options.chunk, list(whole)):
        for name in [name for name, still in whole.items() if still]:
            whole[name] = all(is_whole(text) for text in set(texts(batch.column(name)).tolist()) - {None})
        if not any(whole.values()):
            break
    return whole[options.user], whole[options.item]


@dataclass(frozen=True)
class ImportReport:
    """Every row of the file is in `added` or in `dropped`, once.

    Attributes:
        rows: Rows of the file.
        added: New rows of Interactions, by event.
        dropped: Rows that were not added, by reason.
        ignored: Values that were left out although their row was added, by reason.
        new_users: New rows of Users.
        new_products: New rows of Products.
        priced_products: Products whose price the file told.
    """

    rows: int
    added: Mapping[str, int]
    dropped: Mapping[str, int]
    ignored: Mapping[str, int]
    new_users: int
    new_products: int
    priced_products: int
