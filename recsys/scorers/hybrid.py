"""Hybrid: the ranks by content and by collaborative filtering, mixed by two weights."""

from __future__ import annotations

from typing import Self

import numpy as np

from recsys.errors.records import Record
from recsys.features.content import Content
from recsys.features.features import Features, FeatureValues
from recsys.features.query import Arrays, Floats, Indices, Query
from recsys.scorers.item_item import NeighbourScorer

FEW_EVENTS = 5  # with fewer, content has the larger of the two weights


class Hybrid(Record):
    """Mixes two rankings of the whole catalogue.

    The scores of the two sides have no common unit, so each side is turned into ranks first. A side that knows nothing
    gives all items one rank, and the other side decides alone.

    Attributes:
        content: The descriptions of the items.
        collaborative: The best single scorer of collaborative filtering, EASE or item-based.
        weights: `(2,)` float32, of content and of the collaborative side; they are 0 or more, and not both 0.
    """

    content: Content
    collaborative: NeighbourScorer
    weights: Floats

    @classmethod
    def from_arrays(cls, arrays: Arrays, features: Features) -> Self:
        """Build the scorer from a version's arrays.

        Args:
            arrays: Of the scorer. Without item-item weights among them, the collaborative side is EASE.
            features: The version's features, which hold the weights of EASE.
        """
        if "neighbours" in arrays:
            collaborative = NeighbourScorer.from_arrays(arrays)
        else:
            collaborative = NeighbourScorer(features.ease, arrays["tie_break"])
        return cls(Content.from_arrays(arrays), collaborative, arrays["weights"])

    @property
    def n_items(self) -> int:
        """The number of items."""
        return self.collaborative.n_items

    def score(self, query: Query, features: FeatureValues | None = None, items: Indices | None = None) -> Floats:
        """Return the weighted sum of both sides' reciprocal ranks, 0 to 1; see `Scorer.score`."""
        content, collaborative = self.weights_of(len(query.items))
        scores = content * reciprocal_ranks(self.content.score(query))
        scores += collaborative * reciprocal_ranks(self.collaborative.score(query))
        return scores if items is None else scores[items]

    def weights_of(self, n_events: int) -> tuple[np.float32, np.float32]:
        """Return the weights of content and of the collaborative side for a history of some length; their sum is 1."""
        content, collaborative = self.weights / self.weights.sum()
        if n_events < FEW_EVENTS and content < collaborative:
            return collaborative, content
        return content, collaborative


def reciprocal_ranks(scores: Floats) -> Floats:
    """Turn scores into reciprocal ranks: 1 for the best, a half for the second, near 0 at the end.

    So the first few of either side count, as in a list. Equal scores share the mean of their ranks, so that the order
    of items in the catalogue says nothing.

    Args:
        scores: `(n,)` float32, finite; higher is better.

    Returns:
        `(n,)` float32, above 0.

    >>> reciprocal_ranks(np.array([0.5, 9.0, 0.5], np.float32)).tolist()  # ranks 2.5, 1 and 2.5
    [0.4000000059604645, 1.0, 0.4000000059604645]
    """
    order = np.argsort(-scores)  # not stable, which takes four times as long: equal scores get one value anyway
    ordered = scores[order]
    is_first = np.ones(len(scores), bool)
    np.not_equal(ordered[1:], ordered[:-1], out=is_first[1:])
    firsts = np.flatnonzero(is_first)
    lasts = np.append(firsts[1:], len(scores)) - 1
    values = np.empty(len(scores), np.float32)
    values[order] = np.repeat((1 / (1 + (firsts + lasts) / 2)).astype(np.float32), lasts - firsts + 1)
    return values
