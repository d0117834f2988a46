"""ENCM, explicit neural context model: z = (s_u + Σ_k c_k)·q_i + Σ_k b_{c_k} + b_i + MLP(s_u ‖ q_i ‖ c_1 … c_m)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.features.query import Arrays, Query
from recsys.features.user_vector import UserRepresentation
from recsys.scorers.tower import tower, tower_weights


@dataclass(frozen=True)
class ENCM:
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
    item_factors: NDArray[np.float32]
    item_bias: NDArray[np.float32]
    contexts: tuple[NDArray[np.float32], ...]
    context_biases: tuple[NDArray[np.float32], ...]
    kernels: tuple[NDArray[np.float32], ...]
    biases: tuple[NDArray[np.float32], ...]
    mlp_output: NDArray[np.float32]
    item_layer: NDArray[np.float32]

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

    def score(self, query: Query, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        """Return logits; see `Scorer.score`."""
        which = slice(None) if items is None else items
        dim = self.item_factors.shape[1]
        user_representation = self.user_representation.of(query)
        contexts = [embedding[value] for embedding, value in zip(self.contexts, query.context, strict=True)]
        context_bias = sum(biases[value] for biases, value in zip(self.context_biases, query.context, strict=True))
        user = user_representation @ self.kernels[0][:dim] + self.biases[0]
        if contexts:
            user = user + np.concatenate(contexts) @ self.kernels[0][2 * dim :]
        layers = tuple(zip(self.kernels[1:], self.biases[1:], strict=True))
        scores: NDArray[np.float32] = (user_representation + sum(contexts)) @ self.item_factors[which].T
        scores += self.item_bias[which] + np.float32(context_bias)
        scores += tower(self.item_layer, user, layers, self.mlp_output, items)
        return scores
