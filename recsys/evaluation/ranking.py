"""The ranking of items by their scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recsys.features.query import Floats, Indices, Mask

ROWS = 64  # the scores are laid out in so many rows, and the highest of each column are looked at first
MANY = 8  # candidates for each place in the list; more are equal scores, as a rule


def top_k(scores: Floats, k: int, allowed: Mask | None = None) -> Indices:
    """Return the indices of the `k` highest scores, best first; equal scores by ascending index, also at the border.

    The list is shorter than `k` if fewer items are allowed.

    Args:
        scores: `(n,)` floats; minus infinity excludes an item.
        k: Length of the list, at least 1.
        allowed: `(n,)` bool, which indices may be in the list; None allows all.

    Returns:
        `(at most k,)` int32.

    Raises:
        ValueError: A score is NaN, whether it is allowed or not, or `k` is not positive.

    >>> top_k(np.array([0.5, 0.9, 0.5, 0.5]), 3).tolist()
    [1, 0, 2]
    >>> top_k(np.array([0.5, 0.9, -np.inf, 0.5]), 3, allowed=np.array([True, False, True, True])).tolist()
    [0, 3]
    """
    if k < 1:
        raise ValueError(f"`k` should be a positive integer. Received: {k}.")
    if len(scores) and np.isnan(scores.max()):
        positions = np.flatnonzero(np.isnan(scores))[:5].tolist()
        raise ValueError(f"`scores` should be numbers. Received: NaN at {positions}.")
    eligible = scores if allowed is None else np.where(allowed, scores, np.float32(-np.inf))
    # Candidates are all items that reach the k-th highest score. `np.partition` alone would break ties in an order that
    # depends on NumPy's build.
    width = len(eligible) // ROWS
    if width > k:  # a partition of so many takes longer, and very long where most scores are equal
        candidates = _reaching(eligible, eligible[: ROWS * width].reshape(ROWS, width).max(axis=0), k)
        if len(candidates) > MANY * k:
            candidates = candidates[_reaching(eligible[candidates], eligible[candidates], k)]
    else:
        candidates = _reaching(eligible, eligible, k)
    return candidates[np.argsort(-eligible[candidates], kind="stable")[:k]].astype(np.int32)


def _reaching(scores: Floats, some: Floats, k: int) -> NDArray[np.intp]:
    """Return the indices of the scores that reach the k-th highest of some of them, all but minus infinity if fewer."""
    border = np.partition(some, len(some) - k)[len(some) - k] if len(some) > k else -np.inf
    return np.flatnonzero(scores >= border if border > -np.inf else scores > -np.inf)
