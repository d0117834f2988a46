"""From a ranking to a list that a shop can show: what is sold now, what was asked for, as many as there are."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys import store
from recsys.contract import Filters, Request
from recsys.recommending.loading import ItemRefs, indices
from recsys.recommending.user import User

HEADROOM = 20  # ranked items fetched beyond the limit, because some are sold out by now
DOUBLINGS = 3


@dataclass(frozen=True)
class ItemFilter:
    """Which items may be answered.

    Attributes:
        allowed: `(n_items,)` bool.
        excluded: External ids that may not be answered, whether training saw them or not.
        candidates: The only external ids that may be answered; None admits all.
        filters: What an item must be.
        limit: The number of items wanted.
    """

    allowed: NDArray[np.bool_]
    excluded: frozenset[int | str]
    candidates: frozenset[int | str] | None
    filters: Filters
    limit: int

    @property
    def depth(self) -> int:
        """The most ranked items that a list may need, if what leads the ranking is sold out by now."""
        return self.depth_of(DOUBLINGS)

    def depth_of(self, doubling: int) -> int:
        """Return how many ranked items are looked up the first time, the second time and so on."""
        return int((self.limit + HEADROOM) * 2**doubling)

    @property
    def needed_columns(self) -> list[str]:
        """What has to be known of a product, besides that it is sold, to say whether it may be answered."""
        asked = self.filters
        bounds = asked.price_min is not None or asked.price_max is not None
        needed = {"category": asked.category is not None, "brand": asked.brand is not None, "price": bounds}
        return [name for name, is_needed in needed.items() if is_needed]

    def is_eligible(self, row: store.ProductRow) -> bool:
        """Return whether a product, as the shop describes it now, may be answered."""
        asked = self.filters
        return (
            row.active
            and row.item_id not in self.excluded
            and (self.candidates is None or row.item_id in self.candidates)
            and (asked.category is None or _same(row.category, asked.category))
            and (asked.brand is None or _same(row.brand, asked.brand))
            and (asked.price_min is None or row.price >= asked.price_min)
            and (asked.price_max is None or row.price <= asked.price_max)
        )


@dataclass(frozen=True)
class RecommendationList:
    """What is shown.

    Attributes:
        items: `(at most limit,)` pairs of external id and item index; -1 for a product that training did not see.
        ids: The external id of every item that was looked up, by index.
        available: The indices among them that may be answered now.
        notes: What could not be looked up, for people.
    """

    items: tuple[tuple[int | str, int], ...]
    ids: dict[int, int | str]
    available: frozenset[int]
    notes: tuple[str, ...] = ()


def build_item_filter(request: Request, user: User, resolved: ItemRefs) -> ItemFilter:
    """Return which items a request and the repeat rule allow."""
    items = user.bundle.items
    allowed = _filtered(request.filters, user)
    if request.candidates is not None:
        among = np.zeros(len(items), bool)
        among[indices(resolved, request.candidates)] = True
        allowed &= among
    allowed[user.hidden()] = False
    outside = request.exclude if request.item_id is None else (*request.exclude, request.item_id)
    allowed[indices(resolved, outside)] = False
    candidates = (
        None
        if request.candidates is None
        else frozenset(resolved[item].item_id for item in request.candidates if item in resolved)
    )
    excluded = user.bought | {resolved[item].item_id for item in outside if item in resolved}
    return ItemFilter(allowed, frozenset(excluded), candidates, request.filters, request.limit)


def fill_list(
    db: store.Database,
    user: User,
    best: Callable[[int], NDArray[np.int32]],
    item_filter: ItemFilter,
    others: Sequence[int],
) -> RecommendationList:
    """Return the best items that are sold now, filled up from the shop's own products where the ranking has no more.

    Args:
        db: The shop's database.
        user: Who asks.
        best: Returns so many indices of items that the winner ranks highest among those that are wanted, or all there
            are.
        item_filter: Which items may be answered.
        others: Further indices to look up, those of the other models' lists.
    """
    ids: dict[int, int | str] = {}
    rows: dict[int | str, store.ProductRow] = {}
    for doubling in range(DOUBLINGS + 1):
        depth = item_filter.depth_of(doubling)
        ranked = best(depth).tolist()
        missing = [item for item in dict.fromkeys([*ranked, *(others if not doubling else ())]) if item not in ids]
        fresh = user.bundle.original_ids(missing)
        ids |= dict(zip(missing, fresh, strict=True))
        fetched = store.products(db, user.shop, fresh, item_filter.needed_columns)
        rows |= {row.item_id: row for row in fetched if item_filter.is_eligible(row)}
        listed = [(ids[item], item) for item in ranked if ids[item] in rows][: item_filter.limit]
        if len(listed) == item_filter.limit or len(ranked) < depth:
            break
    notes: tuple[str, ...] = ()
    if len(listed) < item_filter.limit:
        try:
            listed += _fill(db, user, item_filter, [item for item, _ in listed])
        except store.UnusableValue:
            notes = (
                "items: none of the shop's other products, because the database cannot work out all of their rows",
            )
    return RecommendationList(
        tuple(listed), ids, frozenset(index for index, item in ids.items() if item in rows), notes
    )


def _fill(
    db: store.Database, user: User, item_filter: ItemFilter, taken: Sequence[int | str]
) -> list[tuple[int | str, int]]:
    """Return products that no ranking reached, because they are new or too rare: the newest first."""
    asked = item_filter.filters
    rows = store.newest_products(
        db,
        user.shop,
        limit=item_filter.limit - len(taken),
        exclude=[*item_filter.excluded, *taken],
        among=None if item_filter.candidates is None else list(item_filter.candidates),
        category=asked.category,
        brand=asked.brand,
        price_min=asked.price_min,
        price_max=asked.price_max,
    )
    return [(row.item_id, -1) for row in rows if item_filter.is_eligible(row)]


def _filtered(filters: Filters, user: User) -> NDArray[np.bool_]:
    """Return which items were sold and passed the filters when the version was trained; the shop's present word is asked later."""
    items = user.bundle.items
    allowed = items.active.copy()
    if filters.category is not None:
        allowed &= np.isin(items.categories, _codes(items.category_names, filters.category))
    if filters.brand is not None:
        allowed &= np.isin(items.brands, _codes(items.brand_names, filters.brand))
    low, high = filters.price_min, filters.price_max
    if low is not None or high is not None:  # prices change: what is near the bounds stays in until the shop is asked
        allowed &= items.prices >= (0 if low is None else low / 2)
        allowed &= items.prices <= (math.inf if high is None else high * 2)
    return allowed


def _codes(names: Sequence[str], asked: str) -> list[int]:
    return [code for code, name in enumerate(names) if _same(name, asked)]


def _same(name: str | None, asked: str) -> bool:
    return name is not None and name.strip().casefold() == asked.strip().casefold()
