"""What the shop sells: all of it, or what it says now of a few."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np

from recsys.data.interactions import Catalogue
from recsys.errors import SettingsError
from recsys.settings import Shop
from recsys.store.columns import (
    IdReader,
    id_array,
    joined_ids,
    label,
    label_array,
    present,
    price,
    price_array,
    read_each,
    read_id,
    text_array,
    truth,
)
from recsys.store.database import Database, Stream, UnusableValue
from recsys.store.dialects import as_price, as_text
from recsys.store.reading import Reading
from recsys.store.shop_mapping import derived_table, products_sql

NOT_SOLD = (
    "0",
    "0.0",
    "false",
    "f",
    "no",
    "n",
    "off",
    "",
)  # a flag as text; other words are told apart once they are read
DESCRIPTION = ("category", "brand", "price")  # what a product has besides its id and whether it is sold


class ProductRow(NamedTuple):
    """What the shop says of one product now.

    Attributes:
        item_id: Its external id.
        active: Whether it may be sold.
        category: Its category, or None where it has none or was not asked for.
        brand: Its brand, likewise.
        price: What a customer pays, or NaN, likewise.
    """

    item_id: int | str
    active: bool
    category: str | None = None
    brand: str | None = None
    price: float = math.nan


def read_catalogue(db: Database, shop: Shop, *, tell: Callable[[str], None] | None = None) -> Catalogue:
    """Read all products. What cannot be read of one is unknown: its price, its category; a product that may be sold is known to be.

    Args:
        db: The shop's database.
        shop: The mapping.
        tell: Called with a line for each column that has unreadable values: how many, and one of them.

    Raises:
        SettingsError: The products' text doesn't fit the tables, lacks a column, or has one in which nothing can be
            read.
    """
    reading = Reading("", "product")
    rows: dict[Any, tuple[Any, ...]] = {}
    with closing(db.stream(products_sql(shop.products))) as stream:
        place = _product_places(stream)
        n_read = 0
        for chunk in stream:
            given = [row[place["item_id"]] for row in chunk]
            items = id_array(given, IdReader())
            known = present(items)
            reading.add("item_id", given, known, range(n_read + 1, n_read + 1 + len(chunk)))
            n_read += len(chunk)
            for item, row, is_known in zip(items.tolist(), chunk, known.tolist(), strict=True):
                if is_known:  # the first row of a product counts
                    rows.setdefault(item, row)
    raw = list(zip(*rows.values(), strict=True)) or [()] * len(stream.columns)
    columns = {name: raw[position] for name, position in place.items()}
    active = list(read_each(columns["active"], truth))
    texts = {name: label_array(columns[name]) for name in ("category", "brand")}
    if "name" in place:
        texts["name"] = text_array(columns["name"])
    prices = price_array(columns["price"])
    names = list(rows)
    reading.add("active", columns["active"], np.array([flag is not None for flag in active], np.bool_), names)
    for name, values in texts.items():
        reading.add(name, columns[name], present(values), names)
    reading.add("price", columns["price"], ~np.isnan(prices), names, blank_is_nothing=False)
    reading.finish("[products]", tell)
    return Catalogue(
        items=joined_ids([id_array(names, IdReader())]) if rows else np.zeros(0, np.int64),
        active=np.array([flag is True for flag in active], np.bool_),
        categories=texts["category"],
        brands=texts["brand"],
        prices=prices,
        names=texts.get("name"),
    )


def products(
    db: Database, shop: Shop, item_ids: Sequence[int | str], description: Sequence[str] = DESCRIPTION
) -> list[ProductRow]:
    """Return what the shop says now of some products, in one statement; those it doesn't have are missing.

    Args:
        db: The shop's database.
        shop: The mapping.
        item_ids: Ids in the shop's type, at most some thousands.
        description: Some of `DESCRIPTION`; what is not asked for costs the database nothing, a price being a search in
            a second table.
    """
    if len(item_ids) == 0:
        return []
    sql = f"{_selected(shop, description)} WHERE p.item_id IN (:item_ids)"
    asked = set(item_ids)  # MySQL's collations would also find 'a' for 'A'
    return [row for row in _product_rows(_readable(db, sql, list(item_ids)), description) if row.item_id in asked]


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
    """Return products that may be sold now, those with the highest ids first, in one statement.

    Args:
        db: The shop's database.
        shop: The mapping.
        limit: How many at most.
        exclude: Ids to leave out.
        among: The only ids that may come; None admits all.
        category: What their category should be, in any case.
        brand: What their brand should be, in any case.
        price_min: Their least price.
        price_max: Their highest price.
    """
    conditions = [f"LOWER({as_text('p.active', db.dialect)}) NOT IN (:not_sold)"]
    params: dict[str, object] = {"limit": limit, "not_sold": NOT_SOLD}
    if len(exclude):
        conditions.append("p.item_id NOT IN (:exclude)")
        params["exclude"] = list(exclude)
    if among is not None:
        conditions.append("p.item_id IN (:among)")
        params["among"] = list(among)
    for name, asked in (("category", category), ("brand", brand)):
        if asked is not None:
            conditions.append(f"LOWER({as_text(f'p.{name}', db.dialect)}) = :{name}")
            params[name] = asked.strip().lower()
    for name, sign, bound in (("price_min", ">=", price_min), ("price_max", "<=", price_max)):
        if bound is not None:
            conditions.append(f"{as_price('p.price', db.dialect)} {sign} :{name}")
            params[name] = bound
    sql = f"{_selected(shop, DESCRIPTION)} WHERE {' AND '.join(conditions)} ORDER BY p.item_id DESC LIMIT :limit"
    return _product_rows(db.query(sql, params), DESCRIPTION)


def _readable(db: Database, sql: str, item_ids: Sequence[int | str]) -> list[tuple[Any, ...]]:
    """Return the rows of those of the products that the shop's text can be worked out for; one of the others would fail them all."""
    try:
        return db.query(sql, {"item_ids": item_ids})
    except UnusableValue:
        if len(item_ids) == 1:
            return []
        half = len(item_ids) // 2
        return _readable(db, sql, item_ids[:half]) + _readable(db, sql, item_ids[half:])


def _selected(shop: Shop, description: Sequence[str]) -> str:
    columns = ", ".join(f"p.{name}" for name in ("item_id", "active", *description))
    return f"SELECT {columns} FROM {derived_table(products_sql(shop.products), 'p')}"  # noqa: S608 - the shop's own text


def _product_rows(raw_rows: Sequence[tuple[Any, ...]], description: Sequence[str]) -> list[ProductRow]:
    """Return the first row of each product."""
    rows: dict[int | str, ProductRow] = {}
    for raw, active, *described in raw_rows:
        item = read_id(raw)
        if item is not None and item not in rows:
            details = {name: _READERS[name](value) for name, value in zip(description, described, strict=True)}
            rows[item] = ProductRow(item, truth(active) is True, **details)
    return list(rows.values())


def _product_places(stream: Stream) -> dict[str, int]:
    places = {name.lower(): position for position, name in enumerate(stream.columns)}
    if {"item_id", "active", "category", "brand", "price"} - set(places):
        raise SettingsError(
            f"[products] should return item_id, active, category, brand, price. Received: {', '.join(places)}."
        )
    return places


_READERS: Mapping[str, Callable[[Any], Any]] = {"category": label, "brand": label, "price": price}
