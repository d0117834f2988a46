"""The candidates of test cases: which items they are, and how many others each one represents."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recsys.features.features import CONTENT, DENSE, N_FEATURES, NAMES
from recsys.training.candidates import build_batches, ranking_rows
from tests.helpers.planted import build_batch, case_of, evaluation_set_of, features_of, planted

FACTORS = NAMES.index("factors")


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


def test_content_adds_candidates_only_where_it_knows_the_history(rng: np.random.Generator) -> None:
    """Otherwise 50 items of equally little likeness would be candidates of everybody."""
    values = rng.normal(size=(N_FEATURES + 2, 2_000)).astype(np.float32)
    networks = [N_FEATURES, N_FEATURES + 1]
    ranking = [NAMES.index(name) for name in (*DENSE, "popularity_15d")]

    assert ranking_rows(values) == [*ranking, *networks]
    values[CONTENT] = 0
    assert ranking_rows(values) == [*(row for row in ranking if row != CONTENT), *networks]


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


def test_a_large_evaluation_set_is_sampled(rng: np.random.Generator) -> None:
    features, evaluation_set = planted(rng, 30, 10, (1.0, 0.0))

    assert len(build_batches(features, {}, {"": evaluation_set}, {"": rng}, at_most=7)[""]) == 7
