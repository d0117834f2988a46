"""Baselines that sum item-item weights over the history: EASE and item-based collaborative filtering."""

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
    """Sums the item-item weights from the items of the history; popularity orders the items without any.

    Attributes:
        neighbours: The item-item weights.
        tie_break: `(n_items,)` float32, at most 1e-6; see the function `tie_break`.
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
        """Return the sums over the distinct history items, each counting 1 at most; see `Scorer.score`."""
        user_items, (frequencies,) = user_item_sums(query, (np.inf,))
        scores = self.neighbours.accumulate(user_items, np.minimum(frequencies, 1)) + self.tie_break
        return scores if items is None else scores[items]


def tie_break(popularity: NDArray[np.integer]) -> NDArray[np.float32]:
    """Return popularity scaled to at most 1e-6: too small to outweigh similarity, and still a ranking for guests.

    Args:
        popularity: `(n_items,)` int64, the number of users of each item.

    Returns:
        `(n_items,)` float32.
    """
    return np.asarray(popularity / max(popularity.max(initial=0), 1) * 1e-6, np.float32)


@dataclass(frozen=True)
class EASE(NeighbourScorer):
    """EASE (Steck 2019); its weights may be negative."""


@dataclass(frozen=True)
class ItemCF(NeighbourScorer):
    """Item-based collaborative filtering by shrunk cosine. Each row is ordered by similarity, not by column."""
