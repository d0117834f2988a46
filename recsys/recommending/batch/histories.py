"""Lists of everybody: the histories of a block of users in one row of arrays, and sums over each of them.

The functions say of all users what `recsys.features` says of one, with the same numbers: `ages`, `events_after`,
`item_strengths`. Some take `masks`, `(v, n)` bool: the events that each of v leave-one-out variants has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.features.features import RECENCY
from recsys.features.query import EventsByItem, Floats, Indices, Mask, Query
from recsys.scorers.layers import UserRepresentation


class Histories(NamedTuple):
    """The events of b users, n in all, user by user and oldest first; and their m pairs of a user and an item.

    Attributes:
        queries: The users' queries.
        all: One query with the events of all users. Its items are numbers of pairs, `user · n_items + item`.
        items: `(n,)` int32, the events' item indices.
        edges: `(b + 1,)` int64; user u has the events from `edges[u]` to `edges[u + 1]`.
        by_item: The events by pair.
        pair_items: `(m,)` int32, the distinct items of each user, ascending within a user.
        pair_users: `(m,)` int64, whose they are.
        pair_edges: `(b + 1,)` int64, as `edges`, of the pairs.
    """

    queries: Sequence[Query]
    all: Query
    items: Indices
    edges: NDArray[np.int64]
    by_item: EventsByItem
    pair_items: Indices
    pair_users: NDArray[np.int64]
    pair_edges: NDArray[np.int64]

    @classmethod
    def of(cls, queries: Sequence[Query], n_items: int) -> Histories:
        """Join the histories of queries, of which there is at least one."""
        lengths = [len(query.items) for query in queries]
        edges = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        items = np.concatenate([query.items for query in queries])
        owners: NDArray[np.int64] = np.repeat(np.arange(len(queries)), lengths)
        joined = queries[0]._replace(
            items=owners * n_items + items,
            weights=np.concatenate([query.weights for query in queries]),
            timestamps=np.concatenate([query.timestamps for query in queries]),
        )
        by_item = EventsByItem.of(joined)
        pair_users: NDArray[np.int64] = (by_item.items // n_items).astype(np.int64)
        return cls(
            queries,
            joined,
            items,
            edges,
            by_item,
            (by_item.items % n_items).astype(np.int32),
            pair_users,
            np.searchsorted(pair_users, np.arange(len(queries) + 1)).astype(np.int64),
        )

    def ages(self, masks: Mask | None = None) -> NDArray[np.int64]:
        """Return the number of the user's distinct moments after each event, `(n,)` or `(v, n)` int64."""
        first = np.ones(len(self.items), bool)
        np.not_equal(self.all.timestamps[1:], self.all.timestamps[:-1], out=first[1:])
        first[self.edges[:-1][np.diff(self.edges) > 0]] = True
        moments = np.cumsum(first)
        starts = np.concatenate([[0], moments])[self.edges]  # of each user's moments
        if masks is None:
            ages: NDArray[np.int64] = np.repeat(starts[1:], np.diff(self.edges)) - moments
            return ages
        has_moment = np.logical_or.reduceat(masks, np.flatnonzero(first), axis=-1)
        return _count_after(has_moment, starts)[:, moments - 1]

    def events_after(self, masks: Mask | None = None) -> NDArray[np.int64]:
        """Return the number of the user's events after each one, `(n,)` or `(v, n)` int64."""
        if masks is None:
            return np.repeat(self.edges[1:], np.diff(self.edges)) - np.arange(1, len(self.items) + 1)
        return _count_after(masks, self.edges)

    def item_strengths(self, masks: Mask | None = None) -> Floats:
        """Return how much each pair counts, in three ways, `(3, m)` or `(v, 3, m)` float32."""
        weights = self.all.weights if masks is None else self.all.weights * masks
        liked = np.maximum(weights, 0) * RECENCY[:, self.ages(masks)]
        strengths = self.by_item.sum(np.moveaxis(liked, 0, -2)).astype(np.float32)
        strengths[..., 0, :] = np.minimum(strengths[..., 0, :], 1)
        return strengths

    def represented(self, representation: UserRepresentation, masks: Mask | None = None) -> Floats:
        """Return each user's representation, `(b, dim)` or `(b, v, dim)` float32."""
        weights = self.all.weights if masks is None else self.all.weights * masks
        age = self.events_after(masks)
        pooled = np.zeros((len(self.queries), *weights.shape[:-1], representation.slow_items.shape[1]), np.float32)
        tables = representation.slow_items, representation.fast_items
        for decay, table in zip(representation.decays, tables, strict=True):
            decayed = weights * (decay ** np.arange(MOST_EVENTS, dtype=np.float32))[age]
            for user, (first, last) in enumerate(zip(self.edges[:-1].tolist(), self.edges[1:].tolist(), strict=True)):
                pooled[user] += decayed[..., first:last] @ table.take(self.items[first:last], axis=0)
        known = [user for user, query in enumerate(self.queries) if query.user < len(representation.user_factors)]
        factors = representation.user_factors[[self.queries[user].user for user in known]]
        pooled[known] += factors if masks is None else factors[:, None]
        return pooled


MOST_EVENTS = 512  # at least `MAX_HISTORY`


def _count_after(mask: Mask, edges: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of true values after each position in its part, `(v, n)`; `edges` are those of the parts."""
    so_far = np.cumsum(mask, -1)
    until = np.concatenate([np.zeros((len(mask), 1), np.int64), so_far], 1)[:, edges[1:]]
    counts: NDArray[np.int64] = np.repeat(until, np.diff(edges), axis=1) - so_far
    return counts
