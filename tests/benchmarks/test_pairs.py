"""Events without history: every event once, and nothing that happened before it."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from benchmarks.throughput import pairs
from recsys.networks.base import UserBatch
from recsys.networks.fit import NETWORKS, shapes
from recsys.networks.losses import Negatives
from recsys.networks.trainer import Examples, Trainer
from recsys.training.fitting import FittedModels
from tests.helpers.checkerboard import FAST, eagerly


def test_every_event_is_a_target_once(board: FittedModels) -> None:
    cut = pairs(board.data)

    assert len(cut) == len(board.data)
    np.testing.assert_array_equal(cut.users, board.data.users)
    np.testing.assert_array_equal(cut.targets[:, 0], board.data.items)
    np.testing.assert_array_equal(cut.confidences[:, 0], board.data.confidences)
    np.testing.assert_array_equal(cut.contexts[:, 0], board.data.contexts)
    assert (cut.history_end == -1).all()
    assert (cut.weights == 0).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_that_happened_before_counts(name: str, board: FittedModels) -> None:
    """The logits are those of the same users before the first of three events."""
    network, cut = NETWORKS[name](shapes(board.data, FAST), 5), pairs(board.data)
    n, ask = len(cut), tf.constant(cut.targets[:, None])
    rest = (tf.constant(cut.history_end), tf.constant(cut.contexts), tf.ones((n, 1)))

    without = network(UserBatch(tf.constant(cut.users), tf.constant(cut.items), tf.constant(cut.weights), *rest), ask)
    before_all = network(UserBatch(tf.constant(cut.users), tf.ones((n, 3), tf.int32), tf.ones((n, 3)), *rest), ask)

    np.testing.assert_allclose(without, before_all, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("loss", ["bce", "softmax"])
@pytest.mark.parametrize("name", NETWORKS)
def test_pairs_are_learned_and_histories_are_left_alone(name: str, loss: str, board: FittedModels) -> None:
    options = replace(FAST, batch=128, loss=loss, dropout=0.0, dropped_users=0.0)
    network = NETWORKS[name](shapes(board.data, options), 5)
    before = network.arrays()

    with eagerly():
        examples = Examples([pairs(board.data)], options.batch, 1)
        loop = Trainer(network, examples, Negatives(None, None, board.data.n_items), options)
        losses = [loop.epoch(name, number) for number in range(1, 7)]

    after: dict[str, NDArray] = network.arrays()
    assert losses[-1] < losses[0]
    assert (after["user_factors"] != before["user_factors"]).all(axis=1).all()
    for table in ("slow_items", "fast_items"):
        np.testing.assert_array_equal(after[table], before[table])
