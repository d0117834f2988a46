"""Each feature by hand on a catalogue of five items, and the weighted sum against the single features."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.features.features import (
    CONTENT,
    N_FEATURES,
    NAMES,
    POPULARITIES,
    Features,
    FeatureValues,
    Neighbours,
    widened,
)
from recsys.features.query import EventsByItem, Query, ages, user_item_sums
from recsys.scorers.layers import LinearEnsemble
from recsys.training.closed_form.choose import popularities
from tests.helpers.datasets import dataset_of

DAY = 86_400
NOW = 1_700_000_000
N_ITEMS = 5
N_USERS = 2
POPULARITY = np.arange(20, dtype=np.float32).reshape(4, N_ITEMS)


def table(weights: dict[int, dict[int, float]], n_items: int = N_ITEMS) -> Neighbours:
    """Return the sparse matrix with these rows."""
    rows = [weights.get(item, {}) for item in range(n_items)]
    return Neighbours(
        np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64),
        np.array([item for row in rows for item in row], np.int32),
        np.array([weight for row in rows for weight in row.values()], np.float32),
    )


def five_items() -> Features:
    return Features(
        ease=table({0: {1: 10.0, 2: 1.0}, 1: {4: 100.0}, 3: {2: -2.0}}),
        transitions=table({0: {3: 1.0}, 1: {0: 4.0}}),
        content=table({0: {4: 0.5}, 1: {2: 0.25}, 3: {4: 1.0}}),
        user_factors=np.array([[1.0, 2.0], [0.0, -1.0]], np.float32),
        item_factors=np.array([[1, 0], [0, 1], [1, 1], [0, 0], [2, -1]], np.float32),
        popularity=POPULARITY,
    )


def query_after(*events: tuple[int, float, float], user: int = 0, repeats: bool = True) -> Query:
    """Return a query whose history has these events, given as (item, weight, days ago), oldest first."""
    items, weights, days = zip(*events, strict=True) if events else ((), (), ())
    return Query(
        user=user,
        items=np.array(items, np.int32),
        weights=np.array(weights, np.float32),
        timestamps=np.array([NOW - round(day * DAY) for day in days], np.int64),
        context=np.zeros(0, np.int32),
        now=NOW,
        repeats=repeats,
    )


# Two baskets and one event between them. Item 0 has two events, item 3 a negative one. Ages are 2, 2, 1, 0, 0.
HISTORY = query_after((0, 1.0, 60), (1, 0.4, 60), (3, -0.5, 30), (0, 1.0, 15), (3, 0.2, 15))


def blend(
    features: Features, query: Query, weights: NDArray[np.float32], items: NDArray[np.int32] | None = None
) -> NDArray[np.float32]:
    return features.blend(features.compute(query, items), weights)


def feature(name: str, query: Query = HISTORY) -> list[float]:
    row: list[float] = five_items().matrix(query)[NAMES.index(name)].tolist()
    return row


def test_features_have_a_fixed_order() -> None:
    assert NAMES == (
        *("neighbours", "neighbours_recent", "transitions", "content", "factors"),
        *("popularity", "popularity_60d", "popularity_15d", "popularity_7d"),
        *("own", "own_count", "own_60d", "own_15d"),
    )
    assert N_FEATURES == 13


def test_a_basket_counts_as_one_moment_of_age() -> None:
    assert ages(HISTORY).tolist() == [2, 2, 1, 0, 0]
    assert ages(query_after()).tolist() == []
    assert ages(query_after((4, 1.0, 3))).tolist() == [0]


def test_neighbours_count_a_distinct_item_once_at_most() -> None:
    """Item 0 counts min(2, 1), item 1 counts 0.4, item 3 counts 0.2, without its negative event."""
    assert feature("neighbours") == pytest.approx([0, 10.0, 1.0 + 0.2 * -2, 0, 0.4 * 100])


def test_recent_neighbours_count_every_event_by_its_age() -> None:
    """Item 0 counts 0.9² + 1, item 1 counts 0.4·0.9², item 3 counts 0.2."""
    assert feature("neighbours_recent") == pytest.approx([0, 18.1, 1.81 + 0.2 * -2, 0, 0.4 * 0.81 * 100])


def test_transitions_decay_faster() -> None:
    """Item 0 counts 0.8² + 1, item 1 counts 0.4·0.8²."""
    assert feature("transitions") == pytest.approx([0.4 * 0.64 * 4, 0, 0, 1.64, 0])


def test_content_decays_as_recent_neighbours_do() -> None:
    """Item 0 counts 0.9² + 1, item 1 counts 0.4·0.9², item 3 counts 0.2."""
    assert feature("content") == pytest.approx([0, 0, 0.4 * 0.81 * 0.25, 0, 1.81 * 0.5 + 0.2])


def test_without_content_nothing_is_summed_for_it() -> None:
    plain = five_items()._replace(content=Neighbours.nothing(N_ITEMS))

    assert [summed.name for summed in plain.item_item_sums()] == ["ease", "transitions"]
    assert plain.compute(HISTORY).item_item.shape == (3, N_ITEMS)
    expected = five_items().matrix(HISTORY)
    expected[CONTENT] = 0
    np.testing.assert_array_equal(plain.matrix(HISTORY), expected)


@pytest.mark.parametrize(
    ("names", "summed"),
    [
        ([], []),
        (["neighbours_recent"], ["ease"]),
        (["transitions", "own"], ["transitions"]),
        (["neighbours", "content"], ["ease", "content"]),
        (list(NAMES), ["ease", "transitions", "content"]),
    ],
)
def test_only_matrices_with_a_weight_are_summed(names: list[str], summed: list[str]) -> None:
    weights = np.array([*(name in names for name in NAMES), 1], np.float32)

    assert [sums.name for sums in five_items().item_item_sums(weights)] == summed


def test_weights_from_before_there_was_content_get_a_0_for_it() -> None:
    old = np.arange(1, 2 * N_FEATURES + 1, dtype=np.float32).reshape(2, N_FEATURES)
    names = [*(name for name in NAMES if name != "content"), "network"]

    new = widened(old)

    assert (new.shape, new.dtype, new[:, CONTENT].tolist()) == ((2, N_FEATURES + 1), np.float32, [0, 0])
    assert [dict(zip((*NAMES, "network"), row, strict=True)) | {"content": 0} for row in new.tolist()] == [
        {**dict(zip(names, row, strict=True)), "content": 0} for row in old.tolist()
    ]
    assert widened(new) is new


@pytest.mark.parametrize(
    ("user", "expected"), [(0, [1, 2, 3, 0, 0]), (1, [0, -1, -1, 0, 1]), (N_USERS, [0, 0, 0, 0, 0])]
)
def test_factors_are_a_dot_product_and_0_for_unseen_users(user: int, expected: list[float]) -> None:
    assert feature("factors", HISTORY._replace(user=user)) == expected


@pytest.mark.parametrize("half_life", range(4))
def test_popularity_is_the_same_for_all_users(half_life: int) -> None:
    name = POPULARITIES[half_life]

    assert feature(name) == feature(name, query_after(user=N_USERS)) == POPULARITY[half_life].tolist()


@pytest.mark.parametrize(
    ("name", "zero", "one", "three"),
    [
        ("own", 1, 1, 1),
        ("own_count", math.log(3), math.log(1.4), math.log(1.2)),
        ("own_60d", math.log1p(0.5 + 0.5**0.25), math.log1p(0.2), math.log1p(0.2 * 0.5**0.25)),
        ("own_15d", math.log1p(0.0625 + 0.5), math.log1p(0.4 * 0.0625), math.log1p(0.1)),
    ],
)
def test_user_item_features_are_0_for_items_outside_the_history(
    name: str, zero: float, one: float, three: float
) -> None:
    assert feature(name) == pytest.approx([zero, one, 0, three, 0])


def test_an_item_with_negative_events_alone_has_features_of_0() -> None:
    values = five_items().compute(query_after((2, -1.0, 5), (4, 0.0, 5)))

    assert values.user_items.tolist() == [2, 4]
    assert values.user_item.tolist() == [[0, 0]] * 4


def test_events_after_now_are_not_decayed() -> None:
    query = query_after((1, 1.0, -2))
    assert user_item_sums(query, EventsByItem.of(query), (np.inf, 15.0)).tolist() == [[1], [1]]


def test_a_guest_without_history_has_popularity_alone() -> None:
    features = five_items().matrix(query_after(user=N_USERS))

    assert features.dtype == np.float32
    np.testing.assert_array_equal(
        features, np.concatenate([np.zeros((5, N_ITEMS)), POPULARITY, np.zeros((4, N_ITEMS))])
    )


def test_popularities_are_logs_of_decayed_sums_of_weights() -> None:
    items, weights = np.array([0, 0, 1, 2], np.int32), np.array([1.0, -0.5, 1.0, 3.0], np.float32)
    timestamps = NOW - np.array([60, 60, 0, 15]) * DAY

    table = popularities(dataset_of(np.zeros(4), items, weights, 1, 4, timestamps))

    assert (table.shape, table.dtype) == ((4, 4), np.float32)
    assert table[0].tolist() == pytest.approx([math.log(2), math.log(2), math.log(4), 0])
    assert table[1].tolist() == pytest.approx([math.log(1.5), math.log(2), math.log1p(3 * 0.5**0.25), 0])
    assert table[2].tolist() == pytest.approx([math.log1p(0.0625), math.log(2), math.log(2.5), 0])
    assert table[3].tolist() == pytest.approx(
        [math.log1p(0.5 ** (60 / 7)), math.log(2), math.log1p(3 * 0.5 ** (15 / 7)), 0]
    )


def test_popularities_of_a_shop_without_events_are_0() -> None:
    nothing = np.zeros(0)

    assert popularities(dataset_of(nothing, nothing, nothing, 0, 3)).tolist() == [[0, 0, 0]] * 4


# A larger catalogue: one way to compute a value against another.


@pytest.fixture
def many(rng: np.random.Generator) -> Features:
    n = 60

    def sparse() -> Neighbours:
        return table(
            {item: dict(zip(rng.permutation(n)[:7].tolist(), rng.normal(size=7), strict=True)) for item in range(n)}, n
        )

    factors = [rng.normal(size=(rows, 6)).astype(np.float32) for rows in (9, n)]
    return Features(sparse(), sparse(), sparse(), *factors, rng.exponential(size=(4, n)).astype(np.float32))


@pytest.fixture
def queries(rng: np.random.Generator) -> list[Query]:
    """A guest without history, a guest with one, a user without, and users with long histories of baskets."""
    queries = [query_after(user=9), query_after((3, 1.0, 2), user=9), query_after(user=4)]
    for user in range(4):
        days = np.sort(rng.integers(0, 40, 50))[::-1]
        events = zip(rng.integers(0, 60, 50).tolist(), rng.uniform(-1, 1, 50).tolist(), days.tolist(), strict=True)
        queries.append(query_after(*events, user=user))
    return queries


def weights_to_try(rng: np.random.Generator) -> Iterator[NDArray[np.float32]]:
    yield np.zeros(N_FEATURES, np.float32)
    for _ in range(5):
        yield (rng.normal(size=N_FEATURES) * (rng.random(N_FEATURES) < 0.6)).astype(np.float32)
    yield rng.normal(size=N_FEATURES).astype(np.float32)


def test_the_blend_is_the_weighted_sum_of_the_features(
    many: Features, queries: list[Query], rng: np.random.Generator
) -> None:
    for query in queries:
        for weights in weights_to_try(rng):
            blended = blend(many, query, weights)

            assert blended.dtype == np.float32
            np.testing.assert_allclose(blended, weights @ many.matrix(query), rtol=1e-5, atol=1e-5)


def test_chosen_items_score_bit_for_bit_as_in_the_catalogue_except_for_factors(
    many: Features, queries: list[Query], rng: np.random.Generator
) -> None:
    items = np.array([59, 0, 3, 17, 3], np.int32)  # in any order, one repeated
    factors = NAMES.index("factors")  # computed for a short list alone, where BLAS may add in another order
    others = np.arange(N_FEATURES) != factors
    for query in queries:
        alone, among_all = many.matrix(query, items), many.matrix(query)[:, items]
        np.testing.assert_array_equal(alone[others], among_all[others])
        np.testing.assert_allclose(alone[factors], among_all[factors], rtol=1e-5, atol=1e-6)
        for weights in weights_to_try(rng):
            exact = weights * others
            np.testing.assert_array_equal(blend(many, query, exact, items), blend(many, query, exact)[items])
            expected = blend(many, query, weights)[items]
            np.testing.assert_allclose(blend(many, query, weights, items), expected, rtol=1e-5, atol=1e-5)
            assert blend(many, query, weights, items[:0]).shape == (0,)


def test_the_prior_is_the_score_for_a_guest_without_history(many: Features, rng: np.random.Generator) -> None:
    weights = rng.normal(size=N_FEATURES).astype(np.float32)

    np.testing.assert_array_equal(many.prior(weights), blend(many, query_after(user=9), weights))


def test_scores_belong_to_the_caller(many: Features, queries: list[Query]) -> None:
    values = many.compute(queries[-1])
    for weights in (*np.eye(N_FEATURES, dtype=np.float32), np.zeros(N_FEATURES, np.float32)):
        expected = many.blend(values, weights).copy()
        many.blend(values, weights)[:] = math.nan
        np.testing.assert_array_equal(many.blend(values, weights), expected)


def test_features_are_built_from_arrays_by_name(many: Features, queries: list[Query]) -> None:
    names = ("starts", "neighbours", "similarities")
    matrices = {"ease": many.ease, "transitions": many.transitions, "content": many.content}
    arrays = {
        **{f"{key}/{name}": getattr(matrix, name) for key, matrix in matrices.items() for name in names},
        "user_factors": many.user_factors,
        "item_factors": many.item_factors,
        "popularity": many.popularity,
    }
    for array in arrays.values():
        array.flags.writeable = False  # as memory-mapped arrays are
    again = Features.from_arrays(arrays)

    assert again.n_items == 60
    for query in queries:
        np.testing.assert_array_equal(again.matrix(query), many.matrix(query))


class Fixed:
    """A network with fixed scores."""

    n_items = 60

    def score(
        self, query: Query, features: FeatureValues | None = None, items: NDArray[np.int32] | None = None
    ) -> NDArray[np.float32]:
        scores = np.linspace(-1, 1, 60, dtype=np.float32)
        return scores if items is None else scores[items]


@pytest.mark.parametrize("network", [None, Fixed()])
@pytest.mark.parametrize("repeats", [False, True])
def test_an_ensemble_uses_the_weights_of_the_repeat_rule(
    repeats: bool, network: Fixed | None, many: Features, queries: list[Query], rng: np.random.Generator
) -> None:
    weights = rng.normal(size=(2, N_FEATURES + 1)).astype(np.float32)
    scorer, query = LinearEnsemble(many, weights, network), queries[-1]._replace(repeats=repeats)
    expected = blend(many, query, weights[int(repeats), :-1])
    if network is not None:
        expected = expected + weights[int(repeats), -1] * network.score(query)

    assert scorer.n_items == 60
    np.testing.assert_array_equal(scorer.score(query), expected)
    np.testing.assert_allclose(
        scorer.score(query, None, np.array([5, 2], np.int32)), expected[[5, 2]], rtol=1e-5, atol=1e-6
    )
