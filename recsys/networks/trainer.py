"""Epochs over windows: batches, one compiled graph, and the bound on the events of an epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.errors import TrainingRefused
from recsys.networks.base import Network, UserBatch
from recsys.networks.losses import Negatives, loss_of
from recsys.networks.optimizer import RowAdam
from recsys.networks.windows import Windows, by_width
from recsys.settings import Training

STEPS_AT_ONCE = 25  # steps with one group of windows before another group may follow
LARGEST_FACTOR = 4  # narrow windows make batches up to this many times larger
PACE_VECTORS, PACE_PAIRS, PACE_DIM, PACE_ROUNDS = 20_000, 65_536, 64, 5


class Examples:
    """The windows of a dataset as tensors, in groups of one width each, for all networks that learn from them.

    Attributes:
        columns: The arrays of each group's windows, in the order of `Windows`.
        lengths: The number of windows of each group.
        sizes: The number of windows in a batch of each group.
        n_targets: The number of targets in all windows.
    """

    def __init__(self, groups: Sequence[Windows], batch: int, widest: int) -> None:
        """Take the groups.

        Args:
            groups: At least one.
            batch: The number of windows in a batch of the widest group.
            widest: The width of such a group, in events.
        """
        self.columns = [tuple(tf.constant(column) for column in vars(group).values()) for group in groups]
        self.lengths = [len(group) for group in groups]
        self.sizes = [min(batch_size(group, batch, widest), len(group)) for group in groups]
        self.n_targets = sum(int((group.confidences != 0).sum()) for group in groups)

    @classmethod
    def of(cls, data: Dataset, options: Training) -> Examples:
        """Return the events of a dataset, each as one target."""
        groups = by_width(data, options.window, 2 * LARGEST_FACTOR * options.batch)
        return cls(groups, options.batch, 2 * options.window)


class Trainer:
    """Trains one network, an epoch at a time; one compiled graph serves all groups of windows."""

    def __init__(self, network: Network, examples: Examples, negatives: Negatives, options: Training) -> None:
        self._rng = np.random.default_rng(options.seed)
        self._examples = examples
        share = min(1.0, options.samples / max(examples.n_targets, 1))
        self._n_steps = [
            -(-math.ceil(share * length) // size) for length, size in zip(examples.lengths, examples.sizes, strict=True)
        ]
        self._left = [np.zeros(0, np.int64) for _ in examples.sizes]  # windows of each group whose turn comes next
        train = train_epoch(network, negatives, options, sum(self._n_steps) * options.epochs)
        columns = zip(*examples.columns, strict=True)
        signature = [
            tf.TensorSpec((None, None), tf.int32),
            *(tf.TensorSpec(_shared_shape([column.shape for column in of]), of[0].dtype) for of in columns),
        ]
        # One graph for all widths, without a translation of Python's own loops: compiling takes seconds.
        self._train = tf.function(train, input_signature=signature, autograph=False)

    def epoch(self, name: str, number: int) -> float:
        """Train on all windows once, in random order, or on as many as `samples` allows; then others follow.

        Args:
            name: The network's name, for error messages.
            number: The number of the epoch, from 1, for error messages.

        Returns:
            The mean of the batches' losses.

        Raises:
            TrainingRefused: The loss of a batch is not finite.
        """
        orders = self._orders()
        losses = np.concatenate([self._train(order, *self._examples.columns[group]).numpy() for group, order in orders])
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
        for group, (steps, size) in enumerate(zip(self._n_steps, self._examples.sizes, strict=True)):
            order = self._drawn(group, steps * size).reshape(steps, size).astype(np.int32)
            starts = range(0, steps, STEPS_AT_ONCE)
            runs += [(group, tf.constant(order[first : first + STEPS_AT_ONCE])) for first in starts]
        return [runs[n] for n in self._rng.permutation(len(runs))]

    def _drawn(self, group: int, n: int) -> NDArray[np.int64]:
        """Return the numbers of the windows of a group for an epoch; each window has its turn before any has another.

        Args:
            group: The number of the group.
            n: How many windows an epoch takes.
        """
        n_windows = self._examples.lengths[group]
        if n >= n_windows:
            return np.resize(self._rng.permutation(n_windows), n)
        if len(self._left[group]) < n:
            self._left[group] = np.append(self._left[group], self._rng.permutation(n_windows))
        drawn, self._left[group] = np.split(self._left[group], [n])
        return drawn


def _shared_shape(shapes: Sequence[tf.TensorShape]) -> list[int | None]:
    """Return the shape of all these, with None where they differ, and for the number of rows."""
    return [
        None,
        *(sizes[0] if len(set(sizes)) == 1 else None for sizes in zip(*(shape[1:] for shape in shapes), strict=True)),
    ]


def batch_size(group: Windows, batch: int, widest: int) -> int:
    """Return the number of windows in a batch: up to four times `batch` for narrow windows, to use the processor well.

    Args:
        group: Windows of one width.
        batch: The number of windows of full width.
        widest: The full width, in events.
    """
    return batch * max(1, min(LARGEST_FACTOR, widest // max(group.width, 1)))


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

        def one_step(step: tf.Tensor, losses: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
            batch = [tf.gather(column, order[step]) for column in columns]
            users, items, weights, history_end, targets, confidences, contexts = batch
            with tf.GradientTape() as tape:
                user_known = tf.cast(random.uniform(tf.shape(history_end)) >= options.dropped_users, tf.float32)
                unknown = tf.constant([size - 1 for size in network.shapes.context_sizes], tf.int32)
                contexts = tf.where(random.uniform(tf.shape(contexts)) < options.dropped_contexts, unknown, contexts)
                user_batch = UserBatch(users, items, weights, history_end, contexts, user_known)
                loss = loss_of(network, user_batch, targets, confidences, negatives, options, random)
            optimizer.apply(tape.gradient(loss, variables))
            return step + 1, losses.write(step, loss)

        nothing = tf.constant(0), tf.TensorArray(tf.float32, n_steps)
        return tf.while_loop(lambda step, _: step < n_steps, one_step, nothing)[1].stack()

    return epoch


def pace() -> float:
    """Return the seconds that a computation like that of a network takes on this machine now, the least of some rounds.

    It looks up vectors, multiplies matrices and adds vectors up. What a machine does fast with wide instructions alone,
    such as sorting, says nothing about the training of a network: a product and a sort took a fifth of the reference
    where training took 1.6 times as long.
    """
    rng = np.random.default_rng(0)
    vectors = tf.constant(rng.normal(size=(PACE_VECTORS, PACE_DIM)), tf.float32)
    layer = tf.constant(rng.normal(size=(PACE_DIM, PACE_DIM)), tf.float32)
    pairs = tf.constant(rng.integers(PACE_VECTORS, size=PACE_PAIRS))
    taken = []
    for _ in range(PACE_ROUNDS):
        started = time.perf_counter()
        hidden = tf.tanh(tf.gather(vectors, pairs) @ layer)
        tf.math.unsorted_segment_sum(tf.nn.softmax(hidden), pairs, PACE_VECTORS).numpy()
        taken.append(time.perf_counter() - started)
    return min(taken)
