"""The training loop of the networks: compiled epochs over windows, and early stopping on a validation metric."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.errors import TrainingRefused
from recsys.features.query import Arrays
from recsys.networks.base import Network, Shapes, UserBatch
from recsys.networks.losses import Negatives, loss_of
from recsys.networks.optimizer import RowAdam
from recsys.networks.windows import Windows, by_width, windows
from recsys.scorers.registry import MODELS
from recsys.settings import Training

NETWORKS: dict[str, type[Network]] = {
    name: getattr(import_module(f"recsys.networks.{name.lower()}"), name) for name in MODELS
}
FAILURES = (MemoryError, tf.errors.OpError)  # errors that end the fit of one network; the others are still fitted
PATIENCE = 3  # epochs without improvement before a fit stops; a falling learning rate gains most at the end
STEPS_AT_ONCE = 25  # steps with one group of windows before another group may follow
LARGEST_FACTOR = 4  # narrow windows make batches up to this many times larger
ValidationMetric = Callable[[Network], float]


@dataclass(frozen=True)
class Epoch:
    """A finished epoch, as reported to the caller.

    Attributes:
        model: The network's name in the registry.
        number: The number of the epoch, from 1.
        of: The most epochs of this fit.
        loss: Mean of the batches' losses.
        seconds: Time of the epoch, without validation.
        validation_score: Value of the validation metric after the epoch; None without validation.
    """

    model: str
    number: int
    of: int
    loss: float
    seconds: float
    validation_score: float | None = None


@dataclass(frozen=True)
class WarmStart:
    """The solution that a network starts from.

    Attributes:
        factors: `user_factors` `(n_users, dim)` and `item_factors` `(n_items, dim)` of ALS on the same events.
        popularity: `(n_items,)` float32, the summed weight of each item's events.
    """

    factors: Arrays
    popularity: NDArray[np.float32]


@dataclass(frozen=True)
class Fit:
    """A fitted network and the course of its training.

    Attributes:
        network: The network with the weights of its best epoch.
        epochs: The number of that epoch; 0 if no epoch improved on the warm start.
        losses: The loss of each epoch.
        validation_scores: The validation metric of the warm start, then of each epoch; empty without validation.
        seconds: Time of the whole fit.
    """

    network: Network
    epochs: int
    losses: Sequence[float]
    validation_scores: Sequence[float]
    seconds: float = 0.0


def fit(
    name: str,
    data: Dataset,
    warm_start: WarmStart,
    options: Training,
    report: Callable[[Epoch], None],
    *,
    validation_metric: ValidationMetric | None = None,
    epochs: int | None = None,
) -> Fit:
    """Fit one network.

    Args:
        name: A key of `NETWORKS`.
        data: The events to learn from, and nothing else.
        warm_start: The solution that the network starts from.
        options: Epochs, batch, widths, rates and the seed.
        report: Called after each epoch.
        validation_metric: Computed before the first and after each epoch; higher is better. The weights of the best
            epoch are returned, and three epochs without improvement end the fit.
        epochs: Ends the fit after this many epochs, as an earlier fit with validation chose. The learning rate still
            falls over `options.epochs`.

    Returns:
        The network of the best epoch; the same for equal seeds on one machine with the same libraries.

    Raises:
        TrainingRefused: The loss or a weight is not finite.
    """
    begun = time.perf_counter()
    prepare(options.seed)
    network = NETWORKS[name](shapes(data, options), options.seed)
    network.warm_start(warm_start.factors, warm_start.popularity)
    negatives = Negatives.of(warm_start.popularity, options)
    trainer = Trainer(network, windows(data, options.window), negatives, options)
    validation_scores, losses = [validation_metric(network)] if validation_metric else [], []
    best, best_weights = 0, network.arrays() if validation_metric else {}
    for number in range(1, (options.epochs if epochs is None else epochs) + 1):
        started = time.perf_counter()
        losses.append(trainer.epoch(name, number))
        seconds = time.perf_counter() - started
        if validation_metric:
            validation_scores.append(validation_metric(network))
            if validation_scores[-1] > validation_scores[best]:
                best, best_weights = number, network.arrays()
        report(
            Epoch(
                name, number, options.epochs, losses[-1], seconds, validation_scores[-1] if validation_metric else None
            )
        )
        if validation_metric and number - best >= PATIENCE:
            break
    if validation_metric:
        network.assign_arrays(best_weights)
    check_finite(name, network)
    return Fit(
        network, best if validation_metric else len(losses), losses, validation_scores, time.perf_counter() - begun
    )


def prepare(seed: int) -> None:
    """Seed all random generators, make TensorFlow deterministic, and silence its warnings."""
    tf.get_logger().setLevel("ERROR")  # each network is compiled on purpose; TensorFlow would warn of retracing
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(seed)


def shapes(data: Dataset, options: Training) -> Shapes:
    """Return the shapes of networks for a dataset."""
    decays = options.slow_decay, options.fast_decay
    return Shapes(data.n_users, data.n_items, data.context_sizes, options.dim, options.window, *decays)


def check_finite(name: str, network: Network) -> None:
    """Check the weights of a fitted network.

    Raises:
        TrainingRefused: A weight is NaN or infinite.
    """
    for weight, values in network.arrays().items():
        if not np.isfinite(values).all():
            message = f"{name}: `{weight}` should be finite after the fit. A lower --learning-rate may help."
            raise TrainingRefused(message)


class Trainer:
    """Trains one network, an epoch at a time; each group of windows has a compiled graph."""

    def __init__(self, network: Network, all_windows: Windows, negatives: Negatives, options: Training) -> None:
        self._rng = np.random.default_rng(options.seed)
        groups = by_width(all_windows, 2 * LARGEST_FACTOR * options.batch)
        self._sizes = [min(batch_size(group, options.batch, all_windows.width), len(group)) for group in groups]
        self._n_steps = [-(-len(group) // size) for group, size in zip(groups, self._sizes, strict=True)]
        self._columns = [tuple(tf.constant(column) for column in vars(group).values()) for group in groups]
        train = train_epoch(network, negatives, options, sum(self._n_steps) * options.epochs)
        graphs = zip(self._sizes, self._columns, strict=True)
        self._train = [_compiled(train, size, columns) for size, columns in graphs]

    def epoch(self, name: str, number: int) -> float:
        """Train on all windows once, in random order.

        Args:
            name: The network's name, for error messages.
            number: The number of the epoch, from 1, for error messages.

        Returns:
            The mean of the batches' losses.

        Raises:
            TrainingRefused: The loss of a batch is not finite.
        """
        orders = self._orders()
        losses = np.concatenate([self._train[group](order, *self._columns[group]).numpy() for group, order in orders])
        wrong = np.flatnonzero(~np.isfinite(losses))
        if len(wrong):
            batch = wrong[0]
            raise TrainingRefused(
                f"{name}: the loss should be finite. Received: {losses[batch]} in epoch {number}, batch {batch + 1} of "
                f"{len(losses)}. Try a lower --learning-rate."
            )
        return float(losses.mean())

    def _orders(self) -> list[tuple[int, tf.Tensor]]:
        """Return runs of up to 25 steps in random order.

        A few windows are repeated to fill the last batch of a group.

        Returns:
            For each run, the group and the numbers of its windows, `(steps, batch)` int32.
        """
        runs = []
        for group, (steps, size) in enumerate(zip(self._n_steps, self._sizes, strict=True)):
            order = np.resize(self._rng.permutation(len(self._columns[group][0])), (steps, size)).astype(np.int32)
            starts = range(0, steps, STEPS_AT_ONCE)
            runs += [(group, tf.constant(order[first : first + STEPS_AT_ONCE])) for first in starts]
        return [runs[n] for n in self._rng.permutation(len(runs))]


def batch_size(group: Windows, batch: int, widest: int) -> int:
    """Return the number of windows in a batch: up to four times `batch` for narrow windows, to use the processor well.

    Args:
        group: Windows of one width.
        batch: The number of windows of full width.
        widest: The full width, in events.
    """
    return batch * max(1, min(LARGEST_FACTOR, widest // max(group.width, 1)))


def _compiled(train: Callable[..., tf.Tensor], size: int, columns: Sequence[tf.Tensor]) -> Callable[..., tf.Tensor]:
    """Return the function of `train_epoch` as one graph, for any number of steps with windows of one width.

    Args:
        train: The function.
        size: The number of windows in a batch.
        columns: The arrays of all windows of the group.
    """
    signature = [
        tf.TensorSpec((None, size), tf.int32),
        *(tf.TensorSpec(column.shape, column.dtype) for column in columns),
    ]
    return tf.function(train, input_signature=signature)


def train_epoch(
    network: Network, negatives: Negatives, options: Training, total_steps: int
) -> Callable[..., tf.Tensor]:
    """Return a function that trains the network on windows, which may be compiled.

    Args:
        network: The network to train.
        negatives: The distribution of sampled items.
        options: Rates, dropout and the seed.
        total_steps: The number of steps over which the learning rate falls to 0.

    Returns:
        A function of an order of windows `(steps, batch)` and the arrays of all windows; it returns the loss of each
        step.
    """
    variables = network.trainable_variables
    optimizer = RowAdam(variables, options.learning_rate, total_steps, options.l2)
    random = tf.random.Generator.from_seed(options.seed)

    def epoch(order: tf.Tensor, *columns: tf.Tensor) -> tf.Tensor:
        n_steps = tf.shape(order)[0]
        losses = tf.TensorArray(tf.float32, n_steps)
        for step in tf.range(n_steps):
            batch = [tf.gather(column, order[step]) for column in columns]
            users, items, weights, history_end, targets, confidences, contexts = batch
            with tf.GradientTape() as tape:
                user_known = tf.cast(random.uniform(tf.shape(history_end)) >= options.dropped_users, tf.float32)
                unknown = tf.constant([size - 1 for size in network.shapes.context_sizes], tf.int32)
                contexts = tf.where(random.uniform(tf.shape(contexts)) < options.dropped_contexts, unknown, contexts)
                user_batch = UserBatch(users, items, weights, history_end, contexts, user_known)
                loss = loss_of(network, user_batch, targets, confidences, negatives, options, random)
            optimizer.apply(tape.gradient(loss, variables))
            losses = losses.write(step, loss)
        return losses.stack()

    return epoch
