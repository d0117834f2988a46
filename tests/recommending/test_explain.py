"""Explanations: the candidate causes in a history, and the one that is named."""

from __future__ import annotations

import numpy as np
import pytest

from recsys.features.features import FACTORS, N_FEATURES, NAMES, Features, Neighbours
from recsys.features.query import Query
from recsys.recommending.explain import MAX_CAUSES, candidate_causes, ensemble_effects, explanations
from recsys.scorers.item_item import NeighbourScorer
from recsys.scorers.layers import LinearEnsemble

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


def features(
    ease: dict[tuple[int, int], float],
    transitions: dict[tuple[int, int], float],
    content: dict[tuple[int, int], float] | None = None,
) -> Features:
    nobody = np.zeros((0, 1), np.float32), np.zeros((N_ITEMS, 1), np.float32), np.zeros((4, N_ITEMS), np.float32)
    return Features(matrix(ease), matrix(transitions), matrix(content or {}), *nobody)


def weights(**named: float) -> np.ndarray:
    """Return the same weights for both repeat rules."""
    row = [named.get(name, 0.0) for name in NAMES]
    return np.array([[*row, 0.0]] * 2, np.float32)


@pytest.fixture
def query() -> Query:
    """Somebody who had the items 0 to 7, one a day."""
    items = np.arange(8, dtype=np.int32)
    return Query(0, items, np.ones(8, np.float32), items.astype(np.int64) * 86_400, np.zeros(0, np.int32), 8 * 86_400)


def test_a_strong_cause_is_named_at_any_age(query: Query) -> None:
    blend = LinearEnsemble(features({(OLDEST, ANSWERED): 0.5, (NEWEST, ANSWERED): 0.1}, {}), weights(neighbours=1))

    assert explanations(blend, query, np.array([ANSWERED, 11], np.int32)) == {ANSWERED: OLDEST}  # nothing leads to 11


def test_sequential_items_are_causes_and_no_item_is_its_own(query: Query) -> None:
    by_steps = LinearEnsemble(features({}, {(NEWEST, ANSWERED): 0.5, (OLDEST, ANSWERED): 0.5}), weights(transitions=1))
    fresher_of_two_equals = {ANSWERED: NEWEST}
    assert explanations(by_steps, query, np.array([ANSWERED], np.int32)) == fresher_of_two_equals

    repeats = LinearEnsemble(features({}, {}), weights(own=1))
    assert explanations(repeats, query, np.array([USER_ITEM], np.int32)) == {}

    both = LinearEnsemble(
        features({(OLDEST, USER_ITEM): 0.01, (USER_ITEM, USER_ITEM): 0.5}, {}), weights(own=5, neighbours=1)
    )
    assert explanations(both, query, np.array([USER_ITEM], np.int32)) == {USER_ITEM: OLDEST}


def test_items_of_like_description_are_causes(query: Query) -> None:
    alike = {(OLDEST, ANSWERED): 0.9, (NEWEST, ANSWERED): 0.1, (USER_ITEM, 11): 0.2}
    blend = LinearEnsemble(features({}, {}, alike), weights(content=1))

    assert explanations(blend, query, np.array([ANSWERED, 11, 9], np.int32)) == {ANSWERED: OLDEST, 11: USER_ITEM}


def test_items_that_lower_scores_are_no_causes(query: Query) -> None:
    blend = LinearEnsemble(features({(OLDEST, ANSWERED): -0.5}, {}), weights(neighbours=1))

    assert explanations(blend, query, np.array([ANSWERED], np.int32)) == {}


def test_without_features_the_newest_items_are_tried(query: Query) -> None:
    scorer = NeighbourScorer(matrix({(OLDEST, ANSWERED): 0.9, (NEWEST, ANSWERED): 0.1}), np.zeros(N_ITEMS, np.float32))

    assert candidate_causes(query, []) == [7, 6, 5, 4, 3]
    assert explanations(scorer, query, np.array([ANSWERED], np.int32)) == {ANSWERED: NEWEST}


def test_the_newest_is_always_tried(query: Query) -> None:
    assert candidate_causes(query, [0, 1, 2, 3, 4, 5]) == [0, 1, 2, 3, NEWEST]
    assert len(candidate_causes(query, [NEWEST, 0])) == MAX_CAUSES


def test_without_history_or_recommended_items_there_are_no_explanations(query: Query) -> None:
    blend = LinearEnsemble(features({}, {}), weights(neighbours=1))
    nothing = np.zeros(0, np.int32)
    empty = Query(0, nothing, nothing.astype(np.float32), nothing.astype(np.int64), nothing, 0)

    assert explanations(blend, query, nothing) == explanations(blend, empty, np.array([ANSWERED], np.int32)) == {}


@pytest.mark.parametrize("seed", range(5))
def test_effects_are_the_drops_of_plain_scorings(query: Query, seed: int) -> None:
    """One batch over all variants against the score with and without each single item."""
    rng = np.random.default_rng(seed)
    pairs = [(int(row), int(column)) for row in range(N_ITEMS) for column in rng.permutation(N_ITEMS)[:6]]
    matrices = [dict(zip(pairs, rng.normal(size=len(pairs)).tolist(), strict=True)) for _ in range(3)]
    row = rng.normal(size=N_FEATURES + 1).astype(np.float32)
    row[FACTORS : FACTORS + 5] = row[-1] = 0  # factors and popularity belong to no item of the history
    blend, items = LinearEnsemble(features(*matrices), np.array([row] * 2)), np.array([9, 2, 5], np.int32)

    causes, effects = ensemble_effects(blend, query, items)
    whole = blend.score(query, None, items)
    assert len(causes) == MAX_CAUSES
    for cause, drops in zip(causes, effects, strict=True):
        others = query.items != cause  # left out, it makes older events younger
        plain = query._replace(
            items=query.items[others], weights=query.weights[others], timestamps=query.timestamps[others]
        )
        other = items != cause  # what an item adds to its own score is left out
        np.testing.assert_allclose(drops[other], (whole - blend.score(plain, None, items))[other], rtol=1e-4, atol=1e-4)


def test_first_positions_count_most(query: Query) -> None:
    answered = np.array([ANSWERED, 11, 8, 9], np.int32)
    lifts = {(cause, item): 0.1 for cause in range(1, 6) for item in (11, 8, 9)}
    blend = LinearEnsemble(features({**lifts, (OLDEST, ANSWERED): 0.5}, {}), weights(neighbours=1))

    causes, _ = ensemble_effects(blend, query, answered)
    assert OLDEST in causes and NEWEST in causes and len(causes) == MAX_CAUSES
    assert explanations(blend, query, answered)[ANSWERED] == OLDEST
