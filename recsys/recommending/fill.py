"""Steps 2 and 7 of a request, eligible and fill: which items may be shown, and the list of those that the shop sells.

One filter decides for the ranking and for the check against the database. Where the ranking has too few items, new
products fill the list.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys import store
from recsys.contract import Filters, Request
from recsys.recommending.loading import Items, ModelBundle
from recsys.recommending.user import User, indices_of
from recsys.settings import Shop

HEADROOM = 20  # ranked items looked up beyond the limit, because some are sold out by now
DOUBLINGS = 3  # how often twice as many are looked up where too few are available


class ItemFilter(NamedTuple):
    """Which items are eligible for an answer.

    Attributes:
        allowed: `(n_items,)` bool, by item index; True for an eligible item.
        excluded: External ids that are not eligible, whether training saw them or not.
        candidates: The only external ids that are eligible; None admits all.
        filters: Conditions on category, brand and price.
        limit: The length of the list, 1 to 100.
        other_than: Categories whose items are not eligible, as `same_text` returns them.
    """

    allowed: NDArray[np.bool_]
    excluded: frozenset[int | str]
    candidates: frozenset[int | str] | None
    filters: Filters
    limit: int
    other_than: frozenset[str] = frozenset()

    @property
    def depth(self) -> int:
        """The most ranked items that are looked up for one list, if the first ones are sold out by now."""
        return (self.limit + HEADROOM) << DOUBLINGS

    @property
    def needed_columns(self) -> list[str]:
        """The columns that the filters read, besides whether a product is active: `category`, `brand`, `price`."""
        filters = self.filters
        has_bounds = filters.price_min is not None or filters.price_max is not None
        needed = {
            "category": filters.category is not None or bool(self.other_than),
            "brand": filters.brand is not None,
            "price": has_bounds,
        }
        return [name for name, is_needed in needed.items() if is_needed]

    def eligible(self, rows: Iterable[store.ProductRow]) -> set[int | str]:
        """Return the external ids of the products that are eligible by their present rows in the shop's database."""
        filters, candidates = self.filters, self.candidates
        low, high = filters.price_min, filters.price_max
        return {
            row.item_id
            for row in rows
            if row.active
            and row.item_id not in self.excluded
            and (candidates is None or row.item_id in candidates)
            and (filters.category is None or _is_same_text(row.category, filters.category))
            and (filters.brand is None or _is_same_text(row.brand, filters.brand))
            and (not self.other_than or (row.category is not None and same_text(row.category) not in self.other_than))
            and (low is None or row.price >= low)
            and (high is None or row.price <= high)
        }


class RecommendationList(NamedTuple):
    """The items of an answer, and what is known of those that were looked up for it.

    Attributes:
        items: Pairs of external id and item index, at most `limit`; the index of a product without a score is -1.
        available: The external ids of looked-up items that are active and eligible now.
        notes: Warnings about products that could not be looked up.
    """

    items: tuple[tuple[int | str, int], ...]
    available: set[int | str]
    notes: tuple[str, ...] = ()


def build_item_filter(request: Request, user: User, catalogue: Items) -> ItemFilter:
    """Return which items a request and the user's purchases and cart allow.

    Args:
        request: The request, with its filters, candidates and exclusions.
        user: The user, whose purchases and cart hide items.
        catalogue: The item arrays of the version.
    """
    allowed, refs = _passes_filters(request.filters, catalogue), user.refs
    candidates = None
    if request.candidates is not None:
        is_candidate = np.zeros(len(catalogue), bool)
        is_candidate[indices_of(refs, request.candidates)] = True
        allowed &= is_candidate
        candidates = frozenset(refs[item].item_id for item in request.candidates if item in refs)
    start = request.item_ids or (() if request.item_id is None else (request.item_id,))
    not_shown = (*request.exclude, *start)
    allowed[user.hidden] = False
    allowed[indices_of(refs, not_shown)] = False
    excluded = user.hidden_ids.union(refs[item].item_id for item in not_shown if item in refs)
    return ItemFilter(allowed, excluded, candidates, request.filters, request.limit)


def fill_list(
    db: store.Database,
    shop: Shop,
    item_filter: ItemFilter,
    ranked: Sequence[int],
    others: Sequence[int],
    ids: Mapping[int, int | str],
    *,
    with_new: bool = True,
) -> RecommendationList:
    """Return the best items that are available now, filled up with new products where the ranking has too few.

    Args:
        db: The shop's database.
        shop: The mapping of its tables.
        item_filter: Which items are eligible.
        ranked: The indices of the `item_filter.depth` eligible items that the winner ranks highest, best first, or of
            all eligible items where there are fewer.
        others: Indices of the other models' top items, which are looked up in the first attempt.
        ids: The external id of each of these items, by its index.
        with_new: Whether new products may fill the list.
    """
    available: set[int | str] = set()
    looked_up: set[int] = set()
    for doubling in range(DOUBLINGS + 1):
        depth = (item_filter.limit + HEADROOM) << doubling
        missing = [item for item in dict.fromkeys([*ranked[:depth], *others]) if item not in looked_up]
        looked_up.update(missing)
        rows = store.products(db, shop, [ids[item] for item in missing], item_filter.needed_columns)
        available |= item_filter.eligible(rows)
        listed = [(ids[item], item) for item in ranked[:depth] if ids[item] in available][: item_filter.limit]
        if len(listed) == item_filter.limit or len(ranked) < depth:
            break
    notes: tuple[str, ...] = ()
    if with_new and len(listed) < item_filter.limit:
        try:
            listed += _new_products(db, shop, item_filter, [item for item, _ in listed])
        except store.UnusableValue:
            notes = (
                "items: none of the shop's other products, because the database cannot work out all of their rows",
            )
    return RecommendationList(tuple(listed), available, notes)


def _new_products(
    db: store.Database, shop: Shop, item_filter: ItemFilter, listed: Sequence[int | str]
) -> list[tuple[int | str, int]]:
    """Return eligible products that the ranking lacks, because they are new or rare; the newest first.

    Args:
        db: The shop's database.
        shop: The mapping of its tables.
        item_filter: Which items are eligible.
        listed: External ids that the list holds already.

    Returns:
        Pairs of external id and -1.
    """
    filters = item_filter.filters
    rows = store.newest_products(
        db,
        shop,
        limit=item_filter.limit - len(listed),
        exclude=[*item_filter.excluded, *listed],
        among=None if item_filter.candidates is None else list(item_filter.candidates),
        category=filters.category,
        brand=filters.brand,
        price_min=filters.price_min,
        price_max=filters.price_max,
    )
    eligible = item_filter.eligible(rows)
    return [(row.item_id, -1) for row in rows if row.item_id in eligible]


def unseen_items(bundle: ModelBundle, recommended: RecommendationList) -> set[int | str]:
    """Return the external ids of the items that filled the list and that training did not see: they are new."""
    filled = [item for item, index in recommended.items if index < 0]
    known = bundle.item_indices(filled) if filled else []
    return {item for item, index in zip(filled, known, strict=True) if index < 0}


def _passes_filters(filters: Filters, items: Items) -> NDArray[np.bool_]:
    """Return which items were active and passed the filters when the version was trained, `(n_items,)` bool.

    `fill_list` checks the present rows later.
    """
    allowed = items.active.copy()
    if filters.category is not None:
        allowed &= in_category(items, filters.category)
    if filters.brand is not None:
        allowed &= np.isin(items.brands, _codes(items.brand_names, filters.brand))
    low, high = filters.price_min, filters.price_max
    if low is not None or high is not None:  # prices change: items near the bounds stay until `fill_list`
        allowed &= items.prices >= (0 if low is None else low / 2)
        allowed &= items.prices <= (math.inf if high is None else high * 2)
    return allowed


def in_category(items: Items, category: str) -> NDArray[np.bool_]:
    """Return which items had a category when the version was trained, `(n_items,)` bool; case does not matter."""
    return np.isin(items.categories, _codes(items.category_names, category))


def same_text(text: str) -> str:
    """Return a text so that two texts which differ at most in case and outer spaces are equal."""
    return text.strip().casefold()


def _codes(names: Sequence[str], requested: str) -> list[int]:
    """Return the positions of all names that are spelt like the requested one."""
    return [code for code, name in enumerate(names) if _is_same_text(name, requested)]


def _is_same_text(name: str | None, requested: str) -> bool:
    """Return whether two texts differ at most in case and outer spaces."""
    return name is not None and same_text(name) == same_text(requested)
