"""Baselines that sum item-item weights over the history: EASE and item-based collaborative filtering."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray

from recsys.errors.records import Record
from recsys.features.features import FeatureValues, Neighbours
from recsys.features.query import Arrays, EventsByItem, Floats, Indices, Query, user_item_sums


class NeighbourScorer(Record):
    """Sums the item-item weights from the items of the history; popularity orders the items without any.

    Attributes:
        neighbours: The item-item weights.
        tie_break: `(n_items,)` float32, at most 1e-6; see the function `tie_break`.
    """

    neighbours: Neighbours
    tie_break: Floats

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Build the scorer from a version's arrays."""
        return cls(Neighbours.from_arrays(arrays), arrays["tie_break"])

    @property
    def n_items(self) -> int:
        """The number of items."""
        return len(self.tie_break)

    def score(self, query: Query, features: FeatureValues | None = None, items: Indices | None = None) -> Floats:
        """Return the sums over the distinct history items, each counting 1 at most; see `Scorer.score`."""
        by_item = EventsByItem.of(query)
        (frequencies,) = user_item_sums(query, by_item, (np.inf,))
        scores = self.neighbours.accumulate(by_item.items, np.minimum(frequencies, 1)) + self.tie_break
        return scores if items is None else scores[items]


def tie_break(popularity: NDArray[np.integer]) -> Floats:
    """Return popularity scaled to at most 1e-6: too small to outweigh similarity, and still a ranking for guests.

    Args:
        popularity: `(n_items,)` int64, the number of users of each item.

    Returns:
        `(n_items,)` float32.
    """
    return np.asarray(popularity / max(popularity.max(initial=0), 1) * 1e-6, np.float32)


class EASE(NeighbourScorer):
    """EASE (Steck 2019); its weights may be negative."""


class ItemCF(NeighbourScorer):
    """Item-based collaborative filtering by shrunk cosine. Each row is ordered by similarity, not by column."""
