"""The query: one user at one moment, as the arrays that features and scorers read, and sums over its history.

Some functions take `masks`, `(v, h)` bool: the events that each of v leave-one-out variants of the history has. A
left-out event does not make older events older. See `recsys.recommending.explain`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray]
Floats = NDArray[np.float32]
Indices = NDArray[np.int32]
Mask = NDArray[np.bool_]
SECONDS_PER_DAY = 86_400
USER_ITEM_HALF_LIFE_DAYS = 60.0  # an event of two months ago counts half in a user's own counts
MAX_HISTORY = 500  # older events move a pooled history by less than 0.98^500 = 0.004 %


class Query(NamedTuple):
    """One user at one moment.

    Attributes:
        user: Index of the user; `n_users` for a guest or a user that training never saw.
        items: `(h,)` int32, indices of the items of the user's history, oldest first, at most 500.
        weights: `(h,)` float32, the weight of each event by its name, -1 to 1, not decayed with time.
        timestamps: `(h,)` int64, seconds since 1970, ascending.
        context: `(m,)` int32, one index for each context feature of the version.
        now: The moment of the query, in seconds since 1970.
        repeats: Whether purchased items may be recommended; it chooses the row of the ensemble weights.
    """

    user: int
    items: Indices
    weights: Floats
    timestamps: NDArray[np.int64]
    context: Indices
    now: int
    repeats: bool = False

    def without(self, item: int) -> Query:
        """Return a query whose history lacks one item."""
        others = self.items != item
        return self._replace(items=self.items[others], weights=self.weights[others], timestamps=self.timestamps[others])


class EventsByItem(NamedTuple):
    """The events of a history, sorted by item.

    Attributes:
        items: `(k,)` int32, the distinct items, ascending.
        order: `(h,)` int64, the positions of the events, item by item.
        starts: `(k,)` int64, the position in `order` of each item's first event.
    """

    items: Indices
    order: NDArray[np.int64]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, query: Query) -> EventsByItem:
        """Sort the events of a query's history by item."""
        order = np.argsort(query.items, kind="stable")
        sorted_items = query.items[order]
        starts = np.flatnonzero(_differs_from_previous(sorted_items))
        return cls(sorted_items[starts], order, starts)

    def sum(self, values: NDArray) -> NDArray:
        """Return the sum of each distinct item's values, `(..., k)`.

        Args:
            values: `(..., h)`, one for each event.
        """
        sums: NDArray = np.add.reduceat(values[..., self.order], self.starts, axis=-1)
        return sums


def events_after(query: Query, masks: Mask | None = None) -> Floats:
    """Return the number of events after each one, `(h,)` float32; `(v, h)` for variants, without left-out ones."""
    if masks is None:
        return np.arange(len(query.items) - 1, -1, -1, dtype=np.float32)
    return _count_after(masks).astype(np.float32)


def ages(query: Query, masks: Mask | None = None) -> NDArray[np.int64]:
    """Return the number of distinct moments after each event, `(h,)` int64, or `(v, h)`; a basket is one moment."""
    first = _differs_from_previous(query.timestamps)
    moments = np.cumsum(first)  # from 1
    if masks is None:
        return moments[-1:] - moments
    has_moment = np.logical_or.reduceat(masks, np.flatnonzero(first), axis=-1)
    return _count_after(has_moment)[..., moments - 1]


def user_item_sums(query: Query, by_item: EventsByItem, half_lives: Sequence[float]) -> Floats:
    """Return the sum of positive weights of each distinct item of the history, for each half-life.

    Args:
        query: The query whose history is summed.
        by_item: Its events by item.
        half_lives: In days before `query.now`; infinity means no decay.

    Returns:
        `(len(half_lives), k)` float32.
    """
    days = np.maximum(query.now - query.timestamps, 0) / SECONDS_PER_DAY
    recency = 0.5 ** (days / np.array(half_lives)[:, None])
    return by_item.sum(np.maximum(query.weights, 0) * recency).astype(np.float32)


def user_item_counts(query: Query) -> tuple[Indices, Floats, Floats]:
    """Return how much the user chose each item of the history.

    Returns:
        The distinct items `(k,)` int32 ascending; the sum of their positive weights `(k,)` float32; and the same sum
        with a half-life of 60 days, `(k,)` float32.
    """
    by_item = EventsByItem.of(query)
    counts, decayed = user_item_sums(query, by_item, (np.inf, USER_ITEM_HALF_LIFE_DAYS))
    return by_item.items, counts, decayed


def add_at(
    scores: Floats,
    user_items: Indices,
    values: Floats,
    items: Indices | None,
) -> None:
    """Add values to the scores of some items, in place.

    Args:
        scores: One score for each of `items`.
        user_items: `(k,)` int32 ascending, the items whose scores are raised.
        values: `(k,)` float32.
        items: The items that `scores` stands for, in any order; None means the whole catalogue.
    """
    if items is None:
        scores[user_items] += values
    elif len(user_items):
        nearest = np.minimum(np.searchsorted(user_items, items), len(user_items) - 1)
        scores += np.where(user_items[nearest] == items, values[nearest], 0)


def _differs_from_previous(values: NDArray) -> Mask:
    """Return which values differ from the one before them; the first value does."""
    differs = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=differs[1:])
    return differs


def _count_after(mask: Mask) -> NDArray[np.int64]:
    """Return the number of true values after each position of the last axis."""
    counts: NDArray[np.int64] = np.cumsum(mask[..., ::-1], -1)[..., ::-1] - mask
    return counts
