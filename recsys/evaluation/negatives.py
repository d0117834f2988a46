"""Items a customer has not seen, drawn at random: the negatives of the leave-one-out exam."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def sampled_negatives(
    rng: np.random.Generator, seen_by_user: Iterable[NDArray[np.int32]], n_items: int, n: int = 99
) -> list[NDArray[np.int32]]:
    """Return for each user up to `n` distinct items that she has not seen, in random order.

    There are fewer than `n` where the catalogue has no more unseen items; the exam is easier then, and chance is no
    longer 10 in 100: a caller who prints the figure should say how many candidates there were.

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


def _unseen(seen: NDArray[np.integer], n_items: int) -> NDArray[np.int64]:
    unseen = np.ones(n_items, bool)
    unseen[seen] = False
    return np.flatnonzero(unseen)
