"""ENCM in Keras: z = (s_u + Σ_k c_k)·q_i + Σ_k b_{c_k} + b_i + MLP(s_u ‖ q_i ‖ c_1 … c_m)."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from recsys.networks.base import ITEMS, Drop, Network, UserBatch, dense, dot_scores, identity

HIDDEN = (64, 32)  # widths of the MLP


class ENCM(Network):
    """The explicit neural context model; `recsys.scorers.encm` serves its weights."""

    def add_weights(self) -> None:
        """Add an embedding and a bias for each value of each context feature, and the MLP."""
        dim, sizes = self.shapes.dim, self.shapes.context_sizes
        self.add_embedding("item_bias", (self.shapes.n_items,), 0.0, row_kind=ITEMS)
        for n, size in enumerate(sizes):
            self.add_embedding(f"context_factors_{n}", (size, dim), 0.01, row_kind=n)
            self.add_embedding(f"context_bias_{n}", (size,), 0.0, row_kind=n)
        self.add_mlp((2 + len(sizes)) * dim, HIDDEN)

    def encode(self, user_batch: UserBatch, dropout: Drop = identity) -> Sequence[tf.Tensor]:
        """Return s_u shifted by the context, the context's bias, and the user's part of the MLP's first layer."""
        dim, n_features = self.shapes.dim, len(self.shapes.context_sizes)
        user_representation, kernel = dropout(self.user_representation(user_batch)), self.tables["mlp_kernel_0"]
        values = [user_batch.contexts[..., n] for n in range(n_features)]
        contexts = [self.embedding_rows(f"context_factors_{n}", value) for n, value in enumerate(values)]
        biases = [self.embedding_rows(f"context_bias_{n}", value) for n, value in enumerate(values)]
        user = dense(user_representation, kernel[:dim]) + dense(tf.concat(contexts, -1), kernel[2 * dim :])
        return user_representation + tf.add_n(contexts), tf.add_n(biases)[..., None], user

    def score(self, state: Sequence[tf.Tensor], items: tf.Tensor) -> tf.Tensor:
        """Return the logits `(n, c)` of candidate items; see `Network.score`."""
        user_representation, context_bias, user = state
        factors, dim = self.embedding_rows("item_factors", items), self.shapes.dim
        first = user[:, None] + self.first_layer("item_factors", self.tables["mlp_kernel_0"][dim : 2 * dim], items)
        return (
            dot_scores(user_representation, factors)
            + context_bias
            + self.embedding_rows("item_bias", items)
            + self.tower(first)
        )
