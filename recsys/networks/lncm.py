"""LNCM in Keras: z = (g·s_u + (1−g)·c_u)·q_i + b_i, c_u from causal attention over the last items."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from recsys.networks.base import Drop, Network, Past, at, dot, keep, times
from recsys.scorers.lncm import BLOCKS, EPSILON

NEVER = -1e9  # what attention adds to an event out of reach


class LNCM(Network):
    """The latent neural context model; `recsys.scorers.lncm` serves it."""

    pairwise = False

    def grow(self) -> None:
        """Add the gate and the attention blocks."""
        dim = self.shapes.dim
        self.table("item_bias", (self.shapes.n_items,), 0.0)
        self.table("gate", (), 0.0, centre=-2.0)
        self.table("strength", (dim,), 0.1)
        self.table("age_bias", (BLOCKS, self.shapes.window), 0.0)
        for name in ("attention_query", "attention_key", "attention_value", "attention_out", "feed_in", "feed_out"):
            self.table(name, (BLOCKS, dim, dim), dim**-0.5)
        self.table("feed_in_bias", (BLOCKS, dim), 0.0)
        self.table("feed_out_bias", (BLOCKS, dim), 0.0)
        self.table("gains", (BLOCKS, 2, dim), 0.0, centre=1.0)
        self.table("last_gain", (dim,), 0.0, centre=1.0)

    def encode(self, past: Past, drop: Drop = keep) -> Sequence[tf.Tensor]:
        """Return the gated sum of taste and latent context."""
        gate = tf.sigmoid(self.tables["gate"])
        return [gate * self.taste(past) + (1 - gate) * at(self._latent(past, drop), past.before)]

    def match(self, state: Sequence[tf.Tensor], items: tf.Tensor) -> tf.Tensor:
        """Return logits `(n, c)`."""
        return dot(state[0], tf.gather(self.tables["item_factors"], items)) + tf.gather(self.tables["item_bias"], items)

    def against(self, state: Sequence[tf.Tensor], items: tf.Tensor) -> tf.Tensor:
        """Return logits `(n, c)` against shared candidates `(c,)`."""
        products = tf.matmul(state[0], tf.gather(self.tables["item_factors"], items), transpose_b=True)
        return products + tf.gather(self.tables["item_bias"], items)

    def _latent(self, past: Past, drop: Drop) -> tf.Tensor:
        """Return `(b, w, dim)`: the latent context after each event."""
        tables = self.tables
        h = drop(tf.gather(tables["item_factors"], past.items) * self.shapes.dim**0.5 + past.weights[..., None] * tables["strength"])
        there = tf.where(past.weights == 0.0, NEVER, 0.0)[:, None, :]
        for block in range(BLOCKS):
            gains = tables["gains"][block]
            query = times(_norm(h, gains[0]) * self.shapes.dim**-0.5, tables["attention_query"][block])
            attention = tf.matmul(query, times(h, tables["attention_key"][block]), transpose_b=True) + (self._reach(past, block) + there)
            seen = tf.nn.softmax(attention) @ times(h, tables["attention_value"][block])
            h += drop(times(seen, tables["attention_out"][block]))
            feed = tf.nn.relu(times(_norm(h, gains[1]), tables["feed_in"][block]) + tables["feed_in_bias"][block])
            h += drop(times(feed, tables["feed_out"][block]) + tables["feed_out_bias"][block])
        return _norm(h, tables["last_gain"])

    def _reach(self, past: Past, block: int) -> tf.Tensor:
        """Return `(w, w)`: the bias of each age; the future and what is older than the window out of reach."""
        width, window = tf.shape(past.items)[1], self.shapes.window
        ages = tf.range(width)[:, None] - tf.range(width)[None, :]
        bias = tf.gather(self.tables["age_bias"][block], tf.clip_by_value(ages, 0, window - 1))
        return tf.where((ages >= 0) & (ages < window), bias, NEVER)


def _norm(x: tf.Tensor, gain: tf.Tensor) -> tf.Tensor:
    """Layer norm over the last axis."""
    mean, variance = tf.nn.moments(x, -1, keepdims=True)
    return (x - mean) * tf.math.rsqrt(variance + EPSILON) * gain
