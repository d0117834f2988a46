"""The list of an answer: the best eligible items that the shop sells now, filled up with new products."""

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

HEADROOM = 20  # ranked items looked up beyond the limit, because some are sold out by now
DOUBLINGS = 3  # how often twice as many are looked up where too few are available


@dataclass(frozen=True)
class ItemFilter:
    """Which items are eligible for an answer.

    Attributes:
        allowed: `(n_items,)` bool, by item index; True for an eligible item.
        excluded: External ids that are not eligible, whether training saw them or not.
        candidates: The only external ids that are eligible; None admits all.
        filters: Conditions on category, brand and price.
        limit: The length of the list, 1 to 100.
    """

    allowed: NDArray[np.bool_]
    excluded: frozenset[int | str]
    candidates: frozenset[int | str] | None
    filters: Filters
    limit: int

    @property
    def depth(self) -> int:
        """The most ranked items that are looked up for one list, if the first ones are sold out by now."""
        return self.depth_of(DOUBLINGS)

    def depth_of(self, doubling: int) -> int:
        """Return the number of ranked items that one attempt looks up.

        Args:
            doubling: The attempt, from 0.
        """
        return int((self.limit + HEADROOM) * 2**doubling)

    @property
    def needed_columns(self) -> list[str]:
        """The columns that the filters read, besides whether a product is active: `category`, `brand`, `price`."""
        filters = self.filters
        has_bounds = filters.price_min is not None or filters.price_max is not None
        needed = {"category": filters.category is not None, "brand": filters.brand is not None, "price": has_bounds}
        return [name for name, is_needed in needed.items() if is_needed]

    def is_eligible(self, row: store.ProductRow) -> bool:
        """Return whether a product is eligible by its present row in the shop's database."""
        filters = self.filters
        return (
            row.active
            and row.item_id not in self.excluded
            and (self.candidates is None or row.item_id in self.candidates)
            and (filters.category is None or _is_same_text(row.category, filters.category))
            and (filters.brand is None or _is_same_text(row.brand, filters.brand))
            and (filters.price_min is None or row.price >= filters.price_min)
            and (filters.price_max is None or row.price <= filters.price_max)
        )


@dataclass(frozen=True)
class RecommendationList:
    """The items of an answer, and what is known of those that were looked up for it.

    Attributes:
        items: Pairs of external id and item index, at most `limit`; the index of a product without a score is -1.
        ids: The external id of every item that was looked up, by index.
        available: The indices of looked-up items that are active and eligible now.
        notes: Warnings about products that could not be looked up.
    """

    items: tuple[tuple[int | str, int], ...]
    ids: dict[int, int | str]
    available: frozenset[int]
    notes: tuple[str, ...] = ()


def build_item_filter(request: Request, user: User, resolved: ItemRefs) -> ItemFilter:
    """Return which items a request and the repeat rule allow.

    Args:
        request: The request, with its filters, candidates and exclusions.
        user: The user, whose purchases the repeat rule may hide.
        resolved: The items that the request names.
    """
    items = user.bundle.items
    allowed = _passes_filters(request.filters, user)
    if request.candidates is not None:
        is_candidate = np.zeros(len(items), bool)
        is_candidate[indices(resolved, request.candidates)] = True
        allowed &= is_candidate
    allowed[user.hidden()] = False
    not_shown = request.exclude if request.item_id is None else (*request.exclude, request.item_id)
    allowed[indices(resolved, not_shown)] = False
    candidates = (
        None
        if request.candidates is None
        else frozenset(resolved[item].item_id for item in request.candidates if item in resolved)
    )
    excluded = user.bought | {resolved[item].item_id for item in not_shown if item in resolved}
    return ItemFilter(allowed, frozenset(excluded), candidates, request.filters, request.limit)


def fill_list(
    db: store.Database,
    user: User,
    best: Callable[[int], NDArray[np.int32]],
    item_filter: ItemFilter,
    others: Sequence[int],
) -> RecommendationList:
    """Return the best items that are available now, filled up with new products where the ranking has too few.

    Args:
        db: The shop's database.
        user: The user who is answered.
        best: Maps k to the indices of the k eligible items that the winner ranks highest, best first, or of all
            eligible items where there are fewer.
        item_filter: Which items are eligible.
        others: Indices of the other models' top items, which are looked up in the first attempt.
    """
    ids: dict[int, int | str] = {}
    rows: dict[int | str, store.ProductRow] = {}
    for doubling in range(DOUBLINGS + 1):
        depth = item_filter.depth_of(doubling)
        ranked = best(depth).tolist()
        missing = [item for item in dict.fromkeys([*ranked, *(others if not doubling else ())]) if item not in ids]
        missing_ids = user.bundle.original_ids(missing)
        ids |= dict(zip(missing, missing_ids, strict=True))
        fetched = store.products(db, user.shop, missing_ids, item_filter.needed_columns)
        rows |= {row.item_id: row for row in fetched if item_filter.is_eligible(row)}
        listed = [(ids[item], item) for item in ranked if ids[item] in rows][: item_filter.limit]
        if len(listed) == item_filter.limit or len(ranked) < depth:
            break
    notes: tuple[str, ...] = ()
    if len(listed) < item_filter.limit:
        try:
            listed += _new_products(db, user, item_filter, [item for item, _ in listed])
        except store.UnusableValue:
            notes = (
                "items: none of the shop's other products, because the database cannot work out all of their rows",
            )
    available = frozenset(index for index, item in ids.items() if item in rows)
    return RecommendationList(tuple(listed), ids, available, notes)


def _new_products(
    db: store.Database, user: User, item_filter: ItemFilter, listed: Sequence[int | str]
) -> list[tuple[int | str, int]]:
    """Return eligible products that the ranking lacks, because they are new or rare; the newest first.

    Args:
        db: The shop's database.
        user: The user who is answered.
        item_filter: Which items are eligible.
        listed: External ids that the list holds already.

    Returns:
        Pairs of external id and -1.
    """
    filters = item_filter.filters
    rows = store.newest_products(
        db,
        user.shop,
        limit=item_filter.limit - len(listed),
        exclude=[*item_filter.excluded, *listed],
        among=None if item_filter.candidates is None else list(item_filter.candidates),
        category=filters.category,
        brand=filters.brand,
        price_min=filters.price_min,
        price_max=filters.price_max,
    )
    return [(row.item_id, -1) for row in rows if item_filter.is_eligible(row)]


def _passes_filters(filters: Filters, user: User) -> NDArray[np.bool_]:
    """Return which items were active and passed the filters when the version was trained, `(n_items,)` bool.

    `fill_list` checks the present rows later.
    """
    items = user.bundle.items
    allowed = items.active.copy()
    if filters.category is not None:
        allowed &= np.isin(items.categories, _codes(items.category_names, filters.category))
    if filters.brand is not None:
        allowed &= np.isin(items.brands, _codes(items.brand_names, filters.brand))
    low, high = filters.price_min, filters.price_max
    if low is not None or high is not None:  # prices change: items near the bounds stay until `fill_list`
        allowed &= items.prices >= (0 if low is None else low / 2)
        allowed &= items.prices <= (math.inf if high is None else high * 2)
    return allowed


def _codes(names: Sequence[str], requested: str) -> list[int]:
    """Return the positions of all names that are spelt like the requested one."""
    return [code for code, name in enumerate(names) if _is_same_text(name, requested)]


def _is_same_text(name: str | None, requested: str) -> bool:
    """Return whether two texts differ at most in case and outer spaces."""
    return name is not None and name.strip().casefold() == requested.strip().casefold()
