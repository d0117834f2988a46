"""Networks that add nothing to the linear sum of the features end early: successive halving on validation.

After the epochs of each rung, every network is added to the sum on a sample of validation cases. The better half goes
on if it adds anything, and the others only if what they add is more than its standard error. A network that is nearly
as good as the whole sum, and still rises, goes on in any case: on ml-1m, all four add nothing after half a pass over
the events, and 2 to 5 % after some more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recsys.evaluation.metrics import average_precision_at_k
from recsys.evaluation.protocol import EvaluationSet, allowed_items
from recsys.evaluation.ranking import top_k
from recsys.evaluation.results import K
from recsys.features.features import NAMES, Features
from recsys.features.query import Floats, Query
from recsys.training.candidates import ranking_rows

RUNGS = (1, 3)  # epochs after which networks may end
LEAST_CASES = 100  # with fewer, a difference says nothing, and every network is trained to its end
MOST_CASES = 400
NEARLY = 0.7  # share of the sum's MAP@10 from which a network may still catch up
RISE = 1.05  # by how much it has to rise from rung to rung to go on for that
TOP = 40  # candidates from each feature that ranks a whole catalogue, and from each network
SAMPLED = 100  # candidates from all other items
PENALTY = 0.01  # of squared standardised weights
MAX_ITERATIONS = 60
Scores = Callable[[Query], Floats]
Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Gain:
    """What a network adds to the MAP@10 of the linear sum.

    Attributes:
        mean: The mean difference over cases; each case is ranked by weights that were fitted on other cases.
        error: The standard error of the mean.
        alone_share: The MAP@10 of the network alone, as a share of that of the sum.
        goes_on: Whether the network is trained further.
    """

    mean: float
    error: float
    alone_share: float = 0.0
    goes_on: bool = True


def gains(
    features: Features,
    networks: Mapping[str, Scores],
    evaluation_set: EvaluationSet,
    seed: int,
    before: Mapping[str, float] | None = None,
) -> dict[str, Gain]:
    """Return what each network adds, and which of them go on; nothing with too few cases.

    Args:
        features: Features of the events before the validation cut.
        networks: The function that scores all items, `(n_items,)` float32, of each network by its name.
        evaluation_set: The validation set; some of its known users are used.
        seed: Of the sampled cases and candidates.
        before: `alone_share` of each network at the rung before; a network that is missing has risen.
    """
    rng = np.random.default_rng(seed)
    known = np.flatnonzero(evaluation_set.known)
    picked = np.sort(rng.permutation(known)[:MOST_CASES])
    cases = [case for n in picked if (case := _case(features, networks, evaluation_set, int(n), rng))]
    if len(cases) < LEAST_CASES:
        return {}
    n_features = len(NAMES)
    alone = _precisions(cases, np.arange(n_features))
    found = {}
    for n, name in enumerate(networks):
        difference = _precisions(cases, np.append(np.arange(n_features), n_features + n)) - alone
        alone_map = np.mean([_precision(rows[:, n_features + n], n_relevant) for rows, n_relevant in cases])
        error = difference.std(ddof=1) / np.sqrt(len(difference))
        found[name] = Gain(float(difference.mean()), float(error), float(alone_map / max(alone.mean(), 1e-9)))
    return halved(found, before or {})


def halved(found: Mapping[str, Gain], before: Mapping[str, float]) -> dict[str, Gain]:
    """Return the gains with the verdict.

    Args:
        found: What each network adds.
        before: `alone_share` of each network at the rung before.
    """
    by_gain = sorted(found, key=lambda name: -found[name].mean)
    better = by_gain[: -(-len(by_gain) // 2)]

    def goes_on(name: str, gain: Gain) -> bool:
        rises = gain.alone_share >= NEARLY and gain.alone_share >= RISE * before.get(name, 0.0)
        return rises or gain.mean > (0.0 if name in better else gain.error)

    return {name: replace(gain, goes_on=goes_on(name, gain)) for name, gain in found.items()}


def _case(
    features: Features,
    networks: Mapping[str, Scores],
    evaluation_set: EvaluationSet,
    n: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], int] | None:
    """Return the values of a case's candidates `(k, n_columns)`, relevant ones first, and how many are relevant."""
    case = evaluation_set.cases[n]
    allowed = allowed_items(case, evaluation_set.active)
    relevant = case.relevant[allowed[case.relevant]]
    allowed[relevant] = False
    if not len(relevant) or not allowed.any():
        return None
    values = np.concatenate([features.matrix(case.query), *(score(case.query)[None] for score in networks.values())])
    chosen = np.zeros(len(allowed), bool)
    for row in ranking_rows(values):
        chosen[top_k(values[row], TOP, allowed)] = True
    chosen[case.query.items] = True
    chosen[rng.integers(0, len(allowed), SAMPLED)] = True
    others = np.flatnonzero(chosen & allowed)
    return (values[:, np.append(relevant, others)].T, len(relevant)) if len(others) else None


def _precisions(cases: list[tuple[NDArray[np.float32], int]], columns: NDArray[np.int64]) -> Vector:
    """Return the average precision of each case under the weights that were fitted on the other half of the cases."""
    precisions = np.zeros(len(cases))
    for half in (0, 1):
        weights = _fitted([(rows[:, columns], n_relevant) for rows, n_relevant in cases[half::2]])
        for place in range(1 - half, len(cases), 2):
            rows, n_relevant = cases[place]
            precisions[place] = _precision(rows[:, columns] @ weights, n_relevant)
    return precisions


def _precision(scores: NDArray[np.float32], n_relevant: int) -> float:
    """Return the average precision at 10 of a case whose relevant items stand first."""
    top = top_k(np.append(scores[n_relevant:], scores[:n_relevant]), K)  # negatives win ties
    hits = np.arange(len(scores) - n_relevant, len(scores), dtype=np.int32)
    return average_precision_at_k(top, hits, k=K, n_relevant=n_relevant)


def _fitted(cases: list[tuple[NDArray[np.float32], int]]) -> NDArray[np.float32]:
    """Return the weights `(n_columns,)` under which the relevant items of the cases are most likely."""
    from scipy.optimize import minimize

    rows = np.concatenate([values for values, _ in cases])
    lengths = np.array([len(values) for values, _ in cases])
    starts, n_relevant = np.cumsum(lengths) - lengths, np.array([count for _, count in cases])
    place = np.arange(len(rows)) - np.repeat(starts, lengths)
    target = np.where(place < np.repeat(n_relevant, lengths), 1 / np.repeat(n_relevant, lengths), 0.0) / len(cases)
    centred = rows - np.repeat(np.add.reduceat(rows, starts, axis=0) / lengths[:, None], lengths, axis=0)
    deviations = np.maximum(centred.std(0), 1e-9)
    standardised = np.where(deviations > 1e-6, centred / deviations, 0).astype(np.float32)

    def loss(weights: Vector) -> tuple[float, Vector]:
        scores = (standardised @ weights.astype(np.float32)).astype(np.float64)
        exponentials = np.exp(scores - np.repeat(np.maximum.reduceat(scores, starts), lengths))
        shares = exponentials / np.repeat(np.add.reduceat(exponentials, starts), lengths)
        gradient = ((shares / len(cases) - target).astype(np.float32) @ standardised).astype(np.float64)
        value = -float(target @ np.log(np.maximum(shares, 1e-300))) + PENALTY * float(weights @ weights)
        return value, gradient + 2 * PENALTY * weights

    found = minimize(loss, np.zeros(rows.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": MAX_ITERATIONS})
    weights: NDArray[np.float32] = (found.x / deviations * (deviations > 1e-6)).astype(np.float32)
    return weights
