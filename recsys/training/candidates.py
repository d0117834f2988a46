"""The candidates of test cases: the best items by features, networks and sums, and a sample of all others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from recsys.evaluation.protocol import EvaluationCase, EvaluationSet, allowed_items, sampled_cases
from recsys.evaluation.ranking import top_k
from recsys.evaluation.results import K
from recsys.evaluation.rules import Moment, by_user, moment_of
from recsys.features.features import CONTENT, DENSE, N_FEATURES, NAMES, Features
from recsys.features.query import Floats, Mask, Query
from recsys.training.listwise import ListwiseBatch

MAX_CASES = 2_000
TOP_OF_EACH_FEATURE = 50  # candidates from each feature that ranks a whole catalogue
TOP_OF_EACH_SUM = 2 * K  # … and from each sum: their ten best, and what other folds of the cases put there
SAMPLED_CANDIDATES = 300  # candidates sampled from all other items
RANKING = tuple(NAMES.index(name) for name in (*DENSE, "popularity_15d"))
NetworkScore = Callable[[Query], Floats]


def build_batches(
    features: Features,
    network_scores: Mapping[str, NetworkScore],
    evaluation_sets: Mapping[str, EvaluationSet],
    rngs: Mapping[str, np.random.Generator],
    sums: Mapping[str, Floats] | None = None,
    at_most: int = MAX_CASES,
) -> dict[str, ListwiseBatch]:
    """Return the candidates of each test case with at least one allowed positive and one allowed negative, by rule.

    Args:
        features: Features of the events before the cut.
        network_scores: The function that scores all items of each network; one column each, after the features.
        evaluation_sets: The validation set of each rule.
        rngs: For each rule, a generator that samples test cases and candidates; with one seed, all rules have the same
            users, whose features and scores are computed once.
        sums: For each rule, weights `(n_sums, N_FEATURES + n_networks)` float32; the best items of each of these sums
            are candidates, too.
        at_most: The most test cases of a rule; others are left out by chance.
    """
    few = {rule: _sampled(rule_set, rngs[rule], at_most) for rule, rule_set in evaluation_sets.items()}
    cases = {rule: _Cases(N_FEATURES + len(network_scores)) for rule in evaluation_sets}
    last: Moment | None = None
    for rule, _, case in by_user(few):
        allowed = allowed_items(case, few[rule].active)
        relevant = case.relevant[allowed[case.relevant]]
        allowed[relevant] = False
        if len(relevant) and allowed.any():
            if last != moment_of(case.query):
                last, feature_matrix = moment_of(case.query), _feature_matrix(features, network_scores, case.query)
            of_sums = sums[rule] @ feature_matrix if sums else feature_matrix[:0]
            items, log_weights = candidates(case, feature_matrix, allowed, rngs[rule], of_sums)
            cases[rule].add(feature_matrix[:, relevant].T, feature_matrix[:, items].T, log_weights)
    return {rule: of_rule.batch() for rule, of_rule in cases.items()}


def _sampled(evaluation_set: EvaluationSet, rng: np.random.Generator, at_most: int) -> EvaluationSet:
    positions = sampled_cases(evaluation_set.cases, at_most, rng)
    return replace(evaluation_set, cases=tuple(evaluation_set.cases[n] for n in positions))


class _Cases:
    """The candidates of the test cases so far."""

    def __init__(self, n_columns: int) -> None:
        nothing = np.zeros((0, n_columns), np.float32)
        self._positives, self._negatives, self._log_weights = [nothing], [nothing], [np.zeros(0)]

    def add(self, positives: Floats, negatives: Floats, log_weights: NDArray[np.float64]) -> None:
        self._positives.append(positives)
        self._negatives.append(negatives)
        self._log_weights.append(log_weights)

    def batch(self) -> ListwiseBatch:
        positive_query, negative_query = (
            np.repeat(np.arange(len(of_cases) - 1), [len(of_case) for of_case in of_cases[1:]])
            for of_cases in (self._positives, self._negatives)
        )
        return ListwiseBatch(
            np.concatenate(self._positives),
            positive_query,
            np.concatenate(self._negatives),
            negative_query,
            np.concatenate(self._log_weights),
        )


def _feature_matrix(features: Features, network_scores: Mapping[str, NetworkScore], query: Query) -> Floats:
    """Return the features and then the network scores of all items, `(N_FEATURES + n_networks, n_items)` float32.

    Raises:
        ValueError: A feature or a score is not finite.
    """
    network_rows = (network_score(query)[None] for network_score in network_scores.values())
    feature_matrix = np.concatenate([features.matrix(query), *network_rows], dtype=np.float32)
    for name, row in zip((*NAMES, *network_scores), feature_matrix, strict=True):
        if not np.isfinite(row).all():
            value = row[~np.isfinite(row)][0]
            raise ValueError(f"`{name}` should be finite scores. Received: {value} for user {query.user}.")
    return feature_matrix


def candidates(
    case: EvaluationCase, feature_matrix: Floats, allowed: Mask, rng: np.random.Generator, of_sums: Floats
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the negatives of a test case: hard ones, and a sample of all other items.

    Hard negatives are the items of the history and the best items by each ranking feature, each network and each sum. A
    sampled negative represents several items. Without that correction the sample would be too small beside the hard
    negatives, and the features would seem to rank badly.

    Args:
        case: The test case; its own candidates are returned, if it has any.
        feature_matrix: `(N_FEATURES + n_networks, n_items)` float32.
        allowed: `(n_items,)` bool, the items that may be recommended and are not relevant; at least one.
        rng: Draws the sample.
        of_sums: `(n_sums, n_items)` float32, the scores of some sums.

    Returns:
        `(k,)` distinct item indices; `(k,)` float64, the log of the number of items that each one represents.
    """
    if case.candidates is not None:
        items = np.flatnonzero(allowed)
        return items, np.zeros(len(items))
    hard = np.zeros(len(allowed), bool)
    hard[case.query.items] = True
    for row in ranking_rows(feature_matrix):
        hard[top_k(feature_matrix[row], TOP_OF_EACH_FEATURE, allowed)] = True
    for scores in of_sums:
        hard[top_k(scores, TOP_OF_EACH_SUM, allowed)] = True
    hard &= allowed
    easy = np.flatnonzero(allowed & ~hard)
    sample = rng.choice(easy, min(SAMPLED_CANDIDATES, len(easy)), replace=False)
    log_weight = np.log(len(easy) / len(sample)) if len(sample) else 0.0
    return np.concatenate([np.flatnonzero(hard), sample]), np.repeat([0.0, log_weight], [hard.sum(), len(sample)])


def ranking_rows(feature_matrix: Floats) -> list[int]:
    """Return the rows of features and networks that rank the catalogue.

    Content is left out where it knows nothing of the history: its first items would be the same for everybody.

    Args:
        feature_matrix: `(N_FEATURES + n_networks, n_items)` float32.
    """
    features = [row for row in RANKING if row != CONTENT or feature_matrix[row].any()]
    return [*features, *range(N_FEATURES, len(feature_matrix))]
