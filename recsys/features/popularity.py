"""Popularity of items, plain or recent."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RECENT_HALF_LIFE_DAYS = 15.0
SECONDS_PER_DAY = 86_400


def popularity(
    items: NDArray[np.int32],
    weights: NDArray[np.float32],
    timestamps: NDArray[np.int64],
    n_items: int,
    half_life_days: float = 0,
) -> NDArray[np.float32]:
    """Return the summed positive weight of each item, older events counting less.

    Args:
        items: `(n,)` int32.
        weights: `(n,)` float32.
        timestamps: `(n,)` int64, seconds since 1970.
        n_items: The length of the answer.
        half_life_days: An event counts half after so many days before the newest; 0 counts all alike.

    Returns:
        `(n_items,)` float32.
    """
    counted = np.maximum(weights, 0).astype(np.float64)
    if half_life_days and len(items):
        counted *= 0.5 ** ((timestamps.max() - timestamps) / SECONDS_PER_DAY / half_life_days)
    return np.bincount(items, counted, n_items).astype(np.float32)


POPULARITY_HALF_LIVES = (0.0, 60.0, 15.0, 7.0)  # days; 0 counts all alike


def popularities(
    items: NDArray[np.int32], weights: NDArray[np.float32], timestamps: NDArray[np.int64], n_items: int
) -> NDArray[np.float32]:
    """Return log(1 + summed positive weight) of each item under each half-life of `POPULARITIES`.

    Args:
        items: `(n,)` int32.
        weights: `(n,)` float32.
        timestamps: `(n,)` int64, seconds since 1970.
        n_items: The number of items.

    Returns:
        `(4, n_items)` float32.
    """
    return np.stack([np.log1p(popularity(items, weights, timestamps, n_items, days)) for days in POPULARITY_HALF_LIVES])
