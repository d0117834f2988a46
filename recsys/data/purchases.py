"""What "bought" means, and "in the cart": which purchases stand, which the repeat rule hides, and what the cart holds.

The backend's `hidden.js` says the same in JavaScript. docs/SHOP.md has the definitions in words, and
purchase_cases.json, quantity_cases.json and cart_cases.json of tests/data/ the cases that both are tested with.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.data.interactions import Interactions, is_event
from recsys.features.query import SECONDS_PER_DAY, Mask
from recsys.settings import Shop

_NO_PIECE = 1e-9  # quantities may be weights, whose sums are rounded
CART_DAYS = 30  # what was put into the cart earlier is forgotten


def bought_rows(events: Interactions, shop: Shop, now: float) -> Mask:
    """Return which rows hide their item at a moment, `(n,)` bool: purchases that stand, in the repeat rule's days.

    Args:
        events: Events of one user or of all, ordered by (timestamp, row id), without duplicates; with or without the
            rows that `cancelled_rows` drops.
        shop: Holds the names of purchases and cancellations, the weights of events, and the days.
        now: Seconds since 1970.
    """
    stand = is_event(events, purchase_names(shop))
    cancels = is_event(events, shop.cancel_events)
    stand &= ~cancelled_rows(events.users, events.items, stand, cancels, events.quantities)
    return stand & (events.timestamps >= window_start(now, shop.repeat_after_days))


def cart_rows(events: Interactions, shop: Shop, now: float) -> Mask:
    """Return which rows put an item into the cart where it still lies, `(n,)` bool.

    They are the cart events of the last `CART_DAYS` days, the first second included, that no purchase, cancellation or
    removal of the same item follows. An event that is one of these, too, puts nothing into the cart.

    Args:
        events: Events of one user, ordered by (timestamp, row id), without duplicates, and with the rows that
            `cancelled_rows` drops.
        shop: Holds the names of cart events, removals, purchases and cancellations, and the weights of events.
        now: Seconds since 1970.
    """
    taken_out = {*purchase_names(shop), *shop.cancel_events, *shop.uncart_events}
    in_cart = is_event(events, set(shop.cart_events) - taken_out) & (events.timestamps >= window_start(now, CART_DAYS))
    if in_cart.any():
        puts, ends = np.flatnonzero(in_cart), np.flatnonzero(is_event(events, taken_out))
        last = dict(zip(events.items[ends].tolist(), ends.tolist(), strict=True))
        in_cart[puts] = puts > [last.get(item, -1) for item in events.items[puts].tolist()]
    return in_cart


def purchase_names(shop: Shop) -> list[str]:
    """Return the names of the events that count as purchases, sorted: they have a weight and cancel nothing.

    >>> purchase_names(Shop(sources=(), event_weights={"order": 1.0}, purchase_events=("order", "purchase")))
    ['order']
    """
    return sorted(
        name for name in shop.purchase_events if shop.event_weights.get(name) and name not in shop.cancel_events
    )


def window_start(now: float, repeat_after_days: float) -> float:
    """Return the first second since 1970 whose purchases are hidden: -inf hides all of them, and inf hides none.

    Args:
        now: Seconds since 1970.
        repeat_after_days: Days for which a purchased item stays hidden, 0 to infinity.

    >>> window_start(1_000_000, 2), window_start(1_000_000, math.inf), window_start(1_000_000, 0)
    (827200, -inf, inf)
    """
    return now - repeat_after_days * SECONDS_PER_DAY if repeat_after_days else math.inf


class OpenPurchases:
    """The purchases of one item by one user that no cancellation has annulled yet, with the pieces that are left.

    >>> purchases = OpenPurchases()
    >>> purchases.buy("Monday", 2), purchases.buy("Tuesday", 2)
    (None, None)
    >>> purchases.take_back(1), purchases.take_back(2), purchases.take_back(9), purchases.take_back(1)
    ([], ['Tuesday'], ['Monday'], [])
    """

    def __init__(self) -> None:
        self._open: list[tuple[Any, float]] = []

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[tuple[Any, float]]:
        return iter(self._open)

    def buy(self, purchase: Any, quantity: float) -> None:
        """Add a purchase, the newest. One of the name of the newest adds its pieces to that.

        Args:
            purchase: Its name.
            quantity: Its pieces; what is no number above 0 is one piece.
        """
        pieces = quantity if quantity > 0 else 1.0
        if self._open and self._open[-1][0] == purchase:
            pieces += self._open.pop()[1]
        self._open.append((purchase, pieces))

    def take_back(self, quantity: float) -> list[Any]:
        """Take pieces back from the newest purchases, and return those of which none is left.

        Args:
            quantity: The pieces, of any sign; NaN takes back the whole of the newest purchase.
        """
        left, annulled = abs(quantity), []
        if left != left:
            return [self._open.pop()[0]] if self._open else []
        while self._open and left > _NO_PIECE:
            purchase, pieces = self._open.pop()
            if pieces - left > _NO_PIECE:
                self._open.append((purchase, pieces - left))
            else:
                annulled.append(purchase)
            left -= pieces
        return annulled


def cancelled_rows(
    users: NDArray,
    items: NDArray,
    is_purchase: Mask,
    is_cancel: Mask,
    quantities: NDArray[np.float64] | None = None,
) -> Mask:
    """Return which rows to drop, `(n,)` bool: every cancellation, and the purchases that it annuls.

    A cancellation takes its pieces from the newest earlier purchases of the same item by the same user that are not
    annulled yet; one without a quantity takes the newest as a whole. A purchase is annulled once no piece is left.
    There may be none, if the purchase is older than the data.

    Args:
        users: `(n,)` ids or indices, rows in time order.
        items: `(n,)` ids or indices.
        is_purchase: `(n,)` bool, which rows are purchases.
        is_cancel: `(n,)` bool, which rows are cancellations.
        quantities: `(n,)` float64 pieces, of any sign; NaN where they are not known. None where they never are.

    >>> bought, bought_again, cancelled = [True, False], [True, False], [False, True]
    >>> is_purchase, is_cancel = np.array([bought, bought_again, cancelled]).T
    >>> cancelled_rows(np.array([1, 1, 1]), np.array([5, 5, 5]), is_purchase, is_cancel).tolist()
    [False, True, True]
    """
    drop = is_cancel.copy()
    if not is_cancel.any():
        return drop
    rows = np.flatnonzero(is_purchase | is_cancel)
    pairs = list(zip(users[rows].tolist(), items[rows].tolist(), strict=True))
    open_purchases: dict[tuple[Hashable, Hashable], OpenPurchases] = {
        pairs[row]: OpenPurchases() for row in np.flatnonzero(is_cancel[rows])
    }
    pieces = [math.nan] * len(rows) if quantities is None else quantities[rows].tolist()
    for row, pair, cancels, quantity in zip(rows.tolist(), pairs, is_cancel[rows].tolist(), pieces, strict=True):
        purchases = open_purchases.get(pair)
        if purchases is None:
            continue  # most pairs of user and item have no cancellation
        if cancels:
            drop[purchases.take_back(quantity)] = True
        else:
            purchases.buy(row, quantity)
    return drop
