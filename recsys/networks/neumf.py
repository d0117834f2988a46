"""NeuMF in Keras: z = b + b_i + h·[s_u ⊙ q_i ; MLP(m_u ‖ m_i)]."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from recsys.networks.base import HIDDEN, ITEMS, USERS, Drop, Network, UserBatch, dense, dot_scores, identity


class NeuMF(Network):
    """Neural matrix factorisation with pooled histories; `recsys.scorers.neumf` serves its weights."""

    def add_weights(self) -> None:
        """Add the output weights of the dot product, the MLP with embeddings of its own, and the biases."""
        dim = self.shapes.dim
        self.add_embedding("dot_output", (dim,), 0.0, centre=1.0)
        self.add_embedding("mlp_users", (self.shapes.n_users, dim), 0.1, row_kind=USERS)
        self.add_embedding("mlp_items", (self.shapes.n_items, dim), 0.1, row_kind=ITEMS)
        self.add_mlp(2 * dim, HIDDEN)
        self.add_embedding("item_bias", (self.shapes.n_items,), 0.0, row_kind=ITEMS)
        self.add_embedding("bias", (), 0.0)

    def encode(self, user_batch: UserBatch, dropout: Drop = identity) -> Sequence[tf.Tensor]:
        """Return the weighted user representation and the user's part of the MLP's first layer."""
        users = dense(self.user_embedding("mlp_users", user_batch), self.tables["mlp_kernel_0"][: self.shapes.dim])
        return dropout(self.user_representation(user_batch) * self.tables["dot_output"]), users

    def score(self, state: Sequence[tf.Tensor], items: tf.Tensor) -> tf.Tensor:
        """Return the logits `(n, c)` of candidate items; see `Network.score`."""
        user_representation, users = state
        first = users[:, None] + self.first_layer("mlp_items", self.tables["mlp_kernel_0"][self.shapes.dim :], items)
        bias = self.embedding_rows("item_bias", items) + self.tables["bias"]
        return dot_scores(user_representation, self.embedding_rows("item_factors", items)) + self.tower(first) + bias
