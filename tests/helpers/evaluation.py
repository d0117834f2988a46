"""The evaluation of one scorer alone."""

from __future__ import annotations

from recsys.evaluation.protocol import EvaluationSet
from recsys.evaluation.results import EvaluationResult, evaluate_set
from recsys.scorers.base import Scorer


def evaluate_one(scorer: Scorer, evaluation_set: EvaluationSet) -> EvaluationResult:
    """Return the metrics of a scorer on an evaluation set."""
    return evaluate_set({"": scorer}, evaluation_set)[""]
