"""The likelihood, its derivatives and its maximum by hand, by finite differences, and on random candidates."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.training import listwise
from recsys.training.listwise import (
    ListwiseBatch,
    covariances,
    log_likelihood,
    maximise,
    places,
    weights_by_fold,
)

FOUR = np.ones(4, bool)


def deviations_of(*batches: ListwiseBatch) -> NDArray[np.float64]:
    return np.sqrt(np.diag(covariances(batches)))


def random_cases(rng: np.random.Generator, n_features: int = 4) -> ListwiseBatch:
    """Return three queries with 2, 1 and 3 positives and 5, 1 and 4 negatives, in double precision."""
    positive_query, negative_query = np.repeat(np.arange(3), (2, 1, 3)), np.repeat(np.arange(3), (5, 1, 4))
    positives, negatives = rng.normal(size=(6, n_features)), rng.normal(size=(10, n_features))
    return ListwiseBatch(positives, positive_query, negatives, negative_query, np.abs(rng.normal(size=10)))


def test_the_likelihood_by_hand() -> None:
    """Query 0 has positives 1 and 0 and a negative 2 that represents three items; query 1 has 5 against 5 and 5.

    With the weight log 2: 2^1/(2^1 + 3·2^2) = 1/7 and 2^0/(2^0 + 3·2^2) = 1/13, as positives do not compete; then 1/3.
    """
    batch = ListwiseBatch(
        positives=np.array([[1.0], [0.0], [5.0]]),
        positive_query=np.array([0, 0, 1]),
        negatives=np.array([[2.0], [5.0], [5.0]]),
        negative_query=np.array([0, 1, 1]),
        log_sampling_weight=np.array([math.log(3), 0, 0]),
    )

    value, gradient, information = log_likelihood(np.array([math.log(2)]), batch)

    assert value == pytest.approx((math.log(1 / 7) + math.log(1 / 13)) / 2 + math.log(1 / 3))
    assert gradient.tolist() == pytest.approx([((1 - 2) * 6 / 7 + (0 - 2) * 12 / 13) / 2])
    # the variance of the feature under each softmax: 1/7·6/7·(2 - 1)² and 1/13·12/13·(2 - 0)²
    assert information.tolist() == [[pytest.approx((6 / 49 + 4 * 12 / 169) / 2)]]


@pytest.mark.parametrize("scale", [0.0, 0.3, 3.0])
def test_the_gradient_is_that_of_finite_differences(scale: float, rng: np.random.Generator) -> None:
    batch, weights, step = random_cases(rng), scale * rng.normal(size=4), 1e-6
    expected = [
        (log_likelihood(weights + e, batch)[0] - log_likelihood(weights - e, batch)[0]) / (2 * step)
        for e in step * np.eye(4)
    ]

    np.testing.assert_allclose(log_likelihood(weights, batch).gradient, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("scale", [0.0, 0.3, 3.0])
def test_the_information_is_that_of_finite_differences(scale: float, rng: np.random.Generator) -> None:
    batch, weights, step = random_cases(rng), scale * rng.normal(size=4), 1e-6
    expected = [
        (log_likelihood(weights - e, batch).gradient - log_likelihood(weights + e, batch).gradient) / (2 * step)
        for e in step * np.eye(4)
    ]

    np.testing.assert_allclose(log_likelihood(weights, batch).information, expected, rtol=1e-6, atol=1e-8)


def test_scores_far_apart_neither_overflow_nor_vanish() -> None:
    far = ListwiseBatch(
        np.array([[-1e4], [1e4]]), np.array([0, 0]), np.array([[0.0], [1.0]]), np.array([0, 0]), np.zeros(2)
    )

    value, gradient, information = log_likelihood(np.ones(1), far)

    assert value == pytest.approx((-1e4 - math.log(1 + math.e)) / 2)
    assert np.isfinite(gradient).all()
    assert np.isfinite(information).all()


def test_the_fit_is_a_maximum(rng: np.random.Generator) -> None:
    batch, penalty = random_cases(rng), 0.05
    rows = [np.concatenate([part[query == n] for part, query in batch.parts]) for n in range(3)]
    deviations = np.sqrt(sum(((part - part.mean(0)) ** 2).sum(0) for part in rows) / 16)

    def objective(weights: NDArray[np.float64]) -> float:
        return log_likelihood(weights, batch).value / 3 - penalty * float(((weights * deviations) ** 2).sum())

    fit = maximise([batch], np.array([True, True, False, True]), penalty, deviations_of(batch))
    weights = fit.weights

    assert fit.converged
    assert fit.iterations < 10
    np.testing.assert_allclose(deviations_of(batch), deviations)
    assert weights[2] == 0
    for direction in 0.01 * np.concatenate([np.eye(4), -np.eye(4)])[[0, 1, 3, 4, 5, 7]]:
        assert objective(weights) > objective(weights + direction)


def test_units_do_not_matter(rng: np.random.Generator) -> None:
    """The penalty is on columns of deviation 1, so a column of ten times the size has a tenth of the weight."""
    batch, tenfold = random_cases(rng), np.array([1.0, 10.0, 1.0, 1.0])
    larger = replace(batch, positives=batch.positives * tenfold, negatives=batch.negatives * tenfold)
    weights, scaled = (maximise([each], FOUR, 0.1, deviations_of(each)).weights for each in (batch, larger))

    np.testing.assert_allclose(scaled * tenfold, weights, rtol=1e-3, atol=1e-4)


def test_a_column_that_differs_only_between_queries_has_no_weight(rng: np.random.Generator) -> None:
    batch = random_cases(rng)
    batch.positives[:, 1], batch.negatives[:, 1] = batch.positive_query * 0.1, batch.negative_query * 0.1
    batch.positives[:, 2], batch.negatives[:, 2] = 0.7, 0.7

    assert deviations_of(batch)[1:3].tolist() == [0, 0]
    assert maximise([batch], FOUR, 0.01, deviations_of(batch)).weights[1:3].tolist() == [0, 0]


def test_a_perfect_column_without_a_penalty_ends(rng: np.random.Generator) -> None:
    """Its weight has no maximum: the larger the better."""
    batch = random_cases(rng)
    batch.positives[:, 0], batch.negatives[:, 0] = 1, 0
    fit = maximise([batch], FOUR, 0.0, deviations_of(batch))

    assert np.isfinite(fit.weights).all()
    assert fit.weights[0] > 5


def test_two_equal_columns_share_their_weight(rng: np.random.Generator) -> None:
    batch = random_cases(rng)
    batch.positives[:, 1], batch.negatives[:, 1] = batch.positives[:, 0], batch.negatives[:, 0]
    weights = maximise([batch], FOUR, 0.0, deviations_of(batch)).weights

    assert weights[0] == pytest.approx(weights[1])


@pytest.mark.parametrize("penalty", [1.0, 0.1, 0.01])
@pytest.mark.parametrize("exact_below", [500, 0])
def test_the_fit_without_a_fold_is_that_of_the_other_folds(
    penalty: float, exact_below: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One step from the fit of all is near, and few queries are fitted anew."""
    monkeypatch.setattr(listwise, "EXACT_BELOW", exact_below)
    rng, n = np.random.default_rng(5), 400
    truth = np.array([1.0, -0.5, 0.0, 0.3])
    candidates = rng.normal(size=(n, 12, 4))
    chosen = np.argmax(candidates @ truth + rng.gumbel(size=(n, 12)), axis=1)
    is_chosen = np.arange(12) == chosen[:, None]
    batch = ListwiseBatch(
        candidates[is_chosen], np.arange(n), candidates[~is_chosen], np.repeat(np.arange(n), 11), np.zeros(11 * n)
    )
    folds = [batch.take(np.arange(n) % 4 == fold, np.arange(4)) for fold in range(4)]
    deviations = deviations_of(*folds)
    fit = maximise(folds, FOUR, penalty, deviations)
    found = weights_by_fold(fit, folds, FOUR, penalty, deviations)

    for position, weights in enumerate(found):
        others = [fold for other, fold in enumerate(folds) if other != position]
        expected = maximise(others, FOUR, penalty, deviations).weights
        assert np.abs(weights - fit.weights).max() > 0.002  # the fold was part of the fit
        np.testing.assert_allclose(weights, expected, atol=0.003 if exact_below == 0 else 5e-4)


def test_what_the_places_of_each_query_are_worth_by_hand() -> None:
    """Query 0 has its positives at ranks 1 and 3; in query 1 the negative of the same score wins."""
    batch = ListwiseBatch(
        np.array([[3.0], [1.0], [5.0]]),
        np.array([0, 0, 1]),
        np.array([[2.0], [5.0]]),
        np.array([0, 1]),
        np.zeros(2),
    )

    found = places(np.ones(1), batch)

    assert found.map10.tolist() == [pytest.approx((1 + 2 / 3) / 2), 1 / 2]
    assert found.ndcg10.tolist() == pytest.approx([(1 + 1 / 2) / (1 + 1 / math.log2(3)), 1 / math.log2(3)])
    assert found.recall10.tolist() == [1, 1]


def test_the_eleventh_place_is_worth_nothing() -> None:
    negatives = np.arange(24.0)[:, None]
    batch = ListwiseBatch(np.array([[14.5], [30.0]]), np.array([0, 0]), negatives, np.zeros(24, np.int64), np.zeros(24))
    found = places(np.ones(1), batch)

    assert (found.map10.tolist(), found.recall10.tolist()) == ([0.5], [0.5])
    assert found.ndcg10.tolist() == pytest.approx([1 / (1 + 1 / math.log2(3))])


def test_queries_are_taken_with_all_their_candidates(rng: np.random.Generator) -> None:
    batch = random_cases(rng)
    taken = batch.take(np.array([True, False, True]), np.array([0, 2]))

    assert len(taken) == 2
    assert taken.positive_query.tolist() == [0, 0, 1, 1, 1]
    assert taken.negative_query.tolist() == [0] * 5 + [1] * 4
    np.testing.assert_array_equal(taken.positives, batch.positives[[0, 1, 3, 4, 5]][:, [0, 2]])
    np.testing.assert_array_equal(taken.negatives, batch.negatives[[0, 1, 2, 3, 4, 6, 7, 8, 9]][:, [0, 2]])
    np.testing.assert_array_equal(taken.log_sampling_weight, batch.log_sampling_weight[[0, 1, 2, 3, 4, 6, 7, 8, 9]])
