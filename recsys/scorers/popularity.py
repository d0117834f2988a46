"""Popularity: the same list for everybody, plain or recent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.scorers.base import Arrays, Query

RECENT_HALF_LIFE_DAYS = 15.0
SECONDS_PER_DAY = 86_400


@dataclass(frozen=True)
class Popularity:
    """Items by the weight of everything that happened to them.

    Attributes:
        popularity: `(n_items,)` float32.
    """

    popularity: NDArray[np.float32]

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Popularity:
        """Build the scorer from a version's arrays."""
        return cls(arrays["popularity"])

    @property
    def n_items(self) -> int:
        """The number of items."""
        return len(self.popularity)

    def score(self, query: Query, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        """Return the popularity itself; see `Scorer.score`."""
        return self.popularity.copy() if items is None else self.popularity[items]


def popularity(
    items: NDArray[np.int32], weights: NDArray[np.float32], timestamps: NDArray[np.int64], n_items: int, half_life_days: float = 0
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
