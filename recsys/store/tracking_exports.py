"""Tables that are replaced or rewritten as a whole: similarities, pairs bought together, and computed lists."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from recsys.data.interactions import Interactions
from recsys.data.purchases import purchase_names
from recsys.errors import Overloaded
from recsys.settings import Shop, Source, TrackedSource, with_tracking
from recsys.store.columns import text
from recsys.store.database import Database, Duplicate
from recsys.store.events import read_interactions
from recsys.store.migrations import columns
from recsys.store.shop_mapping import derived_table, has_ratings, products_sql, source_sql

SIMILARITIES, TOGETHER, LISTS = "rec_product_similarities", "rec_frequently_together", "rec_recommendations_cache"
ATTEMPTS = 20  # each one that fails means that another process has just replaced them
_PARENT = re.compile(r"\bAS\s+parent\b", re.IGNORECASE)

Rows = Iterable[dict[str, Any]]


def has_table(db: Database, table: str) -> bool:
    """Return whether the database has one of our tables, which a migration makes."""
    return bool(columns(db, table))


def replace_rows(db: Database, table: str, rows: Callable[[], Rows]) -> int:
    """Replace all rows of `SIMILARITIES` or `TOGETHER` in one transaction; readers see the old ones until its end.

    Args:
        db: The database.
        table: The table.
        rows: Returns the new rows, with texts in the columns of ids.

    Returns:
        The number of new rows.

    Raises:
        Overloaded: Another process keeps replacing them.
    """
    for _ in range(ATTEMPTS):
        try:
            with db.atomic():
                db.execute(f"DELETE FROM {table}")  # noqa: S608 - our own name
                return db.insert(table, (_with_keys(db, row) for row in rows()))
        except Duplicate:
            continue  # PostgreSQL's DELETE does not see what the other process has committed meanwhile
    raise Overloaded(f"The rows of {table} are being replaced by another process. Try again.")


def exported_version(db: Database) -> tuple[str | None, int]:
    """Return the version whose similarities are stored, None for none or several, and their number."""
    ((n, first, last),) = db.query(f"SELECT COUNT(*), MIN(version), MAX(version) FROM {SIMILARITIES}")  # noqa: S608
    return (str(first) if n and first == last else None), int(n)


def similar_rows(db: Database, item_id: str, limit: int) -> list[tuple[str, float]]:
    """Return the similar items of one, best first."""
    sql = (
        f"SELECT similar_id, score FROM {SIMILARITIES} WHERE item_id = :item "  # noqa: S608 - our own name
        "ORDER BY score DESC, similar_id LIMIT :limit"
    )
    return [
        (text(other) or "", float(score)) for other, score in db.query(sql, {"item": db.key(item_id), "limit": limit})
    ]


def together_rows(db: Database, item_id: str, limit: int) -> list[tuple[str, int, float, float, float]]:
    """Return the items bought together with one, with orders, lift and both confidences, best first."""
    sql = (
        f"SELECT together_id, n_orders, lift, confidence, confidence_back FROM {TOGETHER} WHERE item_id = :item "  # noqa: S608 - our own name
        "ORDER BY lift DESC, n_orders DESC, together_id LIMIT :limit"
    )
    rows = db.query(sql, {"item": db.key(item_id), "limit": limit})
    return [(text(other) or "", int(n), float(lift), float(one), float(back)) for other, n, lift, one, back in rows]


def read_purchases(
    db: Database, shop: Shop, since: int, *, carts: bool = False, own: bool = True, recorded: bool = True
) -> Interactions:
    """Return the purchases of all sources and what cancels them; other events stay in the database.

    Args:
        db: The shop's database.
        shop: The mapping.
        since: From this second since 1970 on.
        carts: Whether to read what was put into carts, too.
        own: Whether to read the shop's own tables.
        recorded: Whether to read what recsys itself has recorded, whatever the mapping says of it.
    """
    names = [*purchase_names(shop), *shop.cancel_events, *(shop.cart_events if carts else ())]
    event = db.syntax.text.format("e.event")
    listed = ", ".join("'" + name.replace("'", "''") + "'" for name in names)

    def purchases_of(source: Source) -> Source:
        where = f"FROM {derived_table(source.since, 'e')} WHERE {event} IN ({listed})"
        return replace(source, since=f"SELECT e.* {where}")  # the shop's own text

    texts = [source_sql(source) for source in shop.sources if not isinstance(source, TrackedSource)]
    rated = any(name.startswith("star") for name in names)
    sources = [
        source if has_ratings(source.one_user) else purchases_of(source)
        for source in texts
        if rated or not has_ratings(source.one_user)
    ]
    weights = {name: weight for name, weight in shop.event_weights.items() if name in names}
    events = ["purchase", "add_to_cart"] if carts else ["purchase"]
    tracked = with_tracking(shop, events).sources[-1]  # it knows the columns of event ids in the shop's tables
    read = (*(sources if own else ()), *([tracked] if recorded else ()))
    bought = replace(shop, sources=read, event_weights=weights)
    return read_interactions(db, bought, since=since)[0]


def read_parents(db: Database, shop: Shop) -> dict[str, str]:
    """Return the product that each variant belongs to, by ids as text; empty where the mapping has no `parent`."""
    sql = products_sql(shop.products)
    if not _PARENT.search(sql):
        return {}
    stream = db.stream(f"SELECT p.item_id, p.parent FROM {derived_table(sql, 'p')} WHERE p.parent IS NOT NULL")  # noqa: S608 - the shop's own text
    return {text(item) or "": text(parent) or "" for rows in stream for item, parent in rows}


def read_entry(db: Database, user_id: str, list_key: str, now: int) -> str | None:
    """Return a list that has not expired."""
    sql = f"SELECT entry FROM {LISTS} WHERE user_id = :user AND list_key = :key AND expires_at > :now"  # noqa: S608
    rows = db.query(sql, {"user": db.key(user_id), "key": db.key(list_key), "now": now})
    return str(rows[0][0]) if rows else None


def write_entry(db: Database, user_id: str, list_key: str, entry: str, expires_at: int) -> None:
    """Write a list, in place of an earlier one."""
    change = db.syntax.upsert.format(key="user_id, list_key", sets="entry = :entry, expires_at = :expires_at")
    insert = f"INSERT INTO {LISTS} (user_id, list_key, entry, expires_at) VALUES (:user, :key, :entry, :expires_at) "  # noqa: S608
    values = {"user": db.key(user_id), "key": db.key(list_key), "entry": entry, "expires_at": expires_at}
    db.execute(insert + change, values)


def delete_entries(db: Database, user_id: str) -> int:
    """Delete a user's lists."""
    return db.execute(f"DELETE FROM {LISTS} WHERE user_id = :user", {"user": db.key(user_id)})  # noqa: S608


def delete_expired(db: Database, now: int) -> int:
    """Delete all lists that have expired."""
    return db.execute(f"DELETE FROM {LISTS} WHERE expires_at <= :now", {"now": now})  # noqa: S608


def _with_keys(db: Database, row: dict[str, Any]) -> dict[str, Any]:
    return {name: db.key(value) if name.endswith("_id") else value for name, value in row.items()}
