"""ALS: the least squares that it solves, reproducible vectors, and no output."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.features.query import Arrays
from recsys.training.closed_form import als as factors
from recsys.training.closed_form.als import als, narrowed
from recsys.training.closed_form.co_occurrence import user_item_matrix
from tests.helpers.datasets import dataset_of

Columns = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]
OPTIONS: dict[str, Any] = {"dim": 3, "regularization": 0.5, "alpha": 3.3, "seed": 0}


def matrix_of(*columns: Any) -> Any:
    return user_item_matrix(dataset_of(*columns))


@pytest.fixture
def columns(rng: np.random.Generator) -> Columns:
    """30 users and 20 items with repeated pairs; user 4 and item 7 have negative events only."""
    users, items = rng.integers(0, 30, 300).astype(np.int32), rng.integers(0, 20, 300).astype(np.int32)
    weights = np.where((users == 4) | (items == 7), -0.5, rng.choice([0.3, 1.0], 300)).astype(np.float32)
    return users, items, weights


def test_item_factors_solve_their_least_squares(columns: Columns) -> None:
    """They are solved last. With three dimensions, the library's three steps of conjugate gradients are exact."""
    arrays = als(matrix_of(*columns, 30, 20), **OPTIONS)
    users, items, weights = columns
    user_factors = arrays["user_factors"].astype(float)
    for item in range(20):
        observed = user_factors[np.unique(users[(items == item) & (weights > 0)])]
        left = user_factors.T @ user_factors + (3.3 - 1) * observed.T @ observed + 0.5 * np.eye(3)
        expected = np.linalg.solve(left, 3.3 * observed.sum(0))

        np.testing.assert_allclose(arrays["item_factors"][item], expected, rtol=1e-3, atol=1e-4)


def test_items_of_the_users_cluster_score_above_all_others() -> None:
    """Users of two clusters of items; each user has no event with one item of the cluster."""
    pairs = [
        (user, item) for user in range(12) for item in range(6) if user % 2 == item % 2 and item // 2 != user // 2 % 3
    ]
    users, items = np.array(pairs, np.int32).T
    arrays = als(matrix_of(users, items, np.ones(len(pairs)), 12, 6), dim=2, regularization=0.1, alpha=2.0, seed=0)
    scores = arrays["user_factors"] @ arrays["item_factors"].T
    in_cluster = np.arange(12)[:, None] % 2 == np.arange(6) % 2

    assert scores[in_cluster].min() > scores[~in_cluster].max() + 0.3


def test_users_and_items_without_positive_events_have_zeros(columns: Columns) -> None:
    arrays = als(matrix_of(*columns, 31, 22), **OPTIONS)

    assert not arrays["user_factors"][[4, 30]].any() and not arrays["item_factors"][[7, 20, 21]].any()
    assert {name: (array.shape, array.dtype) for name, array in arrays.items()} == {
        "user_factors": ((31, 3), np.float32), "item_factors": ((22, 3), np.float32),
    }  # fmt: skip


def test_equal_seeds_give_equal_vectors_for_any_number_of_threads(
    columns: Columns, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_threads(number: int, seed: int = 0) -> Arrays:
        monkeypatch.setattr(factors, "THREADS", number)
        return als(matrix_of(*columns, 30, 20), **OPTIONS | {"dim": 8, "seed": seed})

    first = with_threads(1)
    for again in (with_threads(1), with_threads(2), with_threads(0)):
        np.testing.assert_array_equal(again["user_factors"], first["user_factors"])
        np.testing.assert_array_equal(again["item_factors"], first["item_factors"])
    assert (with_threads(1, seed=1)["item_factors"] != first["item_factors"]).any()


def test_the_number_and_the_weights_of_positive_events_do_not_matter(columns: Columns) -> None:
    users, items, weights = columns
    liked = weights > 0
    once = np.unique(np.stack([users[liked], items[liked]]), axis=1).astype(np.int32)

    arrays = als(matrix_of(*columns, 30, 20), **OPTIONS)
    expected = als(matrix_of(*once, np.ones(once.shape[1]), 30, 20), **OPTIONS)
    np.testing.assert_array_equal(arrays["item_factors"], expected["item_factors"])


def test_the_fit_prints_nothing_for_any_number_of_blas_threads(
    columns: Columns, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from implicit import utils
    from threadpoolctl import threadpool_limits

    monkeypatch.setattr(utils, "_checked_blas_config", False)  # the library warns once in each process
    with threadpool_limits(2, "blas"):
        als(matrix_of(*columns, 30, 20), **OPTIONS)

    assert capfd.readouterr() == ("", "")


def test_there_may_be_more_dimensions_than_items(columns: Columns) -> None:
    arrays = als(matrix_of(*columns, 30, 20), **OPTIONS | {"dim": 64})

    assert arrays["item_factors"].shape == (20, 64)
    assert all(np.isfinite(array).all() for array in arrays.values())


@pytest.mark.parametrize(("n_users", "n_items"), [(0, 0), (0, 2), (2, 0), (2, 2)])
def test_without_events_all_vectors_are_zeros(n_users: int, n_items: int) -> None:
    nothing = np.zeros(0, np.int32)
    arrays = als(matrix_of(nothing, nothing, nothing, n_users, n_items), **OPTIONS)

    assert (arrays["user_factors"].tolist(), arrays["item_factors"].tolist()) == (
        [[0, 0, 0]] * n_users,
        [[0, 0, 0]] * n_items,
    )


def test_one_user_and_one_item_have_a_product_near_1() -> None:
    one = np.zeros(1, np.int32)
    arrays = als(matrix_of(one, one, np.ones(1), 1, 1), **OPTIONS | {"regularization": 0.01, "dim": 1})

    assert (arrays["user_factors"] @ arrays["item_factors"].T).item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("name", ["dim", "regularization", "alpha"])
@pytest.mark.parametrize("wrong", [0, -1, math.nan, math.inf])
def test_parameters_that_are_not_positive_are_refused(name: str, wrong: float, columns: Columns) -> None:
    with pytest.raises(ValueError, match=f"`{name}` should be a positive number. Received: {wrong}."):
        als(matrix_of(*columns, 30, 20), **OPTIONS | {name: wrong})


def test_weights_that_are_not_finite_are_refused(columns: Columns) -> None:
    columns[2][5] = np.nan

    with pytest.raises(ValueError, match="`weights` should be finite. Received: nan at 5."):
        als(matrix_of(*columns, 30, 20), **OPTIONS)


# Starts from another fit


def test_the_narrowed_vectors_of_a_fit_are_nearest_to_its_dot_products(columns: Columns) -> None:
    """Singular values say how near vectors of two dimensions can come to a product of three (Eckart & Young 1936)."""
    wider = als(matrix_of(*columns, 30, 20), **OPTIONS)
    narrow = narrowed(wider, 2)
    assert narrow is not None
    assert (narrow.shape, narrow.dtype) == ((20, 2), np.float32)

    product = wider["user_factors"].astype(float) @ wider["item_factors"].T
    users = np.linalg.lstsq(narrow.astype(float), product.T, rcond=None)[0].T  # the best users for these items
    error = np.linalg.norm(product - users @ narrow.T)
    assert error == pytest.approx(np.linalg.svd(product, compute_uv=False)[2], rel=1e-4)
    np.testing.assert_allclose(np.linalg.norm(users, axis=0), np.linalg.norm(narrow, axis=0), rtol=1e-3)


def test_of_a_narrower_fit_nothing_wider_is_made(columns: Columns) -> None:
    assert narrowed(als(matrix_of(*columns, 30, 20), **OPTIONS), 4) is None


def test_without_events_the_narrowed_vectors_are_zeros() -> None:
    nothing = {"user_factors": np.zeros((4, 3), np.float32), "item_factors": np.zeros((5, 3), np.float32)}
    narrow = narrowed(nothing, 2)

    assert narrow is not None
    np.testing.assert_array_equal(narrow, np.zeros((5, 2)))
