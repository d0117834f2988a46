"""Shopify's export of orders, a row for each line item, with the export of products beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from recsys.importing.amounts import count
from recsys.importing.columns import SEPARATOR
from recsys.importing.files import EventFile
from recsys.importing.formats.files import (
    CATEGORY,
    ILLEGIBLE_QUANTITY,
    ITEM,
    NAME,
    PRICE,
    QUANTITIES,
    TIMESTAMP,
    USER,
    Column,
    Flags,
    FormatFile,
    Opened,
    Shape,
    as_batch,
    beside,
    column,
    open_files,
    open_place,
    options_with,
)

ORDER, LINE = "order", "line"
_NEEDS = ("Name", "Email", "Financial Status", "Created at", "Lineitem quantity", "Lineitem name", "Lineitem price")
# Columns that an order's first line alone has.
_OF_ORDER = ("Email", "Financial Status", "Paid at", "Cancelled at", "Created at", "Phone")
_BOUGHT = frozenset({"paid", "partially_refunded"})  # of a refund in part, the lines are not told: the goods stay
_COLUMNS = (ORDER, LINE, USER, ITEM, TIMESTAMP, NAME, CATEGORY, PRICE)


class Product(NamedTuple):
    """A product of the export of products."""

    handle: str
    title: str | None
    kind: str | None
    is_active: bool


def open_shopify(path: Path, flags: Flags) -> Opened:
    """Open `orders_export*.csv`: a line of a paid order that was not cancelled is a purchase.

    A customer is an e-mail address in lower case, or else a telephone number. A product is its handle if
    `products_export*.csv` lies beside the orders, where products that it lacks, drafts and archived ones are inactive.
    Otherwise a product is an SKU, or the name of a line without one.

    A row is known again by its order and its place in the order. So an order that a later export tells as cancelled or
    refunded is taken back.
    """
    files = open_files(path, r"orders.*\.csv", flags, needs=_NEEDS)
    products = Products(path)
    options = options_with(
        flags, user=USER, item=ITEM, timestamp=TIMESTAMP, name=NAME, category=CATEGORY, price=PRICE, key=(ORDER, LINE)
    )
    event = str(flags.get("event_name", "purchase"))
    return Opened(options, FormatFile(files, lambda: _Orders(products, event), _COLUMNS))


class Products:
    """The products of the export beside the orders, by the SKU of a variant or the name of a line."""

    def __init__(self, path: Path) -> None:
        self._by_handle: dict[str, Product] = {}
        self._by_sku: dict[str, Product] = {}
        self._by_title: dict[str, Product] = {}
        place = beside(path, r"products.*\.csv")
        if place is None:
            return
        file = open_place(place)
        file.require(("Handle", "Title"))
        for batch in file.batches(50_000):
            columns = (column(batch, name) for name in ("Handle", "Title", "Type", "Status", "Variant SKU"))
            for handle, title, kind, status, sku in zip(*columns, strict=True):
                if handle is not None and title is not None:  # rows of further variants have the handle alone
                    self._by_handle.setdefault(handle, Product(handle, title, kind, (status or "active") == "active"))
                if handle in self._by_handle:
                    self._add(self._by_handle[handle or ""], sku)

    def __bool__(self) -> bool:
        return bool(self._by_handle)

    def _add(self, product: Product, sku: str | None) -> None:
        if product.title is not None:
            self._by_title.setdefault(product.title, product)
        if sku is not None:
            self._by_sku.setdefault(sku, product)

    def of_line(self, sku: str | None, name: str | None) -> Product | None:
        """Return the product of a line; a line's name is a title, or a title, " - " and the options of a variant."""
        if sku in self._by_sku:
            return self._by_sku[sku or ""]
        parts = (name or "").split(" - ")
        titles = (" - ".join(parts[:end]) for end in range(len(parts), 0, -1))
        return next((self._by_title[title] for title in titles if title in self._by_title), None)


class _Orders(Shape):
    """Gives every line what only the first line of its order has."""

    def __init__(self, products: Products, event: str) -> None:
        super().__init__()
        self._products, self._event = products, event
        self._order: str | None = None
        self._line = 0
        self._of_order: dict[str, str | None] = {}

    def rows(self, file: EventFile, batch: Any) -> Any:
        read = {name: column(batch, name) for name in (*_NEEDS, *_OF_ORDER, "Lineitem sku")}
        columns: dict[str, Column] = {name: [] for name in _COLUMNS}
        for place in range(batch.num_rows):
            row = {name: values[place] for name, values in read.items()}
            self._begin_line(row)
            reason = self._reason(row)
            if reason is None:
                for name, value in self._purchase(row).items():
                    columns[name].append(value)
            else:
                if reason == ILLEGIBLE_QUANTITY:
                    self.drop_unread(reason, row["Lineitem quantity"], QUANTITIES)
                else:
                    self.dropped[reason] += 1
                self.withdrawn.append((self._event, f"{self._order}{SEPARATOR}{self._line}"))
        return as_batch(columns)

    def _begin_line(self, row: Mapping[str, str | None]) -> None:
        if row["Name"] is not None and row["Name"] != self._order:
            self._order, self._line, self._of_order = row["Name"], 0, {}
        self._line += 1
        for name in _OF_ORDER:
            if row[name] is not None:
                self._of_order.setdefault(name, row[name])

    def _reason(self, row: Mapping[str, str | None]) -> str | None:
        """Return why a line is no purchase; None if it is one."""
        status = (self._of_order.get("Financial Status") or "").lower().replace(" ", "_")
        if self._of_order.get("Cancelled at"):
            return "order cancelled"
        if status not in _BOUGHT and (status or not self._of_order.get("Paid at")):
            return f"order {status[:50].replace('_', ' ') or 'without a status'}"
        pieces = count(row["Lineitem quantity"])
        if math.isnan(pieces):
            return ILLEGIBLE_QUANTITY
        return None if pieces > 0 else "quantity of 0 or below"

    def _purchase(self, row: Mapping[str, str | None]) -> dict[str, str | None]:
        email, phone = self._of_order.get("Email"), self._of_order.get("Phone")
        product = self._products.of_line(row["Lineitem sku"], row["Lineitem name"])
        item = product.handle if product else row["Lineitem sku"] or row["Lineitem name"]
        if self._products and item is not None:
            self.active[item] = product is not None and product.is_active
        return {
            ORDER: self._order,
            LINE: str(self._line),
            USER: email.lower() if email else phone,
            ITEM: item,
            TIMESTAMP: self._of_order.get("Created at"),
            NAME: (product.title if product else None) or row["Lineitem name"],
            CATEGORY: product.kind if product else None,
            PRICE: row["Lineitem price"],
        }
