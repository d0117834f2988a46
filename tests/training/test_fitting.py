"""The choice of hyperparameters on validation, and the fit of the registry with them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.errors import TrainingRefused
from recsys.evaluation.protocol import EvaluationSet
from recsys.evaluation.results import mean_average_precision
from recsys.features.features import CONTENT, N_FEATURES, NAMES
from recsys.features.query import Arrays
from recsys.networks.fit import NETWORKS, Epoch, Fit
from recsys.scorers.base import Scorer
from recsys.scorers.layers import LinearEnsemble
from recsys.scorers.registry import MODELS, REGISTRY
from recsys.training import fitting, network_fits
from recsys.training.closed_form.choose import (
    L2_GRID,
    MIN_CO_OCCURRENCE_GRID,
    REGULARIZATION_GRID,
    fit_baselines,
    fit_features,
)
from recsys.training.closed_form.content import content
from recsys.training.ensemble import FALLBACK
from recsys.training.fitting import (
    DEFAULT_WINNER,
    MIN_VALIDATION_USERS,
    FittedModels,
    Hyperparameters,
    best_of,
    choose,
    fit_models,
    fit_start,
    load_scorers,
)
from recsys.training.network_fits import fit_networks, load_network
from recsys.training.search import NETWORK
from recsys.training.stages import build_evaluation_sets
from tests.helpers.checkerboard import (
    CUT,
    FAST,
    N_USERS,
    before_the_cut,
    catalogue,
    eagerly,
    events_of,
    hyperparameters,
    own_cluster,
    shop_of,
    withheld,
)

QUICK = replace(FAST, epochs=3, batch=16, shared_negatives=16)


def quiet(epoch: Epoch) -> None:
    pass


@dataclass(frozen=True)
class Validation:
    """The arguments of `choose` that describe the shop."""

    data: Dataset
    evaluation_sets: Mapping[str, EvaluationSet]
    rule: str = "hide"

    def choose(self) -> Hyperparameters:
        return choose(self.data, self.evaluation_sets, self.rule, QUICK, quiet)


@pytest.fixture(scope="module")
def validation(board: FittedModels) -> Validation:
    """After the cut, each user buys the withheld item and an item of their history."""
    rows = [
        (100 + user, 500 + int(own_cluster(user)[user % 8]), "purchase", CUT + 3600 * user) for user in range(N_USERS)
    ]
    rows += [(100 + user, 500 + withheld(user), "purchase", CUT + 3600 * user) for user in range(N_USERS)]
    run = shop_of(before_the_cut())
    return Validation(board.data, build_evaluation_sets(run, board.encoders, board.data, events_of(rows), CUT))


@contextmanager
def noise_as_start() -> Iterator[None]:
    """Let networks start from noise, because they have little to learn from the usual warm start on this data."""

    def start(data: Dataset, *_: object) -> Arrays:
        rng = np.random.default_rng(1)
        sizes = {"user_factors": data.n_users, "item_factors": data.n_items}
        factors = {name: 0.01 * rng.normal(size=(size, QUICK.dim)).astype(np.float32) for name, size in sizes.items()}
        return {**factors, "popularity": np.ones(data.n_items, np.float32)}

    with pytest.MonkeyPatch.context() as patch, eagerly():
        patch.setattr(fitting, "fit_start", start)
        yield


@pytest.fixture(scope="module")
def chosen(validation: Validation) -> Hyperparameters:
    with noise_as_start():
        return validation.choose()


@pytest.fixture(scope="module")
def fitted(board: FittedModels, validation: Validation, chosen: Hyperparameters) -> FittedModels:
    with noise_as_start():
        return fit_models(board.encoders, validation.data, QUICK, chosen, quiet)


def known(evaluation_set: EvaluationSet, n_users: int) -> EvaluationSet:
    """Return the evaluation set with only the first `n_users` users known."""
    return replace(evaluation_set, known=np.arange(len(evaluation_set)) < n_users)


# Defaults


@pytest.mark.parametrize("n_users", [0, MIN_VALIDATION_USERS - 1])
def test_with_too_few_known_users_defaults_are_taken_and_nothing_is_fitted(
    n_users: int, validation: Validation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_fits, "fit", None)
    few = replace(
        validation,
        # the rule in force counts
        evaluation_sets={**validation.evaluation_sets, "hide": known(validation.evaluation_sets["hide"], n_users)},
    )
    choices = few.choose()

    assert choices.defaults == f"validation has {n_users} users, 10 are needed: defaults are used"
    assert (choices.l2, choices.regularization, choices.winner) == (200, 20, DEFAULT_WINNER)
    assert choices.epochs == dict.fromkeys(NETWORKS, QUICK.epochs)
    assert (dict(choices.map10), tuple(choices.trials), dict(choices.failures)) == ({}, (), {})
    assert choices.calibrations == dict.fromkeys(REGISTRY)


def test_default_weights_are_the_fallback_under_both_rules() -> None:
    choices = Hyperparameters.default(QUICK, "why")
    row = [FALLBACK.get(name, 0.0) for name in (*NAMES, NETWORK)]

    assert set(choices.ensemble_weights) == {*MODELS, "blend"}
    for weights in choices.ensemble_weights.values():
        assert weights.tolist() == [row, row]
        assert weights.dtype == np.float32
    assert sum(value != 0 for value in row) == 3


def test_ten_known_users_are_enough_to_choose(
    validation: Validation, chosen: Hyperparameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_fits, "fit", at_its_start(chosen, validation))
    enough = replace(
        validation, evaluation_sets={"hide": known(validation.evaluation_sets["hide"], MIN_VALIDATION_USERS)}
    )

    assert enough.choose().defaults is None


def at_its_start(chosen: Hyperparameters, validation: Validation) -> Callable[..., Fit]:
    """Return a fit that keeps the warm start."""
    real = network_fits.fit

    def fit(name: str, data: Dataset, start: Any, options: Any, report: Any, **_: Any) -> Fit:
        return real(name, data, start, options, report, epochs=0)

    return fit


# Choices


def test_the_closed_forms_are_the_best_tried(chosen: Hyperparameters) -> None:
    for choice, grid, value in (
        ("EASE l2", L2_GRID, chosen.l2),
        ("ALS regularization", REGULARIZATION_GRID, chosen.regularization),
        ("item-CF min co-occurrence", MIN_CO_OCCURRENCE_GRID, chosen.min_co_occurrence),
    ):
        tried = {trial["value"]: trial["map10"] for trial in chosen.trials if trial["choice"] == choice}
        assert list(tried) == list(grid)
        assert value == max(tried, key=lambda value: tried[value])


def test_the_winner_is_the_best_of_the_whole_registry(chosen: Hyperparameters) -> None:
    assert set(chosen.map10) == set(REGISTRY) == set(chosen.calibrations)
    assert chosen.winner == best_of(chosen.map10)
    assert chosen.map10[chosen.winner] == max(chosen.map10.values())
    assert chosen.defaults is None


def test_each_metric_is_that_of_the_scorer_under_the_rule_in_force(
    chosen: Hyperparameters, validation: Validation
) -> None:
    """Baselines depend only on the choice, so they can be fitted again."""
    arrays = fit_baselines(validation.data, chosen.l2, chosen.min_co_occurrence)
    for name in arrays:
        scorer = load(name, arrays)
        assert chosen.map10[name] == pytest.approx(mean_average_precision(scorer, validation.evaluation_sets["hide"]))


def load(name: str, arrays: Mapping[str, Any]) -> Scorer:
    scorer = REGISTRY[name].load
    assert scorer is not None
    return scorer(arrays[name])


def test_the_weights_of_each_rule_are_fitted_on_its_own_evaluation_set(chosen: Hyperparameters) -> None:
    """With repeats hidden, no relevant item is in a history: only the other rule can give `own_count` a weight."""
    assert set(chosen.ensemble_weights) == {*MODELS, "blend"}
    tried = {(trial["model"], trial["rule"]): trial for trial in chosen.trials if trial["choice"] == "signal weights"}
    for name, weights in chosen.ensemble_weights.items():
        assert (weights.shape, weights.dtype) == ((2, N_FEATURES + 1), np.float32)
        assert (weights[0] != weights[1]).any()
        for row, rule in zip(weights, fitting.RULES, strict=True):
            assert tried[name, rule]["weights"] == pytest.approx(row.tolist())
    assert (chosen.ensemble_weights["blend"][:, -1] == 0).all()
    assert len(tried) == 2 * 5


def test_a_network_without_a_weight_under_the_rule_in_force_is_the_features_alone_and_not_trained_again(
    validation: Validation, chosen: Hyperparameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LNCM has no weight where repeats are hidden, which is the rule in force; NeuMF has none where they are not."""
    at_start, real = at_its_start(chosen, validation), fitting.fit_ensembles

    def without_two_weights(*arguments: Any) -> dict[str, dict[str, Any]]:
        found = real(*arguments)
        for rule, name in (("hide", "LNCM"), ("allow", "NeuMF")):
            weights, trials = found[rule][name]
            found[rule][name] = (np.append(weights[:-1], np.float32(0)), trials)
        for rule, name in (("hide", "NeuMF"), ("hide", "BMF"), ("hide", "ENCM"), ("allow", "LNCM")):
            weights, trials = found[rule][name]
            found[rule][name] = (np.append(weights[:-1], np.float32(0.5)), trials)
        return found

    monkeypatch.setattr(fitting, "fit_ensembles", without_two_weights)
    monkeypatch.setattr(network_fits, "fit", lambda *a, **b: replace(at_start(*a, **b), epochs=2))
    choices = validation.choose()

    assert choices.epochs == {name: 0 if name == "LNCM" else 2 for name in NETWORKS}
    np.testing.assert_array_equal(choices.ensemble_weights["LNCM"], choices.ensemble_weights["blend"])
    assert choices.map10["LNCM"] == choices.map10["blend"]
    assert choices.ensemble_weights["NeuMF"][:, -1].tolist() == [0.5, 0]


def test_a_rule_without_an_evaluation_set_has_the_weights_of_the_other(
    validation: Validation, chosen: Hyperparameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_fits, "fit", at_its_start(chosen, validation))
    choices = Validation(validation.data, {"allow": validation.evaluation_sets["allow"]}, "allow").choose()

    for weights in choices.ensemble_weights.values():
        np.testing.assert_array_equal(weights[0], weights[1])


def test_early_stopping_measures_network_scores_under_the_rule_in_force(
    validation: Validation, chosen: Hyperparameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[type, EvaluationSet]] = []
    monkeypatch.setattr(
        network_fits,
        "average_precisions",
        lambda scorer, evaluation_set, limit: calls.append((type(scorer), evaluation_set)) or np.array([0.5]),
    )
    with eagerly():
        choices = replace(validation, rule="allow").choose()

    assert all(evaluation_set is validation.evaluation_sets["allow"] for _, evaluation_set in calls)
    assert {scorer_type.__name__ for scorer_type, _ in calls} == set(NETWORKS)
    assert len(calls) == len(NETWORKS) * (1 + QUICK.epochs)
    assert set(choices.epochs.values()) == {0}, "no epoch was better than the start"


def test_the_seed_decides_the_choices(validation: Validation, chosen: Hyperparameters) -> None:
    with noise_as_start():
        again = validation.choose()

    assert again.trials == chosen.trials
    assert again.map10 == chosen.map10
    for name, weights in chosen.ensemble_weights.items():
        np.testing.assert_array_equal(again.ensemble_weights[name], weights)


def test_a_network_that_failed_is_neither_tried_again_nor_the_winner(chosen: Hyperparameters) -> None:
    won = replace(chosen, winner="ENCM", map10={**dict.fromkeys(REGISTRY, 0.2), "ENCM": 0.9, "BMF": 0.3, "ease": 0.3})
    remaining = won.without({"ENCM": "MemoryError"})

    assert remaining.winner == "ease"  # the cheapest of equals
    assert list(remaining.epochs) == ["LNCM", "NeuMF", "BMF"]
    assert remaining.without({"BMF": "MemoryError: again"}).winner == "ease"
    assert remaining.without({"BMF": "MemoryError: again"}).failures == {
        "ENCM": "MemoryError",
        "BMF": "MemoryError: again",
    }
    assert remaining.map10 == won.map10, "measured values stay on record"
    assert won.without({}) == won
    assert Hyperparameters.default(QUICK, "why").without({"BMF": "MemoryError"}).winner == DEFAULT_WINNER


# The fit with the chosen hyperparameters


def test_the_registry_is_fitted_with_the_chosen_hyperparameters(
    fitted: FittedModels, chosen: Hyperparameters, validation: Validation
) -> None:
    assert list(fitted.scorers) == list(REGISTRY)
    assert fitted.data is validation.data
    assert fitted.failures == {}
    for name, epochs in chosen.epochs.items():
        assert len(fitted.losses[name]) == epochs
        np.testing.assert_array_equal(fitted.networks[name].arrays()["signal_weights"], chosen.ensemble_weights[name])


def test_each_network_has_the_epochs_that_were_chosen(
    board: FittedModels, chosen: Hyperparameters, validation: Validation
) -> None:
    epochs = {"ENCM": 0, "LNCM": 2, "NeuMF": 0, "BMF": 1}
    with eagerly():
        models = fit_models(board.encoders, validation.data, QUICK, replace(chosen, epochs=epochs), quiet)

    assert {name: len(losses) for name, losses in models.losses.items()} == epochs


def test_content_is_fitted_only_where_an_ensemble_uses_it(
    board: FittedModels, chosen: Hyperparameters, validation: Validation
) -> None:
    described = content(catalogue(), board.encoders.items.ids)
    for value, held in ((0.0, False), (0.1, True)):
        weights = {name: stored.copy() for name, stored in chosen.ensemble_weights.items()}
        weights["BMF"][1, CONTENT] = value  # under one rule
        hyperparameters = replace(chosen, ensemble_weights=weights, epochs=dict.fromkeys(NETWORKS, 0))
        models = fit_models(board.encoders, validation.data, QUICK, hyperparameters, quiet, described)

        assert ("content/starts" in models.features) == held
        bmf = models.scorers["BMF"]
        assert isinstance(bmf, LinearEnsemble)
        assert (len(bmf.features.content.similarities) > 0) == held


def test_a_second_fit_on_the_same_events_reaches_the_measured_metrics(
    fitted: FittedModels, chosen: Hyperparameters, validation: Validation
) -> None:
    """The metrics behind the choice are those of the networks that the choice describes."""
    for name, scorer in fitted.scorers.items():
        assert mean_average_precision(scorer, validation.evaluation_sets["hide"]) == pytest.approx(
            chosen.map10[name]
        ), name


def test_only_the_networks_that_were_chosen_are_fitted(board: FittedModels, validation: Validation) -> None:
    only = replace(hyperparameters(QUICK), epochs={"BMF": 0}, failures={"LNCM": "MemoryError"})
    fitted = fit_models(board.encoders, validation.data, QUICK, only, quiet)
    start = fit_start(validation.data, fitted.baselines, fitted.features, only.regularization, QUICK)

    assert list(fitted.networks) == ["BMF"]
    assert (fitted.losses, fitted.failures) == ({"BMF": []}, {"LNCM": "MemoryError"})
    new = NETWORKS["BMF"](fitted.networks["BMF"].shapes, QUICK.seed)
    new.warm_start(start)
    np.testing.assert_array_equal(fitted.networks["BMF"].arrays()["item_factors"], new.arrays()["item_factors"])
    assert start["item_factors"].shape[1] == QUICK.dim
    np.testing.assert_array_equal(start["popularity"], fitted.baselines["popularity"]["popularity"])


# Failures


def failing(error: Exception) -> Callable[..., Fit]:
    def fit(*_: object, **__: object) -> Fit:
        raise error

    return fit


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (MemoryError("no room"), "MemoryError: no room"),
        (
            tf.errors.ResourceExhaustedError(None, None, "OOM when allocating\nHint: …"),
            "ResourceExhaustedError: OOM when allocating",
        ),
        (tf.errors.InternalError(None, None, "odd"), "InternalError: odd"),
    ],
)
def test_a_network_that_lacks_resources_is_left_out_with_a_reason(
    error: Exception, why: str, validation: Validation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_fits, "fit", failing(error))

    assert fit_networks(validation.data, None, QUICK, quiet) == ({}, dict.fromkeys(NETWORKS, why))  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [ValueError("a mistake of ours"), TrainingRefused("BMF: the loss should be finite")])
def test_a_programming_error_or_a_loss_that_is_not_finite_ends_the_run(
    error: Exception, validation: Validation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_fits, "fit", failing(error))

    with pytest.raises(type(error), match=str(error)):
        fit_networks(validation.data, None, QUICK, quiet)  # type: ignore[arg-type]


def test_a_loss_that_is_not_a_number_is_refused_in_a_whole_fit(validation: Validation) -> None:
    weights = validation.data.weights.copy()
    weights[17] = np.nan
    broken = replace(validation.data, weights=weights)
    baselines, features = fit_baselines(validation.data, 200.0), fit_features(validation.data, 20.0, QUICK)
    start = fit_start(validation.data, baselines, features, 20.0, QUICK)

    with (
        eagerly(),
        pytest.raises(
            TrainingRefused, match="^ENCM: the loss should be finite. Received: nan in epoch 1, batch . of 4"
        ),
    ):
        fit_networks(broken, start, QUICK, quiet)


# Loading


def test_only_a_network_is_loaded_without_features() -> None:
    with pytest.raises(ValueError, match="`name` should be a network. Received: blend"):
        load_network("blend", {})


def test_loading_assigns_ensemble_weights_to_networks(board: FittedModels) -> None:
    weights: dict[str, NDArray[np.float32]] = {
        name: np.full((2, N_FEATURES + 1), n, np.float32) for n, name in enumerate((*MODELS, "blend"))
    }
    networks = {name: network.arrays() for name, network in board.networks.items()}
    scorers = load_scorers(networks, board.baselines, board.features, weights)

    assert list(scorers) == list(REGISTRY)
    for name in MODELS:
        assert scorers[name].weights is not None
        np.testing.assert_array_equal(scorers[name].weights, weights[name])


def test_of_equal_scorers_the_cheapest_is_the_best() -> None:
    assert best_of({"ENCM": 0.3, "BMF": 0.3, "blend": 0.3, "ease": 0.2}) == "blend"
    assert best_of({"ENCM": 0.31, "BMF": 0.3, "blend": 0.3}) == "ENCM"
