"""Fitting item-based collaborative filtering: shrunk cosine similarity (Sarwar et al. 2001)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.features.query import Arrays
from recsys.scorers.item_item import tie_break
from recsys.training.closed_form.co_occurrence import co_occurrences, stack_rows, user_item_matrix, weight_matrix

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
    """Return the arrays of `ItemCF`: the most similar items of each item.

    The similarity is `cosine × co-occurrence / (co-occurrence + shrinkage)`.

    Args:
        users: `(n,)` int32.
        items: `(n,)` int32.
        weights: `(n,)` float32; only events above 0 count.
        n_users: The number of users.
        n_items: The number of items.
        weighted: Whether a user counts by the sum of their weights for the item, at most 1, instead of by 1. Each user
            then adds the product of two such weights to a co-occurrence.
        min_co_occurrence: Items with fewer common users are no neighbours.
        shrinkage: The number of common users that halves the cosine.
        n_neighbours: The most neighbours of an item.

    Returns:
        `starts` `(n_items + 1,)` int64, `neighbours` `(k,)` int32, `similarities` `(k,)` float32 above 0, `tie_break`
        `(n_items,)` float32.

    Raises:
        ValueError: A weight is NaN or infinite, or a parameter is out of range.
    """
    if n_neighbours < 1 or not shrinkage >= 0:
        raise ValueError(
            "`n_neighbours` should be at least 1 and `shrinkage` at least 0. "
            f"Received: n_neighbours={n_neighbours}, shrinkage={shrinkage}."
        )
    matrix = (weight_matrix if weighted else user_item_matrix)(users, items, weights, n_users, n_items)
    squares = np.asarray(matrix.power(2).sum(0)).ravel()
    nearest = (
        _nearest(rows, first, squares, min_co_occurrence, shrinkage, n_neighbours)
        for first, rows in co_occurrences(matrix)
    )
    popularity = np.bincount(matrix.indices, minlength=n_items)
    return {**stack_rows(part for parts in nearest for part in parts), "tie_break": tie_break(popularity)}


def _nearest(
    together: Any,
    first: int,
    squares: NDArray[np.float32],
    min_co_occurrence: float,
    shrinkage: float,
    n_neighbours: int,
) -> list[tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]]:
    """Return the number of neighbours, their indices and their similarities for each row of a block.

    Args:
        together: `(k, n_items)`, rows of the co-occurrence matrix in CSR form.
        first: The item of the first row.
        squares: `(n_items,)`, the squared norm of each item's column.
        min_co_occurrence: As for `item_cf`.
        shrinkage: As for `item_cf`.
        n_neighbours: As for `item_cf`.
    """
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
