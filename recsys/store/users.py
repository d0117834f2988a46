"""Reads many users at once, for lists of everybody: who has events, and the newest events of a chunk of users."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from recsys.data.ids import canonical
from recsys.errors.records import Record
from recsys.settings import Shop, Source
from recsys.store.columns import kept_rows, known_events, ranks, read_id, sorted_names
from recsys.store.database import Database, UnusableValue
from recsys.store.drivers.base import Rows
from recsys.store.events import since_of
from recsys.store.moments import epoch_seconds
from recsys.store.native_ids import native_ids
from recsys.store.shop_mapping import derived_table, has_quantities, has_ratings, source_sql
from recsys.store.user import codes_of_events, quantities_of, typed_ids

IDS_A_STATEMENT = 5_000  # far below every database's limit of placeholders


class EventsOfUsers(Record):
    """The events of several users, user by user, each user's oldest first, with aligned arrays.

    Attributes:
        users: `(n,)` int64, positions in the requested ids, ascending.
        items: `(n,)` the shop's ids (int64, or object holding str).
        events: `(n,)` int16, positions in `event_names`.
        timestamps: `(n,)` int64, seconds since 1970 in UTC.
        row_ids: `(n,)` int64, the order among equal timestamps.
        event_names: The names that `events` points into.
        quantities: `(n,)` float64, the number of pieces; NaN where it is not known. None where no source tells any.
        unread: Positions of the users without events here: a value in their rows failed the statement, or they have
            more rows than the limit. They have to be read one by one.
    """

    users: NDArray[np.int64]
    items: NDArray
    events: NDArray[np.int16]
    timestamps: NDArray[np.int64]
    row_ids: NDArray[np.int64]
    event_names: tuple[str, ...]
    quantities: NDArray[np.float64] | None
    unread: frozenset[int]


def count_events(
    db: Database, shop: Shop, user_kind: str, among: Sequence[int | str] | None = None
) -> dict[int | str, int]:
    """Return the number of each user's rows in all sources; users without rows are absent.

    Rows that `events_of_users` leaves out count, too. Values that are no ids of the shop's kind are left out.

    Args:
        db: The shop's database.
        shop: The mapping.
        user_kind: `int` or `str`, the type of the shop's user ids.
        among: The only users to count; None counts everybody with a row, in one statement for each source.
    """
    counts: Counter[int | str] = Counter()
    chunks: list[Sequence[int | str] | None] = [None] if among is None else list(chunked(among, IDS_A_STATEMENT))
    condition = "" if among is None else "AND e.user_id IN (:user_ids) "
    key = db.syntax.id_key("e.user_id") if user_kind == "str" else "e.user_id"  # not by the collation of texts
    for source in map(source_sql, shop.sources):
        sql = (
            f"SELECT {key}, COUNT(*) FROM {derived_table(source.since, 'e')} "  # noqa: S608 - the shop's own text
            f"WHERE e.user_id IS NOT NULL {condition}GROUP BY {key}"
        )
        params = {"since": since_of(db, source, shop, None)}
        for chunk in chunks:
            ids = chunk and native_ids(db, chunk, source.since, "user_id", partial(since_of, db, source, shop, None))
            for rows in db.stream(sql, {**params, "user_ids": ids}):
                for raw, n_rows in rows:
                    if (user := canonical(read_id(raw), user_kind)) is not None:
                        counts[user] += int(n_rows)
    return dict(counts)


def events_of_users(
    db: Database, shop: Shop, user_ids: Sequence[int | str], limit: int, *, item_kind: str
) -> EventsOfUsers:
    """Read the events of a chunk of users, in one statement for each source.

    They are those that `recsys.store.user.user_events` reads of one user. If a value fails the statement, the chunk is
    halved until the user with that value is alone.

    Args:
        db: The shop's database.
        shop: The mapping.
        user_ids: Distinct ids in the shop's type, at most some thousands.
        limit: A user with more rows than this is `unread`.
        item_kind: `int` or `str`, the type of the shop's item ids.
    """
    rows: list[tuple[Any, ...]] = []
    unread: set[int | str] = set()
    for number, source in enumerate(map(source_sql, shop.sources)):
        params = {"since": since_of(db, source, shop, None), "events": sorted(known_events(shop))}
        native = native_ids(db, user_ids, source.since, "user_id", partial(since_of, db, source, shop, None))
        rows += _read(db, _newest(source, number, db), native, params, unread)
    positions = {str(user): position for position, user in enumerate(user_ids)}
    sources, users, items, events, moments, row_ids, pieces = zip(*rows, strict=True) if rows else ((),) * 7
    owners = np.array([positions.get(user, -1) for user in users], np.int64)  # -1: equal by its collation alone, as 'A'
    n_rows = np.bincount(owners[owners >= 0], minlength=len(user_ids))
    left_out = np.array([*(n_rows > limit), True])
    left_out[[positions[str(read_id(user))] for user in unread]] = True
    ids, fitting = typed_ids(items, item_kind)
    seconds, legible = epoch_seconds(moments, shop.stored_time_zone)
    names, codes = codes_of_events(sources, events, shop)
    places = ranks(row_ids)
    keep = kept_rows({"user": ~left_out[owners], "item": fitting, "event": codes >= 0, "time": legible}, Counter())
    # of equal moments and row ids, those of a later source come first, as for one user
    order = np.lexsort((-np.array(sources, np.int64), places, seconds, owners))
    order = order[keep[order]]
    event_names, event_positions = sorted_names(names, codes[order])
    return EventsOfUsers(
        users=owners[order],
        items=ids[order],
        events=event_positions,
        timestamps=seconds[order],
        row_ids=places[order],
        event_names=event_names,
        quantities=quantities_of(pieces, shop, order),
        unread=frozenset(np.flatnonzero(left_out[:-1]).tolist()),
    )


def chunked(values: Sequence[int | str], size: int) -> Iterator[Sequence[int | str]]:
    """Yield consecutive parts of at most so many values."""
    for first in range(0, len(values), size):
        yield values[first : first + size]


def _newest(source: Source, number: int, db: Database) -> str:
    """Return the text for one source's events of `:user_ids`; all columns but the first are text, as for one user.

    Where the database packs rows, it returns one row for each user, with the columns of their events in it.
    """
    text, is_rated = db.syntax.text, has_ratings(source.since)
    event = text.format("e.rating" if is_rated else "e.event")
    user, item = map(db.syntax.id.format, ("e.user_id", "e.item_id"))
    moment, row_id = map(text.format, ("e.timestamp", "e.row_id"))
    quantity = text.format("e.quantity" if has_quantities(source.since) else "NULL")
    known_event = "" if is_rated else f" AND {event} IN (:events)"
    columns, group = f"{number}, {user}, {item}, {event}, {moment}, {row_id}, {quantity}", ""
    if db.syntax.packed:
        columns, group = db.syntax.packed.format(columns), " GROUP BY e.user_id"
    return (
        f"SELECT {columns} FROM {derived_table(source.since, 'e')} WHERE e.user_id IN (:user_ids) "  # noqa: S608 - the shop's own text
        f"AND e.item_id IS NOT NULL AND e.timestamp IS NOT NULL{known_event}{group}"
    )


def _read(
    db: Database, sql: str, user_ids: Sequence[int | str], params: dict[str, Any], unread: set[int | str]
) -> Rows:
    """Return the rows of users; those of a user for whom the statement fails alone are left out, and noted."""
    try:
        rows = db.query(sql, {**params, "user_ids": list(user_ids)})
        return _unpacked(rows) if db.syntax.packed else rows
    except UnusableValue:
        if len(user_ids) == 1:
            unread.update(user_ids)
            return []
        half = len(user_ids) // 2
        first = _read(db, sql, user_ids[:half], params, unread)
        return first + _read(db, sql, user_ids[half:], params, unread)


def _unpacked(rows: Rows) -> Rows:
    """Return the rows that a database packed into one JSON text for each user.

    Raises:
        UnusableValue: A text is none of JSON: the server has cut it off, or a value is no UTF-8.
    """
    try:
        return [tuple(row) for (packed,) in rows for row in orjson.loads(packed)]
    except (TypeError, ValueError) as error:
        raise UnusableValue(f"Packed rows should be JSON. Received: {error}.") from error
