"""Reads products: the whole catalogue for training, and single products' current state for requests."""

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

INACTIVE = ("0", "0.0", "false", "f", "no", "n", "off", "")  # flags as text; other words are read by `truth`
DESCRIPTION = ("category", "brand", "price")  # columns besides the id and the flag


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
        place = _product_places(stream)
        n_read = 0
        for chunk in stream:
            raw_ids = [row[place["item_id"]] for row in chunk]
            items = id_array(raw_ids, IdReader())
            known = present(items)
            reading.add("item_id", raw_ids, known, range(n_read + 1, n_read + 1 + len(chunk)))
            n_read += len(chunk)
            for item, row, is_known in zip(items.tolist(), chunk, known.tolist(), strict=True):
                if is_known:  # a product's first row counts
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
    sql = f"{_selected(shop, description)} WHERE p.item_id IN (:item_ids)"
    known_ids = set(item_ids)  # MySQL's collations would also find 'a' for 'A'
    rows = _product_rows(_readable(db, sql, list(item_ids)), description)
    return [row for row in rows if row.item_id in known_ids]


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
    conditions = [f"LOWER({as_text('p.active', db.dialect)}) NOT IN (:inactive)"]
    params: dict[str, object] = {"limit": limit, "inactive": INACTIVE}
    if len(exclude):
        conditions.append("p.item_id NOT IN (:exclude)")
        params["exclude"] = list(exclude)
    if among is not None:
        conditions.append("p.item_id IN (:among)")
        params["among"] = list(among)
    for name, label_filter in (("category", category), ("brand", brand)):
        if label_filter is not None:
            conditions.append(f"LOWER({as_text(f'p.{name}', db.dialect)}) = :{name}")
            params[name] = label_filter.strip().lower()
    for name, sign, bound in (("price_min", ">=", price_min), ("price_max", "<=", price_max)):
        if bound is not None:
            conditions.append(f"{as_price('p.price', db.dialect)} {sign} :{name}")
            params[name] = bound
    sql = f"{_selected(shop, DESCRIPTION)} WHERE {' AND '.join(conditions)} ORDER BY p.item_id DESC LIMIT :limit"
    return _product_rows(db.query(sql, params), DESCRIPTION)


def _readable(db: Database, sql: str, item_ids: Sequence[int | str]) -> list[tuple[Any, ...]]:
    """Return the rows of products, without those for which the shop's text fails.

    A value that the text cannot use fails the whole statement, so the ids are halved until it is alone.
    """
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
