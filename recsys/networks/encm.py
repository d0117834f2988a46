"""ENCM in Keras: z = (s_u + Σ_k c_k)·q_i + Σ_k b_{c_k} + b_i + MLP(s_u ‖ q_i ‖ c_1 … c_m)."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from recsys.networks.base import Drop, Network, Past, dot, keep, times

HIDDEN = (64, 32)


class ENCM(Network):
    """The explicit neural context model; `recsys.scorers.encm` serves it."""

    def grow(self) -> None:
        """Add a table and a bias for each context feature, and the tower."""
        dim, sizes = self.shapes.dim, self.shapes.context_sizes
        self.table("item_bias", (self.shapes.n_items,), 0.0)
        for n, size in enumerate(sizes):
            self.table(f"context_factors_{n}", (size, dim), 0.01)
            self.table(f"context_bias_{n}", (size,), 0.0)
        self.grow_tower((2 + len(sizes)) * dim, HIDDEN)

    def encode(self, past: Past, drop: Drop = keep) -> Sequence[tf.Tensor]:
        """Return the shifted taste, the context's bias and the customer's part of the tower's first layer."""
        dim, n_features = self.shapes.dim, len(self.shapes.context_sizes)
        taste, kernel = drop(self.taste(past)), self.tables["mlp_kernel_0"]
        contexts = [tf.gather(self.tables[f"context_factors_{n}"], past.contexts[..., n]) for n in range(n_features)]
        biases = [tf.gather(self.tables[f"context_bias_{n}"], past.contexts[..., n]) for n in range(n_features)]
        customer = times(taste, kernel[:dim]) + times(tf.concat(contexts, -1), kernel[2 * dim :])
        return taste + tf.add_n(contexts), tf.add_n(biases)[..., None], customer

    def match(self, state: Sequence[tf.Tensor], items: tf.Tensor) -> tf.Tensor:
        """Return logits `(n, c)`."""
        taste, context_bias, customer = state
        factors, dim = tf.gather(self.tables["item_factors"], items), self.shapes.dim
        first = customer[:, None] + self.first_layer("item_factors", self.tables["mlp_kernel_0"][dim : 2 * dim], items)
        return dot(taste, factors) + context_bias + tf.gather(self.tables["item_bias"], items) + self.tower(first)
