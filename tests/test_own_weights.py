"""λ₁ and λ₂ on exams whose best pair is known by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.evaluation import Exam, Question, sit
from recsys.own_weights import GRID, fit_own_weights
from recsys.scorers import Query, Scorer
from recsys.scorers.bmf import BMF
from recsys.scorers.taste import Taste

DAY = 86_400
NOW = 1_700_000_000
N_ITEMS = 30


def asked(items: list[int], days_ago: list[float], relevant: list[int], hidden: tuple[int, ...] = (), n_misses: int = 0) -> Question:
    query = Query(
        user=0,
        items=np.array(items, np.int32),
        weights=np.ones(len(items), np.float32),
        timestamps=np.array([NOW - int(days * DAY) for days in days_ago], np.int64),
        context=np.zeros(0, np.int32),
        now=NOW,
        repeats=True,
    )
    return Question(query, np.array(relevant, np.int32), n_misses, np.array(hidden, np.int32))


def exam_of(*questions: Question) -> Exam:
    known, pairs = np.ones(len(questions), bool), tuple(question.relevant for question in questions)
    return Exam(questions, known, 0, np.ones(N_ITEMS, bool), pairs)


def scorer_of(scores: NDArray[np.float32], own_weights: NDArray[np.float32] | None = None) -> Scorer:
    """Return a BMF that gives everybody these scores, plus the own-count terms."""
    nothing = np.zeros((N_ITEMS, 1), np.float32)
    taste = Taste(np.zeros((1, 1), np.float32), nothing, nothing, np.array([0.9, 0.5], np.float32))
    weights = np.zeros((2, 2), np.float32) if own_weights is None else own_weights
    return BMF(taste, np.zeros(1, np.float32), nothing, scores.astype(np.float32), np.zeros((), np.float32), weights)


def test_the_smallest_pair_that_lifts_the_customers_own_item_wins() -> None:
    """Item 29, had once 60 days ago, is relevant; all others score 1 more. It needs λ₁·log 2 + λ₂·½ > 1, for it loses ties.

    Pairs with a sum of 2: 1·0.693 + 1·0.5 = 1.193 and 2·0.693 do, 2·0.5 = 1 does not; no smaller sum does (1·0.693 + 0.5·0.5 = 0.943).
    """
    scores = np.ones(N_ITEMS, np.float32)
    scores[29] = 0.0

    best, trials = fit_own_weights(scorer_of(scores), exam_of(asked([29], [60], relevant=[29])))

    assert best.tolist() == [1.0, 1.0]
    assert best.dtype == np.float32
    assert len(trials) == len(GRID) ** 2
    reached = {(trial["own_count"], trial["own_decayed"]): trial["map10"] for trial in trials}
    assert reached[0.0, 0.0] == reached[0.0, 2.0] == reached[1.0, 0.5] == 0.0
    assert reached[2.0, 0.0] == reached[1.0, 1.0] == reached[0.5, 2.0] == 1.0


def test_counts_that_mislead_are_given_no_weight() -> None:
    scores = np.linspace(1, 0, N_ITEMS)

    best, _ = fit_own_weights(scorer_of(scores), exam_of(asked([20, 20, 21], [1, 2, 3], relevant=[0])))

    assert best.tolist() == [0.0, 0.0]


def test_what_may_not_be_answered_is_given_no_weight() -> None:
    best, trials = fit_own_weights(scorer_of(np.ones(N_ITEMS)), exam_of(asked([29], [1], relevant=[5], hidden=(29,))))

    assert best.tolist() == [0.0, 0.0]
    assert {trial["map10"] for trial in trials} == {1 / 6}  # always at rank 6 of equals


def test_an_empty_exam_gives_no_weight() -> None:
    best, trials = fit_own_weights(scorer_of(np.ones(N_ITEMS)), exam_of())

    assert best.tolist() == [0.0, 0.0]
    assert {trial["map10"] for trial in trials} == {0.0}


@pytest.mark.parametrize("among_candidates", [False, True])
def test_every_trial_is_what_the_scorer_with_these_weights_reaches_in_the_exam(among_candidates: bool, rng: np.random.Generator) -> None:
    scores = np.round(rng.normal(size=N_ITEMS), 1).astype(np.float32)  # rounded: some are equal
    questions = []
    for _ in range(12):
        items = rng.integers(0, N_ITEMS, 9)
        hidden = tuple(items[:2].tolist())
        relevant = np.setdiff1d(rng.integers(0, N_ITEMS, 5), hidden)
        question = asked(items.tolist(), rng.uniform(0, 200, 9).tolist(), relevant.tolist(), hidden, n_misses=int(rng.integers(3)))
        if among_candidates:
            question = replace(question, candidates=np.union1d(rng.permutation(N_ITEMS)[:14], relevant).astype(np.int32))
        questions.append(question)
    exam = exam_of(*questions)

    _, trials = fit_own_weights(scorer_of(scores), exam)

    for trial in trials:
        weights = np.array([[math.nan, math.nan], [trial["own_count"], trial["own_decayed"]]], np.float32)  # repeats are allowed
        marks = sit(scorer_of(scores, weights), exam)
        assert trial["map10"] == pytest.approx(marks.per_user["map10"].mean(), abs=1e-9)
