"""What four models are added up from besides their own part: neighbours, transitions, factors, popularity and the customer's own counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.features.history import add_at, ages, by_item, distinct_items, user_item_sums
from recsys.features.history import weights as event_weights
from recsys.features.item_item import Neighbours
from recsys.features.query import MAX_HISTORY, Arrays, Query

ITEM_ITEM = ("neighbours", "neighbours_recent", "transitions")  # from each item of the history to its neighbours
EASE_ROWS, TRANSITION_ROWS = slice(0, 2), slice(2, 3)  # of `ITEM_ITEM`
DENSE = (*ITEM_ITEM, "factors")  # one value for each item and question
POPULARITIES = ("popularity", "popularity_60d", "popularity_15d", "popularity_7d")  # one value for each item
USER_ITEM = ("own", "own_count", "own_60d", "own_15d")  # 0 but for the customer's own items
NAMES: tuple[str, ...] = (*DENSE, *POPULARITIES, *USER_ITEM)
N_FEATURES = len(NAMES)
USER_ITEM_HALF_LIVES = (np.inf, 60.0, 15.0)  # days
NEIGHBOURS_DECAY = 0.9  # for each moment of age
TRANSITIONS_DECAY = 0.8
_RECENCY = np.array([[1.0], [NEIGHBOURS_DECAY], [TRANSITIONS_DECAY]]) ** np.arange(
    MAX_HISTORY
)  # of each of `ITEM_ITEM`, by age
FEW = 8  # a list so many times shorter than the catalogue is worth a computation of its own


@dataclass(frozen=True, eq=False)  # equal to itself only, and so hashable: a question remembers whose signals it has
class Features:
    """Everything simple that is known of a customer and an item; the weights of the sum are fitted, see `recsys.training.ensemble`.

    Attributes:
        ease: Item-item weights, see `recsys.scorers.item_item`.
        transitions: What follows what, see `recsys.training.closed_form.transitions`.
        user_factors: `(n_users, dim)` float32.
        item_factors: `(n_items, dim)` float32.
        popularity: `(4, n_items)` float32, see `popularities`.
    """

    ease: Neighbours
    transitions: Neighbours
    user_factors: NDArray[np.float32]
    item_factors: NDArray[np.float32]
    popularity: NDArray[np.float32]

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Features:
        """Take the signals out of a version's arrays: `ease/…` and `transitions/…` of `Neighbours`, and the rest by name."""
        tables = Neighbours.from_arrays(arrays, "ease/"), Neighbours.from_arrays(arrays, "transitions/")
        return cls(*tables, arrays["user_factors"], arrays["item_factors"], arrays["popularity"])

    @property
    def n_items(self) -> int:
        """The number of items."""
        return self.ease.n_items

    def of(self, query: Query, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        """Return every signal, for fitting.

        Args:
            query: The customer and the moment.
            items: `(k,)` indices; None means all.

        Returns:
            `(N_SIGNALS, n_items)` or `(N_SIGNALS, k)` float32, in the order of `NAMES`.
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
        """Return the weighted sum of the signals, `weights @ self.of(query, items)`; a table whose signals weigh 0 is not looked at.

        Rows are added one by one, not by BLAS: so equals stay equal, and an item scores the same in whatever company,
        to the last bit but for `factors` of a short list, which are computed for it alone.

        Args:
            query: The customer and the moment.
            weights: `(N_SIGNALS,)` float32.
            items: `(k,)` indices; None means all.
            prior: What `prior` returns for these arguments, where it is known.

        Returns:
            `(n_items,)` or `(k,)` float32, the caller's own.
        """
        scores = self.prior(weights, items) if prior is None else prior.copy()
        for table, which in ((self.ease, EASE_ROWS), (self.transitions, TRANSITION_ROWS)):
            if weights[which].any():
                for weight, row in zip(weights[which], self._accumulated(query, table, which, items), strict=True):
                    scores += weight * row
        if weights[len(ITEM_ITEM)]:
            scores += weights[len(ITEM_ITEM)] * self._factors(query, items)
        if len(query.items):
            own, values = user_item_features(query)
            add_at(scores, own, weights[-len(USER_ITEM) :] @ values, items)
        return scores

    def score_drops(
        self, query: Query, weights: NDArray[np.float32], without: Sequence[int], items: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """Return by how much the sum is lower without each of some items of the history.

        Args:
            query: Its variants, as of `query.without_each(without)`.
            weights: `(N_SIGNALS,)` float32.
            without: Items of the history.
            items: `(k,)` indices of the items asked about.

        Returns:
            `(len(without), k)` float32.
        """
        _, strengths = _strengths(query)
        ease, transitions = self._blocks(query, items)
        accumulate = (weights[0] * strengths[:, 0] + weights[1] * strengths[:, 1]) @ ease + (
            weights[2] * strengths[:, 2]
        ) @ transitions
        score_drops: NDArray[np.float32] = accumulate[0] - accumulate[1:]
        own, values = user_item_features(query)  # an item's own counts are nobody else's
        removed = np.array(without, np.int32)
        score_drops += (removed[:, None] == items) * (weights[-len(USER_ITEM) :] @ values)[
            np.searchsorted(own, removed), None
        ]
        return score_drops

    def prior(self, weights: NDArray[np.float32], items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        """Return the part of the sum that is the same for every question, a fresh array.

        Args:
            weights: `(N_SIGNALS,)` float32.
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
        """Return what each item of the history adds to the weighted sum by its neighbours, its successors and its own counts.

        Args:
            query: The customer and the moment.
            weights: `(N_SIGNALS,)` float32.
            items: `(k,)` distinct indices of the items asked about.

        Returns:
            `(h, k)` float32; rows are the distinct items of the history, ascending.
        """
        history, strengths = _strengths(query)
        weighted = weights[: len(ITEM_ITEM), None] * strengths
        ease, transitions = self._blocks(query, items)
        added: NDArray[np.float32] = (weighted[0] + weighted[1])[:, None] * ease + weighted[2][:, None] * transitions
        if len(history):
            own, values = user_item_features(query)
            added += (own[:, None] == items) * (weights[-len(USER_ITEM) :] @ values)[:, None]
        return added

    def _accumulated(
        self, query: Query, table: Neighbours, which: slice, items: NDArray[np.int32] | None
    ) -> NDArray[np.float32]:
        """Return some of `ITEM_ITEM` `(s, n_items)` or `(s, k)`; computed once a question, whatever the number of models."""

        def accumulate() -> NDArray[np.float32]:
            history, strengths = _strengths(query)
            return table.accumulate(history, strengths[which])

        everything = query.once((self, "spread", which.start), accumulate)
        return everything if items is None else everything[:, items]

    def _blocks(self, query: Query, items: NDArray[np.int32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return `(h, k)` float32 of both tables: the weights between the distinct items of the history and some items."""

        def blocks() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            history = distinct_items(query)
            return self.ease.block(history, items), self.transitions.block(history, items)

        return query.once((self, "blocks", items.tobytes()), blocks)

    def _factors(self, query: Query, items: NDArray[np.int32] | None) -> NDArray[np.float32]:
        if query.user >= len(self.user_factors):
            return np.zeros(self.n_items if items is None else len(items), np.float32)
        user = self.user_factors[query.user]
        if items is not None and len(items) * FEW <= self.n_items:
            few: NDArray[np.float32] = query.once(
                (self, "factors", items.tobytes()), lambda: self.item_factors[items] @ user
            )
            return few
        everything: NDArray[np.float32] = query.once((self, "factors"), lambda: self.item_factors @ user)
        return everything if items is None else everything[items]


def user_item_features(query: Query) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the distinct items of the history `(k,)` int32 ascending, and the signals `USER_ITEM` of each `(4, k)` float32."""

    def features() -> NDArray[np.float32]:
        sums = user_item_sums(query, USER_ITEM_HALF_LIVES)[1]
        return np.concatenate([sums[:1] > 0, np.log1p(sums)], dtype=np.float32)

    return distinct_items(query), query.once("own", features)


def _strengths(query: Query) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the distinct items of the history `(k,)` int32 ascending, and how strongly each is spread, as in `ITEM_ITEM`.

    `(3, k)` float32, or `(v, 3, k)` of variants.

    Its positive weight up to 1, and twice the sum of its positive weights, each faded with its age.
    """

    def strengths() -> NDArray[np.float32]:
        liked = np.maximum(event_weights(query), 0) * _RECENCY[:, ages(query)]
        sums = by_item(query, np.moveaxis(liked, 0, -2)).astype(np.float32)
        sums[..., 0, :] = np.minimum(sums[..., 0, :], 1)
        return sums

    return distinct_items(query), query.once(("strengths", query.variants), strengths)
