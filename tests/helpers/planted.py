"""Features, test cases and evaluation sets by hand, and relevant items that follow known weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from recsys.evaluation.protocol import EvaluationCase, EvaluationSet
from recsys.features.features import Features, Neighbours
from recsys.features.query import Query
from recsys.training.candidates import NetworkScore, build_batches
from recsys.training.listwise import ListwiseBatch

NOW = 1_700_000_000


def features_of(factors: NDArray, popularity: NDArray | None = None, content: Neighbours | None = None) -> Features:
    """Return features of which only `factors`, the first popularity, content and the user-item ones differ from 0.

    Args:
        factors: `(n_users, n_items)`.
        popularity: `(n_items,)`.
        content: The matrix of content.
    """
    n_items = factors.shape[1]
    no_neighbours = Neighbours.nothing(n_items)
    popularities = np.zeros((4, n_items), np.float32)
    popularities[0] = 0 if popularity is None else popularity
    vectors = factors.astype(np.float32), np.eye(n_items, dtype=np.float32)
    return Features(no_neighbours, no_neighbours, no_neighbours if content is None else content, *vectors, popularities)


def case_of(
    user: int, relevant: Sequence[int], items: Sequence[int] = (), hidden: Sequence[int] = (), n_unreachable: int = 0
) -> EvaluationCase:
    query = Query(
        user=user,
        items=np.array(items, np.int32),
        weights=np.ones(len(items), np.float32),
        timestamps=np.full(len(items), NOW - 86_400, np.int64),
        context=np.zeros(0, np.int32),
        now=NOW,
    )
    return EvaluationCase(query, np.array(relevant, np.int32), n_unreachable, np.array(hidden, np.int32))


def evaluation_set_of(cases: Sequence[EvaluationCase], n_items: int, inactive: Sequence[int] = ()) -> EvaluationSet:
    active = np.ones(n_items, bool)
    active[list(inactive)] = False
    return EvaluationSet(tuple(cases), np.ones(len(cases), bool), 0, active, tuple(case.relevant for case in cases))


def planted(
    rng: np.random.Generator, n_cases: int, n_items: int, weights: tuple[float, float], n_relevant: int = 1
) -> tuple[Features, EvaluationSet]:
    """Return relevant items drawn from the softmax of `weights[0]·factors + weights[1]·popularity`."""
    factors, popularity = rng.normal(size=(n_cases, n_items)), rng.normal(size=n_items)
    cases = []
    for user, row in enumerate(factors):
        noise = rng.gumbel(size=n_items)  # the largest score plus noise is a draw from the softmax
        best = np.argsort(-(weights[0] * row + weights[1] * popularity + noise))[:n_relevant]
        cases.append(case_of(user, np.sort(best).tolist()))
    return features_of(factors, popularity), evaluation_set_of(cases, n_items)


def build_batch(
    features: Features,
    network_scores: Mapping[str, NetworkScore],
    evaluation_set: EvaluationSet,
    rng: np.random.Generator,
) -> ListwiseBatch:
    """Return the candidates of one evaluation set."""
    return build_batches(features, network_scores, {"": evaluation_set}, {"": rng})[""]
