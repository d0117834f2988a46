"""Reads products: the whole catalogue for training, and single products' current state for requests."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import lru_cache
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.data.interactions import Catalogue
from recsys.errors import SettingsError
from recsys.settings import ProductsTable, Shop
from recsys.store.columns import flags, id_array, joined_ids, label_array, present, price_array, text_array
from recsys.store.database import Database, UnusableValue
from recsys.store.native_ids import native_ids
from recsys.store.reading import Reading
from recsys.store.shop_mapping import derived_table, products_sql

INACTIVE = (
    "0",
    "0.0",
    "false",
    "f",
    "no",
    "n",
    "off",
    "inactive",
    "disabled",
    "",
)  # flags as text; other words are read by `truth`
DESCRIPTION = ("category", "brand", "price")  # columns besides the id and the flag
READERS: Mapping[str, Callable[[Sequence[Any]], NDArray]] = {
    "category": label_array,
    "brand": label_array,
    "name": text_array,
    "tags": text_array,
    "price": price_array,
}


class ProductRow(NamedTuple):
    """The current state of one product. A column that was not read has its default.

    Attributes:
        item_id: The shop's id.
        active: Whether the shop sells it.
        category: Its category; None if it has none.
        brand: Its brand; None if it has none.
        price: Its current price; NaN if it has none.
    """

    item_id: int | str
    active: bool
    category: str | None = None
    brand: str | None = None
    price: float = math.nan


def read_catalogue(db: Database, shop: Shop, *, tell: Callable[[str], None] | None = None) -> Catalogue:
    """Read all products. A value that cannot be read is unknown, and a product whose flag cannot be read is inactive.

    Args:
        db: The shop's database.
        shop: The mapping.
        tell: Called with a line for each column with unreadable values: their number and an example.

    Raises:
        SettingsError: The products' text does not fit the tables, lacks a column, or has a column without any readable
            value.
    """
    reading = Reading("", "product")
    rows: dict[Any, tuple[Any, ...]] = {}
    with closing(db.stream(products_sql(shop.products))) as stream:
        places = {name.lower(): place for place, name in enumerate(stream.columns)}
        if {"item_id", "active", *DESCRIPTION} - set(places):
            raise SettingsError(
                f"[products] should return item_id, active, category, brand, price. Received: {', '.join(places)}."
            )
        n_read = 0
        for chunk in stream:
            raw_ids = [row[places["item_id"]] for row in chunk]
            items = id_array(raw_ids, {})
            reading.add("item_id", raw_ids, present(items), range(n_read + 1, n_read + 1 + len(chunk)))
            n_read += len(chunk)
            for item, row in zip(items.tolist(), chunk, strict=True):
                if item is not None:  # a product's first row counts
                    rows.setdefault(item, row)
    raw = list(zip(*rows.values(), strict=True)) or [()] * len(stream.columns)
    active = flags(raw[places["active"]])
    read = {name: reader(raw[places[name]]) for name, reader in READERS.items() if name in places}
    known = {
        "active": np.array([flag is not None for flag in active], np.bool_),
        **{name: ~np.isnan(values) if name == "price" else present(values) for name, values in read.items()},
    }
    for name, readable in known.items():
        reading.add(name, raw[places[name]], readable, list(rows), blank_is_nothing=name != "price")
    reading.finish("[products]", tell, shop.max_unreadable)
    return Catalogue(
        items=joined_ids([id_array(list(rows), {})]),
        active=np.array([flag is True for flag in active], np.bool_),
        categories=read["category"],
        brands=read["brand"],
        prices=read["price"],
        names=read.get("name"),
        tags=read.get("tags"),
    )


def item_kind(db: Database, shop: Shop) -> str | None:
    """Return the type of the products' ids, `int` or `str`, by one of them; None if there is no product."""
    sql = f"SELECT p.item_id FROM {derived_table(products_sql(shop.products), 'p')} WHERE p.item_id IS NOT NULL LIMIT 1"  # noqa: S608 - the shop's own text
    rows = db.query(sql)
    return id_kind(joined_ids([id_array([rows[0][0]], {})])) if rows else None


def id_kind(ids: NDArray) -> str:
    """Return `int` or `str`, the type of a column of ids."""
    return "int" if ids.dtype == np.int64 else "str"


def products(
    db: Database, shop: Shop, item_ids: Sequence[int | str], description: Sequence[str] = DESCRIPTION
) -> list[ProductRow]:
    """Return the current state of products, in one statement; ids that the shop does not have are missing.

    Args:
        db: The shop's database.
        shop: The mapping.
        item_ids: Ids in the shop's type, at most some thousands.
        description: The columns of `DESCRIPTION` to read. A price may take a search in a second table, so callers name
            what they need.
    """
    if len(item_ids) == 0:
        return []
    sql = f"{_selected(shop.products, tuple(description))} WHERE p.item_id IN (:item_ids)"
    known_ids = set(item_ids)  # MySQL's collations would also find 'a' for 'A'
    native = native_ids(db, item_ids, products_sql(shop.products), "item_id")
    return [row for row in _product_rows(readable_rows(db, sql, native), description) if row.item_id in known_ids]


def newest_products(
    db: Database,
    shop: Shop,
    *,
    limit: int,
    exclude: Sequence[int | str] = (),
    among: Sequence[int | str] | None = None,
    category: str | None = None,
    brand: str | None = None,
    price_min: float | None = None,
    price_max: float | None = None,
) -> list[ProductRow]:
    """Return active products, those with the highest ids first, in one statement.

    Args:
        db: The shop's database.
        shop: The mapping.
        limit: Most products to return.
        exclude: Ids to leave out.
        among: The only eligible ids; None admits all.
        category: Their category, in upper or lower case; None admits all.
        brand: Their brand, in upper or lower case; None admits all.
        price_min: Their lowest price; None admits all.
        price_max: Their highest price; None admits all.
    """
    text, price = db.syntax.text, db.syntax.price.format("p.price")

    def native(ids: Sequence[int | str]) -> Sequence[Any]:
        return native_ids(db, ids, products_sql(shop.products), "item_id")

    filters = (
        (f"LOWER({text.format('p.active')}) NOT IN (:inactive)", "inactive", INACTIVE),
        ("p.item_id NOT IN (:exclude)", "exclude", native(exclude) if len(exclude) else None),
        ("p.item_id IN (:among)", "among", among if among is None else native(among)),
        (f"LOWER({text.format('p.category')}) = :category", "category", category and category.strip().lower()),
        (f"LOWER({text.format('p.brand')}) = :brand", "brand", brand and brand.strip().lower()),
        (f"{price} >= :price_min", "price_min", price_min),
        (f"{price} <= :price_max", "price_max", price_max),
    )
    params = {name: value for _, name, value in filters if value is not None}
    conditions = " AND ".join(condition for condition, name, _ in filters if name in params)
    sql = f"{_selected(shop.products, DESCRIPTION)} WHERE {conditions} ORDER BY p.item_id DESC LIMIT :limit"
    return _product_rows(db.query(sql, {"limit": limit, **params}), DESCRIPTION)


def readable_rows(db: Database, sql: str, item_ids: Sequence[int | str]) -> list[tuple[Any, ...]]:
    """Return the rows of a statement with `:item_ids`, without those for which the shop's text fails.

    A value that the text cannot use fails the whole statement, so the ids are halved until it is alone.
    """
    try:
        return db.query(sql, {"item_ids": item_ids})
    except UnusableValue:
        if len(item_ids) == 1:
            return []
        half = len(item_ids) // 2
        return readable_rows(db, sql, item_ids[:half]) + readable_rows(db, sql, item_ids[half:])


@lru_cache(maxsize=64)
def _selected(products_table: str | ProductsTable | None, description: Sequence[str]) -> str:
    columns = ", ".join(f"p.{name}" for name in ("item_id", "active", *description))
    return f"SELECT {columns} FROM {derived_table(products_sql(products_table), 'p')}"  # noqa: S608 - the shop's own text


def _product_rows(raw_rows: Sequence[tuple[Any, ...]], description: Sequence[str]) -> list[ProductRow]:
    """Return the first row of each product; a column at a time, as a request reads up to some hundred rows."""
    if not raw_rows:
        return []
    raw_ids, raw_flags, *described = zip(*raw_rows, strict=True)
    read = {name: READERS[name](column).tolist() for name, column in zip(description, described, strict=True)}
    columns = [read.get(name) or repeat(ProductRow._field_defaults[name]) for name in DESCRIPTION]
    active = [flag is True for flag in flags(raw_flags)]
    rows: dict[int | str, ProductRow] = {}
    for row in map(ProductRow, id_array(raw_ids, {}).tolist(), active, *columns):
        if row.item_id is not None:
            rows.setdefault(row.item_id, row)
    return list(rows.values())
