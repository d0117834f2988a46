"""λ₁ and λ₂: how much a customer's own counts add to a network's logits, chosen on validation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from recsys.evaluation import Exam, K, allowed_items
from recsys.ranking import top_k
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
    allowed = allowed_items(question, exam.active)
    mine = allowed[own]
    own, counts, decayed = own[mine], counts[mine], decayed[mine]
    allowed[own] = False
    others = top_k(scores, K, allowed)
    nothing = np.zeros(len(others), np.float32)
    order = np.argsort(np.concatenate([own, others]))  # equal scores rank by ascending index, as everywhere
    items, counts, decayed = (np.concatenate(pair)[order] for pair in ((own, others), (np.log1p(counts), nothing), (decayed, nothing)))
    return scores[items], counts, decayed, np.isin(items, question.relevant), question.n_relevant


def _average_precision(case: Case, counted: float, decayed: float) -> float:
    scores, counts, fading, relevant, n_relevant = case
    ranked = np.argsort(-(scores + counted * counts + decayed * fading), kind="stable")[:K]
    hits = relevant[ranked]
    return float((hits * np.cumsum(hits) / np.arange(1, len(hits) + 1)).sum() / min(K, n_relevant))
