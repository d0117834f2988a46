"""The training loop of the networks: compiled epochs over windows, and early stopping on a validation metric."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.errors import TrainingRefused
from recsys.features.query import Arrays, Floats, Indices
from recsys.networks.base import ITEMS, FittedNetwork, Network, Shapes, UserBatch
from recsys.networks.losses import Negatives, Uniform, loss_of
from recsys.networks.trainer import Examples, Trainer
from recsys.networks.windows import Windows, windows
from recsys.scorers.registry import MODELS
from recsys.settings import Training

NETWORKS: dict[str, type[Network]] = {
    name: getattr(import_module(f"recsys.networks.{name.lower()}"), name) for name in MODELS
}
FAILURES = (MemoryError, tf.errors.OpError)  # errors that end the fit of one network; the others are still fitted
PATIENCE = 3  # epochs without improvement before a fit stops; a falling learning rate gains most at the end
CHECKED = 256  # windows on which the start is compared with a uniform guess
STRENGTHS = (1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625)  # of the warm start; the first that is good enough
TURNED = ("user_factors", "slow_items", "fast_items", "item_factors")  # weights that start from vectors of ALS
LEAST_RATE = 0.25  # of the largest learning rate, for a fit that goes on from one whose schedule had ended
ValidationMetric = Callable[[Network], float | NDArray[np.float64]]  # one value, or one of each user

gc.freeze()  # the half a million objects that TensorFlow has made stay: a look at them takes 0.2 s after each network
if "TF_NUM_INTRAOP_THREADS" not in os.environ:
    # Operations run side by side, too. With both processors for each operation, a fit takes 4 % longer on two.
    _processors = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    with suppress(RuntimeError):  # TensorFlow has started already
        tf.config.threading.set_intra_op_parallelism_threads(max(1, _processors // 2))


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
        uniform: The loss of a uniform guess, which the start of a network is never above.
    """

    model: str
    number: int
    of: int
    loss: float
    seconds: float
    validation_score: float | None = None
    uniform: float | None = None


@dataclass(frozen=True)
class Fit:
    """A fitted network and the course of its training.

    Attributes:
        network: The weights of its best epoch.
        epochs: The number of that epoch; 0 if no epoch improved on the warm start.
        losses: The loss of each epoch.
        validation_scores: The validation metric of the warm start, then of each epoch; empty without validation.
    """

    network: FittedNetwork
    epochs: int
    losses: Sequence[float]
    validation_scores: Sequence[float]


def fit(
    name: str,
    data: Dataset,
    initial: Arrays,
    options: Training,
    report: Callable[[Epoch], None],
    *,
    examples: Callable[[], Examples] | None = None,
    validation_metric: ValidationMetric | None = None,
    epochs: int | None = None,
    earlier: Earlier | None = None,
) -> Fit:
    """Fit one network.

    Args:
        name: A key of `NETWORKS`.
        data: The events to learn from, and nothing else.
        initial: The solution that the network starts from, as `Network.warm_start` takes it.
        options: Epochs, batch, widths, rates and the seed.
        report: Called after each epoch.
        examples: Returns the windows of the events, which several networks may share; None makes them.
        validation_metric: Computed before the first and after each epoch; higher is better. The weights of the best
            epoch are returned, and three epochs without improvement end the fit. An improvement is one by more than a
            standard error where the metric is one of each user.
        epochs: Ends the fit after this many epochs, as an earlier fit with validation chose. The learning rate still
            falls over `options.epochs`.
        earlier: A fit to go on from. Without validation it says for how many epochs, and the learning rate goes on
            from where its schedule had come.

    Returns:
        The network of the best epoch; the same for equal seeds on one machine with the same libraries.

    Raises:
        TrainingRefused: The loss or a weight is not finite.
    """
    course = Course(
        name,
        data,
        initial,
        options,
        report,
        examples=examples or cache(lambda: Examples.of(data, options)),
        validation_metric=validation_metric,
        earlier=earlier,
    )
    n_epochs = options.epochs if epochs is None else epochs
    course.run(earlier.more[name] if earlier and not validation_metric else n_epochs)
    return course.finish()


class Course:
    """The training of one network, which may pause between two epochs while others are trained."""

    def __init__(
        self,
        name: str,
        data: Dataset,
        initial: Arrays,
        options: Training,
        report: Callable[[Epoch], None],
        *,
        examples: Callable[[], Examples],
        validation_metric: ValidationMetric | None = None,
        earlier: Earlier | None = None,
    ) -> None:
        """Make the network and compute its start; the arguments are those of `fit`."""
        prepare(options.seed)
        if earlier and not validation_metric:
            rate = earlier.rate(name, options)
            options = replace(options, learning_rate=rate, epochs=max(earlier.more[name], 1))
        self.name, self._options, self._report, self._metric = name, options, report, validation_metric
        self.network = NETWORKS[name](shapes(data, options), options.seed)
        self._negatives, self._examples = Negatives.of(initial["popularity"], options), examples
        some = windows(data, options.window, CHECKED)
        self._uniform = safe_warm_start(self.network, initial, some, self._negatives, options)
        if earlier:
            earlier.carry(name, self.network)
        self._trainer: Trainer | None = None
        self._losses: list[float] = []
        self._scores: list[float] = []
        self._best, self._best_weights = 0, dict[str, NDArray]()
        self._improved, self._to_beat = 0, np.zeros(0)  # the last epoch that was an improvement, and its values
        if validation_metric:
            self._compare(np.atleast_1d(validation_metric(self.network)))

    @property
    def ended(self) -> bool:
        """Whether no epoch is to follow: all are done, or validation found no gain for `PATIENCE` epochs."""
        done = len(self._losses)
        return done >= self._options.epochs or (self._metric is not None and done - self._improved >= PATIENCE)

    def run(self, until: int) -> None:
        """Train until an epoch of this number is done, or until `ended`.

        Raises:
            TrainingRefused: The loss is not finite.
        """
        while len(self._losses) < until and not self.ended:
            started, number = time.perf_counter(), len(self._losses) + 1
            if self._trainer is None:
                self._trainer = Trainer(self.network, self._examples(), self._negatives, self._options)
            self._losses.append(self._trainer.epoch(self.name, number))
            seconds = time.perf_counter() - started
            if self._metric:
                self._compare(np.atleast_1d(self._metric(self.network)))
            else:
                self._best = number
            score = self._scores[-1] if self._scores else None
            self._report(
                Epoch(self.name, number, self._options.epochs, self._losses[-1], seconds, score, self._uniform)
            )

    def _compare(self, values: NDArray[np.float64]) -> None:
        """Keep the weights of the best epoch, and note whether the newest one is an improvement.

        Args:
            values: The metric of each user, or its mean alone, after the newest epoch or at the start.
        """
        number, score = len(self._scores), float(values.mean())
        if not self._scores or score > self._scores[self._best]:
            self._best, self._best_weights = number, self.network.arrays()
        if not self._scores or _is_above_chance(values - self._to_beat):
            self._improved, self._to_beat = number, values
        self._scores.append(score)

    def finish(self) -> Fit:
        """Return the network with the weights of its best epoch; what training needed is freed.

        Raises:
            TrainingRefused: A weight is not finite.
        """
        weights = self._best_weights if self._metric else self.network.arrays()
        fitted = FittedNetwork(type(self.network), self.network.shapes, weights)
        del self.network, self._trainer
        give_memory_back()
        check_finite(self.name, weights)
        return Fit(fitted, self._best, self._losses, self._scores)


def _is_above_chance(gained: NDArray[np.float64]) -> bool:
    """Return whether the mean of paired gains `(n,)` is above 0 by more than its standard error."""
    error = gained.std(ddof=1) / np.sqrt(len(gained)) if len(gained) > 1 else 0.0
    return bool(gained.mean() > error)


@dataclass(frozen=True)
class Earlier:
    """A fit on earlier events, which a fit on more events goes on from.

    Attributes:
        networks: The weights of each network.
        places: For each kind of rows in `Network.row_kinds`, the row of the earlier fit that holds the same user, item
            or value; -1 for new ones, which keep their start from ALS.
        epochs: The number of epochs that each network has had.
        more: The number of epochs that each network is to have; 0 for one that adds nothing.
    """

    networks: Mapping[str, Arrays]
    places: Mapping[str | int, Indices]
    epochs: Mapping[str, int]
    more: Mapping[str, int]

    def carry(self, name: str, network: Network) -> None:
        """Set the weights of a network to those of the earlier fit, row by row where rows have a meaning.

        New rows keep their start from ALS, turned as the item vectors of the earlier fit are: ALS finds its vectors
        only up to a rotation, and each solution has another one.
        """
        old, place = self.networks[name], self.places[ITEMS]
        turned = rotation(network.tables["item_factors"].numpy()[place >= 0], old["item_factors"][place[place >= 0]])
        for weight in TURNED:
            network.tables[weight].assign(network.tables[weight].numpy() @ turned)
        for weight in {variable.name for variable in network.trainable_variables} & set(old):
            values = network.tables[weight].numpy()
            if weight in network.row_kinds:
                place = self.places[network.row_kinds[weight]]
                values[place >= 0] = old[weight][place[place >= 0]]
            elif values.shape == old[weight].shape:
                values = old[weight]
            network.tables[weight].assign(values)

    def rate(self, name: str, options: Training) -> float:
        """Return the learning rate that the schedule had reached; at least a quarter of the largest one."""
        falling = 0.5 + 0.5 * np.cos(np.pi * min(self.epochs[name] / options.epochs, 1.0))
        return options.learning_rate * max(float(falling), LEAST_RATE)


def rotation(vectors: Floats, others: Floats) -> Floats:
    """Return the rotation `(dim, dim)` float32 that brings vectors `(n, dim)` nearest to others of the same shape."""
    left, _, right = np.linalg.svd(vectors.T.astype(np.float64) @ others)
    return (left @ right).astype(np.float32)


def safe_warm_start(network: Network, initial: Arrays, some: Windows, negatives: Negatives, options: Training) -> float:
    """Give a network its warm start, as strong as it may be without a loss above that of a uniform guess.

    A few vectors may be much longer than all others, and histories add them up. Then the network would be sure of what
    is wrong, and its first epochs would be lost.

    Args:
        network: The network.
        initial: As `Network.warm_start` takes it.
        some: The windows whose loss counts.
        negatives: The distribution of sampled items.
        options: Hold the loss and the seed.

    Returns:
        The loss of a uniform guess, which gives all items the same score.
    """
    columns = (tf.constant(column) for column in vars(some).values())
    users, items, weights, history_end, targets, confidences, contexts = columns
    user_batch = UserBatch(users, items, weights, history_end, contexts, tf.ones(tf.shape(targets)))

    def loss(of: Network | Uniform) -> float:
        random = tf.random.Generator.from_seed(options.seed)
        return float(loss_of(of, user_batch, targets, confidences, negatives, options, random))

    uniform = loss(Uniform(network.per_example_negatives))
    for strength in STRENGTHS:
        network.warm_start(initial, strength)
        if not loss(network) > uniform:
            break
    return uniform


def give_memory_back() -> None:
    """Return to the system what nobody needs any more; after a network of a million events that is 100 to 200 MB.

    A compiled graph holds all windows and refers to itself, and the C library keeps what is freed.
    """
    gc.collect()
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):  # of glibc
        trim(0)


def prepare(seed: int) -> None:
    """Seed all random generators, make TensorFlow deterministic, and silence its warnings."""
    tf.get_logger().setLevel("ERROR")  # each network is compiled on purpose; TensorFlow would warn of retracing
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(seed)


def shapes(data: Dataset, options: Training) -> Shapes:
    """Return the shapes of networks for a dataset."""
    decays = options.slow_decay, options.fast_decay
    return Shapes(data.n_users, data.n_items, data.context_sizes, options.dim, options.window, *decays)


def check_finite(name: str, weights: Arrays) -> None:
    """Check the weights of a fitted network.

    Raises:
        TrainingRefused: A weight is NaN or infinite.
    """
    for weight, values in weights.items():
        if not np.isfinite(values).all():
            message = f"{name}: `{weight}` should be finite after the fit. A lower --learning-rate may help."
            raise TrainingRefused(message)
