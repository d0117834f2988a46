"""Closed-form fits, and the choice of their hyperparameters on validation."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from recsys.evaluation.protocol import EvaluationSet
from recsys.features.features import Features
from recsys.scorers.base import Scorer
from recsys.scorers.item_item import EASE
from recsys.scorers.registry import BASELINES
from recsys.training.closed_form import choose as closed_form
from recsys.training.closed_form.als import als
from recsys.training.closed_form.choose import (
    ALPHA,
    L2_GRID,
    REGULARIZATION_GRID,
    ClosedForms,
    choose_closed_forms,
    fit_baselines,
    fit_ease,
    fit_factors,
    fit_features,
    popularity,
)
from recsys.training.closed_form.ease import ease
from recsys.training.stages import TrainedModels, build_evaluation_sets
from tests.helpers.checkerboard import (
    CUT,
    FAST,
    N_ITEMS,
    N_USERS,
    after_the_cut,
    before_the_cut,
    other_cluster,
    query_at_cut,
    shop_of,
    withheld,
)


@pytest.fixture(scope="module")
def evaluation_set(board: TrainedModels) -> EvaluationSet:
    return build_evaluation_sets(shop_of(before_the_cut()), board, after_the_cut(), CUT, "time")["hide"]


def test_ease_and_als_are_fitted_with_the_hyperparameters(board: TrainedModels) -> None:
    data, options = board.data, replace(FAST, seed=4)
    columns = data.users, data.items, data.weights, N_USERS, N_ITEMS
    factors = als(*columns, dim=5, regularization=9.0, alpha=ALPHA, seed=4)

    for name, array in ease(*columns, 33.0).items():
        np.testing.assert_array_equal(fit_ease(data, 33.0)[name], array)
    for name, array in factors.items():
        np.testing.assert_array_equal(fit_factors(data, 5, 9.0, options)[name], array)
    assert factors["user_factors"].shape == (N_USERS, 5)


def test_each_baseline_except_the_ensemble_is_fitted_and_timed(board: TrainedModels) -> None:
    data = board.data
    arrays, seconds = fit_baselines(data, ClosedForms(l2=33.0))
    columns = data.items, data.weights, data.timestamps, N_ITEMS

    assert ["blend", *arrays] == list(BASELINES)
    assert list(seconds) == list(arrays)
    assert all(duration >= 0 for duration in seconds.values())
    np.testing.assert_array_equal(arrays["ease"]["similarities"], fit_ease(data, 33.0)["similarities"])
    for name, half_life in {
        "popularity": 0.0,
        "user_frequency": 0.0,
        "popularity_recent": 15.0,
        "user_frequency_decayed": 15.0,
    }.items():
        np.testing.assert_array_equal(arrays[name]["popularity"], popularity(*columns, half_life), err_msg=name)


def test_features_have_als_of_their_own_width_and_no_copy_of_ease(board: TrainedModels) -> None:
    """The networks' embeddings have the width `dim`, the vectors of ALS among the features `factors`."""
    neighbours = fit_ease(board.data, 33.0)
    arrays = fit_features(board.data, neighbours, ClosedForms(33.0, 9.0), replace(FAST, dim=4, factors=6))

    names = {"starts", "neighbours", "similarities"}
    assert set(arrays) == {f"transitions/{name}" for name in names} | {"user_factors", "item_factors", "popularity"}
    assert (arrays["user_factors"].shape, arrays["item_factors"].shape) == ((N_USERS, 6), (N_ITEMS, 6))
    np.testing.assert_array_equal(arrays["user_factors"], fit_factors(board.data, 6, 9.0, FAST)["user_factors"])
    ease_arrays = {f"ease/{name}": neighbours[name] for name in names}
    assert Features.from_arrays({**arrays, **ease_arrays}).n_items == N_ITEMS


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Scorer, EvaluationSet]]:
    """Replace MAP@10 by .1, .3, .3 for the grid of EASE and .2, .5, .4 for that of ALS; record its arguments."""
    seen: list[tuple[Scorer, EvaluationSet]] = []
    figures: Iterator[float] = iter([0.1, 0.3, 0.3, 0.2, 0.5, 0.4])

    def map10(scorer: Scorer, evaluation_set: EvaluationSet) -> float:
        seen.append((scorer, evaluation_set))
        return next(figures)

    monkeypatch.setattr(closed_form, "mean_average_precision", map10)
    return seen


def test_the_best_of_each_grid_is_chosen_and_the_first_of_equal_ones(
    board: TrainedModels, evaluation_set: EvaluationSet, evaluated: list[tuple[Scorer, EvaluationSet]]
) -> None:
    chosen, trials = choose_closed_forms(board.data, evaluation_set, FAST)

    assert chosen == ClosedForms(L2_GRID[1], REGULARIZATION_GRID[1])
    assert [trial["choice"] for trial in trials] == ["EASE l2"] * 3 + ["ALS regularization"] * 3
    assert [trial["value"] for trial in trials] == [*L2_GRID, *REGULARIZATION_GRID]
    assert [trial["map10"] for trial in trials] == [0.1, 0.3, 0.3, 0.2, 0.5, 0.4]
    assert all(used is evaluation_set for _, used in evaluated)


def test_each_value_is_evaluated_with_its_fit_alone(
    board: TrainedModels, evaluation_set: EvaluationSet, evaluated: list[tuple[Scorer, EvaluationSet]]
) -> None:
    choose_closed_forms(board.data, evaluation_set, FAST)
    query = query_at_cut(board, 3)
    scorers = [scorer for scorer, _ in evaluated]
    of_ease, of_als = scorers[: len(L2_GRID)], scorers[len(L2_GRID) :]

    for scorer, l2 in zip(of_ease, L2_GRID, strict=True):
        np.testing.assert_array_equal(scorer.score(query), EASE.from_arrays(fit_ease(board.data, l2)).score(query))
    for scorer, regularization in zip(of_als, REGULARIZATION_GRID, strict=True):
        factors = fit_factors(board.data, FAST.factors, regularization, FAST)
        np.testing.assert_allclose(scorer.score(query), factors["item_factors"] @ factors["user_factors"][3], rtol=1e-5)
        np.testing.assert_allclose(scorer.score(replace(query, repeats=True)), scorer.score(query))
        assert not scorer.score(replace(query, user=N_USERS)).any()


def test_the_chosen_fit_finds_the_withheld_items(board: TrainedModels, evaluation_set: EvaluationSet) -> None:
    chosen, trials = choose_closed_forms(board.data, evaluation_set, FAST)
    scorer = EASE.from_arrays(fit_ease(board.data, chosen.l2))

    assert all(0 < trial["map10"] <= 1 for trial in trials)
    for user in range(N_USERS):
        scores = scorer.score(query_at_cut(board, user))
        assert scores[withheld(user)] > scores[other_cluster(user)].max()
