"""LNCM, latent neural context model: z = (g·s_u + (1−g)·c_u)·q_i + b_i, g = σ(α); c_u is read from the order of the last items."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from recsys.scorers.base import Arrays, Query
from recsys.scorers.taste import Taste

BLOCKS = 2
EPSILON = 1e-6


@dataclass(frozen=True)
class SequenceEncoder:
    """Two blocks of causal attention (after Kang & McAuley 2018); the last position is the latent context c_u.

    Attributes:
        item_factors: `(n_items, dim)` float32, q: what is read is what is ranked.
        strength: `(dim,)` float32, the direction in which an event's confidence moves its embedding.
        age_bias: `(2, window)` float32, what an item's age adds to its attention; its length bounds how far a block sees.
        attention_query: `(2, dim, dim)` float32, as are the other kernels.
        attention_key: Kernels of the keys.
        attention_value: Kernels of the values.
        attention_out: Kernels after the attention.
        gains: `(2, 2, dim)` float32, of each block's layer norms: before attention, before the feed-forward part.
        feed_in: Kernels of the feed-forward part's hidden layer.
        feed_in_bias: `(2, dim)` float32.
        feed_out: Kernels of its output.
        feed_out_bias: `(2, dim)` float32.
        last_gain: `(dim,)` float32, of the layer norm at the end.
    """

    item_factors: NDArray[np.float32]
    strength: NDArray[np.float32]
    age_bias: NDArray[np.float32]
    attention_query: NDArray[np.float32]
    attention_key: NDArray[np.float32]
    attention_value: NDArray[np.float32]
    attention_out: NDArray[np.float32]
    gains: NDArray[np.float32]
    feed_in: NDArray[np.float32]
    feed_in_bias: NDArray[np.float32]
    feed_out: NDArray[np.float32]
    feed_out_bias: NDArray[np.float32]
    last_gain: NDArray[np.float32]

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> SequenceEncoder:
        """Take the encoder out of a version's arrays."""
        return cls(*(arrays[field.name] for field in fields(cls)))

    def encode(self, query: Query) -> NDArray[np.float32]:
        """Return c_u `(dim,)` float32; zeros for an empty history."""
        window, dim = self.age_bias.shape[1], self.item_factors.shape[1]
        items, weights = query.items[-BLOCKS * window :], query.weights[-BLOCKS * window :]
        if not len(items):
            return np.zeros(dim, np.float32)
        h = self.item_factors[items] * np.float32(np.sqrt(dim)) + weights[:, None] * self.strength
        there = weights != 0
        for block in range(BLOCKS):
            newest = slice(-1, None) if block == BLOCKS - 1 else slice(-window, None)  # nothing else is asked for
            h = self._block(block, h, there, newest)
        latent: NDArray[np.float32] = _norm(h, self.last_gain)[-1]
        return latent

    def _block(self, block: int, h: NDArray[np.float32], there: NDArray[np.bool_], asked: slice) -> NDArray[np.float32]:
        """Return the states of the positions asked for, `(k, dim)`, after a block."""
        window, dim = self.age_bias.shape[1], h.shape[1]
        positions = np.arange(len(h))
        ages = positions[asked, None] - positions
        queries = _norm(h[asked], self.gains[block, 0]) @ self.attention_query[block]
        attention = queries @ (h @ self.attention_key[block]).T / np.float32(np.sqrt(dim))
        seen = (ages >= 0) & (ages < window) & there[-len(h) :]
        attention = np.where(seen, attention + self.age_bias[block, np.clip(ages, 0, window - 1)], np.float32(-1e9))
        attention = np.exp(attention - attention.max(1, keepdims=True))
        attention /= attention.sum(1, keepdims=True)
        out = h[asked] + attention @ (h @ self.attention_value[block]) @ self.attention_out[block]
        feed = np.maximum(_norm(out, self.gains[block, 1]) @ self.feed_in[block] + self.feed_in_bias[block], 0)
        result: NDArray[np.float32] = out + feed @ self.feed_out[block] + self.feed_out_bias[block]
        return result


@dataclass(frozen=True)
class LNCM:
    """The taste and the latent context, weighed by a learned gate, against the factors of the item.

    Attributes:
        taste: The user side of the linear path.
        sequence: The encoder of the latent context.
        item_bias: `(n_items,)` float32.
        gate: Scalar float32, α.
    """

    taste: Taste
    sequence: SequenceEncoder
    item_bias: NDArray[np.float32]
    gate: NDArray[np.float32]

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> LNCM:
        """Build the scorer from a version's arrays."""
        taste, sequence = Taste.from_arrays(arrays), SequenceEncoder.from_arrays(arrays)
        return cls(taste, sequence, arrays["item_bias"], arrays["gate"])

    @property
    def n_items(self) -> int:
        """The number of items."""
        return len(self.item_bias)

    def score(self, query: Query, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        """Return logits; see `Scorer.score`."""
        which = slice(None) if items is None else items
        gate = np.float32(1 / (1 + np.exp(-self.gate)))
        mixed = gate * self.taste.of(query) + (1 - gate) * self.sequence.encode(query)
        scores: NDArray[np.float32] = self.sequence.item_factors[which] @ mixed + self.item_bias[which]
        return scores


def _norm(x: NDArray[np.float32], gain: NDArray[np.float32]) -> NDArray[np.float32]:
    """Layer norm over the last axis; sums, because NumPy's means take three times as long on few numbers."""
    share = np.float32(1 / x.shape[-1])
    centred = x - np.add.reduce(x, -1, keepdims=True) * share
    variance = np.add.reduce(centred * centred, -1, keepdims=True) * share
    normed: NDArray[np.float32] = centred / np.sqrt(variance + np.float32(EPSILON)) * gain
    return normed
