"""Retrieval of candidate items in a very large catalogue, without scoring the whole catalogue."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.features.features import NEIGHBOURS_DECAY, TRANSITIONS_DECAY, Features
from recsys.features.history import ages
from recsys.features.item_item import Neighbours
from recsys.features.query import Query
from recsys.scorers.base import Scorer
from recsys.scorers.bmf import BMF
from recsys.scorers.ensemble import LinearEnsemble
from recsys.scorers.item_item import NeighbourScorer

# Eligible items. Up to this number all are scored, above it only candidate items; docs/SCALE.md has the measurements.
EXHAUSTIVE_UP_TO = 100_000
INDEXED = "BMF"  # its item vectors are searched for all models: they find the best items of the other models, too
# Items stored for each popularity. Some hundreds are eligible even where nine of ten items are not.
MOST_POPULAR = 20_000
RECENT = 100  # newest distinct items of the history whose neighbours are read; 0.9^100 of a weight is negligible

# Items of each list; docs/SCALE.md has the recall. Popular items are many because of ENCM, whose MLP scores some items
# high for all users. Of 200,000 synthetic items, 200 popular ones include 76 % of ENCM's ten best, 500 include 91 %,
# and 1,000 include 96 %, in 6 ms more.
NEAREST = 1000  # a list of 100 needs 960 at most
STRONGEST = 300
POPULAR = 1000
MOST_NEAREST = 5000  # the bound where few of the nearest items are eligible and more are searched; it takes a few ms


@dataclass(frozen=True)
class Candidates:
    """Retrieves candidate items from four sources.

    They are the nearest to the user representation, the strongest by item-item features, popular ones, and the history.

    Attributes:
        features: The features of the version.
        indexed: The scorer whose item vectors are searched. If it is not BMF, there are no nearest items.
        search: Takes a user representation and a number k; returns up to k items with the largest dot products.
        popular: `(p, k)` int32, see `most_popular`.
    """

    features: Features
    indexed: Scorer
    search: Callable[[NDArray[np.float32], int], NDArray[np.int32]]
    popular: NDArray[np.int32]

    def of(self, query: Query, allowed: NDArray[np.bool_], scorers: Iterable[Scorer] = ()) -> NDArray[np.int32]:
        """Return the candidate items, int32, ascending.

        Args:
            query: The user and the moment.
            allowed: `(n_items,)` bool, the eligible items.
            scorers: The scorers that will rank them; item-item baselines add their strongest items.
        """
        lists = [
            query.items,
            self._nearest(query, allowed),
            nearest_by_feature(self.features, query, allowed, STRONGEST),
        ]
        matrices = [scorer.neighbours for scorer in scorers if isinstance(scorer, NeighbourScorer)]
        lists += [accumulate(matrix, *presence(query), allowed, STRONGEST) for matrix in matrices]
        lists += [ranked[allowed[ranked]][:POPULAR] for ranked in self.popular]
        items = np.unique(np.concatenate(lists))
        retrieved: NDArray[np.int32] = items[allowed[items]]
        return retrieved

    def _nearest(self, query: Query, allowed: NDArray[np.bool_]) -> NDArray[np.int32]:
        """Return the eligible items nearest to the user representation; if few are eligible, more are searched."""
        network = self.indexed.network if isinstance(self.indexed, LinearEnsemble) else self.indexed
        share = np.count_nonzero(allowed) / max(len(allowed), 1)
        if not isinstance(network, BMF) or not share:
            return np.zeros(0, np.int32)
        items = self.search(network.user_representation.of(query), min(int(NEAREST / share), MOST_NEAREST))
        return items[allowed[items]]


def most_popular(scores: NDArray[np.float32], depth: int = MOST_POPULAR) -> NDArray[np.int32]:
    """Return the items with the highest scores for an unknown user, best first, equal ones by ascending index.

    Args:
        scores: `(p, n_items)` float32: the popularities, and each model's scores for a guest without history.
        depth: The most items of each row.

    Returns:
        `(p, at most depth)` int32.
    """
    return np.argsort(-scores, axis=1, kind="stable")[:, :depth].astype(np.int32)


def nearest_by_feature(features: Features, query: Query, allowed: NDArray[np.bool_], k: int) -> NDArray[np.int32]:
    """Return the items with the largest value of each item-item feature.

    Args:
        features: The features of the version.
        query: The user and the moment.
        allowed: `(n_items,)` bool, the eligible items.
        k: The most items for each feature.

    Returns:
        `(at most 3·k,)` int32; an item may be repeated.
    """
    items, plain = presence(query)
    decayed = recency_weighted(query, NEIGHBOURS_DECAY)[1]
    similar = accumulate(features.ease, items, np.stack([plain, decayed]), allowed, k)
    following = accumulate(features.transitions, *recency_weighted(query, TRANSITIONS_DECAY), allowed, k)
    return np.concatenate([similar, following])


def presence(query: Query) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the items of `recency_weighted` and the sum of each one's positive weights, not decayed, at most 1."""
    items, sums = recency_weighted(query, 1.0)
    return items, np.minimum(sums, 1)


def recency_weighted(query: Query, decay: float) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the newest distinct items of the history, at most 100, and how much each counts.

    Args:
        query: The user and the moment.
        decay: The factor for each moment of age.

    Returns:
        The items `(h,)` int32, ascending; the sums of `max(weight, 0)·decay^age` over their events, `(h,)` float32.
    """
    items, inverse = np.unique(query.items, return_inverse=True)
    strengths = np.bincount(inverse, np.maximum(query.weights, 0) * decay ** ages(query), len(items)).astype(np.float32)
    newest = np.zeros(len(items), np.int64)
    np.maximum.at(newest, inverse, np.arange(len(inverse)))
    recent = np.sort(np.argsort(-newest)[:RECENT])
    return items[recent], strengths[recent]


def accumulate(
    matrix: Neighbours, items: NDArray[np.int32], strengths: NDArray[np.float32], allowed: NDArray[np.bool_], k: int
) -> NDArray[np.int32]:
    """Return the items with the largest sums `Σ_j strengths_j · W[items_j, :]`.

    Only the rows of `items` are read, so the work does not grow with the catalogue.

    Args:
        matrix: W.
        items: `(h,)` int32, distinct.
        strengths: `(h,)` or `(s, h)` float32; each of the s rows gives a list.
        allowed: `(n_items,)` bool, the eligible items.
        k: The most items of each list; only sums above 0 count.

    Returns:
        `(at most s·k,)` int32, one list after the other, each unordered.
    """
    spans = [slice(*matrix.starts[item : item + 2]) for item in items]
    columns = np.concatenate([np.zeros(0, np.int32), *(matrix.neighbours[span] for span in spans)])
    weights = np.concatenate([np.zeros(0, np.float32), *(matrix.similarities[span] for span in spans)])
    rows = np.repeat(np.arange(len(items)), [span.stop - span.start for span in spans])
    eligible = allowed[columns]
    reached, place = np.unique(columns[eligible], return_inverse=True)
    lists = [reached[:0]]
    for strength in np.atleast_2d(strengths):
        sums = np.bincount(place, strength[rows[eligible]] * weights[eligible], len(reached))
        best = np.argpartition(-sums, k)[:k] if len(sums) > k else np.arange(len(sums))
        lists.append(reached[best[sums[best] > 0]])
    return np.concatenate(lists)
