"""Counts events by item, over all sources at once: what the shop's rankings are made of."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from recsys.data.cleaning import CLOCK_SKEW_S
from recsys.data.ids import canonical
from recsys.settings import Shop, Source
from recsys.store.binding import plain
from recsys.store.columns import text
from recsys.store.database import Database
from recsys.store.drivers.base import Syntax
from recsys.store.events import readable_sources, since_of
from recsys.store.moments import zone
from recsys.store.products import item_kind
from recsys.store.shop_mapping import derived_table, has_ratings, source_sql

ItemCounts = dict[tuple[int | str, str], int]


def count_items(db: Database, shop: Shop, events: Sequence[str], *, since: int, until: int) -> ItemCounts:
    """Return how many events of each name each item has; one statement for each source.

    Args:
        db: The shop's database.
        shop: The mapping; where our table of recorded events is missing, it is left out.
        events: The names of events; ratings are `star1` … `star5`.
        since: From this second since 1970 on.
        until: Up to this second, and a day more, by which the shop's clocks may run ahead.

    Returns:
        Counts by item, in the type of the products' ids, and event. Items that cannot have that type are left out.
    """
    kind = item_kind(db, shop)
    counts: ItemCounts = {}
    for mapped in readable_sources(db, shop) if events else ():
        source = source_sql(mapped)
        lower = since_of(db, source, shop, since)
        clock = zone("UTC" if isinstance(lower, int) else shop.stored_time_zone)
        bounds = {"lower": _clock_time(since, clock), "upper": _clock_time(until + CLOCK_SKEW_S, clock)}
        params = {"since": lower, "events": list(events), **bounds}
        for raw_item, event, count in db.query(_count_sql(source, db.syntax), params):
            written = text(raw_item)
            item = written if kind is None or written is None else canonical(written, kind)
            if item is not None:
                key = item, text(event) or ""
                counts[key] = counts.get(key, 0) + int(count)
    return counts


def _count_sql(source: Source, syntax: Syntax) -> str:
    event = syntax.as_star("e.rating") if has_ratings(source.one_user) else syntax.key.format("e.event")
    second = syntax.as_second("e.timestamp")
    return (
        f"SELECT c.item, c.event, COUNT(*) FROM (SELECT {syntax.id_key('e.item_id')} AS item, {event} AS event "  # noqa: S608 - the shop's own text
        f"FROM {derived_table(source.since, 'e')} "
        f"WHERE e.item_id IS NOT NULL AND {second} >= :lower AND {second} <= :upper) c "
        "WHERE c.event IN (:events) GROUP BY c.item, c.event"
    )


def _clock_time(moment: int, clock: ZoneInfo) -> str:
    """Return a moment as the tables write it, such as 2026-11-20 14:00:00."""
    return str(plain(datetime.fromtimestamp(moment, UTC).astimezone(clock).replace(tzinfo=None)))
