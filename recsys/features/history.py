"""Functions over a query's history: weights, ages, distinct items, and sums of each item's events.

If a query stands for v leave-one-out variants, a left-out event has weight 0 and does not make older events older.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recsys.features.query import Query

SECONDS_PER_DAY = 86_400
USER_ITEM_HALF_LIFE_DAYS = 60.0  # an event of two months ago counts half in a user's own counts


def event_weights(query: Query) -> NDArray[np.float32]:
    """Return the weight of each event, `(h,)` float32; `(v, h)` for variants, 0 where an event is left out."""
    return query.weights if query.masks is None else query.weights * query.masks


def events_after(query: Query) -> NDArray[np.float32]:
    """Return the number of events after each one, `(h,)` float32; `(v, h)` for variants, without left-out ones."""
    if query.masks is None:
        return np.arange(len(query.items) - 1, -1, -1, dtype=np.float32)
    return _count_after(query.masks).astype(np.float32)


def distinct_items(query: Query) -> NDArray[np.int32]:
    """Return the distinct items of the history, `(k,)` int32, ascending."""
    return _events_by_item(query)[0]


def sum_by_item(query: Query, values: NDArray) -> NDArray:
    """Return the sum of each distinct item's values, `(..., k)`.

    Args:
        query: The query whose history is summed.
        values: `(..., h)`, one for each event.
    """
    _, order, starts = _events_by_item(query)
    sums: NDArray = np.add.reduceat(values[..., order], starts, axis=-1)
    return sums


def ages(query: Query) -> NDArray[np.int64]:
    """Return the number of distinct moments after each event, `(h,)` int64, or `(v, h)`; a basket is one moment."""
    first = _differs_from_previous(query.timestamps)
    moments = np.cumsum(first)  # from 1
    if query.masks is None:
        return moments[-1:] - moments
    has_moment = np.logical_or.reduceat(query.masks, np.flatnonzero(first), axis=-1)
    return _count_after(has_moment)[..., moments - 1]


def _events_by_item(query: Query) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct items, the events sorted by item, and the position of each item's first event there."""

    def sort() -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
        order = np.argsort(query.items, kind="stable")
        sorted_items = query.items[order]
        starts = np.flatnonzero(_differs_from_previous(sorted_items))
        return sorted_items[starts], order, starts

    return query.once("events by item", sort)


def _differs_from_previous(values: NDArray) -> NDArray[np.bool_]:
    """Return which values differ from the one before them; the first value does."""
    differs = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=differs[1:])
    return differs


def _count_after(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the number of true values after each position of the last axis."""
    counts: NDArray[np.int64] = np.cumsum(mask[..., ::-1], -1)[..., ::-1] - mask
    return counts


def user_item_sums(query: Query, half_lives: Sequence[float]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the sum of positive weights of each item of the history, for each half-life.

    Args:
        query: The query whose history is summed.
        half_lives: In days before `query.now`; infinity means no decay.

    Returns:
        The distinct items `(k,)` int32 ascending; the sums `(len(half_lives), k)` float32.
    """
    days = np.maximum(query.now - query.timestamps, 0) / SECONDS_PER_DAY
    recency = 0.5 ** (days / np.array(half_lives)[:, None])
    return distinct_items(query), sum_by_item(query, np.maximum(query.weights, 0) * recency).astype(np.float32)


def user_item_counts(query: Query) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
    """Return how much the user chose each item of the history.

    Returns:
        The distinct items `(k,)` int32 ascending; the sum of their positive weights `(k,)` float32; and the same sum
        with a half-life of 60 days, `(k,)` float32.
    """
    items, (counts, decayed) = user_item_sums(query, (np.inf, USER_ITEM_HALF_LIFE_DAYS))
    return items, counts, decayed


def add_at(
    scores: NDArray[np.float32],
    user_items: NDArray[np.int32],
    values: NDArray[np.float32],
    items: NDArray[np.int32] | None,
) -> None:
    """Add values to the scores of some items, in place.

    Args:
        scores: One score for each of `items`.
        user_items: `(k,)` int32 ascending, the items whose scores are raised.
        values: `(k,)` float32.
        items: The items that `scores` stands for, in any order; None means the whole catalogue.
    """
    if items is None:
        scores[user_items] += values
    elif len(user_items):
        nearest = np.minimum(np.searchsorted(user_items, items), len(user_items) - 1)
        scores += np.where(user_items[nearest] == items, values[nearest], 0)
