"""Every event of the shop, from all its sources, as columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.errors import SettingsError
from recsys.interactions import Interactions
from recsys.settings import Shop, Source
from recsys.store.columns import IdReader, all_integers, epoch_seconds, event_codes, id_array, joined_ids, sorted_names, text_array, zone
from recsys.store.database import Database
from recsys.store.mapping import derived, known_events, rates

SINCE_MARGIN_S = 86_400  # a table's text may carry an offset of its own; rows before `since` are left out after reading
_EVER = -(10**15)  # before any number of seconds or milliseconds
_EVER_TEXT = "1000-01-01 00:00:00"  # MySQL's first date-time


def read_interactions(
    db: Database, shop: Shop, *, since: int | None = None, progress: Callable[[int], None] | None = None
) -> tuple[Interactions, dict[str, int]]:
    """Read the events of all sources.

    Args:
        db: The shop's database.
        shop: The mapping.
        since: Only events at or after this second since 1970 in UTC.
        progress: Called with the number of rows of each chunk read.

    Returns:
        The events in the order of the tables, and how many rows were left out by reason.

    Raises:
        SettingsError: A source doesn't fit the tables, or lacks a column.
    """
    dropped: Counter[str] = Counter()
    events = _Events(shop, since, dropped)
    for source in shop.sources:
        events.start_source()
        with closing(db.stream(source.since, {"since": _since(db, source, shop, since)})) as stream:
            columns = _checked_columns(source, stream.columns)
            for rows in stream:
                events.add(dict(zip(columns, zip(*rows, strict=True), strict=True)))
                if progress:
                    progress(len(rows))
    return events.joined(), dict(dropped)


@dataclass
class _Events:
    """Gathers chunks of raw rows into columns."""

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

    def start_source(self) -> None:
        """Begin a new table, whose row ids count for themselves."""
        self.row_ids.append([])

    def add(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Take over a chunk of one source."""
        users = id_array(columns["user_id"], self.readers[0])
        items = id_array(columns["item_id"], self.readers[1])
        rating = "rating" in columns
        codes = event_codes(columns["rating" if rating else "event"], self.names, known_events(self.shop), rating=rating)
        timestamps, legible = epoch_seconds(columns["timestamp"], self.shop.stored_time_zone)
        keep = self._kept(
            {
                "null user": _present(users),
                "null item": _present(items),
                "unknown rating" if rating else "unknown event": codes >= 0,
                "bad timestamp": legible,
            }
        )
        if self.since is not None:
            keep &= timestamps >= self.since
        self.users.append(users[keep])
        self.items.append(items[keep])
        self.codes.append(codes[keep])
        self.timestamps.append(timestamps[keep])
        self.row_ids[-1].append(_whole_numbers(columns.get("row_id", ()), len(keep))[keep])
        for name in self.shop.context_columns:
            values = text_array(columns[name]) if name in columns else np.full(len(keep), None, object)
            self.contexts.setdefault(name, []).append(values[keep])

    def _kept(self, conditions: Mapping[str, NDArray[np.bool_]]) -> NDArray[np.bool_]:
        """Return the rows that meet every condition; a row is counted under the first that it fails."""
        keep = np.ones(len(next(iter(conditions.values()))), np.bool_)
        for reason, condition in conditions.items():
            if failed := int(np.count_nonzero(keep & ~condition)):
                self.dropped[reason] += failed
            keep &= condition
        return keep

    def joined(self) -> Interactions:
        """Return the whole, with the event names in order."""
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


def _present(ids: NDArray) -> NDArray[np.bool_]:
    if ids.dtype != object:
        return np.ones(len(ids), np.bool_)
    return np.fromiter((value is not None for value in ids), np.bool_, len(ids))


def _whole_numbers(column: Sequence[Any], n: int) -> NDArray[np.int64]:
    """Return row ids, or zeros for a table whose row ids are not whole numbers."""
    if len(column) == n and all_integers(column):
        try:
            return np.array(column, np.int64)
        except OverflowError:
            pass  # unsigned and beyond int64: as good as none
    return np.zeros(n, np.int64)


def _concatenated(chunks: Sequence[NDArray], dtype: Any) -> NDArray:
    return np.concatenate(chunks) if chunks else np.zeros(0, dtype)


def _checked_columns(source: Source, columns: Sequence[str]) -> tuple[str, ...]:
    names = tuple(name.lower() for name in columns)
    missing = {"user_id", "item_id", "timestamp"} - set(names)
    if missing or ("event" in names) == ("rating" in names):
        raise SettingsError(f"A source should return user_id, item_id, timestamp, and event or rating. Received: {', '.join(names)}.")
    if ("rating" in names) != rates(source.one_user):
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
    """Return `number`, `text` (date-times included) or `unknown`: SQLite has to look at a row, the others know."""
    table = derived(source.since, "s")
    if db.dialect == "sqlite":
        look = f"SELECT typeof(s.timestamp) FROM {table} WHERE s.timestamp IS NOT NULL LIMIT 1"  # noqa: S608 - the shop's own text
        found = db.query(look, {"since": _EVER})
        return "unknown" if not found else "number" if found[0][0] in {"integer", "real"} else "text"
    stream = db.stream(f"SELECT s.timestamp FROM {table} LIMIT 0", {"since": None})  # noqa: S608 - the shop's own text
    stream.close()
    return "number" if stream.numeric else "text"
