"""Shared steps of fitting item-item weights: user-item matrices, co-occurrences, and rows stored as `Neighbours`.

SciPy's matrices have no type hints, so they are `Any` here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.features.query import Arrays, Floats, Indices, Mask

ENTRIES_AT_ONCE = 1 << 24  # of a matrix product in memory at once: 128 MiB of indices and values
WHOLE_UP_TO = 1000  # items; up to this number all weights are stored, zeros too: dense rows are added much faster


def user_item_matrix(data: Dataset) -> Any:
    """Return which users have positive events with which items: `(n_users, n_items)` float32 in CSR form, ones.

    Raises:
        ValueError: A weight is NaN or infinite.
    """
    from scipy import sparse  # fitting only: serving never pays for it

    liked = is_positive(data.weights)
    places = data.users[liked], data.items[liked]
    matrix = sparse.csr_matrix((data.weights[liked], places), shape=(data.n_users, data.n_items), dtype=np.float32)
    matrix.data[:] = 1  # SciPy has added up several events of one user with one item
    return matrix


def is_positive(weights: Floats) -> Mask:
    """Return which events have a positive weight, `(n,)` bool.

    Raises:
        ValueError: A weight is NaN or infinite.
    """
    finite = np.isfinite(weights)
    if not finite.all():
        raise ValueError(
            f"`weights` should be finite. Received: {weights[~finite][0]} at {np.flatnonzero(~finite)[0]}."
        )
    return weights > 0


def co_occurrences(matrix: Any) -> Iterator[tuple[int, Any]]:
    """Yield the co-occurrence matrix `matrixᵀ·matrix` in blocks of rows that fit into memory.

    Args:
        matrix: `(n_users, n_items)` in CSR form.

    Yields:
        The item of the first row, and the rows `(k, n_items)` in CSR form.
    """
    transposed, n_items = matrix.T.tocsr(), matrix.shape[1]
    # A row has at most as many entries as its users have events.
    widths = np.minimum(transposed.astype(bool) @ np.diff(matrix.indptr).astype(np.int64), n_items)
    for first, last in blocks(widths, ENTRIES_AT_ONCE):
        yield first, (transposed[first:last] @ matrix).tocsr()


def blocks(sizes: NDArray[np.integer], limit: int) -> Iterator[tuple[int, int]]:
    """Yield consecutive blocks of rows as (first, last), the last one excluded.

    Args:
        sizes: `(n,)`, the number of entries of each row.
        limit: The most entries of a block; a block of one row may have more.
    """
    totals = np.cumsum(sizes, dtype=np.int64)
    first = 0
    while first < len(sizes):
        before = totals[first - 1] if first else 0
        last = max(int(np.searchsorted(totals, before + limit, "right")), first + 1)
        yield first, last
        first = last


def neighbour_arrays(rows: Iterable[Any], n_items: int, keep: int) -> Arrays:
    """Return the arrays of `Neighbours`: all weights for a small catalogue, else the strongest of each row.

    Args:
        rows: Successive blocks of rows in CSR form.
        n_items: The number of items.
        keep: The most weights of a row.
    """
    return stack_rows(whole_rows(block) if n_items <= WHOLE_UP_TO else strongest_per_row(block, keep) for block in rows)


def strongest_per_row(rows: Any, keep: int) -> tuple[NDArray[np.int64], Indices, Floats]:
    """Return the weights of each row that are largest in absolute value, without zeros, columns ascending.

    Args:
        rows: `(k, n_items)` in CSR form; its indices are sorted in place.
        keep: The most weights of a row.

    Returns:
        The rows' lengths `(k,)` int64, their columns int32 and their weights float32, concatenated.
    """
    rows.sort_indices()
    sizes, is_stored = np.abs(rows.data), rows.data != 0
    for row in np.flatnonzero(np.diff(rows.indptr) > keep):
        first, last = rows.indptr[row : row + 2]
        is_stored[first + np.argpartition(-sizes[first:last], keep - 1)[keep:]] = False
    ends = np.concatenate([[0], np.cumsum(is_stored)])[rows.indptr]
    return np.diff(ends), rows.indices[is_stored].astype(np.int32), rows.data[is_stored].astype(np.float32)


def whole_rows(rows: Any) -> tuple[NDArray[np.int64], Indices, Floats]:
    """Return all weights of each row, zeros too, in the form of `strongest_per_row`."""
    n_rows, n_items = rows.shape
    columns = np.tile(np.arange(n_items, dtype=np.int32), n_rows)
    return np.full(n_rows, n_items, np.int64), columns, rows.toarray().astype(np.float32).ravel()


def stack_rows(parts: Iterable[tuple[NDArray[np.int64], Indices, Floats]]) -> Arrays:
    """Return the arrays of `Neighbours` for successive blocks of rows.

    Args:
        parts: Lengths, columns and weights of each block, as `strongest_per_row` returns them.
    """
    nothing = np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32)
    lengths, neighbours, similarities = (np.concatenate(column) for column in zip(nothing, *parts, strict=True))
    return {
        "starts": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        "neighbours": neighbours,
        "similarities": similarities,
    }
