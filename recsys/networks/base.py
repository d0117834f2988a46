"""The base class of the four networks: named weights, and the user representation for each target of a window.

Shapes: b windows in a batch, w events in a window, t targets, m context features, c candidate items, n states.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys.features.features import N_FEATURES
from recsys.features.query import Arrays, Floats

HIDDEN = (64, 32, 16)  # widths of NeuMF's MLP, He et al. 2017
START_LOGIT = 4.0  # added to a logit at the warm start where ALS predicts a preference of 1
START_HISTORY = 0.1  # share of an item's ALS vector that an event adds to the user representation at the warm start
START_DEVIATION = 0.1  # standard deviation of the item vectors then; logits of a normalised state are about 1
LIVE = 0.01  # share of the longest vector; an item whose vector is shorter has no factors and sets no scale
USERS, ITEMS = "users", "items"  # what the rows of a weight stand for
Drop = Callable[[tf.Tensor], tf.Tensor]


@dataclass(frozen=True)
class Shapes:
    """All that the shapes of a network's weights depend on; the content of `<name>_config.json`.

    Attributes:
        n_users: The number of users.
        n_items: The number of items.
        context_sizes: The number of values of each context feature, "unknown" included.
        dim: Width of each embedding.
        window: Events that each block of LNCM attends to.
        slow_decay: γ of the long-term history.
        fast_decay: γ of the short-term history.
    """

    n_users: int
    n_items: int
    context_sizes: tuple[int, ...]
    dim: int
    window: int
    slow_decay: float
    fast_decay: float


def identity(activations: tf.Tensor) -> tf.Tensor:
    """Return the activations as they are, without dropout."""
    return activations


class UserBatch(NamedTuple):
    """The input of a batch without candidate items: users, their windows of events, and the context of each target.

    Attributes:
        users: `(b,)` int32; `n_users` stands for guests.
        items: `(b, w)` int32, items of events ordered by time; padding is item 0 with weight 0.
        weights: `(b, w)` float32, the weights of the events.
        history_end: `(b, t)` int32, the position of the last event that each target may see; -1 for none.
        contexts: `(b, t, m)` int32, the context of each target.
        user_known: `(b, t)` float32, 1, or 0 where the user's embeddings are dropped as for a guest.
    """

    users: tf.Tensor
    items: tf.Tensor
    weights: tf.Tensor
    history_end: tf.Tensor
    contexts: tf.Tensor
    user_known: tf.Tensor


class Network(keras.Model):
    """A network over windows: `encode` gives a state for each target, `score` compares states with candidate items.

    Weights are stored in the HDF5 group `vars` under the names of `tables`, where NumPy's scorers find them.

    Attributes:
        per_example_negatives: Whether training samples negatives for each target. A network whose logit is a dot
            product sets it to False; its targets share the negatives of a batch, which costs less.
        shapes: The shapes of the weights.
        tables: The weights by name.
        row_kinds: What the rows of a weight stand for, by its name: `users`, `items`, or the number of a context
            feature. A weight without rows of its own is not named.
    """

    per_example_negatives = True

    def __init__(self, shapes: Shapes, seed: int) -> None:
        super().__init__()
        self.shapes = shapes
        self.tables: dict[str, keras.Variable] = {}
        self.row_kinds: dict[str, str | int] = {}
        self._seeds = np.random.SeedSequence(seed)
        users, items, dim = shapes.n_users, shapes.n_items, shapes.dim
        self.add_embedding("user_factors", (users, dim), 0.01, row_kind=USERS)
        self.add_embedding("slow_items", (items, dim), 0.01, row_kind=ITEMS)
        self.add_embedding("fast_items", (items, dim), 0.01, row_kind=ITEMS)
        self.add_embedding("item_factors", (items, dim), 0.1, row_kind=ITEMS)
        self.add_constant("decays", np.array([shapes.slow_decay, shapes.fast_decay], np.float32))
        self.add_constant("signal_weights", np.tile(np.eye(N_FEATURES + 1, dtype=np.float32)[-1], (2, 1)))
        self.add_weights()
        self.built = True

    def add_weights(self) -> None:
        """Add the weights of the subclass, by `add_embedding` and `add_constant`."""
        raise NotImplementedError

    def warm_start(self, initial: Arrays, strength: float = 1.0) -> None:
        """Set the embeddings to those of ALS and the item biases to popularity, instead of to noise.

        The scale is that of the items that have factors. A strong regularization leaves many items without any; a
        scale over all items would make the vectors of the others, and the logits, many times too long.

        Args:
            initial: `user_factors` `(n_users, dim)` and `item_factors` `(n_items, dim)` of ALS on the same events;
                `popularity` `(n_items,)` float32, the summed weight of each item's events.
            strength: From 0 to 1; what all logits except the item biases are multiplied by.
        """
        items = initial["item_factors"]
        scale = START_DEVIATION / max(live_deviation(items), 1e-9)
        self.tables["item_factors"].assign(items * (scale * strength))
        self.tables["user_factors"].assign(initial["user_factors"] * (START_LOGIT / scale))
        for name in ("slow_items", "fast_items"):
            self.tables[name].assign(items * (scale * START_HISTORY))
        if "item_bias" in self.tables:
            prior = np.log1p(initial["popularity"])
            self.tables["item_bias"].assign(prior - prior.mean())

    def encode(self, user_batch: UserBatch, dropout: Drop = identity) -> Sequence[tf.Tensor]:
        """Return the state of the user at each target, as one or more tensors `(b, t, …)`.

        Args:
            user_batch: Users, events and contexts.
            dropout: Applied to activations in training.
        """
        raise NotImplementedError

    def score(self, state: Sequence[tf.Tensor], items: tf.Tensor) -> tf.Tensor:
        """Return the logits `(n, c)` of candidate items for the states `(n, …)`.

        Args:
            state: What `encode` returns, with one row for each target.
            items: `(n, c)` int32, a row for each state; or `(c,)`, shared by all states.
        """
        raise NotImplementedError

    def call(self, user_batch: UserBatch, items: tf.Tensor) -> tf.Tensor:
        """Return the network's logits `(b, t, c)`, without the features.

        Args:
            user_batch: Users, events and contexts.
            items: `(b, t, c)` int32, candidate items.
        """
        state = [tf.reshape(part, (-1, part.shape[-1])) for part in self.encode(user_batch)]
        return tf.reshape(self.score(state, tf.reshape(items, (-1, tf.shape(items)[-1]))), tf.shape(items))

    def add_embedding(
        self,
        name: str,
        shape: tuple[int, ...],
        deviation: float,
        *,
        centre: float = 0.0,
        row_kind: str | int | None = None,
    ) -> None:
        """Add a trained weight, initialised from a normal distribution.

        Args:
            name: Its key in `tables` and in the file of weights.
            shape: Its shape; () for a scalar.
            deviation: Standard deviation; 0 sets all values to `centre`.
            centre: Mean.
            row_kind: What its rows stand for, see `row_kinds`; None if they have no meaning outside the network.
        """
        if row_kind is not None:
            self.row_kinds[name] = row_kind
        seed = int(np.random.default_rng(self._seeds.spawn(1)[0]).integers(2**31))
        initializer = keras.initializers.RandomNormal(centre, deviation, seed=seed)
        self.tables[name] = self.add_weight(shape=shape, initializer=initializer, name=name)

    def add_constant(self, name: str, value: NDArray) -> None:
        """Add a weight that training does not change."""
        self.tables[name] = self.add_weight(shape=value.shape, initializer="zeros", trainable=False, name=name)
        self.tables[name].assign(value)

    def add_mlp(self, width: int, hidden: Sequence[int]) -> None:
        """Add an MLP with relu layers and a linear output, which starts at 0, so that the dot product learns first.

        Args:
            width: Width of the input.
            hidden: Widths of the layers.
        """
        for n, (inside, outside) in enumerate(zip((width, *hidden[:-1]), hidden, strict=True)):
            self.add_embedding(f"mlp_kernel_{n}", (inside, outside), float(np.sqrt(2.0 / inside)))
            self.add_embedding(f"mlp_bias_{n}", (outside,), 0.0)
        self.add_embedding("mlp_output", (hidden[-1],), 0.0)

    def embedding_rows(self, name: str, indices: tf.Tensor) -> tf.Tensor:
        """Return rows of a weight, `(…, d)`, as `tf.gather` does, without a copy of the whole weight.

        Reading a variable of which single rows are updated copies it: 26 MB in each step for 100,000 users.

        Args:
            name: Its key in `tables`.
            indices: `(…)` int32.
        """
        return tf.gather(self.tables[name].value, indices)

    def first_layer(self, name: str, kernel: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """Return the items' part of an MLP's first layer, `(n, c, hidden)`; each distinct item is computed once.

        Args:
            name: Name of the item embedding.
            kernel: `(dim, hidden)`, the items' rows of the kernel.
            items: `(n, c)` int32, or `(c,)` for `(c, hidden)`.
        """
        distinct, place = tf.unique(tf.reshape(items, (-1,)))
        return gather_rows(self.embedding_rows(name, distinct) @ kernel, tf.reshape(place, tf.shape(items)))

    def tower(self, first: tf.Tensor) -> tf.Tensor:
        """Return the MLP's output `(n, c)` from the sums of its first layer `(n, c, hidden)`, bias excluded."""
        hidden, n = tf.reshape(first, (-1, first.shape[-1])) + self.tables["mlp_bias_0"], 1
        while f"mlp_kernel_{n}" in self.tables:
            hidden = tf.nn.relu(hidden) @ self.tables[f"mlp_kernel_{n}"] + self.tables[f"mlp_bias_{n}"]
            n += 1
        return tf.reshape(tf.nn.relu(hidden) @ self.tables["mlp_output"][:, None], tf.shape(first)[:2])

    def user_embedding(self, name: str, user_batch: UserBatch) -> tf.Tensor:
        """Return a user weight's rows at each target, `(b, t, …)`; zeros for guests and where `user_known` is 0."""
        embedded = self.embedding_rows(name, tf.minimum(user_batch.users, self.shapes.n_users - 1))
        is_user = user_batch.user_known * tf.cast(user_batch.users < self.shapes.n_users, tf.float32)[:, None]
        is_bias = len(embedded.shape) == 1
        return is_user * embedded[:, None] if is_bias else is_user[..., None] * tf.expand_dims(embedded, 1)

    def user_representation(self, user_batch: UserBatch) -> tf.Tensor:
        """Return s_u `(b, t, dim)`: the user's embedding plus both pooled histories before each target."""
        embedded = self.user_embedding("user_factors", user_batch)
        if user_batch.items.shape[1] == 0:  # windows without events, see `Windows`
            return embedded
        slow = self._pooled("slow_items", self.shapes.slow_decay, user_batch)
        fast = self._pooled("fast_items", self.shapes.fast_decay, user_batch)
        return embedded + gather_states(slow + fast, user_batch.history_end)

    def _pooled(self, name: str, decay: float, user_batch: UserBatch) -> tf.Tensor:
        """Return the pooled history after each event, Σ_j w_j · decay^age(j) · a_j, `(b, w, dim)`."""
        width = tf.shape(user_batch.items)[1]
        ages = tf.cast(tf.range(width)[:, None] - tf.range(width)[None, :], tf.float32)
        weights = tf.where(ages >= 0, tf.pow(decay, tf.maximum(ages, 0.0)), 0.0)
        weighted = user_batch.weights[..., None] * self.embedding_rows(name, user_batch.items)
        return tf.einsum("kj,bjd->bkd", weights, weighted)

    def save_own_variables(self, store: Any) -> None:
        """Write all weights by name; Keras calls this when it saves."""
        for name, variable in self.tables.items():
            store[name] = np.asarray(variable.numpy(), order="C")  # ascontiguousarray would make a scalar (1,)

    def load_own_variables(self, store: Mapping[str, Any]) -> None:
        """Read all weights by name; Keras calls this when it loads."""
        for name, variable in self.tables.items():
            variable.assign(store[name][()])

    def assign_arrays(self, arrays: Arrays) -> None:
        """Set all weights.

        Args:
            arrays: Values by the names of `tables`.
        """
        for name, variable in self.tables.items():
            variable.assign(arrays[name])

    def arrays(self) -> dict[str, NDArray]:
        """Return all weights as NumPy arrays, by name."""
        return {name: variable.numpy() for name, variable in self.tables.items()}

    def sizes(self) -> list[int]:
        """Return the size of each weight in bytes."""
        return [int(np.prod(variable.shape)) * np.dtype(variable.dtype).itemsize for variable in self.tables.values()]


@dataclass(frozen=True)
class FittedNetwork:
    """The weights of a network, without what TensorFlow needs to train it.

    Attributes:
        kind: The class of the network.
        shapes: The shapes of its weights.
        values: Its weights by the names of `Network.tables`.
    """

    kind: type[Network]
    shapes: Shapes
    values: Arrays

    def arrays(self) -> Arrays:
        """Return all weights by name, as `Network.arrays` does, without a copy."""
        return self.values

    def replace(self, **values: Floats) -> FittedNetwork:
        """Return the network with other values of some weights."""
        return replace(self, values={**self.values, **values})

    def sizes(self) -> list[int]:
        """Return the size of each weight in bytes."""
        return [values.nbytes for values in self.values.values()]

    def to_keras(self) -> Network:
        """Return the network."""
        network = self.kind(self.shapes, seed=0)
        network.assign_arrays(self.values)
        return network

    def save_weights(self, path: Path) -> None:
        """Write the file that Keras writes."""
        self.to_keras().save_weights(path)


def live_deviation(items: Floats) -> float:
    """Return the standard deviation of the vectors `(n_items, dim)` of the items that have factors; 0 without any.

    Vectors that are nearly alike count as if they deviated by a tenth of their size.
    """
    norms = np.linalg.norm(items, axis=1)
    live = norms > LIVE * norms.max(initial=0.0)
    return max(float(items[live].std()), 0.1 * float(np.sqrt(np.mean(items[live] ** 2)))) if live.any() else 0.0


def gather_states(states: tf.Tensor, history_end: tf.Tensor) -> tf.Tensor:
    """Return the state that each target sees, `(b, t, d)`; zeros for targets without history.

    Args:
        states: `(b, w, d)`, the states after each event.
        history_end: `(b, t)` int32, the position of the last event that the target sees; -1 for none.
    """
    if states.shape[1] == 0:  # windows without events, see `Windows`
        return tf.zeros(tf.concat([tf.shape(history_end), tf.shape(states)[2:]], 0))
    gathered = tf.gather(states, tf.maximum(history_end, 0), batch_dims=1)
    return tf.where((history_end >= 0)[..., None], gathered, 0.0)


def dot_scores(user_representation: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Return the dot products `(n, c)` of user representations `(n, d)` with item vectors `(n, c, d)` or `(c, d)`."""
    if len(factors.shape) == 2:
        return tf.matmul(user_representation, factors, transpose_b=True)
    return tf.reduce_sum(factors * user_representation[:, None], -1)


def dense(states: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Return the product `(…, k)` of states `(…, d)` and a kernel `(d, k)`.

    It is one matrix product, where `@` would compute one for each row of the batch.
    """
    product = tf.reshape(states, (-1, states.shape[-1])) @ kernel
    return tf.reshape(product, tf.concat([tf.shape(states)[:-1], tf.shape(product)[-1:]], 0))


def gather_rows(states: tf.Tensor, indices: tf.Tensor) -> tf.Tensor:
    """Return rows of computed states, `(…, d)`, as `tf.gather` does; the gradient takes a quarter of the time.

    That of `tf.gather_nd` is `tf.scatter_nd`, unless the indices are a list of single numbers. `tf.custom_gradient`
    could say so, too. But TensorFlow keeps all that such a function has seen until the process ends, the whole network
    (issue 97697 of TensorFlow).

    Args:
        states: `(n, d)`.
        indices: `(…)` int32.
    """
    gathered = tf.gather_nd(states, tf.reshape(indices, (1, -1, 1)))
    return tf.reshape(gathered, tf.concat([tf.shape(indices), tf.shape(states)[1:]], 0))
