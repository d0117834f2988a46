"""LNCM, latent neural context model: z = (g·s_u + (1−g)·c_u)·q_i + b_i, g = σ(α); c_u is read from the order of the last items."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.features.history import later
from recsys.features.query import Arrays, Query
from recsys.features.user_vector import UserRepresentation

BLOCKS = 2
EPSILON = 1e-6
SPARE = 8  # older states that are computed beyond the window: enough for variants that leave out so many events


class _Reading(NamedTuple):
    """What the first block makes of a history, for the question and all its variants.

    Attributes:
        h: `(w, dim)` float32, each event by itself.
        is_event: `(w,)` bool, which events have any weight.
        logits: `(k, w)` float32, how much each of the newest k events looks at each event, before their ages count.
        values: `(w, dim)` float32, what is read of each event.
        states: `(k, dim)` float32, the newest events after the block.
    """

    h: NDArray[np.float32]
    is_event: NDArray[np.bool_]
    logits: NDArray[np.float32]
    values: NDArray[np.float32]
    states: NDArray[np.float32]


@dataclass(frozen=True, eq=False)  # equal to itself only, and so hashable: a question remembers whose reading it has
class SequenceEncoder:
    """Two blocks of causal attention (after Kang & McAuley 2018); the last position is the latent context c_u.

    Attributes:
        item_factors: `(n_items, dim)` float32, q: what is read is what is ranked.
        strength: `(dim,)` float32, the direction in which an event's confidence moves its embedding.
        age_bias: `(2, window)` float32, what an item's age adds to its attention; its length bounds how far a block
            sees.
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

    @cached_property
    def _match(self) -> NDArray[np.float32]:
        """What lies between a normed state and a key, in one, for each block; `(2, dim, dim)`."""
        scale = np.float32(self.item_factors.shape[1] ** -0.5)
        return self.gains[:, 0, :, None] * (self.attention_query @ self.attention_key.swapaxes(1, 2)) * scale

    @cached_property
    def _read(self) -> NDArray[np.float32]:
        """What a value goes through until it is added to a state, in one, for each block; `(2, dim, dim)`."""
        return self.attention_value @ self.attention_out

    @cached_property
    def _feed(self) -> NDArray[np.float32]:
        """What lies between a normed state and the feed-forward part's hidden layer, in one, for each block; `(2, dim, hidden)`."""
        return self.gains[:, 1, :, None] * self.feed_in

    @property
    def _window(self) -> int:
        return len(self.age_bias[0])

    def encode(self, query: Query) -> NDArray[np.float32]:
        """Return c_u `(dim,)` float32, or `(v, dim)` of variants; zeros for an empty history.

        Variants share with the question what no event that they leave out has changed: such an event is masked, and
        makes no other older.
        """
        kept = np.ones((1, len(query.items)), bool) if query.kept is None else query.kept
        if not len(query.items):
            return np.zeros((len(kept), self.item_factors.shape[1])[query.kept is None :], np.float32)
        left_out = 0 if query.kept is None else int((~kept).sum(1).max())
        asked = self._window + max(left_out, SPARE)  # where one event is left out, an older one comes into the window
        reading = query.once((self, "reading", asked), lambda: self._reading(query, asked))
        kept, ages = kept[:, -len(reading.h) :], np.atleast_2d(later(query)).astype(np.int64)[:, -len(reading.h) :]
        states = reading.states[None] if query.kept is None else self._states(reading, kept, ages)
        n = states.shape[1]
        latent = self._newest_state(
            states, (kept & reading.is_event)[:, -n:], ages[:, -n:], n - 1 - kept[:, ::-1].argmax(1)
        )
        return latent[0] if query.kept is None else np.where(kept.any(1, keepdims=True), latent, np.float32(0))

    def _reading(self, query: Query, asked: int) -> _Reading:
        """Return what the first block makes of the newest events; of so many of them, their states are asked for."""
        reach = slice(-(asked + self._window), None)
        weights = query.weights[reach]
        h = (
            self.item_factors[query.items[reach]] * np.float32(np.sqrt(self.item_factors.shape[1]))
            + weights[:, None] * self.strength
        )
        is_event, newest = weights != 0, h[-asked:]
        logits, values = _norm(newest) @ self._match[0] @ h.T, h @ self._read[0]
        place = np.arange(len(h))
        attention = self._attention(0, logits, is_event, place[len(h) - len(newest) :, None] - place)
        return _Reading(h, is_event, logits, values, self._fed(0, newest + attention @ values))

    def _states(self, reading: _Reading, kept: NDArray[np.bool_], ages: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return variants' states after the first block, `(v, k, dim)`; what comes before an event that is left out stays as it was."""
        n = len(reading.states)
        first = len(reading.h) - n
        variant, place = np.nonzero(np.logical_or.accumulate(~kept, 1)[:, first:])
        since = ages[variant] - ages[variant, first + place][:, None]
        attention = self._attention(0, reading.logits[place], (kept & reading.is_event)[variant], since)
        states = np.repeat(reading.states[None], len(kept), 0)
        states[variant, place] = self._fed(0, reading.h[first + place] + attention @ reading.values)
        return states

    def _newest_state(
        self, h: NDArray, is_event: NDArray[np.bool_], ages: NDArray[np.int64], newest: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return the state of each variant's newest position after the last block, `(v, dim)` out of `(v, k, dim)`.

        Nothing else is asked for, so the kernels meet one vector instead of every state.
        """
        asked = h[np.arange(len(h)), newest]
        question = _norm(asked) @ self._match[1]
        attention = self._attention(1, (h @ question[:, :, None])[:, :, 0], is_event, ages)
        seen = (attention[:, None] @ h)[:, 0] @ self._read[1]
        return _norm(self._fed(1, asked + seen)) * self.last_gain

    def _attention(
        self, block: int, logits: NDArray, is_event: NDArray[np.bool_], ages: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return how much of each event is seen, `(n, w)`; events that are not there, later ones and those beyond the window are not."""
        seen = is_event & (ages >= 0) & (ages < self._window)
        attention: NDArray[np.float32] = np.where(
            seen, logits + self.age_bias[block].take(ages, mode="clip"), np.float32(-1e9)
        )
        attention -= np.maximum.reduce(attention, 1, keepdims=True)
        np.exp(attention, out=attention)
        attention /= np.add.reduce(attention, 1, keepdims=True)
        return attention

    def _fed(self, block: int, h: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return states after a block's feed-forward part."""
        hidden = np.maximum(_norm(h) @ self._feed[block] + self.feed_in_bias[block], 0)
        fed: NDArray[np.float32] = h + hidden @ self.feed_out[block] + self.feed_out_bias[block]
        return fed


@dataclass(frozen=True)
class LNCM:
    """The taste and the latent context, weighed by a learned gate, against the factors of the item.

    Attributes:
        user_representation: The user side of the linear path.
        sequence: The encoder of the latent context.
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
    """Layer norm over the last axis, without its gain; sums, because NumPy's means take three times as long on few numbers."""
    share = np.float32(1 / x.shape[-1])
    centred = x - np.add.reduce(x, -1, keepdims=True) * share
    variance = np.add.reduce(centred * centred, -1, keepdims=True) * share
    normed: NDArray[np.float32] = centred / np.sqrt(variance + np.float32(EPSILON))
    return normed
