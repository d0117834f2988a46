"""What every model makes of a customer's history: a slow and a fast pooled taste, and the customer's own counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recsys.features.query import Query

SECONDS_PER_DAY = 86_400
USER_ITEM_HALF_LIFE_DAYS = 60.0  # an own event counts half after two months


def pooled(query: Query, item_vectors: NDArray[np.float32], decay: float) -> NDArray[np.float32]:
    """Return `Σ_j w_j · decay^age(j) · a_j`, age 0 being the newest item of the history.

    Args:
        query: The customer's history.
        item_vectors: `(n_items, dim)` float32, the vectors a.
        decay: Between 0 and 1.

    Returns:
        `(dim,)` float32; zeros for an empty history. `(v, dim)` of variants.
    """
    recency = query.once(
        ("faded", float(decay), query.variants), lambda: weights(query) * np.float32(decay) ** later(query)
    )
    return recency @ item_vectors[query.items]


def weights(query: Query) -> NDArray[np.float32]:
    """Return the weight of each event, `(h,)` float32, or of each event in each variant, `(v, h)`: 0 where it is left out."""
    return query.weights if query.kept is None else query.weights * query.kept


def later(query: Query) -> NDArray[np.float32]:
    """Return the number of events after each one, `(h,)` float32, or `(v, h)` of those that each variant has."""
    if query.kept is None:
        return np.arange(len(query.items) - 1, -1, -1, dtype=np.float32)
    return _after(query.kept).astype(np.float32)


def distinct_items(query: Query) -> NDArray[np.int32]:
    """Return the distinct items of the history, `(k,)` int32, ascending."""
    return _by_item(query)[0]


def by_item(query: Query, values: NDArray) -> NDArray:
    """Return the sums of the values of each distinct item's events, `(..., k)` out of `(..., h)`."""
    _, order, starts = _by_item(query)
    sums: NDArray = np.add.reduceat(values[..., order], starts, axis=-1)
    return sums


def ages(query: Query) -> NDArray[np.int64]:
    """Return `(h,)` int64, or `(v, h)`: after each event, the number of distinct later moments; a basket counts once."""
    first = _differ(query.timestamps)
    moments = np.cumsum(first)  # from 1
    if query.kept is None:
        return moments[-1:] - moments
    return _after(np.logical_or.reduceat(query.kept, np.flatnonzero(first), axis=-1))[..., moments - 1]


def _by_item(query: Query) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct items, the events in the order of their items, and where each item's events begin there."""

    def sort() -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
        order = np.argsort(query.items, kind="stable")
        sorted_items = query.items[order]
        starts = np.flatnonzero(_differ(sorted_items))
        return sorted_items[starts], order, starts

    return query.once("by item", sort)


def _differ(values: NDArray) -> NDArray[np.bool_]:
    """Return which values differ from the one before; the first does."""
    differ = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=differ[1:])
    return differ


def _after(there: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return, along the last axis, how many are there after each."""
    counts: NDArray[np.int64] = np.cumsum(there[..., ::-1], -1)[..., ::-1] - there
    return counts


def user_item_sums(query: Query, half_lives: Sequence[float]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the sums of positive weight of each item of the history, one for each half-life.

    Args:
        query: The customer's history.
        half_lives: Days before `query.now` after which an event counts half; infinity counts all alike.

    Returns:
        The distinct items `(k,)` int32 ascending; `(len(half_lives), k)` float32.
    """
    days = np.maximum(query.now - query.timestamps, 0) / SECONDS_PER_DAY
    recency_weighted = 0.5 ** (days / np.array(half_lives)[:, None])
    return distinct_items(query), by_item(query, np.maximum(query.weights, 0) * recency_weighted).astype(np.float32)


def user_item_counts(query: Query) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
    """Return what the customer did with each item of the history.

    Returns:
        The distinct items `(k,)` int32 ascending; `(k,)` float32 the sum of their positive weights; `(k,)` float32 the
        same sum with every event halved for each 60 days of age.
    """
    items, (counts, decayed) = user_item_sums(query, (np.inf, USER_ITEM_HALF_LIFE_DAYS))
    return items, counts, decayed


def add_at(
    scores: NDArray[np.float32], own: NDArray[np.int32], values: NDArray[np.float32], items: NDArray[np.int32] | None
) -> None:
    """Add `values` `(k,)` to the scores of the items `own` (ascending), in place; `scores` stands for `items`, None for all."""
    if items is None:
        scores[own] += values
    elif len(own):
        found = np.minimum(np.searchsorted(own, items), len(own) - 1)
        scores += np.where(own[found] == items, values[found], 0)
