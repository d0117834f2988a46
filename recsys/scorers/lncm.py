"""LNCM, latent neural context model: z = g·(s_u·q_i + b_i) + (1−g)·(c_u·q_i + MLP(c_u ‖ q_i)), g = σ(α)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.scorers.base import Arrays, Query
from recsys.scorers.history import add_own_counts
from recsys.scorers.neumf import tower_weights
from recsys.scorers.taste import Taste
from recsys.scorers.tower import tower

EPSILON = 1e-6


@dataclass(frozen=True)
class SequenceEncoder:
    """One causal-attention block over the last items of a history; its last position is the latent context c_u.

    Attributes:
        sequence_items: `(n_items, dim)` float32, the block's own item embeddings.
        strength: `(dim,)` float32, the direction in which an event's confidence moves its embedding.
        age_bias: `(window,)` float32, what an item's age adds to its attention; its length bounds the history.
        query: `(dim, dim)` float32, as are `key`, `value` and `out`.
        key: Kernel of the keys.
        value: Kernel of the values.
        out: Kernel after the attention.
        gains: `(3, dim)` float32, gains of the three layer norms: before attention, before the feed-forward part, at the end.
        feed_in: `(dim, dim)` float32 kernel of the feed-forward part's hidden layer.
        feed_in_bias: `(dim,)` float32.
        feed_out: `(dim, dim)` float32.
        feed_out_bias: `(dim,)` float32.
    """

    sequence_items: NDArray[np.float32]
    strength: NDArray[np.float32]
    age_bias: NDArray[np.float32]
    query: NDArray[np.float32]
    key: NDArray[np.float32]
    value: NDArray[np.float32]
    out: NDArray[np.float32]
    gains: NDArray[np.float32]
    feed_in: NDArray[np.float32]
    feed_in_bias: NDArray[np.float32]
    feed_out: NDArray[np.float32]
    feed_out_bias: NDArray[np.float32]

    NAMES = (
        "sequence_items",
        "strength",
        "age_bias",
        "attention_query",
        "attention_key",
        "attention_value",
        "attention_out",
        "gains",
        "feed_in",
        "feed_in_bias",
        "feed_out",
        "feed_out_bias",
    )

    def encode(self, query: Query) -> NDArray[np.float32]:
        """Return c_u `(dim,)` float32; zeros for an empty history."""
        window, dim = len(self.age_bias), self.sequence_items.shape[1]
        items, weights = query.items[-window:], query.weights[-window:]
        if not len(items):
            return np.zeros(dim, np.float32)
        x = self.sequence_items[items] + weights[:, None] * self.strength
        newest = x[-1]
        attention = x @ (self.key @ (_norm(newest, self.gains[0]) @ self.query)) / np.float32(np.sqrt(dim))
        attention += self.age_bias[len(items) - 1 :: -1]
        attention = np.exp(attention - attention.max())
        h = newest + (attention / attention.sum()) @ x @ self.value @ self.out
        feed = np.maximum(_norm(h, self.gains[1]) @ self.feed_in + self.feed_in_bias, 0)
        return _norm(h + feed @ self.feed_out + self.feed_out_bias, self.gains[2])


@dataclass(frozen=True)
class LNCM:
    """A linear path and a latent neural path, combined by a learned gate.

    Attributes:
        taste: The user side of the linear path.
        sequence: The encoder of the latent context.
        item_factors: `(n_items, dim)` float32, q.
        item_bias: `(n_items,)` float32.
        kernels: Of the tower; the first is `(2·dim, 64)`, context above items.
        biases: Of the tower.
        mlp_output: `(last hidden,)` float32.
        gate: Scalar float32, α.
        own_weights: `(2, 2)` float32, see `add_own_counts`.
        item_layer: `(n_items, 64)` float32, the items' half of the first layer.
    """

    taste: Taste
    sequence: SequenceEncoder
    item_factors: NDArray[np.float32]
    item_bias: NDArray[np.float32]
    kernels: tuple[NDArray[np.float32], ...]
    biases: tuple[NDArray[np.float32], ...]
    mlp_output: NDArray[np.float32]
    gate: NDArray[np.float32]
    own_weights: NDArray[np.float32]
    item_layer: NDArray[np.float32]

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> LNCM:
        """Build the scorer from a version's arrays."""
        kernels, biases = tower_weights(arrays)
        return cls(
            Taste.from_arrays(arrays),
            SequenceEncoder(*(arrays[name] for name in SequenceEncoder.NAMES)),
            arrays["item_factors"],
            arrays["item_bias"],
            kernels,
            biases,
            arrays["mlp_output"],
            arrays["gate"],
            arrays["own_weights"],
            arrays["item_layer"] if "item_layer" in arrays else cls.derive(arrays)["item_layer"],
        )

    @staticmethod
    def derive(arrays: Arrays) -> Arrays:
        """Return what is computed once a version: the items' half of the tower's first layer."""
        return {"item_layer": arrays["item_factors"] @ arrays["mlp_kernel_0"][arrays["item_factors"].shape[1] :]}

    @property
    def n_items(self) -> int:
        """The number of items."""
        return len(self.item_factors)

    def score(self, query: Query, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        """Return logits; see `Scorer.score`."""
        which = slice(None) if items is None else items
        dim = self.item_factors.shape[1]
        linear = np.float32(1 / (1 + np.exp(-self.gate)))
        latent = self.sequence.encode(query)
        customer = latent @ self.kernels[0][:dim] + self.biases[0]
        layers = tuple(zip(self.kernels[1:], self.biases[1:], strict=True))
        scores = self.item_factors[which] @ (linear * self.taste.of(query) + (1 - linear) * latent) + linear * self.item_bias[which]
        scores += (1 - linear) * tower(self.item_layer, customer, layers, self.mlp_output, items)
        return add_own_counts(scores, query, self.own_weights, items)


def _norm(x: NDArray[np.float32], gain: NDArray[np.float32]) -> NDArray[np.float32]:
    """Layer norm of one vector."""
    centred = x - x.mean()
    normed: NDArray[np.float32] = centred / np.sqrt((centred * centred).mean() + np.float32(EPSILON)) * gain
    return normed
