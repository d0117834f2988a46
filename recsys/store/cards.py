"""Reads the cards of products: what a page shows of an item, and the item that a page's address names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from recsys.settings import ProductsTable, Shop
from recsys.store.columns import flags, id_array, is_key, price_array, text_array
from recsys.store.database import Database, UnusableValue
from recsys.store.native_ids import native_ids
from recsys.store.products import readable_rows
from recsys.store.shop_mapping import cards_sql, derived_table

COLUMNS = ("item_id", "active", "handle", "title", "thumbnail", "price", "currency")


class ProductCard(NamedTuple):
    """What a page shows of one product now.

    Attributes:
        id: The shop's id.
        handle: The name in the address of its page; None if it has none.
        title: Its name; None if it has none.
        thumbnail: The URL of a small picture; None if it has none.
        price: Its current price in units of the currency; None if it has none.
        currency: The currency of the price in lower case, such as `vnd`; None if the mapping names none.
        is_active: Whether the shop sells it.
    """

    id: int | str
    handle: str | None
    title: str | None
    thumbnail: str | None
    price: float | None
    currency: str | None
    is_active: bool


def product_cards(db: Database, shop: Shop, ids: Sequence[int | str]) -> dict[int | str, ProductCard]:
    """Return the cards of products in the order of `ids`, in one statement; unknown ids are missing.

    Args:
        db: The shop's database.
        shop: The mapping.
        ids: Ids in the shop's type, at most some thousands; repeated ones count once.

    Raises:
        SettingsError: The text of the cards does not fit the tables.
    """
    wanted = list(dict.fromkeys(ids))
    if not wanted:
        return {}
    native = native_ids(db, wanted, cards_sql(shop.cards, shop.products), "item_id")
    rows = readable_rows(db, _selected(shop.cards, shop.products), native)
    if not rows:
        return {}
    raw_ids, raw_flags, handles, titles, thumbnails, prices, currencies = zip(*rows, strict=True)
    cards: dict[int | str, ProductCard] = {}
    for card in map(
        ProductCard,
        id_array(raw_ids, {}).tolist(),
        *(text_array(column).tolist() for column in (handles, titles, thumbnails)),
        (None if math.isnan(price) else price for price in price_array(prices).tolist()),
        (code and code.strip().lower() for code in text_array(currencies).tolist()),
        (flag is True for flag in flags(raw_flags)),
    ):
        cards.setdefault(card.id, card)  # a product's first row counts
    return {item_id: cards[item_id] for item_id in wanted if item_id in cards}


def item_of_handle(db: Database, shop: Shop, handle: str) -> int | str | None:
    """Return the id of the product whose page has a handle, in one statement; None if there is none.

    Where several products have it, such as a deleted one and its successor, an active one counts.

    Args:
        db: The shop's database.
        shop: The mapping; without `[shop.cards]` no product has a handle.
        handle: The name in the address, compared byte by byte.

    Raises:
        SettingsError: The text of the cards does not fit the tables.
    """
    if shop.cards is None or not is_key(handle):
        return None
    sql = f"SELECT p.item_id, p.active, p.handle FROM {derived_table(shop.cards, 'p')} WHERE p.handle = :handle"  # noqa: S608 - the shop's own text
    try:
        rows = db.query(sql, {"handle": handle})
    except UnusableValue:
        return None
    if not rows:
        return None
    raw_ids, raw_flags, handles = zip(*rows, strict=True)
    found = [
        (flag is not True, item_id)
        for item_id, flag, own in zip(
            id_array(raw_ids, {}).tolist(), flags(raw_flags), text_array(handles).tolist(), strict=True
        )
        if own == handle and item_id is not None  # MySQL's collations would also find 'A' for 'a'
    ]
    return min(found, key=lambda pair: pair[0])[1] if found else None


@lru_cache(maxsize=64)
def _selected(cards: str | None, products: str | ProductsTable | None) -> str:
    columns = ", ".join(f"p.{name}" for name in COLUMNS)
    return f"SELECT {columns} FROM {derived_table(cards_sql(cards, products), 'p')} WHERE p.item_id IN (:item_ids)"  # noqa: S608 - the shop's own text
