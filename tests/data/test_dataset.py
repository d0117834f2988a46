"""Datasets by hand: the rows of users, baskets, queries and purchases."""

import math
from dataclasses import replace

import numpy as np
import pytest

from recsys.data.dataset import Dataset, first_of_moment
from recsys.features.query import MAX_HISTORY

CONTEXT = np.array([1], np.int32)


def dataset(
    users: list[int], items: list[int], timestamps: list[int], *, purchases: list[bool] | None = None, n_users: int = 3
) -> Dataset:
    n = len(users)
    return Dataset(
        users=np.array(users, np.int32),
        items=np.array(items, np.int32),
        weights=np.linspace(0.1, 1, n).astype(np.float32),
        confidences=np.linspace(0.05, 0.5, n).astype(np.float32),
        timestamps=np.array(timestamps, np.int64),
        purchases=np.ones(n, bool) if purchases is None else np.array(purchases),
        contexts=np.zeros((n, 1), np.int32),
        n_users=n_users,
        n_items=10,
        context_sizes=(2,),
    )


@pytest.fixture
def data() -> Dataset:
    """User 0: items 5, 6, 6, then 7 and 8 in one second; user 1: nothing; user 2: item 5."""
    return dataset(
        [0, 0, 0, 0, 0, 2],
        [5, 6, 6, 7, 8, 5],
        [10, 20, 30, 40, 40, 40],
        purchases=[True, True, False, True, False, True],
    )


def test_each_users_events_lie_together(data: Dataset) -> None:
    assert data.starts.tolist() == [0, 5, 5, 6]
    assert [data.rows_of(user) for user in range(4)] == [slice(0, 5), slice(5, 5), slice(5, 6), slice(0, 0)]


def test_a_basket_starts_at_the_first_event_of_its_second(data: Dataset) -> None:
    # user 2 has an event in the same second, but another basket
    assert data.baskets.tolist() == [0, 1, 2, 3, 3, 5]


def test_first_of_moment_without_events_and_with_one() -> None:
    nothing = np.zeros(0, np.int32)

    assert first_of_moment(nothing, nothing.astype(np.int64)).tolist() == []
    assert first_of_moment(np.array([4], np.int32), np.array([7])).tolist() == [0]


def test_a_query_holds_the_events_of_the_user_oldest_first(data: Dataset) -> None:
    query = data.query(0, context=CONTEXT, now=50, repeats=True)

    assert (query.user, query.now, query.repeats) == (0, 50, True)
    assert query.items.tolist() == [5, 6, 6, 7, 8]
    assert query.timestamps.tolist() == [10, 20, 30, 40, 40]
    assert query.weights.tolist() == data.weights[:5].tolist()  # the weight, without time decay
    assert query.context.tolist() == [1]


@pytest.mark.parametrize("user", [1, 3])
def test_a_user_without_events_has_no_history(data: Dataset, user: int) -> None:
    query = data.query(user, context=CONTEXT, now=50, repeats=False)

    assert (query.user, len(query.items), len(query.weights), len(query.timestamps)) == (user, 0, 0, 0)
    assert data.bought(user).tolist() == []


def test_a_query_holds_the_newest_events_of_a_long_history() -> None:
    n = MAX_HISTORY + 3
    data = dataset([0] + [1] * n, [9] + [item % 8 for item in range(n)], [5] + list(range(n)))

    query = data.query(1, context=CONTEXT, now=n, repeats=False)

    assert MAX_HISTORY == 500
    assert query.timestamps.tolist() == list(range(3, n))
    assert query.items[:2].tolist() == [3, 4]
    assert sorted(data.bought(1).tolist()) == list(range(8)), (
        "purchases count without a limit, not only among the newest 500 events"
    )


def test_bought_are_the_distinct_purchases_since_a_moment(data: Dataset) -> None:
    assert data.bought(0).tolist() == [5, 6, 7]
    assert data.bought(0, since=20).tolist() == [6, 7]  # the moment itself counts
    assert data.bought(0, since=21).tolist() == [7]
    assert data.bought(0, since=math.inf).tolist() == []
    assert data.bought(2).tolist() == [5]


def test_in_an_unknown_context_every_feature_has_its_last_index(data: Dataset) -> None:
    assert data.unknown_context.tolist() == [1]
    assert replace(data, context_sizes=(5, 3)).unknown_context.tolist() == [4, 2]
    assert data.unknown_context.dtype == np.int32


def test_no_events_at_all() -> None:
    data = dataset([], [], [])

    assert len(data) == 0
    assert data.starts.tolist() == [0, 0, 0, 0]
    assert data.baskets.tolist() == []
    assert len(data.query(0, context=CONTEXT, now=1, repeats=False).items) == 0
