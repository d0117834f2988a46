"""Explanations: the candidate causes in a history, and the one that is named."""

from __future__ import annotations

import numpy as np
import pytest

from recsys.features.features import N_FEATURES, NAMES, Features
from recsys.features.item_item import Neighbours
from recsys.features.query import Query
from recsys.recommending.explain import MAX_CAUSES, candidate_causes, explanations
from recsys.scorers.ensemble import LinearEnsemble
from recsys.scorers.item_item import NeighbourScorer

N_ITEMS = 12
OLDEST, NEWEST, ANSWERED, USER_ITEM = 0, 7, 10, 3


def matrix(weights: dict[tuple[int, int], float]) -> Neighbours:
    """Return the weights from item to item; all others are 0."""
    pairs = sorted(weights)
    starts = np.searchsorted([row for row, _ in pairs], np.arange(N_ITEMS + 1))
    return Neighbours(
        starts,
        np.array([column for _, column in pairs], np.int32),
        np.array([weights[pair] for pair in pairs], np.float32),
    )


def features(ease: dict[tuple[int, int], float], transitions: dict[tuple[int, int], float]) -> Features:
    nobody = np.zeros((0, 1), np.float32), np.zeros((N_ITEMS, 1), np.float32), np.zeros((4, N_ITEMS), np.float32)
    return Features(matrix(ease), matrix(transitions), *nobody)


def weights(**named: float) -> np.ndarray:
    """Return the same weights for both repeat rules."""
    row = [named.get(name, 0.0) for name in NAMES]
    return np.array([[*row, 0.0]] * 2, np.float32)


@pytest.fixture
def query() -> Query:
    """Somebody who had the items 0 to 7, one a day."""
    items = np.arange(8, dtype=np.int32)
    return Query(0, items, np.ones(8, np.float32), items.astype(np.int64) * 86_400, np.zeros(0, np.int32), 8 * 86_400)


def test_a_strong_cause_is_a_candidate_at_any_age(query: Query) -> None:
    blend = LinearEnsemble(features({(OLDEST, ANSWERED): 0.5, (NEWEST, ANSWERED): 0.1}, {}), weights(neighbours=1))
    answered = np.array([ANSWERED, 11], np.int32)

    assert candidate_causes(blend, query, answered)[0] == OLDEST
    assert explanations(blend, query, answered) == {ANSWERED: OLDEST}  # nothing leads to item 11


def test_sequential_and_repeated_items_are_candidates_too(query: Query) -> None:
    by_steps = LinearEnsemble(features({}, {(NEWEST, ANSWERED): 0.5, (OLDEST, ANSWERED): 0.5}), weights(transitions=1))
    assert explanations(by_steps, query, np.array([ANSWERED], np.int32)) == {
        ANSWERED: NEWEST
    }  # the fresher of two equals

    repeats = LinearEnsemble(features({}, {}), weights(own=1))
    assert candidate_causes(repeats, query, np.array([USER_ITEM], np.int32))[0] == USER_ITEM
    assert explanations(repeats, query, np.array([USER_ITEM], np.int32)) == {USER_ITEM: USER_ITEM}


def test_items_that_lower_scores_come_after_the_newest(query: Query) -> None:
    blend = LinearEnsemble(features({(OLDEST, ANSWERED): -0.5}, {}), weights(neighbours=1))

    assert candidate_causes(blend, query, np.array([ANSWERED], np.int32)) == [7, 6, 5, 4, 3]
    assert explanations(blend, query, np.array([ANSWERED], np.int32)) == {}


def test_without_features_the_newest_items_are_candidates(query: Query) -> None:
    scorer = NeighbourScorer(matrix({(OLDEST, ANSWERED): 0.9, (NEWEST, ANSWERED): 0.1}), np.zeros(N_ITEMS, np.float32))

    assert candidate_causes(scorer, query, np.array([ANSWERED], np.int32)) == [7, 6, 5, 4, 3]
    assert explanations(scorer, query, np.array([ANSWERED], np.int32)) == {ANSWERED: NEWEST}


def test_without_history_or_recommended_items_there_are_no_candidates(query: Query) -> None:
    blend = LinearEnsemble(features({}, {}), weights(neighbours=1))
    nothing = np.zeros(0, np.int32)
    empty = Query(0, nothing, nothing.astype(np.float32), nothing.astype(np.int64), nothing, 0)

    assert (
        candidate_causes(blend, query, nothing) == candidate_causes(blend, empty, np.array([ANSWERED], np.int32)) == []
    )
    assert explanations(blend, query, nothing) == explanations(blend, empty, np.array([ANSWERED], np.int32)) == {}


def test_contributions_add_up_to_the_features_of_the_history(query: Query, rng: np.random.Generator) -> None:
    dense = {
        (row, column): float(value) for (row, column), value in np.ndenumerate(rng.normal(size=(N_ITEMS, N_ITEMS)))
    }
    some, row = (
        features(dense, {pair: -value / 2 for pair, value in dense.items()}),
        rng.normal(size=N_FEATURES).astype(np.float32),
    )
    row[3:8] = 0  # factors and popularity belong to no item of the history
    items = np.array([9, 2, 5], np.int32)

    np.testing.assert_allclose(
        some.contributions(query, row, items).sum(0), some.blend(query, row, items), rtol=1e-4, atol=1e-5
    )
    assert (
        len(candidate_causes(LinearEnsemble(some, np.array([[*row, 0]] * 2, np.float32)), query, items)) == MAX_CAUSES
    )


def test_the_newest_is_a_candidate_and_first_positions_count_most(query: Query) -> None:
    answered = np.array([ANSWERED, 11, 8, 9], np.int32)
    lifts = {(cause, item): 0.1 for cause in range(1, 6) for item in (11, 8, 9)}
    blend = LinearEnsemble(features({**lifts, (OLDEST, ANSWERED): 0.5}, {}), weights(neighbours=1))

    tried = candidate_causes(blend, query, answered)
    assert OLDEST in tried and NEWEST in tried and len(tried) == MAX_CAUSES
    assert explanations(blend, query, answered)[ANSWERED] == OLDEST
