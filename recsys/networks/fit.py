"""The training loop: one compiled graph an epoch, Adam, binary cross-entropy on sampled negatives."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from recsys.dataset import Dataset
from recsys.errors import TrainingRefused
from recsys.networks.base import Network, Past, Shapes
from recsys.networks.bmf import BMF
from recsys.networks.encm import ENCM
from recsys.networks.lncm import LNCM
from recsys.networks.neumf import NeuMF
from recsys.networks.windows import Windows, windows
from recsys.settings import Training

NETWORKS: dict[str, type[Network]] = {"ENCM": ENCM, "LNCM": LNCM, "NeuMF": NeuMF, "BMF": BMF}


@dataclass(frozen=True)
class Epoch:
    """What is known after a pass over the data.

    Attributes:
        model: The registry name.
        number: From 1.
        of: The number of epochs of this fit.
        loss: Mean weighted cross-entropy.
        seconds: What the pass took.
    """

    model: str
    number: int
    of: int
    loss: float
    seconds: float


def fit(name: str, data: Dataset, options: Training, report: Callable[[Epoch], None]) -> Network:
    """Fit one network.

    Args:
        name: A key of `NETWORKS`.
        data: The events to learn from; nothing else is seen.
        options: Epochs, batch, widths, rates and the seed.
        report: Told of every epoch.

    Returns:
        The fitted network; deterministic for a seed, a machine and a library version.

    Raises:
        TrainingRefused: The loss or a weight is not finite.
    """
    tf.get_logger().setLevel("ERROR")  # each network is compiled anew on purpose; TensorFlow would call that retracing
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(options.seed)
    network = NETWORKS[name](shapes(data, options), options.seed)
    cut = windows(data, options.window)
    columns = tuple(tf.constant(column) for column in (cut.users, cut.items, cut.weights, cut.before, cut.targets, cut.confidences))
    columns += (tf.constant(cut.contexts),)
    epoch, rng = _epoch(network, options), np.random.default_rng(options.seed)
    for number in range(1, options.epochs + 1):
        started = time.perf_counter()
        loss = float(epoch(_order(rng, cut, options.batch), *columns))
        if not np.isfinite(loss):
            raise TrainingRefused(f"{name}: the loss of epoch {number} should be finite. Received: {loss}. Try a lower --learning-rate.")
        report(Epoch(name, number, options.epochs, loss, time.perf_counter() - started))
    check_finite(name, network)
    return network


def shapes(data: Dataset, options: Training) -> Shapes:
    """Return the shapes of networks for a data set."""
    decays = options.slow_decay, options.fast_decay
    return Shapes(data.n_users, data.n_items, data.context_sizes, options.dim, options.window, *decays)


def check_finite(name: str, network: Network) -> None:
    """Refuse a network that holds NaN or infinity."""
    for table, values in network.arrays().items():
        if not np.isfinite(values).all():
            raise TrainingRefused(f"{name}: `{table}` should be finite after the fit. A lower --learning-rate may help.")


def _order(rng: np.random.Generator, cut: Windows, batch: int) -> tf.Tensor:
    """Return `(steps, batch)` window numbers in random order; a few windows come twice to fill the last step."""
    order = rng.permutation(len(cut))
    size = min(batch, len(order))
    order = np.concatenate([order, order[: -len(order) % size]])
    return tf.constant(order.reshape(-1, size).astype(np.int32))


def _epoch(network: Network, options: Training) -> Callable[..., tf.Tensor]:
    """Return the compiled pass over all windows."""
    optimizer = keras.optimizers.Adam(options.learning_rate, weight_decay=options.l2 or None)
    optimizer.build(network.trainable_variables)
    random = tf.random.Generator.from_seed(options.seed)

    @tf.function
    def epoch(order: tf.Tensor, *columns: tf.Tensor) -> tf.Tensor:
        total = tf.constant(0.0)
        for step in tf.range(tf.shape(order)[0]):
            batch = [tf.gather(column, order[step]) for column in columns]
            with tf.GradientTape() as tape:
                loss = _loss(network, options, random, batch)
            optimizer.apply_gradients(zip(tape.gradient(loss, network.trainable_variables), network.trainable_variables, strict=True))
            total += loss
        return total / tf.cast(tf.shape(order)[0], tf.float32)

    return epoch


def _loss(network: Network, options: Training, random: tf.random.Generator, batch: list[tf.Tensor]) -> tf.Tensor:
    """Return the weighted cross-entropy of every target against its sampled negatives."""
    users, items, weights, before, targets, confidences, contexts = batch
    known = tf.cast(random.uniform(tf.shape(before)) >= options.dropped_users, tf.float32)
    unknown = tf.constant([size - 1 for size in network.shapes.context_sizes], tf.int32)
    contexts = tf.where(random.uniform(tf.shape(contexts)) < options.dropped_contexts, unknown, contexts)
    valid = confidences != 0.0
    state = [tf.boolean_mask(part, valid) for part in network.encode(Past(users, items, weights, before, contexts, known))]
    confidence, target = tf.boolean_mask(confidences, valid)[:, None], tf.boolean_mask(targets, valid)[:, None]
    sampled = random.uniform((tf.shape(target)[0], options.negatives), 0, network.shapes.n_items, tf.int32)
    logits = network.match(state, tf.concat([target, sampled], 1))
    labels = tf.concat([tf.cast(confidence > 0, tf.float32), tf.zeros(tf.shape(sampled))], 1)
    against = tf.where(sampled == target, 0.0, tf.maximum(confidence, 0.0))
    importance = tf.concat([tf.abs(confidence), against], 1)
    losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
    return tf.reduce_sum(losses * importance) / tf.maximum(tf.reduce_sum(importance), 1e-9)
