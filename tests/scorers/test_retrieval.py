"""Candidate items: the rows of the history give the same items as scores of the whole catalogue."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.features.features import Features, Neighbours
from recsys.features.query import Query
from recsys.scorers import retrieval as module
from recsys.scorers.bmf import BMF
from recsys.scorers.item_item import ItemCF
from recsys.scorers.layers import UserRepresentation
from recsys.scorers.retrieval import Candidates, accumulate, most_popular, recent_strengths

N_ITEMS = 30
ALL_ELIGIBLE = np.ones(N_ITEMS, bool)


def table(rng: np.random.Generator) -> Neighbours:
    """Return weights of which a third are stored, some of them negative."""
    rows = [np.flatnonzero(rng.random(N_ITEMS) < 0.3).astype(np.int32) for _ in range(N_ITEMS)]
    starts = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    return Neighbours(starts, np.concatenate(rows), rng.normal(0.5, 1, starts[-1]).astype(np.float32))


def query_of(items: Sequence[int], weights: Sequence[float] | None = None, user: int = 0) -> Query:
    """Return a query whose history has one event an hour."""
    count = len(items)
    confidence = np.ones(count, np.float32) if weights is None else np.array(weights, np.float32)
    return Query(user, np.array(items, np.int32), confidence, np.arange(count) * 3600, np.zeros(0, np.int32), 10**6)


@pytest.fixture
def features(rng: np.random.Generator) -> Features:
    factors = rng.normal(size=(4, 8)).astype(np.float32), rng.normal(size=(N_ITEMS, 8)).astype(np.float32)
    return Features(table(rng), table(rng), table(rng), *factors, rng.random((4, N_ITEMS)).astype(np.float32))


def test_popular_items_are_ordered_by_score_then_by_index() -> None:
    popularity = np.array([[0, 3, 1, 3, 2], [5, 4, 3, 2, 1]], np.float32)

    assert most_popular(popularity, 3).tolist() == [[1, 3, 4], [0, 1, 2]]
    assert most_popular(popularity).tolist() == [[1, 3, 4, 2, 0], [0, 1, 2, 3, 4]]


def test_the_strength_of_an_item_sums_its_decayed_weights() -> None:
    items, strengths = recent_strengths(query_of([5, 2, 5, 9], [1.0, 0.5, 0.3, -1.0]))

    assert items.tolist() == [2, 5, 9]
    # item 2 is two moments old, the events of item 5 are three and one; a negative event counts 0
    np.testing.assert_allclose(strengths[2], [0.5 * 0.8**2, 0.8**3 + 0.3 * 0.8, 0], rtol=1e-6)
    assert strengths[0].tolist() == [0.5, 1, 0]


def test_only_the_newest_items_of_a_long_history_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RECENT", 2)

    assert recent_strengths(query_of([7, 1, 2, 7]))[0].tolist() == [2, 7]


def test_an_empty_history_has_no_items() -> None:
    items, strengths = recent_strengths(query_of([]))

    assert (len(items), strengths.shape) == (0, (3, 0))


@pytest.mark.parametrize("k", [1, 4, 25, 100])
def test_the_strongest_items_are_those_of_the_sums_over_the_catalogue(rng: np.random.Generator, k: int) -> None:
    weights, allowed = table(rng), rng.random(N_ITEMS) < 0.7
    items, strengths = np.array([3, 8, 20], np.int32), np.array([1.0, 0.2, 0.7], np.float32)

    sums = np.where(allowed, weights.accumulate(items, strengths), 0)
    best = [item for item in np.argsort(-sums)[:k].tolist() if sums[item] > 0]
    assert sorted(accumulate(weights, items, strengths, allowed, k).tolist()) == sorted(best)


def test_each_row_of_strengths_gives_a_list(rng: np.random.Generator) -> None:
    weights, items = table(rng), np.array([3, 8], np.int32)
    strengths = np.array([[1, 0], [0, 1]], np.float32)

    both = accumulate(weights, items, strengths, ALL_ELIGIBLE, 3)
    each = [accumulate(weights, items, row, ALL_ELIGIBLE, 3) for row in strengths]
    assert both.tolist() == np.concatenate(each).tolist()


def test_without_history_or_eligible_items_the_list_is_empty(rng: np.random.Generator) -> None:
    weights, nothing = table(rng), np.zeros(0, np.int32)

    assert accumulate(weights, nothing, nothing.astype(np.float32), ALL_ELIGIBLE, 3).tolist() == []
    assert accumulate(weights, np.array([3], np.int32), np.ones(1, np.float32), ~ALL_ELIGIBLE, 3).tolist() == []


def strongest(features: Features, query: Query, allowed: NDArray[np.bool_]) -> list[int]:
    """Return the two allowed items with the largest value of each item-item feature."""
    rows = np.where(allowed, features.matrix(query)[:4], 0)
    return [item for values in rows for item in np.argsort(-values)[:2].tolist() if values[item] > 0]


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
    """Candidates whose search compares all items."""
    return Candidates(
        features,
        model,
        lambda user_representation, k: np.argsort(-(model.item_factors @ user_representation))[:k],
        most_popular(features.popularity),
    )


def expected(candidates: Candidates, model: BMF, query: Query, allowed: NDArray[np.bool_], near: int) -> set[int]:
    items = np.argsort(-(model.item_factors @ model.user_representation.of(query)))[:near].tolist()
    items += strongest(candidates.features, query, allowed) + query.items.tolist()
    items += [next(item for item in row if allowed[item]) for row in candidates.popular.tolist()]
    return {item for item in items if allowed[item]}


def test_nearest_similar_popular_and_history_items_are_candidates(exact: Candidates, model: BMF) -> None:
    for query in (query_of([3, 8, 20]), query_of([3, 8, 20], user=4), query_of([]), query_of([], user=4)):
        items = exact.of(query, ALL_ELIGIBLE)

        assert items.tolist() == sorted(expected(exact, model, query, ALL_ELIGIBLE, 3))


def test_if_half_is_eligible_twice_as_many_items_are_searched(exact: Candidates, model: BMF) -> None:
    allowed = np.arange(N_ITEMS) % 2 == 0

    query = query_of([3, 8, 20])
    assert exact.of(query, allowed).tolist() == sorted(expected(exact, model, query, allowed, 6))


def test_the_number_of_searched_items_has_a_bound(exact: Candidates, model: BMF) -> None:
    allowed = np.arange(N_ITEMS) < 3  # a tenth, so 30 items would be searched without the bound

    query = query_of([3, 8, 20])
    assert exact.of(query, allowed).tolist() == sorted(expected(exact, model, query, allowed, 8))
    assert exact.of(query, ~ALL_ELIGIBLE).tolist() == []


def test_an_item_item_scorer_adds_its_strongest_items(exact: Candidates, rng: np.random.Generator) -> None:
    query, scorer = query_of([3, 8, 20]), ItemCF(table(rng), np.zeros(N_ITEMS, np.float32))
    more = accumulate(scorer.neighbours, np.array([3, 8, 20], np.int32), np.ones(3, np.float32), ALL_ELIGIBLE, 2)

    assert not set(more.tolist()) <= set(exact.of(query, ALL_ELIGIBLE).tolist())
    assert set(exact.of(query, ALL_ELIGIBLE, [scorer]).tolist()) == {
        *exact.of(query, ALL_ELIGIBLE).tolist(),
        *more.tolist(),
    }


def test_without_the_indexed_model_there_are_no_nearest_items(exact: Candidates, rng: np.random.Generator) -> None:
    def search(user_representation: NDArray[np.float32], k: int) -> NDArray[np.int32]:
        raise AssertionError("there should be no search without a user representation")

    other = Candidates(exact.features, ItemCF(table(rng), np.zeros(N_ITEMS, np.float32)), search, exact.popular)
    assert set(other.of(query_of([3]), ALL_ELIGIBLE).tolist()) < set(exact.of(query_of([3]), ALL_ELIGIBLE).tolist())
