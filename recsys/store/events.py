"""Reads the events of all sources into columns, for training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.data.interactions import Interactions
from recsys.errors import SettingsError
from recsys.settings import Shop, Source
from recsys.store.columns import (
    UNREADABLE,
    IdReader,
    epoch_seconds,
    event_codes,
    id_array,
    joined_ids,
    label_array,
    present,
    ranks,
    sorted_names,
    zone,
)
from recsys.store.database import Database
from recsys.store.reading import Reading, kept_rows
from recsys.store.shop_mapping import derived_table, has_ratings, known_events, source_name, source_sql

SINCE_MARGIN_S = 86_400  # a source's text may add an offset; rows before `since` are dropped after reading
_EVER = -(10**15)  # earlier than any timestamp in seconds or milliseconds
_EVER_TEXT = "1000-01-01 00:00:00"  # MySQL's first date-time


def read_interactions(
    db: Database,
    shop: Shop,
    *,
    since: int | None = None,
    progress: Callable[[int], None] | None = None,
    tell: Callable[[str], None] | None = None,
) -> tuple[Interactions, dict[str, int]]:
    """Read the events of all sources.

    A context that cannot be read is unknown. A row without a readable user, item, event or timestamp is dropped.

    Args:
        db: The shop's database.
        shop: The mapping.
        since: Only events at or after this second since 1970 in UTC.
        progress: Called with the number of rows of each chunk read.
        tell: Called with a line for each column with unreadable values: their number and an example.

    Returns:
        The events in the order of the tables, and the number of dropped rows by reason.

    Raises:
        SettingsError: A source does not fit the tables, lacks a column, or has a column without any readable value.
    """
    dropped: Counter[str] = Counter()
    events = _Events(shop, since, dropped)
    for number, source in enumerate(map(source_sql, shop.sources), 1):
        reading = events.start_source(source_name(source, number))
        with closing(db.stream(source.since, {"since": _since(db, source, shop, since)})) as stream:
            columns = _checked_columns(source, stream.columns)
            for rows in stream:
                events.add(dict(zip(columns, zip(*rows, strict=True), strict=True)))
                if progress:
                    progress(len(rows))
        reading.finish("[[sources]]", tell)
    return events.joined(), dict(dropped)


@dataclass
class _Events:
    """Collects chunks of raw rows as columns."""

    shop: Shop
    since: int | None
    dropped: Counter[str]
    names: dict[str, int] = field(default_factory=dict)
    users: list[NDArray] = field(default_factory=list)
    items: list[NDArray] = field(default_factory=list)
    codes: list[NDArray[np.int16]] = field(default_factory=list)
    timestamps: list[NDArray[np.int64]] = field(default_factory=list)
    row_ids: list[list[NDArray[np.int64]]] = field(default_factory=list)
    contexts: dict[str, list[NDArray]] = field(default_factory=dict)
    readers: tuple[IdReader, IdReader] = field(default_factory=lambda: (IdReader(), IdReader()))
    n_read: int = 0
    reading: Reading = field(default_factory=lambda: Reading("", "row"))

    def start_source(self, name: str) -> Reading:
        """Start the next source, whose row ids are independent of the others'; returns the counts of its columns."""
        self.row_ids.append([])
        self.reading, self.n_read = Reading(name, "row"), 0
        return self.reading

    def add(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Add a chunk of the current source."""
        users = id_array(columns["user_id"], self.readers[0])
        items = id_array(columns["item_id"], self.readers[1])
        rating = "rating" if "rating" in columns else "event"
        codes = event_codes(columns[rating], self.names, known_events(self.shop), rating=rating == "rating")
        timestamps, legible = epoch_seconds(columns["timestamp"], self.shop.stored_time_zone)
        row_ids = ranks(columns["row_id"]) if "row_id" in columns else np.zeros(len(codes), np.int64)
        contexts = {name: label_array(columns[name]) for name in self.shop.context_columns if name in columns}
        row_numbers = range(self.n_read + 1, self.n_read + 1 + len(codes))
        row_names = columns["row_id"] if any(columns.get("row_id", ())) else row_numbers
        self.n_read += len(codes)
        known_users, known_items = present(users), present(items)
        no_user = self.reading.add("user_id", columns["user_id"], known_users, row_names)
        no_item = self.reading.add("item_id", columns["item_id"], known_items, row_names)
        self.reading.add(rating, columns[rating], codes != UNREADABLE, row_names)
        self.reading.add("timestamp", columns["timestamp"], legible, row_names, blank_is_nothing=False)
        for name, values in contexts.items():
            self.reading.add(name, columns[name], present(values), row_names)
        keep = kept_rows(
            {
                "null user": known_users | no_user,
                "unreadable user": known_users,
                "null item": known_items | no_item,
                "unreadable item": known_items,
                f"unknown {rating}": codes >= 0,
                "bad timestamp": legible,
            },
            self.dropped,
        )
        if self.since is not None:
            keep &= timestamps >= self.since
        self.users.append(users[keep])
        self.items.append(items[keep])
        self.codes.append(codes[keep])
        self.timestamps.append(timestamps[keep])
        self.row_ids[-1].append(row_ids[keep])
        for name in self.shop.context_columns:
            values = contexts.get(name, np.full(len(keep), None, object))
            self.contexts.setdefault(name, []).append(values[keep])

    def joined(self) -> Interactions:
        """Join all chunks, with the event names sorted."""
        names, codes = sorted_names(self.names, _concatenated(self.codes, np.int16))
        return Interactions(
            users=joined_ids(self.users),
            items=joined_ids(self.items),
            events=codes,
            timestamps=_concatenated(self.timestamps, np.int64),
            row_ids=self._joined_row_ids(),
            event_names=names,
            contexts={name: _concatenated(self.contexts.get(name, []), object) for name in self.shop.context_columns},
        )

    def _joined_row_ids(self) -> NDArray[np.int64]:
        columns: list[NDArray[np.int64]] = []
        for chunks in self.row_ids:
            column = _concatenated(chunks, np.int64)
            columns.append(column if column.any() else np.arange(1, len(column) + 1, dtype=np.int64))
        return _concatenated(columns, np.int64)


def _concatenated(chunks: Sequence[NDArray], dtype: Any) -> NDArray:
    return np.concatenate(chunks) if chunks else np.zeros(0, dtype)


def _checked_columns(source: Source, columns: Sequence[str]) -> tuple[str, ...]:
    names = tuple(name.lower() for name in columns)
    missing = {"user_id", "item_id", "timestamp"} - set(names)
    if missing or ("event" in names) == ("rating" in names):
        raise SettingsError(
            f"A source should return user_id, item_id, timestamp, and event or rating. Received: {', '.join(names)}."
        )
    if ("rating" in names) != has_ratings(source.one_user):
        raise SettingsError("Both texts of a source should return `event`, or both a rating written as `AS rating`.")
    return names


def _since(db: Database, source: Source, shop: Shop, since: int | None) -> int | str:
    """Return `:since` in the form of the source's timestamp column."""
    kind = _timestamp_kind(db, source)
    if kind == "number":
        return _EVER if since is None else since
    if since is None:  # SQLite sorts every text behind every number: that also finds a column's stray numbers
        return _EVER if db.dialect == "sqlite" and kind == "text" else _EVER_TEXT
    moment = datetime.fromtimestamp(since - SINCE_MARGIN_S, UTC).astimezone(zone(shop.stored_time_zone))
    return moment.replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")


def _timestamp_kind(db: Database, source: Source) -> str:
    """Return `number`, `text` (also for date-times) or `unknown`. Only SQLite needs a row to tell."""
    table = derived_table(source.since, "s")
    if db.dialect == "sqlite":
        sql = f"SELECT typeof(s.timestamp) FROM {table} WHERE s.timestamp IS NOT NULL LIMIT 1"  # noqa: S608 - the shop's own text
        rows = db.query(sql, {"since": _EVER})
        return "unknown" if not rows else "number" if rows[0][0] in {"integer", "real"} else "text"
    stream = db.stream(f"SELECT s.timestamp FROM {table} LIMIT 0", {"since": None})  # noqa: S608 - the shop's own text
    stream.close()
    return "number" if stream.numeric else "text"
