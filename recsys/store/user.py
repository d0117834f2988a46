"""Who a user is and what she did: two statements that a request can afford."""

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

USER = -1  # in the place of a source's number


@dataclass(frozen=True)
class UserEvents:
    """The newest events of one user, oldest first, one per position of every array.

    Attributes:
        items: `(n,)` external ids (int64, or object holding str).
        idx: `(n,)` int32, the item's index in the asked version; -1 where that version doesn't know it.
        events: `(n,)` int16, positions in `event_names`.
        timestamps: `(n,)` int64, seconds since 1970 in UTC.
        row_ids: `(n,)` int64, the shop's own order among equal timestamps.
        event_names: The names that `events` points into.
        truncated: Whether the user has more events than were asked for.
        user: The user's own index in the asked version; None where that version doesn't know her.
        unread: How many rows were left out because a column of theirs cannot be read, by the column's name.
        refused: Whether the database cannot work out the user's rows at all, because of what stands in them.
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
    """Read a user's index and her newest events, in one statement over the version's encoders and all sources.

    Args:
        db: The shop's database.
        shop: The mapping.
        version_name: Whose indices to return.
        user_id: The user, in the shop's type.
        limit: How many events at most.
        item_kind: `int` or `str`, the type of the shop's item ids; without it, int where all of them look so.

    Raises:
        ModelMismatch: The database has no complete version of that name.
    """
    if not shop.sources or limit < 1 or not is_key(str(user_id)):
        return _as_user_events([], shop, limit, item_kind, find_user(db, version_name, user_id)[1])
    sql = _user_and_events(shop.sources, db.dialect)
    rows = _ask_of_user(
        db, sql, user_id, {"version": version_name, "limit": limit + 1, "events": sorted(known_events(shop))}
    )
    indices = [index for source, _, index, *_ in rows or () if source == USER]
    events = [row for row in rows or () if row[0] != USER]
    index = indices[0] if indices else find_user(db, version_name, user_id)[1]  # which says what is wrong
    return replace(_as_user_events(events, shop, limit, item_kind, index), refused=rows is None and index is not None)


def purchased_items(
    db: Database, shop: Shop, user_id: int | str, *, since: int | None = None, item_kind: str | None = None
) -> list[int | str]:
    """Return every item the user has bought, in one statement; cancelled purchases included.

    Args:
        db: The shop's database.
        shop: The mapping.
        user_id: The user, in the shop's type.
        since: Only items last bought at or after this second since 1970 in UTC.
        item_kind: `int` or `str`, the type of the shop's item ids; without it, int where all of them look so.
    """
    sources = [source for source in map(source_sql, shop.sources) if not has_ratings(source.one_user)]
    sql = " UNION ALL ".join(_bought(source, db.dialect) for source in sources)
    rows = _ask_of_user(db, sql, user_id, {"events": sorted(shop.purchase_events)}) if sql else []
    seconds, legible = epoch_seconds([moment for _, moment in rows or ()], shop.stored_time_zone)
    if since is not None:
        legible &= seconds >= since
    ids, fitting = _typed([item for item, _ in rows or ()], item_kind)
    return list(dict.fromkeys(ids[fitting & legible].tolist()))


@lru_cache(maxsize=16)
def _user_and_events(sources: tuple[Source | TableSource, ...], dialect: str) -> str:
    """Return the text for the newest events of `:user_id`; one row more is of the source `USER` and has her own index."""
    newest = " UNION ALL ".join(_newest(source_sql(source), number, dialect) for number, source in enumerate(sources))
    return (
        f"SELECT s.source, s.item, r.idx, s.event, s.moment, s.row_id FROM ({newest}) s "  # noqa: S608 - the shop's own texts
        "LEFT JOIN rec_item_encoder r ON r.version = (SELECT id FROM rec_versions WHERE name = :version AND complete = 1) "
        f"AND r.original_id = s.item UNION ALL SELECT {USER}, NULL, u.idx, NULL, NULL, NULL FROM ({FIND_USER}) u"
    )


def _newest(source: Source, number: int, dialect: str) -> str:
    """Return the text for one source's newest events of `:user_id`, everything as text so that sources may differ."""
    item, moment, row_id = (as_text(f"e.{name}", dialect) for name in ("item_id", "timestamp", "row_id"))
    event = as_text("e.rating" if has_ratings(source.one_user) else "e.event", dialect)
    wanted = "" if has_ratings(source.one_user) else f" AND {event} IN (:events)"
    return (
        f"SELECT * FROM (SELECT {number} AS source, {item} AS item, {event} AS event, {moment} AS moment, {row_id} AS row_id "  # noqa: S608
        f"FROM {_of_user(source, dialect)} AND e.item_id IS NOT NULL AND e.timestamp IS NOT NULL{wanted} "
        f"ORDER BY e.timestamp DESC, e.row_id DESC LIMIT :limit) s{number}"
    )


def _bought(source: Source, dialect: str) -> str:
    item, event, moment = as_key("e.item_id", dialect), as_text("e.event", dialect), as_text("e.timestamp", dialect)
    return (
        f"SELECT DISTINCT {item} AS item, {moment} AS moment FROM {_of_user(source, dialect)} "  # noqa: S608 - the shop's own text
        f"AND e.item_id IS NOT NULL AND {event} IN (:events)"
    )


def _of_user(source: Source, dialect: str) -> str:
    """Return the source's rows of `:user_id`, and of nobody whom the database's collation takes for the same ('a' and 'A')."""
    return f"{derived_table(source.one_user, 'e')} WHERE {as_key('e.user_id', dialect)} = :user_key"


def _ask_of_user(db: Database, sql: str, user_id: int | str, params: Mapping[str, Any]) -> list[tuple[Any, ...]] | None:
    """Return the rows, or None where the id or what stands in the rows cannot be what the statement makes of it."""
    user_key = str(user_id)
    if not is_key(user_key):
        return None
    try:
        return db.query(sql, {**params, "user_id": user_id, "user_key": stored_key(db, user_key)})
    except UnusableValue:  # such as a text that is no UUID, in a column of UUIDs: nobody has that id
        return None


def _as_user_events(
    rows: Sequence[tuple[Any, ...]], shop: Shop, limit: int, item_kind: str | None, user: int | None
) -> UserEvents:
    rows = rows[::-1]  # newest came first; equal ones keep the table's order
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
    """Return ids that came as text in the shop's type, and which of them can be of that type."""
    texts = id_array(items, IdReader())
    fitting = present(texts)
    if kind != "str":
        numbers = canonical_integers(texts.tolist())
        whole = np.array([number is not None for number in numbers], np.bool_)
        if kind == "int" or (whole | ~fitting).all():
            return np.array([number or 0 for number in numbers], np.int64), whole
    return texts, fitting
