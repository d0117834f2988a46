"""Writes to the default schema's shop, by imports and the demo. A shop's own tables are never written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from recsys.errors.wording import listed
from recsys.store.database import Database
from recsys.store.migrations import renumber

SHOP_TABLES = ("Allcodes", "Users", "Products", "Productdetails", "Productimages", "Interactions", "Comments")
# Codes of the columns roleId, genderId, statusId and actionCode, as (type, code, value).
BASE_CODES = (
    ("ROLE", "R1", "Admin"),
    ("ROLE", "R2", "User"),
    ("ROLE", "R3", "Shipper"),
    ("ROLE", "R4", "Staff"),
    ("GENDER", "M", "Male"),
    ("GENDER", "FE", "Female"),
    ("GENDER", "O", "Other"),
    ("STATUS", "S1", "Active"),
    ("STATUS", "S2", "Inactive"),
    ("ACTION", "view", "View"),
    ("ACTION", "cart", "Cart"),
    ("ACTION", "wishlist", "Wishlist"),
    ("ACTION", "purchase", "Purchase"),
    ("ACTION", "cancel", "Cancel"),
)

IDS_PER_LOOK_UP = 1_000  # far below every database's limit of placeholders, and still a short statement

Row = Mapping[str, Any]


def rows_in_shop(db: Database) -> dict[str, int]:
    """Return the numbers of users, products and interactions, by table."""
    tables = ("Users", "Products", "Interactions")
    return {table: int(db.query(f"SELECT COUNT(*) FROM {table}")[0][0]) for table in tables}  # noqa: S608 - our own names


def product_names(db: Database, product_ids: Sequence[int]) -> dict[int, str]:
    """Return products' names by id; unknown ids are left out."""
    return dict(db.query("SELECT id, name FROM Products WHERE id IN (:ids)", {"ids": list(product_ids)}))


def user(db: Database, user_id: int) -> tuple[str, str] | None:
    """Return a user's name and e-mail address; None for an unknown id."""
    rows = db.query("SELECT firstName, lastName, email FROM Users WHERE id = :id", {"id": user_id})
    return (f"{rows[0][0]} {rows[0][1]}", rows[0][2]) if rows else None


def fill_shop(db: Database, tables: Mapping[str, Sequence[Row]], *, empty_first: bool) -> None:
    """Write a whole shop in one transaction.

    Args:
        db: A migrated database.
        tables: Rows by table, for tables of SHOP_TABLES; all rows of a table have the same columns.
        empty_first: Whether to empty the shop's tables first; no other table is touched.

    Raises:
        ValueError: A table is not one of the shop's.
    """
    if set(tables) - set(SHOP_TABLES):
        raise ValueError(f"`tables` should hold {listed(SHOP_TABLES)}. Received: {listed(sorted(tables))}.")
    with db.atomic():
        for table in SHOP_TABLES if empty_first else ():
            db.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names
        for table, rows in tables.items():
            db.insert(table, rows)
        renumber(db)


def write_codes(db: Database, codes: Iterable[tuple[str, str, str]]) -> None:
    """Add codes, as (type, code, value); existing codes stay as they are."""
    db.insert(
        "Allcodes", [{"type": kind, "code": code, "value": value} for kind, code, value in codes], skip_duplicates=True
    )


def known_ids(db: Database, table: str) -> Iterable[tuple[int, str | None]]:
    """Yield the id and the external id of every row of `Users` or `Products`."""
    if table not in {"Users", "Products"}:
        raise ValueError(f"`table` should be Users or Products. Received: {table!r}.")
    for chunk in db.stream(f"SELECT id, externalId FROM {table}"):  # noqa: S608 - checked
        yield from ((int(number), external) for number, external in chunk)


def last_interaction(db: Database) -> int:
    """Return the highest interId; 0 without interactions."""
    return int(db.query("SELECT COALESCE(MAX(interId), 0) FROM Interactions")[0][0])


def stored_events(db: Database, event_ids: Sequence[str]) -> dict[str, int]:
    """Return the interId of each event id that is stored."""
    stored: dict[str, int] = {}
    for first in range(0, len(event_ids), IDS_PER_LOOK_UP):
        ids = event_ids[first : first + IDS_PER_LOOK_UP]
        stored.update(db.query("SELECT eventId, interId FROM Interactions WHERE eventId IN (:ids)", {"ids": ids}))
    return stored


def delete_events(db: Database, event_ids: Sequence[str]) -> int:
    """Delete interactions by their event ids, and return how many there were; unknown ids are skipped."""
    deleted = 0
    for first in range(0, len(event_ids), IDS_PER_LOOK_UP):
        ids = event_ids[first : first + IDS_PER_LOOK_UP]
        deleted += db.execute("DELETE FROM Interactions WHERE eventId IN (:ids)", {"ids": ids})
    return deleted


def add_views(db: Database, views: Mapping[int, int]) -> None:
    """Add to the products' view counters, by product id; products with equal additions share a statement."""
    products_by_count: dict[int, list[int]] = {}
    for product, count in sorted(views.items()):
        products_by_count.setdefault(count, []).append(product)
    for count, products in sorted(products_by_count.items()):
        for first in range(0, len(products), IDS_PER_LOOK_UP):
            ids = products[first : first + IDS_PER_LOOK_UP]
            db.execute("UPDATE Products SET view = view + :n WHERE id IN (:ids)", {"n": count, "ids": ids})


def describe_products(db: Database, names: Mapping[int, str], categories: Mapping[int, str]) -> None:
    """Set products' names and categories, by product id."""
    rows = [
        {"id": product, "name": names.get(product), "category": categories.get(product)}
        for product in {**names, **categories}
    ]
    db.execute_many(
        "UPDATE Products SET name = COALESCE(:name, name), categoryId = COALESCE(:category, categoryId) WHERE id = :id",
        rows,
    )


def write_activity(db: Database, active: Mapping[str, bool]) -> None:
    """Set whether products are active, by external id; unknown ids are skipped."""
    for code, is_active in (("S1", True), ("S2", False)):
        chosen = [external for external, value in active.items() if value == is_active]
        for first in range(0, len(chosen), IDS_PER_LOOK_UP):
            ids = chosen[first : first + IDS_PER_LOOK_UP]
            db.execute(
                "UPDATE Products SET statusId = :code WHERE externalId IN (:ids) AND statusId <> :code",
                {"code": code, "ids": ids},
            )


def write_prices(db: Database, prices: Mapping[int, float]) -> None:
    """Set the products' list prices, by product id; equal prices are not written again."""
    stored = {
        int(product): price
        for chunk in db.stream("SELECT productId, originalPrice FROM Productdetails")
        for product, price in chunk
    }
    changed = [
        {"product": product, "price": price}
        for product, price in prices.items()
        if product in stored and stored[product] != price
    ]
    with db.atomic():
        db.execute_many("UPDATE Productdetails SET originalPrice = :price WHERE productId = :product", changed)
        db.insert(
            "Productdetails",
            [{"productId": item, "originalPrice": price} for item, price in prices.items() if item not in stored],
        )
