"""What a scorer makes of an exam, user by user."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recsys.evaluation.metrics import (
    average_precision_at_k,
    coverage,
    hit_rate_at_k,
    ndcg_at_k,
    precision_at_k,
    recall_at_k,
)
from recsys.evaluation.protocol import EvaluationCase, EvaluationSet, allowed_items
from recsys.evaluation.ranking import top_k
from recsys.scorers.base import Scorer

METRICS: Mapping[str, tuple[Callable[..., float], int]] = {
    "hr10": (hit_rate_at_k, 10),
    "ndcg10": (ndcg_at_k, 10),
    "p10": (precision_at_k, 10),
    "map10": (average_precision_at_k, 10),
    "recall20": (recall_at_k, 20),
}
DEEPEST = max(k for _, k in METRICS.values())
NOTHING = np.zeros(0, np.int32)


@dataclass(frozen=True)
class EvaluationResult:
    """What one scorer made of one exam.

    Attributes:
        per_user: `(n_cases,)` float64 of each metric.
        coverage: The share of the items sold that the lists of ten show, 0 to 1.
    """

    per_user: Mapping[str, NDArray[np.float64]]
    coverage: float


def evaluate_scorers(scorers: Mapping[str, Scorer], evaluation_set: EvaluationSet) -> dict[str, EvaluationResult]:
    """Let scorers sit an exam, question after case.

    A question remembers what its scorers have in common. Each is asked of a copy, so that an exam of twenty thousand
    does not end up with as many rows of the catalogue in memory.
    """
    lists: dict[str, list[NDArray[np.int32]]] = {name: [] for name in scorers}
    for case in evaluation_set.cases:
        asked = replace(case, query=replace(case.query))
        for name, scorer in scorers.items():
            lists[name].append(best_items(scorer, asked, evaluation_set.active))
    return {name: result_of_lists(given, evaluation_set) for name, given in lists.items()}


def result_of_lists(lists: Sequence[NDArray[np.int32]], evaluation_set: EvaluationSet) -> EvaluationResult:
    """Return the results of one scorer's answers.

    Args:
        lists: One a case, best first.
        evaluation_set: The questions.
    """
    per_user = {name: np.zeros(len(lists)) for name in METRICS}
    for n, (ranked, case) in enumerate(zip(lists, evaluation_set.cases, strict=True)):
        for name, (metric, k) in METRICS.items():
            per_user[name][n] = metric(ranked, case.relevant, k=k, n_relevant=case.n_relevant)
    return EvaluationResult(per_user, coverage([ranked[:10] for ranked in lists], int(evaluation_set.active.sum())))


def best_items(scorer: Scorer, case: EvaluationCase, active: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return the 20 best items, best first; a question that is answered with NaN is lost.

    Among a question's own candidates the later ones lose ties: the positive, which stands last, loses all of its own.
    In the whole catalogue ties go by ascending index.
    """
    if case.candidates is None:
        scores = scorer.score(case.query)
        return NOTHING if np.isnan(scores).any() else top_k(scores, DEEPEST, allowed_items(case, active))
    scores = scorer.score(case.query, case.candidates)
    return NOTHING if np.isnan(scores).any() else case.candidates[top_k(scores, DEEPEST)]
