"""The loss of the networks: each target against sampled negatives, as sampled softmax or binary cross-entropy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from recsys.features.query import Floats
from recsys.networks.base import Drop, Network, UserBatch, identity
from recsys.settings import Training

NEVER = -1e9  # the logit of a sampled item that is the target itself, so that it counts as no negative


@dataclass(frozen=True)
class Negatives:
    """The distribution that negatives are sampled from.

    Attributes:
        steps: `(n_items,)` float32, the cumulative distribution, ascending to 1; None samples uniformly.
        correction: `(n_items,)` float32, the log of each item's probability over the uniform one. Training subtracts
            it from the logits, so that the result does not depend on the distribution (Bengio & Senécal 2003).
        n_items: The number of items.
    """

    steps: Floats | None
    correction: Floats | None
    n_items: int

    @classmethod
    def of(cls, popularity: Floats, options: Training) -> Negatives:
        """Return the distribution proportional to popularity^power.

        Args:
            popularity: `(n_items,)` float32.
            options: Holds the power; 0 is uniform.
        """
        if not options.negative_power:
            return cls(None, None, len(popularity))
        mass = np.maximum(popularity.astype(np.float64), 1e-3) ** options.negative_power
        mass /= mass.sum()
        return cls(np.cumsum(mass).astype(np.float32), np.log(mass * len(mass)).astype(np.float32), len(mass))

    def sample(self, random: tf.random.Generator, shape: tf.Tensor) -> tf.Tensor:
        """Return sampled item indices of a shape, int32."""
        if self.steps is None:
            return random.uniform(shape, 0, self.n_items, tf.int32)
        drawn = tf.searchsorted(tf.constant(self.steps), tf.reshape(random.uniform(shape), (-1,)))
        return tf.reshape(tf.minimum(drawn, self.n_items - 1), shape)

    def shared(self, random: tf.random.Generator, n: int) -> tuple[Negatives, tf.Tensor]:
        """Return the items that all targets of a batch are compared with, `(1, k)` int32, and their distribution.

        A catalogue of at most `n` items is taken whole, which costs less and leaves nothing to correct.
        """
        if self.n_items <= n:
            return replace(self, steps=None, correction=None), tf.range(self.n_items)[None]
        return self, self.sample(random, tf.constant([n]))[None]

    def corrected(self, logits: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """Return logits minus the correction of their items."""
        return logits if self.correction is None else logits - tf.gather(tf.constant(self.correction), items)


class Uniform:
    """Takes the place of a network that gives every item the same score: its loss is that of a uniform guess."""

    def __init__(self, per_example_negatives: bool) -> None:
        self.per_example_negatives = per_example_negatives

    def encode(self, user_batch: UserBatch, dropout: Drop = identity) -> Sequence[tf.Tensor]:
        """Return a state without content, `(b, t, 1)`."""
        return [tf.zeros((*user_batch.user_known.shape, 1))]

    def score(self, state: Sequence[tf.Tensor], items: tf.Tensor) -> tf.Tensor:
        """Return zeros `(n, c)`; see `Network.score`."""
        return tf.zeros((tf.shape(state[0])[0], tf.shape(items)[-1]))


def loss_of(
    network: Network | Uniform,
    user_batch: UserBatch,
    targets: tf.Tensor,
    confidences: tf.Tensor,
    negatives: Negatives,
    options: Training,
    random: tf.random.Generator,
) -> tf.Tensor:
    """Return the mean loss of a batch, weighted by the targets' confidence, a scalar.

    Args:
        network: The network to train.
        user_batch: Users, events and contexts.
        targets: `(b, t)` int32, the items to predict.
        confidences: `(b, t)` float32, -1 to 1; 0 is padding.
        negatives: The distribution of sampled items.
        options: Holds the loss, the dropout and the numbers of negatives.
        random: Source of randomness.
    """
    valid = confidences != 0.0 if options.loss == "bce" else confidences > 0.0  # softmax cannot use negative events
    state = [tf.boolean_mask(part, valid) for part in network.encode(user_batch, dropout(options.dropout, random))]
    target, confidence = tf.boolean_mask(targets, valid)[:, None], tf.boolean_mask(confidences, valid)
    n = tf.shape(target)[0]
    if network.per_example_negatives:
        sampled = negatives.sample(random, tf.stack([n, options.negatives]))
        logits = network.score(state, tf.concat([target, sampled], 1))  # in one call, so that embeddings are read once
        positive, negative = logits[:, :1], logits[:, 1:]
    else:
        positive = network.score(state, target)
        negatives, sampled = negatives.shared(random, options.shared_negatives)
        negative = network.score(state, sampled[0])
    positive = negatives.corrected(positive, target)
    negative = tf.where(sampled == target, NEVER, negatives.corrected(negative, sampled))
    losses = _bce(positive, negative, confidence) if options.loss == "bce" else _softmax(positive, negative)
    return tf.math.divide_no_nan(tf.reduce_sum(losses * tf.abs(confidence)), tf.reduce_sum(tf.abs(confidence)))


def dropout(rate: float, random: tf.random.Generator) -> Drop:
    """Return a function that sets a share of activations to 0 and scales the others to the same mean.

    Args:
        rate: The share, 0 to below 1.
        random: Source of randomness.
    """
    if not rate:
        return identity

    def apply(activations: tf.Tensor) -> tf.Tensor:
        mask = tf.cast(random.uniform(tf.shape(activations)) >= rate, tf.float32)
        return activations * mask * (1 / (1 - rate))

    return apply


def _softmax(positive: tf.Tensor, negative: tf.Tensor) -> tf.Tensor:
    """Return the cross-entropy of a softmax over the target and the sampled items, `(n,)`."""
    return tf.nn.softplus(tf.reduce_logsumexp(negative, 1) - positive[:, 0])


def _bce(positive: tf.Tensor, negative: tf.Tensor, confidence: tf.Tensor) -> tf.Tensor:
    """Return the binary cross-entropy of each target and its sampled items, `(n,)`.

    The label of a target is 1, or 0 if its confidence is negative; then no sampled items count. The label of sampled
    items is 0, and their mean is added.
    """
    liked = tf.cast(confidence > 0, tf.float32)
    target = tf.nn.sigmoid_cross_entropy_with_logits(labels=liked, logits=positive[:, 0])
    return target + liked * tf.reduce_mean(tf.nn.softplus(negative), 1)
