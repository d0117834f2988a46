"""EASE against its formula: the exact solution, and the one restricted to neighbours."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from recsys.features.query import Arrays, Query
from recsys.scorers.item_item import EASE
from recsys.training.closed_form import co_occurrence
from recsys.training.closed_form import ease as ease_module
from recsys.training.closed_form.co_occurrence import user_item_matrix
from recsys.training.closed_form.ease import DAMPING, ease, local_weights
from tests.helpers.datasets import dataset_of

Columns = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]
L2 = 3.0


def matrix_of(*columns: Any) -> Any:
    return user_item_matrix(dataset_of(*columns))


@pytest.fixture
def columns(rng: np.random.Generator) -> Columns:
    """40 users and 12 items with repeated pairs; item 7 has no user."""
    users, items = rng.integers(0, 40, 400).astype(np.int32), rng.integers(0, 12, 400).astype(np.int32)
    return users[items != 7], items[items != 7], np.ones(int((items != 7).sum()), np.float32)


@pytest.fixture
def interactions(columns: Columns) -> NDArray[np.float64]:
    """The user-item matrix of ones and zeros, `(40, 12)`."""
    interactions = np.zeros((40, 12))
    interactions[columns[0], columns[1]] = 1
    return interactions


def formula(interactions: NDArray[np.float64], l2: float) -> NDArray[np.float64]:
    inverse = np.linalg.inv(interactions.T @ interactions + l2 * np.eye(interactions.shape[1]))
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return weights


def dense(arrays: Arrays) -> NDArray[np.float32]:
    n_items = len(arrays["starts"]) - 1
    matrix = sparse.csr_matrix(
        (arrays["similarities"], arrays["neighbours"], arrays["starts"]), shape=(n_items, n_items)
    )
    return np.asarray(matrix.toarray())


def query_of(items: list[int]) -> Query:
    moments = np.arange(len(items), dtype=np.int64)
    return Query(9, np.array(items, np.int32), np.ones(len(items), np.float32), moments, np.zeros(0, np.int32), now=100)


def test_two_items_by_hand() -> None:
    """Item 0 has four users, item 1 three, two of them in common. The divisor is that of the history's item."""
    users, items = np.array([0, 1, 2, 3, 0, 1, 4, 4, 5], np.int32), np.array([0, 0, 0, 0, 1, 1, 1, 1, 0], np.int32)
    weights = np.array([1, 1, 1, 1, 1, 1, 0.3, 0.3, -1], np.float32)  # the last one disliked
    arrays = ease(matrix_of(users, items, weights, 6, 2), l2=2.0)
    scorer = EASE.from_arrays(arrays)

    assert dense(arrays).ravel().tolist() == pytest.approx([0, 2 / (4 + 2), 2 / (3 + 2), 0])
    assert arrays["tie_break"].tolist() == pytest.approx([1e-6, 0.75e-6])
    assert scorer.score(query_of([0])).tolist() == pytest.approx([1e-6, 2 / 6 + 0.75e-6])
    assert scorer.score(query_of([1, 1])).tolist() == pytest.approx([2 / 5 + 1e-6, 0.75e-6])
    assert scorer.score(query_of([])).tolist() == arrays["tie_break"].tolist()


def test_exact_weights_equal_the_formula(columns: Columns, interactions: NDArray[np.float64]) -> None:
    arrays = ease(matrix_of(*columns, 40, 12), L2)

    np.testing.assert_allclose(dense(arrays), formula(interactions, L2), rtol=1e-5, atol=1e-7)
    assert {name: array.dtype for name, array in arrays.items()} == {
        "starts": np.int64, "neighbours": np.int32, "similarities": np.float32, "tie_break": np.float32,
    }  # fmt: skip
    assert np.diff(arrays["starts"]).tolist() == [12] * 12  # a small catalogue stores whole rows


def test_a_larger_catalogue_stores_only_the_strongest_weights(
    columns: Columns, interactions: NDArray[np.float64], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(co_occurrence, "WHOLE_UP_TO", 11)
    arrays = ease(matrix_of(*columns, 40, 12), L2)

    np.testing.assert_allclose(dense(arrays), formula(interactions, L2), rtol=1e-5, atol=1e-7)
    assert arrays["starts"][8] == arrays["starts"][7]  # an item without users has no weights


def test_blocks_give_the_whole_solution(
    columns: Columns, interactions: NDArray[np.float64], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ease_module, "ROWS_AT_ONCE", 5)
    monkeypatch.setattr(co_occurrence, "ENTRIES_AT_ONCE", 30)

    np.testing.assert_allclose(
        dense(ease(matrix_of(*columns, 40, 12), L2)), formula(interactions, L2), rtol=1e-5, atol=1e-7
    )


def test_the_strongest_weights_of_each_row_are_stored(
    columns: Columns, interactions: NDArray[np.float64], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(co_occurrence, "WHOLE_UP_TO", 11)
    monkeypatch.setattr(ease_module, "NEIGHBOURS", 3)
    expected = formula(interactions, L2)
    weakest = np.argsort(np.abs(expected), axis=1)[:, :-3]
    np.put_along_axis(expected, weakest, 0, axis=1)

    np.testing.assert_allclose(dense(ease(matrix_of(*columns, 40, 12), L2)), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("targets_at_once", "solved_at_once"), [(100, 100), (5, 2)])
def test_the_local_solution_is_exact_if_all_items_are_neighbours(
    targets_at_once: int,
    solved_at_once: int,
    columns: Columns,
    interactions: NDArray[np.float64],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ease_module, "EXACT_UP_TO", 11)
    monkeypatch.setattr(ease_module, "TARGETS_AT_ONCE", targets_at_once)
    monkeypatch.setattr(ease_module, "SOLVED_AT_ONCE", solved_at_once)
    together = interactions.T @ interactions
    together[7, :] = together[:, 7] = 1  # an item without users is no neighbour; its weights are 0 anyway

    assert (together > 0).all(), "each pair of items should have a common user"
    np.testing.assert_allclose(
        dense(ease(matrix_of(*columns, 40, 12), L2)), formula(interactions, L2), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("n_neighbours", [1, 4])
def test_the_local_solution_is_a_regression_on_the_most_similar_items(
    n_neighbours: int, rng: np.random.Generator
) -> None:
    """They are the same items under each regularization."""
    interactions = (rng.random((300, 9)) < rng.uniform(0.05, 0.6, 9)).astype(float)
    gram, grid = interactions.T @ interactions, [L2 / 10, L2, L2 * 10]
    expected = np.zeros((3, 9, 9))
    for target in range(9):
        similarity = gram[target] / np.sqrt(np.diag(gram) + DAMPING)
        similarity[target] = -1
        near = np.argsort(-similarity)[:n_neighbours]
        for n, l2 in enumerate(grid):
            regularized = gram[np.ix_(near, near)] + l2 * np.eye(n_neighbours)
            expected[n, near, target] = np.linalg.solve(regularized, gram[near, target])

    weights = local_weights(sparse.csr_matrix(interactions.astype(np.float32)), grid, n_neighbours)

    np.testing.assert_allclose([of_l2.toarray() for of_l2 in weights], expected, rtol=1e-5, atol=1e-7)
    alone = [local_weights(sparse.csr_matrix(interactions.astype(np.float32)), [l2], n_neighbours)[0] for l2 in grid]
    np.testing.assert_array_equal([of_l2.toarray() for of_l2 in weights], [of_l2.toarray() for of_l2 in alone])


def test_a_regression_may_have_fewer_neighbours() -> None:
    """Items 0 and 1 share a user, item 2 has another one, item 3 has none."""
    matrix = sparse.csr_matrix(np.array([[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]], np.float32))

    assert local_weights(matrix, [2.0], 3)[0].toarray().ravel().tolist() == pytest.approx(
        [0, 1 / (2 + 2), 0, 0, 1 / (1 + 2), 0, 0, 0, *[0] * 8]
    )  # fmt: skip


@pytest.mark.parametrize("exact_up_to", [0, 100])
@pytest.mark.parametrize(
    "rows",
    [[], [(0, 0)], [(0, 0), (1, 0), (2, 0)], [(0, 0), (0, 0), (0, 2)]],
    ids=["none", "one", "one item", "one user"],
)
def test_very_few_events(rows: list[tuple[int, int]], exact_up_to: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ease_module, "EXACT_UP_TO", exact_up_to)
    users, items = np.array(rows, np.int32).reshape(-1, 2).T
    interactions = np.zeros((3, 3))
    interactions[users, items] = 1

    np.testing.assert_allclose(
        dense(ease(matrix_of(users, items, np.ones(len(rows)), 3, 3), L2)), formula(interactions, L2), atol=1e-7
    )


@pytest.mark.parametrize("n_users", [0, 2])
def test_an_empty_catalogue_has_no_scores(n_users: int) -> None:
    nothing = np.zeros(0, np.int32)
    scorer = EASE.from_arrays(ease(matrix_of(nothing, nothing, nothing, n_users, 0), L2))

    assert scorer.score(query_of([])).shape == (0,)


@pytest.mark.parametrize("wrong", [0, -1.0, math.nan, math.inf])
def test_regularization_that_is_not_positive_is_refused(wrong: float, columns: Columns) -> None:
    with pytest.raises(ValueError, match=f"`l2` should be a positive number. Received: {wrong}."):
        ease(matrix_of(*columns, 40, 12), wrong)


def test_weights_that_are_not_finite_are_refused(columns: Columns) -> None:
    columns[2][5] = np.nan

    with pytest.raises(ValueError, match="`weights` should be finite. Received: nan at 5."):
        ease(matrix_of(*columns, 40, 12), L2)
