"""Sparse item-item weights: sums over a history, blocks, and the shared steps of their fits."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from recsys.features.features import MANY, Neighbours
from recsys.features.query import Query
from recsys.scorers.item_item import ItemCF, NeighbourScorer, tie_break
from recsys.training.closed_form import co_occurrence
from recsys.training.closed_form.co_occurrence import (
    blocks,
    co_occurrences,
    stack_rows,
    strongest_per_row,
    user_item_matrix,
    whole_rows,
)
from recsys.training.closed_form.item_cf import item_cf
from tests.helpers.datasets import dataset_of

Columns = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]


def matrix(rows: list[list[float]]) -> Neighbours:
    csr = sparse.csr_matrix(np.array(rows, np.float32))
    return Neighbours(csr.indptr.astype(np.int64), csr.indices.astype(np.int32), csr.data)


def query_of(items: list[int], weights: list[float]) -> Query:
    moments = np.arange(len(items), dtype=np.int64)
    return Query(9, np.array(items, np.int32), np.array(weights, np.float32), moments, np.zeros(0, np.int32), now=100)


def events(rows: list[tuple[int, int, float]]) -> Columns:
    """Return users, items and weights of events given as (user, item, weight)."""
    users, items, weights = np.array(rows, float).reshape(-1, 3).T
    return users.astype(np.int32), items.astype(np.int32), weights.astype(np.float32)


def matrix_of(columns: Columns, n_users: int, n_items: int) -> Any:
    return user_item_matrix(dataset_of(*columns, n_users, n_items))


def test_sums_add_the_rows_of_the_items() -> None:
    weights = matrix([[0, 2, 0], [0, 0, 0], [1, -3, 0.5]])

    assert weights.n_items == 3
    assert weights.accumulate(np.array([2, 0], np.int32), np.array([10, 1], np.float32)).tolist() == [10, -28, 5]
    repeated = np.array([0, 0, 1], np.int32), np.array([1, 0.5, 7], np.float32)
    assert weights.accumulate(*repeated).tolist() == [0, 3, 0]


def test_sums_over_no_items_are_0() -> None:
    sums = matrix([[0, 2], [0, 0]]).accumulate(np.zeros(0, np.int32), np.zeros(0, np.float32))

    assert (sums.tolist(), sums.dtype) == ([0, 0], np.float32)


@pytest.mark.parametrize("h", [1, MANY, MANY + 1, 500])
def test_sums_equal_a_plain_loop(rng: np.random.Generator, h: int) -> None:
    dense = np.where(rng.random((30, 30)) < 0.3, rng.normal(size=(30, 30)), 0)
    dense[4] = 0
    items, strengths = rng.integers(0, 30, h).astype(np.int32), rng.normal(size=(2, h)).astype(np.float32)
    expected = np.zeros((2, 30))
    for item, each in zip(items, strengths.T, strict=True):
        expected += each[:, None] * dense[item]

    sums = matrix(dense.tolist()).accumulate(items, strengths)
    np.testing.assert_allclose(sums, expected, rtol=1e-5, atol=1e-4)
    assert sums.dtype == np.float32
    np.testing.assert_array_equal(matrix(dense.tolist()).accumulate(items, strengths[1]), sums[1])


def test_arrays_may_have_a_prefix_and_be_read_only() -> None:
    arrays = {
        "a/starts": np.array([0, 1, 1]),
        "a/neighbours": np.array([1], np.int32),
        "a/similarities": np.array([4], np.float32),
    }
    for array in arrays.values():
        array.flags.writeable = False

    weights = Neighbours.from_arrays(arrays, "a/")
    assert weights.accumulate(np.array([0], np.int32), np.array([0.5], np.float32)).tolist() == [0, 2]


def test_a_history_counts_its_distinct_items_by_positive_weight_up_to_one() -> None:
    scorer = NeighbourScorer(matrix([[0, 2, 0], [0, 0, 8], [16, 0, 0]]), np.zeros(3, np.float32))
    scores = scorer.score(query_of([0, 1, 0, 2, 1], [1.0, 0.25, 1.0, -0.5, 0.5]))

    assert scores.tolist() == [0, 2, 6]  # item 0 counts 1, item 1 counts 0.75, item 2 is disliked
    assert scorer.score(query_of([0, 1], [1, 1]), None, np.array([2, 0, 2], np.int32)).tolist() == [8, 0, 8]


def test_a_guest_without_history_gets_the_order_of_popularity() -> None:
    ties = tie_break(np.array([2, 0, 8]))
    scorer = NeighbourScorer(matrix([[0, 2, 0], [0, 0, 8], [16, 0, 0]]), ties)

    assert ties.tolist() == pytest.approx([0.25e-6, 0, 1e-6])
    assert scorer.score(query_of([], [])).tolist() == ties.tolist()
    assert tie_break(np.zeros(2, np.int64)).tolist() == [0, 0]


def test_a_user_counts_once_for_an_item_with_a_positive_event() -> None:
    columns = events([(0, 0, 0.25), (0, 0, 0.5), (0, 1, 1.0), (0, 1, 1.0), (1, 0, -0.5), (1, 1, 0.25)])

    assert matrix_of(columns, 2, 3).toarray().tolist() == [[1, 1, 0], [0, 1, 0]]


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_weights_that_are_not_finite_are_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match=f"`weights` should be finite. Received: {wrong} at 1."):
        matrix_of(events([(0, 0, 1), (0, 1, wrong)]), 1, 2)


@pytest.mark.parametrize("limit", [1, 7, 100])
def test_co_occurrences_in_blocks_equal_those_of_the_whole_matrix(
    limit: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(co_occurrence, "ENTRIES_AT_ONCE", limit)
    dense = (rng.random((20, 9)) < 0.3).astype(np.float32)
    parts = list(co_occurrences(sparse.csr_matrix(dense)))

    assert len(parts) == {1: 9, 100: 1}.get(limit, len(parts))
    assert [first for first, _ in parts] == np.cumsum([0, *(rows.shape[0] for _, rows in parts[:-1])]).tolist()
    np.testing.assert_array_equal(np.concatenate([rows.toarray() for _, rows in parts]), dense.T @ dense)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([], []),
        ([0, 0], [(0, 2)]),
        ([3, 3, 4, 1], [(0, 3), (3, 4)]),
        ([20, 1, 20], [(0, 1), (1, 2), (2, 3)]),
        ([5, 5], [(0, 2)]),
    ],
)
def test_blocks_have_up_to_their_limit_or_one_row(sizes: list[int], expected: list[tuple[int, int]]) -> None:
    assert list(blocks(np.array(sizes, np.int64), 10)) == expected


def test_the_strongest_of_a_row_are_largest_in_absolute_value() -> None:
    rows = sparse.csr_matrix(np.array([[1, -5, 3, 2], [0, 0, 0, 0], [0, 7, 0, -6], [4, 1, 0, 0]], np.float32))
    rows.data[rows.data == 1] = 0  # stored, and 0
    lengths, columns, values = strongest_per_row(rows, 2)

    assert lengths.tolist() == [2, 0, 2, 1]
    assert columns.tolist() == [1, 2, 1, 3, 0]
    assert values.tolist() == [-5, 3, 7, -6, 4]


def test_blocks_of_rows_are_stacked() -> None:
    def part(lengths: list[int], columns: list[int]) -> Any:
        return np.array(lengths, np.int64), np.array(columns, np.int32), np.array(columns, np.float32) / 2

    arrays = stack_rows([part([1, 0], [3]), part([2], [0, 1])])

    assert {name: (array.tolist(), array.dtype) for name, array in arrays.items()} == {
        "starts": ([0, 1, 1, 3], np.int64),
        "neighbours": ([3, 0, 1], np.int32),
        "similarities": ([1.5, 0, 0.5], np.float32),
    }
    assert stack_rows([])["starts"].tolist() == [0]


def test_similarities_are_cosines_shrunk_by_common_users() -> None:
    columns = events([(0, 0, 1.0), (0, 1, 0.25), (1, 0, 0.5), (1, 1, 0.5), (1, 1, 0.25), (2, 1, -1.0)])
    arrays = item_cf(matrix_of(columns, 3, 2), min_co_occurrence=0.5, shrinkage=3.0)

    assert arrays["similarities"].tolist() == pytest.approx([2 / 2 * 2 / (2 + 3)] * 2)
    assert arrays["tie_break"].tolist() == pytest.approx([1e-6, 1e-6])


def test_item_cf_stores_the_most_similar_items_above_the_threshold() -> None:
    """Item 0 shares three users with item 1, two with item 2, one with item 3."""
    columns = events([(u, i, 1) for u, i in [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1), (0, 2), (1, 2), (0, 3)]])

    def neighbours_of_0(**options: float) -> list[int]:
        arrays = item_cf(matrix_of(columns, 3, 4), **options)  # type: ignore[arg-type]
        return [int(item) for item in arrays["neighbours"][: arrays["starts"][1]]]

    assert neighbours_of_0() == [1, 2]
    assert neighbours_of_0(min_co_occurrence=1) == [1, 2, 3]
    assert neighbours_of_0(min_co_occurrence=3) == [1]
    assert neighbours_of_0(min_co_occurrence=1, n_neighbours=2) == [1, 2]
    assert neighbours_of_0(min_co_occurrence=1, shrinkage=0) == [1, 2, 3]


@pytest.mark.parametrize("wrong", [{"n_neighbours": 0}, {"shrinkage": -1.0}, {"shrinkage": math.nan}])
def test_item_cf_refuses_parameters_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="`n_neighbours` should be at least 1 and `shrinkage` at least 0. Received: "):
        item_cf(matrix_of(events([(0, 0, 1)]), 1, 1), **wrong)


@pytest.mark.parametrize(("n_users", "n_items"), [(0, 0), (0, 3), (2, 0), (2, 3)])
def test_item_cf_without_events_scores_0(n_users: int, n_items: int) -> None:
    scorer = ItemCF.from_arrays(item_cf(matrix_of(events([]), n_users, n_items)))

    assert scorer.score(query_of([], [])).tolist() == [0] * n_items


@pytest.mark.parametrize("at_once", [1, 2, 1000])
def test_a_block_is_a_part_of_the_matrix(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsys.features.features.AT_ONCE", at_once)
    dense = np.array([[0, 2, 0, 1], [3, 0, 0, 0], [0, 0, 0, 0], [5, 0, -4, 0]], np.float32)
    rows, columns = np.nonzero(dense)
    starts = np.concatenate([[0], np.cumsum((dense != 0).sum(1))])
    matrix = Neighbours(starts, columns.astype(np.int32), dense[rows, columns])
    items, columns_of_block = np.array([3, 0, 2], np.int32), np.array([2, 0, 3, 0], np.int32)

    np.testing.assert_array_equal(matrix.block(items, columns_of_block), dense[np.ix_(items, columns_of_block)])
    assert matrix.block(items[:0], columns_of_block).shape == (0, 4)
    assert matrix.block(items, columns_of_block[:0]).shape == (3, 0)


def test_whole_rows_give_the_same_results_as_sparse_ones(rng: np.random.Generator) -> None:
    dense = np.where(rng.random((9, 9)) < 0.5, rng.normal(size=(9, 9)), 0).astype(np.float32)
    lengths, columns, weights = whole_rows(sparse.csr_matrix(dense))
    dense_rows, sparse_rows = (
        Neighbours(np.concatenate([[0], np.cumsum(lengths)]), columns, weights),
        matrix(dense.tolist()),
    )
    items, strengths = np.array([4, 0, 8], np.int32), rng.normal(size=(2, 3)).astype(np.float32)
    columns_of_block = np.array([2, 0, 3, 0], np.int32)

    np.testing.assert_array_equal(dense_rows.block(items, columns_of_block), sparse_rows.block(items, columns_of_block))
    np.testing.assert_allclose(
        dense_rows.accumulate(items, strengths), sparse_rows.accumulate(items, strengths), rtol=1e-5, atol=1e-6
    )
    assert dense_rows.accumulate(items, strengths[0]).shape == (9,)


def test_items_with_equal_weights_get_equal_sums_in_whole_rows(rng: np.random.Generator) -> None:
    dense = np.repeat(rng.normal(size=(33, 3)), 11, axis=1).astype(np.float32)  # three distinct columns
    lengths, columns, weights = whole_rows(sparse.csr_matrix(dense))
    dense_rows = Neighbours(np.concatenate([[0], np.cumsum(lengths)]), columns, weights)
    sums = dense_rows.accumulate(np.arange(33, dtype=np.int32), rng.normal(size=33).astype(np.float32))

    assert len(set(sums.tolist())) == 3


def test_columns_of_stored_rows_are_ascending() -> None:
    rows = sparse.csr_matrix((np.array([3, 1, 2], np.float32), np.array([4, 0, 2]), np.array([0, 3])), shape=(1, 5))

    assert [part.tolist() for part in strongest_per_row(rows, 2)] == [[2], [2, 4], [2, 3]]
