"""The features: twelve numbers for a user and an item, to which every model adds its network's score.

They come from item-item similarity, sequential co-occurrence, ALS, popularity, and the user's own counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.features.history import add_at, ages, distinct_items, event_weights, sum_by_item, user_item_sums
from recsys.features.item_item import Neighbours
from recsys.features.query import MAX_HISTORY, Arrays, Query

ITEM_ITEM = ("neighbours", "neighbours_recent", "transitions")  # summed over the items of the history
EASE_ROWS, TRANSITION_ROWS = slice(0, 2), slice(2, 3)  # which rows of `ITEM_ITEM` each matrix gives
DENSE = (*ITEM_ITEM, "factors")  # any item may have a value, and it depends on the query
POPULARITIES = ("popularity", "popularity_60d", "popularity_15d", "popularity_7d")  # the same for all queries
USER_ITEM = ("own", "own_count", "own_60d", "own_15d")  # 0 except for the items of the history
NAMES: tuple[str, ...] = (*DENSE, *POPULARITIES, *USER_ITEM)
N_FEATURES = len(NAMES)
USER_ITEM_HALF_LIVES = (np.inf, 60.0, 15.0)  # days
NEIGHBOURS_DECAY = 0.9  # for each moment of age
TRANSITIONS_DECAY = 0.8
_DECAYS = np.array([[1.0], [NEIGHBOURS_DECAY], [TRANSITIONS_DECAY]])
_RECENCY = _DECAYS ** np.arange(MAX_HISTORY)  # for each row of `ITEM_ITEM`, by age
SHORT_LIST = 8  # ALS is computed for chosen items alone where the catalogue is at least this many times longer


@dataclass(frozen=True, eq=False)  # equal to itself only, and so hashable: a key of the query's cache
class Features:
    """What the twelve features are computed from. `recsys.training.ensemble` fits their weights.

    Attributes:
        ease: Item-item weights of EASE, see `recsys.training.closed_form.ease`.
        transitions: Sequential item-item co-occurrence, see `recsys.training.closed_form.transitions`.
        user_factors: `(n_users, dim)` float32, by ALS.
        item_factors: `(n_items, dim)` float32, by ALS.
        popularity: `(4, n_items)` float32, the logarithms of popularity under four half-lives.
    """

    ease: Neighbours
    transitions: Neighbours
    user_factors: NDArray[np.float32]
    item_factors: NDArray[np.float32]
    popularity: NDArray[np.float32]

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Features:
        """Build the features from a version's arrays; those of `Neighbours` begin with `ease/` or `transitions/`."""
        matrices = Neighbours.from_arrays(arrays, "ease/"), Neighbours.from_arrays(arrays, "transitions/")
        return cls(*matrices, arrays["user_factors"], arrays["item_factors"], arrays["popularity"])

    @property
    def n_items(self) -> int:
        """The number of items."""
        return self.ease.n_items

    def of(self, query: Query, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        """Return the features one by one, for fitting their weights.

        Args:
            query: The user and the moment.
            items: `(k,)` indices; None means all.

        Returns:
            `(N_FEATURES, n_items)` or `(N_FEATURES, k)` float32, in the order of `NAMES`.
        """
        unit = np.eye(N_FEATURES, dtype=np.float32)
        return np.stack([self.blend(query, weights, items) for weights in unit])

    def blend(
        self,
        query: Query,
        weights: NDArray[np.float32],
        items: NDArray[np.int32] | None = None,
        prior: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Return the weighted sum of the features, `weights @ self.of(query, items)`.

        A feature of weight 0 is not computed. Features are added one by one, not by a matrix product of BLAS. So equal
        items get equal scores, and an item's score does not depend on the items that are scored with it. It is the
        same to the last bit, except for the ALS feature of short lists.

        Args:
            query: The user and the moment.
            weights: `(N_FEATURES,)` float32.
            items: `(k,)` indices; None means all.
            prior: The value of `self.prior(weights, items)` if the caller has it already.

        Returns:
            `(n_items,)` or `(k,)` float32; the caller may write to it.
        """
        scores = self.prior(weights, items) if prior is None else prior.copy()
        for matrix, rows in ((self.ease, EASE_ROWS), (self.transitions, TRANSITION_ROWS)):
            if weights[rows].any():
                for weight, row in zip(weights[rows], self._accumulated(query, matrix, rows, items), strict=True):
                    scores += weight * row
        if weights[len(ITEM_ITEM)]:
            scores += weights[len(ITEM_ITEM)] * self._factors(query, items)
        if len(query.items):
            user_items, values = user_item_features(query)
            add_at(scores, user_items, weights[-len(USER_ITEM) :] @ values, items)
        return scores

    def score_drops(
        self, query: Query, weights: NDArray[np.float32], without: Sequence[int], items: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """Return how much the weighted sum of some items drops when each of some history items is left out.

        Why this exists: explanations need these drops, see `Query.leave_one_out_variants`. The sum of item-item weights
        is linear in how much each history item counts. So one small matrix product over the history and the scored
        items replaces a new pass over the catalogue for each variant.

        Args:
            query: The variants, `query.leave_one_out_variants(without)`.
            weights: `(N_FEATURES,)` float32.
            without: The items of the history to leave out.
            items: `(k,)` indices of the scored items.

        Returns:
            `(len(without), k)` float32.
        """
        _, strengths = _strengths(query)
        ease, transitions = self._blocks(query, items)
        ease_strengths = weights[0] * strengths[:, 0] + weights[1] * strengths[:, 1]
        sums = ease_strengths @ ease + (weights[2] * strengths[:, 2]) @ transitions
        score_drops: NDArray[np.float32] = sums[0] - sums[1:]
        user_items, values = user_item_features(query)  # an item's counts raise its own score only
        removed = np.array(without, np.int32)
        user_item_scores = weights[-len(USER_ITEM) :] @ values
        score_drops += (removed[:, None] == items) * user_item_scores[np.searchsorted(user_items, removed), None]
        return score_drops

    def prior(self, weights: NDArray[np.float32], items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        """Return the part of the weighted sum that is the same for every query, popularity, as a new array.

        Args:
            weights: `(N_FEATURES,)` float32.
            items: `(k,)` indices; None means all.

        Returns:
            `(n_items,)` or `(k,)` float32.
        """
        which = slice(None) if items is None else items
        scores = np.zeros(self.n_items if items is None else len(items), np.float32)
        for weight, row in zip(weights[len(DENSE) :], self.popularity, strict=False):
            if weight:
                scores += weight * row[which]
        return scores

    def contributions(
        self, query: Query, weights: NDArray[np.float32], items: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """Return what each history item adds to the weighted sum, by both matrices and by the user's counts.

        Args:
            query: The user and the moment.
            weights: `(N_FEATURES,)` float32.
            items: `(k,)` distinct indices of the scored items.

        Returns:
            `(h, k)` float32; rows are the distinct items of the history, ascending.
        """
        history, strengths = _strengths(query)
        weighted = weights[: len(ITEM_ITEM), None] * strengths
        ease, transitions = self._blocks(query, items)
        added: NDArray[np.float32] = (weighted[0] + weighted[1])[:, None] * ease + weighted[2][:, None] * transitions
        if len(history):
            user_items, values = user_item_features(query)
            added += (user_items[:, None] == items) * (weights[-len(USER_ITEM) :] @ values)[:, None]
        return added

    def _accumulated(
        self, query: Query, matrix: Neighbours, rows: slice, items: NDArray[np.int32] | None
    ) -> NDArray[np.float32]:
        """Return some rows of `ITEM_ITEM`, `(r, n_items)` or `(r, k)`; the models that score a query share them."""

        def accumulate() -> NDArray[np.float32]:
            history, strengths = _strengths(query)
            return matrix.accumulate(history, strengths[rows])

        catalogue = query.once((self, "item-item", rows.start), accumulate)
        return catalogue if items is None else catalogue[:, items]

    def _blocks(self, query: Query, items: NDArray[np.int32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the weights of EASE and of transitions from the distinct history items to some, `(h, k)` float32."""

        def blocks() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            history = distinct_items(query)
            return self.ease.block(history, items), self.transitions.block(history, items)

        return query.once((self, "blocks", items.tobytes()), blocks)

    def _factors(self, query: Query, items: NDArray[np.int32] | None) -> NDArray[np.float32]:
        """Return the dot products of ALS, `(n_items,)` or `(k,)` float32; zeros for guests and unseen users."""
        if query.user >= len(self.user_factors):
            return np.zeros(self.n_items if items is None else len(items), np.float32)
        user = self.user_factors[query.user]
        if items is not None and len(items) * SHORT_LIST <= self.n_items:
            key = (self, "factors", items.tobytes())
            short_list: NDArray[np.float32] = query.once(key, lambda: self.item_factors[items] @ user)
            return short_list
        catalogue: NDArray[np.float32] = query.once((self, "factors"), lambda: self.item_factors @ user)
        return catalogue if items is None else catalogue[items]


def user_item_features(query: Query) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the distinct history items `(k,)` int32, ascending, and their `USER_ITEM` features `(4, k)` float32."""

    def features() -> NDArray[np.float32]:
        sums = user_item_sums(query, USER_ITEM_HALF_LIVES)[1]
        return np.concatenate([sums[:1] > 0, np.log1p(sums)], dtype=np.float32)

    return distinct_items(query), query.once("user-item features", features)


def _strengths(query: Query) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return how much each distinct item of the history counts in each row of `ITEM_ITEM`.

    For `neighbours` it is the sum of the item's positive weights, at most 1. For the other two it is the sum of the
    positive weights, each decayed with the event's age.

    Returns:
        The items `(k,)` int32, ascending; the strengths `(3, k)` float32, or `(v, 3, k)` for leave-one-out variants.
    """

    def strengths() -> NDArray[np.float32]:
        liked = np.maximum(event_weights(query), 0) * _RECENCY[:, ages(query)]
        sums = sum_by_item(query, np.moveaxis(liked, 0, -2)).astype(np.float32)
        sums[..., 0, :] = np.minimum(sums[..., 0, :], 1)
        return sums

    return distinct_items(query), query.once(("strengths", query.mask_key), strengths)
