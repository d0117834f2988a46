"""What every model makes of a customer's history: a slow and a fast pooled taste, and the customer's own counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recsys.scorers.base import Query

SECONDS_PER_DAY = 86_400
OWN_HALF_LIFE_DAYS = 60.0  # an own event counts half after two months


def pooled(query: Query, item_vectors: NDArray[np.float32], decay: float) -> NDArray[np.float32]:
    """Return `Σ_j w_j · decay^age(j) · a_j`, age 0 being the newest item of the history.

    Args:
        query: The customer's history.
        item_vectors: `(n_items, dim)` float32, the vectors a.
        decay: Between 0 and 1.

    Returns:
        `(dim,)` float32; zeros for an empty history.
    """
    ages = np.arange(len(query.items) - 1, -1, -1, dtype=np.float32)
    return (query.weights * np.float32(decay) ** ages) @ item_vectors[query.items]


def distinct_items(query: Query) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the distinct items of the history `(k,)` int32 ascending, and each event's position among them `(h,)` int64."""
    return query.once("distinct items", lambda: np.unique(query.items, return_inverse=True))


def ages(query: Query) -> NDArray[np.int64]:
    """Return `(h,)` int64: after each event, the number of distinct later moments of the history; a basket counts once."""
    changes = np.diff(query.timestamps, append=query.timestamps[-1:]) != 0
    return np.cumsum(changes[::-1])[::-1]


def own_sums(query: Query, half_lives: Sequence[float]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the sums of positive weight of each item of the history, one for each half-life.

    Args:
        query: The customer's history.
        half_lives: Days before `query.now` after which an event counts half; infinity counts all alike.

    Returns:
        The distinct items `(k,)` int32 ascending; `(len(half_lives), k)` float32.
    """
    items, inverse = distinct_items(query)
    weights = np.maximum(query.weights, 0)
    days = np.maximum(query.now - query.timestamps, 0) / SECONDS_PER_DAY
    sums = [np.bincount(inverse, weights * 0.5 ** (days / half_life), len(items)) for half_life in half_lives]
    return items, np.array(sums, np.float32)


def own_counts(query: Query) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
    """Return what the customer did with each item of the history.

    Returns:
        The distinct items `(k,)` int32 ascending; `(k,)` float32 the sum of their positive weights; `(k,)` float32 the same sum
        with every event halved for each 60 days of age.
    """
    items, (counts, decayed) = own_sums(query, (np.inf, OWN_HALF_LIFE_DAYS))
    return items, counts, decayed


def add_at(scores: NDArray[np.float32], own: NDArray[np.int32], values: NDArray[np.float32], items: NDArray[np.int32] | None) -> None:
    """Add `values` to the scores of the items `own` (ascending), in place; `scores` stands for `items`, None for all."""
    if items is None:
        scores[own] += values
    elif len(own):
        found = np.minimum(np.searchsorted(own, items), len(own) - 1)
        scores += np.where(own[found] == items, values[found], 0)
