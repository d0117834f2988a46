"""The shop's mapping as SQL: the texts that read its events and products, the same in every dialect."""

from __future__ import annotations

import re
from functools import lru_cache

from recsys.settings import ProductsTable, Source, TableSource, TrackedSource
from recsys.settings.checks import is_name
from recsys.settings.shop import DEFAULT_SOURCES
from recsys.store.names import NAME_IN_TEXT, marked, written

DEFAULT_PRODUCTS = (
    "SELECT p.id AS item_id, CASE WHEN p.statusId = 'S1' THEN 1 ELSE 0 END AS active, "
    "p.categoryId AS category, p.brandId AS brand, "
    "(SELECT MIN(COALESCE(d.discountPrice, d.originalPrice)) FROM Productdetails d WHERE d.productId = p.id) AS price, "
    "p.name AS name FROM Products p"
)
_DEFAULT_TABLES = frozenset(source.table for source in DEFAULT_SOURCES)  # whose names are never quoted
_NO_COLUMNS = frozenset({"true", "false", "null"})
_FROM = re.compile(rf"\bFROM\s+({NAME_IN_TEXT})", re.IGNORECASE)
_IN_BRACKETS = re.compile(r"\([^()]*\)")
_NAME = re.compile(r"\bAS\s+name\b", re.IGNORECASE)
_RATING = re.compile(r"\bAS\s+rating\b", re.IGNORECASE)
_QUANTITY = re.compile(r"\bAS\s+quantity\b", re.IGNORECASE)
_SESSION = re.compile(r"\bAS\s+session_id\b", re.IGNORECASE)


@lru_cache(maxsize=64)
def source_sql(source: Source | TableSource) -> Source:
    """Return a source's two SQL texts: the shop's own, or those that read its table.

    The settings have checked that names of tables and columns are names. In the texts they have marks, but for those of
    the default schema.
    """
    if isinstance(source, Source):
        return source
    if isinstance(source, TrackedSource):
        return _tracked_sql(source)
    name = str if source.table in _DEFAULT_TABLES else marked
    event = "'" + (source.event_name or "").replace("'", "''") + "'"
    columns = {
        "user_id": name(source.user),
        "item_id": name(source.item),
        "rating" if source.rating else "event": name(source.rating or source.event or "") or event,
        "timestamp": name(source.timestamp),
        "row_id": name(source.row_id or "") or "0",
        **({"quantity": _expression(source.quantity)} if source.quantity else {}),
        **{context: name(column) for context, column in source.contexts},
    }
    selected = ", ".join(f"{column} AS {alias}" for alias, column in columns.items())
    of_table = f" FROM {name(source.table)}"
    session = f", {_expression(source.session)} AS session_id" if source.session else ""
    conditions = f" AND {name(source.rating)} IS NOT NULL" if source.rating else ""
    for condition in filter(None, (source.where, source.purchase_when)):
        conditions += f" AND (\n{condition}\n)"  # on lines of their own, for they may end with a comment
    if source.returned_when:
        conditions += f" AND CASE WHEN (\n{source.returned_when}\n) THEN 0 ELSE 1 END = 1"  # null is no return
    return Source(
        since=f"SELECT {selected}{session}{of_table} WHERE {name(source.timestamp)} >= :since{conditions}",
        one_user=f"SELECT {selected}{of_table} WHERE {name(source.user)} = :user_id{conditions}",
    )


def _tracked_sql(source: TrackedSource) -> Source:
    """Return the texts that read what recsys itself has recorded.

    A wishlist event that a later removal annuls is left out, and so is an event that one of the shop's own sources has
    under the same event id. Users are found by `:user_key`, the id as the column holds it.
    """
    names = {event: name.replace("'", "''") for event, name in source.names}
    cases = " ".join(f"WHEN '{event}' THEN '{name}'" for event, name in names.items())
    events = ", ".join(f"'{event}'" for event in names)
    select = (
        f"SELECT t.user_id AS user_id, t.product_id AS item_id, CASE t.interaction_type {cases} END AS event, "  # noqa: S608 - names that are checked
        f"t.occurred_at AS timestamp, t.id AS row_id FROM {source.table} t WHERE "
    )
    conditions = f" AND t.product_id IS NOT NULL AND t.interaction_type IN ({events})"
    for table, event_id in source.event_ids:
        name = str if table in _DEFAULT_TABLES else marked
        # A look-up for each row, by the index. Of NOT EXISTS, PostgreSQL makes a join, and of texts that it cannot
        # estimate one that reads the whole table for each row.
        conditions += f" AND (SELECT COUNT(*) FROM {name(table)} o WHERE o.{name(event_id)} = t.event_id) = 0"  # noqa: S608 - names that are checked
    everybody, one_user = conditions, conditions
    if "wishlist" in names:
        everybody += _without_removed(source.table)
        one_user += _without_removed(source.table, "r.user_id = :user_key AND ")
    return Source(
        since=f"{select}t.occurred_at >= :since{everybody}", one_user=f"{select}t.user_id = :user_key{one_user}"
    )


def _without_removed(table: str, whose: str = "") -> str:
    """Return the condition that a row is no wishlist event that a later removal annuls.

    The removed ones are found once, from the removals, of which there are few.

    Args:
        table: The table of recorded events.
        whose: The condition on the removals' user.
    """
    return (
        " AND (t.interaction_type <> 'wishlist' OR t.id NOT IN ("  # noqa: S608 - our own names
        f"SELECT w.id FROM {table} r JOIN {table} w ON w.user_id = r.user_id AND w.product_id = r.product_id "
        f"WHERE {whose}r.interaction_type = 'remove_from_wishlist' AND w.interaction_type = 'wishlist' "
        "AND (r.occurred_at > w.occurred_at OR (r.occurred_at = w.occurred_at AND r.id > w.id))))"
    )


@lru_cache(maxsize=64)
def products_sql(products: str | ProductsTable | None) -> str:
    """Return the SQL text of the products: the shop's own, one that reads its table, or the default schema's."""
    if products is None:
        return DEFAULT_PRODUCTS
    if isinstance(products, str):
        return products
    columns = {
        "item_id": marked(products.id),
        "active": _flag(products.active),
        "category": marked(products.category or "") or "NULL",
        "brand": marked(products.brand or "") or "NULL",
        "price": marked(products.price or "") or "NULL",
        "name": marked(products.name or "") or "NULL",
        **({"parent": marked(products.parent)} if products.parent else {}),
        "tags": marked(products.tags or "") or "NULL",
    }
    selected = ", ".join(f"{column} AS {name}" for name, column in columns.items())
    return f"SELECT {selected} FROM {marked(products.table)}"  # noqa: S608 - names, and the shop's own condition


def _flag(active: str | None) -> str:
    """Return the expression of a flag: a column as it is, so that its words are read as flags, or a condition."""
    if active is None:
        return "1"
    return marked(active) if _is_column(active) else f"CASE WHEN {active} THEN 1 ELSE 0 END"


def _expression(text: str) -> str:
    """Return a column by its name, or an expression as it is."""
    return marked(text) if _is_column(text) else f"(\n{text}\n)"  # on lines of its own, for it may end with a comment


def _is_column(text: str) -> bool:
    return is_name(text) and text.lower() not in _NO_COLUMNS


@lru_cache(maxsize=64)
def cards_sql(cards: str | None, products: str | ProductsTable | None) -> str:
    """Return the SQL text of the products' cards: the shop's own, or one made of the text of the products.

    A query of the products tells titles only if it selects them as `AS name`.
    """
    if cards is not None:
        return cards
    sql = products_sql(products)
    title = "c.name" if _NAME.search(sql) else "NULL"
    return (
        f"SELECT c.item_id AS item_id, c.active AS active, NULL AS handle, {title} AS title, NULL AS thumbnail, "  # noqa: S608 - the shop's own text
        f"c.price AS price, NULL AS currency FROM {derived_table(sql, 'c')}"
    )


@lru_cache(maxsize=64)
def has_ratings(sql: str) -> bool:
    """Return whether a source's text selects ratings in place of events, as `AS rating`."""
    return bool(_RATING.search(sql))


@lru_cache(maxsize=64)
def has_quantities(sql: str) -> bool:
    """Return whether a source's text selects quantities, as `AS quantity`."""
    return bool(_QUANTITY.search(sql))


@lru_cache(maxsize=64)
def has_sessions(sql: str) -> bool:
    """Return whether a source's text selects sessions, as `AS session_id`."""
    return bool(_SESSION.search(sql))


def source_name(source: Source, number: int) -> str:
    """Return a source's name for messages: the first table that its text reads, else its number from 1."""
    return first_table(source.since) or f"source {number}"


def first_table(sql: str) -> str:
    """Return the first table that a text reads outside of brackets; empty if there is none."""
    while sql != (outer := _IN_BRACKETS.sub("", sql)):
        sql = outer
    table = _FROM.search(sql)
    return written(table[1]) if table else ""


def derived_table(sql: str, alias: str) -> str:
    """Return a text as a table to select from."""
    bare = sql.strip().rstrip("; \n\t")
    return f"(\n{bare}\n) {alias}"
