"""Each feature by hand on a catalogue of five items, and the weighted sum against the single features."""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.features.features import N_FEATURES, NAMES, Features, user_item_features
from recsys.features.history import ages, user_item_sums
from recsys.features.item_item import Neighbours
from recsys.features.query import Query
from recsys.scorers.ensemble import LinearEnsemble
from recsys.training.closed_form.choose import popularities

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


def feature(name: str, query: Query = HISTORY) -> list[float]:
    row: list[float] = five_items().of(query)[NAMES.index(name)].tolist()
    return row


def test_features_have_a_fixed_order() -> None:
    assert NAMES == (
        *("neighbours", "neighbours_recent", "transitions", "factors"),
        *("popularity", "popularity_60d", "popularity_15d", "popularity_7d"),
        *("own", "own_count", "own_60d", "own_15d"),
    )
    assert N_FEATURES == 12


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


@pytest.mark.parametrize(
    ("user", "expected"), [(0, [1, 2, 3, 0, 0]), (1, [0, -1, -1, 0, 1]), (N_USERS, [0, 0, 0, 0, 0])]
)
def test_factors_are_a_dot_product_and_0_for_unseen_users(user: int, expected: list[float]) -> None:
    assert feature("factors", replace(HISTORY, user=user)) == expected


@pytest.mark.parametrize("half_life", range(4))
def test_popularity_is_the_same_for_all_users(half_life: int) -> None:
    name = NAMES[4 + half_life]

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
    items, values = user_item_features(query_after((2, -1.0, 5), (4, 0.0, 5)))

    assert items.tolist() == [2, 4]
    assert values.tolist() == [[0, 0]] * 4


def test_events_after_now_are_not_decayed() -> None:
    assert user_item_sums(query_after((1, 1.0, -2)), (np.inf, 15.0))[1].tolist() == [[1], [1]]


def test_a_guest_without_history_has_popularity_alone() -> None:
    features = five_items().of(query_after(user=N_USERS))

    assert features.dtype == np.float32
    np.testing.assert_array_equal(
        features, np.concatenate([np.zeros((4, N_ITEMS)), POPULARITY, np.zeros((4, N_ITEMS))])
    )


def test_popularities_are_logs_of_decayed_sums_of_weights() -> None:
    items, weights = np.array([0, 0, 1, 2], np.int32), np.array([1.0, -0.5, 1.0, 3.0], np.float32)
    timestamps = NOW - np.array([60, 60, 0, 15]) * DAY

    table = popularities(items, weights, timestamps, 4)

    assert (table.shape, table.dtype) == ((4, 4), np.float32)
    assert table[0].tolist() == pytest.approx([math.log(2), math.log(2), math.log(4), 0])
    assert table[1].tolist() == pytest.approx([math.log(1.5), math.log(2), math.log1p(3 * 0.5**0.25), 0])
    assert table[2].tolist() == pytest.approx([math.log1p(0.0625), math.log(2), math.log(2.5), 0])
    assert table[3].tolist() == pytest.approx(
        [math.log1p(0.5 ** (60 / 7)), math.log(2), math.log1p(3 * 0.5 ** (15 / 7)), 0]
    )


def test_popularities_of_a_shop_without_events_are_0() -> None:
    nothing = np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros(0, np.int64)

    assert popularities(*nothing, 3).tolist() == [[0, 0, 0]] * 4


# A larger catalogue: one way to compute a value against another.


@pytest.fixture
def many(rng: np.random.Generator) -> Features:
    n = 60

    def sparse() -> Neighbours:
        return table(
            {item: dict(zip(rng.permutation(n)[:7].tolist(), rng.normal(size=7), strict=True)) for item in range(n)}, n
        )

    factors = [rng.normal(size=(rows, 6)).astype(np.float32) for rows in (9, n)]
    return Features(sparse(), sparse(), *factors, rng.exponential(size=(4, n)).astype(np.float32))


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
            blend = many.blend(query, weights)

            assert blend.dtype == np.float32
            np.testing.assert_allclose(blend, weights @ many.of(query), rtol=1e-5, atol=1e-5)


def test_chosen_items_score_bit_for_bit_as_in_the_catalogue_except_for_factors(
    many: Features, queries: list[Query], rng: np.random.Generator
) -> None:
    items = np.array([59, 0, 3, 17, 3], np.int32)  # in any order, one repeated
    factors = NAMES.index("factors")  # computed for a short list alone, where BLAS may add in another order
    others = np.arange(N_FEATURES) != factors
    for query in queries:
        alone, among_all = many.of(query, items), many.of(query)[:, items]
        np.testing.assert_array_equal(alone[others], among_all[others])
        np.testing.assert_allclose(alone[factors], among_all[factors], rtol=1e-5, atol=1e-6)
        for weights in weights_to_try(rng):
            exact = weights * others
            np.testing.assert_array_equal(many.blend(query, exact, items), many.blend(query, exact)[items])
            expected = many.blend(query, weights)[items]
            np.testing.assert_allclose(many.blend(query, weights, items), expected, rtol=1e-5, atol=1e-5)
            assert many.blend(query, weights, items[:0]).shape == (0,)


def test_the_prior_is_the_score_for_a_guest_without_history(many: Features, rng: np.random.Generator) -> None:
    weights = rng.normal(size=N_FEATURES).astype(np.float32)

    np.testing.assert_array_equal(many.prior(weights), many.blend(query_after(user=9), weights))


class Counting(Neighbours):
    """Neighbours that count the calls of `accumulate`."""

    n_calls = 0

    def accumulate(self, items: NDArray[np.int32], strengths: NDArray[np.float32]) -> NDArray[np.float32]:
        Counting.n_calls += 1
        return super().accumulate(items, strengths)


@pytest.fixture
def counting(many: Features) -> Features:
    Counting.n_calls = 0
    tables = (
        Counting(matrix.starts, matrix.neighbours, matrix.similarities) for matrix in (many.ease, many.transitions)
    )
    return Features(*tables, many.user_factors, many.item_factors, many.popularity)


def test_four_threads_accumulate_each_matrix_once_for_a_query(counting: Features, queries: list[Query]) -> None:
    weights = np.ones((4, N_FEATURES), np.float32)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda row: counting.blend(queries[-1], row), weights))

    assert Counting.n_calls == 2  # one for both rows of EASE, one for transitions
    for answer in answers:
        np.testing.assert_array_equal(answer, answers[0])


def test_features_of_weight_0_are_not_computed(counting: Features, queries: list[Query]) -> None:
    weights = np.ones(N_FEATURES, np.float32)
    weights[:4] = 0
    counting.blend(queries[-1], weights)

    assert Counting.n_calls == 0

    weights[NAMES.index("transitions")] = 1
    counting.blend(queries[-1], weights)

    assert Counting.n_calls == 1


def test_scores_belong_to_the_caller_and_cached_arrays_are_read_only(many: Features, queries: list[Query]) -> None:
    query = queries[-1]
    for weights in (*np.eye(N_FEATURES, dtype=np.float32), np.zeros(N_FEATURES, np.float32)):
        expected = many.blend(query, weights).copy()
        many.blend(query, weights)[:] = math.nan
        np.testing.assert_array_equal(many.blend(query, weights), expected)
    shared = [value for value in query._known.values() if isinstance(value, np.ndarray)]
    assert len(shared) == 5  # strengths; sums by EASE and by transitions; factors; user-item features
    assert not any(array.flags.writeable for array in shared)


def test_two_versions_do_not_share_cached_values(many: Features, queries: list[Query]) -> None:
    """In training, a query is scored by several fits; the cache keeps their values apart."""
    query, weights = queries[-1], np.ones(N_FEATURES, np.float32)
    other = replace(many, item_factors=-many.item_factors)
    first = many.blend(query, weights)

    assert not np.array_equal(other.blend(query, weights), first)
    np.testing.assert_array_equal(other.blend(query, weights), other.blend(replace(query), weights))


def test_features_are_built_from_arrays_by_name(many: Features, queries: list[Query]) -> None:
    names = ("starts", "neighbours", "similarities")
    matrices = {"ease": many.ease, "transitions": many.transitions}
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
        np.testing.assert_array_equal(again.of(query), many.of(replace(query)))


class Fixed:
    """A network with fixed scores."""

    n_items = 60

    def score(self, query: Query, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        scores = np.linspace(-1, 1, 60, dtype=np.float32)
        return scores if items is None else scores[items]


@pytest.mark.parametrize("network", [None, Fixed()])
@pytest.mark.parametrize("repeats", [False, True])
def test_an_ensemble_uses_the_weights_of_the_repeat_rule(
    repeats: bool, network: Fixed | None, many: Features, queries: list[Query], rng: np.random.Generator
) -> None:
    weights = rng.normal(size=(2, N_FEATURES + 1)).astype(np.float32)
    scorer, query = LinearEnsemble(many, weights, network), replace(queries[-1], repeats=repeats)
    expected = many.blend(query, weights[int(repeats), :-1])
    if network is not None:
        expected = expected + weights[int(repeats), -1] * network.score(query)

    assert scorer.n_items == 60
    np.testing.assert_array_equal(scorer.score(query), expected)
    np.testing.assert_allclose(scorer.score(query, np.array([5, 2], np.int32)), expected[[5, 2]], rtol=1e-5, atol=1e-6)
