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
from recsys.importing.columns import texts
from recsys.importing.files import EventFile
from recsys.importing.id_allocation import IdAllocator, is_whole
from recsys.importing.options import ImportOptions
from recsys.importing.rows import CANCEL, Events, ImportReport, RowReader, Unreadable
from recsys.settings import Shop
from recsys.store import Database, Duplicate
from recsys.store.migrations import migrate, renumber
from recsys.store.reading import shortened
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
MALFORMED = "line with too few or too many fields"
STRAY_QUOTES = "quote that is no quote of a field"
NEW_USER = {"roleId": "R2", "statusId": "S1"}  # codes of an active customer


def import_events(
    db: Database, path: Path, options: ImportOptions, *, shop: Shop, progress: Progress | None = None
) -> ImportReport:
    """Add a file's events to the default schema, with their users and products.

    A row is identified by its event and all its columns, so that the same file, or an export that overlaps it, adds no
    row twice. An import that was killed can therefore be run again. Rows that are equal in every column count as one.

    Args:
        db: A database; the schema is created if it is missing.
        path: A CSV, gzipped CSV, Parquet or .xlsx file.
        options: The meaning of the file's columns.
        shop: The mapping, which holds the event names that training knows.
        progress: Called after each chunk with the numbers of bytes and rows read so far.

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
    file = EventFile(
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
    run = _Import(db, file, options, report)
    reader = RowReader(options, known_events, report)
    for batch in file.batches(options.chunk):
        report.rows += batch.num_rows
        events = reader.read(batch)
        _count_lines(report, file)
        report.refuse_unreadable(options.max_unreadable)
        try:
            run.write(events)
        except Duplicate as error:  # an id that was free when this import began is taken
            raise Overloaded(
                "Something else is adding rows to the same tables. Run the import again when it has ended."
            ) from error
        if progress:
            progress(file.position, report.rows - file.malformed)
    if not report.rows:
        raise UsageError(f"{path.name} should hold rows. Received: a header only.")
    run.finish()
    report.dropped, report.ignored = +report.dropped, +report.ignored
    return report


def _count_lines(report: ImportReport, file: EventFile) -> None:
    """Count the lines that were no whole rows, and those with quotes that were no quotes of fields."""
    report.rows += file.malformed - report.dropped[MALFORMED]
    report.dropped[MALFORMED], report.ignored[STRAY_QUOTES] = file.malformed, file.stray_quotes
    for reason, line, way_out in (
        (
            MALFORMED,
            file.malformed_line,
            "--delimiter names the separator, --quote none says that quotes are text.",
        ),
        (STRAY_QUOTES, file.stray_line, "--quote none says that all quotes are text."),
    ):
        if line:
            report.unreadable.setdefault(reason, Unreadable(shortened(line), way_out))


class _Import:
    """The state of one import; its size grows with users and products, not with rows."""

    def __init__(self, db: Database, file: EventFile, options: ImportOptions, report: ImportReport) -> None:
        self._db, self._report = db, report
        self._before = last_interaction(db)
        whole_users, whole_items = _whole_columns(file, options)
        self._users = IdAllocator(known_ids(db, "Users"), file_is_whole=whole_users)
        self._items = IdAllocator(known_ids(db, "Products"), file_is_whole=whole_items)
        self._undescribed: dict[str, set[int]] = {"name": set(), "category": set()}
        self._codes: set[str] = set()
        self._priced_at: dict[int, int] = {}
        self._prices: dict[int, float] = {}

    def write(self, events: Events) -> None:
        """Write one chunk in one transaction."""
        users, new_users = self._users.numbers(events.users)
        items, new_items = self._items.numbers(events.items)
        stamps = [text.replace("T", " ") for text in events.seconds.astype("datetime64[s]").astype(str).tolist()]
        latest_first = np.argsort(-events.seconds, kind="stable").tolist()  # so that the earliest stays in a dict
        users_since, items_since = ({int(ids[k]): stamps[k] for k in latest_first} for ids in (users, items))
        with self._db.atomic():
            self._db.insert("Users", ({**row, **NEW_USER} for row in _shared_columns(new_users, users_since)))
            self._write_products(_shared_columns(new_items, items_since), events, items)
            self._write_interactions(events, users, items, stamps)
        self._learn_prices(events, items)
        self._report.new_users += len(new_users)
        self._report.new_products += len(new_items)

    def finish(self) -> None:
        """Write prices, whose newest value only the whole file gives."""
        write_prices(self._db, self._prices)
        renumber(self._db)
        self._report.priced_products = len(self._prices)

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
        first: dict[str, int] = {}
        for position, key in enumerate(events.event_ids.tolist()):
            first.setdefault(key, position)
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


def _shared_columns(new: Mapping[int, str | None], since: Mapping[int, str]) -> list[dict[str, Any]]:
    """Return the columns that a new user and a new product have in common, by name."""
    return [
        {"id": number, "externalId": external, "createdAt": since[number], "updatedAt": since[number]}
        for number, external in new.items()
    ]


def _whole_columns(file: EventFile, options: ImportOptions) -> tuple[bool, bool]:
    """Return whether all user ids, and all item ids, are whole numbers; stops reading once neither is."""
    whole = {options.user: True, options.item: True}
    for batch in file.batches(options.chunk, list(whole)):
        for name in [name for name, still in whole.items() if still]:
            whole[name] = all(is_whole(text) for text in set(texts(batch.column(name)).tolist()) - {None})
        if not any(whole.values()):
            break
    return whole[options.user], whole[options.item]
