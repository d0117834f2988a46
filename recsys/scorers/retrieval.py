"""Which items of a very large catalogue are promising for a customer, found without scoring the others."""

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

EXHAUSTIVE_UP_TO = (
    100_000  # items that may be answered; so many are all scored, see docs/SCALE.md for what was measured
)
INDEXED = "BMF"  # whose item vectors stand for all models': they find the others' best, too
MOST_POPULAR = (
    20_000  # kept of each popularity: enough that some hundreds are left where nine of ten items may not be answered
)
RECENT = 100  # newest distinct items of the history whose neighbours are looked at: 0.9^100 of a weight is nothing

# Of each list; docs/SCALE.md has what they find. Favourites are many for the sake of ENCM, whose tower likes some items
# whoever asks: of
# 200,000 synthetic items, 200 find 76 % of its ten best, 500 91 % and 1,000 96 %, 6 ms later.
NEAREST = 1000  # more than a list of 100 may need, which is 960
STRONGEST = 300
POPULAR = 1000
MOST_NEAREST = 5000  # where few of the nearest may be answered, more are looked at; so many take some milliseconds


@dataclass(frozen=True)
class Candidates:
    """Four ways to an item that some model may rank among its best: near to the taste, signalled by the history, a favourite, her own.

    Attributes:
        features: Of the version.
        indexed: The scorer whose item vectors are searched; where it is no BMF, nothing is near.
        search: Returns the items with the largest dot product with a taste, at most so many.
        popular: `(p, k)` int32, see `most_popular`.
    """

    features: Features
    indexed: Scorer
    search: Callable[[NDArray[np.float32], int], NDArray[np.int32]]
    popular: NDArray[np.int32]

    def of(self, query: Query, allowed: NDArray[np.bool_], scorers: Iterable[Scorer] = ()) -> NDArray[np.int32]:
        """Return the promising items, ascending.

        Args:
            query: The customer.
            allowed: `(n_items,)` bool, the items that may be returned.
            scorers: Those that will rank them: neighbours of their own are looked at, too.
        """
        lists = [
            query.items,
            self._nearest(query, allowed),
            nearest_by_feature(self.features, query, allowed, STRONGEST),
        ]
        tables = [scorer.neighbours for scorer in scorers if isinstance(scorer, NeighbourScorer)]
        lists += [accumulate(table, *presence(query), allowed, STRONGEST) for table in tables]
        lists += [ranked[allowed[ranked]][:POPULAR] for ranked in self.popular]
        found = np.unique(np.concatenate(lists))
        retrieved: NDArray[np.int32] = found[allowed[found]]
        return retrieved

    def _nearest(self, query: Query, allowed: NDArray[np.bool_]) -> NDArray[np.int32]:
        network = self.indexed.network if isinstance(self.indexed, LinearEnsemble) else self.indexed
        share = np.count_nonzero(allowed) / max(len(allowed), 1)
        if not isinstance(network, BMF) or not share:
            return np.zeros(0, np.int32)
        found = self.search(network.user_representation.of(query), min(int(NEAREST / share), MOST_NEAREST))
        return found[allowed[found]]


def most_popular(scores: NDArray[np.float32], depth: int = MOST_POPULAR) -> NDArray[np.int32]:
    """Return the items that lead whoever asks, best first, equals by ascending index.

    Args:
        scores: `(p, n_items)` float32: the popularities, and what each model says to somebody of whom nothing is known.
        depth: How many of each.

    Returns:
        `(p, at most depth)` int32.
    """
    return np.argsort(-scores, axis=1, kind="stable")[:, :depth].astype(np.int32)


def nearest_by_feature(features: Features, query: Query, allowed: NDArray[np.bool_], k: int) -> NDArray[np.int32]:
    """Return the items with the strongest of each signal that spreads from the history: neighbours, plain and fading, and transitions.

    Args:
        features: Of the version.
        query: The customer.
        allowed: `(n_items,)` bool, the items that may be returned.
        k: How many of each.

    Returns:
        `(at most 3·k,)` int32; an item may be there twice.
    """
    items, plain = presence(query)
    near = accumulate(features.ease, items, np.stack([plain, recency_weighted(query, NEIGHBOURS_DECAY)[1]]), allowed, k)
    return np.concatenate(
        [near, accumulate(features.transitions, *recency_weighted(query, TRANSITIONS_DECAY), allowed, k)]
    )


def presence(query: Query) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the newest distinct items of the history, as `recency_weighted` does, and the positive weight of each, up to 1."""
    items, sums = recency_weighted(query, 1.0)
    return items, np.minimum(sums, 1)


def recency_weighted(query: Query, decay: float) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the newest distinct items of the history, at most 100, and how strongly each speaks.

    Args:
        query: The customer.
        decay: For each moment of age.

    Returns:
        `(h,)` int32 ascending; `(h,)` float32, the sum of `max(weight, 0)·decay^age` of each.
    """
    items, inverse = np.unique(query.items, return_inverse=True)
    strengths = np.bincount(inverse, np.maximum(query.weights, 0) * decay ** ages(query), len(items)).astype(np.float32)
    newest = np.zeros(len(items), np.int64)
    np.maximum.at(newest, inverse, np.arange(len(inverse)))
    kept = np.sort(np.argsort(-newest)[:RECENT])
    return items[kept], strengths[kept]


def accumulate(
    table: Neighbours, items: NDArray[np.int32], strengths: NDArray[np.float32], allowed: NDArray[np.bool_], k: int
) -> NDArray[np.int32]:
    """Return the items with the largest `Σ_j strengths_j · W[items_j, :]`; the work is that of these rows, however large the catalogue.

    Args:
        table: W.
        items: `(h,)` int32, distinct.
        strengths: `(h,)` or `(s, h)` float32; each row has a list of its own.
        allowed: `(n_items,)` bool, the items that may be returned.
        k: How many in each list; only sums above 0 count.

    Returns:
        `(at most s·k,)` int32, list after list, in no order.
    """
    spans = [slice(*table.starts[item : item + 2]) for item in items]
    columns = np.concatenate([np.zeros(0, np.int32), *(table.neighbours[span] for span in spans)])
    weights = np.concatenate([np.zeros(0, np.float32), *(table.similarities[span] for span in spans)])
    rows = np.repeat(np.arange(len(items)), [span.stop - span.start for span in spans])
    may = allowed[columns]
    reached, place = np.unique(columns[may], return_inverse=True)
    lists = [reached[:0]]
    for strength in np.atleast_2d(strengths):
        sums = np.bincount(place, strength[rows[may]] * weights[may], len(reached))
        best = np.argpartition(-sums, k)[:k] if len(sums) > k else np.arange(len(sums))
        lists.append(reached[best[sums[best] > 0]])
    return np.concatenate(lists)
