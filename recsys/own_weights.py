"""λ₁ and λ₂: how much a customer's own counts add to a network's logits, chosen on validation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from recsys.evaluation import Exam, K
from recsys.scorers import Scorer
from recsys.scorers.history import own_counts

GRID = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)


def fit_own_weights(scorer: Scorer, exam: Exam) -> tuple[NDArray[np.float32], Sequence[dict[str, float]]]:
    """Return the best λ for a network under an exam's repeat rule, and the trials that led to it.

    Args:
        scorer: With own weights of zero.
        exam: Of the validation part.

    Returns:
        `(2,)` float32, the smallest pair of the grid with the highest MAP@10; one entry for each pair tried.
    """
    cases = [_case(scorer, exam, n) for n in range(len(exam))]
    trials = []
    for counted, decayed in product(GRID, GRID):
        precisions = [_average_precision(case, counted, decayed) for case in cases]
        trials.append({"own_count": counted, "own_decayed": decayed, "map10": float(np.mean(precisions)) if precisions else 0.0})
    best = max(trials, key=lambda trial: (trial["map10"], -trial["own_count"] - trial["own_decayed"]))
    return np.array([best["own_count"], best["own_decayed"]], np.float32), trials


Case = tuple[NDArray, NDArray, NDArray, NDArray, int]


def _case(scorer: Scorer, exam: Exam, n: int) -> Case:
    """Return what a question's top 10 can be made of: her own items, and the ten best of the others."""
    question = exam.questions[n]
    scores = scorer.score(question.query)
    own, counts, decayed = own_counts(question.query)
    allowed = exam.active.copy()
    allowed[question.hidden] = False
    mine = allowed[own]
    own, counts, decayed = own[mine], counts[mine], decayed[mine]
    allowed[own] = False
    others = np.flatnonzero(allowed)
    if len(others) > K:
        others = others[np.argpartition(-scores[others], K - 1)[:K]]
    items, nothing = np.concatenate([own, others]), np.zeros(len(others), np.float32)
    counts, decayed = np.concatenate([np.log1p(counts), nothing]), np.concatenate([decayed, nothing])
    return scores[items], counts, decayed, np.isin(items, question.relevant), len(question.relevant) + question.n_misses


def _average_precision(case: Case, counted: float, decayed: float) -> float:
    scores, counts, fading, relevant, n_relevant = case
    ranked = np.argsort(-(scores + counted * counts + decayed * fading), kind="stable")[:K]
    hits = relevant[ranked]
    return float((hits * np.cumsum(hits) / np.arange(1, len(hits) + 1)).sum() / min(K, n_relevant))
