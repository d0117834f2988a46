"""BMF in Keras: z = b + b_u + b_i + s_u·q_i."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from recsys.networks.base import Drop, Network, UserBatch, dot_scores, identity


class BMF(Network):
    """Biased matrix factorisation with pooled histories; `recsys.scorers.bmf` serves it."""

    pairwise = False

    def add_weights(self) -> None:
        """Add biases."""
        self.add_embedding("user_bias", (self.shapes.n_users,), 0.0)
        self.add_embedding("item_bias", (self.shapes.n_items,), 0.0)
        self.add_embedding("bias", (), 0.0)

    def encode(self, user_batch: UserBatch, dropout: Drop = identity) -> Sequence[tf.Tensor]:
        """Return the taste and the user's bias."""
        return dropout(self.user_representation(user_batch)), self.own_embedding("user_bias", user_batch)[..., None]

    def score(self, state: Sequence[tf.Tensor], items: tf.Tensor) -> tf.Tensor:
        """Return logits `(n, c)`."""
        user_representation, user_bias = state
        bias = self.tables["bias"] + user_bias + tf.gather(self.tables["item_bias"], items)
        return dot_scores(user_representation, tf.gather(self.tables["item_factors"], items)) + bias

    def score_shared_candidates(self, state: Sequence[tf.Tensor], items: tf.Tensor) -> tf.Tensor:
        """Return logits `(n, c)` against shared candidates `(c,)`."""
        user_representation, user_bias = state
        bias = self.tables["bias"] + user_bias + tf.gather(self.tables["item_bias"], items)
        return tf.matmul(user_representation, tf.gather(self.tables["item_factors"], items), transpose_b=True) + bias
