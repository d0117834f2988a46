"""ENCM, explicit neural context model: z = (s_u + Σ_k c_k)·q_i + Σ_k b_{c_k} + b_i + MLP(s_u ‖ q_i ‖ c_1 … c_m)."""

from __future__ import annotations

import numpy as np

from recsys.errors.records import Record
from recsys.features.features import FeatureValues
from recsys.features.query import Arrays, Floats, Indices, Mask, Query
from recsys.scorers.layers import Layers, UserPart, UserRepresentation, tower, tower_weights


class ENCM(Record):
    """A dot product whose user vector is shifted by context, plus an MLP over user, item and context.

    Attributes:
        user_representation: Gives s_u.
        item_factors: `(n_items, dim)` float32, q.
        item_bias: `(n_items,)` float32.
        contexts: One `(values + 1, dim)` float32 embedding for each context feature, "unknown" last.
        context_biases: One `(values + 1,)` float32 for each context feature.
        kernels: The MLP's kernels. The first is `((2 + m)·dim, 64)`: rows for the user, the item, then the contexts.
        biases: The MLP's biases.
        mlp_output: `(last hidden,)` float32, the kernel of the MLP's output.
        item_layer: `(n_items, 64)` float32, the items' part of the first layer; see `precompute`.
    """

    user_representation: UserRepresentation
    item_factors: Floats
    item_bias: Floats
    contexts: tuple[Floats, ...]
    context_biases: tuple[Floats, ...]
    kernels: tuple[Floats, ...]
    biases: tuple[Floats, ...]
    mlp_output: Floats
    item_layer: Floats

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> ENCM:
        """Build the scorer from a version's arrays."""
        n_features = sum(name.startswith("context_factors_") for name in arrays)
        kernels, biases = tower_weights(arrays)
        return cls(
            UserRepresentation.from_arrays(arrays),
            arrays["item_factors"],
            arrays["item_bias"],
            tuple(arrays[f"context_factors_{n}"] for n in range(n_features)),
            tuple(arrays[f"context_bias_{n}"] for n in range(n_features)),
            kernels,
            biases,
            arrays["mlp_output"],
            arrays["item_layer"] if "item_layer" in arrays else cls.precompute(arrays)["item_layer"],
        )

    @staticmethod
    def precompute(arrays: Arrays) -> Arrays:
        """Return the arrays that are computed once for each version: the items' part of the MLP's first layer."""
        dim = arrays["item_factors"].shape[1]
        return {"item_layer": arrays["item_factors"] @ arrays["mlp_kernel_0"][dim : 2 * dim]}

    @property
    def n_items(self) -> int:
        """The number of items."""
        return len(self.item_factors)

    def score(
        self,
        query: Query,
        features: FeatureValues | None = None,
        items: Indices | None = None,
        masks: Mask | None = None,
    ) -> Floats:
        """Return logits; see `Network.score`."""
        user = self.user_part(query, self.user_representation.of(query, masks))
        scores = user.dot_product(self.item_factors, self.item_bias, items)
        scores += tower(self.item_layer, user.hidden, self.layers, self.mlp_output, items)
        return scores

    @property
    def layers(self) -> Layers:
        """Kernel and bias of each layer of the MLP after the first."""
        return tuple(zip(self.kernels[1:], self.biases[1:], strict=True))

    def user_part(self, query: Query, representation: Floats, masks: Mask | None = None) -> UserPart:
        """Return what the score takes from the user; see `UserPart`."""
        dim = self.item_factors.shape[1]
        contexts = [embedding[value] for embedding, value in zip(self.contexts, query.context, strict=True)]
        context_bias = sum(biases[value] for biases, value in zip(self.context_biases, query.context, strict=True))
        hidden = representation @ self.kernels[0][:dim] + self.biases[0]
        if contexts:
            hidden = hidden + np.concatenate(contexts) @ self.kernels[0][2 * dim :]
        return UserPart(representation + sum(contexts), np.float32(context_bias), hidden)
