"""The training loop: what it refuses, what it repeats, what it leaves alone."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from checkerboard import FAST, N_ITEMS, eagerly
from numpy.typing import NDArray

from recsys.dataset import Dataset
from recsys.errors import TrainingRefused
from recsys.networks import NETWORKS, Epoch, Network, fit
from recsys.networks.fit import check_finite, shapes
from recsys.settings import Training
from recsys.training.stages import Stage

QUICK = replace(FAST, epochs=1, batch=64)


def fitted(name: str, data: Dataset, options: Training = QUICK) -> Network:
    with eagerly():
        return fit(name, data, options, lambda epoch: None)


def untrained(name: str, data: Dataset, options: Training = QUICK) -> dict[str, NDArray]:
    return NETWORKS[name](shapes(data, options), options.seed).arrays()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_loss_that_is_not_a_number_stops_the_fit_and_is_named(name: str, board: Stage) -> None:
    confidences = board.data.confidences.copy()
    confidences[17] = np.nan

    with pytest.raises(TrainingRefused, match=rf"^{name}: the loss of epoch 1 should be finite. Received: nan"):
        fitted(name, replace(board.data, confidences=confidences))


def test_a_loss_that_explodes_later_names_its_epoch(board: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights are spoilt between the first epoch and the second."""
    made, seen, real = [], [], NETWORKS["BMF"]

    def make(*arguments: Any) -> Network:
        made.append(real(*arguments))
        return made[0]

    def spoil(epoch: Epoch) -> None:
        seen.append(epoch.number)
        made[0].tables["item_factors"].assign(np.full((N_ITEMS, FAST.dim), np.inf, np.float32))

    monkeypatch.setitem(NETWORKS, "BMF", make)
    with eagerly(), pytest.raises(TrainingRefused, match="^BMF: the loss of epoch 2 should be finite"):
        fit("BMF", board.data, replace(QUICK, epochs=5), spoil)

    assert seen == [1]


def test_weights_that_are_not_finite_are_refused_by_name(board: Stage) -> None:
    network = NETWORKS["LNCM"](board.networks["LNCM"].shapes, 1)
    check_finite("LNCM", network)
    network.tables["age_bias"].assign(np.full(FAST.window, np.inf, np.float32))

    with pytest.raises(TrainingRefused, match="LNCM: `age_bias` should be finite"):
        check_finite("LNCM", network)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_seed_decides_the_weights(name: str, board: Stage) -> None:
    first, again, other = (fitted(name, board.data, replace(QUICK, seed=seed)).arrays() for seed in (3, 3, 4))

    for table in first:
        np.testing.assert_array_equal(again[table], first[table])
    assert (other["item_factors"] != first["item_factors"]).any()


def test_every_epoch_is_reported_and_the_loss_falls(board: Stage) -> None:
    seen: list[Epoch] = []
    with eagerly():
        fit("BMF", board.data, replace(QUICK, epochs=3), seen.append)

    assert [(epoch.model, epoch.number, epoch.of) for epoch in seen] == [("BMF", 1, 3), ("BMF", 2, 3), ("BMF", 3, 3)]
    for losses in board.losses.values():
        assert len(losses) == FAST.epochs
        assert losses[-1] < 0.8 * losses[0]


def test_an_embedding_that_is_always_dropped_learns_nothing(board: Stage) -> None:
    options = replace(QUICK, dropped_users=1.0)
    before, after = untrained("NeuMF", board.data, options), fitted("NeuMF", board.data, options).arrays()

    for table in ("user_factors", "mlp_users"):
        np.testing.assert_allclose(after[table], before[table], atol=1e-6)
    assert np.abs(after["slow_items"] - before["slow_items"]).max() > 1e-3


def test_a_context_that_is_always_dropped_trains_unknown_alone(board: Stage) -> None:
    options = replace(QUICK, dropped_contexts=1.0)
    before, after = untrained("ENCM", board.data, options), fitted("ENCM", board.data, options).arrays()

    for n in range(4):
        moved = np.abs(after[f"context_bias_{n}"] - before[f"context_bias_{n}"]) > 1e-6
        assert moved.tolist() == [False] * (len(moved) - 1) + [True]


def test_unknown_is_trained_by_default(board: Stage) -> None:
    before, after = untrained("ENCM", board.data, FAST), board.networks["ENCM"].arrays()

    assert all(np.abs(after[f"context_bias_{n}"][-1] - before[f"context_bias_{n}"][-1]) > 1e-3 for n in range(4))


def test_what_training_may_not_change_stays(board: Stage) -> None:
    for network in board.networks.values():
        arrays = network.arrays()

        assert arrays["decays"].tolist() == pytest.approx([FAST.slow_decay, FAST.fast_decay])
        assert arrays["own_weights"].tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_a_liked_item_rises_and_a_disliked_one_falls(board: Stage) -> None:
    """Everybody's confidence in one item is turned around."""
    item = 5
    confidences = np.where(board.data.items == item, -board.data.confidences, board.data.confidences)
    options = replace(QUICK, epochs=3)
    liked, turned = (fitted("BMF", data, options).arrays() for data in (board.data, replace(board.data, confidences=confidences)))

    assert turned["item_bias"][item] < liked["item_bias"][item] - 0.05


def test_an_item_is_never_sampled_against_itself(board: Stage) -> None:
    """In a catalogue of one item there is nothing to learn but that it is liked."""
    lone = replace(board.data, items=np.zeros_like(board.data.items), n_items=1)

    arrays = fitted("BMF", lone).arrays()

    assert arrays["bias"] + arrays["item_bias"][0] > 0.1
