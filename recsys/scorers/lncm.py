"""LNCM, latent neural context model: z = (g·s_u + (1−g)·c_u)·q_i + b_i, with the gate g = σ(α).

The latent context c_u is computed by attention over the order of the last items.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.errors.records import Record
from recsys.features.features import FeatureValues
from recsys.features.query import Arrays, Floats, Indices, Mask, Query
from recsys.scorers.layers import UserPart, UserRepresentation

BLOCKS = 2
EPSILON = 1e-6
NEVER = -1e9  # added to the attention logit of an event that may not be seen
UNSEEN = 1 << 30  # the place of an event that nobody sees: after all others
GROUP = 1024  # events at a time; their embeddings (1024 × 64 float32) fit into the processor's cache


class _FirstBlock(NamedTuple):
    """What the first block computes from b histories, for the whole of each and for all its leave-one-out variants.

    Attributes:
        h: `(b, w, dim)` float32, the embedding of each event before the block.
        is_event: `(b, w)` bool, which events have a weight other than 0.
        logits: `(b, k, w)` float32, the attention of the newest k events to each event, without the bias of age.
        values: `(b, w, dim)` float32, the values that attention adds up.
        states: `(b, k, dim)` float32, the newest k events after the block, for the whole history.
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

    @cached_property
    def _bias(self) -> Floats:
        """What is added to the attention to events of ages from −1 to `window`, `(2, window + 2)`; see `_biases`."""
        return np.pad(self.age_bias, ((0, 0), (1, 1)), constant_values=NEVER)

    def encode(self, queries: Sequence[Query], masks: Sequence[Mask] | None = None) -> Floats:
        """Return c_u of each query, `(b, dim)` float32, or `(b, v, dim)` for leave-one-out variants.

        An empty history has zeros. A variant masks the events that it lacks, and the ages of the others do not count
        them. Histories of about one length are computed together.

        Args:
            queries: The users and their moments.
            masks: For each query `(v, h)` bool, the events that each variant has; None for the whole histories.
        """
        n_left_out = [0] * len(queries) if masks is None else [int((~of_query).sum(1).max()) for of_query in masks]
        # The newest `window` events attend to as many before them. For each event left out, an older one is seen.
        lengths = [min(len(query.items), 2 * self._window + n) for query, n in zip(queries, n_left_out, strict=True)]
        latent = np.empty((len(queries), 1 if masks is None else len(masks[0]), self.item_factors.shape[1]), np.float32)
        for group in _of_one_length(lengths):
            latent[group] = self._encode_group(
                [queries[query] for query in group],
                None if masks is None else [masks[query] for query in group],
                max(lengths[group[-1]], 1),
                self._window + max(n_left_out[query] for query in group),
            )
        return latent[:, 0] if masks is None else latent

    def _encode_group(self, queries: Sequence[Query], masks: Sequence[Mask] | None, w: int, n_states: int) -> Floats:
        """Return `(b, v, dim)` of the newest `w` events of each query; shorter histories are padded at their start."""
        items, weights = np.zeros((len(queries), w), np.int32), np.zeros((len(queries), w), np.float32)
        present = np.ones((len(queries), 1 if masks is None else len(masks[0]), w), bool)
        has_event = np.zeros(present.shape[:2], bool)
        for number, query in enumerate(queries):
            real = slice(w - min(len(query.items), w), None)
            items[number, real], weights[number, real] = query.items[-w:], query.weights[-w:]
            if masks is not None:
                present[number, :, real] = masks[number][:, -w:]
            has_event[number] = present[number, :, real].any(-1)
        block = self._first_block(items, weights, n_states)
        order = np.cumsum(present, -1)
        seen = np.where(present & block.is_event[:, None], order, UNSEEN)
        states = block.states[:, None] if masks is None else self._states(block, present, order, seen)
        return np.where(has_event[:, :, None], self._newest_state(states, present, order, seen), np.float32(0))

    def _first_block(self, items: Indices, weights: Floats, n_states: int) -> _FirstBlock:
        """Return what the first block computes from events `(b, w)`, with the states of the newest `n_states`."""
        h = self.item_factors[items] * np.float32(np.sqrt(self.item_factors.shape[1]))
        h += weights[:, :, None] * self.strength
        is_event, newest = weights != 0, h[:, -n_states:]
        logits, values = _norm(newest) @ self._query_key[0] @ h.swapaxes(1, 2), h @ self._value_out[0]
        place = np.arange(items.shape[1])
        biased = logits + self._biases(0, place[-n_states:], place)
        if not is_event.all():
            biased += np.where(is_event, np.float32(0), np.float32(NEVER))[:, None]
        states = self._feed_forward(0, newest + _softmax(biased) @ values)
        return _FirstBlock(h, is_event, logits, values, states)

    def _states(self, block: _FirstBlock, present: Mask, order: NDArray[np.int64], seen: NDArray[np.int64]) -> Floats:
        """Return the variants' states after the first block, `(b, v, k, dim)`.

        Why this exists: a new pass for each variant cost 15 to 21 ms for five of them, most of the time of an
        explanation. Attention is causal, so leaving out an event changes no state before it; those are reused from the
        original query. Only the states from that event on are computed again, for all variants in one batch. Their
        logits are reused, too: they depend on the two events alone, and the bias of age is added afterwards.

        Args:
            block: What the first block computed for the whole histories.
            present: `(b, v, w)`, the events that each variant has.
            order: `(b, v, w)`, the number of events up to each one that the variant has.
            seen: `(b, v, w)`, the same of events that the others see; else `UNSEEN`.
        """
        n = block.states.shape[1]
        first = block.h.shape[1] - n
        user, variant, place = np.nonzero(np.logical_or.accumulate(~present, -1)[:, :, first:])
        biases = self._biases(0, order[user, variant, first + place], seen[user, variant])
        attention = _softmax(np.add(block.logits[user, place], biases, out=biases))
        after = block.h[user, first + place]
        edges = np.searchsorted(user, np.arange(len(block.h) + 1)).tolist()
        for values, start, end in zip(block.values, edges[:-1], edges[1:], strict=True):
            after[start:end] += attention[start:end] @ values
        states = np.repeat(block.states[:, None], present.shape[1], 1)
        states[user, variant, place] = self._feed_forward(0, after)
        return states

    def _newest_state(self, h: Floats, present: Mask, order: NDArray[np.int64], seen: NDArray[np.int64]) -> Floats:
        """Return each variant's newest state after the last block and its layer norm, `(b, v, dim)`.

        No other state is needed, so each kernel is applied to one vector instead of all states.

        Args:
            h: `(b, v, k, dim)`, the states after the first block.
            present: As in `_states`; so are the others.
            order: See there.
            seen: See there.
        """
        k = h.shape[2]
        newest = k - 1 - present[:, :, : -k - 1 : -1].argmax(-1)
        place = (np.arange(len(h))[:, None], np.arange(h.shape[1]), newest)
        last = h[place]
        logits = (h @ (_norm(last) @ self._query_key[1])[..., None])[..., 0]
        attention = _softmax(logits + self._biases(1, order[:, :, -k:][place], seen[:, :, -k:]))
        attended = (attention[:, :, None] @ h)[:, :, 0] @ self._value_out[1]
        return _norm(self._feed_forward(1, last + attended)) * self.last_gain

    def _biases(self, block: int, order: NDArray[np.int64], seen: NDArray[np.int64]) -> Floats:
        """Return what is added to the attention of events to others, `(..., n, w)`.

        It is the bias of age. Later events, events beyond the window and `UNSEEN` ones get `NEVER`.

        Args:
            block: The number of the block.
            order: `(..., n)`, the place of each event that attends.
            seen: `(..., n, w)` or one that broadcasts, the place of each event attended to.
        """
        biases: Floats = self._bias[block].take((order + 1)[..., None] - seen, mode="clip")
        return biases

    def _feed_forward(self, block: int, h: Floats) -> Floats:
        """Return states after a block's feed-forward part, of the same shape."""
        hidden = _norm(h) @ self._gain_feed_in[block]
        hidden += self.feed_in_bias[block]
        states: Floats = np.maximum(hidden, 0, out=hidden) @ self.feed_out[block]
        states += self.feed_out_bias[block]
        states += h
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
        return self.user_parts([query], representation[None], None if masks is None else [masks])[0]

    def user_parts(
        self, queries: Sequence[Query], representations: Floats, masks: Sequence[Mask] | None = None
    ) -> list[UserPart]:
        """Return what scores take from each of b users.

        Args:
            queries: The users and their moments.
            representations: `(b, dim)` float32, s_u of each user; `(b, v, dim)` for leave-one-out variants.
            masks: For each user `(v, h)` bool, the events that each variant has; None for the whole histories.
        """
        gate = np.float32(1 / (1 + np.exp(-self.gate)))
        vectors = gate * representations + (1 - gate) * self.sequence.encode(queries, masks)
        return [UserPart(vector, np.float32(0)) for vector in vectors]

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
    variance = np.vecdot(centred, centred)[..., None] * share
    normed: Floats = np.divide(centred, np.sqrt(variance + np.float32(EPSILON)), out=centred)
    return normed


def _softmax(logits: Floats) -> Floats:
    """Return the softmax over the last axis, in place; zeros where all are `NEVER`."""
    logits -= np.maximum.reduce(logits, -1, keepdims=True, initial=NEVER / 2)
    np.exp(logits, out=logits)
    logits /= np.add.reduce(logits, -1, keepdims=True, initial=1e-30)  # of a sum that is 0, or at least 1
    return logits


def _of_one_length(lengths: Sequence[int]) -> list[list[int]]:
    """Return the numbers of histories in groups of about one length, the longest last in each."""
    groups: list[list[int]] = []
    for number in sorted(range(len(lengths)), key=lengths.__getitem__):
        if not groups or (len(groups[-1]) + 1) * lengths[number] > GROUP:
            groups.append([])
        groups[-1].append(number)
    return groups
