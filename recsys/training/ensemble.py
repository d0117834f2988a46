"""The weights of the sum of signals, by listwise maximum likelihood: what was chosen against everything that could have been."""

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
TOP_OF_EACH_FEATURE = 50  # candidates by each of the signals that rank a whole catalogue
SAMPLED_CANDIDATES = 300  # candidates that stand for all the rest
PENALTIES = (1.0, 1e-1, 1e-2, 1e-3)  # strongest first: it wins ties
SAMPLING_CORRECTION_POWERS = (
    1.0,
    0.0,
)  # a sampled item stands for all the items it was drawn from, or for itself: then only what is near the top counts
MAX_ITERATIONS = 200
NETWORK = "network"  # what the last weight is called
# Of popularity where it has no say: an order for those of whom nothing else is known, and below every other difference
TIE_BREAK = 1e-6
RANKING = tuple(NAMES.index(name) for name in (*DENSE, "popularity_15d"))
FALLBACK: Mapping[str, float] = {"popularity_15d": 0.5, "own_count": 1.0, NETWORK: 1.0}  # without anything to fit on
NetworkScore = Callable[[Query], NDArray[np.float32]]


@dataclass(frozen=True)
class EnsembleFit:
    """Fitted weights.

    Attributes:
        weights: `(N_SIGNALS + 1,)` float32 for signals as they are; the last one is the network's.
        log_likelihood: Mean over the questions, without the penalty; None where nothing was fitted.
        n_cases: Questions with a relevant item that may be answered; without any the weights are `FALLBACK`.
        trials: The ways of fitting that were tried and what the optimiser said, for the report.
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
    """How the likelihood is maximised.

    Attributes:
        penalty: See `maximise`.
        sampling_correction_power: The power to which the number of items is taken that a sampled one stands for.
        popularity: Whether popularity may have a weight. The likelihood always gives it one, for what it tells of items
            far below the top.
    """

    penalty: float = PENALTIES[0]
    sampling_correction_power: float = SAMPLING_CORRECTION_POWERS[0]
    popularity: bool = True


@dataclass(frozen=True)
class ListwiseBatch:
    """The candidates of all questions, those that were chosen apart from the others.

    Attributes:
        positives: `(n_chosen, n_features)` floats, question after question; every question has at least one.
        positive_query: `(n_chosen,)` int64, the question of each, ascending from 0.
        negatives: `(n_others, n_features)` floats likewise.
        negative_query: `(n_others,)` int64; every question has at least one.
        log_sampling_weight: `(n_others,)` float64, the log of the number of items that each of the others stands for.
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
        """The features and the questions of the chosen, then those of the others."""
        return (self.positives, self.positive_query), (self.negatives, self.negative_query)

    def with_sampling_correction(self, weight: float) -> ListwiseBatch:
        """Return the same candidates, the number of items that each one stands for taken to a power."""
        return replace(self, log_sampling_weight=self.log_sampling_weight * weight)

    def take(self, mask: NDArray[np.bool_]) -> ListwiseBatch:
        """Return the questions that a mask `(len(self),)` selects."""
        numbers, positives, negatives = np.cumsum(mask) - 1, mask[self.positive_query], mask[self.negative_query]
        return ListwiseBatch(
            self.positives[positives],
            numbers[self.positive_query[positives]],
            self.negatives[negatives],
            numbers[self.negative_query[negatives]],
            self.log_sampling_weight[negatives],
        )


def fit_ensemble(
    features: Features,
    network_score: NetworkScore | None,
    evaluation_set: EvaluationSet,
    rng: np.random.Generator,
    allowed: Sequence[str] = NAMES,
) -> EnsembleFit:
    """Return the weights of the signals and of one network, or of the signals alone; see `fit_ensembles`."""
    return fit_ensembles(features, {NETWORK: network_score}, evaluation_set, rng, allowed)[NETWORK]


def fit_ensembles(
    features: Features,
    networks: Mapping[str, NetworkScore | None],
    evaluation_set: EvaluationSet,
    rng: np.random.Generator,
    allowed: Sequence[str] = NAMES,
) -> dict[str, EnsembleFit]:
    """Return, for each network, the weights under which the relevant items of an exam are likeliest.

    Args:
        features: Of the events before the exam's cut.
        networks: Each one's own scores `(n_items,)` by its name; None fits the signals alone and gives the network
            weight 0. All of them compete on the same candidates.
        evaluation_set: Of the validation part.
        rng: Draws the questions of a large exam, the candidates and the halves that choose the penalty.
        allowed: The signals that may have a weight; the others get 0.

    Raises:
        ValueError: A score is not finite, or `allowed` names something else than signals.
    """
    if unknown := set(allowed) - set(NAMES):
        raise ValueError(f"`allowed` should be some of {listed(NAMES)}. Received: {listed(sorted(unknown))}.")
    network_scores = {name: network_score for name, network_score in networks.items() if network_score is not None}
    batch = build_batch(features, network_scores, evaluation_set, rng)
    used = np.array([name in allowed for name in NAMES])
    return {
        name: _fit_of(batch, np.array([*used, *(other == name for other in network_scores)], bool), rng)
        for name in networks
    }


def fallback(used: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return `(N_SIGNALS + 1,)` float32: `FALLBACK` where a mask of that length allows it."""
    return (np.array([FALLBACK.get(name, 0.0) for name in (*NAMES, NETWORK)]) * used).astype(np.float32)


def _fit_of(batch: ListwiseBatch, used: NDArray[np.bool_], rng: np.random.Generator) -> EnsembleFit:
    """Return the weights of the signals and of the one network that a mask over the features of cases allows."""

    def of_one(values: NDArray) -> NDArray:
        return np.append(values[:N_FEATURES], values[N_FEATURES:][used[N_FEATURES:]].sum(dtype=values.dtype))

    if not len(batch):
        return EnsembleFit(fallback(of_one(used)), None, 0, {"fallback": True})
    hyperparameters, tried = select_hyperparameters(batch, used, rng)
    weights, said = fit_with(hyperparameters, batch, used)
    trials = {
        "fallback": False,
        "candidates": len(batch.positives) + len(batch.negatives),
        **asdict(hyperparameters),
        "tried": tried,
        **said,
    }
    return EnsembleFit(of_one(weights).astype(np.float32), log_likelihood(weights, batch)[0], len(batch), trials)


def select_hyperparameters(
    batch: ListwiseBatch, used: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[EnsembleHyperparameters, list[dict[str, Any]]]:
    """Return the way whose fit on one half of the questions reaches the highest MAP@10 on the other.

    The likelihood alone would not choose well: it spends weights on what is far below the top 10, the more of the
    catalogue it counts.

    Args:
        batch: Of the exam; with a single question there are no halves, and the default is taken.
        used: See `maximise`.
        rng: Draws the halves.

    Returns:
        The way; each one that was tried and its `map10`.
    """
    if len(batch) < 2:
        return EnsembleHyperparameters(), []
    first = rng.permutation(len(batch)) % 2 == 0
    halves = [batch.take(first), batch.take(~first)]
    popularity = (True, False) if (used & is_popularity(used)).any() else (True,)
    powers = SAMPLING_CORRECTION_POWERS if batch.log_sampling_weight.any() else SAMPLING_CORRECTION_POWERS[:1]
    grid = [
        EnsembleHyperparameters(penalty, sampling_correction_power, popular)
        for popular, sampling_correction_power, penalty in product(popularity, powers, PENALTIES)
    ]
    validation_scores = [_validation_map(hyperparameters, halves, used) for hyperparameters in grid]
    return grid[int(np.argmax(validation_scores))], [
        {**asdict(hyperparameters), "map10": mark}
        for hyperparameters, mark in zip(grid, validation_scores, strict=True)
    ]


def fit_with(
    hyperparameters: EnsembleHyperparameters, batch: ListwiseBatch, used: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """Return the weights of a way `(n_features,)` float64, and what the optimiser said; see `maximise`."""
    if hyperparameters.popularity:
        return maximise(
            batch.with_sampling_correction(hyperparameters.sampling_correction_power), used, hyperparameters.penalty
        )
    silenced = used & is_popularity(used)
    weights, said = maximise(
        batch.with_sampling_correction(hyperparameters.sampling_correction_power),
        used & ~silenced,
        hyperparameters.penalty,
    )
    return np.where(silenced, TIE_BREAK, weights), said


def is_popularity(used: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which features are popularities, a mask as long as `used`."""
    return np.isin([*NAMES, *[NETWORK] * (len(used) - N_FEATURES)], POPULARITIES)


def _validation_map(
    hyperparameters: EnsembleHyperparameters, halves: Sequence[ListwiseBatch], used: NDArray[np.bool_]
) -> float:
    fits = [fit_with(hyperparameters, half, used)[0] for half in halves]
    return float(
        np.concatenate([_precisions(weights, other) for weights, other in zip(fits, halves[::-1], strict=True)]).mean()
    )


def _precisions(weights: NDArray[np.float64], batch: ListwiseBatch) -> NDArray[np.float64]:
    """Return the average precision at 10 of each question, among its candidates."""
    precisions = []
    scores = [_by_query(rows @ weights.astype(rows.dtype), of) for rows, of in batch.parts]
    for positives, negatives in zip(*scores, strict=True):
        top = top_k(np.concatenate([negatives, positives]), K)  # the others win ties
        relevant = np.arange(len(negatives), len(negatives) + len(positives), dtype=np.int32)
        precisions.append(average_precision_at_k(top, relevant, k=K, n_relevant=len(positives)))
    return np.array(precisions)


def _by_query(values: NDArray, of: NDArray[np.int64]) -> list[NDArray]:
    return np.split(values, np.flatnonzero(np.diff(of)) + 1)


def maximise(
    batch: ListwiseBatch, used: NDArray[np.bool_], penalty: float
) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """Return the weights of the highest likelihood less `penalty·Σ (weight·deviation)²`, by L-BFGS-B.

    Args:
        batch: At least one.
        used: `(n_features,)` bool, which features may have a weight; those that are alike for all candidates get 0 too.
        penalty: 0 or above.

    Returns:
        `(n_features,)` float64; what the optimiser said.
    """
    from scipy.optimize import minimize  # fitting only: serving never pays for it

    deviations = _deviations(batch)
    free = used & (deviations > 0)

    def weights_of(standardised: NDArray[np.float64]) -> NDArray[np.float64]:
        weights = np.zeros(len(used))
        weights[free] = standardised / deviations[free]
        return weights

    def loss(standardised: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        value, gradient = log_likelihood(weights_of(standardised), batch)
        return penalty * float(standardised @ standardised) - value, 2 * penalty * standardised - gradient[
            free
        ] / deviations[free]

    if not free.any():
        return np.zeros(len(used)), {"iterations": 0, "converged": True}
    found = minimize(loss, np.zeros(int(free.sum())), jac=True, method="L-BFGS-B", options={"maxiter": MAX_ITERATIONS})
    return weights_of(found.x), {"iterations": int(found.nit), "converged": bool(found.success)}


def log_likelihood(weights: NDArray[np.float64], batch: ListwiseBatch) -> tuple[float, NDArray[np.float64]]:
    """Return the mean over the questions of the mean log p(chosen item), and its gradient.

    p is the softmax over one chosen item and all that were not chosen: items chosen together do not compete with each
    other.

    Args:
        weights: `(n_features,)` float64.
        batch: At least one.
    """
    n, dtype = len(batch), batch.negatives.dtype
    positives = (batch.positives @ weights.astype(dtype)).astype(np.float64)
    negatives = (batch.negatives @ weights.astype(dtype)) + batch.log_sampling_weight
    starts = np.searchsorted(batch.negative_query, np.arange(n))
    highest = np.maximum.reduceat(negatives, starts)
    odds = np.exp(negatives - highest[batch.negative_query])
    sums = np.add.reduceat(odds, starts)
    log_p = positives - np.logaddexp(positives, (highest + np.log(sums))[batch.positive_query])
    shares = 1 / (n * np.bincount(batch.positive_query))[batch.positive_query]
    surprise = -np.expm1(log_p) * shares
    pull = (np.bincount(batch.positive_query, surprise) / sums)[batch.negative_query] * odds
    gradient = surprise.astype(dtype) @ batch.positives - pull.astype(dtype) @ batch.negatives
    return float(log_p @ shares), gradient.astype(np.float64)


def _deviations(batch: ListwiseBatch) -> NDArray[np.float64]:
    """Return `(n_features,)` the standard deviation of each feature within the questions; exactly 0 where all candidates are alike.

    What differs between questions only cannot change a ranking, so each question's mean is taken off.
    """
    n = len(batch)
    firsts = batch.negatives[np.searchsorted(batch.negative_query, np.arange(n))]
    counts = np.bincount(batch.positive_query) + np.bincount(batch.negative_query)
    deviations = []
    for column, first in enumerate(firsts.T):
        sums, squares = np.zeros(n), 0.0
        for rows, of in batch.parts:
            differences = rows[:, column].astype(np.float64) - first[of]
            sums += np.bincount(of, differences, n)
            squares += differences @ differences
        deviations.append(np.sqrt(max(squares - sums @ (sums / counts), 0) / counts.sum()))
    return np.array(deviations)


def build_batch(
    features: Features,
    network_scores: Mapping[str, NetworkScore],
    evaluation_set: EvaluationSet,
    rng: np.random.Generator,
) -> ListwiseBatch:
    """Return the candidates of each question that has some to choose and some to leave; at most 2,000 questions.

    Args:
        features: See `fit_ensembles`, as the others.
        network_scores: The networks' scores; a column each, after the signals.
        evaluation_set: Of the validation part.
        rng: Draws questions and candidates.
    """
    numbers = np.arange(len(evaluation_set))
    if len(evaluation_set) > MAX_CASES:
        numbers = np.sort(rng.choice(len(evaluation_set), MAX_CASES, replace=False))
    nothing = np.zeros((0, N_FEATURES + len(network_scores)), np.float32)
    positives, negatives, log_sampling_weight = [nothing], [nothing], [np.zeros(0)]
    for case in (evaluation_set.cases[n] for n in numbers):
        allowed = allowed_items(case, evaluation_set.active)
        relevant = case.relevant[allowed[case.relevant]]
        allowed[relevant] = False
        if len(relevant) and allowed.any():
            feature_matrix = _features(
                features, network_scores, replace(case.query)
            )  # a copy: the exam shall not keep every answer
            left, odds = candidates(case, feature_matrix, allowed, rng)
            positives.append(feature_matrix[:, relevant].T)
            negatives.append(feature_matrix[:, left].T)
            log_sampling_weight.append(odds)
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


def _features(features: Features, network_scores: Mapping[str, NetworkScore], query: Query) -> NDArray[np.float32]:
    """Return `(N_SIGNALS + n_networks, n_items)` float32, the networks' scores last."""
    feature_matrix = np.concatenate(
        [features.of(query), *(network_score(query)[None] for network_score in network_scores.values())],
        dtype=np.float32,
    )
    for name, row in zip((*NAMES, *network_scores), feature_matrix, strict=True):
        if not np.isfinite(row).all():
            raise ValueError(
                f"`{name}` should be finite scores. Received: {row[~np.isfinite(row)][0]} for user {query.user}."
            )
    return feature_matrix


def candidates(
    case: EvaluationCase, feature_matrix: NDArray[np.float32], allowed: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return what the chosen items compete with: the user's own and the best by anything, and a sample that stands for the rest.

    Left as they are, the sampled ones would be too few against the best by each signal, and the signals would look bad.

    Args:
        case: One user's; if it has candidates, these are taken.
        feature_matrix: `(N_SIGNALS + n_networks, n_items)`.
        allowed: `(n_items,)` bool, what may be answered and is not relevant; at least one.
        rng: Draws the sample.

    Returns:
        `(k,)` distinct indices; `(k,)` float64 the log of the number of items that each stands for.
    """
    if case.candidates is not None:
        left = np.flatnonzero(allowed)
        return left, np.zeros(len(left))
    near = np.zeros(len(allowed), bool)
    near[case.query.items] = True
    for row in (*RANKING, *range(N_FEATURES, len(feature_matrix))):
        near[top_k(feature_matrix[row], TOP_OF_EACH_FEATURE, allowed)] = True
    near &= allowed
    sampling_correction_power = np.flatnonzero(allowed & ~near)
    sample = rng.choice(
        sampling_correction_power, min(SAMPLED_CANDIDATES, len(sampling_correction_power)), replace=False
    )
    each = np.log(len(sampling_correction_power) / len(sample)) if len(sample) else 0.0
    return np.concatenate([np.flatnonzero(near), sample]), np.repeat([0.0, each], [near.sum(), len(sample)])
