"""A fit that goes on from an earlier one: rows by what they stand for, the rest as it is, and a bound on an epoch."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.networks.base import ITEMS, USERS
from recsys.networks.fit import NETWORKS, Earlier, Epoch, fit, rotation, shapes
from recsys.networks.losses import Negatives
from recsys.networks.trainer import Examples, Trainer
from recsys.training.closed_form.choose import popularity
from recsys.training.fitting import FittedModels
from tests.helpers.checkerboard import FAST, N_ITEMS, N_USERS, eagerly
from tests.networks.test_start import shop

QUICK = replace(FAST, epochs=4, batch=64, shared_negatives=16)
NEW_USER, NEW_ITEM = 3, 5  # the rows that the earlier fit did not have


def earlier_of(board: FittedModels, more: int = 1) -> tuple[Earlier, dict[str, dict[str, NDArray]]]:
    """Return a fit with the weights of the board, where one user and one item are new and all others have moved."""
    weights = {name: network.arrays() for name, network in board.networks.items()}
    places: dict[str | int, NDArray[np.int32]] = {
        USERS: np.arange(N_USERS, dtype=np.int32)[::-1].copy(),
        ITEMS: np.arange(N_ITEMS, dtype=np.int32)[::-1].copy(),
    }
    places[USERS][NEW_USER], places[ITEMS][NEW_ITEM] = -1, -1
    for n, size in enumerate(board.data.context_sizes):
        places[n] = np.arange(size, dtype=np.int32)
    return Earlier(weights, places, dict.fromkeys(NETWORKS, 2), dict.fromkeys(NETWORKS, more)), weights


def start_of(board: FittedModels) -> dict[str, NDArray]:
    rng = np.random.default_rng(4)
    sizes = {"user_factors": N_USERS, "item_factors": N_ITEMS}
    factors = {name: rng.normal(size=(size, QUICK.dim)).astype(np.float32) for name, size in sizes.items()}
    return {**factors, "popularity": popularity(board.data)}


@pytest.mark.parametrize("name", NETWORKS)
def test_each_row_goes_where_its_user_or_item_is_and_all_else_stays(name: str, board: FittedModels) -> None:
    earlier, weights = earlier_of(board, more=0)
    arrays = fit(name, board.data, start_of(board), QUICK, lambda epoch: None, earlier=earlier).network.arrays()
    old = weights[name]

    for weight in ("user_factors", "item_factors", "slow_items", "item_bias"):
        new_row = NEW_USER if weight == "user_factors" else NEW_ITEM
        others = np.delete(np.arange(len(old[weight])), new_row)
        np.testing.assert_array_equal(arrays[weight][others], old[weight][::-1][others], err_msg=weight)
        assert not np.array_equal(arrays[weight][new_row], old[weight][::-1][new_row])
    unmoved = {"gate", "dot_output", "mlp_kernel_0", "mlp_output", "bias", "context_factors_0"} & set(old)
    assert unmoved
    for weight in unmoved:
        np.testing.assert_array_equal(arrays[weight], old[weight], err_msg=weight)


def test_a_new_row_is_turned_as_the_earlier_vectors_are(board: FittedModels) -> None:
    """The new fit's ALS finds the earlier item vectors up to a rotation; the new item gets the same rotation."""
    earlier, weights = earlier_of(board, more=0)
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(QUICK.dim, QUICK.dim)))[0].astype(np.float32)
    items = weights["BMF"]["item_factors"][::-1] @ turn
    given = {**start_of(board), "item_factors": items}
    arrays = fit("BMF", board.data, given, QUICK, lambda epoch: None, earlier=earlier).network.arrays()
    expected = weights["BMF"]["item_factors"][::-1][NEW_ITEM]
    cosine = arrays["item_factors"][NEW_ITEM] @ expected
    cosine /= np.linalg.norm(arrays["item_factors"][NEW_ITEM]) * np.linalg.norm(expected)

    assert cosine == pytest.approx(1, abs=1e-3)


def test_a_rotation_brings_vectors_back() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(20, 3)).astype(np.float32)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0].astype(np.float32)

    np.testing.assert_allclose(vectors @ rotation(vectors, vectors @ turn), vectors @ turn, atol=1e-5)
    nothing = np.zeros((0, 3), np.float32)
    assert np.isfinite(rotation(nothing, nothing)).all()


def test_going_on_takes_as_many_epochs_as_it_is_told_with_a_rate_that_falls_to_0(board: FittedModels) -> None:
    earlier, _ = earlier_of(board)
    seen: list[Epoch] = []
    with eagerly():
        result = fit("BMF", board.data, start_of(board), QUICK, seen.append, earlier=earlier, epochs=4)

    assert [(epoch.number, epoch.of) for epoch in seen] == [(1, 1)]
    assert len(result.losses) == 1


@pytest.mark.parametrize(("epochs", "share"), [(0, 1.0), (2, 0.5), (4, 0.25), (9, 0.25)])
def test_the_learning_rate_goes_on_from_where_the_schedule_had_come(epochs: int, share: float) -> None:
    earlier = Earlier({}, {}, {"BMF": epochs}, {})

    assert earlier.rate("BMF", replace(QUICK, learning_rate=0.1)) == pytest.approx(0.1 * share)


# The bound on an epoch


def taken(samples: int, n_epochs: int) -> list[NDArray]:
    """Return the numbers of the windows that each epoch takes, of 60 windows with 4 events each."""
    data, options = shop(60, 80, 4, False), replace(QUICK, samples=samples, window=10, batch=2)
    network = NETWORKS["BMF"](shapes(data, options), options.seed)
    trainer = Trainer(network, Examples.of(data, options), Negatives.of(popularity(data), options), options)
    return [np.concatenate([order.numpy().ravel() for _, order in trainer._orders()]) for _ in range(n_epochs)]


@pytest.mark.parametrize(("samples", "n_windows"), [(10**6, 60), (240, 60), (120, 32), (1, 4)])
def test_an_epoch_takes_no_more_windows_than_the_samples_allow(samples: int, n_windows: int) -> None:
    """A step has 4 windows here, so that the number is rounded up to whole steps."""
    assert [len(windows_of) for windows_of in taken(samples, 2)] == [n_windows] * 2


def test_each_window_has_its_turn_before_any_has_another() -> None:
    epochs = taken(120, 2)

    assert len(np.unique(epochs[0])) == 32
    assert len(np.unique(np.concatenate(epochs))) == 60
