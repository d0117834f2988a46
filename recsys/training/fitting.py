"""Fits of the whole registry on one dataset: `choose` selects hyperparameters, `fit_everything` uses them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.errors import TrainingRefused
from recsys.errors.wording import listed
from recsys.evaluation.calibration import Calibration
from recsys.evaluation.protocol import EvaluationSet, calibrate, evaluate_all, mean_average_precision
from recsys.features.features import N_FEATURES, Features
from recsys.features.query import Arrays, Query
from recsys.networks import FAILURES, NETWORKS, Epoch, Fit, Network, ValidationMetric, WarmStart, fit
from recsys.scorers.base import Scorer
from recsys.scorers.registry import BASELINES, MODELS, REGISTRY
from recsys.settings import Training
from recsys.training.closed_form.choose import (
    ClosedForms,
    choose_closed_forms,
    fit_baselines,
    fit_factors,
    fit_features,
)
from recsys.training.ensemble import EnsembleFit, fallback, fit_ensembles

RULES = ("hide", "allow")  # the rows of `signal_weights`
MIN_VALIDATION_USERS = 10
DEFAULT_WINNER = "item_cf"  # where too few users are known to choose a winner
Report = Callable[[Epoch], None]


@dataclass(frozen=True)
class ValidationSplit:
    """Events before the validation cut, and the evaluation sets after it.

    Attributes:
        data: The events to learn from.
        evaluation_sets: The evaluation set of each repeat rule, `hide` and `allow`, or of one of them.
        rule: The rule in force; its evaluation set decides early stopping and the winner.
    """

    data: Dataset
    evaluation_sets: Mapping[str, EvaluationSet]
    rule: str


@dataclass(frozen=True)
class Hyperparameters:
    """Everything that validation chose.

    Attributes:
        closed_forms: Hyperparameters of the closed-form baselines.
        epochs: The number of epochs of each network; 0 keeps its warm start.
        ensemble_weights: `(2, N_FEATURES + 1)` float32 for each model and for `blend`; the rows are `RULES`.
        calibrations: From logits to probabilities, for each scorer; None where there is none.
        winner: The scorer with the highest MAP@10 under the rule in force.
        map10: Validation MAP@10 of each scorer, 0 to 1.
        trials: All values that were tried, with their metrics, for the report.
        defaults: Why default values are used; None where validation could choose.
        failures: Why each missing network could not be fitted; it is not tried again.
    """

    closed_forms: ClosedForms
    epochs: Mapping[str, int]
    ensemble_weights: Mapping[str, NDArray[np.float32]]
    calibrations: Mapping[str, Calibration | None]
    winner: str
    map10: Mapping[str, float]
    trials: Sequence[Mapping[str, Any]]
    defaults: str | None = None
    failures: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def default(cls, options: Training, why: str) -> Hyperparameters:
        """Return the hyperparameters of a shop with too few validation users.

        Args:
            options: How to train.
            why: The reason, for the report.
        """
        weights = np.tile(fallback(np.ones(N_FEATURES + 1, bool)), (2, 1))
        everything = dict.fromkeys((*MODELS, "blend"), weights)
        epochs = dict.fromkeys(NETWORKS, options.epochs)
        return cls(ClosedForms(), epochs, everything, dict.fromkeys(REGISTRY), DEFAULT_WINNER, {}, (), why)

    def without(self, failures: Mapping[str, str]) -> Hyperparameters:
        """Return the hyperparameters without networks that failed in a later fit; none of these can be the winner.

        Args:
            failures: Why each of these networks is missing.
        """
        missing = {**self.failures, **failures}
        epochs = {name: n_epochs for name, n_epochs in self.epochs.items() if name not in missing}
        remaining = {name: value for name, value in self.map10.items() if name not in missing}
        winner = best_of(remaining) if remaining else self.winner
        return replace(self, epochs=epochs, winner=winner, failures=missing)


@dataclass(frozen=True)
class FittedModels:
    """All models of the registry, fitted on one dataset.

    Attributes:
        data: The events.
        networks: The networks that could be fitted, by name.
        baselines: The arrays of each baseline.
        features: The arrays of the features that no baseline holds.
        scorers: All scorers, as they serve.
        losses: The loss of each epoch of each network.
        seconds: The duration of each fit; that of `blend` covers all features.
        failures: Why each missing network could not be fitted.
    """

    data: Dataset
    networks: Mapping[str, Network]
    baselines: Mapping[str, Arrays]
    features: Arrays
    scorers: Mapping[str, Scorer]
    losses: Mapping[str, Sequence[float]]
    seconds: Mapping[str, float]
    failures: Mapping[str, str]


def choose(validation: ValidationSplit, options: Training, report: Report) -> Hyperparameters:
    """Fit the registry before the validation cut; choose hyperparameters, epochs, ensemble weights and the winner.

    Args:
        validation: Events before the validation cut, and the evaluation sets after it.
        options: How to train.
        report: Receives every epoch.

    Returns:
        The choices; default values with fewer than `MIN_VALIDATION_USERS` known users.
    """
    evaluation_set = validation.evaluation_sets[validation.rule]
    n_known = evaluation_set.known.sum()
    if n_known < MIN_VALIDATION_USERS:
        why = f"validation has {n_known} users, {MIN_VALIDATION_USERS} are needed: defaults are used"
        return Hyperparameters.default(options, why)
    closed_forms, trials = choose_closed_forms(validation.data, evaluation_set, options)
    baselines, _ = fit_baselines(validation.data, closed_forms)
    feature_arrays = fit_features(validation.data, baselines["ease"], closed_forms, options)
    features = load_features(baselines, feature_arrays)
    start = fit_start(validation.data, baselines, closed_forms, options)
    metric_of = partial(_validation_metric, evaluation_set)
    fits, failures = fit_networks(validation.data, start, options, report, metric_of)
    trials += [_epoch_trial(name, result) for name, result in fits.items()]
    trials += [{"model": name, "failed": why} for name, why in failures.items()]
    networks = {name: result.network for name, result in fits.items()}
    network_scores = {name: load_network(name, network.arrays()).score for name, network in networks.items()}
    ensembles = {
        rule: fit_ensembles(features, {**network_scores, "blend": None}, rule_set, np.random.default_rng(options.seed))
        for rule, rule_set in validation.evaluation_sets.items()
    }
    weights = {
        name: _weight_rows({rule: fits_of_rule[name] for rule, fits_of_rule in ensembles.items()})
        for name in (*networks, "blend")
    }
    trials += [
        {"model": name, "rule": rule, "choice": "signal weights", **result.trials, "weights": result.weights.tolist()}
        for rule, fits_of_rule in ensembles.items()
        for name, result in fits_of_rule.items()
    ]
    scorers = load_scorers(networks, baselines, feature_arrays, weights)
    evaluations, known = evaluate_all(scorers, evaluation_set), evaluation_set.known
    map10 = {name: float(np.mean(result.per_user["map10"][known])) for name, result in evaluations.items()}
    calibrations = {name: calibrate(result) for name, result in evaluations.items()}
    epochs = {name: result.epochs for name, result in fits.items()}
    return Hyperparameters(
        closed_forms, epochs, weights, calibrations, best_of(map10), map10, tuple(trials), failures=failures
    )


def best_of(map10: Mapping[str, float]) -> str:
    """Return the name with the highest MAP@10; among equals, the first of the registry."""
    return max((name for name in REGISTRY if name in map10), key=lambda name: map10[name])


def fit_everything(data: Dataset, options: Training, hyperparameters: Hyperparameters, report: Report) -> FittedModels:
    """Fit the whole registry on a dataset with given hyperparameters.

    Args:
        data: The events to learn from; no others are used.
        options: How to train.
        hyperparameters: Chosen on validation.
        report: Receives every epoch.
    """
    baselines, seconds = fit_baselines(data, hyperparameters.closed_forms)
    started = time.perf_counter()
    features = fit_features(data, baselines["ease"], hyperparameters.closed_forms, options)
    seconds["blend"] = time.perf_counter() - started + seconds["ease"]
    start = fit_start(data, baselines, hyperparameters.closed_forms, options)
    fits, failures = fit_networks(data, start, options, report, epochs=hyperparameters.epochs)
    seconds |= {name: result.seconds for name, result in fits.items()}
    networks = {name: result.network for name, result in fits.items()}
    scorers = load_scorers(networks, baselines, features, hyperparameters.ensemble_weights)
    losses = {name: result.losses for name, result in fits.items()}
    failures = {**hyperparameters.failures, **failures}
    return FittedModels(data, networks, baselines, features, scorers, losses, seconds, failures)


def fit_start(
    data: Dataset, baselines: Mapping[str, Arrays], closed_forms: ClosedForms, options: Training
) -> WarmStart:
    """Return what networks start from: ALS factors and the popularity of items.

    Args:
        data: The events to learn from.
        baselines: The arrays of the fitted baselines.
        closed_forms: Holds the regularization of ALS.
        options: Holds the dimension of embeddings.
    """
    factors = fit_factors(data, options.dim, closed_forms.regularization, options)
    return WarmStart(factors, baselines["popularity"]["popularity"])


def fit_networks(
    data: Dataset,
    start: WarmStart,
    options: Training,
    report: Report,
    metric_of: Callable[[str], ValidationMetric] | None = None,
    epochs: Mapping[str, int] | None = None,
) -> tuple[dict[str, Fit], dict[str, str]]:
    """Fit the networks one after another; one that fails for lack of resources is left out.

    Args:
        data: The events to learn from.
        start: The values that networks start from.
        options: How to train.
        report: Receives every epoch.
        metric_of: Returns the validation metric of a network by its name; None trains without early stopping.
        epochs: The number of epochs of each network to fit, as chosen on validation; None fits all networks.

    Returns:
        The fits by name; the reason for each network that failed.
    """
    fits, failures = {}, {}
    for name in NETWORKS if epochs is None else epochs:
        metric, n_epochs = metric_of(name) if metric_of else None, epochs[name] if epochs else None
        try:
            fits[name] = fit(name, data, start, options, report, validation_metric=metric, epochs=n_epochs)
        except FAILURES as error:
            failures[name] = f"{type(error).__name__}: {error}".splitlines()[0]
    return fits, failures


def load_features(baselines: Mapping[str, Arrays], features: Arrays) -> Features:
    """Return the features, from their own arrays and from the arrays that they share with EASE."""
    return Features.from_arrays({**{f"ease/{name}": array for name, array in baselines["ease"].items()}, **features})


def load_network(name: str, arrays: Arrays) -> Scorer:
    """Return the scorer of a network as it serves, without the features.

    Raises:
        ValueError: `name` is not a network.
    """
    load = REGISTRY[name].load
    if load is None:
        raise ValueError(f"`name` should be a network. Received: {name}.")
    return load(arrays)


def load_scorers(
    networks: Mapping[str, Network],
    baselines: Mapping[str, Arrays],
    features: Arrays,
    weights: Mapping[str, NDArray[np.float32]],
) -> dict[str, Scorer]:
    """Return the scorers as they will serve, in registry order; ensemble weights are assigned to the networks.

    Args:
        networks: The fitted networks by name.
        baselines: The arrays of each fitted baseline.
        features: The arrays of the features that no baseline holds.
        weights: `(2, N_FEATURES + 1)` float32 for each network and for `blend`.
    """
    for name, network in networks.items():
        network.tables["signal_weights"].assign(weights[name])
    arrays = {
        **{name: network.arrays() for name, network in networks.items()},
        **baselines,
        "blend": {"signal_weights": weights["blend"]},
    }
    shared = load_features(baselines, features)
    return {name: spec.build(arrays[name], shared) for name, spec in REGISTRY.items() if name in arrays}


def check_complete(scorers: Mapping[str, Scorer], query: Query, failures: Mapping[str, str]) -> None:
    """Refuse scorers that are incomplete for no known reason, without any network, or not finite.

    Args:
        scorers: The scorers to publish, by name.
        query: A query to score.
        failures: Why each missing network could not be fitted.

    Raises:
        TrainingRefused: The message names the scorer.
    """
    missing = [name for name in (*NETWORKS, *BASELINES) if name not in scorers and name not in failures]
    if missing or not set(NETWORKS) - set(failures):
        names = listed(missing or (f"{name} ({why})" for name, why in failures.items()))
        raise TrainingRefused(f"A version should hold every scorer of the registry. Missing: {names}.")
    for name, scorer in scorers.items():
        if not np.isfinite(scorer.score(query)).all():
            raise TrainingRefused(f"{name} should score finite numbers. Received: NaN or infinity.")


def _validation_metric(evaluation_set: EvaluationSet, name: str) -> ValidationMetric:
    """Return the MAP@10 of a network's own score as a function of the network."""
    return lambda network: mean_average_precision(load_network(name, network.arrays()), evaluation_set)


def _weight_rows(ensembles: Mapping[str, EnsembleFit]) -> NDArray[np.float32]:
    """Return `(2, N_FEATURES + 1)`, a row for each of `RULES`; a rule without evaluation set gets the other's row."""
    default = next(iter(ensembles.values()))
    return np.stack([ensembles.get(rule, default).weights for rule in RULES]).astype(np.float32)


def _epoch_trial(name: str, result: Fit) -> dict[str, Any]:
    """Return the entry of the report on the epochs of one network."""
    return {
        "model": name,
        "choice": "epochs",
        "value": result.epochs,
        "map10_by_epoch": list(result.validation_scores),
        "losses": list(result.losses),
    }
