"""The weights of the signals on exams whose answer is known, and the likelihood by hand."""

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
from recsys.training import ensemble as blending
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
ALL = np.ones(N_FEATURES, bool)  # of cases without a network


def signals_of(factors: NDArray, popularity: NDArray | None = None) -> Features:
    """Return signals of which only `factors`, `(n_users, n_items)`, `popularity` and the own ones say anything."""
    n_items = factors.shape[1]
    nobody = Neighbours(np.zeros(n_items + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))
    popularities = np.zeros((4, n_items), np.float32)
    popularities[0] = 0 if popularity is None else popularity
    return Features(nobody, nobody, factors.astype(np.float32), np.eye(n_items, dtype=np.float32), popularities)


def asked(
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


def exam_of(cases: Sequence[EvaluationCase], n_items: int, inactive: Sequence[int] = ()) -> EvaluationSet:
    active = np.ones(n_items, bool)
    active[list(inactive)] = False
    return EvaluationSet(tuple(cases), np.ones(len(cases), bool), 0, active, tuple(case.relevant for case in cases))


def planted(
    rng: np.random.Generator, n_cases: int, n_items: int, weights: tuple[float, float], n_relevant: int = 1
) -> tuple[Features, EvaluationSet]:
    """Return an exam whose chosen items were drawn from the softmax of `weights[0]·factors + weights[1]·popularity`."""
    factors, popularity = rng.normal(size=(n_cases, n_items)), rng.normal(size=n_items)
    cases = []
    for user, row in enumerate(factors):
        noise = rng.gumbel(size=n_items)  # the highest sum with it is a draw from the softmax
        best = np.argsort(-(weights[0] * row + weights[1] * popularity + noise))[:n_relevant]
        cases.append(asked(user, np.sort(best).tolist()))
    return signals_of(factors, popularity), exam_of(cases, n_items)


def random_cases(rng: np.random.Generator, n_features: int = 4) -> ListwiseBatch:
    """Return three questions with 2, 1 and 3 chosen among 5, 1 and 4 others, in double precision."""
    positive_query, negative_query = np.repeat(np.arange(3), (2, 1, 3)), np.repeat(np.arange(3), (5, 1, 4))
    positives, negatives = rng.normal(size=(6, n_features)), rng.normal(size=(10, n_features))
    return ListwiseBatch(positives, positive_query, negatives, negative_query, np.abs(rng.normal(size=10)))


# the likelihood


def test_the_likelihood_by_hand() -> None:
    """Question 0 chose items of 1 and 0 against one of 2 that stands for three; question 1 chose 5 against 5 and 5. The weight is log 2.

    2^1/(2^1 + 3·2^2) = 1/7 and 2^0/(2^0 + 3·2^2) = 1/13: the two chosen together don't compete. Then 1/3.
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
    rows = [np.concatenate([part[of == n] for part, of in batch.parts]) for n in range(3)]
    deviations = np.sqrt(sum(((part - part.mean(0)) ** 2).sum(0) for part in rows) / 16)

    def goal(weights: NDArray[np.float64]) -> float:
        return log_likelihood(weights, batch)[0] - penalty * float(((weights * deviations) ** 2).sum())

    weights, said = maximise(batch, np.array([True, True, False, True]), penalty)

    assert said["converged"]
    assert weights[2] == 0
    for direction in 0.01 * np.concatenate([np.eye(4), -np.eye(4)])[[0, 1, 3, 4, 5, 7]]:
        assert goal(weights) > goal(weights + direction)


def test_units_do_not_matter(rng: np.random.Generator) -> None:
    """The penalty is on signals of deviation 1: ten times the signal has a tenth of the weight."""
    batch, tenfold = random_cases(rng), np.array([1.0, 10.0, 1.0, 1.0])
    weights, _ = maximise(batch, ALL[:4], 0.1)
    scaled, _ = maximise(
        replace(batch, positives=batch.positives * tenfold, negatives=batch.negatives * tenfold), ALL[:4], 0.1
    )

    np.testing.assert_allclose(scaled * tenfold, weights, rtol=1e-3, atol=1e-4)


def test_what_differs_between_questions_only_has_no_weight(rng: np.random.Generator) -> None:
    batch = random_cases(rng)
    batch.positives[:, 1], batch.negatives[:, 1] = batch.positive_query * 0.1, batch.negative_query * 0.1
    batch.positives[:, 2], batch.negatives[:, 2] = 0.7, 0.7

    assert maximise(batch, ALL[:4], 0.01)[0][1:3].tolist() == [0, 0]


# candidates


def test_candidates_are_neither_hidden_nor_inactive(rng: np.random.Generator) -> None:
    """The factors are the item's number, so the candidates can be read off; the hidden and inactive ones would be the best."""
    n = 1_000
    features = signals_of(np.tile(np.arange(n), (1, 1)))
    case = asked(0, relevant=[3, 997, 999], items=[10, 999, 998], hidden=[998, 999])
    batch = build_batch(features, {}, exam_of([case], n, inactive=[996, 997]), rng)
    negatives = batch.negatives[:, FACTORS].astype(int)

    assert batch.positives[:, FACTORS].tolist() == [3]  # 997 and 999 may not be answered
    assert set(negatives) & {3, 996, 997, 998, 999} == set()
    assert len(set(negatives)) == len(negatives)
    assert set(range(946, 996)) | {10} <= set(negatives)  # the 50 best by factors, and her own
    assert np.exp(batch.log_sampling_weight).sum() == pytest.approx(
        n - 5
    )  # together they stand for everything that may be answered


def test_a_small_catalogue_is_taken_whole(rng: np.random.Generator) -> None:
    batch = build_batch(signals_of(np.arange(20.0)[None]), {}, exam_of([asked(0, [4, 7], hidden=[1])], 20), rng)

    assert sorted(batch.negatives[:, FACTORS].tolist()) == [n for n in range(20) if n not in (1, 4, 7)]
    assert batch.log_sampling_weight.tolist() == [0] * 17


def test_the_candidates_of_a_question_are_taken_as_they_are(rng: np.random.Generator) -> None:
    case = replace(asked(0, [4], items=[2], hidden=[8]), candidates=np.array([9, 4, 8, 6], np.int32))
    batch = build_batch(signals_of(np.arange(1_000.0)[None]), {}, exam_of([case], 1_000), rng)

    assert batch.positives[:, FACTORS].tolist() == [4]
    assert batch.negatives[:, FACTORS].tolist() == [6, 9]
    assert batch.log_sampling_weight.tolist() == [0, 0]


def test_only_questions_with_something_to_choose_and_something_to_leave_count(rng: np.random.Generator) -> None:
    cases = [
        asked(0, relevant=[1]),
        asked(0, relevant=[], n_unreachable=2),
        asked(0, relevant=[2], hidden=[2]),
        replace(asked(0, relevant=[1, 2]), candidates=np.array([1, 2], np.int32)),
        asked(0, relevant=[3, 4]),
    ]
    batch = build_batch(signals_of(np.arange(5.0)[None]), {}, exam_of(cases, 5), rng)

    assert len(batch) == 2
    assert batch.positive_query.tolist() == [0, 1, 1]
    assert batch.negative_query.tolist() == [0, 0, 0, 0, 1, 1, 1]


def test_a_large_exam_is_sampled(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    monkeypatch.setattr(blending, "MAX_CASES", 7)
    features, evaluation_set = planted(rng, 30, 10, (1.0, 0.0))

    assert len(build_batch(features, {}, evaluation_set, rng)) == 7


def test_some_questions_are_taken_out_whole(rng: np.random.Generator) -> None:
    batch = random_cases(rng)
    some = batch.take(np.array([True, False, True]))

    assert len(some) == 2
    assert some.positive_query.tolist() == [0, 0, 1, 1, 1]
    assert some.negative_query.tolist() == [0] * 5 + [1] * 4
    np.testing.assert_array_equal(some.positives, batch.positives[[0, 1, 3, 4, 5]])
    np.testing.assert_array_equal(some.negatives, batch.negatives[[0, 1, 2, 3, 4, 6, 7, 8, 9]])
    np.testing.assert_array_equal(some.log_sampling_weight, batch.log_sampling_weight[[0, 1, 2, 3, 4, 6, 7, 8, 9]])


# the whole


@pytest.mark.parametrize("truth", [(2.0, 0.0), (1.0, -1.0)])
def test_the_weights_that_made_the_exam_are_found_from_a_sample_of_candidates(
    truth: tuple[float, float], rng: np.random.Generator
) -> None:
    """Of 2,000 items about 550 compete; uncorrected, the weights would come out too small."""
    features, evaluation_set = planted(rng, 400, 2_000, truth)
    batch = build_batch(features, {}, evaluation_set, rng)
    weights, _ = maximise(batch, ALL, 0.0)

    assert len(batch.negatives) / len(batch) < 700
    assert weights[[FACTORS, POPULARITY]].tolist() == pytest.approx(truth, abs=0.2)


def test_the_signal_that_is_right_ranks_and_the_others_don_t(rng: np.random.Generator) -> None:
    features, evaluation_set = planted(rng, 200, 80, (4.0, 0.0), n_relevant=3)
    blend = fit_ensemble(features, None, evaluation_set, rng)

    assert blend.fitted
    assert blend.n_cases == 200
    assert (blend.weights.shape, blend.weights.dtype) == ((N_FEATURES + 1,), np.float32)
    assert blend.weights[FACTORS] > 0.5
    assert abs(blend.weights[POPULARITY]) < 0.2
    assert blend.weights[-1] == 0  # there is no network
    assert blend.log_likelihood is not None
    assert blend.log_likelihood > -math.log(80)  # better than chance


def test_a_network_that_knows_is_believed(rng: np.random.Generator) -> None:
    truth = rng.normal(size=(150, 60)).astype(np.float32)
    features, evaluation_set = planted(rng, 150, 60, (0.0, 0.0))
    cases = [
        replace(case, relevant=np.argsort(-truth[n])[:1].astype(np.int32))
        for n, case in enumerate(evaluation_set.cases)
    ]
    blend = fit_ensemble(features, lambda query: truth[query.user], replace(evaluation_set, cases=tuple(cases)), rng)

    assert blend.weights[-1] > 1
    assert blend.weights[-1] > 5 * np.abs(blend.weights[:-1]).max()


def test_a_network_that_says_the_same_of_everything_has_no_weight(rng: np.random.Generator) -> None:
    features, evaluation_set = planted(rng, 40, 30, (2.0, 0.0))
    blend = fit_ensemble(features, lambda query: np.full(30, 0.1 + query.user, np.float32), evaluation_set, rng)

    assert blend.weights[-1] == 0
    assert blend.weights[FACTORS] > 0


def test_only_allowed_signals_have_a_weight(rng: np.random.Generator) -> None:
    features, evaluation_set = planted(rng, 60, 40, (2.0, 1.0))
    blend = fit_ensemble(
        features, lambda query: np.arange(40, dtype=np.float32), evaluation_set, rng, allowed=("popularity", "own")
    )
    nothing = fit_ensemble(features, None, evaluation_set, rng, allowed=())

    assert np.flatnonzero(blend.weights).tolist() == [POPULARITY, N_FEATURES]
    assert nothing.weights.tolist() == [0] * (N_FEATURES + 1)
    with pytest.raises(ValueError, match=r"`allowed` should be some of neighbours, .*\. Received: nothing\."):
        fit_ensemble(features, None, evaluation_set, rng, allowed=("own", "nothing"))


@pytest.mark.parametrize("network_score", [None, lambda query: np.ones(5, np.float32)])
@pytest.mark.parametrize("cases", [[], [asked(0, [2], hidden=[2])], [asked(0, [], n_unreachable=1)]])
def test_without_anything_to_fit_on_the_weights_are_the_documented_ones(
    network_score, cases: list[EvaluationCase], rng: np.random.Generator
) -> None:  # type: ignore[no-untyped-def]
    blend = fit_ensemble(signals_of(np.ones((1, 5))), network_score, exam_of(cases, 5), rng)
    weights = dict(zip((*NAMES, NETWORK), blend.weights.tolist(), strict=True))

    assert not blend.fitted
    assert (blend.log_likelihood, blend.n_cases, blend.trials["fallback"]) == (None, 0, True)
    assert {name: weight for name, weight in weights.items() if weight} == {
        name: weight for name, weight in FALLBACK.items() if network_score is not None or name != NETWORK
    }


def test_one_question_is_enough(rng: np.random.Generator) -> None:
    blend = fit_ensemble(signals_of(np.arange(6.0)[None]), None, exam_of([asked(0, [5], items=[1])], 6), rng)

    assert (blend.n_cases, blend.trials["penalty"], blend.trials["tried"]) == (1, PENALTIES[0], [])
    assert blend.weights[FACTORS] > 0 > blend.weights[USER_ITEM]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_scores_that_are_no_numbers_are_named(value: float, rng: np.random.Generator) -> None:
    features, evaluation_set = planted(rng, 3, 8, (1.0, 0.0))
    broken = np.zeros(8, np.float32)
    broken[5] = value

    with pytest.raises(ValueError, match=rf"`network` should be finite scores\. Received: {value} for user 0\."):
        fit_ensemble(features, lambda query: broken, evaluation_set, rng)
    with pytest.raises(ValueError, match=rf"`popularity` should be finite scores\. Received: {value} for user 0\."):
        fit_ensemble(replace(features, popularity=np.tile(broken, (4, 1))), None, evaluation_set, rng)


def test_the_same_generator_gives_the_same_weights() -> None:
    features, evaluation_set = planted(np.random.default_rng(3), 40, 1_200, (1.0, 0.5))
    blends = [fit_ensemble(features, None, evaluation_set, np.random.default_rng(5)) for _ in range(2)]

    np.testing.assert_array_equal(blends[0].weights, blends[1].weights)
    assert blends[0].trials == blends[1].trials
    json.dumps(blends[0].trials)  # they go into the report


@pytest.mark.parametrize(
    ("n_items", "powers"), [(40, SAMPLING_CORRECTION_POWERS[:1]), (1_200, SAMPLING_CORRECTION_POWERS)]
)  # 40 are all near the top: nothing stands for others
def test_the_way_is_the_one_whose_lists_are_best_on_the_other_half(
    rng: np.random.Generator, n_items: int, powers: tuple[float, ...]
) -> None:
    features, evaluation_set = planted(rng, 60, n_items, (2.0, 0.0))
    hyperparameters, tried = select_hyperparameters(build_batch(features, {}, evaluation_set, rng), ALL, rng)

    assert [(trial["popularity"], trial["sampling_correction_power"], trial["penalty"]) for trial in tried] == list(
        product((True, False), powers, PENALTIES)
    )
    assert {**asdict(hyperparameters), "map10": max(trial["map10"] for trial in tried)} in tried
    assert all(0 < trial["map10"] <= 1 for trial in tried)


def test_where_popularity_has_no_say_it_orders_what_is_equal_otherwise(rng: np.random.Generator) -> None:
    features, evaluation_set = planted(rng, 60, 40, (2.0, 0.0))
    batch = build_batch(features, {}, evaluation_set, rng)
    weights, _ = fit_with(EnsembleHyperparameters(popularity=False), batch, ALL)

    assert weights[FACTORS] > 0.1
    assert [weights[NAMES.index(name)] for name in POPULARITIES] == [TIE_BREAK] * 4
    guest = features.blend(asked(len(features.user_factors), []).query, weights.astype(np.float32))
    np.testing.assert_array_equal(np.argsort(-guest), np.argsort(-features.popularity[0]))


def test_signals_that_nobody_allows_are_not_tried_without(rng: np.random.Generator) -> None:
    features, evaluation_set = planted(rng, 60, 40, (2.0, 0.0))
    _, tried = select_hyperparameters(
        build_batch(features, {}, evaluation_set, rng), np.array([name == "factors" for name in NAMES]), rng
    )

    assert {trial["popularity"] for trial in tried} == {True}


def test_an_exam_does_not_keep_what_it_was_answered(rng: np.random.Generator) -> None:
    features, evaluation_set = planted(rng, 5, 10, (1.0, 0.0))
    fit_ensemble(features, None, evaluation_set, rng)

    assert [len(case.query._known) for case in evaluation_set.cases] == [0] * 5
