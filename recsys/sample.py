"""Items a customer has not seen, drawn at random: the negatives of training and of the leave-one-out exam."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

ROUNDS = 10  # a user who saw half of the catalogue still collides once in a thousand draws; the exact draw takes over there


def pair_keys(users: NDArray[np.int32], items: NDArray[np.int32], n_items: int) -> NDArray[np.int64]:
    """Return `(n,)` int64 `user * n_items + item` of the rows, ascending, repeats and all.

    >>> pair_keys(np.array([1, 0, 1]), np.array([2, 1, 2]), n_items=3).tolist()
    [1, 5, 5]
    """
    return np.sort(users.astype(np.int64) * n_items + items)


def uniform_negatives(
    rng: np.random.Generator, seen: NDArray[np.int64], users: NDArray[np.int32], n_items: int, n_negatives: int
) -> NDArray[np.int32]:
    """Return `(n, n_negatives)` int32: for each row's user, items that she has not seen, uniformly and with replacement.

    Collisions are drawn again, a bounded number of times, then drawn from the user's unseen items exactly. A user who has
    seen the whole catalogue gets uniform draws from all of it: there is no right answer, and training must not stop for her.

    Args:
        rng: Source of randomness.
        seen: Sorted `(m,)` keys as `pair_keys` makes them.
        users: `(n,)` user indices, one for each row to fill; the index of a guest is fine.
        n_items: Size of the catalogue, at least 1.
        n_negatives: Draws for each row.
    """
    owners = np.repeat(users.astype(np.int64), n_negatives)
    drawn = rng.integers(0, n_items, len(owners))
    colliding = np.flatnonzero(_contains(seen, owners * n_items + drawn))
    for _ in range(ROUNDS):
        if not len(colliding):
            break
        drawn[colliding] = rng.integers(0, n_items, len(colliding))
        colliding = colliding[_contains(seen, owners[colliding] * n_items + drawn[colliding])]
    for user in np.unique(owners[colliding]):
        rows = colliding[owners[colliding] == user]
        first, last = np.searchsorted(seen, [user * n_items, (user + 1) * n_items])
        unseen = _unseen(seen[first:last] - user * n_items, n_items)
        if len(unseen):
            drawn[rows] = rng.choice(unseen, len(rows))
    return drawn.reshape(len(users), n_negatives).astype(np.int32)


def exam_negatives(
    rng: np.random.Generator, seen_by_user: Iterable[NDArray[np.int32]], n_items: int, n: int = 99
) -> list[NDArray[np.int32]]:
    """Return for each user up to `n` distinct items that she has not seen, in random order.

    There are fewer than `n` where the catalogue has no more unseen items; the exam is easier then, and chance is no longer
    10 in 100: a caller who prints the figure should say how many candidates there were.

    Args:
        rng: Source of randomness.
        seen_by_user: Item indices each user has seen, her exam item among them, in any order.
        n_items: Size of the catalogue.
        n: Negatives for each user.
    """
    negatives = []
    for seen in seen_by_user:
        unseen = _unseen(seen, n_items)
        negatives.append(rng.choice(unseen, min(n, len(unseen)), replace=False).astype(np.int32))
    return negatives


def _contains(ascending: NDArray[np.int64], keys: NDArray[np.int64]) -> NDArray[np.bool_]:
    if not len(ascending):
        return np.zeros(len(keys), bool)
    nearest = np.minimum(np.searchsorted(ascending, keys), len(ascending) - 1)
    return np.equal(ascending[nearest], keys)


def _unseen(seen: NDArray[np.integer], n_items: int) -> NDArray[np.int64]:
    unseen = np.ones(n_items, bool)
    unseen[seen] = False
    return np.flatnonzero(unseen)
