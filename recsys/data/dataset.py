"""Encoded events, ordered by user and time: models are fitted on them, and queries are built from them."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recsys.errors.records import Record
from recsys.features.query import MAX_HISTORY, Floats, Indices, Mask, Query


class Dataset(Record):
    """Events as dense indices, ordered by (user, timestamp, row id).

    Attributes:
        users: `(n,)` int32, ascending.
        items: `(n,)` int32.
        weights: `(n,)` float32, the weight of the event, -1 to 1.
        confidences: `(n,)` float32, the weight after time decay, -1 to 1.
        timestamps: `(n,)` int64, seconds since 1970.
        purchases: `(n,)` bool, whether the event is a purchase.
        contexts: `(n, m)` int32, the context of the event, known before it.
        n_users: The number of users in the id map.
        n_items: The number of items in the id map.
        context_sizes: The number of indices of each context feature, "unknown" included.
    """

    users: Indices
    items: Indices
    weights: Floats
    confidences: Floats
    timestamps: NDArray[np.int64]
    purchases: Mask
    contexts: Indices
    n_users: int
    n_items: int
    context_sizes: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.users)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """The first row of each user, `(n_users + 1,)` int64: user u has the rows `starts[u]:starts[u + 1]`."""
        return np.searchsorted(self.users, np.arange(self.n_users + 1))

    @cached_property
    def baskets(self) -> NDArray[np.int64]:
        """For each event, the row of the user's first event in the same second, `(n,)` int64.

        If the event is a training target, its history is the user's rows before that one.
        """
        return first_of_moment(self.users, self.timestamps)

    @property
    def unknown_context(self) -> Indices:
        """The context in which every feature is unknown, `(m,)` int32."""
        return np.array(self.context_sizes, np.int32) - 1

    def rows_of(self, user: int) -> slice:
        """Return the rows of a user; an empty slice for `n_users`, which stands for unknown users."""
        return slice(int(self.starts[user]), int(self.starts[user + 1])) if user < self.n_users else slice(0, 0)

    def query(self, user: int, *, context: Indices, now: int, repeats: bool) -> Query:
        """Return the query of one user, with their newest 500 events of this dataset as history.

        Args:
            user: An index; `n_users` stands for a guest without history.
            context: `(m,)` int32, one index for each context feature.
            now: Seconds since 1970.
            repeats: Whether purchased items may be recommended again.
        """
        rows = self.rows_of(user)
        newest = slice(max(rows.start, rows.stop - MAX_HISTORY), rows.stop)
        return Query(user, self.items[newest], self.weights[newest], self.timestamps[newest], context, now, repeats)

    def bought(self, user: int, since: float = -np.inf) -> Indices:
        """Return the distinct items that a user bought at or after a moment, int32, ascending.

        Args:
            user: An index.
            since: Seconds since 1970.
        """
        rows = self.rows_of(user)
        return np.unique(self.items[rows][self.purchases[rows] & (self.timestamps[rows] >= since)])


def first_of_moment(users: Indices, timestamps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each row the position of the first row of the same user and second, `(n,)` int64.

    Args:
        users: `(n,)` int32, ascending.
        timestamps: `(n,)` int64, ascending within a user.
    """
    is_first = np.ones(len(users), bool)
    is_first[1:] = (np.diff(users) != 0) | (np.diff(timestamps) != 0)
    return np.maximum.accumulate(np.where(is_first, np.arange(len(users)), 0))
