"""Metrics of scorers on an evaluation set, user by user."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

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
from recsys.evaluation.results import shared_features
from recsys.features.features import FeatureValues
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
    """Metrics of one scorer on one evaluation set.

    Attributes:
        per_user: `(n_cases,)` float64 of each metric.
        coverage: Share of the active items that appear in a list of ten, 0 to 1.
    """

    per_user: Mapping[str, NDArray[np.float64]]
    coverage: float


def evaluate_scorers(scorers: Mapping[str, Scorer], evaluation_set: EvaluationSet) -> dict[str, EvaluationResult]:
    """Evaluate every scorer on every test case; the features that they share are computed once for each case."""
    lists: dict[str, list[NDArray[np.int32]]] = {name: [] for name in scorers}
    for case in evaluation_set.cases:
        features = shared_features(scorers.values(), case.query, case.candidates)
        for name, scorer in scorers.items():
            lists[name].append(best_items(scorer, case, evaluation_set.active, features))
    return {name: result_of_lists(ranked, evaluation_set) for name, ranked in lists.items()}


def result_of_lists(lists: Sequence[NDArray[np.int32]], evaluation_set: EvaluationSet) -> EvaluationResult:
    """Return the metrics of one scorer's lists.

    Args:
        lists: One list for each test case, best item first.
        evaluation_set: The test cases.
    """
    per_user = {name: np.zeros(len(lists)) for name in METRICS}
    for n, (ranked, case) in enumerate(zip(lists, evaluation_set.cases, strict=True)):
        for name, (metric, k) in METRICS.items():
            per_user[name][n] = metric(ranked, case.relevant, k=k, n_relevant=case.n_relevant)
    return EvaluationResult(per_user, coverage([ranked[:10] for ranked in lists], int(evaluation_set.active.sum())))


def best_items(
    scorer: Scorer, case: EvaluationCase, active: NDArray[np.bool_], features: FeatureValues | None = None
) -> NDArray[np.int32]:
    """Return the 20 best items, best first; a NaN among the scores gives an empty list.

    Among candidates of the test case, later ones lose ties: the positive stands last and loses all of its ties. In the
    whole catalogue ties are ordered by ascending index.
    """
    if case.candidates is None:
        scores = scorer.score(case.query, features)
        return NOTHING if np.isnan(scores).any() else top_k(scores, DEEPEST, allowed_items(case, active))
    scores = scorer.score(case.query, features, case.candidates)
    return NOTHING if np.isnan(scores).any() else case.candidates[top_k(scores, DEEPEST)]
