"""Reads one user's index, newest events and purchases, each in one statement of a request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.data.ids import canonical_integers
from recsys.settings import Shop, Source, TableSource
from recsys.store.columns import (
    UNREADABLE,
    IdReader,
    epoch_seconds,
    event_codes,
    id_array,
    is_key,
    present,
    ranks,
    sorted_names,
    unreadable,
)
from recsys.store.database import Database, UnusableValue
from recsys.store.dialects import as_key, as_text
from recsys.store.encoders import FIND_USER, find_user, stored_key
from recsys.store.reading import kept_rows
from recsys.store.shop_mapping import derived_table, has_ratings, known_events, source_sql

USER = -1  # in place of a source's number, in the row that holds the user's index


@dataclass(frozen=True)
class UserEvents:
    """The newest events of one user, oldest first, with aligned arrays.

    Attributes:
        items: `(n,)` the shop's ids (int64, or object holding str).
        idx: `(n,)` int32, each item's index in the version; -1 for an item that the version does not know.
        events: `(n,)` int16, positions in `event_names`.
        timestamps: `(n,)` int64, seconds since 1970 in UTC.
        row_ids: `(n,)` int64, the order among equal timestamps.
        event_names: The names that `events` points into.
        truncated: Whether the user has more events than the limit.
        user: The user's index in the version; None for a user that the version does not know.
        unread: Number of rows dropped for an unreadable value, by the name of its column.
        refused: Whether the statement failed on a value in the user's rows, so that none could be read.
    """

    items: NDArray
    idx: NDArray[np.int32]
    events: NDArray[np.int16]
    timestamps: NDArray[np.int64]
    row_ids: NDArray[np.int64]
    event_names: tuple[str, ...]
    truncated: bool = False
    user: int | None = None
    unread: Mapping[str, int] = field(default_factory=dict)
    refused: bool = False

    def __len__(self) -> int:
        return len(self.items)


def user_events(
    db: Database, shop: Shop, version_name: str, user_id: int | str, limit: int, *, item_kind: str | None = None
) -> UserEvents:
    """Read a user's index and newest events, in one statement over the version's encoders and all sources.

    Args:
        db: The shop's database.
        shop: The mapping.
        version_name: The version whose indices to return.
        user_id: The user's id, in the shop's type.
        limit: Most events to return.
        item_kind: `int` or `str`, the type of the shop's item ids; None gives int if all ids are whole numbers.

    Raises:
        ModelMismatch: The database has no complete version of that name.
    """
    if not shop.sources or limit < 1 or not is_key(str(user_id)):
        return _as_user_events([], shop, limit, item_kind, find_user(db, version_name, user_id)[1])
    sql = _user_and_events(shop.sources, db.dialect)
    params = {"version": version_name, "limit": limit + 1, "events": sorted(known_events(shop))}
    rows = _query_user(db, sql, user_id, params)
    indices = [index for source, _, index, *_ in rows or () if source == USER]
    events = [row for row in rows or () if row[0] != USER]
    index = (
        indices[0] if indices else find_user(db, version_name, user_id)[1]
    )  # raises ModelMismatch if the version is missing
    return replace(_as_user_events(events, shop, limit, item_kind, index), refused=rows is None and index is not None)


def purchased_items(
    db: Database, shop: Shop, user_id: int | str, *, since: int | None = None, item_kind: str | None = None
) -> list[int | str]:
    """Return the ids of all items that a user has purchased, in one statement; cancelled purchases are included.

    Args:
        db: The shop's database.
        shop: The mapping.
        user_id: The user's id, in the shop's type.
        since: Only purchases at or after this second since 1970 in UTC; None for all.
        item_kind: `int` or `str`, the type of the shop's item ids; None gives int if all ids are whole numbers.
    """
    sources = [source for source in map(source_sql, shop.sources) if not has_ratings(source.one_user)]
    sql = " UNION ALL ".join(_purchases(source, db.dialect) for source in sources)
    rows = _query_user(db, sql, user_id, {"events": sorted(shop.purchase_events)}) if sql else []
    seconds, legible = epoch_seconds([moment for _, moment in rows or ()], shop.stored_time_zone)
    if since is not None:
        legible &= seconds >= since
    ids, fitting = _typed([item for item, _ in rows or ()], item_kind)
    return list(dict.fromkeys(ids[fitting & legible].tolist()))


@lru_cache(maxsize=16)
def _user_and_events(sources: tuple[Source | TableSource, ...], dialect: str) -> str:
    """Return the text for the newest events of `:user_id`, and for a row of the source `USER` with the user's index."""
    newest = " UNION ALL ".join(_newest(source_sql(source), number, dialect) for number, source in enumerate(sources))
    return (
        f"SELECT s.source, s.item, r.idx, s.event, s.moment, s.row_id FROM ({newest}) s "  # noqa: S608 - the shop's own texts
        "LEFT JOIN rec_item_encoder r "
        "ON r.version = (SELECT id FROM rec_versions WHERE name = :version AND complete = 1) "
        f"AND r.original_id = s.item UNION ALL SELECT {USER}, NULL, u.idx, NULL, NULL, NULL FROM ({FIND_USER}) u"
    )


def _newest(source: Source, number: int, dialect: str) -> str:
    """Return the text for one source's newest events of `:user_id`; all columns are text, as sources may differ."""
    item, moment, row_id = (as_text(f"e.{name}", dialect) for name in ("item_id", "timestamp", "row_id"))
    event = as_text("e.rating" if has_ratings(source.one_user) else "e.event", dialect)
    known_event = "" if has_ratings(source.one_user) else f" AND {event} IN (:events)"
    return (
        f"SELECT * FROM (SELECT {number} AS source, {item} AS item, {event} AS event, "  # noqa: S608 - the shop's own text
        f"{moment} AS moment, {row_id} AS row_id "
        f"FROM {_of_user(source, dialect)} AND e.item_id IS NOT NULL AND e.timestamp IS NOT NULL{known_event} "
        f"ORDER BY e.timestamp DESC, e.row_id DESC LIMIT :limit) s{number}"
    )


def _purchases(source: Source, dialect: str) -> str:
    item, event, moment = as_key("e.item_id", dialect), as_text("e.event", dialect), as_text("e.timestamp", dialect)
    return (
        f"SELECT DISTINCT {item} AS item, {moment} AS moment FROM {_of_user(source, dialect)} "  # noqa: S608 - the shop's own text
        f"AND e.item_id IS NOT NULL AND {event} IN (:events)"
    )


def _of_user(source: Source, dialect: str) -> str:
    """Return a FROM clause for the rows of `:user_id`, without those of ids that only the collation equates, as 'A'."""
    return f"{derived_table(source.one_user, 'e')} WHERE {as_key('e.user_id', dialect)} = :user_key"


def _query_user(db: Database, sql: str, user_id: int | str, params: Mapping[str, Any]) -> list[tuple[Any, ...]] | None:
    """Return a statement's rows; None if it cannot use the user's id or a value in the user's rows."""
    user_key = str(user_id)
    if not is_key(user_key):
        return None
    try:
        return db.query(sql, {**params, "user_id": user_id, "user_key": stored_key(db, user_key)})
    except UnusableValue:  # such as text in a column of UUIDs
        return None


def _as_user_events(
    rows: Sequence[tuple[Any, ...]], shop: Shop, limit: int, item_kind: str | None, user: int | None
) -> UserEvents:
    rows = rows[::-1]  # from newest first to oldest first; equal timestamps keep the table's order
    sources, items, idx, events, moments, row_ids = zip(*rows, strict=True) if rows else ((),) * 6
    ids, fitting = _typed(items, item_kind)
    seconds, legible = epoch_seconds(moments, shop.stored_time_zone)
    names, codes = _event_codes(sources, events, shop)
    places = ranks(row_ids)
    dropped: Counter[str] = Counter()
    keep = kept_rows(
        {
            "item_id": ~unreadable(items, fitting, blank_is_nothing=True),
            "null": fitting,
            "rating": codes != UNREADABLE,
            "timestamp": legible,
            "unknown": codes >= 0,
        },
        dropped,
    )
    order = np.lexsort((places, seconds))
    order = order[keep[order]]
    newest = order[max(0, len(order) - limit) :]
    event_names, event_positions = sorted_names(names, codes[newest])
    return UserEvents(
        items=ids[newest],
        idx=np.array([-1 if index is None else index for index in idx], np.int32)[newest],
        events=event_positions,
        timestamps=seconds[newest],
        row_ids=places[newest],
        event_names=event_names,
        truncated=len(order) > limit,
        user=None if user is None else int(user),
        unread={name: dropped[name] for name in ("item_id", "rating", "timestamp") if dropped[name]},
    )


def _event_codes(sources: Sequence[int], events: Sequence[Any], shop: Shop) -> tuple[dict[str, int], NDArray[np.int16]]:
    names: dict[str, int] = {}
    codes = np.full(len(events), -1, np.int16)
    origins = np.array(sources, np.int64)
    for number in sorted(set(sources)):
        rows = np.flatnonzero(origins == number)
        rated = has_ratings(source_sql(shop.sources[int(number)]).one_user)
        codes[rows] = event_codes([events[row] for row in rows.tolist()], names, known_events(shop), rating=rated)
    return names, codes


def _typed(items: Sequence[str | bytes | None], kind: str | None) -> tuple[NDArray, NDArray[np.bool_]]:
    """Convert ids from text to the shop's type.

    Returns:
        `(n,)` int64, or object holding str, and `(n,)` bool, the ids that have that type.
    """
    texts = id_array(items, IdReader())
    fitting = present(texts)
    if kind != "str":
        numbers = canonical_integers(texts.tolist())
        whole = np.array([number is not None for number in numbers], np.bool_)
        if kind == "int" or (whole | ~fitting).all():
            return np.array([number or 0 for number in numbers], np.int64), whole
    return texts, fitting
