"""The training loop: one compiled graph an epoch, sampled softmax, rows updated by Adam, early stopping on validation."""

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
FAILURES = (MemoryError, tf.errors.OpError)  # of one network; the others are not to blame
PATIENCE = 3  # epochs without improvement before the fit stops; the last ones of a falling learning rate gain most
STRETCH = 25  # steps of one group of windows before another has its turn
WIDER = 4
ValidationMetric = Callable[[Network], float]


@dataclass(frozen=True)
class Epoch:
    """What is known after a pass over the data.

    Attributes:
        model: The registry name.
        number: From 1.
        of: The number of epochs of this fit.
        loss: Mean weighted loss.
        seconds: What the pass took, judging excluded.
        validation_score: What the judge said after it; None where nobody judges.
    """

    model: str
    number: int
    of: int
    loss: float
    seconds: float
    validation_score: float | None = None


@dataclass(frozen=True)
class WarmStart:
    """What a network begins with.

    Attributes:
        factors: `user_factors` and `item_factors` `(·, dim)` of a matrix factorisation of the same events.
        popularity: `(n_items,)` float32, the summed weight of each item's events.
    """

    factors: Arrays
    popularity: NDArray[np.float32]


@dataclass(frozen=True)
class Fit:
    """A fitted network and how it came about.

    Attributes:
        network: With the weights of its best epoch.
        epochs: The number of that epoch; 0 means that training did not improve on the start.
        losses: The loss of each epoch.
        validation_scores: The judge's marks, that of the start first; empty where nobody judged.
        seconds: What all of it took.
    """

    network: Network
    epochs: int
    losses: Sequence[float]
    validation_scores: Sequence[float]
    seconds: float = 0.0


def fit(
    name: str,
    data: Dataset,
    start: WarmStart,
    options: Training,
    report: Callable[[Epoch], None],
    *,
    judge: ValidationMetric | None = None,
    epochs: int | None = None,
) -> Fit:
    """Fit one network.

    Args:
        name: A key of `NETWORKS`.
        data: The events to learn from; nothing else is seen.
        start: Where the network begins.
        options: Epochs, batch, widths, rates and the seed.
        report: Told of every epoch.
        judge: Marks the network after each epoch, higher is better; the best epoch is kept, and three worse ones end
            the fit.
        epochs: Ends the fit after so many passes, the learning rate falling as if it went on; what a judge chose
            before.

    Returns:
        The network of the best epoch, deterministic for a seed, a machine and a library version.

    Raises:
        TrainingRefused: The loss or a weight is not finite.
    """
    begun = time.perf_counter()
    prepare(options.seed)
    network = NETWORKS[name](shapes(data, options), options.seed)
    network.warm_start(start.factors, start.popularity)
    cut = windows(data, options.window)
    loop = Trainer(network, cut, Negatives.of(start.popularity, options), options)
    validation_scores, losses = [judge(network)] if judge else [], []
    best, kept = 0, network.arrays() if judge else {}
    for number in range(1, (options.epochs if epochs is None else epochs) + 1):
        started = time.perf_counter()
        losses.append(loop.epoch(name, number))
        seconds = time.perf_counter() - started
        if judge:
            validation_scores.append(judge(network))
            if validation_scores[-1] > validation_scores[best]:
                best, kept = number, network.arrays()
        report(Epoch(name, number, options.epochs, losses[-1], seconds, validation_scores[-1] if judge else None))
        if judge and number - best >= PATIENCE:
            break
    if judge:
        network.assign_arrays(kept)
    check_finite(name, network)
    return Fit(network, best if judge else len(losses), losses, validation_scores, time.perf_counter() - begun)


def prepare(seed: int) -> None:
    """Make what follows deterministic and quiet."""
    tf.get_logger().setLevel("ERROR")  # each network is compiled anew on purpose; TensorFlow would call that retracing
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(seed)


def shapes(data: Dataset, options: Training) -> Shapes:
    """Return the shapes of networks for a data set."""
    decays = options.slow_decay, options.fast_decay
    return Shapes(data.n_users, data.n_items, data.context_sizes, options.dim, options.window, *decays)


def check_finite(name: str, network: Network) -> None:
    """Refuse a network that holds NaN or infinity."""
    for add_embedding, values in network.arrays().items():
        if not np.isfinite(values).all():
            raise TrainingRefused(
                f"{name}: `{add_embedding}` should be finite after the fit. A lower --learning-rate may help."
            )


class Trainer:
    """Passes over windows for one network."""

    def __init__(self, network: Network, cut: Windows, negatives: Negatives, options: Training) -> None:
        self._rng = np.random.default_rng(options.seed)
        groups = by_width(cut, 2 * WIDER * options.batch)
        self._sizes = [min(batch_size(group, options.batch, cut.width), len(group)) for group in groups]
        self._n_steps = [-(-len(group) // size) for group, size in zip(groups, self._sizes, strict=True)]
        self._columns = [tuple(tf.constant(column) for column in vars(group).values()) for group in groups]
        pass_over = train_epoch(network, negatives, options, sum(self._n_steps) * options.epochs)
        self._passes = [
            _compiled(pass_over, size, columns) for size, columns in zip(self._sizes, self._columns, strict=True)
        ]

    def epoch(self, name: str, number: int) -> float:
        """Pass over all windows once, in random order, and return the mean loss.

        Raises:
            TrainingRefused: The loss of a batch is not finite.
        """
        losses = np.concatenate(
            [self._passes[group](order, *self._columns[group]).numpy() for group, order in self._orders()]
        )
        wrong = np.flatnonzero(~np.isfinite(losses))
        if len(wrong):
            raise TrainingRefused(
                f"{name}: the loss should be finite. Received: {losses[wrong[0]]} in epoch {number}, batch {wrong[0] + 1} "
                f"of {len(losses)}. Try a lower --learning-rate."
            )
        return float(losses.mean())

    def _orders(self) -> list[tuple[int, tf.Tensor]]:
        """Return stretches of steps in random order: the group, and `(steps, batch)` numbers of its windows.

        A few windows come twice to fill a group's last step.
        """
        stretches = []
        for group, (steps, size) in enumerate(zip(self._n_steps, self._sizes, strict=True)):
            order = np.resize(self._rng.permutation(len(self._columns[group][0])), (steps, size)).astype(np.int32)
            stretches += [(group, tf.constant(order[first : first + STRETCH])) for first in range(0, steps, STRETCH)]
        return [stretches[n] for n in self._rng.permutation(len(stretches))]


def batch_size(group: Windows, batch: int, widest: int) -> int:
    """Return the windows of one step: more of narrow ones, so that a step has some work, up to four times as many."""
    return batch * max(1, min(WIDER, widest // max(group.width, 1)))


def _compiled(pass_over: Callable[..., tf.Tensor], size: int, columns: Sequence[tf.Tensor]) -> Callable[..., tf.Tensor]:
    """Return a pass as one graph, for any number of steps over windows of one width."""
    signature = [
        tf.TensorSpec((None, size), tf.int32),
        *(tf.TensorSpec(column.shape, column.dtype) for column in columns),
    ]
    return tf.function(pass_over, input_signature=signature)


def train_epoch(
    network: Network, negatives: Negatives, options: Training, total_steps: int
) -> Callable[..., tf.Tensor]:
    """Return what passes over windows in an order `(steps, batch)`; it returns the loss of each step."""
    variables = network.trainable_variables
    optimizer = RowAdam(variables, options.learning_rate, total_steps, options.l2)
    random = tf.random.Generator.from_seed(options.seed)

    def epoch(order: tf.Tensor, *columns: tf.Tensor) -> tf.Tensor:
        n_steps = tf.shape(order)[0]
        losses = tf.TensorArray(tf.float32, n_steps)
        for step in tf.range(n_steps):
            users, items, weights, before, targets, confidences, contexts = (
                tf.gather(column, order[step]) for column in columns
            )
            with tf.GradientTape() as tape:
                known = tf.cast(random.uniform(tf.shape(before)) >= options.dropped_users, tf.float32)
                unknown = tf.constant([size - 1 for size in network.shapes.context_sizes], tf.int32)
                contexts = tf.where(random.uniform(tf.shape(contexts)) < options.dropped_contexts, unknown, contexts)
                user_batch = UserBatch(users, items, weights, before, contexts, known)
                loss = loss_of(network, user_batch, targets, confidences, negatives, options, random)
            optimizer.apply(tape.gradient(loss, variables))
            losses = losses.write(step, loss)
        return losses.stack()

    return epoch
