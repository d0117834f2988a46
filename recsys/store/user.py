"""Reads one user's index, newest events and purchases, each in one statement of a request."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.data.cleaning import valid_history
from recsys.data.ids import canonical_integers
from recsys.data.interactions import Interactions
from recsys.data.purchases import bought_rows, purchase_names, window_start
from recsys.errors import SettingsError
from recsys.errors.records import Record
from recsys.settings import Shop, Source, TableSource, TrackedSource
from recsys.store.columns import (
    UNREADABLE,
    event_codes,
    id_array,
    is_key,
    kept_rows,
    known_events,
    present,
    quantity_array,
    ranks,
    sorted_names,
    unreadable,
)
from recsys.store.database import Database, UnusableValue
from recsys.store.drivers.base import Syntax
from recsys.store.encoders import FIND_USER, find_user
from recsys.store.events import since_of
from recsys.store.migrations import columns
from recsys.store.moments import epoch_seconds
from recsys.store.native_ids import as_bytes, holds_bytes, may_be_bytes
from recsys.store.shop_mapping import derived_table, has_quantities, has_ratings, source_sql

_USER_ID = re.compile(r"(?<!\w\():user_id\b")  # a function's argument, as of UUID_TO_BIN(:user_id), stays text
ALL = 2**31 - 2  # more events than any user has
USER = -1  # in place of a source's number, in the row that holds the user's index


class UserEvents(Record):
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
        quantities: `(n,)` float64, the number of pieces; NaN where it is not known. None where no source tells any.
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
    quantities: NDArray[np.float64] | None = None

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
        index = find_user(db, version_name, user_id)[1]
        return _as_user_events([], shop, limit, item_kind, index, refused=False)
    shop, user = _with_native_user(db, shop, user_id)
    params = {**user, "version": version_name, "limit": limit + 1, "events": sorted(known_events(shop))}
    shop, rows = _with_or_without_tracking(
        db, shop, lambda shop: _query_user(db, _user_and_events(shop.sources, db.syntax), user_id, params)
    )
    indices = [index for source, _, index, *_ in rows or () if source == USER]
    events = [row for row in rows or () if row[0] != USER]
    # Raises ModelMismatch if the version is missing.
    index = indices[0] if indices else find_user(db, version_name, user_id)[1]
    return _as_user_events(events, shop, limit, item_kind, index, refused=rows is None and index is not None)


def bought_items(
    db: Database, shop: Shop, user_id: int | str, now: int, *, item_kind: str | None = None
) -> list[int | str]:
    """Return the ids of the items that the repeat rule hides from a user, in one statement over all their purchases.

    Args:
        db: The shop's database.
        shop: The mapping with the version's event names and rules.
        user_id: The user's id, in the shop's type.
        now: Seconds since 1970.
        item_kind: `int` or `str`, the type of the shop's item ids; None gives int if all ids are whole numbers.
    """
    purchases = purchase_names(shop)
    if not purchases or window_start(now, shop.repeat_after_days) > now:
        return []
    with_ratings = any(name.startswith("star") for name in (*purchases, *shop.cancel_events))
    decisive = replace(
        shop,
        sources=tuple(s for s in shop.sources if with_ratings or not has_ratings(source_sql(s).one_user)),
        event_weights={name: shop.event_weights[name] for name in purchases},
        uncart_events=(),
    )
    events = interactions_of(newest_events(db, decisive, user_id, ALL, item_kind=item_kind))
    valid = valid_history(events, shop=decisive, now=now)[0]
    return list(dict.fromkeys(valid.items[bought_rows(valid, decisive, now)].tolist()))


def interactions_of(events: UserEvents) -> Interactions:
    """Return the events of one user, who has the number 0."""
    return Interactions(
        users=np.zeros(len(events), np.int64),
        items=events.items,
        events=events.events,
        timestamps=events.timestamps,
        row_ids=events.row_ids,
        event_names=events.event_names,
        quantities=events.quantities,
    )


def newest_events(
    db: Database, shop: Shop, user_id: int | str, limit: int, *, item_kind: str | None = None
) -> UserEvents:
    """Read a user's newest events of all sources, without any version, so that `idx` is -1 throughout.

    Of an id that the shop's own tables cannot hold, such as a visitor's text where users are numbers, recsys' own
    table of recorded events is read alone.

    Args:
        db: The shop's database.
        shop: The mapping.
        user_id: The user's id.
        limit: Most events to return.
        item_kind: `int` or `str`, the type of the shop's item ids; None gives int if all ids are whole numbers.
    """
    shop, user = _with_native_user(db, shop, user_id)
    params = {**user, "limit": limit + 1, "events": sorted(known_events(shop))}

    def query(shop: Shop) -> list[tuple[Any, ...]] | None:
        newest = " UNION ALL ".join(_newest(source_sql(source), k, db.syntax) for k, source in enumerate(shop.sources))
        return _query_user(db, newest, user_id, params) if newest else []

    read_from, rows = _with_or_without_tracking(db, shop, query)
    if rows is None:
        alone = tuple(source for source in shop.sources if isinstance(source, TrackedSource))
        read_from, rows = _with_or_without_tracking(db, replace(shop, sources=alone), query)
    events = [(source, item, None, *others) for source, item, *others in rows or ()]
    return _as_user_events(events, read_from, limit, item_kind, None, refused=rows is None)


def _with_or_without_tracking(
    db: Database, shop: Shop, query: Callable[[Shop], list[tuple[Any, ...]] | None]
) -> tuple[Shop, list[tuple[Any, ...]] | None]:
    """Return a query's rows and the mapping that it could read: where our table is missing, that without it."""
    try:
        return shop, query(shop)
    except SettingsError:
        without = tuple(source for source in shop.sources if not isinstance(source, TrackedSource))
        if without == shop.sources or columns(db, TrackedSource.table):
            raise
    shop = replace(shop, sources=without)
    return shop, query(shop) if without else []


def _with_native_user(db: Database, shop: Shop, user_id: int | str) -> tuple[Shop, dict[str, Any]]:
    """Return a mapping whose texts find a user by bytes where a source holds bytes, and the values to bind.

    Args:
        db: The shop's database.
        shop: The mapping.
        user_id: The user's id, in the shop's type.
    """
    params: dict[str, Any] = {"user_id": user_id}
    if not may_be_bytes(db, user_id):
        return shop, params
    sources: list[Source | TableSource] = []
    for mapped in shop.sources:
        source = source_sql(mapped)
        is_own = isinstance(mapped, TrackedSource)
        since = partial(since_of, db, source, shop, None)
        if not is_own and holds_bytes(db, source.since, "user_id", since):
            params["user_bytes"] = as_bytes(user_id)
            sources.append(Source(source.since, _USER_ID.sub(":user_bytes", source.one_user)))
        else:
            sources.append(mapped)
    return replace(shop, sources=tuple(sources)), params


@lru_cache(maxsize=16)
def _user_and_events(sources: tuple[Source | TableSource, ...], syntax: Syntax) -> str:
    """Return the text for the newest events of `:user_id`, and for a row of the source `USER` with the user's index."""
    newest = " UNION ALL ".join(_newest(source_sql(source), number, syntax) for number, source in enumerate(sources))
    return (
        f"SELECT s.source, s.item, r.idx, s.event, s.moment, s.row_id, s.quantity FROM ({newest}) s "  # noqa: S608 - the shop's own texts
        "LEFT JOIN rec_item_encoder r "
        "ON r.version = (SELECT id FROM rec_versions WHERE name = :version AND complete = 1) "
        f"AND r.original_id = s.item UNION ALL SELECT {USER}, NULL, u.idx, NULL, NULL, NULL, NULL FROM ({FIND_USER}) u"
    )


def _newest(source: Source, number: int, syntax: Syntax) -> str:
    """Return the text for one source's newest events of `:user_id`; all columns are text, as sources may differ."""
    item, moment, row_id = syntax.id.format("e.item_id"), *map(syntax.text.format, ("e.timestamp", "e.row_id"))
    event = syntax.text.format("e.rating" if has_ratings(source.one_user) else "e.event")
    known_event = "" if has_ratings(source.one_user) else f" AND {event} IN (:events)"
    quantity = syntax.text.format("e.quantity" if has_quantities(source.one_user) else "NULL")
    return (
        f"SELECT * FROM (SELECT {number} AS source, {item} AS item, {event} AS event, "  # noqa: S608 - the shop's own text
        f"{moment} AS moment, {row_id} AS row_id, {quantity} AS quantity "
        f"FROM {_of_user(source, syntax)} AND e.item_id IS NOT NULL AND e.timestamp IS NOT NULL{known_event} "
        f"ORDER BY e.timestamp DESC, e.row_id DESC LIMIT :limit) s{number}"
    )


def _of_user(source: Source, syntax: Syntax) -> str:
    """Return a FROM clause for the rows of `:user_id`, without those of ids that only the collation equates, as 'A'."""
    return f"{derived_table(source.one_user, 'e')} WHERE {syntax.id_key('e.user_id')} = :user_key"


def _query_user(db: Database, sql: str, user_id: int | str, params: Mapping[str, Any]) -> list[tuple[Any, ...]] | None:
    """Return a statement's rows; None if it cannot use the user's id or a value in the user's rows."""
    user_key = str(user_id)
    if not is_key(user_key):
        return None
    try:
        return db.query(sql, {**params, "user_key": db.key(user_key)})
    except UnusableValue:  # such as text in a column of UUIDs
        return None


def _as_user_events(
    rows: Sequence[tuple[Any, ...]], shop: Shop, limit: int, item_kind: str | None, user: int | None, *, refused: bool
) -> UserEvents:
    rows = rows[::-1]  # from newest first to oldest first; equal timestamps keep the table's order
    sources, items, idx, events, moments, row_ids, pieces = zip(*rows, strict=True) if rows else ((),) * 7
    ids, fitting = typed_ids(items, item_kind)
    seconds, legible = epoch_seconds(moments, shop.stored_time_zone)
    names, codes = codes_of_events(sources, events, shop)
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
        truncated=len(seconds) > limit,
        user=None if user is None else int(user),
        unread={name: dropped[name] for name in ("item_id", "rating", "timestamp") if dropped[name]},
        refused=refused,
        quantities=quantities_of(pieces, shop, newest),
    )


def quantities_of(pieces: Sequence[Any], shop: Shop, rows: NDArray[np.int64]) -> NDArray[np.float64] | None:
    """Return the quantities of rows, `(n,)` float64; None if no source of the shop tells any."""
    if any(has_quantities(source_sql(source).one_user) for source in shop.sources):
        return quantity_array(pieces)[rows]
    return None


def codes_of_events(
    sources: Sequence[int], events: Sequence[Any], shop: Shop
) -> tuple[dict[str, int], NDArray[np.int16]]:
    """Return the positions by event name, and each row's position, negative where the event is unknown or unreadable.

    Args:
        sources: `(n,)` positions in the shop's sources.
        events: `(n,)` event names or ratings, as the driver returned them.
        shop: The mapping.
    """
    names: dict[str, int] = {}
    codes = np.full(len(events), -1, np.int16)
    origins = np.array(sources, np.int64)
    for number in sorted(set(sources)):
        rows = np.flatnonzero(origins == number)
        rated = has_ratings(source_sql(shop.sources[int(number)]).one_user)
        codes[rows] = event_codes([events[row] for row in rows.tolist()], names, known_events(shop), rating=rated)
    return names, codes


def typed_ids(items: Sequence[str | bytes | None], kind: str | None) -> tuple[NDArray, NDArray[np.bool_]]:
    """Convert ids from text to the shop's type.

    Returns:
        `(n,)` int64, or object holding str, and `(n,)` bool, the ids that have that type.
    """
    places = {item: place for place, item in enumerate(dict.fromkeys(items))}  # an id is converted once
    texts = id_array(list(places), {})
    fitting = present(texts)
    which = np.fromiter(map(places.__getitem__, items), np.intp, len(items))
    if kind != "str":
        numbers = canonical_integers(texts.tolist())
        whole = np.array([number is not None for number in numbers], np.bool_)
        if kind == "int" or (whole | ~fitting).all():
            return np.array([number or 0 for number in numbers], np.int64)[which], whole[which]
    return texts[which], fitting[which]
