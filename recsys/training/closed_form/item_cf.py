"""Fitting item-item collaborative filtering: shrunk cosine (Sarwar et al. 2001)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.features.query import Arrays
from recsys.scorers.item_item import tie_break
from recsys.training.closed_form.co_occurrence import affection, co_occurrences, customers, stacked

NEIGHBOURS = 200
SHRINKAGE = 10.0
MIN_CO_OCCURRENCE = 2.0


def item_cf(
    users: NDArray[np.int32],
    items: NDArray[np.int32],
    weights: NDArray[np.float32],
    n_users: int,
    n_items: int,
    *,
    weighted: bool = False,
    min_co_occurrence: float = MIN_CO_OCCURRENCE,
    shrinkage: float = SHRINKAGE,
    n_neighbours: int = NEIGHBOURS,
) -> Arrays:
    """Return the arrays of `ItemCF`: cosine × co-occurrence / (co-occurrence + shrinkage), the nearest of each item.

    Args:
        users: `(n,)` int32.
        items: `(n,)` int32.
        weights: `(n,)` float32; negative events don't count.
        n_users: The number of users.
        n_items: The number of items.
        weighted: Whether a customer counts by her summed weight for the item, at most 1, instead of 1. A co-occurrence
            is then the product of two such weights.
        min_co_occurrence: Items with fewer common customers are no neighbours.
        shrinkage: So many common customers halve the cosine.
        n_neighbours: The most neighbours of an item.

    Returns:
        `starts` `(n_items + 1,)` int64, `neighbours` `(k,)` int32, `similarities` `(k,)` float32 above 0, `tie_break`
        `(n_items,)` float32.

    Raises:
        ValueError: A weight is NaN or infinite, or a parameter is out of range.
    """
    if n_neighbours < 1 or not shrinkage >= 0:
        raise ValueError(
            f"`n_neighbours` should be at least 1 and `shrinkage` at least 0. Received: n_neighbours={n_neighbours}, shrinkage={shrinkage}."
        )
    matrix = (affection if weighted else customers)(users, items, weights, n_users, n_items)
    squares = np.asarray(matrix.power(2).sum(0)).ravel()
    nearest = (
        _nearest(rows, first, squares, min_co_occurrence, shrinkage, n_neighbours)
        for first, rows in co_occurrences(matrix)
    )
    popularity = np.bincount(matrix.indices, minlength=n_items)
    return {**stacked(part for parts in nearest for part in parts), "tie_break": tie_break(popularity)}


def _nearest(
    together: Any,
    first: int,
    squares: NDArray[np.float32],
    min_co_occurrence: float,
    shrinkage: float,
    n_neighbours: int,
) -> list[tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]]:
    """Return, for each of some rows of the co-occurrence matrix, the number of neighbours, their indices and similarities."""
    parts = []
    for row in range(together.shape[0]):
        span = slice(together.indptr[row], together.indptr[row + 1])
        others, counts = together.indices[span], together.data[span]
        keep = (others != first + row) & (counts >= min_co_occurrence)
        others, counts = others[keep], counts[keep]
        similar = counts / np.sqrt(squares[first + row] * squares[others]) * counts / (counts + shrinkage)
        best = np.lexsort((others, -similar))[:n_neighbours]
        parts.append((np.array([len(best)], np.int64), others[best].astype(np.int32), similar[best].astype(np.float32)))
    return parts
