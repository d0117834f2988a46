"""LNCM in Keras: z = (g·s_u + (1−g)·c_u)·q_i + b_i, with c_u from causal self-attention over the last items."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from recsys.networks.base import ITEMS, Drop, Network, UserBatch, dense, dot_scores, gather_states, identity
from recsys.scorers.lncm import BLOCKS, EPSILON

GATE = 1.0  # before the sigmoid: at the start the user representation, which ALS gives, counts more than the context
NEVER = -1e9  # added to the attention logit of an event that may not be seen


class LNCM(Network):
    """The latent neural context model; `recsys.scorers.lncm` serves its weights."""

    per_example_negatives = False

    def add_weights(self) -> None:
        """Add the item biases, the gate and the attention blocks."""
        dim = self.shapes.dim
        self.add_embedding("item_bias", (self.shapes.n_items,), 0.0, row_kind=ITEMS)
        self.add_embedding("gate", (), 0.0, centre=GATE)
        self.add_embedding("strength", (dim,), 0.1)
        self.add_embedding("age_bias", (BLOCKS, self.shapes.window), 0.0)
        for name in ("attention_query", "attention_key", "attention_value", "attention_out", "feed_in", "feed_out"):
            self.add_embedding(name, (BLOCKS, dim, dim), dim**-0.5)
        self.add_embedding("feed_in_bias", (BLOCKS, dim), 0.0)
        self.add_embedding("feed_out_bias", (BLOCKS, dim), 0.0)
        self.add_embedding("gains", (BLOCKS, 2, dim), 0.0, centre=1.0)
        self.add_embedding("last_gain", (dim,), 0.0, centre=1.0)

    def encode(self, user_batch: UserBatch, dropout: Drop = identity) -> Sequence[tf.Tensor]:
        """Return the gated sum of user representation and latent context, `(b, t, dim)`."""
        gate = tf.sigmoid(self.tables["gate"])
        return [gate * self.user_representation(user_batch) + (1 - gate) * self._latent(user_batch, dropout)]

    def score(self, state: Sequence[tf.Tensor], items: tf.Tensor) -> tf.Tensor:
        """Return the logits `(n, c)` of candidate items; see `Network.score`."""
        products = dot_scores(state[0], self.embedding_rows("item_factors", items))
        return products + self.embedding_rows("item_bias", items)

    def _latent(self, user_batch: UserBatch, dropout: Drop) -> tf.Tensor:
        """Return the latent context c_u that each target sees, `(b, t, dim)`; zeros for targets without history.

        The last block asks only for the events that targets see last, which is half of a window with history.
        """
        tables, seen = self.tables, user_batch.history_end
        if user_batch.items.shape[1] == 0:  # windows without events, see `Windows`
            return tf.zeros((*tf.unstack(tf.shape(seen)), self.shapes.dim))
        embedded = self.embedding_rows("item_factors", user_batch.items) * self.shapes.dim**0.5
        h = dropout(embedded + user_batch.weights[..., None] * tables["strength"])
        padding = tf.where(user_batch.weights == 0.0, NEVER, 0.0)[:, None, :]
        for block in range(BLOCKS):
            key, value = dense(h, tables["attention_key"][block]), dense(h, tables["attention_value"][block])
            reach = self._reach(user_batch, block)
            if block == BLOCKS - 1:
                h, reach = gather_states(h, seen), tf.gather(reach, tf.maximum(seen, 0))
            gains = tables["gains"][block]
            query = dense(_norm(h, gains[0]) * self.shapes.dim**-0.5, tables["attention_query"][block])
            logits = tf.matmul(query, key, transpose_b=True) + (reach + padding)
            h += dropout(dense(tf.nn.softmax(logits) @ value, tables["attention_out"][block]))
            feed = tf.nn.relu(dense(_norm(h, gains[1]), tables["feed_in"][block]) + tables["feed_in_bias"][block])
            h += dropout(dense(feed, tables["feed_out"][block]) + tables["feed_out_bias"][block])
        return tf.where((seen >= 0)[..., None], _norm(h, tables["last_gain"]), 0.0)

    def _reach(self, user_batch: UserBatch, block: int) -> tf.Tensor:
        """Return the bias of each age, `(w, w)`; `NEVER` for later events and those older than the window."""
        width, window = tf.shape(user_batch.items)[1], self.shapes.window
        ages = tf.range(width)[:, None] - tf.range(width)[None, :]
        bias = tf.gather(self.tables["age_bias"][block], tf.clip_by_value(ages, 0, window - 1))
        return tf.where((ages >= 0) & (ages < window), bias, NEVER)


def _norm(x: tf.Tensor, gain: tf.Tensor) -> tf.Tensor:
    """Return the layer norm over the last axis."""
    mean, variance = tf.nn.moments(x, -1, keepdims=True)
    return (x - mean) * tf.math.rsqrt(variance + EPSILON) * gain
