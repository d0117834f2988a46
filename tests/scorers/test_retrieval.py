"""Promising items: found by the few rows of the history, the same that a look at every item would find."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.features.features import Features
from recsys.features.item_item import Neighbours
from recsys.features.query import Query
from recsys.features.user_vector import UserRepresentation
from recsys.scorers import retrieval as module
from recsys.scorers.bmf import BMF
from recsys.scorers.item_item import ItemCF
from recsys.scorers.retrieval import Candidates, accumulate, most_popular, nearest_by_feature, recency_weighted

N_ITEMS = 30
EVERYTHING = np.ones(N_ITEMS, bool)


def table(rng: np.random.Generator) -> Neighbours:
    """Return weights of which a third are there, some of them negative."""
    rows = [np.flatnonzero(rng.random(N_ITEMS) < 0.3).astype(np.int32) for _ in range(N_ITEMS)]
    starts = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    return Neighbours(starts, np.concatenate(rows), rng.normal(0.5, 1, starts[-1]).astype(np.float32))


def asked(items: Sequence[int], weights: Sequence[float] | None = None, user: int = 0) -> Query:
    """Return a question after one event an hour."""
    count = len(items)
    confidence = np.ones(count, np.float32) if weights is None else np.array(weights, np.float32)
    return Query(user, np.array(items, np.int32), confidence, np.arange(count) * 3600, np.zeros(0, np.int32), 10**6)


@pytest.fixture
def features(rng: np.random.Generator) -> Features:
    factors = rng.normal(size=(4, 8)).astype(np.float32), rng.normal(size=(N_ITEMS, 8)).astype(np.float32)
    return Features(table(rng), table(rng), *factors, rng.random((4, N_ITEMS)).astype(np.float32))


def test_the_most_popular_come_first_and_equals_by_index() -> None:
    popularity = np.array([[0, 3, 1, 3, 2], [5, 4, 3, 2, 1]], np.float32)

    assert most_popular(popularity, 3).tolist() == [[1, 3, 4], [0, 1, 2]]
    assert most_popular(popularity).tolist() == [[1, 3, 4, 2, 0], [0, 1, 2, 3, 4]]


def test_an_item_speaks_as_strongly_as_its_events_together_each_faded_by_its_age() -> None:
    items, strengths = recency_weighted(asked([5, 2, 5, 9], [1.0, 0.5, 0.3, -1.0]), 0.5)

    assert items.tolist() == [2, 5, 9]
    # 2 is two moments old, 5 three and one; what is disliked says nothing here
    np.testing.assert_allclose(strengths, [0.5 / 4, 1 / 8 + 0.3 / 2, 0], rtol=1e-6)


def test_of_a_long_history_the_newest_items_speak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RECENT", 2)

    assert recency_weighted(asked([7, 1, 2, 7]), 1.0)[0].tolist() == [2, 7]


def test_nobody_speaks_for_whom_nothing_is_known() -> None:
    items, strengths = recency_weighted(asked([]), 0.9)

    assert (len(items), len(strengths)) == (0, 0)


@pytest.mark.parametrize("k", [1, 4, 25, 100])
def test_the_strongest_are_those_of_the_spread_over_all_items(rng: np.random.Generator, k: int) -> None:
    weights, allowed = table(rng), rng.random(N_ITEMS) < 0.7
    items, strengths = np.array([3, 8, 20], np.int32), np.array([1.0, 0.2, 0.7], np.float32)

    everything = np.where(allowed, weights.accumulate(items, strengths), 0)
    best = [item for item in np.argsort(-everything)[:k].tolist() if everything[item] > 0]
    assert sorted(accumulate(weights, items, strengths, allowed, k).tolist()) == sorted(best)


def test_each_row_of_strengths_has_a_list_of_its_own(rng: np.random.Generator) -> None:
    weights, items = table(rng), np.array([3, 8], np.int32)
    strengths = np.array([[1, 0], [0, 1]], np.float32)

    both = accumulate(weights, items, strengths, EVERYTHING, 3)
    each = [accumulate(weights, items, row, EVERYTHING, 3) for row in strengths]
    assert both.tolist() == np.concatenate(each).tolist()


def test_where_nothing_spreads_the_list_is_empty(rng: np.random.Generator) -> None:
    weights, nothing = table(rng), np.zeros(0, np.int32)

    assert accumulate(weights, nothing, nothing.astype(np.float32), EVERYTHING, 3).tolist() == []
    assert accumulate(weights, np.array([3], np.int32), np.ones(1, np.float32), ~EVERYTHING, 3).tolist() == []


def test_the_three_signals_that_spread_have_a_list_each(features: Features) -> None:
    query, first = asked([3, 8, 20, 3]), module.STRONGEST
    found = set(nearest_by_feature(features, query, EVERYTHING, 2).tolist())

    assert first >= 2
    expected = set()
    for values in features.of(query)[:3]:
        expected |= {item for item in np.argsort(-values)[:2].tolist() if values[item] > 0}
    assert found == expected


def bmf(rng: np.random.Generator) -> BMF:
    user_representation = UserRepresentation(
        *(rng.normal(size=(n, 4)).astype(np.float32) for n in (4, N_ITEMS, N_ITEMS)), np.array([0.9, 0.5], np.float32)
    )
    factors = rng.normal(size=(N_ITEMS, 4)).astype(np.float32)
    return BMF(user_representation, np.zeros(4, np.float32), factors, np.zeros(N_ITEMS, np.float32), np.float32(0))


@pytest.fixture
def short_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, length in (("NEAREST", 3), ("STRONGEST", 2), ("POPULAR", 1), ("MOST_NEAREST", 8)):
        monkeypatch.setattr(module, name, length)


@pytest.fixture
def model(rng: np.random.Generator) -> BMF:
    return bmf(rng)


@pytest.fixture
def exact(features: Features, model: BMF, short_lists: None) -> Candidates:
    """Candidates whose search looks at everything."""
    return Candidates(
        features,
        model,
        lambda user_representation, k: np.argsort(-(model.item_factors @ user_representation))[:k],
        most_popular(features.popularity),
    )


def expected(candidates: Candidates, model: BMF, query: Query, allowed: NDArray[np.bool_], near: int) -> set[int]:
    places = np.argsort(-(model.item_factors @ model.user_representation.of(query)))[:near].tolist()
    places += nearest_by_feature(candidates.features, query, allowed, 2).tolist() + query.items.tolist()
    places += [next(item for item in row if allowed[item]) for row in candidates.popular.tolist()]
    return {item for item in places if allowed[item]}


def test_what_is_near_signalled_popular_or_her_own_is_a_candidate(exact: Candidates, model: BMF) -> None:
    for query in (asked([3, 8, 20]), asked([3, 8, 20], user=4), asked([]), asked([], user=4)):
        found = exact.of(query, EVERYTHING)

        assert found.tolist() == sorted(expected(exact, model, query, EVERYTHING, 3))


def test_where_half_may_be_answered_twice_as_many_are_looked_at(exact: Candidates, model: BMF) -> None:
    allowed = np.arange(N_ITEMS) % 2 == 0

    assert exact.of(asked([3, 8, 20]), allowed).tolist() == sorted(
        expected(exact, model, asked([3, 8, 20]), allowed, 6)
    )


def test_however_few_may_be_answered_the_search_has_an_end(exact: Candidates, model: BMF) -> None:
    allowed = np.arange(N_ITEMS) < 3  # a tenth: 30 would be looked at

    assert exact.of(asked([3, 8, 20]), allowed).tolist() == sorted(
        expected(exact, model, asked([3, 8, 20]), allowed, 8)
    )
    assert exact.of(asked([3, 8, 20]), ~EVERYTHING).tolist() == []


def test_a_scorer_with_neighbours_of_its_own_adds_its_strongest(exact: Candidates, rng: np.random.Generator) -> None:
    query, own = asked([3, 8, 20]), ItemCF(table(rng), np.zeros(N_ITEMS, np.float32))
    more = accumulate(own.neighbours, np.array([3, 8, 20], np.int32), np.ones(3, np.float32), EVERYTHING, 2)

    assert not set(more.tolist()) <= set(exact.of(query, EVERYTHING).tolist())
    assert set(exact.of(query, EVERYTHING, [own]).tolist()) == {*exact.of(query, EVERYTHING).tolist(), *more.tolist()}


def test_without_the_model_that_is_indexed_nothing_is_near(exact: Candidates, rng: np.random.Generator) -> None:
    def search(user_representation: NDArray[np.float32], k: int) -> NDArray[np.int32]:
        raise AssertionError("there is no taste to search with")

    other = Candidates(exact.features, ItemCF(table(rng), np.zeros(N_ITEMS, np.float32)), search, exact.popular)
    assert set(other.of(asked([3]), EVERYTHING).tolist()) < set(exact.of(asked([3]), EVERYTHING).tolist())
