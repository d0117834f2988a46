"""Encoded events, customer by customer in the order of time: what models are fitted on and queries are made from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recsys.features.query import MAX_HISTORY, Query


@dataclass(frozen=True)
class Dataset:
    """Events as dense indices, ordered by (user, timestamp, row id).

    Attributes:
        users: `(n,)` int32, ascending.
        items: `(n,)` int32.
        weights: `(n,)` float32, the event's weight, -1 to 1.
        confidences: `(n,)` float32, the weight after time decay.
        timestamps: `(n,)` int64, seconds since 1970.
        purchases: `(n,)` bool, whether the event means "has bought".
        contexts: `(n, m)` int32, the context at the event, known before it.
        n_users: The number of users in the id map.
        n_items: The number of items in the id map.
        context_sizes: The number of indices of each context feature, "unknown" included.
    """

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    weights: NDArray[np.float32]
    confidences: NDArray[np.float32]
    timestamps: NDArray[np.int64]
    purchases: NDArray[np.bool_]
    contexts: NDArray[np.int32]
    n_users: int
    n_items: int
    context_sizes: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.users)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """`(n_users + 1,)` int64: the events of user u are `starts[u]:starts[u + 1]`."""
        return np.searchsorted(self.users, np.arange(self.n_users + 1))

    @cached_property
    def baskets(self) -> NDArray[np.int64]:
        """`(n,)` int64: the position of the first event of the same user at the same moment.

        Everything before it, and nothing else, is history when the event is the target.
        """
        return first_of_moment(self.users, self.timestamps)

    def rows_of(self, user: int) -> slice:
        """Return where a user's events lie; nowhere for `n_users`, which stands for everybody unseen."""
        return slice(int(self.starts[user]), int(self.starts[user + 1])) if user < self.n_users else slice(0, 0)

    def take(self, mask: NDArray[np.bool_]) -> Dataset:
        """Return the events that a mask selects."""
        return replace(
            self,
            users=self.users[mask],
            items=self.items[mask],
            weights=self.weights[mask],
            confidences=self.confidences[mask],
            timestamps=self.timestamps[mask],
            purchases=self.purchases[mask],
            contexts=self.contexts[mask],
        )

    def query(self, user: int, *, context: NDArray[np.int32], now: int, repeats: bool) -> Query:
        """Return the question for one user: her last 500 events, everything in this set being the past.

        Args:
            user: An index; `n_users` asks for a guest without history.
            context: `(m,)` int32.
            now: Seconds since 1970.
            repeats: Whether repeats may be answered.
        """
        rows = self.rows_of(user)
        mine = slice(max(rows.start, rows.stop - MAX_HISTORY), rows.stop)
        return Query(user, self.items[mine], self.weights[mine], self.timestamps[mine], context, now, repeats)

    def bought(self, user: int, since: float = -np.inf) -> NDArray[np.int32]:
        """Return the distinct items that a user bought at or after a moment."""
        mine = self.rows_of(user)
        return np.unique(self.items[mine][self.purchases[mine] & (self.timestamps[mine] >= since)])


def first_of_moment(users: NDArray[np.int32], timestamps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return `(n,)` int64: for each row the position of the first row of the same user and second.

    Args:
        users: `(n,)` int32, ascending.
        timestamps: `(n,)` int64, ascending within a user.
    """
    new = np.ones(len(users), bool)
    new[1:] = (np.diff(users) != 0) | (np.diff(timestamps) != 0)
    return np.maximum.accumulate(np.where(new, np.arange(len(users)), 0))
