"""Fitting item-based collaborative filtering: shrunk cosine similarity (Sarwar et al. 2001)."""

from __future__ import annotations

from typing import Any

import numpy as np

from recsys.features.query import Arrays
from recsys.scorers.item_item import tie_break
from recsys.training.closed_form.co_occurrence import co_occurrences, stack_rows

NEIGHBOURS = 200
SHRINKAGE = 10.0
MIN_CO_OCCURRENCE = 2.0


def item_cf(
    matrix: Any,
    *,
    min_co_occurrence: float = MIN_CO_OCCURRENCE,
    shrinkage: float = SHRINKAGE,
    n_neighbours: int = NEIGHBOURS,
) -> Arrays:
    """Return the arrays of `ItemCF`: the most similar items of each item.

    The similarity is `cosine × co-occurrence / (co-occurrence + shrinkage)`.

    Args:
        matrix: Which users have positive events with which items, as `user_item_matrix` returns it.
        min_co_occurrence: Items with fewer common users are no neighbours.
        shrinkage: The number of common users that halves the cosine.
        n_neighbours: The most neighbours of an item.

    Returns:
        `starts` `(n_items + 1,)` int64, `neighbours` `(k,)` int32, `similarities` `(k,)` float32 above 0, `tie_break`
        `(n_items,)` float32.

    Raises:
        ValueError: A parameter is out of range.
    """
    if n_neighbours < 1 or not shrinkage >= 0:
        raise ValueError(
            "`n_neighbours` should be at least 1 and `shrinkage` at least 0. "
            f"Received: n_neighbours={n_neighbours}, shrinkage={shrinkage}."
        )
    squares = np.asarray(matrix.power(2).sum(0)).ravel()
    parts = []
    for first, together in co_occurrences(matrix):
        for row in range(together.shape[0]):
            span = slice(together.indptr[row], together.indptr[row + 1])
            others, counts = together.indices[span], together.data[span]
            keep = (others != first + row) & (counts >= min_co_occurrence)
            others, counts = others[keep], counts[keep]
            similar = counts / np.sqrt(squares[first + row] * squares[others]) * counts / (counts + shrinkage)
            best = np.lexsort((others, -similar))[:n_neighbours]
            length, neighbours = np.array([len(best)], np.int64), others[best].astype(np.int32)
            parts.append((length, neighbours, similar[best].astype(np.float32)))
    popularity = np.bincount(matrix.indices, minlength=matrix.shape[1])
    return {**stack_rows(parts), "tie_break": tie_break(popularity)}
