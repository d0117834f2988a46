"""Factors by alternating least squares: what they solve, that they are the same every time, and that nothing is said."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.features.query import Arrays
from recsys.training.closed_form import als as factors
from recsys.training.closed_form.als import als

Columns = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]
OPTIONS: dict[str, Any] = {"dim": 3, "regularization": 0.5, "alpha": 3.3, "seed": 0}


@pytest.fixture
def columns(rng: np.random.Generator) -> Columns:
    """30 users, 20 items, some twice; user 4 and item 7 only by dislike."""
    users, items = rng.integers(0, 30, 300).astype(np.int32), rng.integers(0, 20, 300).astype(np.int32)
    weights = np.where((users == 4) | (items == 7), -0.5, rng.choice([0.3, 1.0], 300)).astype(np.float32)
    return users, items, weights


def test_item_factors_solve_their_least_squares(columns: Columns) -> None:
    """The last half of the last sweep: with three dimensions the library's three steps of conjugate gradients are the solution."""
    found = als(*columns, 30, 20, **OPTIONS)
    users, items, weights = columns
    user_factors = found["user_factors"].astype(float)
    for item in range(20):
        own = user_factors[np.unique(users[(items == item) & (weights > 0)])]
        left = user_factors.T @ user_factors + (3.3 - 1) * own.T @ own + 0.5 * np.eye(3)

        np.testing.assert_allclose(
            found["item_factors"][item], np.linalg.solve(left, 3.3 * own.sum(0)), rtol=1e-3, atol=1e-4
        )


def test_what_a_user_has_had_scores_above_everything_else() -> None:
    """Users of two circles of items; each user lacks one item of hers."""
    pairs = [
        (user, item) for user in range(12) for item in range(6) if user % 2 == item % 2 and item // 2 != user // 2 % 3
    ]
    users, items = np.array(pairs, np.int32).T
    found = als(users, items, np.ones(len(pairs), np.float32), 12, 6, dim=2, regularization=0.1, alpha=2.0, seed=0)
    scores = found["user_factors"] @ found["item_factors"].T
    own = np.arange(12)[:, None] % 2 == np.arange(6) % 2

    assert scores[own].min() > scores[~own].max() + 0.3


def test_nobody_and_nothing_are_zeros(columns: Columns) -> None:
    found = als(*columns, 31, 22, **OPTIONS)

    assert not found["user_factors"][[4, 30]].any() and not found["item_factors"][[7, 20, 21]].any()
    assert {name: (array.shape, array.dtype) for name, array in found.items()} == {
        "user_factors": ((31, 3), np.float32), "item_factors": ((22, 3), np.float32),
    }  # fmt: skip


def test_equal_seeds_give_equal_factors_whatever_the_threads(columns: Columns, monkeypatch: pytest.MonkeyPatch) -> None:
    def with_threads(number: int, seed: int = 0) -> Arrays:
        monkeypatch.setattr(factors, "THREADS", number)
        return als(*columns, 30, 20, **OPTIONS | {"dim": 8, "seed": seed})

    first = with_threads(1)
    for again in (with_threads(1), with_threads(2), with_threads(0)):
        np.testing.assert_array_equal(again["user_factors"], first["user_factors"])
        np.testing.assert_array_equal(again["item_factors"], first["item_factors"])
    assert (with_threads(1, seed=1)["item_factors"] != first["item_factors"]).any()


def test_once_or_often_liked_or_loved_is_the_same(columns: Columns) -> None:
    users, items, weights = columns
    liked = weights > 0
    once = np.unique(np.stack([users[liked], items[liked]]), axis=1).astype(np.int32)

    found, expected = (
        als(*columns, 30, 20, **OPTIONS),
        als(*once, np.ones(once.shape[1], np.float32), 30, 20, **OPTIONS),
    )
    np.testing.assert_array_equal(found["item_factors"], expected["item_factors"])


def test_the_fit_is_silent_whatever_the_threads_of_blas(
    columns: Columns, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from implicit import utils
    from threadpoolctl import threadpool_limits

    monkeypatch.setattr(utils, "_checked_blas_config", False)  # the library warns once a process
    with threadpool_limits(2, "blas"):
        als(*columns, 30, 20, **OPTIONS)

    assert capfd.readouterr() == ("", "")


def test_more_dimensions_than_items(columns: Columns) -> None:
    found = als(*columns, 30, 20, **OPTIONS | {"dim": 64})

    assert found["item_factors"].shape == (20, 64)
    assert all(np.isfinite(array).all() for array in found.values())


@pytest.mark.parametrize(("n_users", "n_items"), [(0, 0), (0, 2), (2, 0), (2, 2)])
def test_no_events(n_users: int, n_items: int) -> None:
    nothing = np.zeros(0, np.int32)
    found = als(nothing, nothing, np.zeros(0, np.float32), n_users, n_items, **OPTIONS)

    assert (found["user_factors"].tolist(), found["item_factors"].tolist()) == (
        [[0, 0, 0]] * n_users,
        [[0, 0, 0]] * n_items,
    )


def test_one_user_and_one_item() -> None:
    one = np.zeros(1, np.int32)
    found = als(one, one, np.ones(1, np.float32), 1, 1, **OPTIONS | {"regularization": 0.01, "dim": 1})

    assert (found["user_factors"] @ found["item_factors"].T).item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("name", ["dim", "regularization", "alpha"])
@pytest.mark.parametrize("wrong", [0, -1, math.nan, math.inf])
def test_parameters_that_are_not_positive_are_refused(name: str, wrong: float, columns: Columns) -> None:
    with pytest.raises(ValueError, match=f"`{name}` should be a positive number. Received: {wrong}."):
        als(*columns, 30, 20, **OPTIONS | {name: wrong})


def test_weights_that_are_no_numbers_are_refused(columns: Columns) -> None:
    columns[2][5] = np.nan

    with pytest.raises(ValueError, match="`weights` should be finite. Received: nan at 5."):
        als(*columns, 30, 20, **OPTIONS)
