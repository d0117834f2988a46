"""BMF in Keras: z = b + b_u + b_i + s_u·q_i."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from recsys.networks.base import Drop, Network, Past, dot, keep


class BMF(Network):
    """Biased matrix factorisation with pooled histories; `recsys.scorers.bmf` serves it."""

    pairwise = False

    def grow(self) -> None:
        """Add biases."""
        self.table("user_bias", (self.shapes.n_users,), 0.0)
        self.table("item_bias", (self.shapes.n_items,), 0.0)
        self.table("bias", (), 0.0)

    def encode(self, past: Past, drop: Drop = keep) -> Sequence[tf.Tensor]:
        """Return the taste and the user's bias."""
        return drop(self.taste(past)), self.own_embedding("user_bias", past)[..., None]

    def match(self, state: Sequence[tf.Tensor], items: tf.Tensor) -> tf.Tensor:
        """Return logits `(n, c)`."""
        taste, user_bias = state
        bias = self.tables["bias"] + user_bias + tf.gather(self.tables["item_bias"], items)
        return dot(taste, tf.gather(self.tables["item_factors"], items)) + bias

    def against(self, state: Sequence[tf.Tensor], items: tf.Tensor) -> tf.Tensor:
        """Return logits `(n, c)` against shared candidates `(c,)`."""
        taste, user_bias = state
        bias = self.tables["bias"] + user_bias + tf.gather(self.tables["item_bias"], items)
        return tf.matmul(taste, tf.gather(self.tables["item_factors"], items), transpose_b=True) + bias
