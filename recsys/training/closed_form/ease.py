"""Fitting EASE: item-item weights by ridge regression (Steck 2019)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.features.query import Arrays, Floats, Indices
from recsys.scorers.item_item import tie_break
from recsys.training.closed_form.co_occurrence import co_occurrences, neighbour_arrays

EXACT_UP_TO = 10_000  # items; the dense inverse then takes 800 MB
# Weights stored for each item. NDCG@10 on ml-1m's validation: 0.453 with 400, 0.459 with 1000, 0.462 with all. With 400
# and with all it is 0.0989 and 0.0984 on online-retail, 0.0507 and 0.0507 on beauty. For a history of 500 events, all
# weights take 51 ms and 1000 take 2 ms.
NEIGHBOURS = 1000
# Items in each local regression. NDCG@10 on beauty: 0.0506 with 100, 0.0506 with 400, 0.0501 with the exact solution.
LOCAL_NEIGHBOURS = 100
# Users; with more, popular items are similar to more others. MAP@10 on the tests of beauty and JData, with an l2 of 50:
# 0.0324 and 0.3076 with 50, 0.0325 and 0.3073 with 200, 0.0325 and 0.3073 with 1000.
DAMPING = 200.0
TARGETS_AT_ONCE = 8192  # regressions in memory at once: 330 MB with 100 neighbours
SOLVED_AT_ONCE = 256  # regressions in float64 at once: 20 MB
ROWS_AT_ONCE = 512  # rows of the dense inverse at once


def ease(matrix: Any, l2: float) -> Arrays:
    """Return the arrays of `EASE`; see `ease_by_l2`.

    Args:
        matrix: Which users have positive events with which items, as `user_item_matrix` returns it.
        l2: Regularization, in users; above 0.
    """
    return next(ease_by_l2(matrix, [l2]))


def ease_by_l2(matrix: Any, grid: Sequence[float]) -> Iterator[Arrays]:
    """Yield the arrays of `EASE` under each regularization: the exact solution up to 10,000 items, else a local one.

    Args:
        matrix: Which users have positive events with which items, as `user_item_matrix` returns it.
        grid: Regularizations, in users; above 0.

    Yields:
        `starts` `(n_items + 1,)` int64, `neighbours` `(k,)` int32, `similarities` `(k,)` float32, at most 1,000 for
        each item, `tie_break` `(n_items,)` float32.

    Raises:
        ValueError: A regularization is not a positive number.
    """
    for l2 in grid:
        if not 0 < l2 < np.inf:
            raise ValueError(f"`l2` should be a positive number. Received: {l2}.")
    n_items = matrix.shape[1]
    broken_ties = {"tie_break": tie_break(np.bincount(matrix.indices, minlength=n_items))}
    if n_items <= EXACT_UP_TO:
        solutions: Iterable[Iterable[Any]] = (exact_weights(matrix, l2) for l2 in grid)
    else:
        solutions = ([weights] for weights in local_weights(matrix, grid, LOCAL_NEIGHBOURS))
    for rows in solutions:
        yield {**neighbour_arrays(rows, n_items, NEIGHBOURS), **broken_ties}


def exact_weights(matrix: Any, l2: float) -> Iterator[Any]:
    """Yield blocks of rows of `W = P / -diag(P)` with a zero diagonal, where `P = (XᵀX + l2·I)⁻¹`.

    Args:
        matrix: X, `(n_users, n_items)` in CSR form.
        l2: Regularization, in users.

    Yields:
        `(k, n_items)` float32 in CSR form.

    Raises:
        FloatingPointError: The matrix is not positive definite.
    """
    from scipy import sparse
    from scipy.linalg import lapack

    n_items = matrix.shape[1]
    if not n_items:
        return
    gram = np.zeros((n_items, n_items))
    for first, rows in co_occurrences(matrix):
        rows.astype(np.float64).toarray(out=gram[first : first + rows.shape[0]])
    np.einsum("ii->i", gram)[:] += l2
    # The transposed view is in Fortran order, as LAPACK expects, so nothing is copied. Cholesky needs a third of the
    # work of a general inverse.
    factor, failed = lapack.dpotrf(gram.T, lower=1, overwrite_a=1)  # also clears the other triangle
    inverse, failed = lapack.dpotri(factor, lower=1, overwrite_c=1) if not failed else (factor, failed)
    if failed:
        raise FloatingPointError(f"`l2` should make the problem definite. Received: {l2}.")
    diagonal = inverse.diagonal().copy()
    for first in range(0, n_items, ROWS_AT_ONCE):
        block = np.arange(first, min(first + ROWS_AT_ONCE, n_items))
        rows = (inverse[block] + inverse[:, block].T) / -diagonal  # one of the two triangles is zero
        rows[block - first, block] = 0
        yield sparse.csr_matrix(rows.astype(np.float32))


def local_weights(matrix: Any, grid: Sequence[float], n_neighbours: int) -> list[Any]:
    """Return the weights of EASE where each target's regression uses only the items most similar to it.

    The similarity of a target to an item that shares a user with it is `co-occurrence / √(users of the item + 200)`.
    Counting who shares users takes most of the time, and is done once for all regularizations. If every item is a
    neighbour of every target, the result is that of `exact_weights`.

    Args:
        matrix: X, `(n_users, n_items)` in CSR form.
        grid: Regularizations, in users.
        n_neighbours: The most items in each regression.

    Returns:
        For each regularization `(n_items, n_items)` float32 in CSR form; rows are items of the history, columns are
        targets.
    """
    from scipy import sparse

    popularity = np.bincount(matrix.indices, minlength=matrix.shape[1])
    neighbours, together = _most_similar(matrix, popularity, n_neighbours)
    weights = np.zeros((len(grid), *neighbours.shape), np.float32)
    for first in range(0, len(neighbours), TARGETS_AT_ONCE):
        part = slice(first, first + TARGETS_AT_ONCE)
        grams = _grams(matrix, neighbours[part])
        for n, l2 in enumerate(grid):
            weights[n, part] = _solved(grams, together[part], l2)
    is_neighbour, shape = neighbours >= 0, (matrix.shape[1],) * 2
    ends = np.concatenate([[0], np.cumsum(is_neighbour.sum(1))])
    places = neighbours[is_neighbour], ends
    return [sparse.csc_matrix((of_l2[is_neighbour], *places), shape=shape).tocsr() for of_l2 in weights]


def _most_similar(matrix: Any, popularity: NDArray[np.int64], n_neighbours: int) -> tuple[Indices, Floats]:
    """Return the most similar items of each item and how many users they share; see `local_weights`.

    Returns:
        The neighbours `(n_items, k)` int32, -1 where an item has fewer; the co-occurrences `(n_items, k)` float32.
    """
    neighbours = np.full((matrix.shape[1], n_neighbours), -1, np.int32)
    together = np.zeros(neighbours.shape, np.float32)
    damping = 1 / np.sqrt(popularity + DAMPING)
    for first, rows in co_occurrences(matrix):
        for row in range(rows.shape[0]):
            others, counts = (part[rows.indptr[row] : rows.indptr[row + 1]] for part in (rows.indices, rows.data))
            others, counts = others[others != first + row], counts[others != first + row]
            if len(others) > n_neighbours:
                best = np.argpartition(-counts * damping[others], n_neighbours - 1)[:n_neighbours]
                others, counts = others[best], counts[best]
            neighbours[first + row, : len(others)] = others
            together[first + row, : len(others)] = counts
    return neighbours, together


def _grams(matrix: Any, neighbours: Indices) -> Floats:
    """Return the co-occurrences among each target's neighbours.

    The co-occurrence matrix is computed once, row by row. Each row is made dense and read by all targets that have its
    item as a neighbour.

    Args:
        matrix: X, `(n_users, n_items)` in CSR form.
        neighbours: `(t, k)` int32, -1 where there is no neighbour.

    Returns:
        `(t, k, k)` float32; 0 where there is no neighbour.
    """
    n_targets, n_neighbours = neighbours.shape
    grams = np.zeros((n_targets, n_neighbours, n_neighbours), np.float32)
    order = np.argsort(neighbours, axis=None, kind="stable").astype(np.int32)  # positions, sorted by their item
    starts = np.searchsorted(neighbours.ravel()[order], np.arange(matrix.shape[1] + 1))
    dense = np.zeros(matrix.shape[1] + 1, np.float32)  # index -1 reads the last one, which stays 0
    for first, rows in co_occurrences(matrix):
        for row in range(rows.shape[0]):
            targets, places = np.divmod(order[starts[first + row] : starts[first + row + 1]], n_neighbours)
            others = rows.indices[rows.indptr[row] : rows.indptr[row + 1]]
            dense[others] = rows.data[rows.indptr[row] : rows.indptr[row + 1]]
            grams[targets, places] = dense[neighbours[targets]]
            dense[others] = 0
    return grams


def _solved(grams: Floats, together: Floats, l2: float) -> Floats:
    """Return the regression weights of each target's neighbours, `(t, k)` float32; 0 where there is no neighbour."""
    weights = np.zeros(together.shape, np.float32)
    for first in range(0, len(grams), SOLVED_AT_ONCE):
        block = slice(first, first + SOLVED_AT_ONCE)
        left = grams[block] + l2 * np.eye(together.shape[1])  # float64, because counts go from 1 to millions
        weights[block] = np.linalg.solve(left, together[block, :, None])[:, :, 0]
    return weights
