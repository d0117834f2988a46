"""The baselines that count, item-based collaborative filtering and the tiled MLP, by hand."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.features.query import Query, add_at, user_item_counts
from recsys.scorers.layers import TILE, tower
from recsys.scorers.registry import REGISTRY
from recsys.training.closed_form.choose import popularity
from recsys.training.closed_form.co_occurrence import user_item_matrix
from recsys.training.closed_form.item_cf import item_cf
from tests.helpers.datasets import dataset_of

DAY = 86_400
NOW = 1_700_000_000


def query_of(items: list[int], weights: list[float], days_ago: list[float], *, repeats: bool = True) -> Query:
    return Query(
        user=0,
        items=np.array(items, np.int32),
        weights=np.array(weights, np.float32),
        timestamps=np.array([NOW - int(days * DAY) for days in days_ago], np.int64),
        context=np.zeros(0, np.int32),
        now=NOW,
        repeats=repeats,
    )


def events(rows: list[tuple[int, float, float]], n_items: int) -> Dataset:
    """Return the dataset of events given as (item, weight, days ago)."""
    items, weights, days = np.array(rows, float).reshape(-1, 3).T
    return dataset_of(np.zeros(len(rows)), items, weights, 1, n_items, NOW - days * DAY)


def test_popularity_is_the_sum_of_positive_weights() -> None:
    scores = popularity(events([(0, 1.0, 9), (0, 0.3, 400), (2, 0.7, 1), (2, -0.5, 1), (3, -0.5, 1)], 5))

    assert scores.tolist() == pytest.approx([1.3, 0, 0.7, 0, 0])
    assert scores.dtype == np.float32


def test_recent_popularity_decays_from_the_newest_event() -> None:
    data = events([(0, 1.0, 15), (1, 1.0, 0), (2, 1.0, 30), (2, 0.4, 0)], 3)

    assert popularity(data, half_life_days=15).tolist() == pytest.approx([0.5, 1.0, 0.25 + 0.4])


def test_popularity_without_events_is_0() -> None:
    assert popularity(events([], 2), half_life_days=15).tolist() == [0.0, 0.0]


def test_user_item_counts_sum_positive_weights_with_a_half_life_of_60_days() -> None:
    items, counts, decayed = user_item_counts(query_of([7, 3, 7, 5], [1.0, 0.3, 0.7, -0.5], [120, 60, 0, 0]))

    assert items.tolist() == [3, 5, 7]
    assert counts.tolist() == pytest.approx([0.3, 0.0, 1.7])
    assert decayed.tolist() == pytest.approx([0.15, 0.0, 1.0 * 0.25 + 0.7])


def test_an_event_after_now_is_not_decayed() -> None:
    _, _, decayed = user_item_counts(query_of([1], [1.0], [-0.5]))

    assert decayed.tolist() == [1.0]


def test_values_are_added_to_the_scores_of_their_items() -> None:
    user_items, values = np.array([2, 5], np.int32), np.array([10.0, 20.0], np.float32)
    items = np.array([5, 0, 2, 9, 5], np.int32)
    scores = np.ones(5, np.float32)
    add_at(scores, user_items, values, items)

    assert scores.tolist() == [21.0, 1.0, 11.0, 1.0, 21.0]


def test_user_frequency_is_the_users_count_plus_half_of_relative_popularity() -> None:
    scorer = REGISTRY["user_frequency"].load({"popularity": np.array([8.0, 4.0, 0.0], np.float32)})

    assert scorer.score(query_of([1, 2, 2], [0.3, 1.0, 1.0], [500, 500, 500])).tolist() == pytest.approx(
        [0.5, 0.25 + 0.3, 2.0]
    )


def test_decayed_user_frequency_adds_decayed_counts_to_twice_the_relative_popularity() -> None:
    scorer = REGISTRY["user_frequency_decayed"].load({"popularity": np.array([8.0, 4.0, 0.0], np.float32)})

    assert scorer.score(query_of([1, 2], [0.3, 1.0], [60, 0])).tolist() == pytest.approx([2.0, 1.0 + 0.3 + 0.15, 2.0])


def test_user_frequency_without_popularity_is_the_users_count() -> None:
    scorer = REGISTRY["user_frequency"].load({"popularity": np.zeros(3, np.float32)})

    assert scorer.score(query_of([1], [1.0], [0])).tolist() == [0.0, 1.0, 0.0]


@pytest.fixture
def neighbours() -> dict[str, NDArray]:
    """Items 0 and 1 share three users, 0 and 2 share two, 1 and 2 share one; 3 is disliked, 4 has no event."""
    first, second, third = [(0, 0), (1, 0), (2, 0), (3, 0)], [(0, 1), (1, 1), (2, 1)], [(0, 2), (3, 2)]
    disliked, repeated = [(0, 3), (1, 3)], [(0, 0)]
    pairs = [*first, *second, *third, *disliked, *repeated]
    users, items = (np.array(column, np.int32) for column in zip(*pairs, strict=True))
    weights = np.where(items == 3, -0.5, 1.0).astype(np.float32)
    return dict(item_cf(user_item_matrix(dataset_of(users, items, weights, 4, 5))))


def test_similarity_is_the_cosine_shrunk_for_few_users(neighbours: dict[str, NDArray]) -> None:
    """Item 0 has 4 users, item 1 has 3, item 2 has 2. One common user is too few for neighbours."""
    zero_one = 3 / math.sqrt(4 * 3) * 3 / (3 + 10)
    zero_two = 2 / math.sqrt(4 * 2) * 2 / (2 + 10)
    starts = neighbours["starts"]

    assert starts.tolist() == [0, 2, 3, 4, 4, 4]
    assert neighbours["neighbours"].tolist() == [1, 2, 0, 0]  # the most similar first
    assert neighbours["similarities"].tolist() == pytest.approx([zero_one, zero_two, zero_one, zero_two])
    assert neighbours["tie_break"].tolist() == pytest.approx([1e-6, 0.75e-6, 0.5e-6, 0, 0])


def test_item_cf_sums_the_neighbours_of_the_history(neighbours: dict[str, NDArray]) -> None:
    zero_one, zero_two = neighbours["similarities"][:2]
    scorer = REGISTRY["item_cf"].load(neighbours)

    scores = scorer.score(query_of([1, 2, 1], [1.0, 0.3, 1.0], [9, 5, 1]))

    assert scores.tolist() == pytest.approx([zero_one + 0.3 * zero_two, 0, 0, 0, 0], abs=2e-6)  # item 1 counts once
    assert scorer.score(query_of([0], [-0.5], [1])).tolist() == pytest.approx(neighbours["tie_break"].tolist())


def test_item_cf_of_many_items_equals_a_plain_loop(rng: np.random.Generator) -> None:
    users, items = rng.integers(0, 40, 600).astype(np.int32), rng.integers(0, 25, 600).astype(np.int32)
    arrays = item_cf(user_item_matrix(dataset_of(users, items, np.ones(600), 40, 25)))
    users_of = [set(users[items == item].tolist()) for item in range(25)]
    for item in range(25):
        span = slice(arrays["starts"][item], arrays["starts"][item + 1])
        similarities = dict(
            zip(arrays["neighbours"][span].tolist(), arrays["similarities"][span].tolist(), strict=True)
        )
        expected = {}
        for other in range(25):
            common = len(users_of[item] & users_of[other])
            cosine = common / math.sqrt(len(users_of[item]) * len(users_of[other]))
            if other != item and common >= 2:
                expected[other] = cosine * common / (common + 10)

        assert similarities == pytest.approx(expected)


def test_an_mlp_over_tiles_equals_one_over_all_items(rng: np.random.Generator) -> None:
    n = 2 * TILE + 3
    item_layer, user = rng.normal(size=(n, 6)).astype(np.float32), rng.normal(size=6).astype(np.float32)
    layers = [(rng.normal(size=(6, 4)).astype(np.float32), rng.normal(size=4).astype(np.float32))]
    output = rng.normal(size=4).astype(np.float32)
    expected = np.maximum(np.maximum(item_layer + user, 0) @ layers[0][0] + layers[0][1], 0) @ output

    np.testing.assert_allclose(tower(item_layer, user, layers, output), expected, rtol=1e-4, atol=1e-5)
    items = np.array([n - 1, 0, TILE, TILE - 1, 0], np.int32)
    np.testing.assert_allclose(tower(item_layer, user, layers, output, items), expected[items], rtol=1e-4, atol=1e-5)
