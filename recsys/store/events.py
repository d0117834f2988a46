"""Reads the events of all sources into columns, for training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.data.ids import canonical_integers
from recsys.data.interactions import Interactions
from recsys.errors import SettingsError
from recsys.settings import Shop, Source, TableSource, TrackedSource
from recsys.store.columns import (
    UNREADABLE,
    Mask,
    event_codes,
    id_array,
    joined_ids,
    kept_rows,
    known_events,
    label_array,
    present,
    quantity_array,
    ranks,
    sorted_names,
)
from recsys.store.database import Database
from recsys.store.migrations import columns as columns_of
from recsys.store.moments import epoch_seconds, zone
from recsys.store.products import id_kind, item_kind
from recsys.store.reading import Reading
from recsys.store.sessions import joined_sessions, read_sessions, with_session_users
from recsys.store.shop_mapping import derived_table, has_quantities, has_ratings, has_sessions, source_name, source_sql

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

    A context that cannot be read is unknown. A row without a readable user, item, event or timestamp is dropped. A row
    without a user is one of its session's, where the source tells sessions.

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
    names: dict[str, int] = {}
    known_ids: tuple[dict[Any, Any], ...] = ({}, {}, {})
    events: list[Interactions] = []
    for number, mapped in enumerate(readable_sources(db, shop), 1):
        source = source_sql(mapped)
        reading = Reading(source_name(source, number), "row")
        chunks: list[Interactions] = []
        n_read = 0
        with closing(db.stream(source.since, {"since": since_of(db, source, shop, since)})) as stream:
            columns = _checked_columns(source, stream.columns)
            for rows in stream:
                raw = dict(zip(columns, zip(*rows, strict=True), strict=True))
                chunk, keep = _read_chunk(raw, shop, names, known_ids, reading, n_read, dropped)
                chunks.append(chunk.take(keep if since is None else keep & (chunk.timestamps >= since)))
                n_read += len(rows)
                if progress:
                    progress(len(rows))
        reading.finish("[[sources]]", tell, shop.max_unreadable)
        of_source = _joined(chunks, shop)
        if isinstance(mapped, TrackedSource):
            of_source = _in_the_shops_types(of_source, _joined(events, shop), db, shop, dropped)
        if not of_source.row_ids.any():  # row ids are independent of the other sources'
            of_source = replace(of_source, row_ids=np.arange(1, len(of_source) + 1))
        events.append(of_source)
    joined = with_session_users(_joined(events, shop))
    event_names, codes = sorted_names(names, joined.events)
    return replace(joined, events=codes, event_names=event_names), dict(dropped)


def readable_sources(db: Database, shop: Shop) -> list[Source | TableSource]:
    """Return the sources without our own table of recorded events where the database has none yet."""
    return [source for source in shop.sources if not isinstance(source, TrackedSource) or columns_of(db, source.table)]


def count_rows(db: Database, shop: Shop) -> int:
    """Return the number of rows that `read_interactions` would read, those that it would drop included."""
    return sum(_count(db, source, shop, "COUNT(*)") for source in map(source_sql, readable_sources(db, shop)))


def count_users(db: Database, shop: Shop) -> int:
    """Return the number of different users of the source that has the most."""
    sources = map(source_sql, readable_sources(db, shop))
    return max((_count(db, source, shop, "COUNT(DISTINCT s.user_id)") for source in sources), default=0)


def count_sessions(db: Database, shop: Shop) -> int:
    """Return the number of different sessions without a user, of the source that has the most.

    Sessions under ids that only training finds to stand for guests are not counted.
    """
    nobody = f"s.user_id IS NULL OR {db.syntax.id_key('s.user_id')} IN (:guests)"
    with_sessions = (source for source in map(source_sql, readable_sources(db, shop)) if has_sessions(source.since))
    what = f"COUNT(DISTINCT CASE WHEN {nobody} THEN s.session_id END)"
    return max((_count(db, source, shop, what) for source in with_sessions), default=0)


def _count(db: Database, source: Source, shop: Shop, what: str) -> int:
    table = derived_table(source.since, "s")
    sql = f"SELECT {what} FROM {table}"  # noqa: S608 - the shop's own text
    params = {"since": since_of(db, source, shop, None), "guests": [db.key(guest) for guest in shop.guests]}
    return int(db.query(sql, params)[0][0])


def _read_chunk(
    raw: Mapping[str, Sequence[Any]],
    shop: Shop,
    names: dict[str, int],
    known_ids: tuple[dict[Any, Any], ...],
    reading: Reading,
    n_read: int,
    dropped: Counter[str],
) -> tuple[Interactions, Mask]:
    """Convert a chunk of a source.

    Args:
        raw: `(n,)` values by column, as the driver returned them.
        shop: The mapping.
        names: Positions by event name; new names are added in place.
        known_ids: The users', items' and sessions' ids that were read before; new ones are added in place.
        reading: Counts of the source's columns, updated in place.
        n_read: The number of the source's rows before the chunk.
        dropped: Counts of dropped rows by reason, updated in place.

    Returns:
        `n` events without their names, whose users are None where only the session is known; and `(n,)` bool, the rows
        to keep.
    """
    rating = "rating" if "rating" in raw else "event"
    row_numbers = range(n_read + 1, n_read + 1 + len(raw["user_id"]))
    row_names = raw["row_id"] if any(raw.get("row_id", ())) else row_numbers
    timestamps, legible = epoch_seconds(raw["timestamp"], shop.stored_time_zone)
    nothing = (None,) * len(timestamps)
    chunk = Interactions(
        users=id_array(raw["user_id"], known_ids[0]),
        items=id_array(raw["item_id"], known_ids[1]),
        events=event_codes(raw[rating], names, known_events(shop), rating=rating == "rating"),
        timestamps=timestamps,
        row_ids=ranks(raw.get("row_id", nothing)),
        event_names=(),
        contexts={name: label_array(raw.get(name, nothing)) for name in shop.context_columns},
        quantities=quantity_array(raw["quantity"]) if "quantity" in raw else None,
        sessions=read_sessions(raw["session_id"], known_ids[2], reading, row_names) if "session_id" in raw else None,
    )
    no_session = np.ones(len(chunk), np.bool_) if chunk.sessions is None else ~present(chunk.sessions)
    known_users, known_items = present(chunk.users), present(chunk.items)
    no_user = reading.add("user_id", raw["user_id"], known_users, row_names)
    no_item = reading.add("item_id", raw["item_id"], known_items, row_names)
    reading.add(rating, raw[rating], chunk.events != UNREADABLE, row_names)
    reading.add("timestamp", raw["timestamp"], legible, row_names, blank_is_nothing=False)
    if chunk.quantities is not None:
        are_numbers = ~np.isnan(chunk.quantities)
        reading.add("quantity", raw["quantity"], are_numbers, row_names, blank_is_nothing=False)
    for name, values in chunk.contexts.items():
        if name in raw:
            reading.add(name, raw[name], present(values), row_names)
    conditions = {
        "null user" if chunk.sessions is None else "null user and session": known_users | no_user | ~no_session,
        "unreadable user": known_users | ~no_user,
        "null item": known_items | no_item,
        "unreadable item": known_items,
        f"unknown {rating}": chunk.events >= 0,
        "bad timestamp": legible,
    }
    return chunk, kept_rows(conditions, dropped)


def _in_the_shops_types(
    tracked: Interactions, others: Interactions, db: Database, shop: Shop, dropped: Counter[str]
) -> Interactions:
    """Return recorded events with ids of the types that the shop's other tables have; our table holds texts.

    Args:
        tracked: The recorded events.
        others: The events of all other sources.
        db: The shop's database.
        shop: The mapping.
        dropped: Counts of dropped rows by reason, updated in place: visitors of a shop whose users are numbers.
    """
    if not len(tracked):
        return tracked
    users = joined_ids([others.users[present(others.users)]])
    kinds: dict[str, str | None] = {"user": id_kind(users) if len(users) else None, "item": id_kind(others.items)}
    if not len(others):
        kinds = {"user": None, "item": item_kind(db, shop)}
    keep, columns = np.ones(len(tracked), np.bool_), {"user": tracked.users, "item": tracked.items}
    for name, ids in columns.items():
        numbers = canonical_integers(list(map(str, ids.tolist())))
        fitting = np.array([number is not None for number in numbers], np.bool_)
        if kinds[name] == "int" or (kinds[name] is None and fitting.all()):
            columns[name] = np.array([number or 0 for number in numbers], np.int64)
            if n := int((keep & ~fitting).sum()):
                dropped[f"tracked {name} of another type"] += n
            keep &= fitting
    return replace(tracked, users=columns["user"], items=columns["item"]).take(keep)


def _joined(chunks: Sequence[Interactions], shop: Shop) -> Interactions:
    return Interactions(
        users=_joined_users([chunk.users for chunk in chunks]),
        items=joined_ids([chunk.items for chunk in chunks]),
        events=_concatenated([chunk.events for chunk in chunks], np.int16),
        timestamps=_concatenated([chunk.timestamps for chunk in chunks], np.int64),
        row_ids=_concatenated([chunk.row_ids for chunk in chunks], np.int64),
        event_names=(),
        contexts={
            name: _concatenated([chunk.contexts[name] for chunk in chunks], object) for name in shop.context_columns
        },
        quantities=_joined_quantities(chunks),
        sessions=joined_sessions(chunks),
    )


def _joined_users(chunks: Sequence[NDArray]) -> NDArray:
    """Join chunks of ids, of which some may be None."""
    known = [present(chunk) for chunk in chunks]
    ids = joined_ids([chunk[rows] for chunk, rows in zip(chunks, known, strict=True)])
    rows = _concatenated(known, np.bool_)
    if rows.all():
        return ids
    users = np.full(len(rows), None, object)
    users[rows] = ids
    return users


def _joined_quantities(chunks: Sequence[Interactions]) -> NDArray[np.float64] | None:
    if all(chunk.quantities is None for chunk in chunks):
        return None
    known = [np.full(len(chunk), np.nan) if chunk.quantities is None else chunk.quantities for chunk in chunks]
    return np.concatenate(known)


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
    if ("quantity" in names) != has_quantities(source.one_user):
        raise SettingsError("Both texts of a source should return a quantity written as `AS quantity`, or neither.")
    return names


def since_of(db: Database, source: Source, shop: Shop, since: int | None) -> int | str:
    """Return `:since` in the form of the source's timestamp column."""
    table = derived_table(source.since, "s")
    sql = f"SELECT s.timestamp FROM {table} WHERE s.timestamp IS NOT NULL LIMIT 1"  # noqa: S608 - the shop's own text
    with closing(db.stream(sql, {"since": db.syntax.any_time})) as stream:
        first = next(stream, None) if db.syntax.any_time is not None else None
    is_number = bool(stream.numeric) or (first is not None and isinstance(first[0][0], int | float))
    if since is None:  # a text that was found by a number lies behind all numbers: that also finds stray numbers
        return _EVER if is_number or first else _EVER_TEXT
    if is_number:
        return since
    moment = datetime.fromtimestamp(since - SINCE_MARGIN_S, UTC).astimezone(zone(shop.stored_time_zone))
    return moment.replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")
