"""LNCM in Keras: z = g·(s_u·q_i + b_i) + (1−g)·(c_u·q_i + MLP(c_u ‖ q_i)), c_u from one causal-attention block."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from recsys.networks.base import Network, Past, at, dot, times
from recsys.scorers.lncm import EPSILON

HIDDEN = (64, 32)


class LNCM(Network):
    """The latent neural context model; `recsys.scorers.lncm` serves it."""

    def grow(self) -> None:
        """Add the gate, the attention block and the tower."""
        dim = self.shapes.dim
        self.table("item_bias", (self.shapes.n_items,), 0.0)
        self.table("gate", (), 0.0)
        self.table("sequence_items", (self.shapes.n_items, dim), 0.1)
        self.table("strength", (dim,), 0.1)
        self.table("age_bias", (self.shapes.window,), 0.0)
        for name in ("attention_query", "attention_key", "attention_value", "attention_out", "feed_in", "feed_out"):
            self.table(name, (dim, dim), dim**-0.5)
        self.table("gains", (3, dim), 0.0, centre=1.0)
        self.table("feed_in_bias", (dim,), 0.0)
        self.table("feed_out_bias", (dim,), 0.0)
        self.grow_tower(2 * dim, HIDDEN)

    def encode(self, past: Past) -> Sequence[tf.Tensor]:
        """Return the gated sum of taste and latent context, and the context's half of the tower's first layer."""
        gate = tf.sigmoid(self.tables["gate"])
        latent = at(self._latent(past), past.before)
        return gate * self.taste(past) + (1 - gate) * latent, times(latent, self.tables["mlp_kernel_0"][: self.shapes.dim])

    def match(self, state: Sequence[tf.Tensor], items: tf.Tensor) -> tf.Tensor:
        """Return logits `(n, c)`."""
        mixed, latent = state
        gate = tf.sigmoid(self.tables["gate"])
        factors = tf.gather(self.tables["item_factors"], items)
        first = latent[:, None] + times(factors, self.tables["mlp_kernel_0"][self.shapes.dim :])
        return dot(mixed, factors) + gate * tf.gather(self.tables["item_bias"], items) + (1 - gate) * self.tower(first)

    def _latent(self, past: Past) -> tf.Tensor:
        """Return `(b, w, dim)`: the latent context after each event."""
        tables, gains = self.tables, self.tables["gains"]
        x = tf.gather(tables["sequence_items"], past.items) + past.weights[..., None] * tables["strength"]
        query = times(_norm(x, gains[0]), tables["attention_query"])
        attention = tf.matmul(query, times(x, tables["attention_key"]), transpose_b=True) * self.shapes.dim**-0.5
        h = x + times(tf.nn.softmax(attention + self._mask(past)) @ times(x, tables["attention_value"]), tables["attention_out"])
        feed = tf.nn.relu(times(_norm(h, gains[1]), tables["feed_in"]) + tables["feed_in_bias"])
        return _norm(h + times(feed, tables["feed_out"]) + tables["feed_out_bias"], gains[2])

    def _mask(self, past: Past) -> tf.Tensor:
        """Return `(b, w, w)`: the bias of each age; the future, padding and what is older than the window out of reach."""
        width, window = tf.shape(past.items)[1], self.shapes.window
        ages = tf.range(width)[:, None] - tf.range(width)[None, :]
        bias = tf.gather(self.tables["age_bias"], tf.clip_by_value(ages, 0, window - 1))
        seen = (ages >= 0) & (ages < window)
        there = (past.weights != 0.0)[:, None, :]
        return tf.where(seen & there, bias, -1e9)


def _norm(x: tf.Tensor, gain: tf.Tensor) -> tf.Tensor:
    """Layer norm over the last axis."""
    mean, variance = tf.nn.moments(x, -1, keepdims=True)
    return (x - mean) * tf.math.rsqrt(variance + EPSILON) * gain
