"""The listwise likelihood (conditional logit): its data, its derivatives, and its maximum by Newton's method.

Each query is a choice of its positives among its candidates. Everything is a sum over queries, so that a fit without
one fold of the queries is one step away from the fit of all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys.errors.records import Record
from recsys.evaluation.results import K
from recsys.features.query import Mask

MAX_ITERATIONS = 50
TOLERANCE = 1e-7  # of the log-likelihood of one query: what the next step would gain
RIDGE = 1e-9  # of standardised weights: two equal columns share their weight without a penalty, too
MAX_HALVINGS = 20  # of a step that lowers the objective
EXACT_BELOW = 500  # queries: with fewer, one step away from the fit of all may be too far from the fit without a fold

Vector = NDArray[np.float64]


class ListwiseBatch(Record):
    """The candidates of all queries: the chosen items as positives, the other items as negatives.

    Attributes:
        positives: `(n_positives, n_columns)` floats, query by query; each query has at least one.
        positive_query: `(n_positives,)` int64, the query of each positive, ascending from 0.
        negatives: `(n_negatives, n_columns)` floats, query by query; each query has at least one.
        negative_query: `(n_negatives,)` int64, the query of each negative, ascending from 0.
        log_sampling_weight: `(n_negatives,)` float64, the log of the number of items that each negative represents.
    """

    positives: NDArray[np.floating]
    positive_query: NDArray[np.int64]
    negatives: NDArray[np.floating]
    negative_query: NDArray[np.int64]
    log_sampling_weight: NDArray[np.float64]

    def __len__(self) -> int:
        return int(self.positive_query[-1]) + 1 if len(self.positive_query) else 0

    @property
    def is_sampled(self) -> bool:
        """Whether a negative represents others that are no candidates."""
        return bool(self.log_sampling_weight.any())

    @property
    def parts(self) -> tuple[tuple[NDArray[np.floating], NDArray[np.int64]], ...]:
        """The columns and queries of the positives, then those of the negatives."""
        return (self.positives, self.positive_query), (self.negatives, self.negative_query)

    @cached_property
    def negative_edges(self) -> NDArray[np.int64]:
        """The negatives of query q are those from `negative_edges[q]` to `negative_edges[q + 1]`, `(len + 1,)`."""
        return np.searchsorted(self.negative_query, np.arange(len(self) + 1)).astype(np.int64)

    def take(self, mask: Mask, columns: NDArray[np.int64]) -> ListwiseBatch:
        """Return the queries that a mask `(len(self),)` bool selects, numbered anew from 0, in some columns."""
        new_query, positives, negatives = np.cumsum(mask) - 1, mask[self.positive_query], mask[self.negative_query]
        return ListwiseBatch(
            self.positives[np.ix_(positives, columns)],
            new_query[self.positive_query[positives]],
            self.negatives[np.ix_(negatives, columns)],
            new_query[self.negative_query[negatives]],
            self.log_sampling_weight[negatives],
        )


class Derivatives(NamedTuple):
    """The log-likelihood of some queries and its derivatives; each is a sum over the queries.

    Attributes:
        value: Of each query, the mean of log p(positive) over its positives.
        gradient: `(n_columns,)` float64.
        information: `(n_columns, n_columns)` float64, minus the matrix of second derivatives.
    """

    value: float
    gradient: Vector
    information: Vector

    def plus(self, other: Derivatives, sign: float = 1.0) -> Derivatives:
        """Return the sum of both, or with the sign -1 their difference."""
        return Derivatives(
            self.value + sign * other.value,
            self.gradient + sign * other.gradient,
            self.information + sign * other.information,
        )


class Fit(NamedTuple):
    """A maximum of the likelihood.

    Attributes:
        weights: `(n_columns,)` float64.
        parts: The derivatives of each part at the weights.
        iterations: The number of steps.
        converged: Whether a further step would gain nothing.
    """

    weights: Vector
    parts: Sequence[Derivatives]
    iterations: int
    converged: bool


def log_likelihood(weights: Vector, batch: ListwiseBatch) -> Derivatives:
    """Return the sum over queries of the mean log p(positive), and its derivatives.

    p is the softmax over one positive and all negatives of its query: positives do not compete with each other.

    Args:
        weights: `(n_columns,)` float64.
        batch: The candidates of at least one query.
    """
    dtype, edges = batch.negatives.dtype, batch.negative_edges
    starts, lengths = edges[:-1], np.diff(edges)
    positives = (batch.positives @ weights.astype(dtype)).astype(np.float64)
    negatives = (batch.negatives @ weights.astype(dtype)) + batch.log_sampling_weight
    highest = np.maximum.reduceat(negatives, starts)
    exponentials = np.exp(negatives - np.repeat(highest, lengths))
    sums = np.add.reduceat(exponentials, starts)
    log_p = positives - np.logaddexp(positives, (highest + np.log(sums))[batch.positive_query])
    shares = (1 / np.bincount(batch.positive_query))[batch.positive_query]
    pull = -np.expm1(log_p) * shares  # (1 − p) of each positive
    # the expectation and the covariance of the negatives of each query under their own softmax
    softmax = (exponentials / np.repeat(sums, lengths)).astype(dtype)
    expected = sparse.csr_array((softmax, np.arange(len(softmax)), edges)) @ batch.negatives
    pulls = np.bincount(batch.positive_query, pull).astype(dtype)
    weighted = batch.negatives * (softmax * np.repeat(pulls, lengths))[:, None]
    spread = weighted.T @ batch.negatives - (expected * pulls[:, None]).T @ expected
    away = batch.positives - expected[batch.positive_query]
    spread += (away * (pull * np.exp(log_p)).astype(dtype)[:, None]).T @ away
    gradient = (pull.astype(dtype) @ away).astype(np.float64)
    return Derivatives(float(log_p @ shares), gradient, spread.astype(np.float64))


def maximise(
    batches: Sequence[ListwiseBatch], used: Mask, penalty: float, deviations: Vector, start: Fit | None = None
) -> Fit:
    """Maximise the mean log-likelihood of all queries minus `penalty·Σ (weight·deviation)²` by Newton's method.

    The deviations make the penalty independent of the units of the columns.

    Args:
        batches: The candidates in some parts, of at least one query each.
        used: `(n_columns,)` bool, the columns that may have a weight; one that never differs within a query gets 0.
        penalty: 0 or above.
        deviations: `(n_columns,)` float64, the deviation of each column within queries.
        start: A fit of the same queries to begin at, maybe with other columns or another penalty; None for zeros.
    """
    n = sum(map(len, batches))
    free = used & (deviations > 0)
    strengths = penalty * deviations**2

    def worth(parts: Sequence[Derivatives], weights: Vector) -> float:
        return sum(part.value for part in parts) / n - float(strengths @ weights**2)

    def look(weights: Vector) -> tuple[list[Derivatives], float]:
        parts = [log_likelihood(weights, batch) for batch in batches]
        return parts, worth(parts, weights)

    weights = np.zeros(len(used)) if start is None else np.where(free, start.weights, 0.0)
    if start is not None and (weights == start.weights).all():
        parts = list(start.parts)  # the likelihood does not depend on the penalty
        value = worth(parts, weights)
    else:
        parts, value = look(weights)
    for iteration in range(MAX_ITERATIONS):
        step, gain = _newton_step(weights, _total(parts), n, free, strengths, deviations)
        if gain < TOLERANCE:
            return Fit(weights, parts, iteration, converged=True)
        for _ in range(MAX_HALVINGS):
            next_parts, next_value = look(weights + step)
            if next_value >= value:
                break
            step = step / 2
        else:  # rounding hides what is left to gain
            return Fit(weights, parts, iteration, converged=gain < TOLERANCE**0.5)
        weights, parts, value = weights + step, next_parts, next_value
    return Fit(weights, parts, MAX_ITERATIONS, converged=False)


def weights_by_fold(
    fit: Fit, batches: Sequence[ListwiseBatch], used: Mask, penalty: float, deviations: Vector
) -> Vector:
    """Return the weights without each part of the queries, `(len(batches), n_columns)` float64.

    From the maximum of all parts, one step of Newton's method leads there up to terms of the third order. Few queries
    are fitted anew instead, which costs little.

    Args:
        fit: The maximum of all parts.
        batches: At least two parts.
        used: As for `maximise`.
        penalty: As for `maximise`.
        deviations: As for `maximise`.
    """
    n, free, strengths = sum(map(len, batches)), used & (deviations > 0), penalty * deviations**2
    total, found = _total(fit.parts), []
    for position, (batch, part) in enumerate(zip(batches, fit.parts, strict=True)):
        others = total.plus(part, -1)
        weights = fit.weights + _newton_step(fit.weights, others, n - len(batch), free, strengths, deviations)[0]
        if n < EXACT_BELOW:
            remaining = [*batches[:position], *batches[position + 1 :]]
            others_parts = [*fit.parts[:position], *fit.parts[position + 1 :]]
            start = fit._replace(parts=others_parts)
            weights = maximise(remaining, used, penalty, deviations, start).weights
        found.append(weights)
    return np.array(found)


def _total(parts: Sequence[Derivatives]) -> Derivatives:
    total = parts[0]
    for part in parts[1:]:
        total = total.plus(part)
    return total


def _newton_step(
    weights: Vector, total: Derivatives, n: int, free: Mask, strengths: Vector, deviations: Vector
) -> tuple[Vector, float]:
    """Return the step from some weights towards the maximum, `(n_columns,)` float64, and twice what it should gain."""
    step = np.zeros(len(weights))
    if not free.any():
        return step, 0.0
    gradient = (total.gradient / n - 2 * strengths * weights)[free]
    # in standardised weights, so that columns of very different units can be solved for together
    scale = deviations[free]
    curvature = (total.information / n)[np.ix_(free, free)] / np.outer(scale, scale)
    curvature += np.diag(2 * strengths[free] / scale**2 + RIDGE)
    step[free] = np.linalg.solve(curvature, gradient / scale) / scale
    return step, float(gradient @ step[free])


def covariances(batches: Iterable[ListwiseBatch]) -> Vector:
    """Return the covariances of the columns within queries, `(n_columns, n_columns)` float64.

    The mean of each query is subtracted, because differences between queries cannot change a ranking. A column that is
    constant within each query has exactly 0.
    """
    products, n_rows = np.zeros(()), 0
    for batch in batches:
        n, n_columns = len(batch), batch.negatives.shape[1]
        firsts = batch.negatives[np.searchsorted(batch.negative_query, np.arange(n))].astype(np.float64)
        counts = np.bincount(batch.positive_query) + np.bincount(batch.negative_query)
        sums = np.zeros((n, n_columns))
        for rows, query in batch.parts:
            differences = rows - firsts[query]
            sums += np.add.reduceat(differences, np.searchsorted(query, np.arange(n)), axis=0)
            products = products + differences.T @ differences
        products = products - (sums / counts[:, None]).T @ sums
        n_rows += int(counts.sum())
    return products / n_rows


class Places(NamedTuple):
    """What the places of the positives among a query's candidates are worth, each `(n_queries,)` float64, 0 to 1.

    Attributes:
        map10: Average precision at 10.
        ndcg10: Normalised discounted cumulative gain at 10.
        recall10: The share of the positives on the first ten places.
    """

    map10: Vector
    ndcg10: Vector
    recall10: Vector


def places(weights: Vector, batch: ListwiseBatch) -> Places:
    """Return what the places of the positives are worth, if the candidates are ranked by some weights."""
    positives, negatives = (values @ weights.astype(values.dtype) for values, _ in batch.parts)
    best = _highest(negatives, np.diff(batch.negative_edges), K)
    query, n_relevant = batch.positive_query, np.bincount(batch.positive_query)
    order = np.lexsort([-positives, query])  # within a query the best first; `query` itself stays as it is
    place = np.arange(len(query)) - np.repeat(np.cumsum(n_relevant) - n_relevant, n_relevant)
    rank = place + (best[query] >= positives[order, None]).sum(1) + 1  # negatives win ties

    def per_query(values: Vector) -> Vector:
        return np.bincount(query, weights=values).astype(np.float64, copy=False)

    ideal = np.cumsum(1 / np.log2(np.arange(K) + 2))[np.minimum(n_relevant, K) - 1]
    return Places(
        per_query(np.where(rank <= K, (place + 1) / rank, 0.0)) / np.minimum(n_relevant, K),
        per_query(np.where(rank <= K, 1 / np.log2(rank + 1), 0.0)) / ideal,
        per_query(np.where(rank <= K, 1.0, 0.0)) / n_relevant,
    )


def _highest(values: NDArray, lengths: NDArray[np.int64], k: int) -> NDArray:
    """Return the `k` highest values of each query, ascending, `(n_queries, k)`; minus infinity where there are fewer.

    Args:
        values: `(n,)` floats, query by query.
        lengths: How many of them each query has.
        k: At least 1.
    """
    width = max(int(lengths.max()), k)
    table = np.full((len(lengths), width), -np.inf, values.dtype)
    table[np.arange(width) < lengths[:, None]] = values
    return np.sort(table, axis=1)[:, width - k :]  # quicker than a partition of so many equal fillers
