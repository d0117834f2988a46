"""Closed-form fits, and the choice of their hyperparameters on validation."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from recsys.evaluation.protocol import EvaluationSet
from recsys.features.content import Content
from recsys.features.features import Features, Neighbours
from recsys.features.query import Floats
from recsys.scorers.base import Scorer
from recsys.scorers.item_item import EASE, ItemCF
from recsys.scorers.registry import BASELINES
from recsys.training.closed_form import choose as closed_form
from recsys.training.closed_form.als import als
from recsys.training.closed_form.choose import (
    L2_GRID,
    MIN_CO_OCCURRENCE_GRID,
    REGULARIZATION_GRID,
    choose_l2,
    choose_min_co_occurrence,
    choose_regularization,
    fit_baselines,
    fit_features,
    popularity,
)
from recsys.training.closed_form.co_occurrence import user_item_matrix
from recsys.training.closed_form.content import content
from recsys.training.closed_form.ease import ease
from recsys.training.closed_form.item_cf import item_cf
from recsys.training.fitting import FittedModels
from recsys.training.stages import build_evaluation_sets
from tests.helpers.checkerboard import (
    CUT,
    FAST,
    N_ITEMS,
    N_USERS,
    after_the_cut,
    before_the_cut,
    catalogue,
    other_cluster,
    query_at_cut,
    shop_of,
    withheld,
)


@pytest.fixture(scope="module")
def evaluation_set(board: FittedModels) -> EvaluationSet:
    return build_evaluation_sets(shop_of(before_the_cut()), board.encoders, board.data, after_the_cut(), CUT)["hide"]


def test_each_baseline_except_the_ensemble_and_the_hybrid_is_fitted(board: FittedModels) -> None:
    arrays = fit_baselines(board.data, l2=33.0)

    assert ["blend", "hybrid", *arrays] == list(BASELINES)
    for name, array in ease(user_item_matrix(board.data), 33.0).items():
        np.testing.assert_array_equal(arrays["ease"][name], array)
    for name, half_life in {
        "popularity": 0.0,
        "user_frequency": 0.0,
        "popularity_recent": 15.0,
        "user_frequency_decayed": 15.0,
    }.items():
        np.testing.assert_array_equal(arrays[name]["popularity"], popularity(board.data, half_life), err_msg=name)


def test_features_have_als_of_their_own_width_and_no_copy_of_ease(board: FittedModels) -> None:
    """The networks' embeddings have the width `dim`, the vectors of ALS among the features `factors`."""
    matrix = user_item_matrix(board.data)
    arrays = fit_features(board.data, 9.0, replace(FAST, dim=4, factors=6, seed=4))

    names = {"starts", "neighbours", "similarities"}
    assert set(arrays) == {f"transitions/{name}" for name in names} | {"user_factors", "item_factors", "popularity"}
    assert (arrays["user_factors"].shape, arrays["item_factors"].shape) == ((N_USERS, 6), (N_ITEMS, 6))
    for name, factors in als(matrix, 6, 9.0, seed=4).items():
        np.testing.assert_array_equal(arrays[name], factors)
    ease_arrays = {f"ease/{name}": array for name, array in ease(matrix, 33.0).items()}
    plain = Features.from_arrays({**arrays, **ease_arrays})
    assert (plain.n_items, plain.content.n_items, len(plain.content.similarities)) == (N_ITEMS, N_ITEMS, 0)


def test_the_features_hold_content_where_it_is_asked_for_and_items_are_described(board: FittedModels) -> None:
    described = content(catalogue(), board.encoders.items.ids)
    for given, held in ((described, True), (Content.nothing(N_ITEMS), False), (None, False)):
        arrays = fit_features(board.data, 9.0, FAST, content=given)
        assert {name for name in arrays if name.startswith("content/")} == (
            {f"content/{name}" for name in ("starts", "neighbours", "similarities")} if held else set()
        )
        if held:
            alike = Neighbours.from_arrays(arrays, "content/").at(np.zeros((1, 1), np.int32), np.array([[3, 1]]))
            assert alike[0, 0] > 0 == alike[0, 1]  # the categories of three items alternate


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
    board: FittedModels, evaluation_set: EvaluationSet, evaluated: list[tuple[Scorer, EvaluationSet]]
) -> None:
    l2, l2_trials = choose_l2(board.data, evaluation_set)
    regularization, als_trials = choose_regularization(board.data, evaluation_set, FAST)
    trials = l2_trials + als_trials

    assert (l2, regularization) == (L2_GRID[1], REGULARIZATION_GRID[1])
    assert [trial["choice"] for trial in trials] == ["EASE l2"] * 3 + ["ALS regularization"] * 3
    assert [trial["value"] for trial in trials] == [*L2_GRID, *REGULARIZATION_GRID]
    assert [trial["map10"] for trial in trials] == [0.1, 0.3, 0.3, 0.2, 0.5, 0.4]
    assert all(used is evaluation_set for _, used in evaluated)


def test_a_number_in_the_settings_is_the_only_one_that_is_tried_for_item_cf(
    board: FittedModels, evaluation_set: EvaluationSet, evaluated: list[tuple[Scorer, EvaluationSet]]
) -> None:
    assert choose_min_co_occurrence(board.data, evaluation_set, FAST)[0] == MIN_CO_OCCURRENCE_GRID[1]
    chosen, trials = choose_min_co_occurrence(board.data, evaluation_set, replace(FAST, min_co_occurrence=7))

    assert (chosen, [trial["value"] for trial in trials]) == (7, [7])
    matrix = user_item_matrix(board.data)
    for (scorer, _), value in zip(evaluated, (*MIN_CO_OCCURRENCE_GRID, 7), strict=True):
        expected = ItemCF.from_arrays(item_cf(matrix, min_co_occurrence=value))
        np.testing.assert_array_equal(scorer.score(query_at_cut(board, 3)), expected.score(query_at_cut(board, 3)))


def test_each_value_is_evaluated_with_its_fit_alone(
    board: FittedModels, evaluation_set: EvaluationSet, evaluated: list[tuple[Scorer, EvaluationSet]]
) -> None:
    choose_l2(board.data, evaluation_set)
    choose_regularization(board.data, evaluation_set, FAST)
    query, matrix = query_at_cut(board, 3), user_item_matrix(board.data)
    scorers = [scorer for scorer, _ in evaluated]
    of_ease, of_als = scorers[: len(L2_GRID)], scorers[len(L2_GRID) :]

    for scorer, l2 in zip(of_ease, L2_GRID, strict=True):
        np.testing.assert_array_equal(scorer.score(query), EASE.from_arrays(ease(matrix, l2)).score(query))
    for scorer, regularization in zip(of_als, REGULARIZATION_GRID, strict=True):
        factors = als(matrix, FAST.factors, regularization, seed=FAST.seed)
        np.testing.assert_allclose(scorer.score(query), factors["item_factors"] @ factors["user_factors"][3], rtol=1e-5)
        np.testing.assert_allclose(scorer.score(query._replace(repeats=True)), scorer.score(query))
        assert not scorer.score(query._replace(user=N_USERS)).any()


def test_where_later_fits_go_on_each_starts_from_the_one_before(
    board: FittedModels, evaluation_set: EvaluationSet, evaluated: list[tuple[Scorer, EvaluationSet]]
) -> None:
    choose_regularization(board.data, evaluation_set, FAST, goes_on=True)
    query, matrix = query_at_cut(board, 3), user_item_matrix(board.data)
    start: Floats | None = None

    for (scorer, _), regularization in zip(evaluated, REGULARIZATION_GRID, strict=True):
        factors = als(matrix, FAST.factors, regularization, seed=FAST.seed, start=start)
        np.testing.assert_allclose(scorer.score(query), factors["item_factors"] @ factors["user_factors"][3], rtol=1e-5)
        start = factors["item_factors"]


def test_the_chosen_fit_finds_the_withheld_items(board: FittedModels, evaluation_set: EvaluationSet) -> None:
    l2, trials = choose_l2(board.data, evaluation_set)
    scorer = EASE.from_arrays(ease(user_item_matrix(board.data), l2))

    assert all(0 < trial["map10"] <= 1 for trial in trials)
    for user in range(N_USERS):
        scores = scorer.score(query_at_cut(board, user))
        assert scores[withheld(user)] > scores[other_cluster(user)].max()
