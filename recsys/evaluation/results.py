"""The metrics of scorers on evaluation sets: of each user, and one row of the report for each scorer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.errors.records import Record
from recsys.evaluation.metrics import (
    Calibration,
    auc,
    average_precision_at_k,
    bootstrap_interval,
    coverage,
    hit_rate_at_k,
    ndcg_at_k,
    precision_at_k,
    recall_at_k,
    rmse,
)
from recsys.evaluation.protocol import EvaluationSet, allowed_items
from recsys.evaluation.ranking import top_k
from recsys.evaluation.rules import Moment, Once, by_user, moment_of
from recsys.features.features import FeatureValues
from recsys.features.query import Floats, Indices, Mask, Query
from recsys.scorers.base import Scorer
from recsys.scorers.layers import LinearEnsemble

K = 10
RANKING_METRICS: Mapping[str, Callable[..., float]] = {
    "precision10": precision_at_k,
    "map10": average_precision_at_k,
    "ndcg10": ndcg_at_k,
    "hr10": hit_rate_at_k,
    "recall10": recall_at_k,
}


class EvaluationResult(Record):
    """All metrics of one scorer on one evaluation set.

    Attributes:
        per_user: `(n_cases,)` float64 for each metric; NaN where it is undefined.
        lists: The ten best items of each test case, int32.
        pair_logits: `(n_pairs,)` float32, the scores of the pairs, case by case.
        pair_labels: `(n_pairs,)` bool, whether each pair is relevant.
        n_unreachable: The number of relevant items that cannot be recommended, over all cases; they are in no pair.
    """

    per_user: Mapping[str, NDArray[np.float64]]
    lists: tuple[Indices, ...]
    pair_logits: Floats
    pair_labels: Mask
    n_unreachable: int = 0


def evaluate_set(scorers: Mapping[str, Scorer], evaluation_set: EvaluationSet) -> dict[str, EvaluationResult]:
    """Evaluate several scorers on an evaluation set; see `evaluate_all`.

    Args:
        scorers: The scorers by name; all ensembles among them have the same features.
        evaluation_set: The set to evaluate on.
    """
    return evaluate_all(scorers, {"": evaluation_set})[""]


def evaluate_all(
    scorers: Mapping[str, Scorer], evaluation_sets: Mapping[str, EvaluationSet]
) -> dict[str, dict[str, EvaluationResult]]:
    """Evaluate several scorers on the evaluation set of each repeat rule, user by user.

    Scorers share the features of a query, and rules share the scores of each network and each baseline.

    Args:
        scorers: The scorers by name; all ensembles among them have the same features. None but an ensemble may read the
            rule of a query.
        evaluation_sets: The set of each rule, after one cut.

    Returns:
        The results by rule and by name.
    """
    once = {name: _once(scorer) for name, scorer in scorers.items()}
    found = {
        rule: _Found(len(evaluation_set), {name: _Scored(len(evaluation_set)) for name in scorers})
        for rule, evaluation_set in evaluation_sets.items()
    }
    features: FeatureValues | None = None
    last: Moment | None = None
    for rule, n, case in by_user(evaluation_sets):
        if last != moment_of(case.query):
            last, features = moment_of(case.query), shared_features(scorers.values(), case.query)
        allowed, of_rule = allowed_items(case, evaluation_sets[rule].active), found[rule]
        relevant = np.zeros(len(allowed), bool)
        relevant[case.relevant] = True
        pairs = evaluation_sets[rule].pairs[n]
        of_rule.labels[n] = relevant[pairs]
        of_rule.n_unreachable += case.n_relevant - int(allowed[case.relevant].sum())
        for name, scorer in once.items():
            scores, scored = scorer.score(case.query, features), of_rule.scored[name]
            top = top_k(scores, K, allowed)
            for metric, metric_at_k in RANKING_METRICS.items():
                scored.per_user[metric][n] = metric_at_k(top, case.relevant, k=K, n_relevant=case.n_relevant)
            scored.per_user["auc"][n] = auc(scores, relevant, allowed, n_relevant=case.n_relevant)
            scored.lists[n], scored.logits[n] = top, scores[pairs]
    return {rule: of_rule.results() for rule, of_rule in found.items()}


class _Scored:
    """What a scorer has reached on n test cases under one rule."""

    def __init__(self, n: int) -> None:
        self.per_user = {metric: np.full(n, np.nan) for metric in (*RANKING_METRICS, "auc")}
        self.lists = [np.zeros(0, np.int32)] * n
        self.logits = [np.zeros(0, np.float32)] * n


class _Found:
    """What all scorers have reached on n test cases under one rule."""

    def __init__(self, n: int, scored: Mapping[str, _Scored]) -> None:
        self.scored, self.labels, self.n_unreachable = scored, [np.zeros(0, bool)] * n, 0

    def results(self) -> dict[str, EvaluationResult]:
        labels = np.concatenate([np.zeros(0, bool), *self.labels])
        return {
            name: EvaluationResult(
                scored.per_user,
                tuple(scored.lists),
                np.concatenate([np.zeros(0, np.float32), *scored.logits]),
                labels,
                self.n_unreachable,
            )
            for name, scored in self.scored.items()
        }


def _once(scorer: Scorer) -> Scorer:
    """Return a scorer that scores each query once for all rules, as far as the rules do not change its scores."""
    if not isinstance(scorer, LinearEnsemble):
        return Once(scorer)
    return scorer if scorer.network is None else replace(scorer, network=Once(scorer.network))


def shared_features(scorers: Iterable[Scorer], query: Query, items: Indices | None = None) -> FeatureValues | None:
    """Return the features of a query that all ensembles among some scorers share; None without an ensemble."""
    ensemble = next((scorer for scorer in scorers if isinstance(scorer, LinearEnsemble)), None)
    return None if ensemble is None else ensemble.features.compute(query, items)


def mean_average_precision(scorer: Scorer, evaluation_set: EvaluationSet, limit: int = 2000) -> float:
    """Return MAP@10 over known users, 0 to 1: a fast validation metric; 0 without known users.

    Args:
        scorer: The scorer to evaluate.
        evaluation_set: The validation set.
        limit: The largest number of users; more are thinned out evenly.
    """
    precisions = average_precisions(scorer, evaluation_set, limit)
    return float(precisions.mean()) if len(precisions) else 0.0


def average_precisions(scorer: Scorer, evaluation_set: EvaluationSet, limit: int) -> NDArray[np.float64]:
    """Return AP@10 of known users, `(at most limit,)` float64; arguments as of `mean_average_precision`."""
    known = np.flatnonzero(evaluation_set.known)
    sampled = known[np.linspace(0, len(known) - 1, min(limit, len(known))).astype(int)]
    precisions = np.zeros(len(sampled))
    for place, case in enumerate(evaluation_set.cases[n] for n in sampled):
        top = top_k(scorer.score(case.query), K, allowed_items(case, evaluation_set.active))
        precisions[place] = average_precision_at_k(top, case.relevant, n_relevant=case.n_relevant)
    return precisions


def summarise(
    result: EvaluationResult, evaluation_set: EvaluationSet, calibration: Calibration | None, rng: np.random.Generator
) -> dict[str, Any]:
    """Return one row of the report: means over known users, intervals of MAP@10 and P@10, and MAP@10 of unseen users.

    Args:
        result: The result of one scorer.
        evaluation_set: The set behind the result.
        calibration: From logits to probabilities, fitted on validation; None leaves out RMSE.
        rng: Source of the bootstrap.
    """
    known = evaluation_set.known
    row: dict[str, Any] = {name: _mean(values[known]) for name, values in result.per_user.items()}
    for name, source in (("map10", rng), ("precision10", rng.spawn(1)[0])):
        interval = bootstrap_interval(result.per_user[name][known], source) if known.any() else (None, None)
        row[f"{name}_low"], row[f"{name}_high"] = interval
    has_pairs = len(result.pair_labels) or result.n_unreachable
    row["rmse"] = _rmse(result, calibration) if calibration and has_pairs else None
    row["coverage"] = coverage(result.lists, max(int(evaluation_set.active.sum()), 1))
    row["users"] = int(known.sum())
    row["unseen_users"] = int((~known).sum())
    row["unseen_map10"] = _mean(result.per_user["map10"][~known])
    return row


def _rmse(result: EvaluationResult, calibration: Calibration) -> float:
    """Return the RMSE over the pairs and over unreachable relevant items, whose predicted probability is 0."""
    predicted = np.append(calibration.apply(result.pair_logits), np.zeros(result.n_unreachable))
    return rmse(predicted, np.append(result.pair_labels, np.ones(result.n_unreachable)))


def _mean(values: NDArray[np.float64]) -> float | None:
    """Return the mean of the values that are not NaN; None without any."""
    return float(np.nanmean(values)) if np.isfinite(values).any() else None
