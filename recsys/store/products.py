"""What the shop sells: all of it, or what it says now of a few."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from recsys.errors import SettingsError
from recsys.interactions import Catalogue
from recsys.settings import Shop
from recsys.store.columns import IdReader, id_array, joined_ids, read_id, text, text_array
from recsys.store.database import Database, Stream
from recsys.store.mapping import as_text, derived

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


def read_catalogue(db: Database, shop: Shop) -> Catalogue:
    """Read all products.

    Raises:
        SettingsError: The products' text doesn't fit the tables, or lacks a column.
    """
    rows: dict[Any, tuple[Any, ...]] = {}
    with closing(db.stream(shop.products)) as stream:
        place = _product_places(stream)
        for row in chain.from_iterable(stream):
            item = read_id(row[place["item_id"]])
            if item is not None:  # the first row of a product counts
                rows.setdefault(item, row)
    columns = list(zip(*rows.values(), strict=True)) or [()] * len(stream.columns)
    return Catalogue(
        items=joined_ids([id_array(list(rows), IdReader())]) if rows else np.zeros(0, np.int64),
        active=np.array([_truth(value) for value in columns[place["active"]]], np.bool_),
        categories=text_array(columns[place["category"]]),
        brands=text_array(columns[place["brand"]]),
        prices=np.array([_price(value) for value in columns[place["price"]]], np.float64),
        names=text_array(columns[place["name"]]) if "name" in place else None,
    )


def products(db: Database, shop: Shop, item_ids: Sequence[int | str], description: Sequence[str] = DESCRIPTION) -> list[ProductRow]:
    """Return what the shop says now of some products, in one statement; those it doesn't have are missing.

    Args:
        db: The shop's database.
        shop: The mapping.
        item_ids: Ids in the shop's type, at most some thousands.
        description: Some of `DESCRIPTION`; what is not asked for costs the database nothing, a price being a search in a second table.
    """
    if len(item_ids) == 0:
        return []
    sql = f"{_selected(shop, description)} WHERE p.item_id IN (:item_ids)"
    asked = set(item_ids)  # MySQL's collations would also find 'a' for 'A'
    return [row for row in _product_rows(db.query(sql, {"item_ids": list(item_ids)}), description) if row.item_id in asked]


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
    conditions = [f"{as_text('p.active', db.dialect)} NOT IN ('0', 'false', '')"]
    params: dict[str, object] = {"limit": limit}
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
            conditions.append(f"p.price {sign} :{name}")
            params[name] = bound
    sql = f"{_selected(shop, DESCRIPTION)} WHERE {' AND '.join(conditions)} ORDER BY p.item_id DESC LIMIT :limit"
    return _product_rows(db.query(sql, params), DESCRIPTION)


def _selected(shop: Shop, description: Sequence[str]) -> str:
    columns = ", ".join(f"p.{name}" for name in ("item_id", "active", *description))
    return f"SELECT {columns} FROM {derived(shop.products, 'p')}"  # noqa: S608 - the shop's own text


def _product_rows(raw_rows: Sequence[tuple[Any, ...]], description: Sequence[str]) -> list[ProductRow]:
    """Return the first row of each product."""
    rows: dict[int | str, ProductRow] = {}
    for raw, active, *described in raw_rows:
        item = read_id(raw)
        if item is not None and item not in rows:
            details = {name: _READERS[name](value) for name, value in zip(description, described, strict=True)}
            rows[item] = ProductRow(item, _truth(active), **details)
    return list(rows.values())


def _product_places(stream: Stream) -> dict[str, int]:
    places = {name.lower(): position for position, name in enumerate(stream.columns)}
    if {"item_id", "active", "category", "brand", "price"} - set(places):
        raise SettingsError(f"[products] should return item_id, active, category, brand, price. Received: {', '.join(places)}.")
    return places


def _truth(value: object) -> bool:
    if type(value) is int:
        return value != 0
    if isinstance(value, bytes):  # MySQL's BIT(1)
        return any(value)
    return bool(value) and str(value).lower() not in {"0", "0.0", "false"}


def _price(value: Any) -> float:
    return math.nan if value is None else float(value)


_READERS: Mapping[str, Callable[[Any], Any]] = {"category": text, "brand": text, "price": _price}
