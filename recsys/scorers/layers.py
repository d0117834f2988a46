"""What the models share: the linear ensemble, the user representation, and the MLP over the whole catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from recsys.errors.records import Record
from recsys.features.features import Features, FeatureValues
from recsys.features.query import Arrays, Floats, Indices, Mask, Query, events_after
from recsys.scorers.base import Network

Layers = Sequence[tuple[Floats, Floats]]  # kernel and bias of each layer of an MLP after the first

TILE = 2048  # items at a time; the activations of one tile (2048 × 64 float32) fit into the processor's cache


class LinearEnsemble(Record):
    """A weighted sum of the features and a network's score, as a scorer.

    Attributes:
        features: The features to add up.
        weights: `(2, N_FEATURES + 1)` float32. Row 0 hides purchased items, row 1 allows repeats. The last column is
            the network's weight.
        network: The network; None for the features alone.
    """

    features: Features
    weights: Floats
    network: Network | None = None

    @cached_property
    def _priors(self) -> Floats:
        """The part of the whole catalogue's scores that all queries share, `(2, n_items)` float32."""
        return np.stack([self.features.prior(weights[:-1]) for weights in self.weights])

    @property
    def n_items(self) -> int:
        """The number of items."""
        return self.features.n_items

    def score(self, query: Query, features: FeatureValues | None = None, items: Indices | None = None) -> Floats:
        """Return the weighted sum of the features and the network's logits; see `Scorer.score`."""
        row = int(query.repeats)
        values = self.features.compute(query, items) if features is None else features
        scores = self.features.blend(values, self.weights[row, :-1], self._priors[row] if items is None else None)
        if self.network is not None and self.weights[row, -1]:
            scores += self.weights[row, -1] * self.network.score(query, None, items)
        return scores


class UserRepresentation(NamedTuple):
    """s_u = p_u + Σ_j w_j·γ_slow^age(j)·a_j^slow + Σ_j w_j·γ_fast^age(j)·a_j^fast.

    It is a user's embedding plus the history pooled twice: a slow decay keeps the long-term history, a fast one the
    last few events. The age of an event is the number of events after it, 0 for the newest.

    Attributes:
        user_factors: `(n_users, dim)` float32, the users' embeddings p.
        slow_items: `(n_items, dim)` float32, the item vectors of the long-term history, a^slow.
        fast_items: `(n_items, dim)` float32, the item vectors of the short-term history, a^fast.
        decays: `(2,)` float32, γ_slow and γ_fast.
    """

    user_factors: Floats
    slow_items: Floats
    fast_items: Floats
    decays: Floats

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> UserRepresentation:
        """Build the user representation from a version's arrays."""
        return cls(*(arrays[name] for name in cls._fields))

    def of(self, query: Query, masks: Mask | None = None) -> Floats:
        """Return s_u, `(dim,)` float32, or `(v, dim)` for variants; without p_u for guests and unseen users.

        Args:
            query: The user and the moment.
            masks: `(v, h)` bool, the events that each leave-one-out variant has; None for the whole history.
        """
        weights, age = query.weights if masks is None else query.weights * masks, events_after(query, masks)
        slow = (weights * self.decays[0] ** age) @ self.slow_items[query.items]
        fast = (weights * self.decays[1] ** age) @ self.fast_items[query.items]
        history: Floats = slow + fast
        return history + self.user_factors[query.user] if query.user < len(self.user_factors) else history


class UserPart(NamedTuple):
    """What a network takes from the user: z = vector·q_i + b_i + constant, plus the output of an MLP if it has one.

    Attributes:
        vector: `(dim,)` float32, or `(v, dim)` for leave-one-out variants.
        constant: Scalar float32, the same for all items.
        hidden: `(hidden,)` or `(v, hidden)` float32, the user's part of the MLP's first layer, bias included; empty for
            networks without an MLP.
    """

    vector: Floats
    constant: Floats | np.float32
    hidden: Floats = np.zeros(0, np.float32)

    def dot_product(self, item_factors: Floats, item_bias: Floats, items: Indices | None = None) -> Floats:
        """Return vector·q_i + b_i + constant, `(n_items,)` or `(k,)` float32; `(v, k)` for variants.

        Args:
            item_factors: `(n_items, dim)` float32.
            item_bias: `(n_items,)` float32.
            items: `(k,)` indices to score; None scores the whole catalogue.
        """
        which = slice(None) if items is None else items
        scores: Floats = self.vector @ item_factors[which].T
        scores += item_bias[which] + self.constant
        return scores


def tower(
    item_layer: Floats,
    user: Floats,
    layers: Layers,
    output: Floats,
    items: Indices | None = None,
) -> Floats:
    """Return the output of an MLP with relu layers for every item, as NeuMF and ENCM have one.

    The items' part of the first layer is computed once for each version; for a query, only one vector is new.
    It uses relu(x + c) = max(x, -c) + c. The term c is the same for all items, so it is carried through the layers as
    one vector. Each layer is then a matrix product and a maximum, without additions over all items.

    Args:
        item_layer: `(n_items, hidden)`, the items' part of the first layer before its activation.
        user: `(hidden,)`, or `(v, hidden)` for leave-one-out variants; the user's part of that layer, bias included.
        layers: Kernel and bias of each further layer.
        output: `(last hidden,)`, the kernel of the output.
        items: `(k,)` indices to score; None scores the whole catalogue.

    Returns:
        `(n_items,)` or `(k,)` float32; `(v, k)` for variants.
    """
    n = len(item_layer) if items is None else len(items)
    shifts = [user]
    for kernel, bias in layers:
        shifts.append(shifts[-1] @ kernel + bias)
    scores = np.empty((*user.shape[:-1], n), np.float32)
    for start in range(0, n, TILE):
        which = slice(start, start + TILE)
        hidden = np.maximum(item_layer[which] if items is None else item_layer[items[which]], -user[..., None, :])
        for (kernel, _), shift in zip(layers, shifts[1:], strict=True):
            hidden = hidden @ kernel
            np.maximum(hidden, -shift[..., None, :], out=hidden)
        scores[..., which] = hidden @ output
    scores += (shifts[-1] @ output)[..., None]
    return scores


def tower_weights(arrays: Arrays) -> tuple[tuple[Floats, ...], tuple[Floats, ...]]:
    """Return the kernels and the biases of an MLP, the first layer first.

    Args:
        arrays: The network's arrays in a version, `mlp_kernel_0`, `mlp_bias_0` and so on.
    """
    depth = sum(name.startswith("mlp_kernel_") for name in arrays)
    return tuple(arrays[f"mlp_kernel_{n}"] for n in range(depth)), tuple(arrays[f"mlp_bias_{n}"] for n in range(depth))
