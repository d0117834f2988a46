"""Data sets whose events lie in several tables: Instacart and Diginetica."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute as compute
from numpy.typing import NDArray

from recsys.errors import UsageError
from recsys.importing.amounts import amount
from recsys.importing.columns import ORDER_EPOCH_S
from recsys.importing.files import EventFile
from recsys.importing.formats.files import (
    CATEGORY,
    EVENT,
    ITEM,
    NAME,
    PRICE,
    TIMESTAMP,
    USER,
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
    table_beside,
)

_ORDERS = ("order_id", "user_id", "order_number", "order_dow", "order_hour_of_day", "days_since_prior_order")
_DAY_S, _HOUR_S = 86_400, 3_600


def open_instacart(path: Path, flags: Flags) -> Opened:
    """Open `order_products__*.csv` with `orders.csv` beside them, and the names and aisles of products.

    The set has no dates. Each user's first order lies in the first week of 2000, on its day of the week (0 is Saturday)
    and at its hour; the others follow by the days since the order before, of which the set tells at most 30.
    """
    files = open_files(path, r"order_products__(prior|train)\.csv", flags, needs=("order_id", "product_id"))
    place = beside(path, r"orders\.csv")
    if place is None:
        raise UsageError(
            f"{path.name} should have orders.csv beside it, which names the users. Received: no such file."
        )
    orders = _Orders(open_place(place))
    products = table_beside(path, r"products\.csv", ("product_id", "product_name", "aisle_id"))
    aisles = table_beside(path, r"aisles\.csv", ("aisle_id", "aisle"))
    described = {
        product: (name, (aisles.get(aisle or "") or (aisle,))[0]) for product, (name, aisle) in products.items()
    }
    columns = ("order_id", USER, ITEM, TIMESTAMP, NAME, CATEGORY)
    options = options_with(
        flags, user=USER, item=ITEM, timestamp=TIMESTAMP, timestamp_unit="s", name=NAME, category=CATEGORY
    )
    return Opened(options, FormatFile(files, lambda: _Baskets(orders, described), columns))


class _Orders:
    """The user and the moment of each order, as arrays sorted by order."""

    def __init__(self, file: EventFile) -> None:
        file.require(_ORDERS)
        batches = list(file.batches(200_000, _ORDERS))
        table = pyarrow.Table.from_batches(batches) if batches else None
        order, user, number, weekday, hour, gap = (_numbers(table, name) for name in _ORDERS)
        if np.isnan(order).any() or np.isnan(user).any():
            raise UsageError(f"{file.path.name} should name each order and its user by a number. Received: other text.")
        in_turn = np.lexsort((number, user))
        is_first = np.concatenate([[True], np.diff(user[in_turn]) != 0])[: len(order)]
        days = np.cumsum(np.where(is_first, np.nan_to_num(weekday[in_turn]), np.nan_to_num(gap[in_turn])))
        start = np.maximum.accumulate(np.where(is_first, np.arange(len(order)), 0))
        before = np.concatenate([[0.0], days])[start]  # days of the users before
        moments = ORDER_EPOCH_S + _DAY_S * (days - before) + _HOUR_S * np.nan_to_num(hour[in_turn])
        by_order = np.argsort(order[in_turn], kind="stable")
        self.orders: NDArray[np.int64] = order[in_turn][by_order].astype(np.int64)
        self.users: NDArray[np.int64] = user[in_turn][by_order].astype(np.int64)
        self.moments: NDArray[np.int64] = moments[by_order].astype(np.int64)

    def find(self, orders: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the positions of orders; -1 for unknown ones."""
        places = np.searchsorted(self.orders, orders)
        known = places < len(self.orders)
        known[known] = self.orders[places[known]] == orders[known]
        return np.where(known, places, -1)


def _numbers(table: Any, name: str) -> NDArray[np.float64]:
    """Return a column of numbers; NaN for blank, NA and other text."""
    if table is None:
        return np.zeros(0)
    texts = table.column(name)
    is_number = compute.match_substring_regex(texts, r"^\s*\d{1,15}(\.\d+)?\s*$")
    plain = compute.if_else(is_number, compute.utf8_trim_whitespace(texts), None)
    return np.asarray(plain.cast(pyarrow.float64()).to_numpy(), np.float64)


class _Baskets(Shape):
    def __init__(self, orders: _Orders, products: Mapping[str, tuple[str | None, str | None]]) -> None:
        super().__init__()
        self._orders, self._products = orders, products

    def rows(self, file: EventFile, batch: Any) -> Any:
        orders, items = column(batch, "order_id"), column(batch, "product_id")
        ids = np.array(
            [int(order) if order and order.isdecimal() and len(order) < 16 else -1 for order in orders], np.int64
        )
        places = self._orders.find(ids)
        known = places >= 0
        self.dropped["order that orders.csv does not have"] += int((~known).sum())
        rows, found = np.flatnonzero(known).tolist(), places[known]
        described = [self._products.get(items[row] or "", (None, None)) for row in rows]
        return as_batch(
            {
                "order_id": [orders[row] for row in rows],
                USER: list(map(str, self._orders.users[found].tolist())),
                ITEM: [items[row] for row in rows],
                TIMESTAMP: list(map(str, self._orders.moments[found].tolist())),
                NAME: [name for name, _ in described],
                CATEGORY: [aisle for _, aisle in described],
            }
        )


_VISIT = ("sessionId", "userId", "itemId", "timeframe", "eventdate")
_NOBODY = frozenset({"NA", "N/A", "0", "-1"})


def open_diginetica(path: Path, flags: Flags) -> Opened:
    """Open `train-item-views.csv` and `train-purchases.csv`, with the categories and prices of products.

    Most rows have no user, or NA. These are guests: each of their sessions is a user, such as `session:17`. The moment
    of an event is its day and the milliseconds since its session began.
    """
    how = {"delimiter": ";"}
    files = open_files(path, r"train-(item-views|purchases)\.csv", flags, needs=_VISIT, **how)
    categories = table_beside(path, r"product-categories\.csv", ("itemId", "categoryId"), **how)
    prices = table_beside(path, r"products\.csv", ("itemId", "pricelog2"), **how)
    columns = ("sessionId", "order", USER, ITEM, EVENT, TIMESTAMP, CATEGORY, PRICE)
    options = options_with(
        flags, user=USER, item=ITEM, event=EVENT, timestamp=TIMESTAMP, category=CATEGORY, price=PRICE
    )
    return Opened(options, FormatFile(files, lambda: _Visits(categories, prices), columns))


class _Visits(Shape):
    def __init__(
        self, categories: Mapping[str, tuple[str | None, ...]], prices: Mapping[str, tuple[str | None, ...]]
    ) -> None:
        super().__init__()
        self._categories, self._prices = categories, prices

    def rows(self, file: EventFile, batch: Any) -> Any:
        event = "purchase" if "ordernumber" in file.columns else "view"
        sessions, users, items, frames, days = (column(batch, name) for name in _VISIT)
        return as_batch(
            {
                "sessionId": sessions,
                "order": column(batch, "ordernumber"),
                USER: [_visitor(*row) for row in zip(users, sessions, strict=True)],
                ITEM: items,
                EVENT: [event] * len(items),
                TIMESTAMP: [_moment(*row) for row in zip(days, frames, strict=True)],
                CATEGORY: [self._categories.get(item or "", (None,))[0] for item in items],
                PRICE: [_price(self._prices.get(item or "", (None,))[0]) for item in items],
            }
        )


def _visitor(user: str | None, session: str | None) -> str | None:
    if user is not None and user.upper() not in _NOBODY:
        return user
    return session and f"session:{session}"


def _moment(day: str | None, frame: str | None) -> str | None:
    """Return a day and milliseconds as ISO 8601; None if the day is no date.

    >>> _moment("2016-05-09", "526309"), _moment("2016-05-09", None), _moment("soon", "1")
    ('2016-05-09T00:08:46', '2016-05-09T00:00:00', None)
    """
    milliseconds = amount(frame)
    seconds = int(milliseconds // 1000) if 0 <= milliseconds < 1e12 else 0
    with suppress(ValueError, OverflowError):
        return str(np.datetime64(day or "", "s") + np.timedelta64(seconds, "s")) if day else None
    return None


def _price(logarithm: str | None) -> str | None:
    """Return the price whose logarithm to base 2 is given, in cents."""
    power = amount(logarithm)
    return f"{2.0**power:.2f}" if -64 < power < 64 else None
