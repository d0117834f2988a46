"""What a version and the orders know of products: `rec_product_similarities` and `rec_frequently_together`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.artifacts import Version
from recsys.data.cleaning import SECONDS_PER_DAY, clean_history
from recsys.data.interactions import Interactions
from recsys.errors.records import Record
from recsys.features.features import Neighbours
from recsys.related.together import ORDER_DAYS, families_of, orders_of, rank_in_group, together_pairs
from recsys.settings import Shop
from recsys.store import Database
from recsys.store.tracking_exports import (
    SIMILARITIES,
    TOGETHER,
    exported_version,
    has_table,
    read_parents,
    read_purchases,
    replace_rows,
    similar_rows,
    together_rows,
)

WEIGHTS = "item_cf.h5"
SIMILAR_ITEMS = 30  # of each item; what else is shown beside a product comes from the models
TOGETHER_ITEMS = 50
COLUMNS = ("item_id", "together_id", "n_orders", "lift", "confidence", "confidence_back")

Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]


class SimilarItem(NamedTuple):
    """An item that is similar to another one.

    Attributes:
        item_id: The item's id as text.
        score: The version's weight, above 0.
    """

    item_id: str
    score: float


class TogetherItem(Record):
    """An item that is bought together with another one.

    Attributes:
        item_id: The item's id as text.
        n_orders: The number of orders that hold both.
        lift: How much more often than by chance, shrunk towards 1; above 1.
        confidence: The share of the first item's orders that hold this one, too.
        confidence_back: The share of this item's orders that hold the first one, too.
    """

    item_id: str
    n_orders: int
    lift: float
    confidence: float
    confidence_back: float


def export_similarities(db: Database, version: Version) -> int:
    """Replace `rec_product_similarities` by a version's item-item weights, in one transaction.

    They are those of item-based collaborative filtering. Of each item the best `SIMILAR_ITEMS` are taken; where `b` is
    among those of `a`, there is a row from `b` to `a`, too.

    Args:
        db: The database; without the table, nothing is done.
        version: The open version; one without such weights leaves no rows.

    Returns:
        The number of rows, also where the table holds this version already.
    """
    if not has_table(db, SIMILARITIES):
        return 0
    name, n_rows = exported_version(db)
    if name == version.name:
        return n_rows
    if not version.holds(WEIGHTS):
        return replace_rows(db, SIMILARITIES, lambda: ()) if n_rows else 0
    weights = Neighbours.from_arrays(version.arrays(WEIGHTS))
    ids = [
        item.decode() if isinstance(item, bytes) else str(item)
        for item in version.arrays("encoders.h5")["items"].tolist()
    ]

    def rows() -> Iterator[dict[str, Any]]:
        for item, similar, score in zip(*map(np.ndarray.tolist, both_directions(weights)), strict=True):
            yield {"item_id": ids[item], "similar_id": ids[similar], "score": score, "version": version.name}

    return replace_rows(db, SIMILARITIES, rows)


def both_directions(weights: Neighbours, n_best: int = SIMILAR_ITEMS) -> Pairs:
    """Return the best neighbours of each item, and the pairs in the other direction that are not among them.

    A pair that is added has its own weight, or where it has none the weight of the direction that it mirrors.

    Args:
        weights: W from items (rows) to items (columns); weights of 0 or less, and those of an item to itself, are left
            out.
        n_best: The most neighbours of an item, before pairs are added.

    Returns:
        `(k,)` int64 items, `(k,)` int64 their similar items, `(k,)` float64 weights above 0.
    """
    n_items = weights.n_items
    items = np.repeat(np.arange(n_items, dtype=np.int64), np.diff(weights.starts))
    others, values = weights.neighbours.astype(np.int64), weights.similarities.astype(np.float64)
    keep = (values > 0) & np.isfinite(values) & (items != others)
    items, others, values = items[keep], others[keep], values[keep]
    order = np.lexsort((others, -values, items))
    items, others, values = items[order], others[order], values[order]
    best = rank_in_group(items) < n_best
    pairs, mirrored = items[best] * n_items + others[best], others[best] * n_items + items[best]
    added = ~np.isin(mirrored, pairs)
    every = items * n_items + others
    sorted_pairs = np.argsort(every)
    place = np.minimum(np.searchsorted(every, mirrored[added], sorter=sorted_pairs), max(len(every) - 1, 0))
    own = sorted_pairs[place]
    added_values = np.where(every[own] == mirrored[added], values[own], values[best][added])
    return (
        np.concatenate([items[best], others[best][added]]),
        np.concatenate([others[best], items[best][added]]),
        np.concatenate([values[best], added_values]),
    )


def similar_items(db: Database, item_id: int | str, limit: int) -> list[SimilarItem]:
    """Return the items most similar to one, best first; none for an unknown item. Inactive items are among them."""
    return [SimilarItem(*row) for row in similar_rows(db, str(item_id), limit)]


def export_together(db: Database, shop: Shop, *, now: int) -> int:
    """Replace `rec_frequently_together` by what the orders of the last year say, in one transaction.

    Args:
        db: The shop's database; without the table, nothing is done.
        shop: The mapping. Where its products name a `parent`, variants of one product are never a pair.
        now: Seconds since 1970.

    Returns:
        The number of rows.
    """
    if not has_table(db, TOGETHER):
        return 0
    bought = read_purchases(db, shop, now - ORDER_DAYS * SECONDS_PER_DAY)
    purchases, _ = clean_history(bought, shop=shop, now=now)
    rows = together(purchases, read_parents(db, shop))
    return replace_rows(db, TOGETHER, lambda: rows)


def together(purchases: Interactions, parents: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the rows of `rec_frequently_together`: pairs that orders hold more often than chance has it.

    Args:
        purchases: Purchases that stand, ordered by time.
        parents: The product that each variant belongs to, by ids as text.
    """
    names, items = np.unique(purchases.items.astype(str), return_inverse=True)
    users = np.unique(purchases.users.astype(str), return_inverse=True)[1]
    ids: Sequence[str] = names.tolist()
    pairs = together_pairs(
        orders_of(users, purchases.timestamps),
        items,
        len(ids),
        families=families_of(ids, parents),
        n_neighbours=TOGETHER_ITEMS,
    )
    columns = pairs.items, pairs.neighbours, pairs.n_orders, pairs.lifts, pairs.confidences, pairs.confidences_back
    return [
        dict(zip(COLUMNS, (ids[item], ids[other], *figures), strict=True))
        for item, other, *figures in zip(*map(np.ndarray.tolist, columns), strict=True)
    ]


def together_with(db: Database, item_id: int | str, limit: int) -> list[TogetherItem]:
    """Return the items bought together with one by the exported table, best first; none for an unknown item."""
    return [TogetherItem(*row) for row in together_rows(db, str(item_id), limit)]
