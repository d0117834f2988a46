"""Everything of the registry, fitted on one data set: once with choices made on validation, then again by those choices."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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

RULES = ("hide", "allow")  # the rows of signal weights
MIN_VALIDATION_USERS = 10
DEFAULT_WINNER = "item_cf"  # of a shop too small to choose in
Report = Callable[[Epoch], None]


@dataclass(frozen=True)
class ValidationSplit:
    """Events to learn from, and what came after them.

    Attributes:
        data: The events.
        evaluation_sets: By repeat rule, `hide` and `allow`, or one of them.
        rule: The rule in force: early stopping and the winner go by its exam.
    """

    data: Dataset
    evaluation_sets: Mapping[str, EvaluationSet]
    rule: str


@dataclass(frozen=True)
class Hyperparameters:
    """What validation decided.

    Attributes:
        closed_forms: Hyperparameters of what is solved in one go.
        epochs: Of each network; 0 leaves it at its start.
        ensemble_weights: `(2, N_SIGNALS + 1)` float32 of each model and of the blend: rows repeats hidden and allowed.
        calibrations: From logits to probabilities, of each scorer.
        winner: The best of all scorers by MAP@10 under the rule in force.
        map10: Validation MAP@10 of each scorer.
        trials: Everything that was tried, and its figure.
        defaults: Why nothing could be chosen; None where it could.
        failures: Why a network is missing; it is not tried again.
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
        """Return what is done where there is nobody to choose by."""
        weights = np.tile(fallback(np.ones(N_FEATURES + 1, bool)), (2, 1))
        everything = dict.fromkeys((*MODELS, "blend"), weights)
        epochs = dict.fromkeys(NETWORKS, options.epochs)
        return cls(ClosedForms(), epochs, everything, dict.fromkeys(REGISTRY), DEFAULT_WINNER, {}, (), why)

    def without(self, failures: Mapping[str, str]) -> Hyperparameters:
        """Return the choices where some networks could not be fitted after all: they are not tried again, and none of them wins.

        Args:
            failures: Why each of them is missing.
        """
        missing = {**self.failures, **failures}
        epochs = {name: number for name, number in self.epochs.items() if name not in missing}
        left = {name: figure for name, figure in self.map10.items() if name not in missing}
        return replace(self, epochs=epochs, winner=best_of(left) if left else self.winner, failures=missing)


@dataclass(frozen=True)
class Fitted:
    """Everything fitted on one data set.

    Attributes:
        data: The events.
        networks: Those that could be fitted.
        baselines: Arrays of the others.
        features: Arrays of the signals that no baseline has.
        scorers: All of them, as they serve.
        losses: The loss of each epoch of each network.
        seconds: What each fit took; the blend's are those of all signals.
        failures: Why a network is missing.
    """

    data: Dataset
    networks: Mapping[str, Network]
    baselines: Mapping[str, Arrays]
    features: Arrays
    scorers: Mapping[str, Scorer]
    losses: Mapping[str, Sequence[float]]
    seconds: Mapping[str, float]
    failures: Mapping[str, str]


def choose(fold: ValidationSplit, options: Training, report: Report) -> Hyperparameters:
    """Fit everything on a fold and choose by its exams: hyperparameters, epochs, the weights of the signals, the winner.

    Args:
        fold: The validation fold.
        options: How to train.
        report: Told of every epoch.
    """
    evaluation_set = fold.evaluation_sets[fold.rule]
    if evaluation_set.known.sum() < MIN_VALIDATION_USERS:
        return Hyperparameters.default(
            options,
            f"validation has {evaluation_set.known.sum()} users, {MIN_VALIDATION_USERS} are needed: defaults are used",
        )
    closed_forms, trials = choose_closed_forms(fold.data, evaluation_set, options)
    baselines, _ = fit_baselines(fold.data, closed_forms)
    signal_arrays = fit_features(fold.data, baselines["ease"], closed_forms, options)
    features = load_features(baselines, signal_arrays)
    start = fit_start(fold.data, baselines, closed_forms, options)
    fits, failures = fit_networks(fold.data, start, options, report, lambda name: _judge(name, evaluation_set))
    trials += [_epochs_tried(name, done) for name, done in fits.items()]
    trials += [{"model": name, "failed": why} for name, why in failures.items()]
    networks = {name: done.network for name, done in fits.items()}
    owns = {name: load_network(name, network.arrays()).score for name, network in networks.items()}
    blends = {
        label: fit_ensembles(features, {**owns, "blend": None}, other, np.random.default_rng(options.seed))
        for label, other in fold.evaluation_sets.items()
    }
    weights = {name: _rows({label: made[name] for label, made in blends.items()}) for name in (*networks, "blend")}
    trials += [
        {"model": name, "rule": label, "choice": "signal weights", **done.trials, "weights": done.weights.tolist()}
        for label, made in blends.items()
        for name, done in made.items()
    ]
    fitted = load_scorers(networks, baselines, signal_arrays, weights)
    evaluations = evaluate_all(fitted, evaluation_set)
    map10 = {
        name: float(np.mean(evaluation.per_user["map10"][evaluation_set.known]))
        for name, evaluation in evaluations.items()
    }
    calibrations = {name: calibrate(evaluation) for name, evaluation in evaluations.items()}
    epochs = {name: done.epochs for name, done in fits.items()}
    return Hyperparameters(
        closed_forms, epochs, weights, calibrations, best_of(map10), map10, tuple(trials), failures=failures
    )


def best_of(map10: Mapping[str, float]) -> str:
    """Return the name of the highest figure; of equals, the first of the registry."""
    return max((name for name in REGISTRY if name in map10), key=lambda name: map10[name])


def fit_everything(data: Dataset, options: Training, hyperparameters: Hyperparameters, report: Report) -> Fitted:
    """Fit everything on a data set by choices made before.

    Args:
        data: The events to learn from; nothing else is seen.
        options: How to train.
        hyperparameters: Made on validation.
        report: Told of every epoch.
    """
    baselines, seconds = fit_baselines(data, hyperparameters.closed_forms)
    since = time.perf_counter()
    features = fit_features(data, baselines["ease"], hyperparameters.closed_forms, options)
    seconds["blend"] = time.perf_counter() - since + seconds["ease"]
    start = fit_start(data, baselines, hyperparameters.closed_forms, options)
    fits, failures = fit_networks(data, start, options, report, epochs=hyperparameters.epochs)
    seconds |= {name: done.seconds for name, done in fits.items()}
    networks = {name: done.network for name, done in fits.items()}
    scorers = load_scorers(networks, baselines, features, hyperparameters.ensemble_weights)
    losses = {name: done.losses for name, done in fits.items()}
    return Fitted(
        data, networks, baselines, features, scorers, losses, seconds, {**hyperparameters.failures, **failures}
    )


def fit_start(
    data: Dataset, baselines: Mapping[str, Arrays], closed_forms: ClosedForms, options: Training
) -> WarmStart:
    """Return where the networks begin."""
    factors = fit_factors(data, options.dim, closed_forms.regularization, options)
    return WarmStart(factors, baselines["popularity"]["popularity"])


def fit_networks(
    data: Dataset,
    start: WarmStart,
    options: Training,
    report: Report,
    judge: Callable[[str], ValidationMetric] | None = None,
    epochs: Mapping[str, int] | None = None,
) -> tuple[dict[str, Fit], dict[str, str]]:
    """Return the networks that can be fitted, and why the others cannot.

    Args:
        data: The events to learn from.
        start: Where they begin.
        options: How to train.
        report: Told of every epoch.
        judge: Returns what marks a network by its name; it ends a fit early.
        epochs: Of each network to fit, where validation has chosen them; others are left out.
    """
    fits, failures = {}, {}
    for name in NETWORKS if epochs is None else epochs:
        evaluations, passes = judge(name) if judge else None, epochs[name] if epochs else None
        try:
            fits[name] = fit(name, data, start, options, report, judge=evaluations, epochs=passes)
        except FAILURES as error:
            failures[name] = f"{type(error).__name__}: {error}".splitlines()[0]
    return fits, failures


def load_features(baselines: Mapping[str, Arrays], features: Arrays) -> Features:
    """Return the signals made of arrays of their own and of those that they share with EASE."""
    return Features.from_arrays({**{f"ease/{name}": array for name, array in baselines["ease"].items()}, **features})


def load_network(name: str, arrays: Arrays) -> Scorer:
    """Return a network's own part as it serves, without the signals."""
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
    """Return the very scorers that will serve, in registry order; the networks are given their weights.

    Args:
        networks: Fitted.
        baselines: Arrays.
        features: Arrays.
        weights: `(2, N_SIGNALS + 1)` of each network and of the blend.
    """
    for name, network in networks.items():
        network.tables["signal_weights"].assign(weights[name])
    arrays = {
        **{name: network.arrays() for name, network in networks.items()},
        **baselines,
        "blend": {"signal_weights": weights["blend"]},
    }
    shared = load_features(baselines, features)
    return {name: kind.build(arrays[name], shared) for name, kind in REGISTRY.items() if name in arrays}


def check_complete(fitted: Mapping[str, Scorer], query: Query, failures: Mapping[str, str]) -> None:
    """Refuse a candidate that lacks a scorer for no known reason, lacks all models, or scores anything but finite numbers.

    Args:
        fitted: What would be published.
        query: Something to score.
        failures: Why a network is missing.

    Raises:
        TrainingRefused: Naming the scorer.
    """
    missing = [name for name in (*NETWORKS, *BASELINES) if name not in fitted and name not in failures]
    if missing or not set(NETWORKS) - set(failures):
        what = listed(missing or (f"{name} ({why})" for name, why in failures.items()))
        raise TrainingRefused(f"A version should hold every scorer of the registry. Missing: {what}.")
    for name, scorer in fitted.items():
        if not np.isfinite(scorer.score(query)).all():
            raise TrainingRefused(f"{name} should score finite numbers. Received: NaN or infinity.")


def _judge(name: str, evaluation_set: EvaluationSet) -> ValidationMetric:
    return lambda network: mean_average_precision(load_network(name, network.arrays()), evaluation_set)


def _rows(blends: Mapping[str, EnsembleFit]) -> NDArray[np.float32]:
    """Return `(2, N_SIGNALS + 1)`; a rule without an exam is served by the other's weights."""
    some = next(iter(blends.values()))
    return np.stack([blends.get(label, some).weights for label in RULES]).astype(np.float32)


def _epochs_tried(name: str, done: Fit) -> dict[str, Any]:
    return {
        "model": name,
        "choice": "epochs",
        "value": done.epochs,
        "map10_by_epoch": list(done.validation_scores),
        "losses": list(done.losses),
    }
