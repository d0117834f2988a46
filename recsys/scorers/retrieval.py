"""Retrieval of candidate items in a very large catalogue, without scoring the whole catalogue."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from recsys.errors.records import Record
from recsys.features.features import Features, Neighbours, item_strengths
from recsys.features.query import EventsByItem, Floats, Indices, Mask, Query
from recsys.scorers.base import Scorer
from recsys.scorers.bmf import BMF
from recsys.scorers.item_item import NeighbourScorer
from recsys.scorers.layers import LinearEnsemble

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


class Candidates(Record):
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
    search: Callable[[Floats, int], Indices]
    popular: Indices

    def of(self, query: Query, allowed: Mask, scorers: Iterable[Scorer] = ()) -> Indices:
        """Return the candidate items, int32, ascending.

        Args:
            query: The user and the moment.
            allowed: `(n_items,)` bool, the eligible items.
            scorers: The scorers that will rank them; item-item baselines add their strongest items.
        """
        recent, strengths = recent_strengths(query)
        baselines = [scorer.neighbours for scorer in scorers if isinstance(scorer, NeighbourScorer)]
        summed = [
            *((summed.matrix, strengths[summed.rows]) for summed in self.features.item_item_sums()),
            *((matrix, strengths[0]) for matrix in baselines),
        ]
        lists = [query.items, self._nearest(query, allowed)]
        lists += [accumulate(matrix, recent, rows, allowed, STRONGEST) for matrix, rows in summed]
        lists += [ranked[allowed[ranked]][:POPULAR] for ranked in self.popular]
        items = np.unique(np.concatenate(lists))
        retrieved: Indices = items[allowed[items]]
        return retrieved

    def _nearest(self, query: Query, allowed: Mask) -> Indices:
        """Return the eligible items nearest to the user representation; if few are eligible, more are searched."""
        network = self.indexed.network if isinstance(self.indexed, LinearEnsemble) else self.indexed
        share = np.count_nonzero(allowed) / max(len(allowed), 1)
        if not isinstance(network, BMF) or not share:
            return np.zeros(0, np.int32)
        items = self.search(network.user_representation.of(query), min(int(NEAREST / share), MOST_NEAREST))
        return items[allowed[items]]


def most_popular(scores: Floats, depth: int = MOST_POPULAR) -> Indices:
    """Return the items with the highest scores for an unknown user, best first, equal ones by ascending index.

    Args:
        scores: `(p, n_items)` float32: the popularities, and each model's scores for a guest without history.
        depth: The most items of each row.

    Returns:
        `(p, at most depth)` int32.
    """
    return np.argsort(-scores, axis=1, kind="stable")[:, :depth].astype(np.int32)


def recent_strengths(query: Query) -> tuple[Indices, Floats]:
    """Return the newest distinct items of the history, at most 100, and how much each counts.

    Args:
        query: The user and the moment.

    Returns:
        The items `(h,)` int32, ascending; their `item_strengths`, `(3, h)` float32.
    """
    by_item = EventsByItem.of(query)
    newest_event = np.maximum.reduceat(by_item.order, by_item.starts)
    recent = np.sort(np.argsort(-newest_event)[:RECENT])
    return by_item.items[recent], item_strengths(query, by_item)[:, recent]


def accumulate(matrix: Neighbours, items: Indices, strengths: Floats, allowed: Mask, k: int) -> Indices:
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
