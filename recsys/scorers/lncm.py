"""LNCM, latent neural context model: z = (g·s_u + (1−g)·c_u)·q_i + b_i, with the gate g = σ(α).

The latent context c_u is computed by attention over the order of the last items.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.features.history import events_after
from recsys.features.query import Arrays, Query
from recsys.features.user_vector import UserRepresentation

BLOCKS = 2
EPSILON = 1e-6
SPARE = 8  # states computed beyond the window, for leave-one-out variants that lack up to 8 events


class _FirstBlock(NamedTuple):
    """What the first block computes from a history, for the original query and all its leave-one-out variants.

    Attributes:
        h: `(w, dim)` float32, the embedding of each event before the block.
        is_event: `(w,)` bool, which events have a weight other than 0.
        logits: `(k, w)` float32, the attention of the newest k events to each event, without the bias of age.
        values: `(w, dim)` float32, the values that attention adds up.
        states: `(k, dim)` float32, the newest k events after the block, for the whole history.
    """

    h: NDArray[np.float32]
    is_event: NDArray[np.bool_]
    logits: NDArray[np.float32]
    values: NDArray[np.float32]
    states: NDArray[np.float32]


@dataclass(frozen=True, eq=False)  # equal to itself only, and so hashable: a key of the query's cache
class SequenceEncoder:
    """Two blocks of causal self-attention, after SASRec (Kang & McAuley 2018); the last position gives c_u.

    Arrays of kernels are `(2, dim, dim)` float32, one kernel for each block.

    Attributes:
        item_factors: `(n_items, dim)` float32, q; the same vectors embed the history and are ranked.
        strength: `(dim,)` float32; an event's weight times this vector is added to its embedding.
        age_bias: `(2, window)` float32, added to the attention to an event of each age; older events are not seen.
        attention_query: Kernels of the queries.
        attention_key: Kernels of the keys.
        attention_value: Kernels of the values.
        attention_out: Kernels after the attention.
        gains: `(2, 2, dim)` float32, the gains of two layer norms: before attention and before the feed-forward part.
        feed_in: Kernels of the feed-forward part's hidden layer.
        feed_in_bias: `(2, dim)` float32, the biases of that layer.
        feed_out: Kernels of the feed-forward part's output.
        feed_out_bias: `(2, dim)` float32, the biases of that output.
        last_gain: `(dim,)` float32, the gain of the layer norm at the end.
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
        """Build the encoder from a version's arrays."""
        return cls(*(arrays[field.name] for field in fields(cls)))

    @cached_property
    def _query_key(self) -> NDArray[np.float32]:
        """The product of gain, query kernel, key kernel and scale for each block, `(2, dim, dim)`."""
        scale = np.float32(self.item_factors.shape[1] ** -0.5)
        return self.gains[:, 0, :, None] * (self.attention_query @ self.attention_key.swapaxes(1, 2)) * scale

    @cached_property
    def _value_out(self) -> NDArray[np.float32]:
        """The product of value kernel and output kernel for each block, `(2, dim, dim)`."""
        return self.attention_value @ self.attention_out

    @cached_property
    def _gain_feed_in(self) -> NDArray[np.float32]:
        """The product of gain and hidden kernel of the feed-forward part for each block, `(2, dim, hidden)`."""
        return self.gains[:, 1, :, None] * self.feed_in

    @property
    def _window(self) -> int:
        return len(self.age_bias[0])

    def encode(self, query: Query) -> NDArray[np.float32]:
        """Return c_u `(dim,)` float32, or `(v, dim)` for leave-one-out variants; zeros for an empty history.

        A variant masks the event that it lacks, and the ages of the other events do not count it.
        """
        masks = np.ones((1, len(query.items)), bool) if query.masks is None else query.masks
        if not len(query.items):
            return np.zeros((len(masks), self.item_factors.shape[1])[query.masks is None :], np.float32)
        n_left_out = 0 if query.masks is None else int((~masks).sum(1).max())
        n_states = self._window + max(n_left_out, SPARE)  # for each event left out, an older one enters the window
        key = (self, "first block", n_states)
        block = query.once(key, lambda: self._first_block(query, n_states))
        masks = masks[:, -len(block.h) :]
        ages = np.atleast_2d(events_after(query)).astype(np.int64)[:, -len(block.h) :]
        states = block.states[None] if query.masks is None else self._states(block, masks, ages)
        n = states.shape[1]
        newest = n - 1 - masks[:, ::-1].argmax(1)
        latent = self._newest_state(states, (masks & block.is_event)[:, -n:], ages[:, -n:], newest)
        return latent[0] if query.masks is None else np.where(masks.any(1, keepdims=True), latent, np.float32(0))

    def _first_block(self, query: Query, n_states: int) -> _FirstBlock:
        """Return what the first block computes from the newest events, with the states of the newest `n_states`."""
        reach = slice(-(n_states + self._window), None)
        weights = query.weights[reach]
        embedded = self.item_factors[query.items[reach]] * np.float32(np.sqrt(self.item_factors.shape[1]))
        h = embedded + weights[:, None] * self.strength
        is_event, newest = weights != 0, h[-n_states:]
        logits, values = _norm(newest) @ self._query_key[0] @ h.T, h @ self._value_out[0]
        place = np.arange(len(h))
        attention = self._attention(0, logits, is_event, place[len(h) - len(newest) :, None] - place)
        return _FirstBlock(h, is_event, logits, values, self._feed_forward(0, newest + attention @ values))

    def _states(self, block: _FirstBlock, masks: NDArray[np.bool_], ages: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the variants' states after the first block, `(v, k, dim)`.

        Why this exists: a new pass for each variant cost 15 to 21 ms for five of them, most of the time of an
        explanation. Attention is causal, so leaving out an event changes no state before it; those are reused from the
        original query. Only the states from that event on are computed again, for all variants in one batch. Their
        logits are reused, too: they depend on the two events alone, and the bias of age is added afterwards.

        Args:
            block: What the first block computed for the whole history.
            masks: `(v, w)`, the events that each variant has.
            ages: `(v, w)`, the number of events after each one that the variant has.
        """
        n = len(block.states)
        first = len(block.h) - n
        variant, place = np.nonzero(np.logical_or.accumulate(~masks, 1)[:, first:])
        since = ages[variant] - ages[variant, first + place][:, None]
        attention = self._attention(0, block.logits[place], (masks & block.is_event)[variant], since)
        states = np.repeat(block.states[None], len(masks), 0)
        states[variant, place] = self._feed_forward(0, block.h[first + place] + attention @ block.values)
        return states

    def _newest_state(
        self, h: NDArray, is_event: NDArray[np.bool_], ages: NDArray[np.int64], newest: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return each variant's newest state after the last block and its layer norm, `(v, dim)`.

        No other state is needed, so each kernel is applied to one vector instead of all states.

        Args:
            h: `(v, k, dim)`, the states after the first block.
            is_event: `(v, k)`, the events that each variant has.
            ages: `(v, k)`, the number of later events that the variant has.
            newest: `(v,)`, the position of each variant's newest event.
        """
        last = h[np.arange(len(h)), newest]
        attention_query = _norm(last) @ self._query_key[1]
        attention = self._attention(1, (h @ attention_query[:, :, None])[:, :, 0], is_event, ages)
        attended = (attention[:, None] @ h)[:, 0] @ self._value_out[1]
        return _norm(self._feed_forward(1, last + attended)) * self.last_gain

    def _attention(
        self, block: int, logits: NDArray, is_event: NDArray[np.bool_], ages: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return the attention to each event, `(n, w)`, rows summing to 1.

        Padding, later events and events beyond the window get none.
        """
        seen = is_event & (ages >= 0) & (ages < self._window)
        biased = logits + self.age_bias[block].take(ages, mode="clip")
        attention: NDArray[np.float32] = np.where(seen, biased, np.float32(-1e9))
        attention -= np.maximum.reduce(attention, 1, keepdims=True)
        np.exp(attention, out=attention)
        attention /= np.add.reduce(attention, 1, keepdims=True)
        return attention

    def _feed_forward(self, block: int, h: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return states after a block's feed-forward part, of the same shape."""
        hidden = np.maximum(_norm(h) @ self._gain_feed_in[block] + self.feed_in_bias[block], 0)
        states: NDArray[np.float32] = h + hidden @ self.feed_out[block] + self.feed_out_bias[block]
        return states


@dataclass(frozen=True)
class LNCM:
    """The dot product of an item vector with a gated sum of user representation and latent context.

    Attributes:
        user_representation: Gives s_u.
        sequence: Gives c_u.
        item_bias: `(n_items,)` float32.
        gate: Scalar float32, α.
    """

    user_representation: UserRepresentation
    sequence: SequenceEncoder
    item_bias: NDArray[np.float32]
    gate: NDArray[np.float32]

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> LNCM:
        """Build the scorer from a version's arrays."""
        user_representation, sequence = UserRepresentation.from_arrays(arrays), SequenceEncoder.from_arrays(arrays)
        return cls(user_representation, sequence, arrays["item_bias"], arrays["gate"])

    @property
    def n_items(self) -> int:
        """The number of items."""
        return len(self.item_bias)

    def score(self, query: Query, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        """Return logits; see `Scorer.score`."""
        which = slice(None) if items is None else items
        gate = np.float32(1 / (1 + np.exp(-self.gate)))
        mixed = gate * self.user_representation.of(query) + (1 - gate) * self.sequence.encode(query)
        scores: NDArray[np.float32] = mixed @ self.sequence.item_factors[which].T + self.item_bias[which]
        return scores


def _norm(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the layer norm over the last axis, without its gain.

    It divides sums, because NumPy's means take three times as long for short axes.
    """
    share = np.float32(1 / x.shape[-1])
    centred = x - np.add.reduce(x, -1, keepdims=True) * share
    variance = np.add.reduce(centred * centred, -1, keepdims=True) * share
    normed: NDArray[np.float32] = centred / np.sqrt(variance + np.float32(EPSILON))
    return normed
