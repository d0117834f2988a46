"""From scores to a list."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def top_k(scores: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None = None) -> NDArray[np.int32]:
    """Return the indices of the `k` highest scores, best first; equal scores by ascending index, also at the border.

    There are fewer than `k` where fewer are allowed: a list is never filled up with what must not be in it.

    Args:
        scores: `(n,)` floats; minus infinity means "not this one".
        k: Length of the list, at least 1.
        allowed: `(n,)` which indices may be answered; None allows all.

    Returns:
        `(at most k,)` int32.

    Raises:
        ValueError: A score is NaN (allowed or not: the scorer is broken), or `k` is not positive.

    >>> top_k(np.array([0.5, 0.9, 0.5, 0.5]), 3).tolist()
    [1, 0, 2]
    >>> top_k(np.array([0.5, 0.9, -np.inf, 0.5]), 3, allowed=np.array([True, False, True, True])).tolist()
    [0, 3]
    """
    if k < 1:
        raise ValueError(f"`k` should be a positive integer. Received: {k}.")
    if len(scores) and np.isnan(scores.max()):
        raise ValueError(
            f"`scores` should be numbers. Received: NaN at {np.flatnonzero(np.isnan(scores))[:5].tolist()}."
        )
    eligible = scores if allowed is None else np.where(allowed, scores, np.float32(-np.inf))
    # All that reach the k-th highest value: which of those that equal it a partition alone would take depends on
    # NumPy's build.
    border = np.partition(eligible, len(eligible) - k)[len(eligible) - k] if len(eligible) > k else -np.inf
    candidates = np.flatnonzero(eligible >= border if border > -np.inf else eligible > -np.inf)
    return candidates[np.argsort(-eligible[candidates], kind="stable")[:k]].astype(np.int32)
