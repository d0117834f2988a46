"""The candidates of test cases: hard negatives by each feature that ranks a catalogue, and a sample of all others."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from recsys.evaluation.protocol import EvaluationCase, EvaluationSet, allowed_items
from recsys.evaluation.ranking import top_k
from recsys.features.features import CONTENT, DENSE, N_FEATURES, NAMES, Features
from recsys.features.query import Floats, Mask, Query
from recsys.training.listwise import ListwiseBatch

MAX_CASES = 2_000
TOP_OF_EACH_FEATURE = 50  # candidates from each feature that ranks a whole catalogue
SAMPLED_CANDIDATES = 300  # candidates sampled from all other items
RANKING = tuple(NAMES.index(name) for name in (*DENSE, "popularity_15d"))
NetworkScore = Callable[[Query], Floats]


def build_batch(
    features: Features,
    network_scores: Mapping[str, NetworkScore],
    evaluation_set: EvaluationSet,
    rng: np.random.Generator,
) -> ListwiseBatch:
    """Return the candidates of each test case with at least one allowed positive and one allowed negative.

    Args:
        features: Features of the events before the cut.
        network_scores: The function that scores all items of each network; one column each, after the features.
        evaluation_set: The validation set; more than 2,000 test cases are sampled down.
        rng: Samples test cases and candidates.
    """
    positions = np.arange(len(evaluation_set))
    if len(evaluation_set) > MAX_CASES:
        positions = np.sort(rng.choice(len(evaluation_set), MAX_CASES, replace=False))
    no_rows = np.zeros((0, N_FEATURES + len(network_scores)), np.float32)
    positives, negatives, log_sampling_weight = [no_rows], [no_rows], [np.zeros(0)]
    for case in (evaluation_set.cases[position] for position in positions):
        allowed = allowed_items(case, evaluation_set.active)
        relevant = case.relevant[allowed[case.relevant]]
        allowed[relevant] = False
        if len(relevant) and allowed.any():
            feature_matrix = _feature_matrix(features, network_scores, case.query)
            items, log_weights = candidates(case, feature_matrix, allowed, rng)
            positives.append(feature_matrix[:, relevant].T)
            negatives.append(feature_matrix[:, items].T)
            log_sampling_weight.append(log_weights)
    positive_query, negative_query = (
        np.repeat(np.arange(len(rows) - 1), [len(row) for row in rows[1:]]) for rows in (positives, negatives)
    )
    return ListwiseBatch(
        np.concatenate(positives),
        positive_query,
        np.concatenate(negatives),
        negative_query,
        np.concatenate(log_sampling_weight),
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
    case: EvaluationCase, feature_matrix: Floats, allowed: Mask, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the negatives of a test case: hard ones, and a sample of all other items.

    Hard negatives are the items of the history and the best items by each ranking feature and each network. A sampled
    negative represents several items. Without that correction the sample would be too small beside the hard negatives,
    and the features would seem to rank badly.

    Args:
        case: The test case; its own candidates are returned, if it has any.
        feature_matrix: `(N_FEATURES + n_networks, n_items)` float32.
        allowed: `(n_items,)` bool, the items that may be recommended and are not relevant; at least one.
        rng: Draws the sample.

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
