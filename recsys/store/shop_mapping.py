"""The shop's mapping as SQL: the texts that read its events and products, the same in every dialect."""

from __future__ import annotations

import re
from functools import lru_cache

from recsys.settings import ProductsTable, Shop, Source, TableSource

DEFAULT_PRODUCTS = (
    "SELECT p.id AS item_id, CASE WHEN p.statusId = 'S1' THEN 1 ELSE 0 END AS active, "
    "p.categoryId AS category, p.brandId AS brand, "
    "(SELECT MIN(COALESCE(d.discountPrice, d.originalPrice)) FROM Productdetails d WHERE d.productId = p.id) AS price, "
    "p.name AS name FROM Products p"
)
_FROM = re.compile(r"\bFROM\s+([\w.]+)", re.IGNORECASE)
_RATING = re.compile(r"\bAS\s+rating\b", re.IGNORECASE)


@lru_cache(maxsize=64)
def source_sql(source: Source | TableSource) -> Source:
    """Return a source's two SQL texts: the shop's own, or those that read its table.

    The settings have checked that names of tables and columns are identifiers.
    """
    if isinstance(source, Source):
        return source
    if source.rating:
        event, alias, condition = source.rating, "rating", f" AND {source.rating} IS NOT NULL"
    else:
        event = source.event or _literal(source.event_name or "")
        alias, condition = "event", ""
    columns = {
        "user_id": source.user,
        "item_id": source.item,
        alias: event,
        "timestamp": source.timestamp,
        "row_id": source.row_id or "0",
        **dict(source.contexts),
    }
    selected = ", ".join(f"{column} AS {name}" for name, column in columns.items())
    select = f"SELECT {selected} FROM {source.table}"  # noqa: S608 - identifiers only
    return Source(
        since=f"{select} WHERE {source.timestamp} >= :since{condition}",
        one_user=f"{select} WHERE {source.user} = :user_id{condition}",
    )


@lru_cache(maxsize=64)
def products_sql(products: str | ProductsTable | None) -> str:
    """Return the SQL text of the products: the shop's own, one that reads its table, or the default schema's."""
    if products is None:
        return DEFAULT_PRODUCTS
    if isinstance(products, str):
        return products
    columns = {
        "item_id": products.id,
        "active": f"CASE WHEN {products.active} THEN 1 ELSE 0 END" if products.active else "1",
        "category": products.category or "NULL",
        "brand": products.brand or "NULL",
        "price": products.price or "NULL",
        "name": products.name or "NULL",
    }
    selected = ", ".join(f"{column} AS {name}" for name, column in columns.items())
    return f"SELECT {selected} FROM {products.table}"  # noqa: S608 - identifiers, and the shop's own condition


@lru_cache(maxsize=64)
def has_ratings(sql: str) -> bool:
    """Return whether a source's text selects ratings in place of events, as `AS rating`."""
    return bool(_RATING.search(sql))


def known_events(shop: Shop) -> frozenset[str]:
    """Return the names of the events that have a weight or cancel others."""
    return frozenset(shop.event_weights) | frozenset(shop.cancel_events)


def source_name(source: Source, number: int) -> str:
    """Return a source's name for messages: the first table that its text reads, else its number from 1."""
    table = _FROM.search(source.since)
    return table[1] if table else f"source {number}"


def derived_table(sql: str, alias: str) -> str:
    """Return a text as a table to select from."""
    bare = sql.strip().rstrip("; \n\t")
    return f"(\n{bare}\n) {alias}"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
