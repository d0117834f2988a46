"""The weights of a linear ensemble, fitted by listwise maximum likelihood (conditional logit).

Each test case of the validation set is a choice of its relevant items among all allowed items. `build_batch` samples
these candidates. `maximise` fits weights for one set of hyperparameters, and `select_hyperparameters` chooses that set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.errors.wording import listed
from recsys.evaluation.metrics import average_precision_at_k
from recsys.evaluation.protocol import EvaluationCase, EvaluationSet, K, allowed_items
from recsys.evaluation.ranking import top_k
from recsys.features.features import DENSE, N_FEATURES, NAMES, POPULARITIES, Features
from recsys.features.query import Query

MAX_CASES = 2_000
TOP_OF_EACH_FEATURE = 50  # candidates from each feature that ranks a whole catalogue
SAMPLED_CANDIDATES = 300  # candidates sampled from all other items
PENALTIES = (1.0, 1e-1, 1e-2, 1e-3)  # strongest first, because the first wins ties
# 1: a sampled negative represents all the items it was drawn from; 0: it counts as one, so that the top matters most
SAMPLING_CORRECTION_POWERS = (1.0, 0.0)
MAX_ITERATIONS = 200
NETWORK = "network"  # the name of the last weight
# The weight of popularity if it may not have a fitted one: it orders items that are equal in every other feature
TIE_BREAK = 1e-6
RANKING = tuple(NAMES.index(name) for name in (*DENSE, "popularity_15d"))
# The weights where there is nothing to fit on
FALLBACK: Mapping[str, float] = {"popularity_15d": 0.5, "own_count": 1.0, NETWORK: 1.0}
NetworkScore = Callable[[Query], NDArray[np.float32]]


@dataclass(frozen=True)
class EnsembleFit:
    """The fitted weights of one linear ensemble.

    Attributes:
        weights: `(N_FEATURES + 1,)` float32, for features in their own units; the last one is for the network score.
        log_likelihood: The mean over test cases, without the penalty; None where nothing was fitted.
        n_cases: The number of test cases with an allowed relevant item; with none, the weights are `FALLBACK`.
        trials: The hyperparameters that were tried and the state of the optimiser, for the report.
    """

    weights: NDArray[np.float32]
    log_likelihood: float | None
    n_cases: int
    trials: Mapping[str, Any]

    @property
    def fitted(self) -> bool:
        """Whether the weights were fitted; otherwise they are `FALLBACK`."""
        return self.n_cases > 0


@dataclass(frozen=True)
class EnsembleHyperparameters:
    """How the likelihood of an ensemble is maximised.

    Attributes:
        penalty: The weight of the squared standardised weights in the loss, 0 or above.
        sampling_correction_power: The exponent of a sampled negative's importance weight, 0 to 1.
        popularity: Whether popularity features may have fitted weights. The likelihood alone would always give
            them some, because popularity predicts well far below the top.
    """

    penalty: float = PENALTIES[0]
    sampling_correction_power: float = SAMPLING_CORRECTION_POWERS[0]
    popularity: bool = True


@dataclass(frozen=True)
class ListwiseBatch:
    """The candidates of all queries: the chosen items as positives, the other items as negatives.

    Attributes:
        positives: `(n_positives, n_features)` floats, query by query; each query has at least one.
        positive_query: `(n_positives,)` int64, the query of each positive, ascending from 0.
        negatives: `(n_negatives, n_features)` floats, query by query; each query has at least one.
        negative_query: `(n_negatives,)` int64, the query of each negative, ascending from 0.
        log_sampling_weight: `(n_negatives,)` float64, the log of the number of items that each negative represents.
    """

    positives: NDArray[np.floating]
    positive_query: NDArray[np.int64]
    negatives: NDArray[np.floating]
    negative_query: NDArray[np.int64]
    log_sampling_weight: NDArray[np.float64]

    def __len__(self) -> int:
        return int(self.positive_query[-1]) + 1 if len(self.positive_query) else 0

    @property
    def parts(self) -> tuple[tuple[NDArray[np.floating], NDArray[np.int64]], ...]:
        """The features and queries of the positives, then those of the negatives."""
        return (self.positives, self.positive_query), (self.negatives, self.negative_query)

    def with_sampling_correction(self, power: float) -> ListwiseBatch:
        """Return the same candidates, each importance weight raised to a power."""
        return replace(self, log_sampling_weight=self.log_sampling_weight * power)

    def take(self, mask: NDArray[np.bool_]) -> ListwiseBatch:
        """Return the queries that a mask `(len(self),)` bool selects, numbered anew from 0."""
        new_query, positives, negatives = np.cumsum(mask) - 1, mask[self.positive_query], mask[self.negative_query]
        return ListwiseBatch(
            self.positives[positives],
            new_query[self.positive_query[positives]],
            self.negatives[negatives],
            new_query[self.negative_query[negatives]],
            self.log_sampling_weight[negatives],
        )


def fit_ensemble(
    features: Features,
    network_score: NetworkScore | None,
    evaluation_set: EvaluationSet,
    rng: np.random.Generator,
    allowed: Sequence[str] = NAMES,
) -> EnsembleFit:
    """Fit one ensemble of the features, with or without a network; the other arguments are as in `fit_ensembles`."""
    return fit_ensembles(features, {NETWORK: network_score}, evaluation_set, rng, allowed)[NETWORK]


def fit_ensembles(
    features: Features,
    networks: Mapping[str, NetworkScore | None],
    evaluation_set: EvaluationSet,
    rng: np.random.Generator,
    allowed: Sequence[str] = NAMES,
) -> dict[str, EnsembleFit]:
    """Fit for each network the weights that maximise the likelihood of the relevant items of an evaluation set.

    Args:
        features: Features of the events before the cut of the evaluation set.
        networks: The function that scores all items, `(n_items,)` float32, of each network by its name. None fits the
            features alone and gives the network weight 0. All networks share the same candidates.
        evaluation_set: The evaluation set of the validation part.
        rng: Samples test cases, candidates and the halves that choose hyperparameters.
        allowed: The features that may have a weight; the others get 0.

    Raises:
        ValueError: A score is not finite, or `allowed` holds a name that is no feature.
    """
    if unknown := set(allowed) - set(NAMES):
        raise ValueError(f"`allowed` should be some of {listed(NAMES)}. Received: {listed(sorted(unknown))}.")
    network_scores = {name: network_score for name, network_score in networks.items() if network_score is not None}
    batch = build_batch(features, network_scores, evaluation_set, rng)
    allowed_features = [name in allowed for name in NAMES]
    used = {name: np.array([*allowed_features, *(other == name for other in network_scores)]) for name in networks}
    return {name: _fit_one(batch, used[name], rng) for name in networks}


def fallback(used: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return `FALLBACK` as `(N_FEATURES + 1,)` float32 weights, with 0 where a mask of that length is False."""
    return (np.array([FALLBACK.get(name, 0.0) for name in (*NAMES, NETWORK)]) * used).astype(np.float32)


def _fit_one(batch: ListwiseBatch, used: NDArray[np.bool_], rng: np.random.Generator) -> EnsembleFit:
    """Fit one ensemble.

    Args:
        batch: The candidates, with one column for each network after the features.
        used: `(n_features,)` bool, the columns that may have a weight; at most one network among them.
        rng: Samples the halves that choose hyperparameters.
    """

    def without_other_networks(values: NDArray) -> NDArray:
        network_value = values[N_FEATURES:][used[N_FEATURES:]].sum(dtype=values.dtype)
        return np.append(values[:N_FEATURES], network_value)

    if not len(batch):
        return EnsembleFit(fallback(without_other_networks(used)), None, 0, {"fallback": True})
    hyperparameters, tried = select_hyperparameters(batch, used, rng)
    weights, optimiser = fit_with(hyperparameters, batch, used)
    trials = {
        "fallback": False,
        "candidates": len(batch.positives) + len(batch.negatives),
        **asdict(hyperparameters),
        "tried": tried,
        **optimiser,
    }
    likelihood = log_likelihood(weights, batch)[0]
    return EnsembleFit(without_other_networks(weights).astype(np.float32), likelihood, len(batch), trials)


def select_hyperparameters(
    batch: ListwiseBatch, used: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[EnsembleHyperparameters, list[dict[str, Any]]]:
    """Choose hyperparameters by twofold cross-validation on MAP@10.

    The likelihood cannot choose them well: it also rewards a good order far below the top 10.

    Args:
        batch: The candidates; a single query has no halves, so it gets the default hyperparameters.
        used: `(n_features,)` bool, the features that may have a weight.
        rng: Samples the halves.

    Returns:
        The hyperparameters with the highest MAP@10; all that were tried, each with its `map10`.
    """
    if len(batch) < 2:
        return EnsembleHyperparameters(), []
    first = rng.permutation(len(batch)) % 2 == 0
    halves = [batch.take(first), batch.take(~first)]
    popularity = (True, False) if (used & is_popularity(used)).any() else (True,)
    powers = SAMPLING_CORRECTION_POWERS if batch.log_sampling_weight.any() else SAMPLING_CORRECTION_POWERS[:1]
    grid = [
        EnsembleHyperparameters(penalty, power, popular)
        for popular, power, penalty in product(popularity, powers, PENALTIES)
    ]
    map10 = [_cross_validated_map(hyperparameters, halves, used) for hyperparameters in grid]
    tried = [{**asdict(hyperparameters), "map10": value} for hyperparameters, value in zip(grid, map10, strict=True)]
    return grid[int(np.argmax(map10))], tried


def fit_with(
    hyperparameters: EnsembleHyperparameters, batch: ListwiseBatch, used: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """Return the weights that maximise the likelihood under hyperparameters, and the state of the optimiser.

    Without popularity, its features get `TIE_BREAK`. Arguments and results are those of `maximise`.
    """
    batch = batch.with_sampling_correction(hyperparameters.sampling_correction_power)
    if hyperparameters.popularity:
        return maximise(batch, used, hyperparameters.penalty)
    tie_breakers = used & is_popularity(used)
    weights, optimiser = maximise(batch, used & ~tie_breakers, hyperparameters.penalty)
    return np.where(tie_breakers, TIE_BREAK, weights), optimiser


def is_popularity(used: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which features are popularities, a bool mask of the length of `used`."""
    return np.isin([*NAMES, *[NETWORK] * (len(used) - N_FEATURES)], POPULARITIES)


def _cross_validated_map(
    hyperparameters: EnsembleHyperparameters, halves: Sequence[ListwiseBatch], used: NDArray[np.bool_]
) -> float:
    """Return the MAP@10 of each half under the weights that were fitted on the other half."""
    fits = [fit_with(hyperparameters, half, used)[0] for half in halves]
    precisions = [_average_precisions(weights, half) for weights, half in zip(fits, halves[::-1], strict=True)]
    return float(np.concatenate(precisions).mean())


def _average_precisions(weights: NDArray[np.float64], batch: ListwiseBatch) -> NDArray[np.float64]:
    """Return the average precision at 10 of each query among its candidates, `(n_queries,)` float64."""
    precisions = []
    scores = [_by_query(rows @ weights.astype(rows.dtype), query) for rows, query in batch.parts]
    for positives, negatives in zip(*scores, strict=True):
        top = top_k(np.concatenate([negatives, positives]), K)  # negatives win ties
        relevant = np.arange(len(negatives), len(negatives) + len(positives), dtype=np.int32)
        precisions.append(average_precision_at_k(top, relevant, k=K, n_relevant=len(positives)))
    return np.array(precisions)


def _by_query(values: NDArray, query: NDArray[np.int64]) -> list[NDArray]:
    """Return the values of each query; `query` is ascending."""
    return np.split(values, np.flatnonzero(np.diff(query)) + 1)


def maximise(
    batch: ListwiseBatch, used: NDArray[np.bool_], penalty: float
) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """Maximise the log-likelihood minus `penalty·Σ (weight·deviation)²` by L-BFGS-B.

    The deviations make the penalty independent of the units of the features.

    Args:
        batch: The candidates of at least one query.
        used: `(n_features,)` bool, the features that may have a weight; one that never differs within a query gets 0.
        penalty: 0 or above.

    Returns:
        The weights, `(n_features,)` float64; the state of the optimiser: `iterations` and `converged`.
    """
    from scipy.optimize import minimize  # imported here: serving imports no SciPy

    deviations = _deviations(batch)
    free = used & (deviations > 0)

    def weights_of(standardised: NDArray[np.float64]) -> NDArray[np.float64]:
        weights = np.zeros(len(used))
        weights[free] = standardised / deviations[free]
        return weights

    def loss(standardised: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        value, gradient = log_likelihood(weights_of(standardised), batch)
        loss_gradient = 2 * penalty * standardised - gradient[free] / deviations[free]
        return penalty * float(standardised @ standardised) - value, loss_gradient

    if not free.any():
        return np.zeros(len(used)), {"iterations": 0, "converged": True}
    start, limits = np.zeros(int(free.sum())), {"maxiter": MAX_ITERATIONS}
    optimum = minimize(loss, start, jac=True, method="L-BFGS-B", options=limits)
    return weights_of(optimum.x), {"iterations": int(optimum.nit), "converged": bool(optimum.success)}


def log_likelihood(weights: NDArray[np.float64], batch: ListwiseBatch) -> tuple[float, NDArray[np.float64]]:
    """Return the mean over queries of the mean log p(positive), and its gradient.

    p is the softmax over one positive and all negatives of its query: positives do not compete with each other.

    Args:
        weights: `(n_features,)` float64.
        batch: The candidates of at least one query.

    Returns:
        The log-likelihood, 0 or below; its gradient, `(n_features,)` float64.
    """
    n, dtype = len(batch), batch.negatives.dtype
    positives = (batch.positives @ weights.astype(dtype)).astype(np.float64)
    negatives = (batch.negatives @ weights.astype(dtype)) + batch.log_sampling_weight
    starts = np.searchsorted(batch.negative_query, np.arange(n))
    highest = np.maximum.reduceat(negatives, starts)
    exponentials = np.exp(negatives - highest[batch.negative_query])
    sums = np.add.reduceat(exponentials, starts)
    log_p = positives - np.logaddexp(positives, (highest + np.log(sums))[batch.positive_query])
    shares = 1 / (n * np.bincount(batch.positive_query))[batch.positive_query]
    positive_pull = -np.expm1(log_p) * shares  # (1 − p) of each positive
    negative_pull = (np.bincount(batch.positive_query, positive_pull) / sums)[batch.negative_query] * exponentials
    gradient = positive_pull.astype(dtype) @ batch.positives - negative_pull.astype(dtype) @ batch.negatives
    return float(log_p @ shares), gradient.astype(np.float64)


def _deviations(batch: ListwiseBatch) -> NDArray[np.float64]:
    """Return the standard deviation of each feature within queries, `(n_features,)` float64.

    The mean of each query is subtracted, because differences between queries cannot change a ranking. A feature that is
    constant within each query gets exactly 0.
    """
    n = len(batch)
    firsts = batch.negatives[np.searchsorted(batch.negative_query, np.arange(n))]
    counts = np.bincount(batch.positive_query) + np.bincount(batch.negative_query)
    deviations = []
    for column, first in enumerate(firsts.T):
        sums, squares = np.zeros(n), 0.0
        for rows, query in batch.parts:
            differences = rows[:, column].astype(np.float64) - first[query]
            sums += np.bincount(query, differences, n)
            squares += differences @ differences
        deviations.append(np.sqrt(max(squares - sums @ (sums / counts), 0) / counts.sum()))
    return np.array(deviations)


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
            query = replace(case.query)  # a copy, so that the evaluation set does not keep cached scores
            feature_matrix = _feature_matrix(features, network_scores, query)
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


def _feature_matrix(
    features: Features, network_scores: Mapping[str, NetworkScore], query: Query
) -> NDArray[np.float32]:
    """Return the features and then the network scores of all items, `(N_FEATURES + n_networks, n_items)` float32.

    Raises:
        ValueError: A feature or a score is not finite.
    """
    network_rows = (network_score(query)[None] for network_score in network_scores.values())
    feature_matrix = np.concatenate([features.of(query), *network_rows], dtype=np.float32)
    for name, row in zip((*NAMES, *network_scores), feature_matrix, strict=True):
        if not np.isfinite(row).all():
            value = row[~np.isfinite(row)][0]
            raise ValueError(f"`{name}` should be finite scores. Received: {value} for user {query.user}.")
    return feature_matrix


def candidates(
    case: EvaluationCase, feature_matrix: NDArray[np.float32], allowed: NDArray[np.bool_], rng: np.random.Generator
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
    for row in (*RANKING, *range(N_FEATURES, len(feature_matrix))):
        hard[top_k(feature_matrix[row], TOP_OF_EACH_FEATURE, allowed)] = True
    hard &= allowed
    easy = np.flatnonzero(allowed & ~hard)
    sample = rng.choice(easy, min(SAMPLED_CANDIDATES, len(easy)), replace=False)
    log_weight = np.log(len(easy) / len(sample)) if len(sample) else 0.0
    return np.concatenate([np.flatnonzero(hard), sample]), np.repeat([0.0, log_weight], [hard.sum(), len(sample)])
