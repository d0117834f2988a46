"""The training loop: one compiled graph an epoch, sampled softmax, rows updated by Adam, early stopping on validation."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys.dataset import Dataset
from recsys.errors import TrainingRefused
from recsys.networks.base import Network, Past, Shapes
from recsys.networks.bmf import BMF
from recsys.networks.encm import ENCM
from recsys.networks.lncm import LNCM
from recsys.networks.losses import Negatives, loss_of
from recsys.networks.neumf import NeuMF
from recsys.networks.optimizer import RowAdam
from recsys.networks.windows import Windows, windows
from recsys.scorers import Arrays
from recsys.settings import Training

NETWORKS: dict[str, type[Network]] = {"ENCM": ENCM, "LNCM": LNCM, "NeuMF": NeuMF, "BMF": BMF}
FAILURES = (MemoryError, tf.errors.OpError)  # of one network; the others are not to blame
PATIENCE = 3  # epochs without improvement before the fit stops; the last ones of a falling learning rate gain most
Judge = Callable[[Network], float]


@dataclass(frozen=True)
class Epoch:
    """What is known after a pass over the data.

    Attributes:
        model: The registry name.
        number: From 1.
        of: The number of epochs of this fit.
        loss: Mean weighted loss.
        seconds: What the pass took, judging excluded.
        mark: What the judge said after it; None where nobody judges.
    """

    model: str
    number: int
    of: int
    loss: float
    seconds: float
    mark: float | None = None


@dataclass(frozen=True)
class Start:
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
        marks: The judge's marks, that of the start first; empty where nobody judged.
        seconds: What all of it took.
    """

    network: Network
    epochs: int
    losses: Sequence[float]
    marks: Sequence[float]
    seconds: float = 0.0


def fit(
    name: str,
    data: Dataset,
    start: Start,
    options: Training,
    report: Callable[[Epoch], None],
    *,
    judge: Judge | None = None,
    epochs: int | None = None,
) -> Fit:
    """Fit one network.

    Args:
        name: A key of `NETWORKS`.
        data: The events to learn from; nothing else is seen.
        start: Where the network begins.
        options: Epochs, batch, widths, rates and the seed.
        report: Told of every epoch.
        judge: Marks the network after each epoch, higher is better; the best epoch is kept, and three worse ones end the fit.
        epochs: Ends the fit after so many passes, the learning rate falling as if it went on; what a judge chose before.

    Returns:
        The network of the best epoch, deterministic for a seed, a machine and a library version.

    Raises:
        TrainingRefused: The loss or a weight is not finite.
    """
    begun = time.perf_counter()
    prepare(options.seed)
    network = NETWORKS[name](shapes(data, options), options.seed)
    network.start(start.factors, start.popularity)
    cut = windows(data, options.window)
    loop = Loop(network, cut, Negatives.of(start.popularity, options), options)
    marks, losses = [judge(network)] if judge else [], []
    best, kept = 0, network.arrays() if judge else {}
    for number in range(1, (options.epochs if epochs is None else epochs) + 1):
        started = time.perf_counter()
        losses.append(loop.epoch(name, number))
        seconds = time.perf_counter() - started
        if judge:
            marks.append(judge(network))
            if marks[-1] > marks[best]:
                best, kept = number, network.arrays()
        report(Epoch(name, number, options.epochs, losses[-1], seconds, marks[-1] if judge else None))
        if judge and number - best >= PATIENCE:
            break
    if judge:
        network.take(kept)
    check_finite(name, network)
    return Fit(network, best if judge else len(losses), losses, marks, time.perf_counter() - begun)


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
    for table, values in network.arrays().items():
        if not np.isfinite(values).all():
            raise TrainingRefused(f"{name}: `{table}` should be finite after the fit. A lower --learning-rate may help.")


class Loop:
    """Passes over windows for one network."""

    def __init__(self, network: Network, cut: Windows, negatives: Negatives, options: Training) -> None:
        self._rng = np.random.default_rng(options.seed)
        self._n_windows, self._size = len(cut), min(options.batch, len(cut))
        columns = (cut.users, cut.items, cut.weights, cut.before, cut.targets, cut.confidences, cut.contexts)
        self._columns = tuple(tf.constant(column) for column in columns)
        self._epoch = _compiled(network, negatives, options, self._n_steps * options.epochs)

    @property
    def _n_steps(self) -> int:
        return -(-self._n_windows // self._size)

    def epoch(self, name: str, number: int) -> float:
        """Pass over all windows once, in random order, and return the mean loss.

        Raises:
            TrainingRefused: The loss of a batch is not finite.
        """
        losses = self._epoch(self._order(), *self._columns).numpy()
        wrong = np.flatnonzero(~np.isfinite(losses))
        if len(wrong):
            raise TrainingRefused(
                f"{name}: the loss should be finite. Received: {losses[wrong[0]]} in epoch {number}, batch {wrong[0] + 1} "
                f"of {len(losses)}. Try a lower --learning-rate."
            )
        return float(losses.mean())

    def _order(self) -> tf.Tensor:
        """Return `(steps, batch)` window numbers in random order; a few windows come twice to fill the last step."""
        order = np.resize(self._rng.permutation(self._n_windows), (self._n_steps, self._size))
        return tf.constant(order.astype(np.int32))


def _compiled(network: Network, negatives: Negatives, options: Training, total_steps: int) -> Callable[..., tf.Tensor]:
    """Return the compiled pass; it returns the loss of each step."""
    variables = network.trainable_variables
    optimizer = RowAdam(variables, options.learning_rate, total_steps, options.l2)
    random = tf.random.Generator.from_seed(options.seed)

    @tf.function
    def epoch(order: tf.Tensor, *columns: tf.Tensor) -> tf.Tensor:
        n_steps = tf.shape(order)[0]
        losses = tf.TensorArray(tf.float32, n_steps)
        for step in tf.range(n_steps):
            users, items, weights, before, targets, confidences, contexts = (tf.gather(column, order[step]) for column in columns)
            with tf.GradientTape() as tape:
                known = tf.cast(random.uniform(tf.shape(before)) >= options.dropped_users, tf.float32)
                unknown = tf.constant([size - 1 for size in network.shapes.context_sizes], tf.int32)
                contexts = tf.where(random.uniform(tf.shape(contexts)) < options.dropped_contexts, unknown, contexts)
                past = Past(users, items, weights, before, contexts, known)
                loss = loss_of(network, past, targets, confidences, negatives, options, random)
            optimizer.apply(tape.gradient(loss, variables))
            losses = losses.write(step, loss)
        return losses.stack()

    return epoch
