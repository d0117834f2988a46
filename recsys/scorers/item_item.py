"""A scorer that sums the neighbours of the history; EASE and item-CF are this with other weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from recsys.features.history import user_item_sums
from recsys.features.item_item import Neighbours
from recsys.features.query import Arrays, Query


@dataclass(frozen=True)
class NeighbourScorer:
    """The neighbours of everything in the customer's history, summed; popularity decides where the history says nothing.

    Attributes:
        neighbours: The weights.
        tie_break: `(n_items,)` float32, at most 1e-6: see `tie_break`.
    """

    neighbours: Neighbours
    tie_break: NDArray[np.float32]

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Build the scorer from a version's arrays."""
        return cls(Neighbours.from_arrays(arrays), arrays["tie_break"])

    @property
    def n_items(self) -> int:
        """The number of items."""
        return len(self.tie_break)

    def score(self, query: Query, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        """Return the summed weights from the distinct items of the history, twice being as good as once; see `Scorer.score`."""
        own, (counts,) = user_item_sums(query, (np.inf,))
        scores = self.neighbours.accumulate(own, np.minimum(counts, 1)) + self.tie_break
        return scores if items is None else scores[items]


def tie_break(popularity: NDArray[np.integer]) -> NDArray[np.float32]:
    """Return popularity scaled to at most 1e-6: far below any weight that is worth a place, and still an order for a guest.

    Args:
        popularity: `(n_items,)` int64, the number of customers of each item.

    Returns:
        `(n_items,)` float32.
    """
    return np.asarray(popularity / max(popularity.max(initial=0), 1) * 1e-6, np.float32)


@dataclass(frozen=True)
class EASE(NeighbourScorer):
    """The weights from everything in the customer's history, summed; they may be negative."""


@dataclass(frozen=True)
class ItemCF(NeighbourScorer):
    """The neighbours of everything in the customer's history, summed; each row's nearest comes first."""
