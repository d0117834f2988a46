"""The training loop: errors, reproducibility, warm start, early stopping, dropped embeddings, and what is learned."""

import gc
import weakref
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.errors import TrainingRefused
from recsys.features.features import N_FEATURES
from recsys.networks.base import Network
from recsys.networks.fit import NETWORKS, PATIENCE, Course, Epoch, Fit, check_finite, fit
from recsys.networks.trainer import Examples
from recsys.settings import Training
from recsys.training.closed_form.als import als
from recsys.training.closed_form.choose import popularity
from recsys.training.closed_form.co_occurrence import user_item_matrix
from recsys.training.fitting import FittedModels
from tests.helpers.checkerboard import FAST, N_ITEMS, eagerly

QUICK = replace(FAST, epochs=1, batch=64, shared_negatives=16)


def warm_start(data: Dataset, options: Training = QUICK) -> dict[str, NDArray]:
    """Return the warm start of a training run."""
    factors = als(user_item_matrix(data), options.dim, 2.0, seed=options.seed)
    return {**factors, "popularity": popularity(data)}


def from_nothing(data: Dataset, options: Training = QUICK) -> dict[str, NDArray]:
    """Return a start without information: noise, and equal popularity."""
    rng = np.random.default_rng(1)
    sizes = {"user_factors": data.n_users, "item_factors": data.n_items}
    factors = {name: 0.01 * rng.normal(size=(size, options.dim)).astype(np.float32) for name, size in sizes.items()}
    return {**factors, "popularity": np.ones(data.n_items, np.float32)}


def fit_eagerly(name: str, data: Dataset, options: Training = QUICK, **how: Any) -> Fit:
    """Return a fit, run eagerly, as these fits take less time than tracing a graph."""
    start = how.pop("start", None) or warm_start(data, options)
    with eagerly():
        return fit(name, data, start, options, how.pop("report", lambda epoch: None), **how)


def fitted(name: str, data: Dataset, options: Training = QUICK, **how: Any) -> dict[str, NDArray]:
    return fit_eagerly(name, data, options, **how).network.arrays()


def untrained(name: str, data: Dataset, options: Training = QUICK) -> dict[str, NDArray]:
    return fitted(name, data, options, epochs=0)


def assert_alike(arrays: dict[str, NDArray], others: dict[str, NDArray]) -> None:
    assert set(arrays) == set(others)
    for name in arrays:
        np.testing.assert_array_equal(arrays[name], others[name], err_msg=name)


def assert_different(arrays: dict[str, NDArray], others: dict[str, NDArray]) -> None:
    assert (arrays["item_factors"] != others["item_factors"]).any()


class KnownScores:
    """A validation metric with known values, which records the weights that it gets."""

    def __init__(self, validation_scores: Sequence[float]) -> None:
        self.validation_scores, self.seen = validation_scores, list[dict[str, NDArray]]()

    def __call__(self, network: Network) -> float:
        self.seen.append(network.arrays())
        return self.validation_scores[len(self.seen) - 1]


# Refusals


@pytest.mark.parametrize("name", NETWORKS)
def test_a_loss_of_nan_stops_the_fit_with_the_networks_name(name: str, board: FittedModels) -> None:
    weights = board.data.weights.copy()
    weights[17] = np.nan

    with pytest.raises(
        TrainingRefused,
        match=rf"^{name}: the loss should be finite. Received: nan in epoch 1, batch 1 of 1. Try a lower",
    ):
        fit_eagerly(name, replace(board.data, weights=weights), start=warm_start(board.data))


def test_the_error_names_the_batch_whose_loss_is_nan(board: FittedModels) -> None:
    """Each user has seven events in one narrow window. Event 17 is of user 2, whose place in the order gives the batch.

    With `batch` 8, a batch has 16 windows of half the width.
    """
    weights, options = board.data.weights.copy(), replace(QUICK, batch=8)
    weights[17] = np.nan
    place = np.random.default_rng(options.seed).permutation(64).tolist().index(2)

    with pytest.raises(TrainingRefused, match=f"Received: nan in epoch 1, batch {place // 16 + 1} of 4"):
        fit_eagerly("BMF", replace(board.data, weights=weights), options, start=warm_start(board.data))
    assert place >= 16, "the batch should not be the first one, which an error without counting would name, too"


def test_the_error_names_the_epoch_whose_loss_is_nan(board: FittedModels, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights become infinite between the first epoch and the second."""
    networks, seen, real = [], [], NETWORKS["BMF"]

    def create(*arguments: Any) -> Network:
        networks.append(real(*arguments))
        return networks[0]

    def overwrite(epoch: Epoch) -> None:
        seen.append(epoch.number)
        networks[0].tables["item_factors"].assign(np.full((N_ITEMS, FAST.dim), np.inf, np.float32))

    monkeypatch.setitem(NETWORKS, "BMF", create)
    with pytest.raises(
        TrainingRefused, match="^BMF: the loss should be finite. Received: nan in epoch 2, batch 1 of 1"
    ):
        fit_eagerly("BMF", board.data, replace(QUICK, epochs=5), report=overwrite)

    assert seen == [1]


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_of_a_compiled_network_stays_in_memory(name: str, board: FittedModels) -> None:
    examples = Examples.of(board.data, QUICK)
    course = Course(name, board.data, warm_start(board.data), QUICK, lambda epoch: None, examples=lambda: examples)
    weights = [weakref.ref(table.value) for table in course.network.tables.values()]
    course.run(1)
    course.finish()
    gc.collect()

    assert [weight() for weight in weights] == [None] * len(weights)


def test_the_error_names_weights_that_are_not_finite(board: FittedModels) -> None:
    network = NETWORKS["LNCM"](board.networks["LNCM"].shapes, 1)
    check_finite("LNCM", network.arrays())
    network.tables["age_bias"].assign(np.full((2, FAST.window), np.inf, np.float32))

    with pytest.raises(TrainingRefused, match="LNCM: `age_bias` should be finite"):
        check_finite("LNCM", network.arrays())


def test_a_warm_start_that_is_not_finite_is_refused_without_training(board: FittedModels) -> None:
    start = warm_start(board.data)
    start["user_factors"][3] = np.nan

    with pytest.raises(TrainingRefused, match="BMF: `user_factors` should be finite"):
        fit_eagerly("BMF", board.data, start=start, epochs=0)


# Reproducibility


@pytest.mark.parametrize("name", NETWORKS)
def test_equal_seeds_give_equal_weights(name: str, board: FittedModels) -> None:
    start = warm_start(board.data)
    first, again, other = (fitted(name, board.data, replace(QUICK, seed=seed), start=start) for seed in (3, 3, 4))

    assert_alike(again, first)
    assert_different(other, first)


def test_each_epoch_is_reported_and_the_loss_falls(board: FittedModels) -> None:
    seen: list[Epoch] = []
    result = fit_eagerly("BMF", board.data, replace(QUICK, epochs=3), report=seen.append)

    assert [(epoch.model, epoch.number, epoch.of) for epoch in seen] == [("BMF", 1, 3), ("BMF", 2, 3), ("BMF", 3, 3)]
    assert [epoch.loss for epoch in seen] == result.losses
    assert (result.epochs, result.validation_scores) == (3, [])
    assert {epoch.validation_score for epoch in seen} == {None}
    for losses in board.losses.values():
        assert len(losses) == FAST.epochs
        assert losses[-1] < losses[0]


def test_without_a_warm_start_the_loss_falls_by_a_fifth(board: FittedModels) -> None:
    """With equal scores for 17 items the loss is ln 17; knowing the cluster leaves eight or nine items."""
    options = replace(QUICK, batch=16, epochs=10, dropout=0.0)
    losses = fit_eagerly("BMF", board.data, options, start=from_nothing(board.data)).losses

    assert losses[0] == pytest.approx(np.log(17), abs=0.2)
    assert losses[-1] < 0.8 * losses[0]


# The warm start


def test_the_warm_start_ranks_by_als_and_popularity(board: FittedModels) -> None:
    start = warm_start(board.data)
    arrays = fitted("BMF", board.data, start=start, epochs=0)
    predicted = start["user_factors"] @ start["item_factors"].T
    prior = np.log(1 + start["popularity"])

    np.testing.assert_allclose(arrays["user_factors"] @ arrays["item_factors"].T, 4 * predicted, rtol=1e-4, atol=1e-4)
    assert arrays["item_factors"].std() == pytest.approx(0.1, rel=1e-4)
    for name in ("slow_items", "fast_items"):
        np.testing.assert_allclose(arrays[name], 0.1 * arrays["item_factors"], rtol=1e-5)
    np.testing.assert_allclose(arrays["item_bias"], prior - prior.mean(), atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_without_an_epoch_a_network_keeps_its_warm_start(name: str, board: FittedModels) -> None:
    start, seen = warm_start(board.data), list[Epoch]()
    result = fit_eagerly(name, board.data, start=start, epochs=0, report=seen.append)
    untouched = NETWORKS[name](result.network.shapes, QUICK.seed)
    untouched.warm_start(start)

    assert_alike(result.network.arrays(), untouched.arrays())
    assert (result.epochs, result.losses, result.validation_scores, seen) == (0, [], [], [])


def test_a_warm_start_of_zeros_is_finite(board: FittedModels) -> None:
    """ALS gives zeros if there is no positive event."""
    nothing = {name: np.zeros_like(array) for name, array in warm_start(board.data).items()}
    arrays = fitted("LNCM", board.data, start=nothing)

    assert all(np.isfinite(weight).all() for weight in arrays.values())


# Early stopping


def test_three_epochs_without_improvement_end_the_fit_with_the_best_weights(board: FittedModels) -> None:
    metric, seen = KnownScores([0.1, 0.3, 0.2, 0.5, 0.4, 0.4, 0.1]), list[Epoch]()
    result = fit_eagerly("BMF", board.data, replace(QUICK, epochs=10), validation_metric=metric, report=seen.append)

    assert PATIENCE == 3
    assert (result.epochs, len(result.losses), result.validation_scores) == (3, 6, metric.validation_scores)
    assert_alike(result.network.arrays(), metric.seen[3])
    assert_different(metric.seen[6], metric.seen[3])
    assert [(epoch.number, epoch.of, epoch.validation_score) for epoch in seen] == [
        (n, 10, metric.validation_scores[n]) for n in range(1, 7)
    ]


def test_an_improvement_that_may_be_chance_does_not_prolong_a_fit(board: FittedModels) -> None:
    """The first epoch certainly is one; of the three after it one is 0.01 better in the mean, with an error of 0.06."""
    by_chance = np.array([0.2, -0.18] * 5)
    values = [np.zeros(10), np.full(10, 0.5), np.full(10, 0.4), 0.5 + by_chance, *[np.full(10, 0.4)] * 3]
    seen = iter(values)
    options = replace(QUICK, epochs=10)
    result = fit_eagerly("BMF", board.data, options, validation_metric=lambda network: next(seen))

    assert (result.epochs, len(result.losses)) == (3, 4), "the best epoch is kept all the same"
    assert result.validation_scores == [pytest.approx(of.mean()) for of in values[:5]]


def test_the_last_epoch_may_be_the_best(board: FittedModels) -> None:
    metric = KnownScores([0.1, 0.0, 0.0, 0.2])
    result = fit_eagerly("BMF", board.data, replace(QUICK, epochs=3), validation_metric=metric)

    assert result.epochs == 3
    assert_alike(result.network.arrays(), metric.seen[3])


@pytest.mark.parametrize("validation_scores", [[0.5, 0.4, 0.4, 0.4], [0.5, 0.5, 0.5, 0.5]], ids=["worse", "equal"])
def test_without_improvement_the_warm_start_is_returned(validation_scores: list[float], board: FittedModels) -> None:
    metric = KnownScores(validation_scores)
    result = fit_eagerly("BMF", board.data, replace(QUICK, epochs=10), validation_metric=metric)

    assert (result.epochs, len(result.losses)) == (0, PATIENCE)
    assert_alike(result.network.arrays(), untrained("BMF", board.data))


def test_validation_changes_only_where_the_fit_ends(board: FittedModels) -> None:
    options, metric = replace(QUICK, epochs=3), KnownScores([0.0, 0.1, 0.2, 0.3])

    assert_alike(fitted("BMF", board.data, options, validation_metric=metric), fitted("BMF", board.data, options))


def test_a_fit_of_fewer_epochs_equals_the_beginning_of_a_longer_one(board: FittedModels) -> None:
    """`epochs` does not change the schedule of the learning rate; `options.epochs` does."""
    options, metric = replace(QUICK, epochs=5), KnownScores([0.0, 0.1, 0.2, 0.1, 0.1, 0.1])
    validated = fit_eagerly("BMF", board.data, options, validation_metric=metric)
    shorter = fit_eagerly("BMF", board.data, options, epochs=2)

    assert (validated.epochs, shorter.epochs, len(shorter.losses)) == (2, 2, 2)
    assert shorter.losses == validated.losses[:2]
    assert_alike(shorter.network.arrays(), validated.network.arrays())
    assert_different(fitted("BMF", board.data, replace(QUICK, epochs=2)), shorter.network.arrays())


def test_the_validation_metric_may_be_any_function_of_a_network(board: FittedModels) -> None:

    def metric(network: Network) -> float:
        return -float(np.abs(network.arrays()["item_bias"]).sum())

    assert len(fit_eagerly("BMF", board.data, validation_metric=metric).validation_scores) == 2


# Dropped embeddings


def test_embeddings_that_are_always_dropped_learn_nothing(board: FittedModels) -> None:
    options = replace(QUICK, dropped_users=1.0)
    before, after = untrained("NeuMF", board.data, options), fitted("NeuMF", board.data, options)

    for name in ("user_factors", "mlp_users"):
        np.testing.assert_allclose(after[name], before[name], atol=1e-6)
    assert np.abs(after["slow_items"] - before["slow_items"]).max() > 1e-3


def test_a_context_that_is_always_dropped_trains_unknown_alone(board: FittedModels) -> None:
    options = replace(QUICK, dropped_contexts=1.0)
    before, after = untrained("ENCM", board.data, options), fitted("ENCM", board.data, options)

    for n in range(4):
        moved = (np.abs(after[f"context_factors_{n}"] - before[f"context_factors_{n}"]) > 1e-6).any(1)
        assert moved.tolist() == [False] * (len(moved) - 1) + [True]


def test_unknown_is_trained_by_default(board: FittedModels) -> None:
    before, after = untrained("ENCM", board.data, FAST), board.networks["ENCM"].arrays()

    names = [f"context_factors_{n}" for n in range(4)]
    assert all(np.abs(after[name][-1] - before[name][-1]).max() > 1e-3 for name in names)


@pytest.mark.parametrize("name", NETWORKS)
def test_constants_do_not_change_in_training(name: str, board: FittedModels) -> None:
    arrays = fitted(name, board.data)

    assert arrays["decays"].tolist() == pytest.approx([FAST.slow_decay, FAST.fast_decay])
    assert arrays["signal_weights"].tolist() == [[0.0] * N_FEATURES + [1.0]] * 2


# What is learned


@pytest.mark.parametrize("loss", ["softmax", "bce"])
def test_a_liked_item_rises_and_a_disliked_one_falls(loss: str, board: FittedModels) -> None:
    """The confidence of all events with one item is negated."""
    item = 5
    confidences = np.where(board.data.items == item, -board.data.confidences, board.data.confidences)
    options, start = replace(QUICK, batch=16, epochs=5, loss=loss), from_nothing(board.data)
    datasets = board.data, replace(board.data, confidences=confidences)
    liked, disliked = (fitted("BMF", data, options, start=start) for data in datasets)

    assert disliked["item_bias"][item] < liked["item_bias"][item] - 0.05


def test_an_item_is_no_negative_of_itself(board: FittedModels) -> None:
    """In a catalogue of one item, the bias learns that it is liked, and a softmax has nothing to learn."""
    one_item = replace(board.data, items=np.zeros_like(board.data.items), n_items=1)
    bce = fitted("BMF", one_item, replace(QUICK, loss="bce"))

    assert bce["bias"] + bce["item_bias"][0] > 0.01
    assert fit_eagerly("BMF", one_item).losses == [0.0]
