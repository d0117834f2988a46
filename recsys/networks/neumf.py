"""NeuMF in Keras: z = b + b_i + h·[s_u ⊙ q_i ; MLP(m_u ‖ m_i)]."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from recsys.networks.base import HIDDEN, Drop, Network, Past, dot, keep, times


class NeuMF(Network):
    """Neural matrix factorisation with pooled histories; `recsys.scorers.neumf` serves it."""

    def grow(self) -> None:
        """Add the output weights of the dot product and a tower over embeddings of its own."""
        dim = self.shapes.dim
        self.table("dot_output", (dim,), 0.0, centre=1.0)
        self.table("mlp_users", (self.shapes.n_users, dim), 0.1)
        self.table("mlp_items", (self.shapes.n_items, dim), 0.1)
        self.grow_tower(2 * dim, HIDDEN)
        self.table("item_bias", (self.shapes.n_items,), 0.0)
        self.table("bias", (), 0.0)

    def encode(self, past: Past, drop: Drop = keep) -> Sequence[tf.Tensor]:
        """Return the weighed taste and the user's half of the tower's first layer."""
        users = times(self.own_embedding("mlp_users", past), self.tables["mlp_kernel_0"][: self.shapes.dim])
        return drop(self.taste(past) * self.tables["dot_output"]), users

    def match(self, state: Sequence[tf.Tensor], items: tf.Tensor) -> tf.Tensor:
        """Return logits `(n, c)`."""
        taste, users = state
        first = users[:, None] + self.first_layer("mlp_items", self.tables["mlp_kernel_0"][self.shapes.dim :], items)
        bias = tf.gather(self.tables["item_bias"], items) + self.tables["bias"]
        return dot(taste, tf.gather(self.tables["item_factors"], items)) + self.tower(first) + bias
