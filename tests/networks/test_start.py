"""The start of a network is never worse than a uniform guess, whatever ALS gives."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.networks.base import live_deviation
from recsys.networks.fit import NETWORKS, STRENGTHS, Epoch, prepare, safe_warm_start, shapes
from recsys.networks.losses import Negatives
from recsys.networks.windows import windows
from recsys.settings import Training
from recsys.training.closed_form.als import als
from recsys.training.closed_form.choose import popularity
from recsys.training.closed_form.co_occurrence import user_item_matrix
from recsys.training.network_fits import fit_networks
from tests.helpers.checkerboard import eagerly

OPTIONS = Training(dim=16, window=10, batch=32, shared_negatives=64, epochs=1)
# users, items, events a user; whether a few items have most of the events
SHOPS = {"few events": (60, 80, 4, False), "many events": (30, 20, 25, False), "a long tail": (60, 120, 8, True)}
REGULARIZATIONS = (0.1, 20.0, 60.0)
DRAWS = 0.02  # by how much two draws of negatives differ: these events have no structure to be learned


def shop(n_users: int, n_items: int, length: int, tail: bool) -> Dataset:
    """Return events that are drawn at random, an hour apart."""
    rng = np.random.default_rng(5)
    shares = 1 / np.arange(1, n_items + 1) ** (2.0 if tail else 0.3)
    n = n_users * length
    users = np.repeat(np.arange(n_users), length).astype(np.int32)
    return Dataset(
        users=users,
        items=rng.choice(n_items, n, p=shares / shares.sum()).astype(np.int32),
        weights=np.ones(n, np.float32),
        confidences=np.ones(n, np.float32),
        timestamps=np.tile(np.arange(length) * 3600, n_users).astype(np.int64),
        purchases=np.ones(n, bool),
        contexts=rng.integers(0, 3, (n, 2)).astype(np.int32),
        n_users=n_users,
        n_items=n_items,
        context_sizes=(3, 3),
    )


def initial(data: Dataset, regularization: float) -> dict[str, NDArray]:
    factors = als(user_item_matrix(data), OPTIONS.dim, regularization, seed=3)
    return {**factors, "popularity": popularity(data)}


@pytest.mark.parametrize("regularization", REGULARIZATIONS)
@pytest.mark.parametrize("kind", SHOPS)
def test_the_first_epoch_of_every_network_is_no_worse_than_a_uniform_guess(kind: str, regularization: float) -> None:
    data, epochs = shop(*SHOPS[kind]), list[Epoch]()
    with eagerly():
        fit_networks(data, initial(data, regularization), OPTIONS, epochs.append)

    assert [epoch.model for epoch in epochs] == list(NETWORKS)
    for epoch in epochs:
        assert epoch.uniform is not None
        assert epoch.loss <= epoch.uniform * (1 + DRAWS), epoch


@pytest.mark.parametrize("name", NETWORKS)
def test_a_few_vectors_that_are_a_hundred_times_longer_do_not_spoil_the_start(name: str) -> None:
    """As where a strong regularization leaves a few items with factors: histories add them up."""
    data = shop(*SHOPS["a long tail"])
    given = initial(data, 20.0)
    given["item_factors"][2:] *= 1e-4
    given["item_factors"][:2] *= 100
    given["user_factors"] /= 100  # ALS still predicts what it did for these two items
    prepare(OPTIONS.seed)
    network = NETWORKS[name](shapes(data, OPTIONS), OPTIONS.seed)
    negatives = Negatives.of(given["popularity"], OPTIONS)
    uniform = safe_warm_start(network, given, windows(data, OPTIONS.window), negatives, OPTIONS)
    n_negatives = OPTIONS.negatives if network.per_example_negatives else OPTIONS.shared_negatives

    assert uniform == pytest.approx(np.log(1 + n_negatives), abs=0.2)  # a few sampled items are the target itself
    losses = list[Epoch]()
    with eagerly():
        fit_networks(data, given, OPTIONS, losses.append, epochs={name: 1})
    assert losses[0].loss <= uniform * (1 + DRAWS)


def test_a_good_start_keeps_its_full_strength() -> None:
    data = shop(*SHOPS["many events"])
    given = initial(data, 1.0)
    network = NETWORKS["BMF"](shapes(data, OPTIONS), OPTIONS.seed)
    safe_warm_start(network, given, windows(data, OPTIONS.window), Negatives.of(given["popularity"], OPTIONS), OPTIONS)

    assert STRENGTHS[0] == 1.0
    assert live_deviation(network.arrays()["item_factors"]) == pytest.approx(0.1, rel=1e-3)


@pytest.mark.parametrize(
    ("rows", "deviation"),
    [
        ([[1.0, -1.0], [1.0, -1.0]], 1.0),
        ([[1.0, -1.0], [1.0, -1.0], [0.0, 0.0], [0.001, 0.0]], 1.0),  # two items without factors set no scale
        ([[0.0, 0.0]], 0.0),
        (np.zeros((0, 2)), 0.0),
    ],
    ids=["all live", "two live", "none live", "no items"],
)
def test_only_items_that_have_factors_set_the_scale(rows: object, deviation: float) -> None:
    assert live_deviation(np.asarray(rows, np.float32)) == pytest.approx(deviation)


def test_without_events_of_positive_weight_the_start_is_the_prior() -> None:
    data = shop(*SHOPS["few events"])
    nothing = replace(data, weights=np.zeros_like(data.weights), confidences=np.zeros_like(data.confidences))
    given = {name: np.zeros_like(values) for name, values in initial(data, 20.0).items()}
    network = NETWORKS["NeuMF"](shapes(data, OPTIONS), OPTIONS.seed)

    windows_of = windows(nothing, OPTIONS.window)
    assert safe_warm_start(network, given, windows_of, Negatives.of(given["popularity"], OPTIONS), OPTIONS) == 0.0
    assert not network.arrays()["item_factors"].any()
