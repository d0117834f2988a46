"""The weights of ensembles on data with known weights, and the likelihood by hand."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.evaluation.protocol import EvaluationCase, EvaluationSet
from recsys.features.features import N_FEATURES, NAMES, POPULARITIES, Features
from recsys.features.item_item import Neighbours
from recsys.features.query import Query
from recsys.training import ensemble as module
from recsys.training.ensemble import (
    FALLBACK,
    NETWORK,
    PENALTIES,
    SAMPLING_CORRECTION_POWERS,
    TIE_BREAK,
    EnsembleHyperparameters,
    ListwiseBatch,
    build_batch,
    fit_ensemble,
    fit_with,
    log_likelihood,
    maximise,
    select_hyperparameters,
)

NOW = 1_700_000_000
FACTORS, POPULARITY, USER_ITEM = NAMES.index("factors"), NAMES.index("popularity"), NAMES.index("own")
ALL = np.ones(N_FEATURES, bool)  # for candidates without a network


def features_of(factors: NDArray, popularity: NDArray | None = None) -> Features:
    """Return features of which only `factors`, the first popularity and the user-item ones differ from 0.

    Args:
        factors: `(n_users, n_items)`.
        popularity: `(n_items,)`.
    """
    n_items = factors.shape[1]
    no_neighbours = Neighbours(np.zeros(n_items + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))
    popularities = np.zeros((4, n_items), np.float32)
    popularities[0] = 0 if popularity is None else popularity
    return Features(
        no_neighbours, no_neighbours, factors.astype(np.float32), np.eye(n_items, dtype=np.float32), popularities
    )


def case_of(
    user: int, relevant: Sequence[int], items: Sequence[int] = (), hidden: Sequence[int] = (), n_unreachable: int = 0
) -> EvaluationCase:
    query = Query(
        user=user,
        items=np.array(items, np.int32),
        weights=np.ones(len(items), np.float32),
        timestamps=np.full(len(items), NOW - 86_400, np.int64),
        context=np.zeros(0, np.int32),
        now=NOW,
    )
    return EvaluationCase(query, np.array(relevant, np.int32), n_unreachable, np.array(hidden, np.int32))


def evaluation_set_of(cases: Sequence[EvaluationCase], n_items: int, inactive: Sequence[int] = ()) -> EvaluationSet:
    active = np.ones(n_items, bool)
    active[list(inactive)] = False
    return EvaluationSet(tuple(cases), np.ones(len(cases), bool), 0, active, tuple(case.relevant for case in cases))


def planted(
    rng: np.random.Generator, n_cases: int, n_items: int, weights: tuple[float, float], n_relevant: int = 1
) -> tuple[Features, EvaluationSet]:
    """Return relevant items drawn from the softmax of `weights[0]·factors + weights[1]·popularity`."""
    factors, popularity = rng.normal(size=(n_cases, n_items)), rng.normal(size=n_items)
    cases = []
    for user, row in enumerate(factors):
        noise = rng.gumbel(size=n_items)  # the largest score plus noise is a draw from the softmax
        best = np.argsort(-(weights[0] * row + weights[1] * popularity + noise))[:n_relevant]
        cases.append(case_of(user, np.sort(best).tolist()))
    return features_of(factors, popularity), evaluation_set_of(cases, n_items)


def random_cases(rng: np.random.Generator, n_features: int = 4) -> ListwiseBatch:
    """Return three queries with 2, 1 and 3 positives and 5, 1 and 4 negatives, in double precision."""
    positive_query, negative_query = np.repeat(np.arange(3), (2, 1, 3)), np.repeat(np.arange(3), (5, 1, 4))
    positives, negatives = rng.normal(size=(6, n_features)), rng.normal(size=(10, n_features))
    return ListwiseBatch(positives, positive_query, negatives, negative_query, np.abs(rng.normal(size=10)))


# The likelihood


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

    value, gradient = log_likelihood(np.array([math.log(2)]), batch)

    assert value == pytest.approx(((math.log(1 / 7) + math.log(1 / 13)) / 2 + math.log(1 / 3)) / 2)
    assert gradient.tolist() == pytest.approx([((1 - 2) * 6 / 7 + (0 - 2) * 12 / 13) / 2 / 2])


@pytest.mark.parametrize("scale", [0.0, 0.3, 3.0])
def test_the_gradient_is_that_of_finite_differences(scale: float, rng: np.random.Generator) -> None:
    batch, weights, step = random_cases(rng), scale * rng.normal(size=4), 1e-6
    expected = [
        (log_likelihood(weights + e, batch)[0] - log_likelihood(weights - e, batch)[0]) / (2 * step)
        for e in step * np.eye(4)
    ]

    np.testing.assert_allclose(log_likelihood(weights, batch)[1], expected, rtol=1e-6, atol=1e-8)


def test_scores_far_apart_neither_overflow_nor_vanish() -> None:
    far = ListwiseBatch(
        np.array([[-1e4], [1e4]]), np.array([0, 0]), np.array([[0.0], [1.0]]), np.array([0, 0]), np.zeros(2)
    )

    value, gradient = log_likelihood(np.ones(1), far)

    assert value == pytest.approx((-1e4 - math.log(1 + math.e)) / 2)
    assert np.isfinite(gradient).all()


def test_the_fit_is_a_maximum(rng: np.random.Generator) -> None:
    batch, penalty = random_cases(rng), 0.05
    rows = [np.concatenate([part[query == n] for part, query in batch.parts]) for n in range(3)]
    deviations = np.sqrt(sum(((part - part.mean(0)) ** 2).sum(0) for part in rows) / 16)

    def objective(weights: NDArray[np.float64]) -> float:
        return log_likelihood(weights, batch)[0] - penalty * float(((weights * deviations) ** 2).sum())

    weights, optimiser = maximise(batch, np.array([True, True, False, True]), penalty)

    assert optimiser["converged"]
    assert weights[2] == 0
    for direction in 0.01 * np.concatenate([np.eye(4), -np.eye(4)])[[0, 1, 3, 4, 5, 7]]:
        assert objective(weights) > objective(weights + direction)


def test_units_do_not_matter(rng: np.random.Generator) -> None:
    """The penalty is on features of deviation 1, so a feature of ten times the size has a tenth of the weight."""
    batch, tenfold = random_cases(rng), np.array([1.0, 10.0, 1.0, 1.0])
    weights, _ = maximise(batch, ALL[:4], 0.1)
    scaled, _ = maximise(
        replace(batch, positives=batch.positives * tenfold, negatives=batch.negatives * tenfold), ALL[:4], 0.1
    )

    np.testing.assert_allclose(scaled * tenfold, weights, rtol=1e-3, atol=1e-4)


def test_a_feature_that_differs_only_between_queries_has_no_weight(rng: np.random.Generator) -> None:
    batch = random_cases(rng)
    batch.positives[:, 1], batch.negatives[:, 1] = batch.positive_query * 0.1, batch.negative_query * 0.1
    batch.positives[:, 2], batch.negatives[:, 2] = 0.7, 0.7

    assert maximise(batch, ALL[:4], 0.01)[0][1:3].tolist() == [0, 0]


# Candidates


def test_candidates_are_neither_hidden_nor_inactive(rng: np.random.Generator) -> None:
    """The factors are the item's number, so candidates can be read off; hidden and inactive items would be the best."""
    n = 1_000
    features = features_of(np.tile(np.arange(n), (1, 1)))
    case = case_of(0, relevant=[3, 997, 999], items=[10, 999, 998], hidden=[998, 999])
    batch = build_batch(features, {}, evaluation_set_of([case], n, inactive=[996, 997]), rng)
    negatives = batch.negatives[:, FACTORS].astype(int)

    assert batch.positives[:, FACTORS].tolist() == [3]  # 997 and 999 may not be recommended
    assert set(negatives) & {3, 996, 997, 998, 999} == set()
    assert len(set(negatives)) == len(negatives)
    assert set(range(946, 996)) | {10} <= set(negatives)  # the 50 best by factors, and the history
    # together, the negatives represent all items that may be recommended
    assert np.exp(batch.log_sampling_weight).sum() == pytest.approx(n - 5)


def test_all_items_of_a_small_catalogue_are_candidates(rng: np.random.Generator) -> None:
    batch = build_batch(
        features_of(np.arange(20.0)[None]), {}, evaluation_set_of([case_of(0, [4, 7], hidden=[1])], 20), rng
    )

    assert sorted(batch.negatives[:, FACTORS].tolist()) == [n for n in range(20) if n not in (1, 4, 7)]
    assert batch.log_sampling_weight.tolist() == [0] * 17


def test_the_candidates_of_a_case_are_used_as_they_are(rng: np.random.Generator) -> None:
    case = replace(case_of(0, [4], items=[2], hidden=[8]), candidates=np.array([9, 4, 8, 6], np.int32))
    batch = build_batch(features_of(np.arange(1_000.0)[None]), {}, evaluation_set_of([case], 1_000), rng)

    assert batch.positives[:, FACTORS].tolist() == [4]
    assert batch.negatives[:, FACTORS].tolist() == [6, 9]
    assert batch.log_sampling_weight.tolist() == [0, 0]


def test_only_cases_with_a_positive_and_a_negative_count(rng: np.random.Generator) -> None:
    cases = [
        case_of(0, relevant=[1]),
        case_of(0, relevant=[], n_unreachable=2),
        case_of(0, relevant=[2], hidden=[2]),
        replace(case_of(0, relevant=[1, 2]), candidates=np.array([1, 2], np.int32)),
        case_of(0, relevant=[3, 4]),
    ]
    batch = build_batch(features_of(np.arange(5.0)[None]), {}, evaluation_set_of(cases, 5), rng)

    assert len(batch) == 2
    assert batch.positive_query.tolist() == [0, 1, 1]
    assert batch.negative_query.tolist() == [0, 0, 0, 0, 1, 1, 1]


def test_a_large_evaluation_set_is_sampled(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    monkeypatch.setattr(module, "MAX_CASES", 7)
    features, evaluation_set = planted(rng, 30, 10, (1.0, 0.0))

    assert len(build_batch(features, {}, evaluation_set, rng)) == 7


def test_queries_are_taken_with_all_their_candidates(rng: np.random.Generator) -> None:
    batch = random_cases(rng)
    taken = batch.take(np.array([True, False, True]))

    assert len(taken) == 2
    assert taken.positive_query.tolist() == [0, 0, 1, 1, 1]
    assert taken.negative_query.tolist() == [0] * 5 + [1] * 4
    np.testing.assert_array_equal(taken.positives, batch.positives[[0, 1, 3, 4, 5]])
    np.testing.assert_array_equal(taken.negatives, batch.negatives[[0, 1, 2, 3, 4, 6, 7, 8, 9]])
    np.testing.assert_array_equal(taken.log_sampling_weight, batch.log_sampling_weight[[0, 1, 2, 3, 4, 6, 7, 8, 9]])


# The whole fit


@pytest.mark.parametrize("truth", [(2.0, 0.0), (1.0, -1.0)])
def test_the_true_weights_are_recovered_from_sampled_candidates(
    truth: tuple[float, float], rng: np.random.Generator
) -> None:
    """About 550 of 2,000 items are candidates; without the correction, the weights would be too small."""
    features, evaluation_set = planted(rng, 400, 2_000, truth)
    batch = build_batch(features, {}, evaluation_set, rng)
    weights, _ = maximise(batch, ALL, 0.0)

    assert len(batch.negatives) / len(batch) < 700
    assert weights[[FACTORS, POPULARITY]].tolist() == pytest.approx(truth, abs=0.2)


def test_only_the_informative_feature_has_a_large_weight(rng: np.random.Generator) -> None:
    features, evaluation_set = planted(rng, 200, 80, (4.0, 0.0), n_relevant=3)
    fit = fit_ensemble(features, None, evaluation_set, rng)

    assert fit.fitted
    assert fit.n_cases == 200
    assert (fit.weights.shape, fit.weights.dtype) == ((N_FEATURES + 1,), np.float32)
    assert fit.weights[FACTORS] > 0.5
    assert abs(fit.weights[POPULARITY]) < 0.2
    assert fit.weights[-1] == 0  # there is no network
    assert fit.log_likelihood is not None
    assert fit.log_likelihood > -math.log(80)  # better than chance


def test_an_informative_network_has_a_large_weight(rng: np.random.Generator) -> None:
    truth = rng.normal(size=(150, 60)).astype(np.float32)
    features, evaluation_set = planted(rng, 150, 60, (0.0, 0.0))
    cases = [
        replace(case, relevant=np.argsort(-truth[n])[:1].astype(np.int32))
        for n, case in enumerate(evaluation_set.cases)
    ]
    fit = fit_ensemble(features, lambda query: truth[query.user], replace(evaluation_set, cases=tuple(cases)), rng)

    assert fit.weights[-1] > 1
    assert fit.weights[-1] > 5 * np.abs(fit.weights[:-1]).max()


def test_a_constant_network_has_no_weight(rng: np.random.Generator) -> None:
    features, evaluation_set = planted(rng, 40, 30, (2.0, 0.0))
    fit = fit_ensemble(features, lambda query: np.full(30, 0.1 + query.user, np.float32), evaluation_set, rng)

    assert fit.weights[-1] == 0
    assert fit.weights[FACTORS] > 0


def test_only_allowed_features_have_a_weight(rng: np.random.Generator) -> None:
    features, evaluation_set = planted(rng, 60, 40, (2.0, 1.0))
    fit = fit_ensemble(
        features, lambda query: np.arange(40, dtype=np.float32), evaluation_set, rng, allowed=("popularity", "own")
    )
    nothing = fit_ensemble(features, None, evaluation_set, rng, allowed=())

    assert np.flatnonzero(fit.weights).tolist() == [POPULARITY, N_FEATURES]
    assert nothing.weights.tolist() == [0] * (N_FEATURES + 1)
    with pytest.raises(ValueError, match=r"`allowed` should be some of neighbours, .*\. Received: nothing\."):
        fit_ensemble(features, None, evaluation_set, rng, allowed=("own", "nothing"))


@pytest.mark.parametrize("network_score", [None, lambda query: np.ones(5, np.float32)])
@pytest.mark.parametrize("cases", [[], [case_of(0, [2], hidden=[2])], [case_of(0, [], n_unreachable=1)]])
def test_without_test_cases_the_weights_are_the_fallback(
    network_score, cases: list[EvaluationCase], rng: np.random.Generator
) -> None:  # type: ignore[no-untyped-def]
    fit = fit_ensemble(features_of(np.ones((1, 5))), network_score, evaluation_set_of(cases, 5), rng)
    weights = dict(zip((*NAMES, NETWORK), fit.weights.tolist(), strict=True))

    assert not fit.fitted
    assert (fit.log_likelihood, fit.n_cases, fit.trials["fallback"]) == (None, 0, True)
    assert {name: weight for name, weight in weights.items() if weight} == {
        name: weight for name, weight in FALLBACK.items() if network_score is not None or name != NETWORK
    }


def test_one_test_case_is_enough(rng: np.random.Generator) -> None:
    fit = fit_ensemble(features_of(np.arange(6.0)[None]), None, evaluation_set_of([case_of(0, [5], items=[1])], 6), rng)

    assert (fit.n_cases, fit.trials["penalty"], fit.trials["tried"]) == (1, PENALTIES[0], [])
    assert fit.weights[FACTORS] > 0 > fit.weights[USER_ITEM]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_scores_that_are_not_finite_are_named(value: float, rng: np.random.Generator) -> None:
    features, evaluation_set = planted(rng, 3, 8, (1.0, 0.0))
    broken = np.zeros(8, np.float32)
    broken[5] = value

    with pytest.raises(ValueError, match=rf"`network` should be finite scores\. Received: {value} for user 0\."):
        fit_ensemble(features, lambda query: broken, evaluation_set, rng)
    with pytest.raises(ValueError, match=rf"`popularity` should be finite scores\. Received: {value} for user 0\."):
        fit_ensemble(replace(features, popularity=np.tile(broken, (4, 1))), None, evaluation_set, rng)


def test_the_same_generator_gives_the_same_weights() -> None:
    features, evaluation_set = planted(np.random.default_rng(3), 40, 1_200, (1.0, 0.5))
    fits = [fit_ensemble(features, None, evaluation_set, np.random.default_rng(5)) for _ in range(2)]

    np.testing.assert_array_equal(fits[0].weights, fits[1].weights)
    assert fits[0].trials == fits[1].trials
    json.dumps(fits[0].trials)  # they go into the report


@pytest.mark.parametrize(
    ("n_items", "powers"), [(40, SAMPLING_CORRECTION_POWERS[:1]), (1_200, SAMPLING_CORRECTION_POWERS)]
)  # all of 40 items are candidates, so no sampling weight needs a power
def test_hyperparameters_have_the_best_map_in_cross_validation(
    rng: np.random.Generator, n_items: int, powers: tuple[float, ...]
) -> None:
    features, evaluation_set = planted(rng, 60, n_items, (2.0, 0.0))
    hyperparameters, tried = select_hyperparameters(build_batch(features, {}, evaluation_set, rng), ALL, rng)

    assert [(trial["popularity"], trial["sampling_correction_power"], trial["penalty"]) for trial in tried] == list(
        product((True, False), powers, PENALTIES)
    )
    assert {**asdict(hyperparameters), "map10": max(trial["map10"] for trial in tried)} in tried
    assert all(0 < trial["map10"] <= 1 for trial in tried)


def test_without_a_fitted_weight_popularity_breaks_ties(rng: np.random.Generator) -> None:
    features, evaluation_set = planted(rng, 60, 40, (2.0, 0.0))
    batch = build_batch(features, {}, evaluation_set, rng)
    weights, _ = fit_with(EnsembleHyperparameters(popularity=False), batch, ALL)

    assert weights[FACTORS] > 0.1
    assert [weights[NAMES.index(name)] for name in POPULARITIES] == [TIE_BREAK] * 4
    guest = features.blend(case_of(len(features.user_factors), []).query, weights.astype(np.float32))
    np.testing.assert_array_equal(np.argsort(-guest), np.argsort(-features.popularity[0]))


def test_popularity_that_is_not_allowed_is_not_tried(rng: np.random.Generator) -> None:
    features, evaluation_set = planted(rng, 60, 40, (2.0, 0.0))
    _, tried = select_hyperparameters(
        build_batch(features, {}, evaluation_set, rng), np.array([name == "factors" for name in NAMES]), rng
    )

    assert {trial["popularity"] for trial in tried} == {True}


def test_an_evaluation_set_keeps_no_cached_scores(rng: np.random.Generator) -> None:
    features, evaluation_set = planted(rng, 5, 10, (1.0, 0.0))
    fit_ensemble(features, None, evaluation_set, rng)

    assert [len(case.query._known) for case in evaluation_set.cases] == [0] * 5
