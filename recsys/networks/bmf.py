"""BMF in Keras: z = b + b_u + b_i + s_u·q_i."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from recsys.networks.base import ITEMS, USERS, Drop, Network, UserBatch, dot_scores, identity


class BMF(Network):
    """Biased matrix factorisation with pooled histories; `recsys.scorers.bmf` serves its weights."""

    per_example_negatives = False

    def add_weights(self) -> None:
        """Add the biases of users and items, and the global one."""
        self.add_embedding("user_bias", (self.shapes.n_users,), 0.0, row_kind=USERS)
        self.add_embedding("item_bias", (self.shapes.n_items,), 0.0, row_kind=ITEMS)
        self.add_embedding("bias", (), 0.0)

    def encode(self, user_batch: UserBatch, dropout: Drop = identity) -> Sequence[tf.Tensor]:
        """Return the user representation `(b, t, dim)` and the user's bias `(b, t, 1)`."""
        return dropout(self.user_representation(user_batch)), self.user_embedding("user_bias", user_batch)[..., None]

    def score(self, state: Sequence[tf.Tensor], items: tf.Tensor) -> tf.Tensor:
        """Return the logits `(n, c)` of candidate items; see `Network.score`."""
        user_representation, user_bias = state
        bias = self.tables["bias"] + user_bias + self.embedding_rows("item_bias", items)
        return dot_scores(user_representation, self.embedding_rows("item_factors", items)) + bias
