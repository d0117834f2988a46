"""Bought together: how much more often two items are in one order than chance has it, and what goes with a basket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from recsys.errors.records import Record
from recsys.features.features import Neighbours
from recsys.features.query import Arrays, Indices

ORDER_GAP_S = 600  # purchases of one user that follow within ten minutes belong to one order
ORDER_DAYS = 365  # older orders are of another assortment
MAX_ORDER_ITEMS = 100  # a larger order is a reseller's, and its pairs would outnumber all others
MIN_ORDERS = 2  # a small shop has such pairs; the prior keeps them behind those of many orders
LIFT_PRIOR = 3.0  # orders that a pair is thought to have had as chance has it
NEIGHBOURS = 100  # the most partners of an item: a basket of several needs more than a list shows


def orders_of(
    users: NDArray[np.integer], timestamps: NDArray[np.int64], *, gap_s: int = ORDER_GAP_S
) -> NDArray[np.int64]:
    """Return the number of the order that each purchase belongs to, from 1.

    Args:
        users: `(n,)` integers, who bought.
        timestamps: `(n,)` int64, seconds since 1970, in any order. Purchases of one user of which each follows the one
            before by at most `gap_s` are one order.
        gap_s: Seconds.

    Returns:
        `(n,)` int64.

    >>> orders_of(np.array([7, 7, 8, 7]), np.array([0, 600, 600, 1201])).tolist()
    [1, 1, 3, 2]
    """
    order = np.lexsort((timestamps, users))
    is_next = (np.diff(users[order]) == 0) & (np.diff(timestamps[order]) <= gap_s)
    numbers = np.empty(len(order), np.int64)
    numbers[order] = np.cumsum(np.concatenate([[1], ~is_next]))[: len(order)]
    return numbers


class TogetherPairs(Record):
    """The pairs of items that orders hold more often than chance has it, in CSR form, in both directions.

    Attributes:
        starts: `(n_items + 1,)` int64; the partners of item j are at `starts[j]:starts[j + 1]`, the strongest first.
        neighbours: `(k,)` int32, the partners.
        lifts: `(k,)` floats above 1, how much more often than by chance, shrunk towards 1.
        n_orders: `(k,)` int32, the number of orders that hold both.
        orders_of_item: `(n_items,)` int32, the number of orders that hold each item.
    """

    starts: NDArray[np.int64]
    neighbours: Indices
    lifts: NDArray[np.floating]
    n_orders: NDArray[np.int32]
    orders_of_item: NDArray[np.int32]

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Build the pairs from a version's arrays."""
        return cls(*(arrays[name] for name in cls.__match_args__))

    def arrays(self) -> dict[str, NDArray]:
        """Return the arrays of a version."""
        return {**{name: getattr(self, name) for name in self.__match_args__}, "lifts": self.lifts.astype(np.float32)}

    @property
    def n_items(self) -> int:
        """The number of items."""
        return len(self.starts) - 1

    @cached_property
    def items(self) -> Indices:
        """The item that each pair starts from, `(k,)` int32."""
        return np.repeat(np.arange(self.n_items, dtype=np.int32), np.diff(self.starts))

    @cached_property
    def confidences(self) -> NDArray[np.float64]:
        """The share of the first item's orders that hold the partner, too, `(k,)` float64."""
        return np.asarray(self.n_orders / self.orders_of_item[self.items], np.float64)

    @cached_property
    def confidences_back(self) -> NDArray[np.float64]:
        """The share of the partner's orders that hold the first item, too, `(k,)` float64."""
        return np.asarray(self.n_orders / self.orders_of_item[self.neighbours], np.float64)

    @cached_property
    def weights(self) -> Neighbours:
        """The strength of each pair: its confidence times its lift, so that neither rare nor ubiquitous items lead."""
        return Neighbours(self.starts, self.neighbours, (self.confidences * self.lifts).astype(np.float32))


def together_pairs(
    orders: NDArray[np.int64],
    items: NDArray[np.integer],
    n_items: int,
    *,
    families: NDArray[np.integer] | None = None,
    n_neighbours: int = NEIGHBOURS,
) -> TogetherPairs:
    """Count the pairs of items in orders, and keep those that are more than chance.

    Chance has a pair in `orders(a) · orders(b) / orders` orders. The lift is
    `(orders(a, b) + prior) / (chance + prior)`, so that a few orders move it little from 1.

    Args:
        orders: `(n,)` int64, the order of each purchase.
        items: `(n,)` the item index of each purchase; an item counts once in an order.
        n_items: The number of items.
        families: `(n_items,)` the product that each item is a variant of; variants of one are never a pair. None where
            every item is a product of its own.
        n_neighbours: The most partners of an item.
    """
    width = max(n_items, 1)
    orders, items = np.divmod(np.unique(orders * width + items), width)
    _, order_of_line, sizes = np.unique(orders, return_inverse=True, return_counts=True)
    kept = sizes[order_of_line] <= MAX_ORDER_ITEMS
    orders, items = orders[kept], items[kept]
    of_item = np.bincount(items, minlength=n_items)
    first, second, counts = _count(orders, items, width)
    chance = of_item[first] * of_item[second] / max(len(np.unique(orders)), 1)
    lifts = (counts + LIFT_PRIOR) / (chance + LIFT_PRIOR)
    keep = (counts >= MIN_ORDERS) & (lifts > 1)
    if families is not None:
        keep &= families[first] != families[second]
    a, b = np.concatenate([first[keep], second[keep]]), np.concatenate([second[keep], first[keep]])
    counts, lifts = np.tile(counts[keep], 2), np.tile(lifts[keep], 2)
    best = np.lexsort((b, -counts, -lifts * counts / of_item[a], a))
    best = best[rank_in_group(a[best]) < n_neighbours]
    return TogetherPairs(
        starts=np.concatenate([[0], np.cumsum(np.bincount(a[best], minlength=n_items))]).astype(np.int64),
        neighbours=b[best].astype(np.int32),
        lifts=lifts[best],
        n_orders=counts[best].astype(np.int32),
        orders_of_item=of_item.astype(np.int32),
    )


def _count(
    orders: NDArray[np.int64], items: NDArray[np.integer], width: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return each pair `a < b` of one order, and in how many orders it is; rows ascend by order and item."""
    found, numbers = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for step in range(1, MAX_ORDER_ITEMS):
        rows = np.flatnonzero(orders[:-step] == orders[step:])
        if len(rows) == 0:
            break  # no order has more lines
        pairs, counts = np.unique(items[rows] * width + items[rows + step], return_counts=True)
        found.append(pairs)  # counted step by step, because orders hold a pair many times over
        numbers.append(counts)
    pairs, place = np.unique(np.concatenate(found), return_inverse=True)
    counts = np.bincount(place, np.concatenate(numbers), minlength=len(pairs)).astype(np.int64)
    return *np.divmod(pairs, width), counts


def nearest_in_basket(weights: Neighbours, basket: Indices) -> Indices:
    """Return for each item the item of the basket that it goes with best; -1 where it goes with none.

    Args:
        weights: From items of the basket (rows) to items; only weights above 0 count.
        basket: `(b,)` int32.

    Returns:
        `(n_items,)` int32.
    """
    best, nearest = np.zeros(weights.n_items, np.float32), np.full(weights.n_items, -1, np.int32)
    for item in basket.tolist():
        row = slice(int(weights.starts[item]), int(weights.starts[item + 1]))
        others, values = weights.neighbours[row], weights.similarities[row]
        stronger = values > best[others]
        best[others[stronger]], nearest[others[stronger]] = values[stronger], item
    return nearest


def families_of(ids: Sequence[str], parents: Mapping[str, str]) -> NDArray[np.int64]:
    """Return the number of the product that each item is a variant of, `(n,)` int64.

    Args:
        ids: The items' ids as text.
        parents: The product that each variant belongs to, by ids as text; an item without one is a product itself.

    >>> families_of(["a", "b", "c"], {"a": "c"}).tolist()
    [1, 0, 1]
    """
    return np.unique([parents.get(item, item) for item in ids], return_inverse=True)[1].astype(np.int64)


def rank_in_group(groups: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the place of each row within the run of equal values that it belongs to, from 0.

    >>> rank_in_group(np.array([5, 5, 7, 5])).tolist()
    [0, 1, 0, 0]
    """
    starts = np.flatnonzero(np.concatenate([[True], groups[1:] != groups[:-1]])) if len(groups) else np.zeros(0, int)
    return np.arange(len(groups)) - np.repeat(starts, np.diff(np.append(starts, len(groups))))
