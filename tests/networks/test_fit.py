"""The training loop: what it refuses, what it repeats, what it leaves alone, when it stops."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.errors import TrainingRefused
from recsys.features.features import N_FEATURES
from recsys.networks import NETWORKS, Epoch, Fit, Network, ValidationMetric, WarmStart, fit
from recsys.networks.fit import PATIENCE, check_finite
from recsys.settings import Training
from recsys.training.closed_form.choose import fit_factors, popularity
from recsys.training.stages import TrainedModels
from tests.helpers.checkerboard import FAST, N_ITEMS, eagerly

QUICK = replace(FAST, epochs=1, batch=64, shared_negatives=16)


def begin(data: Dataset, options: Training = QUICK) -> WarmStart:
    """Return where a training run would let the networks begin."""
    return WarmStart(
        fit_factors(data, options.dim, 2.0, options),
        popularity(data.items, data.weights, data.timestamps, data.n_items),
    )


def from_nothing(data: Dataset, options: Training = QUICK) -> WarmStart:
    """Return a start that knows nothing: noise, and all items sold alike."""
    rng = np.random.default_rng(1)
    sizes = {"user_factors": data.n_users, "item_factors": data.n_items}
    factors = {name: 0.01 * rng.normal(size=(size, options.dim)).astype(np.float32) for name, size in sizes.items()}
    return WarmStart(factors, np.ones(data.n_items, np.float32))


def done(name: str, data: Dataset, options: Training = QUICK, **how: Any) -> Fit:
    """Return a fit; eager, because these are over before a graph would be traced."""
    start = how.pop("start", None) or begin(data, options)
    with eagerly():
        return fit(name, data, start, options, how.pop("report", lambda epoch: None), **how)


def fitted(name: str, data: Dataset, options: Training = QUICK, **how: Any) -> dict[str, NDArray]:
    return done(name, data, options, **how).network.arrays()


def untrained(name: str, data: Dataset, options: Training = QUICK) -> dict[str, NDArray]:
    return fitted(name, data, options, epochs=0)


def assert_alike(arrays: dict[str, NDArray], others: dict[str, NDArray]) -> None:
    assert set(arrays) == set(others)
    for table in arrays:
        np.testing.assert_array_equal(arrays[table], others[table], err_msg=table)


def assert_different(arrays: dict[str, NDArray], others: dict[str, NDArray]) -> None:
    assert (arrays["item_factors"] != others["item_factors"]).any()


class Judging:
    """A judge whose marks are known beforehand, and who remembers what it saw."""

    def __init__(self, validation_scores: Sequence[float]) -> None:
        self.validation_scores, self.seen = validation_scores, list[dict[str, NDArray]]()

    def __call__(self, network: Network) -> float:
        self.seen.append(network.arrays())
        return self.validation_scores[len(self.seen) - 1]


# Refusals


@pytest.mark.parametrize("name", NETWORKS)
def test_a_loss_that_is_not_a_number_stops_the_fit_and_is_named(name: str, board: TrainedModels) -> None:
    weights = board.data.weights.copy()
    weights[17] = np.nan

    with pytest.raises(
        TrainingRefused,
        match=rf"^{name}: the loss should be finite. Received: nan in epoch 1, batch 1 of 1. Try a lower",
    ):
        done(name, replace(board.data, weights=weights), start=begin(board.data))


def test_the_batch_of_a_loss_that_is_not_a_number_is_named(board: TrainedModels) -> None:
    """Every customer has seven events and one narrow window; event 17 is of customer 2: her place in the first order tells the batch.

    A batch of 8 holds 16 windows of half the width.
    """
    weights, options = board.data.weights.copy(), replace(QUICK, batch=8)
    weights[17] = np.nan
    place = np.random.default_rng(options.seed).permutation(64).tolist().index(2)

    with pytest.raises(TrainingRefused, match=f"Received: nan in epoch 1, batch {place // 16 + 1} of 4"):
        done("BMF", replace(board.data, weights=weights), options, start=begin(board.data))
    assert place >= 16, "the first batch would also be named by a program that counts nothing"


def test_a_loss_that_explodes_later_names_its_epoch(board: TrainedModels, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights are spoilt between the first epoch and the second."""
    made, seen, real = [], [], NETWORKS["BMF"]

    def make(*arguments: Any) -> Network:
        made.append(real(*arguments))
        return made[0]

    def spoil(epoch: Epoch) -> None:
        seen.append(epoch.number)
        made[0].tables["item_factors"].assign(np.full((N_ITEMS, FAST.dim), np.inf, np.float32))

    monkeypatch.setitem(NETWORKS, "BMF", make)
    with pytest.raises(
        TrainingRefused, match="^BMF: the loss should be finite. Received: nan in epoch 2, batch 1 of 1"
    ):
        done("BMF", board.data, replace(QUICK, epochs=5), report=spoil)

    assert seen == [1]


def test_weights_that_are_not_finite_are_refused_by_name(board: TrainedModels) -> None:
    network = NETWORKS["LNCM"](board.networks["LNCM"].shapes, 1)
    check_finite("LNCM", network)
    network.tables["age_bias"].assign(np.full((2, FAST.window), np.inf, np.float32))

    with pytest.raises(TrainingRefused, match="LNCM: `age_bias` should be finite"):
        check_finite("LNCM", network)


def test_a_start_that_is_not_finite_is_refused_even_where_nothing_is_trained(board: TrainedModels) -> None:
    start = begin(board.data)
    start.factors["user_factors"][3] = np.nan

    with pytest.raises(TrainingRefused, match="BMF: `user_factors` should be finite"):
        done("BMF", board.data, start=start, epochs=0)


# Repeating


@pytest.mark.parametrize("name", NETWORKS)
def test_the_seed_decides_the_weights(name: str, board: TrainedModels) -> None:
    start = begin(board.data)
    first, again, other = (fitted(name, board.data, replace(QUICK, seed=seed), start=start) for seed in (3, 3, 4))

    assert_alike(again, first)
    assert_different(other, first)


def test_every_epoch_is_reported_and_the_loss_falls(board: TrainedModels) -> None:
    seen: list[Epoch] = []
    made = done("BMF", board.data, replace(QUICK, epochs=3), report=seen.append)

    assert [(epoch.model, epoch.number, epoch.of) for epoch in seen] == [("BMF", 1, 3), ("BMF", 2, 3), ("BMF", 3, 3)]
    assert [epoch.loss for epoch in seen] == made.losses
    assert (made.epochs, made.validation_scores) == (3, [])
    assert {epoch.validation_score for epoch in seen} == {None}
    for losses in board.losses.values():
        assert len(losses) == FAST.epochs
        assert losses[-1] < losses[0]


def test_from_nothing_the_loss_falls_by_a_fifth(board: TrainedModels) -> None:
    """Seventeen items alike have a loss of ln 17; of those of one cluster, eight or nine are left."""
    losses = done(
        "BMF", board.data, replace(QUICK, batch=16, epochs=10, dropout=0.0), start=from_nothing(board.data)
    ).losses

    assert losses[0] == pytest.approx(np.log(17), abs=0.2)
    assert losses[-1] < 0.8 * losses[0]


# The start


def test_the_start_ranks_as_the_factors_do_and_then_by_popularity(board: TrainedModels) -> None:
    start = begin(board.data)
    arrays = fitted("BMF", board.data, start=start, epochs=0)
    predicted = start.factors["user_factors"] @ start.factors["item_factors"].T
    prior = np.log(1 + start.popularity)

    np.testing.assert_allclose(arrays["user_factors"] @ arrays["item_factors"].T, 4 * predicted, rtol=1e-4, atol=1e-4)
    assert arrays["item_factors"].std() == pytest.approx(0.1, rel=1e-4)
    for name in ("slow_items", "fast_items"):
        np.testing.assert_allclose(arrays[name], 0.1 * arrays["item_factors"], rtol=1e-5)
    np.testing.assert_allclose(arrays["item_bias"], prior - prior.mean(), atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_without_an_epoch_a_network_stays_where_it_starts(name: str, board: TrainedModels) -> None:
    start, seen = begin(board.data), list[Epoch]()
    made = done(name, board.data, start=start, epochs=0, report=seen.append)
    born = NETWORKS[name](made.network.shapes, QUICK.seed)
    born.warm_start(start.factors, start.popularity)

    assert_alike(made.network.arrays(), born.arrays())
    assert (made.epochs, made.losses, made.validation_scores, seen) == (0, [], [], [])


def test_a_start_without_any_factors_is_finite(board: TrainedModels) -> None:
    """So it is where nobody liked anything."""
    nothing = {name: np.zeros_like(factors) for name, factors in begin(board.data).factors.items()}
    arrays = fitted("LNCM", board.data, start=WarmStart(nothing, np.zeros(N_ITEMS, np.float32)))

    assert all(np.isfinite(table).all() for table in arrays.values())


# Stopping


def test_the_weights_of_the_best_epoch_are_kept_and_three_worse_ones_end_the_fit(board: TrainedModels) -> None:
    judge, seen = Judging([0.1, 0.3, 0.2, 0.5, 0.4, 0.4, 0.1]), list[Epoch]()
    made = done("BMF", board.data, replace(QUICK, epochs=10), judge=judge, report=seen.append)

    assert PATIENCE == 3
    assert (made.epochs, len(made.losses), made.validation_scores) == (3, 6, judge.validation_scores)
    assert_alike(made.network.arrays(), judge.seen[3])
    assert_different(judge.seen[6], judge.seen[3])
    assert [(epoch.number, epoch.of, epoch.validation_score) for epoch in seen] == [
        (n, 10, judge.validation_scores[n]) for n in range(1, 7)
    ]


def test_the_last_epoch_may_be_the_best(board: TrainedModels) -> None:
    judge = Judging([0.1, 0.0, 0.0, 0.2])
    made = done("BMF", board.data, replace(QUICK, epochs=3), judge=judge)

    assert made.epochs == 3
    assert_alike(made.network.arrays(), judge.seen[3])


@pytest.mark.parametrize("validation_scores", [[0.5, 0.4, 0.4, 0.4], [0.5, 0.5, 0.5, 0.5]], ids=["worse", "no better"])
def test_training_that_does_not_improve_on_the_start_gives_it_back(
    validation_scores: list[float], board: TrainedModels
) -> None:
    judge = Judging(validation_scores)
    made = done("BMF", board.data, replace(QUICK, epochs=10), judge=judge)

    assert (made.epochs, len(made.losses)) == (0, PATIENCE)
    assert_alike(made.network.arrays(), untrained("BMF", board.data))


def test_a_judge_changes_nothing_but_where_the_fit_ends(board: TrainedModels) -> None:
    options, judge = replace(QUICK, epochs=3), Judging([0.0, 0.1, 0.2, 0.3])

    assert_alike(fitted("BMF", board.data, options, judge=judge), fitted("BMF", board.data, options))


def test_a_fit_that_ends_early_on_order_is_the_longer_one_up_to_there(board: TrainedModels) -> None:
    """The learning rate falls as if the fit went on: a fit of two epochs in all is another one."""
    options, judge = replace(QUICK, epochs=5), Judging([0.0, 0.1, 0.2, 0.1, 0.1, 0.1])
    judged, ordered = done("BMF", board.data, options, judge=judge), done("BMF", board.data, options, epochs=2)

    assert (judged.epochs, ordered.epochs, len(ordered.losses)) == (2, 2, 2)
    assert ordered.losses == judged.losses[:2]
    assert_alike(ordered.network.arrays(), judged.network.arrays())
    assert_different(fitted("BMF", board.data, replace(QUICK, epochs=2)), ordered.network.arrays())


def test_a_judge_may_be_any_function_of_a_network(board: TrainedModels) -> None:
    judge: ValidationMetric = lambda network: -float(np.abs(network.arrays()["item_bias"]).sum())  # noqa: E731

    assert len(done("BMF", board.data, judge=judge).validation_scores) == 2


# What is left out


def test_an_embedding_that_is_always_dropped_learns_nothing(board: TrainedModels) -> None:
    options = replace(QUICK, dropped_users=1.0)
    before, after = untrained("NeuMF", board.data, options), fitted("NeuMF", board.data, options)

    for table in ("user_factors", "mlp_users"):
        np.testing.assert_allclose(after[table], before[table], atol=1e-6)
    assert np.abs(after["slow_items"] - before["slow_items"]).max() > 1e-3


def test_a_context_that_is_always_dropped_trains_unknown_alone(board: TrainedModels) -> None:
    options = replace(QUICK, dropped_contexts=1.0)
    before, after = untrained("ENCM", board.data, options), fitted("ENCM", board.data, options)

    for n in range(4):
        moved = (np.abs(after[f"context_factors_{n}"] - before[f"context_factors_{n}"]) > 1e-6).any(1)
        assert moved.tolist() == [False] * (len(moved) - 1) + [True]


def test_unknown_is_trained_by_default(board: TrainedModels) -> None:
    before, after = untrained("ENCM", board.data, FAST), board.networks["ENCM"].arrays()

    assert all(
        np.abs(after[f"context_factors_{n}"][-1] - before[f"context_factors_{n}"][-1]).max() > 1e-3 for n in range(4)
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_what_training_may_not_change_stays(name: str, board: TrainedModels) -> None:
    arrays = fitted(name, board.data)

    assert arrays["decays"].tolist() == pytest.approx([FAST.slow_decay, FAST.fast_decay])
    assert arrays["signal_weights"].tolist() == [[0.0] * N_FEATURES + [1.0]] * 2


# What is learned


@pytest.mark.parametrize("loss", ["softmax", "bce"])
def test_a_liked_item_rises_and_a_disliked_one_falls(loss: str, board: TrainedModels) -> None:
    """Everybody's confidence in one item is turned around."""
    item = 5
    confidences = np.where(board.data.items == item, -board.data.confidences, board.data.confidences)
    options, start = replace(QUICK, batch=16, epochs=5, loss=loss), from_nothing(board.data)
    datasets = board.data, replace(board.data, confidences=confidences)
    liked, turned = (fitted("BMF", data, options, start=start) for data in datasets)

    assert turned["item_bias"][item] < liked["item_bias"][item] - 0.05


def test_an_item_is_never_sampled_against_itself(board: TrainedModels) -> None:
    """In a catalogue of one item there is nothing to learn but that it is liked; and nothing to choose from."""
    lone = replace(board.data, items=np.zeros_like(board.data.items), n_items=1)
    bce = fitted("BMF", lone, replace(QUICK, loss="bce"))

    assert bce["bias"] + bce["item_bias"][0] > 0.01
    assert done("BMF", lone).losses == [0.0]
