"""Sequential co-occurrence, by hand and against a plain loop."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from recsys.features.query import Arrays
from recsys.training.closed_form import co_occurrence
from recsys.training.closed_form import transitions as module
from recsys.training.closed_form.transitions import transitions
from tests.helpers.datasets import dataset_of


def dense(arrays: Arrays) -> NDArray[np.float32]:
    n_items = len(arrays["starts"]) - 1
    matrix = sparse.csr_matrix(
        (arrays["similarities"], arrays["neighbours"], arrays["starts"]), shape=(n_items, n_items)
    )
    return np.asarray(matrix.toarray())


def fitted(rows: list[tuple[int, int, float, int]], n_items: int) -> NDArray[np.float32]:
    """Return T of events given as (user, item, weight, time)."""
    users, items, weights, times = np.array(rows, float).reshape(-1, 4).T
    return dense(transitions(dataset_of(users, items, weights, int(users.max(initial=0)) + 1, n_items, times)))


def scaled(counts: list[list[float]], popularity: list[int]) -> NDArray[np.float64]:
    return np.array(counts) / np.sqrt(np.outer(np.add(popularity, 20), np.add(popularity, 20)))


def test_nearer_events_count_more_and_pairs_are_of_one_user() -> None:
    weights = fitted([(0, 0, 1, 1), (0, 1, 1, 2), (0, 2, 0.3, 3), (1, 0, 1, 4), (1, 1, 1, 5)], 3)

    np.testing.assert_allclose(weights, scaled([[0, 2, 0.8], [0, 0, 1], [0, 0, 0]], [2, 2, 1]), rtol=1e-6)


def test_an_item_may_follow_itself() -> None:
    weights = fitted([(0, 0, 1, 1), (0, 1, 1, 2), (0, 0, 1, 3)], 2)

    np.testing.assert_allclose(weights, scaled([[0.8, 1], [1, 0]], [2, 1]), rtol=1e-6)


def test_a_pair_inside_a_basket_counts_half_in_each_direction() -> None:
    weights = fitted([(0, 0, 1, 1), (0, 1, 1, 1), (0, 2, 1, 9)], 3)

    np.testing.assert_allclose(weights, scaled([[0, 0.5, 0.8], [0.5, 0, 1], [0, 0, 0]], [1, 1, 1]), rtol=1e-6)


def test_the_order_inside_a_basket_has_no_meaning() -> None:
    one_way, other_way = ([(0, first, 1, 1), (0, second, 1, 1)] for first, second in ((0, 1), (1, 0)))

    np.testing.assert_array_equal(fitted(one_way, 2), fitted(other_way, 2))


def test_negative_events_are_no_steps() -> None:
    weights = fitted([(0, 0, 1, 1), (0, 2, -0.5, 2), (0, 1, 1, 3)], 3)

    np.testing.assert_allclose(weights, scaled([[0, 1, 0], [0, 0, 0], [0, 0, 0]], [1, 1, 0]), rtol=1e-6)


def test_the_eleventh_step_does_not_count() -> None:
    weights = fitted([(0, item, 1, item) for item in range(12)], 12)

    assert weights[0, 10] == pytest.approx(0.8**9 / 21)
    assert weights[0, 11] == 0
    assert weights[1, 11] == weights[0, 10]


@pytest.mark.parametrize("pairs_at_once", [1, 2000, 10**6])
def test_many_events_equal_a_plain_loop(
    pairs_at_once: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAIRS_AT_ONCE", pairs_at_once)
    users, items = np.sort(rng.integers(0, 12, 500)).astype(np.int32), rng.integers(0, 17, 500).astype(np.int32)
    times = np.arange(500) // 3  # three events at each moment, some of two users
    counts = np.zeros((17, 17))
    for first in range(500):
        for gap in range(1, 11):
            second = first + gap
            if second < 500 and users[first] == users[second]:
                together = times[first] == times[second]
                counts[items[first], items[second]] += 0.8 ** (gap - 1) / (2 if together else 1)
                counts[items[second], items[first]] += 0.8 ** (gap - 1) / 2 if together else 0

    weights = dense(transitions(dataset_of(users, items, np.ones(500), int(users.max()) + 1, 17, times)))

    np.testing.assert_allclose(weights, scaled(counts.tolist(), np.bincount(items, minlength=17).tolist()), rtol=1e-5)


def test_the_strongest_weights_of_each_row_are_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(co_occurrence, "WHOLE_UP_TO", 4)
    monkeypatch.setattr(module, "NEIGHBOURS", 2)
    weights = fitted([(0, item, 1, item) for item in range(5)], 5)

    assert [np.flatnonzero(row).tolist() for row in weights] == [[1, 2], [2, 3], [3, 4], [4], []]


def test_a_small_catalogue_stores_whole_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NEIGHBOURS", 2)
    arrays = transitions(dataset_of(np.zeros(5), np.arange(5), np.ones(5), 1, 5, np.arange(5)))

    assert arrays["starts"].tolist() == [0, 5, 10, 15, 20, 25]
    assert [np.flatnonzero(row).tolist() for row in dense(arrays)] == [[1, 2, 3, 4], [2, 3, 4], [3, 4], [4], []]


@pytest.mark.parametrize(
    "rows", [[], [(0, 0, 1.0, 1)], [(0, 0, 1.0, 1), (1, 1, 1.0, 2)], [(0, 0, -1.0, 1), (0, 1, -1.0, 2)]]
)
def test_without_pairs_all_weights_are_0(rows: list[tuple[int, int, float, int]]) -> None:
    assert fitted(rows, 2).tolist() == [[0, 0], [0, 0]]


def test_catalogues_of_one_item_and_of_none() -> None:
    assert fitted([(0, 0, 1, 1), (0, 0, 1, 2)], 1).tolist() == [[pytest.approx(1 / 22)]]
    assert fitted([], 0).shape == (0, 0)


@pytest.mark.parametrize(
    "rows", [[(1, 0, 1.0, 1), (0, 1, 1.0, 2)], [(0, 0, 1.0, 2), (0, 1, 1.0, 1)]], ids=["users", "times"]
)
def test_events_out_of_order_are_refused(rows: list[tuple[int, int, float, int]]) -> None:
    with pytest.raises(
        ValueError, match="`users` and `timestamps` should be in order. Received: event 1 before an earlier one."
    ):
        fitted(rows, 2)


def test_weights_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="`weights` should be finite. Received: nan at 1."):
        fitted([(0, 0, 1, 1), (0, 1, math.nan, 2)], 2)


def test_arrays_have_their_types() -> None:
    arrays = transitions(dataset_of(np.zeros(2), np.zeros(2), np.ones(2), 1, 1, np.arange(2)))

    assert {name: array.dtype for name, array in arrays.items()} == {
        "starts": np.int64,
        "neighbours": np.int32,
        "similarities": np.float32,
    }
