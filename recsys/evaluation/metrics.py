"""What the figures mean; docs/METRICS.md says it with an example, and what other libraries print for the same lists.

The functions at k take one user's list, best first, and the relevant items; they return NaN for a user with nothing
relevant, for whom they are undefined: the evaluation counts such users and leaves them out of the mean. Ties are already
decided in the list (`ranking.top_k`: by ascending index).

A relevant item that cannot be recommended is a miss in every figure, whatever the reason: training does not know it, or it
is no longer sold. It stays in the denominator and is never in the numerator. `n_relevant` counts those without an index too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def precision_at_k(
    ranked: NDArray[np.int32], relevant: NDArray[np.int32], *, k: int = 10, n_relevant: int | None = None
) -> float:
    """Return hits / k, also where the list is shorter than k.

    Args:
        ranked: `(m,)` distinct item indices, best first; only the first k count.
        relevant: `(r,)` distinct item indices in any order.
        k: Depth, at least 1.
        n_relevant: How many are relevant in all, where some of them have no index; None for `r`.

    >>> precision_at_k(np.array([7, 3, 9]), np.array([3, 9, 4]))
    0.2
    """
    hits, n_relevant = _hits(ranked, relevant, k, n_relevant)
    return float(hits.sum() / k) if n_relevant else math.nan


def average_precision_at_k(
    ranked: NDArray[np.int32], relevant: NDArray[np.int32], *, k: int = 10, n_relevant: int | None = None
) -> float:
    """Return Σ P@i · rel_i / min(k, relevant): 1 for the best list possible. Its mean over users is MAP@k.

    Other libraries divide by all relevant items, so that a user with 30 of them cannot reach 1 in a list of 10:
    docs/METRICS.md.

    The arguments are those of `precision_at_k`.

    >>> average_precision_at_k(np.array([3, 7, 9]), np.array([3, 9])) == (1 / 1 + 2 / 3) / 2
    True
    >>> average_precision_at_k(np.array([3, 7]), np.array([3, 9, 4]), k=2)
    0.5
    >>> average_precision_at_k(np.array([3, 7]), np.array([], int))
    nan
    """
    hits, n_relevant = _hits(ranked, relevant, k, n_relevant)
    precisions = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precisions[hits].sum() / min(k, n_relevant)) if n_relevant else math.nan


def ndcg_at_k(
    ranked: NDArray[np.int32], relevant: NDArray[np.int32], *, k: int = 10, n_relevant: int | None = None
) -> float:
    """Return Σ rel_i / log2(i + 1), divided by the same sum of the best list possible: min(k, relevant) hits on top.

    The arguments are those of `precision_at_k`.

    >>> round(ndcg_at_k(np.array([7, 3]), np.array([3])), 4)  # 1 / log2(3)
    0.6309
    """
    hits, n_relevant = _hits(ranked, relevant, k, n_relevant)
    gains = 1 / np.log2(np.arange(2, k + 2))
    return float(gains[: len(hits)][hits].sum() / gains[:n_relevant].sum()) if n_relevant else math.nan


def hit_rate_at_k(
    ranked: NDArray[np.int32], relevant: NDArray[np.int32], *, k: int = 10, n_relevant: int | None = None
) -> float:
    """Return 1 where any of the first k is relevant, else 0.

    The arguments are those of `precision_at_k`.

    >>> hit_rate_at_k(np.array([7, 3]), np.array([3, 9])), hit_rate_at_k(np.array([7, 3]), np.array([3, 9]), k=1)
    (1.0, 0.0)
    """
    hits, n_relevant = _hits(ranked, relevant, k, n_relevant)
    return float(hits.any()) if n_relevant else math.nan


def recall_at_k(
    ranked: NDArray[np.int32], relevant: NDArray[np.int32], *, k: int = 10, n_relevant: int | None = None
) -> float:
    """Return hits / relevant; a user with more than k relevant items cannot reach 1.

    The arguments are those of `precision_at_k`.

    >>> recall_at_k(np.array([7, 3, 9]), np.array([3, 9, 4, 5]))
    0.5
    """
    hits, n_relevant = _hits(ranked, relevant, k, n_relevant)
    return float(hits.sum() / n_relevant) if n_relevant else math.nan


def _hits(
    ranked: NDArray[np.int32], relevant: NDArray[np.int32], k: int, n_relevant: int | None
) -> tuple[NDArray[np.bool_], int]:
    if k < 1:
        raise ValueError(f"`k` should be a positive integer. Received: {k}.")
    hits = (np.asarray(ranked)[:k, np.newaxis] == relevant).any(axis=1)
    return hits, len(relevant) if n_relevant is None else n_relevant


def auc(
    scores: NDArray[np.float32],
    relevant: NDArray[np.bool_],
    candidates: NDArray[np.bool_] | None = None,
    *,
    n_relevant: int | None = None,
) -> float:
    """Return the probability that a relevant item is ranked above a candidate that is not, ties counting half; exact, O(n log n).

    A relevant item that is no candidate is a miss, and loses to every candidate.

    Args:
        scores: `(n,)` floats; minus infinity means "no candidate", as in `ranking.top_k`.
        relevant: `(n,)` which items are relevant.
        candidates: `(n,)` which items can be recommended; None for all.
        n_relevant: How many are relevant in all, where some of them have no index; None for those that `relevant`
            marks.

    Returns:
        0 to 1; NaN where nothing is relevant, or no candidate is irrelevant: there is nothing to compare.

    Raises:
        ValueError: A candidate's score is NaN.

    >>> auc(np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False]))  # 3 of 4 pairs right, one tie
    0.875
    >>> auc(np.array([3.0, 2.0, 1.0]), np.array([True, True, False]), np.array([False, True, True]))  # the first is not sold
    0.5
    """
    compete = (scores != -np.inf) if candidates is None else candidates & (scores != -np.inf)
    found, others = scores[compete & relevant], np.sort(scores[compete & ~relevant])
    if np.isnan(found).any() or np.isnan(others[-1:]).any():  # NaN sorts last
        raise ValueError("`scores` should be numbers. Received: NaN.")
    n_relevant = int(relevant.sum()) if n_relevant is None else n_relevant
    if not n_relevant or not len(others):
        return math.nan
    below, not_above = np.searchsorted(others, found), np.searchsorted(others, found, side="right")
    return float((below + not_above).sum() / (2 * n_relevant * len(others)))


def rmse(predicted: NDArray[np.float64], actual: NDArray[np.float64]) -> float:
    """Return the root of the mean squared difference; NaN for nothing to compare.

    Args:
        predicted: `(n,)` probabilities, as `calibration.Calibration.apply` gives them; 0 for what cannot be
            recommended.
        actual: `(n,)` what happened, 0 or 1 (or ratings, where both sides are ratings).

    >>> rmse(np.array([1.0, 0.0]), np.array([0.0, 0.0])) == math.sqrt(1 / 2)
    True
    """
    return (
        math.sqrt(np.mean(np.square(np.subtract(predicted, actual, dtype=np.float64)))) if len(predicted) else math.nan
    )


def coverage(lists: Iterable[NDArray[np.int32]], n_items: int) -> float:
    """Return the share of the catalogue that appears in at least one list.

    Args:
        lists: Item indices of each user's list.
        n_items: How many items can be recommended; NaN for 0.

    >>> coverage([np.array([0, 1]), np.array([1, 2])], n_items=4)
    0.75
    """
    shown: set[int] = set()
    for ranked in lists:
        shown.update(ranked.tolist())
    return len(shown) / n_items if n_items else math.nan


def bootstrap_interval(
    values: NDArray[np.float64], rng: np.random.Generator, *, n: int = 1000, level: float = 0.95
) -> tuple[float, float]:
    """Return the percentile bootstrap interval `(low, high)` of the mean, resampling users.

    Args:
        values: `(n_users,)` one figure for each user, finite; users without relevant items are left out by the caller.
        rng: Source of randomness.
        n: Resamples.
        level: Share of resampled means inside the interval, between 0 and 1.

    Returns:
        Two floats; both NaN for no values.

    Raises:
        ValueError: A value is not finite.
    """
    low, high = _resampled_quantiles(values, rng, n, [(1 - level) / 2, (1 + level) / 2])
    return low, high


def paired_lower_bound(
    a: NDArray[np.float64], b: NDArray[np.float64], rng: np.random.Generator, *, n: int = 1000, level: float = 0.95
) -> float:
    """Return the one-sided lower bound of mean(a − b): with probability `level`, `a` is better than `b` by at least this.

    Args:
        a: `(n_users,)` one figure for each user, finite.
        b: `(n_users,)` the other model's figures, for the same users in the same order.
        rng: Source of randomness.
        n: Resamples.
        level: Share of resampled means above the bound.

    Returns:
        The bound; NaN for no users.

    Raises:
        ValueError: The lengths differ, or a value is not finite.
    """
    if len(a) != len(b):
        raise ValueError(f"`a` and `b` should hold the same users. Received: {len(a)} and {len(b)}.")
    return _resampled_quantiles(np.subtract(a, b), rng, n, [1 - level])[0]


def _resampled_quantiles(
    values: NDArray[np.float64], rng: np.random.Generator, n: int, quantiles: list[float]
) -> list[float]:
    if not np.isfinite(values).all():
        raise ValueError(
            "`values` should be finite: users without relevant items are counted, not averaged. Received: NaN."
        )
    if not len(values):
        return [math.nan] * len(quantiles)
    means = [values[rng.integers(0, len(values), len(values))].mean() for _ in range(n)]
    return [float(quantile) for quantile in np.quantile(means, quantiles)]
