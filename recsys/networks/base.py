"""What the four networks share: weights under names of our own, and the taste of DESIGN's user side over windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys.features.features import N_FEATURES
from recsys.features.query import Arrays

HIDDEN = (64, 32, 16)  # of NeuMF's tower, He et al. 2017
START_LOGIT = 4.0  # what a predicted preference of 1 adds to a logit
START_HISTORY = 0.1  # of an item's factors, how much an event adds to the taste
START_DEVIATION = 0.1  # standard deviation of pretrained item factors: logits of a normed state are about 1 then
Drop = Callable[[tf.Tensor], tf.Tensor]


@dataclass(frozen=True)
class Shapes:
    """Everything a network's shapes depend on; the content of `<name>_config.json`.

    Attributes:
        n_users: Rows of the user tables.
        n_items: Rows of the item tables.
        context_sizes: Indices of each context feature, "unknown" included.
        dim: Width of every embedding.
        window: Items that LNCM attends to.
        slow_decay: γ of the long memory.
        fast_decay: γ of the short memory.
    """

    n_users: int
    n_items: int
    context_sizes: tuple[int, ...]
    dim: int
    window: int
    slow_decay: float
    fast_decay: float

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


def identity(activations: tf.Tensor) -> tf.Tensor:
    """Drop nothing."""
    return activations


class UserBatch(NamedTuple):
    """The customers' side of a batch.

    Attributes:
        users: `(b,)` int32; `n_users` is a guest.
        items: `(b, w)` int32, events in the order of time; padding is item 0 with weight 0.
        weights: `(b, w)` float32.
        before: `(b, t)` int32: target t is asked after event `before[t]`; -1 asks before all.
        contexts: `(b, t, m)` int32.
        known: `(b, t)` float32, 0 where the customer's own embeddings are left out.
    """

    users: tf.Tensor
    items: tf.Tensor
    weights: tf.Tensor
    before: tf.Tensor
    contexts: tf.Tensor
    known: tf.Tensor


class Network(keras.Model):
    """A network over windows: `encode` once per target, `score` against candidate items.

    Weights are stored in the h5 group `vars` under the names of `tables`, so that NumPy finds them again.

    Attributes:
        pairwise: Whether a logit needs the customer and the item together, so that negatives cannot be shared by a
            batch.
    """

    pairwise = True

    def __init__(self, shapes: Shapes, seed: int) -> None:
        super().__init__()
        self.shapes = shapes
        self.tables: dict[str, keras.Variable] = {}
        self._seeds = np.random.SeedSequence(seed)
        users, items, dim = shapes.n_users, shapes.n_items, shapes.dim
        self.add_embedding("user_factors", (users, dim), 0.01)
        self.add_embedding("slow_items", (items, dim), 0.01)
        self.add_embedding("fast_items", (items, dim), 0.01)
        self.add_embedding("item_factors", (items, dim), 0.1)
        self.add_constant("decays", np.array([shapes.slow_decay, shapes.fast_decay], np.float32))
        self.add_constant("signal_weights", np.tile(np.eye(N_FEATURES + 1, dtype=np.float32)[-1], (2, 1)))
        self.add_weights()
        self.built = True

    def add_weights(self) -> None:
        """Add the weights of the subclass."""
        raise NotImplementedError

    def warm_start(self, factors: Arrays, popularity: NDArray[np.float32]) -> None:
        """Begin at a solution of the whole data instead of at noise.

        Args:
            factors: `user_factors` and `item_factors` `(·, dim)` of a matrix factorisation.
            popularity: `(n_items,)` float32, the summed weight of each item's events.
        """
        items = factors["item_factors"]
        scale = START_DEVIATION / max(float(items.std()), 1e-9)
        self.tables["item_factors"].assign(items * scale)
        self.tables["user_factors"].assign(factors["user_factors"] * (START_LOGIT / scale))
        for name in ("slow_items", "fast_items"):
            self.tables[name].assign(items * (scale * START_HISTORY))
        if "item_bias" in self.tables:
            prior = np.log1p(popularity)
            self.tables["item_bias"].assign(prior - prior.mean())

    def encode(self, user_batch: UserBatch, dropout: Drop = identity) -> Sequence[tf.Tensor]:
        """Return the tensors `(b, t, …)` that stand for the customer at each target.

        Args:
            user_batch: The customers.
            dropout: Applied to activations in training.
        """
        raise NotImplementedError

    def score(self, state: Sequence[tf.Tensor], items: tf.Tensor) -> tf.Tensor:
        """Return logits `(n, c)` of states `(n, …)` against candidate items `(n, c)`."""
        raise NotImplementedError

    def score_shared_candidates(self, state: Sequence[tf.Tensor], items: tf.Tensor) -> tf.Tensor:
        """Return logits `(n, c)` of states `(n, …)` against candidates `(c,)` that all of them share."""
        return self.score(state, tf.broadcast_to(items[None], (tf.shape(state[0])[0], tf.shape(items)[0])))

    def call(self, user_batch: UserBatch, items: tf.Tensor) -> tf.Tensor:
        """Return the network's own logits `(b, t, c)`, signals not added.

        Args:
            user_batch: The customers.
            items: `(b, t, c)` int32 candidates.
        """
        state = [tf.reshape(part, (-1, part.shape[-1])) for part in self.encode(user_batch)]
        return tf.reshape(self.score(state, tf.reshape(items, (-1, tf.shape(items)[-1]))), tf.shape(items))

    def add_embedding(self, name: str, shape: tuple[int, ...], spread: float, *, centre: float = 0.0) -> None:
        """Add a trained weight drawn from a normal distribution."""
        seed = int(np.random.default_rng(self._seeds.spawn(1)[0]).integers(2**31))
        initializer = keras.initializers.RandomNormal(centre, spread, seed=seed)
        self.tables[name] = self.add_weight(shape=shape, initializer=initializer, name=name)

    def add_constant(self, name: str, value: NDArray) -> None:
        """Add a weight that training leaves alone."""
        self.tables[name] = self.add_weight(shape=value.shape, initializer="zeros", trainable=False, name=name)
        self.tables[name].assign(value)

    def add_mlp(self, width: int, hidden: Sequence[int]) -> None:
        """Add a relu tower with a linear output that starts at zero: the dot product learns first."""
        for n, (inside, outside) in enumerate(zip((width, *hidden[:-1]), hidden, strict=True)):
            self.add_embedding(f"mlp_kernel_{n}", (inside, outside), float(np.sqrt(2.0 / inside)))
            self.add_embedding(f"mlp_bias_{n}", (outside,), 0.0)
        self.add_embedding("mlp_output", (hidden[-1],), 0.0)

    def first_layer(self, name: str, kernel: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """Return `(n, c, hidden)`: rows of an item table through a kernel, once for each item that occurs."""
        distinct, place = tf.unique(tf.reshape(items, (-1,)))
        return gather_rows(tf.gather(self.tables[name], distinct) @ kernel, tf.reshape(place, tf.shape(items)))

    def tower(self, first: tf.Tensor) -> tf.Tensor:
        """Return the tower's output `(n, c)` from the sums of its first layer `(n, c, hidden)`, bias excluded."""
        hidden, n = tf.reshape(first, (-1, first.shape[-1])) + self.tables["mlp_bias_0"], 1
        while f"mlp_kernel_{n}" in self.tables:
            hidden = tf.nn.relu(hidden) @ self.tables[f"mlp_kernel_{n}"] + self.tables[f"mlp_bias_{n}"]
            n += 1
        return tf.reshape(tf.nn.relu(hidden) @ self.tables["mlp_output"][:, None], tf.shape(first)[:2])

    def own_embedding(self, name: str, user_batch: UserBatch) -> tf.Tensor:
        """Return a user table's rows `(b, t, …)`: zero for guests and where `known` is 0."""
        gather_rows = tf.gather(self.tables[name], tf.minimum(user_batch.users, self.shapes.n_users - 1))
        known = user_batch.known * tf.cast(user_batch.users < self.shapes.n_users, tf.float32)[:, None]
        return (
            known[..., None] * tf.expand_dims(gather_rows, 1)
            if len(gather_rows.shape) == 2
            else known * gather_rows[:, None]
        )

    def user_representation(self, user_batch: UserBatch) -> tf.Tensor:
        """Return s_u `(b, t, dim)`: the embedding plus both pooled histories, strictly before each target."""
        if user_batch.items.shape[1] == 0:  # windows of `pairs`
            return self.own_embedding("user_factors", user_batch)
        pooled = self._pooled("slow_items", self.shapes.slow_decay, user_batch) + self._pooled(
            "fast_items", self.shapes.fast_decay, user_batch
        )
        return self.own_embedding("user_factors", user_batch) + gather_states(pooled, user_batch.before)

    def _pooled(self, name: str, decay: float, user_batch: UserBatch) -> tf.Tensor:
        """Return `(b, w, dim)`: after each event, Σ w_j · decay^age(j) · a_j."""
        width = tf.shape(user_batch.items)[1]
        ages = tf.cast(tf.range(width)[:, None] - tf.range(width)[None, :], tf.float32)
        weights = tf.where(ages >= 0, tf.pow(decay, tf.maximum(ages, 0.0)), 0.0)
        return tf.einsum(
            "kj,bjd->bkd", weights, user_batch.weights[..., None] * tf.gather(self.tables[name], user_batch.items)
        )

    def save_own_variables(self, store: Any) -> None:
        """Write every weight under its own name."""
        for name, variable in self.tables.items():
            store[name] = np.asarray(variable.numpy(), order="C")  # ascontiguousarray would make a scalar (1,)

    def load_own_variables(self, store: Mapping[str, Any]) -> None:
        """Read every weight by its own name."""
        for name, variable in self.tables.items():
            variable.assign(store[name][()])

    def assign_arrays(self, arrays: Arrays) -> None:
        """Set every weight."""
        for name, variable in self.tables.items():
            variable.assign(arrays[name])

    def arrays(self) -> dict[str, NDArray]:
        """Return every weight as a NumPy array."""
        return {name: variable.numpy() for name, variable in self.tables.items()}

    def sizes(self) -> list[int]:
        """Return the size of every weight in bytes."""
        return [int(np.prod(variable.shape)) * np.dtype(variable.dtype).itemsize for variable in self.tables.values()]


def gather_states(states: tf.Tensor, before: tf.Tensor) -> tf.Tensor:
    """Return the state after event `before`, `(b, t, d)` out of `(b, w, d)`; zeros where there is no event."""
    if states.shape[1] == 0:  # windows of `pairs`
        return tf.zeros(tf.concat([tf.shape(before), tf.shape(states)[2:]], 0))
    chosen = tf.gather(states, tf.maximum(before, 0), batch_dims=1)
    return tf.where((before >= 0)[..., None], chosen, 0.0)


def dot_scores(user_representation: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Return `(n, c)`: tastes `(n, d)` against factors `(n, c, d)`."""
    return tf.reduce_sum(factors * user_representation[:, None], -1)


def dense(states: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Return `(…, k)`: states `(…, d)` through a kernel `(d, k)`, as one product; `@` would make one for each row of a batch."""
    product = tf.reshape(states, (-1, states.shape[-1])) @ kernel
    return tf.reshape(product, tf.concat([tf.shape(states)[:-1], tf.shape(product)[-1:]], 0))


@tf.custom_gradient
def gather_rows(
    states: tf.Tensor, indices: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, None]]]:
    """Return `(…, d)`: rows of computed states `(n, d)`; the gradient of `tf.gather` itself would take four times as long."""

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, None]:
        return tf.scatter_nd(
            tf.reshape(indices, (-1, 1)), tf.reshape(upstream, (-1, states.shape[-1])), tf.shape(states)
        ), None

    return tf.gather(states, indices), gradient
