"""LNCM, latent neural context model: z = (g·s_u + (1−g)·c_u)·q_i + b_i, with the gate g = σ(α).

The latent context c_u is computed by attention over the order of the last items.
"""

from __future__ import annotations

from dataclasses import fields
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.errors.records import Record
from recsys.features.features import FeatureValues
from recsys.features.query import Arrays, Floats, Indices, Mask, Query, events_after
from recsys.scorers.layers import UserPart, UserRepresentation

BLOCKS = 2
EPSILON = 1e-6


class _FirstBlock(NamedTuple):
    """What the first block computes from a history, for the whole of it and for all its leave-one-out variants.

    Attributes:
        h: `(w, dim)` float32, the embedding of each event before the block.
        is_event: `(w,)` bool, which events have a weight other than 0.
        logits: `(k, w)` float32, the attention of the newest k events to each event, without the bias of age.
        values: `(w, dim)` float32, the values that attention adds up.
        states: `(k, dim)` float32, the newest k events after the block, for the whole history.
    """

    h: Floats
    is_event: Mask
    logits: Floats
    values: Floats
    states: Floats


class SequenceEncoder(Record):
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

    item_factors: Floats
    strength: Floats
    age_bias: Floats
    attention_query: Floats
    attention_key: Floats
    attention_value: Floats
    attention_out: Floats
    gains: Floats
    feed_in: Floats
    feed_in_bias: Floats
    feed_out: Floats
    feed_out_bias: Floats
    last_gain: Floats

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> SequenceEncoder:
        """Build the encoder from a version's arrays."""
        return cls(*(arrays[field.name] for field in fields(cls)))

    @cached_property
    def _query_key(self) -> Floats:
        """The product of gain, query kernel, key kernel and scale for each block, `(2, dim, dim)`."""
        scale = np.float32(self.item_factors.shape[1] ** -0.5)
        return self.gains[:, 0, :, None] * (self.attention_query @ self.attention_key.swapaxes(1, 2)) * scale

    @cached_property
    def _value_out(self) -> Floats:
        """The product of value kernel and output kernel for each block, `(2, dim, dim)`."""
        return self.attention_value @ self.attention_out

    @cached_property
    def _gain_feed_in(self) -> Floats:
        """The product of gain and hidden kernel of the feed-forward part for each block, `(2, dim, hidden)`."""
        return self.gains[:, 1, :, None] * self.feed_in

    @cached_property
    def _window(self) -> int:
        return len(self.age_bias[0])

    def encode(self, query: Query, masks: Mask | None = None) -> Floats:
        """Return c_u `(dim,)` float32, or `(v, dim)` for leave-one-out variants; zeros for an empty history.

        A variant masks the event that it lacks, and the ages of the other events do not count it.

        Args:
            query: The user and the moment.
            masks: `(v, h)` bool, the events that each variant has; None for the whole history.
        """
        if not len(query.items):
            return np.zeros(
                (1 if masks is None else len(masks), self.item_factors.shape[1])[masks is None :], np.float32
            )
        n_left_out = 0 if masks is None else int((~masks).sum(1).max())
        block = self._first_block(query, self._window + n_left_out)  # for each event left out, an older one is seen
        present = np.ones((1, len(block.h)), bool) if masks is None else masks[:, -len(block.h) :]
        ages = np.atleast_2d(events_after(query, masks)).astype(np.int64)[:, -len(block.h) :]
        states = block.states[None] if masks is None else self._states(block, present, ages)
        n = states.shape[1]
        newest = n - 1 - present[:, ::-1].argmax(1)
        latent = self._newest_state(states, (present & block.is_event)[:, -n:], ages[:, -n:], newest)
        return latent[0] if masks is None else np.where(present.any(1, keepdims=True), latent, np.float32(0))

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

    def _states(self, block: _FirstBlock, masks: Mask, ages: NDArray[np.int64]) -> Floats:
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

    def _newest_state(self, h: NDArray, is_event: Mask, ages: NDArray[np.int64], newest: NDArray[np.int64]) -> Floats:
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

    def _attention(self, block: int, logits: NDArray, is_event: Mask, ages: NDArray[np.int64]) -> Floats:
        """Return the attention to each event, `(n, w)`, rows summing to 1.

        Padding, later events and events beyond the window get none.
        """
        seen = is_event & (ages >= 0) & (ages < self._window)
        biased = logits + self.age_bias[block].take(ages, mode="clip")
        attention: Floats = np.where(seen, biased, np.float32(-1e9))
        attention -= np.maximum.reduce(attention, 1, keepdims=True)
        np.exp(attention, out=attention)
        attention /= np.add.reduce(attention, 1, keepdims=True)
        return attention

    def _feed_forward(self, block: int, h: Floats) -> Floats:
        """Return states after a block's feed-forward part, of the same shape."""
        hidden = np.maximum(_norm(h) @ self._gain_feed_in[block] + self.feed_in_bias[block], 0)
        states: Floats = h + hidden @ self.feed_out[block] + self.feed_out_bias[block]
        return states


class LNCM(Record):
    """The dot product of an item vector with a gated sum of user representation and latent context.

    Attributes:
        user_representation: Gives s_u.
        sequence: Gives c_u.
        item_bias: `(n_items,)` float32.
        gate: Scalar float32, α.
    """

    user_representation: UserRepresentation
    sequence: SequenceEncoder
    item_bias: Floats
    gate: Floats

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> LNCM:
        """Build the scorer from a version's arrays."""
        user_representation, sequence = UserRepresentation.from_arrays(arrays), SequenceEncoder.from_arrays(arrays)
        return cls(user_representation, sequence, arrays["item_bias"], arrays["gate"])

    @property
    def n_items(self) -> int:
        """The number of items."""
        return len(self.item_bias)

    def score(
        self,
        query: Query,
        features: FeatureValues | None = None,
        items: Indices | None = None,
        masks: Mask | None = None,
    ) -> Floats:
        """Return logits; see `Network.score`."""
        which = slice(None) if items is None else items
        user = self.user_part(query, self.user_representation.of(query, masks), masks)
        scores: Floats = user.vector @ self.item_factors[which].T + self.item_bias[which]
        return scores

    def user_part(self, query: Query, representation: Floats, masks: Mask | None = None) -> UserPart:
        """Return what the score takes from the user; see `UserPart`."""
        gate = np.float32(1 / (1 + np.exp(-self.gate)))
        return UserPart(gate * representation + (1 - gate) * self.sequence.encode(query, masks), np.float32(0))

    @property
    def item_factors(self) -> Floats:
        """The item vectors, `(n_items, dim)` float32."""
        return self.sequence.item_factors


def _norm(x: Floats) -> Floats:
    """Return the layer norm over the last axis, without its gain.

    It divides sums, because NumPy's means take three times as long for short axes.
    """
    share = np.float32(1 / x.shape[-1])
    centred = x - np.add.reduce(x, -1, keepdims=True) * share
    variance = np.add.reduce(centred * centred, -1, keepdims=True) * share
    normed: Floats = centred / np.sqrt(variance + np.float32(EPSILON))
    return normed
