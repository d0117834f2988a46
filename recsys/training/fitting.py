"""Fits of the whole registry on one dataset: `choose` selects hyperparameters, `fit_models` uses them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.encoding import Encoders
from recsys.errors import TrainingRefused
from recsys.errors.wording import listed
from recsys.evaluation.metrics import Calibration
from recsys.evaluation.protocol import EvaluationSet
from recsys.evaluation.results import evaluate_set
from recsys.features.content import Content
from recsys.features.features import CONTENT, N_FEATURES, Features
from recsys.features.query import Arrays, Floats, Indices
from recsys.networks.base import FittedNetwork, Network
from recsys.networks.fit import NETWORKS, check_finite
from recsys.scorers.base import Scorer
from recsys.scorers.registry import BASELINES, COLLABORATIVE, MODELS, REGISTRY
from recsys.settings import Training
from recsys.training.calibration import calibrate
from recsys.training.chain import Learned
from recsys.training.closed_form.als import als, narrowed
from recsys.training.closed_form.choose import (
    Kept,
    choose_l2,
    choose_min_co_occurrence,
    choose_regularization,
    fit_baselines,
    fit_features,
)
from recsys.training.closed_form.co_occurrence import user_item_matrix
from recsys.training.closed_form.content import hybrid
from recsys.training.closed_form.item_cf import MIN_CO_OCCURRENCE
from recsys.training.ensemble import fallback, fit_ensembles
from recsys.training.halving import LEAST_CASES, Gain, gains
from recsys.training.network_fits import (
    Note,
    Report,
    choose_networks,
    fit_networks,
    load_network,
    network_trials,
    print_nothing,
    validation_metric,
)
from recsys.training.search import EnsembleFit

RULES = ("hide", "allow")  # the rows of `signal_weights`
MIN_VALIDATION_USERS = 10
DEFAULT_WINNER = "popularity"  # where too few users are known to choose a winner


@dataclass(frozen=True)
class Hyperparameters:
    """Everything that validation chose.

    Attributes:
        epochs: The number of epochs of each network; 0 keeps its warm start, as does one without a weight.
        ensemble_weights: `(2, N_FEATURES + 1)` float32 for each model and for `blend`; the rows are `RULES`.
        calibrations: From logits to probabilities, for each scorer; None where there is none.
        l2: Regularization of EASE, in users.
        regularization: Regularization of ALS.
        min_co_occurrence: Items with fewer common users are no neighbours in item-based collaborative filtering.
        collaborative: The collaborative side of `hybrid`: of `COLLABORATIVE`, the one with the highest MAP@10.
        winner: The scorer with the highest MAP@10 under the rule in force.
        map10: Validation MAP@10 of each scorer, 0 to 1.
        per_user: `(n,)` validation AP@10 of each known user, by scorer.
        recall10: `(n,)` validation Recall@10 of each of them, by scorer.
        n_events: `(n,)` int64, the number of events of each of these users.
        trials: All values that were tried, with their metrics, for the report.
        defaults: Why default values are used; None where validation could choose.
        failures: Why each missing network could not be fitted; it is not tried again.
        ended: The networks that add nothing to a part of validation, whose training ended early.
        learned: What the fit before the validation cut leaves for the fit before the test cut; None starts anew.
        lists: The ten best items of each test case of validation, by scorer.
    """

    epochs: Mapping[str, int]
    ensemble_weights: Mapping[str, Floats]
    calibrations: Mapping[str, Calibration | None]
    l2: float = 200.0
    regularization: float = 20.0
    min_co_occurrence: float = MIN_CO_OCCURRENCE
    collaborative: str = COLLABORATIVE[-1]
    winner: str = DEFAULT_WINNER
    map10: Mapping[str, float] = field(default_factory=dict)
    per_user: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    recall10: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    n_events: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    trials: Sequence[Mapping[str, Any]] = ()
    defaults: str | None = None
    failures: Mapping[str, str] = field(default_factory=dict)
    ended: frozenset[str] = frozenset()
    learned: Learned | None = None
    lists: Mapping[str, Sequence[Indices]] = field(default_factory=dict)

    @classmethod
    def default(cls, options: Training, why: str) -> Hyperparameters:
        """Return the hyperparameters of a shop with too few validation users.

        Args:
            options: How to train.
            why: The reason, for the report.
        """
        weights = np.tile(fallback(np.ones(N_FEATURES + 1, bool)), (2, 1))
        everything = dict.fromkeys((*MODELS, "blend"), weights)
        return cls(
            dict.fromkeys(NETWORKS, options.epochs),
            everything,
            dict.fromkeys(REGISTRY),
            min_co_occurrence=float(options.min_co_occurrence or MIN_CO_OCCURRENCE),
            defaults=why,
        )

    def without(self, failures: Mapping[str, str]) -> Hyperparameters:
        """Return the hyperparameters without networks that failed in a later fit; none of these can be the winner.

        Args:
            failures: Why each of these networks is missing.
        """
        missing = {**self.failures, **failures}
        epochs = {name: n_epochs for name, n_epochs in self.epochs.items() if name not in missing}
        remaining = {name: value for name, value in self.map10.items() if name not in missing}
        per_user = {name: values for name, values in self.per_user.items() if name not in missing}
        winner = best_of(remaining) if remaining else self.winner
        return replace(self, epochs=epochs, winner=winner, per_user=per_user, failures=missing)


@dataclass(frozen=True)
class FittedModels:
    """All models of the registry, fitted on one dataset.

    Attributes:
        encoders: The encoders of the events.
        data: The encoded events.
        networks: The networks that could be fitted, by name.
        baselines: The arrays of each baseline.
        features: The arrays of the features that no baseline holds.
        scorers: All scorers, as they serve.
        losses: The loss of each epoch of each network.
        failures: Why each missing network could not be fitted.
        ended: The networks whose training ended early when choosing.
    """

    encoders: Encoders
    data: Dataset
    networks: Mapping[str, FittedNetwork]
    baselines: Mapping[str, Arrays]
    features: Arrays
    scorers: Mapping[str, Scorer]
    losses: Mapping[str, Sequence[float]]
    failures: Mapping[str, str]
    ended: frozenset[str] = frozenset()

    @property
    def learned(self) -> Learned:
        """What the next fit goes on from."""
        networks = {name: network.arrays() for name, network in self.networks.items()}
        return Learned(self.encoders, networks, self.features["item_factors"], int(self.data.timestamps.max()))


def choose(
    data: Dataset,
    evaluation_sets: Mapping[str, EvaluationSet],
    rule: str,
    options: Training,
    report: Report,
    content: Content | None = None,
    *,
    encoders: Encoders | None = None,
    earlier: Learned | None = None,
    goes_on: bool = False,
    note: Note = print_nothing,
) -> Hyperparameters:
    """Fit the registry before the validation cut; choose hyperparameters, epochs, ensemble weights and the winner.

    Args:
        data: The events before the validation cut.
        evaluation_sets: The evaluation set of each repeat rule after it, `hide` and `allow`, or of one of them.
        rule: The rule in force; its evaluation set decides early stopping and the winner.
        options: How to train.
        report: Receives every epoch.
        content: The descriptions of the items; None where nothing is known of them.
        encoders: The encoders of the events, for the fit that goes on from this one; None if there will be none.
        earlier: What networks go on from; none of its events may be after the validation cut.
        goes_on: Whether later fits go on from this one.
        note: Receives what is done in the minutes without an epoch.

    Returns:
        The choices; default values with fewer than `MIN_VALIDATION_USERS` known users.
    """
    evaluation_set = evaluation_sets[rule]
    n_known = evaluation_set.known.sum()
    if n_known < MIN_VALIDATION_USERS:
        why = f"validation has {n_known} users, {MIN_VALIDATION_USERS} are needed: defaults are used"
        return Hyperparameters.default(options, why)
    kept: Kept = {}
    note("closed forms: EASE, ALS and item-CF with some regularizations each")
    l2, l2_trials = choose_l2(data, evaluation_set, kept=kept)
    regularization, als_trials = choose_regularization(data, evaluation_set, options, kept=kept, goes_on=goes_on)
    min_co_occurrence, item_cf_trials = choose_min_co_occurrence(data, evaluation_set, options, kept=kept)
    baselines = fit_baselines(data, l2, min_co_occurrence, kept=kept)
    trials_of = dict(zip(COLLABORATIVE, (l2_trials, item_cf_trials), strict=True))
    collaborative = max(COLLABORATIVE, key=lambda name: max(trial["map10"] for trial in trials_of[name]))
    baselines["hybrid"] = hybrid(baselines, content, options.content_weight, collaborative)
    feature_arrays = fit_features(data, regularization, options, kept=kept, content=content)
    start = fit_start(data, baselines, feature_arrays, regularization, options)
    features = load_features(baselines, feature_arrays)
    metric_of = partial(validation_metric, evaluation_set)

    def measure_gains(running: Mapping[str, Network], before: Mapping[str, float]) -> dict[str, Gain]:
        arrays = {name: network.arrays() for name, network in running.items()}
        for name, of_network in arrays.items():
            check_finite(name, of_network)
        scores = {name: load_network(name, of_network).score for name, of_network in arrays.items()}
        return gains(features, scores, evaluation_set, options.seed, before)

    going_on = earlier and encoders and earlier.for_networks(encoders, dict.fromkeys(NETWORKS, 1))
    if n_known >= LEAST_CASES:
        fits, failures, verdicts = choose_networks(
            data, start, options, report, metric_of, measure_gains, note=note, earlier=going_on or None
        )
    else:
        fits, failures = fit_networks(data, start, options, report, metric_of, note=note, earlier=going_on or None)
        verdicts = {}
    networks = {name: result.network.arrays() for name, result in fits.items()}
    network_scores = {name: load_network(name, arrays).score for name, arrays in networks.items()}
    note("weights of the linear sum, and of each network beside it")
    ensembles = fit_ensembles(features, {**network_scores, "blend": None}, evaluation_sets, options.seed)
    weights = {
        name: np.stack([ensembles.get(row, ensembles[rule])[name][0] for row in RULES]) for name in (*networks, "blend")
    }
    idle = [name for name in networks if not ensembles[rule][name][0][-1]]
    if idle:
        note(f"{listed(idle)}: no weight beside the features, so that later fits keep the start from ALS")
    weights |= dict.fromkeys(idle, weights["blend"])  # under the other rule as well
    scorers = load_scorers(networks, baselines, feature_arrays, weights)
    note(f"validation of {len(scorers)} scorers")
    evaluations, known = evaluate_set(scorers, evaluation_set), evaluation_set.known
    per_user = {name: result.per_user["map10"][known] for name, result in evaluations.items()}
    map10 = {name: float(np.mean(values)) for name, values in per_user.items()}
    n_events = np.array([len(case.query.items) for case in evaluation_set.cases], np.int64)
    return Hyperparameters(
        epochs={name: 0 if name in idle else result.epochs for name, result in fits.items()},
        ensemble_weights=weights,
        calibrations={name: calibrate(result) for name, result in evaluations.items()},
        l2=l2,
        regularization=regularization,
        min_co_occurrence=min_co_occurrence,
        collaborative=collaborative,
        winner=best_of(map10),
        map10=map10,
        per_user=per_user,
        recall10={name: result.per_user["recall10"][known] for name, result in evaluations.items()},
        n_events=n_events[known],
        lists={name: result.lists for name, result in evaluations.items()},
        trials=(
            *l2_trials,
            *als_trials,
            *item_cf_trials,
            *network_trials(fits, failures, verdicts, idle),
            *_ensemble_trials(ensembles, idle),
        ),
        failures=failures,
        ended=frozenset(name for name, rungs in verdicts.items() if any(not gain.goes_on for gain in rungs.values())),
        learned=Learned.of(encoders, data, fits, feature_arrays) if encoders else None,
    )


def best_of(map10: Mapping[str, float]) -> str:
    """Return the name with the highest MAP@10; among equals the cheapest, which is the last of the registry.

    A network without any weight in its own sum is the same list as `blend`, and must not serve in its place.
    """
    return max((name for name in reversed(list(REGISTRY)) if name in map10), key=lambda name: map10[name])


def fit_models(
    encoders: Encoders,
    data: Dataset,
    options: Training,
    hyperparameters: Hyperparameters,
    report: Report,
    content: Content | None = None,
    *,
    earlier: Learned | None = None,
    note: Note = print_nothing,
) -> FittedModels:
    """Fit the whole registry on a dataset with given hyperparameters.

    Args:
        encoders: The encoders of the events; the result keeps them.
        data: The events to learn from; no others are used.
        options: How to train.
        hyperparameters: Chosen on validation.
        report: Receives every epoch.
        content: The descriptions of the items; None where nothing is known of them.
        earlier: A fit on events before these, to go on from; None starts anew, which ranks better: on online-retail
            without repeats, one more epoch instead of all lowered NDCG@10 by a tenth.
        note: Receives what is done in the minutes without an epoch.
    """
    note("closed forms: EASE, item-CF, ALS and transitions")
    baselines = fit_baselines(data, hyperparameters.l2, hyperparameters.min_co_occurrence)
    baselines["hybrid"] = hybrid(baselines, content, options.content_weight, hyperparameters.collaborative)
    start_of_als = earlier.start_of_als(encoders, options.factors) if earlier else None
    regularization, weights = hyperparameters.regularization, hyperparameters.ensemble_weights
    is_used = any(of_ensemble[:, CONTENT].any() for of_ensemble in weights.values())  # a version holds what it uses
    features = fit_features(data, regularization, options, start=start_of_als, content=content if is_used else None)
    start = fit_start(data, baselines, features, regularization, options)
    epochs = hyperparameters.epochs
    going_on = earlier.for_networks(encoders, epochs, hyperparameters.ended) if earlier else None
    fits, failures = fit_networks(data, start, options, report, epochs=epochs, earlier=going_on, note=note)
    networks = {name: result.network.replace(signal_weights=weights[name]) for name, result in fits.items()}
    return FittedModels(
        encoders=encoders,
        data=data,
        networks=networks,
        baselines=baselines,
        features=features,
        scorers=load_scorers({name: of.arrays() for name, of in networks.items()}, baselines, features, weights),
        losses={name: result.losses for name, result in fits.items()},
        failures={**hyperparameters.failures, **failures},
        ended=hyperparameters.ended,
    )


def fit_start(
    data: Dataset, baselines: Mapping[str, Arrays], features: Arrays, regularization: float, options: Training
) -> Arrays:
    """Return what networks start from: the vectors of ALS, as wide as embeddings, and the popularity of items.

    Args:
        data: The events to learn from.
        baselines: The arrays of the fitted baselines.
        features: Those of the features, whose wider vectors of ALS it starts from.
        regularization: Of ALS.
        options: Holds the dimension of embeddings and the seed.
    """
    wider = narrowed(features, options.dim)
    factors = als(user_item_matrix(data), options.dim, regularization, seed=options.seed, start=wider)
    return {**factors, "popularity": baselines["popularity"]["popularity"]}


def load_features(baselines: Mapping[str, Arrays], features: Arrays) -> Features:
    """Return the features, from their own arrays and from the arrays that they share with EASE."""
    return Features.from_arrays({**{f"ease/{name}": array for name, array in baselines["ease"].items()}, **features})


def load_scorers(
    networks: Mapping[str, Arrays],
    baselines: Mapping[str, Arrays],
    features: Arrays,
    weights: Mapping[str, Floats],
) -> dict[str, Scorer]:
    """Return the scorers as they will serve, in registry order.

    Args:
        networks: The weights of the fitted networks by name.
        baselines: The arrays of each fitted baseline.
        features: The arrays of the features that no baseline holds.
        weights: `(2, N_FEATURES + 1)` float32 for each network and for `blend`.
    """
    arrays = {
        **{name: {**values, "signal_weights": weights[name]} for name, values in networks.items()},
        **baselines,
        "blend": {"signal_weights": weights["blend"]},
    }
    shared = load_features(baselines, features)
    return {name: spec.build(arrays[name], shared) for name, spec in REGISTRY.items() if name in arrays}


def check_complete(models: FittedModels) -> None:
    """Refuse scorers that are incomplete for no known reason, without any network, or not finite.

    Args:
        models: A fit.

    Raises:
        TrainingRefused: The message names the scorer.
    """
    scorers, failures = models.scorers, models.failures
    missing = [name for name in (*NETWORKS, *BASELINES) if name not in scorers and name not in failures]
    if missing or not set(NETWORKS) - set(failures):
        names = listed(missing or (f"{name} ({why})" for name, why in failures.items()))
        raise TrainingRefused(f"A version should hold every scorer of the registry. Missing: {names}.")
    if broken := not_finite(models):
        raise TrainingRefused(f"{broken[0]} should score finite numbers. Received: NaN or infinity.")


def not_finite(models: FittedModels) -> tuple[str, ...]:
    """Return the scorers of a fit with a score that is NaN or infinite, for the first user in unknown context."""
    data = models.data
    now = int(data.timestamps.max())
    query = data.query(int(data.users[0]), context=data.unknown_context, now=now, repeats=True)
    return tuple(name for name, scorer in models.scorers.items() if not np.isfinite(scorer.score(query)).all())


def _ensemble_trials(ensembles: Mapping[str, Mapping[str, EnsembleFit]], idle: Collection[str]) -> list[dict[str, Any]]:
    """Return the entries of the report on the ensemble weights of each rule and model; see `network_trials`."""
    return [
        {"model": name, "rule": rule, "choice": "signal weights", **trials, "weights": weights.tolist()}
        | ({"without_weight": True} if name in idle else {})
        for rule, fits in ensembles.items()
        for name, (weights, trials) in fits.items()
    ]
