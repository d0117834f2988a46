"""The features: thirteen numbers for a user and an item, to which every model adds its network's score.

They come from item-item similarity, sequential co-occurrence, descriptions, ALS, popularity, and the user's own counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.errors.records import Record
from recsys.features.query import (
    MAX_HISTORY,
    Arrays,
    EventsByItem,
    Floats,
    Indices,
    Mask,
    Query,
    add_at,
    ages,
    user_item_sums,
)

ITEM_ITEM = ("neighbours", "neighbours_recent", "transitions", "content")  # summed over the items of the history
DENSE = (*ITEM_ITEM, "factors")  # any item may have a value, and it depends on the query
POPULARITIES = ("popularity", "popularity_60d", "popularity_15d", "popularity_7d")  # the same for all queries
USER_ITEM = ("own", "own_count", "own_60d", "own_15d")  # 0 except for the items of the history
NAMES: tuple[str, ...] = (*DENSE, *POPULARITIES, *USER_ITEM)
N_FEATURES = len(NAMES)
CONTENT, FACTORS = NAMES.index("content"), NAMES.index("factors")
USER_ITEM_HALF_LIVES = (np.inf, 60.0, 15.0)  # days
NEIGHBOURS_DECAY = 0.9  # for each moment of age
TRANSITIONS_DECAY = 0.8
_DECAYS = np.array([[1.0], [NEIGHBOURS_DECAY], [TRANSITIONS_DECAY]])
RECENCY = _DECAYS ** np.arange(MAX_HISTORY)  # for each row of `item_strengths`, by age
# Each item-item matrix of `Features`: its places in `ITEM_ITEM`, and the rows of `item_strengths` it is summed with.
MATRICES: Mapping[str, tuple[slice, slice]] = {
    "ease": (slice(0, 2), slice(0, 2)),
    "transitions": (slice(2, 3), slice(2, 3)),
    "content": (slice(3, 4), slice(1, 2)),
}
MANY = 150  # more rows of `Neighbours` are added one by one: 500 then take half the time, 50 would take a tenth more
AT_ONCE = 1000  # rows of `Neighbours` are searched at once: their places, for ten columns 80 kB, fit into the cache
SHORT_LIST = 8  # ALS is computed for chosen items alone where the catalogue is at least this many times longer


class Neighbours(Record):
    """A square sparse matrix W of weights from item j (row) to item i (column), in CSR form.

    Attributes:
        starts: `(n_items + 1,)` int64; row j is at `starts[j]:starts[j + 1]` of the other two.
        neighbours: `(k,)` int32, the columns i, ascending within a row.
        similarities: `(k,)` float32, the weights W[j, i].
    """

    starts: NDArray[np.int64]
    neighbours: Indices
    similarities: Floats

    @classmethod
    def from_arrays(cls, arrays: Arrays, prefix: str = "") -> Neighbours:
        """Build the matrix from a version's arrays; their names may begin with a prefix."""
        return cls(arrays[f"{prefix}starts"], arrays[f"{prefix}neighbours"], arrays[f"{prefix}similarities"])

    @classmethod
    def nothing(cls, n_items: int) -> Neighbours:
        """Return the matrix without any weight."""
        return cls(np.zeros(n_items + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))

    @property
    def n_items(self) -> int:
        """The number of items."""
        return len(self.starts) - 1

    @cached_property
    def _dense(self) -> Floats | None:
        """The dense matrix `(n_items, n_items)` if all weights are stored, which is faster for a small catalogue."""
        is_dense = len(self.similarities) == self.n_items**2
        return self.similarities.reshape(self.n_items, self.n_items) if is_dense else None

    def accumulate(self, items: Indices, strengths: Floats) -> Floats:
        """Return `Σ_j strengths_j · W[items_j, :]`. Several rows of strengths cost little more than one.

        Args:
            items: `(h,)` int32; a repeated item counts twice.
            strengths: `(h,)` or `(s, h)` float32, how much each item counts.

        Returns:
            `(n_items,)` or `(s, n_items)` float32.
        """
        if self._dense is not None:  # not by BLAS, whose rounding may differ between items with equal weights
            dense_sums: Floats = np.einsum("...h,hn->...n", strengths, self._dense[items])
            return dense_sums
        if len(items) > MANY:
            return self._accumulate_by_row(items, strengths)
        columns = self._rows(self.neighbours, items).astype(np.intp)  # converted once, not in each bincount
        repeated = np.repeat(np.atleast_2d(strengths), self._lengths(items), axis=1)
        weighted = repeated * self._rows(self.similarities, items)
        sums = np.array([np.bincount(columns, values, self.n_items) for values in weighted], np.float32)
        return sums.reshape(*strengths.shape[:-1], self.n_items)

    def _accumulate_by_row(self, items: Indices, strengths: Floats) -> Floats:
        """Compute `accumulate` one row at a time; a copy of many rows would not fit into the processor's cache."""
        sums = np.zeros((*strengths.shape[:-1], self.n_items), np.float32)
        spans = zip(self.starts[items].tolist(), self.starts[items + 1].tolist(), strict=True)
        for (first, last), row_strengths in zip(spans, np.atleast_2d(strengths).T, strict=True):
            for total, strength in zip(np.atleast_2d(sums), row_strengths, strict=True):
                np.add.at(total, self.neighbours[first:last], self.similarities[first:last] * strength)
        return sums

    def block(self, items: Indices, columns: Indices) -> Floats:
        """Return the dense block `W[items, columns]`, `(h, k)` float32.

        All rows and columns are searched at once: each round of a binary search halves every interval.

        Args:
            items: `(h,)` int32, the rows.
            columns: `(k,)` int32, in any order; repeated ones are allowed.
        """
        return self.at(items[:, None], np.broadcast_to(columns, (len(items), len(columns))))

    def at(self, items: Indices, columns: Indices) -> Floats:
        """Return the weights `W[items, columns]` of pairs, `(h, k)` float32.

        Args:
            items: `(h, 1)` int32, the rows.
            columns: `(h, k)` int32, the columns that are read of each row.
        """
        if self._dense is not None:
            return self._dense[items, columns]
        if not len(self.neighbours):
            return np.zeros(columns.shape, np.float32)
        weights = np.empty(columns.shape, np.float32)
        for first in range(0, len(items), AT_ONCE):
            some = slice(first, first + AT_ONCE)
            weights[some] = self._search(items[some], columns[some])
        return weights

    def _search(self, items: Indices, columns: Indices) -> Floats:
        """Compute `at` by a binary search of all columns at once, which halves the interval of each row in each round.

        The intervals of one row are equally long, so their lengths need no array of all columns, and no place lies
        outside its row.
        """
        lengths = self._lengths(items)
        place = np.repeat(self.starts[items], columns.shape[1], axis=1)  # of the last neighbour at most the column
        left = lengths
        for _ in range(int(lengths.max(initial=0)).bit_length()):
            half = left >> 1
            place += half * (self.neighbours.take(place + half, mode="clip") <= columns)
            left = left - half
        hit = (lengths > 0) & (self.neighbours.take(place, mode="clip") == columns)
        return np.where(hit, self.similarities.take(place, mode="clip"), np.float32(0))

    def _lengths(self, items: Indices) -> NDArray[np.int64]:
        return self.starts[items + 1] - self.starts[items]

    def _rows(self, values: NDArray, items: Indices) -> NDArray:
        """Return the values of some rows, concatenated.

        Rows are copied one by one. One index array for all of them would take longer to make than the copies take.
        """
        spans = zip(self.starts[items].tolist(), self.starts[items + 1].tolist(), strict=True)
        return np.concatenate([values[first:last] for first, last in spans] or [values[:0]])


class FeatureValues(NamedTuple):
    """The features of one query, which all ensembles add up; see `Features.compute`.

    Attributes:
        items: `(k,)` int32, the items that the values belong to; None for the whole catalogue, k = n_items.
        item_item: `(4, k)` float32, in the order of `ITEM_ITEM`; `(3, k)` where the version has no content.
        factors: `(k,)` float32, the dot products of ALS; zeros for guests and unseen users.
        user_items: `(h,)` int32, the distinct items of the history, ascending.
        user_item: `(4, h)` float32, in the order of `USER_ITEM`; other items have 0.
    """

    items: Indices | None
    item_item: Floats
    factors: Floats
    user_items: Indices
    user_item: Floats


class ItemItemSums(NamedTuple):
    """Features that are sums `Σ_j strength_j · W[j, i]` over the history, with one matrix and one or more strengths.

    Attributes:
        name: The matrix's name in `Features`.
        matrix: W.
        places: The places of these features in `ITEM_ITEM`.
        rows: The rows of `item_strengths`, each of which gives a feature.
    """

    name: str
    matrix: Neighbours
    places: slice
    rows: slice

    def strengths(self, weights: Floats, strengths: Floats) -> Floats:
        """Return how much each item counts in the weighted sum of these features, `(k,)` or `(v, k)` float32.

        Args:
            weights: `(N_FEATURES,)` float32 or more, those of an ensemble.
            strengths: `(3, k)` or `(v, 3, k)` float32, see `item_strengths`.
        """
        first, last = self.rows.start, self.rows.stop
        total: Floats = weights[self.places.start] * strengths[..., first, :]
        for row in range(first + 1, last):
            total += weights[self.places.start + row - first] * strengths[..., row, :]
        return total


class Features(NamedTuple):
    """What the thirteen features are computed from. `recsys.training.ensemble` fits their weights.

    Attributes:
        ease: Item-item weights of EASE, see `recsys.training.closed_form.ease`.
        transitions: Sequential item-item co-occurrence, see `recsys.training.closed_form.transitions`.
        content: How alike descriptions are, see `recsys.training.closed_form.content`; without any weight in a version
            of which no ensemble uses it.
        user_factors: `(n_users, dim)` float32, by ALS.
        item_factors: `(n_items, dim)` float32, by ALS.
        popularity: `(4, n_items)` float32, the logarithms of popularity under four half-lives.
    """

    ease: Neighbours
    transitions: Neighbours
    content: Neighbours
    user_factors: Floats
    item_factors: Floats
    popularity: Floats

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Features:
        """Build the features from a version's arrays; those of a `Neighbours` begin with its name, as `ease/`."""
        ease, transitions = (Neighbours.from_arrays(arrays, f"{name}/") for name in ("ease", "transitions"))
        described = "content/starts" in arrays
        content = Neighbours.from_arrays(arrays, "content/") if described else Neighbours.nothing(ease.n_items)
        return cls(ease, transitions, content, arrays["user_factors"], arrays["item_factors"], arrays["popularity"])

    @property
    def n_items(self) -> int:
        """The number of items."""
        return self.ease.n_items

    def item_item_sums(self, weights: Floats | None = None) -> list[ItemItemSums]:
        """Return the sums over item-item matrices; content only where it holds any weight.

        Args:
            weights: `(N_FEATURES,)` float32 or more, those of an ensemble; sums without a weight are left out. None
                means all.
        """
        has_content = len(self.content.similarities) > 0
        return [
            ItemItemSums(name, getattr(self, name), *places)
            for name, places in MATRICES.items()
            if (weights is None or any(weights[places[0]].tolist())) and (name != "content" or has_content)
        ]

    def compute(self, query: Query, items: Indices | None = None) -> FeatureValues:
        """Return the features of a query, computed once for all ensembles that score it.

        Args:
            query: The user and the moment.
            items: `(k,)` indices; None means all.
        """
        by_item = EventsByItem.of(query)
        strengths = item_strengths(query, by_item)
        item_item = np.concatenate(
            [summed.matrix.accumulate(by_item.items, strengths[summed.rows]) for summed in self.item_item_sums()]
        )
        return FeatureValues(
            items,
            item_item if items is None else item_item[:, items],
            self._factors(query.user, items),
            by_item.items,
            user_item_features(query, by_item),
        )

    def matrix(self, query: Query, items: Indices | None = None) -> Floats:
        """Return the features one by one, for fitting their weights.

        Args:
            query: The user and the moment.
            items: `(k,)` indices; None means all.

        Returns:
            `(N_FEATURES, n_items)` or `(N_FEATURES, k)` float32, in the order of `NAMES`.
        """
        values, unit = self.compute(query, items), np.eye(N_FEATURES, dtype=np.float32)
        return np.stack([self.blend(values, weights) for weights in unit])

    def blend(self, values: FeatureValues, weights: Floats, prior: Floats | None = None) -> Floats:
        """Return the weighted sum of the features.

        Features are added one by one, not by a matrix product of BLAS. So equal items get equal scores, and an item's
        score does not depend on the items that are scored with it. It is the same to the last bit, except for the ALS
        feature of short lists.

        Args:
            values: The features of a query.
            weights: `(N_FEATURES,)` float32.
            prior: The value of `self.prior(weights, values.items)` if the caller has it already.

        Returns:
            `(k,)` float32; the caller may write to it.
        """
        scores = self.prior(weights, values.items) if prior is None else prior.copy()
        item_item = zip(weights, values.item_item, strict=False)
        for weight, row in (*item_item, (weights[FACTORS], values.factors)):
            if weight:
                scores += weight * row
        add_at(scores, values.user_items, weights[-len(USER_ITEM) :] @ values.user_item, values.items)
        return scores

    def prior(self, weights: Floats, items: Indices | None = None) -> Floats:
        """Return the part of the weighted sum that is the same for every query, popularity, as a new array.

        Args:
            weights: `(N_FEATURES,)` float32.
            items: `(k,)` indices; None means all.

        Returns:
            `(n_items,)` or `(k,)` float32.
        """
        which = slice(None) if items is None else items
        scores = np.zeros(self.n_items if items is None else len(items), np.float32)
        for weight, row in zip(weights[len(DENSE) : -len(USER_ITEM)], self.popularity, strict=True):
            if weight:
                scores += weight * row[which]
        return scores

    def _factors(self, user: int, items: Indices | None) -> Floats:
        """Return the dot products of ALS, `(n_items,)` or `(k,)` float32; zeros for guests and unseen users."""
        if user >= len(self.user_factors):
            return np.zeros(self.n_items if items is None else len(items), np.float32)
        factors = self.user_factors[user]
        if items is not None and len(items) * SHORT_LIST <= self.n_items:
            short_list: Floats = self.item_factors[items] @ factors
            return short_list
        catalogue: Floats = self.item_factors @ factors
        return catalogue if items is None else catalogue[items]


def user_item_features(query: Query, by_item: EventsByItem) -> Floats:
    """Return the `USER_ITEM` features of the distinct history items, `(4, k)` float32."""
    sums = user_item_sums(query, by_item, USER_ITEM_HALF_LIVES)
    return np.concatenate([sums[:1] > 0, np.log1p(sums)], dtype=np.float32)


def item_strengths(query: Query, by_item: EventsByItem, masks: Mask | None = None) -> Floats:
    """Return how much each distinct item of the history counts, in three ways.

    For `neighbours` it is the sum of the item's positive weights, at most 1. For `neighbours_recent` and content, and
    for `transitions`, it is the sum of the positive weights, each decayed with the event's age.

    Args:
        query: The user and the moment.
        by_item: The query's events by item.
        masks: `(v, h)` bool, the events that each leave-one-out variant has; None for the whole history.

    Returns:
        `(3, k)` float32, or `(v, 3, k)` for variants.
    """
    weights = query.weights if masks is None else query.weights * masks
    liked = np.maximum(weights, 0) * RECENCY[:, ages(query, masks)]
    strengths = by_item.sum(np.moveaxis(liked, 0, -2)).astype(np.float32)
    strengths[..., 0, :] = np.minimum(strengths[..., 0, :], 1)
    return strengths


def widened(weights: Floats) -> Floats:
    """Return the ensemble weights of a version; those from before there was content get a weight of 0 for it.

    Args:
        weights: `(2, N_FEATURES + 1)` or `(2, N_FEATURES)` float32, the last one for the network score.
    """
    return np.insert(weights, CONTENT, 0, axis=1) if weights.shape[1] == N_FEATURES else weights
