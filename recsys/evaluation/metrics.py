"""Ranking metrics at k, AUC, RMSE, coverage and bootstrap intervals.

docs/METRICS.md explains each with an example, and compares them with the metrics of other libraries.

The functions at k take one user's list, best first, and the relevant items. They return NaN for a user without relevant
items; the evaluation counts such users but does not average them. `ranking.top_k` has already broken ties in the list.

A relevant item that cannot be recommended, because it is unknown or not sold, is a miss in every metric: it counts in
the denominator only. `n_relevant` includes relevant items without an index.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from recsys.errors.records import Record
from recsys.features.query import Floats, Indices, Mask

CERTAIN = 2.0  # standard errors: a mean that is so far above 0 is above it with 97.5 %
FEW = 16  # relevant items that `auc` compares with all others, one by one


class Calibration(Record):
    """Platt scaling: the map from a logit z to the probability σ(slope · z + intercept), for the RMSE.

    It makes the RMSE of different models comparable. `recsys.training.calibration` fits it.

    Attributes:
        slope: The factor of the logit; 0 where the logits are constant.
        intercept: The log-odds at z = 0.
    """

    slope: float
    intercept: float

    def apply(self, logits: Floats) -> NDArray[np.float64]:
        """Return the probabilities of logits, `(n,)` float64, 0 to 1."""
        z = self.slope * np.asarray(logits, np.float64) + self.intercept
        return 0.5 * (1 + np.tanh(0.5 * z))  # unlike exp, tanh does not overflow at large negative logits


def precision_at_k(ranked: Indices, relevant: Indices, *, k: int = 10, n_relevant: int | None = None) -> float:
    """Return hits / k, from 0 to 1, even if the list is shorter than k.

    Args:
        ranked: `(m,)` distinct item indices, best first; only the first k count.
        relevant: `(r,)` distinct item indices in any order.
        k: Depth, at least 1.
        n_relevant: The number of all relevant items, if some have no index; None for `r`.

    >>> precision_at_k(np.array([7, 3, 9]), np.array([3, 9, 4]))
    0.2
    """
    hits, n_relevant = _hits(ranked, relevant, k, n_relevant)
    return float(hits.sum() / k) if n_relevant else math.nan


def average_precision_at_k(ranked: Indices, relevant: Indices, *, k: int = 10, n_relevant: int | None = None) -> float:
    """Return Σ P@i · rel_i / min(k, relevant), from 0 to 1. Its mean over users is MAP@k.

    Other libraries divide by all relevant items, so that a user with 30 of them cannot reach 1 in a list of 10. See
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


def ndcg_at_k(ranked: Indices, relevant: Indices, *, k: int = 10, n_relevant: int | None = None) -> float:
    """Return Σ rel_i / log2(i + 1), divided by its largest possible value, that of min(k, relevant) hits on top.

    The arguments are those of `precision_at_k`.

    >>> round(ndcg_at_k(np.array([7, 3]), np.array([3])), 4)  # 1 / log2(3)
    0.6309
    """
    hits, n_relevant = _hits(ranked, relevant, k, n_relevant)
    gains = 1 / np.log2(np.arange(2, k + 2))
    return float(gains[: len(hits)][hits].sum() / gains[:n_relevant].sum()) if n_relevant else math.nan


def hit_rate_at_k(ranked: Indices, relevant: Indices, *, k: int = 10, n_relevant: int | None = None) -> float:
    """Return 1 if any of the first k items is relevant, else 0.

    The arguments are those of `precision_at_k`.

    >>> hit_rate_at_k(np.array([7, 3]), np.array([3, 9])), hit_rate_at_k(np.array([7, 3]), np.array([3, 9]), k=1)
    (1.0, 0.0)
    """
    hits, n_relevant = _hits(ranked, relevant, k, n_relevant)
    return float(hits.any()) if n_relevant else math.nan


def recall_at_k(ranked: Indices, relevant: Indices, *, k: int = 10, n_relevant: int | None = None) -> float:
    """Return hits / relevant, from 0 to 1; a user with more than k relevant items cannot reach 1.

    The arguments are those of `precision_at_k`.

    >>> recall_at_k(np.array([7, 3, 9]), np.array([3, 9, 4, 5]))
    0.5
    """
    hits, n_relevant = _hits(ranked, relevant, k, n_relevant)
    return float(hits.sum() / n_relevant) if n_relevant else math.nan


def _hits(ranked: Indices, relevant: Indices, k: int, n_relevant: int | None) -> tuple[Mask, int]:
    """Return which of the first k items are relevant, and the number of all relevant items.

    Raises:
        ValueError: `k` is not positive.
    """
    if k < 1:
        raise ValueError(f"`k` should be a positive integer. Received: {k}.")
    hits = (np.asarray(ranked)[:k, np.newaxis] == relevant).any(axis=1)
    return hits, len(relevant) if n_relevant is None else n_relevant


def auc(
    scores: Floats,
    relevant: Mask,
    candidates: Mask | None = None,
    *,
    n_relevant: int | None = None,
) -> float:
    """Return the probability that a relevant item ranks above an irrelevant candidate; ties count half.

    The value is exact. A relevant item that is no candidate loses to every candidate.

    Args:
        scores: `(n,)` floats; minus infinity means "no candidate", as in `ranking.top_k`.
        relevant: `(n,)` bool, which items are relevant.
        candidates: `(n,)` bool, which items can be recommended; None for all.
        n_relevant: The number of all relevant items, if some have no index; None to count `relevant`.

    Returns:
        0 to 1; NaN without a relevant item or without an irrelevant candidate.

    Raises:
        ValueError: A candidate's score is NaN.

    >>> auc(np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False]))  # 3 of 4 pairs right, one tie
    0.875
    >>> candidates = np.array([False, True, True])  # the first item is not sold
    >>> auc(np.array([3.0, 2.0, 1.0]), np.array([True, True, False]), candidates)
    0.5
    """
    is_candidate = (scores != -np.inf) if candidates is None else candidates & (scores != -np.inf)
    positives, negatives = scores[is_candidate & relevant], scores[is_candidate & ~relevant]
    if np.isnan(positives).any() or np.isnan(negatives.max(initial=-np.inf)):
        raise ValueError("`scores` should be numbers. Received: NaN.")
    n_relevant = int(relevant.sum()) if n_relevant is None else n_relevant
    if not n_relevant or not len(negatives):
        return math.nan
    if len(positives) > FEW:
        negatives.sort()
        below, not_above = (np.searchsorted(negatives, positives, side).sum() for side in ("left", "right"))
    else:  # counting takes a fifth of the time of sorting a catalogue of 20,000 items
        below = sum(np.count_nonzero(negatives < score) for score in positives)
        not_above = sum(np.count_nonzero(negatives <= score) for score in positives)
    return float((below + not_above) / (2 * n_relevant * len(negatives)))


def rmse(predicted: NDArray[np.float64], actual: NDArray[np.float64]) -> float:
    """Return the root of the mean squared difference, 0 or above; NaN for empty arrays.

    Args:
        predicted: `(n,)` probabilities from `calibration.Calibration.apply`; 0 for items that cannot be recommended.
        actual: `(n,)` outcomes, 0 or 1; or ratings, if both arrays hold ratings.

    >>> rmse(np.array([1.0, 0.0]), np.array([0.0, 0.0])) == math.sqrt(1 / 2)
    True
    """
    if not len(predicted):
        return math.nan
    return math.sqrt(np.mean(np.square(np.subtract(predicted, actual, dtype=np.float64))))


def coverage(lists: Iterable[Indices], n_items: int) -> float:
    """Return the share of the catalogue, 0 to 1, that appears in at least one list; NaN without items.

    Args:
        lists: The item indices of each user's list.
        n_items: The number of items that can be recommended.

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
        values: `(n_users,)` one finite metric for each user; the caller leaves out users without relevant items.
        rng: Source of randomness.
        n: The number of resamples.
        level: The share of resampled means inside the interval, between 0 and 1.

    Returns:
        Two floats; both are NaN without values.

    Raises:
        ValueError: A value is not finite.
    """
    low, high = _resampled_quantiles(values, rng, n, [(1 - level) / 2, (1 + level) / 2])
    return low, high


def standard_error(values: NDArray[np.float64]) -> float:
    """Return the standard error of the mean of values `(n,)`; 0 for fewer than two, of which nothing is known.

    >>> standard_error(np.array([1.0, 3.0])), standard_error(np.array([2.0]))
    (1.0, 0.0)
    """
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def paired_lower_bound(
    a: NDArray[np.float64], b: NDArray[np.float64], rng: np.random.Generator, *, n: int = 1000, level: float = 0.95
) -> float:
    """Return the one-sided lower bound of mean(a − b) by the paired bootstrap.

    With probability `level`, `a` is better than `b` by at least this value.

    Args:
        a: `(n_users,)` one finite metric for each user.
        b: `(n_users,)` the metric of the other model, for the same users in the same order.
        rng: Source of randomness.
        n: The number of resamples.
        level: The share of resampled means above the bound.

    Returns:
        The bound; NaN without users.

    Raises:
        ValueError: The lengths differ, or a value is not finite.
    """
    if len(a) != len(b):
        raise ValueError(f"`a` and `b` should hold the same users. Received: {len(a)} and {len(b)}.")
    return _resampled_quantiles(np.subtract(a, b), rng, n, [1 - level])[0]


def _resampled_quantiles(
    values: NDArray[np.float64], rng: np.random.Generator, n: int, quantiles: list[float]
) -> list[float]:
    """Return quantiles of the means of `n` resamples of the values.

    Raises:
        ValueError: A value is not finite.
    """
    if not np.isfinite(values).all():
        raise ValueError(
            "`values` should be finite: users without relevant items are counted, not averaged. Received: NaN."
        )
    if not len(values):
        return [math.nan] * len(quantiles)
    means = [values[rng.integers(0, len(values), len(values))].mean() for _ in range(n)]
    return [float(quantile) for quantile in np.quantile(means, quantiles)]
