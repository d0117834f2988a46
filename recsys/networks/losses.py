"""What the networks are trained on: every target against sampled items, as a softmax or one by one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys.networks.base import Drop, Network, UserBatch, identity
from recsys.settings import Training

NEVER = -1e9  # the logit of a sampled item that is the target itself


@dataclass(frozen=True)
class Negatives:
    """How items are sampled against the targets.

    Attributes:
        steps: `(n_items,)` float32 ascending to 1, the cumulative distribution; None samples uniformly.
        correction: `(n_items,)` float32, the log of each item's probability against the uniform one; taken off the
            logits in training, so that what is learned does not depend on the distribution (Bengio & Senécal 2003).
        n_items: The number of items.
    """

    steps: NDArray[np.float32] | None
    correction: NDArray[np.float32] | None
    n_items: int

    @classmethod
    def of(cls, popularity: NDArray[np.float32], options: Training) -> Negatives:
        """Return the distribution popularity^power.

        Args:
            popularity: `(n_items,)` float32.
            options: Holds the power; 0 is uniform, 1 proportional.
        """
        if not options.negative_power:
            return cls(None, None, len(popularity))
        mass = np.maximum(popularity.astype(np.float64), 1e-3) ** options.negative_power
        mass /= mass.sum()
        return cls(np.cumsum(mass).astype(np.float32), np.log(mass * len(mass)).astype(np.float32), len(mass))

    def sample(self, random: tf.random.Generator, shape: tf.Tensor) -> tf.Tensor:
        """Return item indices, int32."""
        if self.steps is None:
            return random.uniform(shape, 0, self.n_items, tf.int32)
        drawn = tf.searchsorted(tf.constant(self.steps), tf.reshape(random.uniform(shape), (-1,)))
        return tf.reshape(tf.minimum(drawn, self.n_items - 1), shape)

    def corrected(self, logits: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """Return logits without the advantage of being sampled often."""
        return logits if self.correction is None else logits - tf.gather(tf.constant(self.correction), items)


def loss_of(
    network: Network,
    user_batch: UserBatch,
    targets: tf.Tensor,
    confidences: tf.Tensor,
    negatives: Negatives,
    options: Training,
    random: tf.random.Generator,
) -> tf.Tensor:
    """Return the mean loss of a batch, each target weighed by its confidence.

    Args:
        network: Training it.
        user_batch: The customers.
        targets: `(b, t)` int32.
        confidences: `(b, t)` float32, signed; 0 is padding.
        negatives: Where sampled items come from.
        options: Names the loss and the numbers of samples.
        random: Source of randomness.
    """
    valid = confidences != 0.0 if options.loss == "bce" else confidences > 0.0  # a softmax has no use for dislikes
    state = [tf.boolean_mask(part, valid) for part in network.encode(user_batch, dropout(options.dropout, random))]
    target, confidence = tf.boolean_mask(targets, valid)[:, None], tf.boolean_mask(confidences, valid)
    n = tf.shape(target)[0]
    if network.pairwise:
        sampled = negatives.sample(random, tf.stack([n, options.negatives]))
        logits = network.score(state, tf.concat([target, sampled], 1))  # at once: both look the same tables up
        positive, others = logits[:, :1], logits[:, 1:]
    else:
        positive = network.score(state, target)
        sampled = negatives.sample(random, tf.constant([options.shared_negatives]))[None]
        others = network.score_shared_candidates(state, sampled[0])
    positive = negatives.corrected(positive, target)
    others = tf.where(sampled == target, NEVER, negatives.corrected(others, sampled))
    losses = _bce(positive, others, confidence) if options.loss == "bce" else _softmax(positive, others)
    return tf.math.divide_no_nan(tf.reduce_sum(losses * tf.abs(confidence)), tf.reduce_sum(tf.abs(confidence)))


def dropout(rate: float, random: tf.random.Generator) -> Drop:
    """Return a function that zeroes a share of activations and scales the rest."""
    if not rate:
        return identity

    def drop(activations: tf.Tensor) -> tf.Tensor:
        kept = tf.cast(random.uniform(tf.shape(activations)) >= rate, tf.float32)
        return activations * kept * (1 / (1 - rate))

    return drop


def _softmax(positive: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """Return `(n,)`: cross-entropy of the target among itself and the sampled items."""
    return tf.nn.softplus(tf.reduce_logsumexp(others, 1) - positive[:, 0])


def _bce(positive: tf.Tensor, others: tf.Tensor, confidence: tf.Tensor) -> tf.Tensor:
    """Return `(n,)`: the target as 1, or as 0 where it was disliked, and the mean of the sampled items as 0."""
    liked = tf.cast(confidence > 0, tf.float32)
    target = tf.nn.sigmoid_cross_entropy_with_logits(labels=liked, logits=positive[:, 0])
    return target + liked * tf.reduce_mean(tf.nn.softplus(others), 1)
