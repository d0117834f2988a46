import math
from itertools import product
from math import isnan, log2, sqrt

import numpy as np
import pytest
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import ndcg_score, roc_auc_score, root_mean_squared_error

from recsys.evaluation.metrics import (
    auc,
    average_precision_at_k,
    bootstrap_interval,
    coverage,
    hit_rate_at_k,
    ndcg_at_k,
    paired_lower_bound,
    precision_at_k,
    recall_at_k,
    rmse,
)

AT_K = (precision_at_k, average_precision_at_k, ndcg_at_k, hit_rate_at_k, recall_at_k)


def items(*indices: int) -> np.ndarray:
    return np.array(indices, np.int32)


def mask(bits: str) -> np.ndarray:
    return np.array([bit == "1" for bit in bits])


# Ten recommendations, hits at ranks 1, 3 and 10 of 4 relevant items.
RANKED = items(7, 20, 3, 21, 22, 23, 24, 25, 26, 9)
RELEVANT = items(9, 3, 50, 7)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (precision_at_k, 3 / 10),
        (average_precision_at_k, (1 / 1 + 2 / 3 + 3 / 10) / 4),
        (
            ndcg_at_k,
            (1 / log2(2) + 1 / log2(4) + 1 / log2(11)) / (1 / log2(2) + 1 / log2(3) + 1 / log2(4) + 1 / log2(5)),
        ),
        (hit_rate_at_k, 1.0),
        (recall_at_k, 3 / 4),
    ],
)
def test_metrics_are_those_computed_by_hand(metric, expected: float) -> None:
    assert metric(RANKED, RELEVANT) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (precision_at_k, 1 / 2),
        (average_precision_at_k, 1 / 2),
        (ndcg_at_k, 1 / (1 + 1 / log2(3))),
        (hit_rate_at_k, 1.0),
        (recall_at_k, 1 / 4),
    ],
)
def test_only_the_first_k_count(metric, expected: float) -> None:
    assert metric(RANKED, RELEVANT, k=2) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [(precision_at_k, 1 / 10), (average_precision_at_k, 1 / 2), (hit_rate_at_k, 1.0), (recall_at_k, 1 / 2)],
)
def test_a_list_shorter_than_k_is_divided_as_a_full_one(metric, expected: float) -> None:
    assert metric(items(3), items(3, 4)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (precision_at_k, 1.0),
        (average_precision_at_k, 1.0),
        (ndcg_at_k, 1.0),
        (hit_rate_at_k, 1.0),
        (recall_at_k, 10 / 30),
    ],
)
def test_a_perfect_list_of_ten_from_thirty_relevant_items_is_perfect_but_in_recall(metric, expected: float) -> None:
    assert metric(items(*range(10)), items(*range(30))) == pytest.approx(expected)


@pytest.mark.parametrize("metric", AT_K)
def test_a_list_without_a_hit_and_an_empty_list_score_zero(metric) -> None:
    assert metric(items(1, 2, 3), items(4)) == 0.0
    assert metric(items(), items(4)) == 0.0


@pytest.mark.parametrize("metric", AT_K)
def test_a_user_without_relevant_items_has_no_metric(metric) -> None:
    assert isnan(metric(items(1, 2, 3), items()))


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (precision_at_k, 1 / 10),
        (average_precision_at_k, 1 / 3),
        (ndcg_at_k, 1 / (1 + 1 / log2(3) + 1 / 2)),
        (hit_rate_at_k, 1.0),
        (recall_at_k, 1 / 3),
    ],
)
def test_relevant_items_that_training_dropped_stay_in_the_denominator(metric, expected: float) -> None:
    assert metric(items(5, 6), items(5), n_relevant=3) == pytest.approx(expected)


@pytest.mark.parametrize("metric", AT_K)
def test_a_user_with_only_unknown_relevant_items_scores_zero(metric) -> None:
    assert metric(items(5, 6), items(), n_relevant=2) == 0.0


@pytest.mark.parametrize("metric", AT_K)
def test_a_depth_of_zero_is_refused(metric) -> None:
    with pytest.raises(ValueError, match="`k` should be a positive integer. Received: 0."):
        metric(RANKED, RELEVANT, k=0)


def test_auc_counts_pairs_in_the_right_order_and_halves_ties() -> None:
    # relevant 0.8 and 0.3 against 0.8, 0.5, 0.1: 0.8 wins 2 and ties 1, 0.3 wins 1
    assert auc(np.array([0.8, 0.8, 0.5, 0.3, 0.1]), mask("10010")) == (2 + 0.5 + 1) / 6


def test_a_relevant_item_is_compared_with_candidates_only() -> None:
    assert auc(np.array([0.8, 0.9, 0.5, 0.9]), mask("1000"), mask("1010")) == 1.0


def test_auc_agrees_with_counting_every_pair() -> None:
    rng = np.random.default_rng(7)
    scores, relevant, candidates = rng.integers(0, 9, 80).astype(np.float32), rng.random(80) < 0.3, rng.random(80) < 0.8
    pairs = [
        (np.sign(a - b) + 1) / 2 for a, b in product(scores[relevant & candidates], scores[~relevant & candidates])
    ]
    lost = int((relevant & ~candidates).sum()) * int((~relevant & candidates).sum())

    assert lost > 0
    assert auc(scores, relevant, candidates) == pytest.approx(sum(pairs) / (len(pairs) + lost), rel=1e-12)


@pytest.mark.parametrize(
    ("relevant", "candidates", "n_relevant", "expected"),
    [
        ("100", "011", None, 0.0),  # the only relevant item is not sold
        ("000", "011", 1, 0.0),  # training does not know it
        ("110", "011", None, 0.5),  # 1 is above 2, 0 is not sold
        ("010", "011", 2, 0.5),  # 1 is above 2, another is unknown
        ("110", "011", 3, 1 / 3),  # one wins, one is not sold, one is unknown
        ("001", "011", None, 0.0),
        ("110", "000", None, math.nan),  # nothing is sold, so there are no pairs
        ("011", "011", None, math.nan),  # everything sold is relevant
        ("000", "111", None, math.nan),  # no item is relevant
        ("000", "000", 2, math.nan),
    ],
)
def test_a_relevant_item_that_cannot_be_recommended_loses_every_pair(
    relevant: str, candidates: str, n_relevant: int | None, expected: float
) -> None:
    value = auc(np.array([3.0, 2.0, 1.0]), mask(relevant), mask(candidates), n_relevant=n_relevant)

    assert value == pytest.approx(expected, nan_ok=True)


def test_minus_infinity_is_no_candidate_for_auc_as_it_is_none_for_the_list() -> None:
    scores = np.array([0.9, -np.inf, -np.inf, 0.5])

    assert auc(scores, mask("1100")) == 1 / 2, "0 is above 3, 1 is a miss, 2 does not compete"


def test_a_constant_scorer_has_the_auc_of_chance() -> None:
    assert auc(np.zeros(10, np.float32), mask("1100000000")) == 0.5


@pytest.mark.parametrize("relevant", ["000", "111"])
def test_auc_of_one_class_is_undefined(relevant: str) -> None:
    assert isnan(auc(np.array([1.0, 2.0, 3.0]), mask(relevant)))


def test_a_relevant_item_at_minus_infinity_is_a_miss() -> None:
    assert auc(np.array([0.9, 0.5, -np.inf]), mask("101")) == 1 / 2


@pytest.mark.parametrize("relevant", ["100", "010"])
def test_auc_refuses_nan(relevant: str) -> None:
    with pytest.raises(ValueError, match="NaN"):
        auc(np.array([np.nan, 0.5, 0.1]), mask(relevant))


def test_rmse_is_the_root_of_the_mean_square() -> None:
    assert rmse(np.array([0.5, 0.9, 0.0]), np.array([True, True, False])) == pytest.approx(sqrt((0.25 + 0.01 + 0) / 3))
    assert isnan(rmse(np.array([]), np.array([])))


def test_coverage_counts_each_item_once() -> None:
    assert coverage([items(0, 1), items(1), items()], 8) == 2 / 8
    assert coverage([], 8) == 0.0
    assert isnan(coverage([], 0))


def test_the_interval_of_a_constant_is_the_constant() -> None:
    assert bootstrap_interval(np.full(5, 0.3), np.random.default_rng(7)) == pytest.approx((0.3, 0.3))


def test_the_interval_is_that_of_the_normal_law_for_many_users() -> None:
    values = np.array([0.0, 1.0] * 200)  # mean 0.5, standard error 0.5 / √400 = 0.025

    low, high = bootstrap_interval(values, np.random.default_rng(7), n=4000)

    assert (low, high) == pytest.approx((0.5 - 1.96 * 0.025, 0.5 + 1.96 * 0.025), abs=0.005)


def test_a_wider_level_gives_a_wider_interval_and_the_same_seed_the_same() -> None:
    values = np.arange(30) / 30
    narrow, wide, again = (
        bootstrap_interval(values, np.random.default_rng(7), level=level) for level in (0.5, 0.99, 0.5)
    )

    assert wide[0] < narrow[0] < narrow[1] < wide[1]
    assert narrow == again


def test_pairing_removes_the_variance_between_users() -> None:
    common = np.arange(100) / 100  # spread 0.29 between users, 0.01 within
    better = common + np.array([0.01, 0.03] * 50)  # mean difference 0.02, standard error 0.001

    bound = paired_lower_bound(better, common, np.random.default_rng(7), n=4000)

    assert bound == pytest.approx(0.02 - 1.645 * 0.001, abs=0.0002)


def test_no_users_have_no_interval() -> None:
    rng = np.random.default_rng(7)

    assert all(isnan(end) for end in bootstrap_interval(np.array([]), rng))
    assert isnan(paired_lower_bound(np.array([]), np.array([]), rng))


def test_users_without_relevant_items_must_be_left_out_before_resampling() -> None:
    with pytest.raises(ValueError, match="counted, not averaged"):
        bootstrap_interval(np.array([0.1, np.nan]), np.random.default_rng(7))


def test_pairs_of_different_users_are_refused() -> None:
    with pytest.raises(ValueError, match="Received: 2 and 1."):
        paired_lower_bound(np.array([0.1, 0.2]), np.array([0.1]), np.random.default_rng(7))


# Cross-checks with scikit-learn, on inputs for which the definitions agree; the last test shows where they do not


@pytest.mark.parametrize("levels", [2, 5, 1_000_000])  # few levels make many ties
@pytest.mark.parametrize("seed", range(10))
def test_auc_is_that_of_scikit_learn_with_and_without_ties(seed: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    scores = (rng.integers(-levels, levels, 200) / levels).astype(np.float32)
    relevant, candidates = rng.random(200) < rng.uniform(0.05, 0.95), rng.random(200) < 0.9
    relevant &= candidates  # a relevant item that is no candidate loses in ours and is unknown in theirs

    assert auc(scores, relevant, candidates) == pytest.approx(
        roc_auc_score(relevant[candidates], scores[candidates]), rel=1e-12
    )


@pytest.mark.parametrize("k", [1, 3, 10, 50])
@pytest.mark.parametrize("seed", range(10))
def test_ndcg_is_that_of_scikit_learn_without_ties(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    scores, relevant = rng.permutation(40).astype(np.float64), rng.permutation(40)[: rng.integers(1, 30)]
    gains = np.isin(np.arange(40), relevant).astype(float)

    assert ndcg_at_k(np.argsort(-scores), relevant, k=k) == pytest.approx(ndcg_score([gains], [scores], k=k), rel=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_rmse_is_that_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    predicted, happened = rng.random(300), rng.random(300) < 0.3
    predicted[::7] = predicted[0]

    assert rmse(predicted, happened) == pytest.approx(root_mean_squared_error(happened, predicted), rel=1e-12)


def test_ndcg_of_scikit_learn_is_the_mean_over_the_orders_of_a_tie() -> None:
    first, second = (ndcg_at_k(items(*ranked), items(0), k=2) for ranked in ((0, 1), (1, 0)))

    assert ndcg_score([[1, 0]], [[0.5, 0.5]], k=2) == pytest.approx((first + second) / 2)


def test_scikit_learn_answers_otherwise_where_a_metric_is_undefined() -> None:
    with pytest.warns(UndefinedMetricWarning):
        assert isnan(roc_auc_score([True, True], [0.5, 0.25]))
    assert isnan(auc(np.array([0.5, 0.25]), mask("11"))), "as scikit-learn, without the warning"
    assert ndcg_score([[0, 0]], [[2, 1]]) == 0.0
    assert isnan(ndcg_at_k(items(0, 1), items())), "a user without relevant items is left out"
    with pytest.raises(ValueError, match="0 sample"):
        root_mean_squared_error([], [])
    assert isnan(rmse(np.array([]), np.array([])))
