"""Orders: which purchases were made at once, where the shop's events do not say so."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ORDER_GAP_S = 600  # purchases of one user that follow within ten minutes belong to one order


def orders_of(users: NDArray[np.integer], timestamps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of the order that each purchase belongs to, from 1.

    Args:
        users: `(n,)` integers, who bought.
        timestamps: `(n,)` int64, seconds since 1970, in any order. Purchases of one user of which each follows the one
            before by at most `ORDER_GAP_S` are one order.

    Returns:
        `(n,)` int64.

    >>> orders_of(np.array([7, 7, 8, 7]), np.array([0, 600, 600, 1201])).tolist()
    [1, 1, 3, 2]
    """
    order = np.lexsort((timestamps, users))
    is_next = (np.diff(users[order]) == 0) & (np.diff(timestamps[order]) <= ORDER_GAP_S)
    numbers = np.empty(len(order), np.int64)
    numbers[order] = np.cumsum(np.concatenate([[1], ~is_next]))[: len(order)]
    return numbers
