"""What every fit of item-item weights begins and ends with: who has what, what is had together, and the strongest of each row.

SciPy's matrices carry no types, so they are `Any` here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.features.query import Arrays

ENTRIES_AT_ONCE = 1 << 24  # of a product held at one time: 128 MiB of an index and a value each
WHOLE_UP_TO = (
    1000  # items: of so few every weight is kept, zeros too, because whole rows are added up several times faster
)


def customers(
    users: NDArray[np.int32], items: NDArray[np.int32], weights: NDArray[np.float32], n_users: int, n_items: int
) -> Any:
    """Return who has had what: `(n_users, n_items)` float32 in CSR form, 1 however often.

    Args:
        users: `(n,)` int32.
        items: `(n,)` int32.
        weights: `(n,)` float32; only what is above 0 counts.
        n_users: The number of users.
        n_items: The number of items.

    Raises:
        ValueError: A weight is NaN or infinite.
    """
    matrix = affection(users, items, weights, n_users, n_items)
    matrix.data[:] = 1
    return matrix


def affection(
    users: NDArray[np.int32], items: NDArray[np.int32], weights: NDArray[np.float32], n_users: int, n_items: int
) -> Any:
    """Return the summed positive weight of each customer and item, at most 1; see `customers`."""
    from scipy import sparse  # fitting only: serving never pays for it

    liked = positive(weights)
    matrix = sparse.csr_matrix(
        (weights[liked], (users[liked], items[liked])), shape=(n_users, n_items), dtype=np.float32
    )
    np.minimum(matrix.data, 1, out=matrix.data)  # several events of one customer with one item count once
    return matrix


def positive(weights: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return `(n,)` bool: which events count.

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
    """Yield the rows of `matrixᵀ·matrix`, as many at a time as memory allows.

    Args:
        matrix: `(n_users, n_items)`.

    Yields:
        The first row's item, and the rows `(k, n_items)` in CSR form.
    """
    transposed, n_items = matrix.T.tocsr(), matrix.shape[1]
    # A row has no more entries than its customers have together.
    widths = np.minimum(transposed.astype(bool) @ np.diff(matrix.indptr).astype(np.int64), n_items)
    for first, last in blocks(widths, ENTRIES_AT_ONCE):
        yield first, (transposed[first:last] @ matrix).tocsr()


def blocks(sizes: NDArray[np.integer], limit: int) -> Iterator[tuple[int, int]]:
    """Yield (first, last) of successive runs of rows of at most `limit` entries, or of one row.

    Args:
        sizes: `(n,)` entries of each row.
        limit: Entries of a run.
    """
    totals = np.cumsum(sizes, dtype=np.int64)
    first = 0
    while first < len(sizes):
        before = totals[first - 1] if first else 0
        last = max(int(np.searchsorted(totals, before + limit, "right")), first + 1)
        yield first, last
        first = last


def table(rows: Iterable[Any], n_items: int, keep: int) -> Arrays:
    """Return the arrays of `Neighbours`: whole rows of a small catalogue, else the strongest weights of each.

    Args:
        rows: All rows, some at a time, in CSR form.
        n_items: The number of items.
        keep: Neighbours of an item.
    """
    return stacked(every(some) if n_items <= WHOLE_UP_TO else strongest(some, keep) for some in rows)


def strongest(rows: Any, keep: int) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """Return, of some rows, the `keep` weights largest in absolute value of each, zeros left out, columns ascending.

    Args:
        rows: `(k, n_items)` in CSR form.
        keep: Neighbours of an item.

    Returns:
        The rows' lengths `(k,)` int64, their columns int32 and their values float32.
    """
    rows.sort_indices()
    sizes, kept = np.abs(rows.data), rows.data != 0
    for row in np.flatnonzero(np.diff(rows.indptr) > keep):
        first, last = rows.indptr[row : row + 2]
        kept[first + np.argpartition(-sizes[first:last], keep - 1)[keep:]] = False
    ends = np.concatenate([[0], np.cumsum(kept)])[rows.indptr]
    return np.diff(ends), rows.indices[kept].astype(np.int32), rows.data[kept].astype(np.float32)


def every(rows: Any) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """Return, of some rows, the weights of all columns, zeros among them; see `strongest`."""
    n_rows, n_items = rows.shape
    columns = np.tile(np.arange(n_items, dtype=np.int32), n_rows)
    return np.full(n_rows, n_items, np.int64), columns, rows.toarray().astype(np.float32).ravel()


def stacked(parts: Iterable[tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]]) -> Arrays:
    """Return the arrays of `Neighbours` from those of successive rows.

    Args:
        parts: Lengths, columns and values, as of `strongest`.
    """
    nothing = np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32)
    lengths, neighbours, similarities = (np.concatenate(column) for column in zip(nothing, *parts, strict=True))
    return {
        "starts": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        "neighbours": neighbours,
        "similarities": similarities,
    }
