"""NeuMF, neural matrix factorisation: z = b + b_i + h·[s_u ⊙ q_i ; MLP(m_u ‖ m_i)] (He et al. 2017, with a history)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.features.query import Arrays, Query
from recsys.features.user_vector import UserRepresentation
from recsys.scorers.tower import tower, tower_weights


@dataclass(frozen=True)
class NeuMF:
    """A weighted dot product (GMF) plus an MLP over embeddings of its own.

    Attributes:
        user_representation: Gives s_u, for the dot product.
        item_factors: `(n_items, dim)` float32, q.
        item_bias: `(n_items,)` float32.
        dot_output: `(dim,)` float32, the first part of h.
        mlp_users: `(n_users, dim)` float32, m_u.
        kernels: The MLP's kernels. The first is `(2·dim, 64)`: rows for the user, then the item.
        biases: The MLP's biases.
        mlp_output: `(last hidden,)` float32, the second part of h.
        bias: Scalar float32.
        item_layer: `(n_items, 64)` float32, the items' half of the first layer; see `precompute`.
    """

    user_representation: UserRepresentation
    item_factors: NDArray[np.float32]
    item_bias: NDArray[np.float32]
    dot_output: NDArray[np.float32]
    mlp_users: NDArray[np.float32]
    kernels: tuple[NDArray[np.float32], ...]
    biases: tuple[NDArray[np.float32], ...]
    mlp_output: NDArray[np.float32]
    bias: NDArray[np.float32]
    item_layer: NDArray[np.float32]

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> NeuMF:
        """Build the scorer from a version's arrays."""
        kernels, biases = tower_weights(arrays)
        return cls(
            UserRepresentation.from_arrays(arrays),
            arrays["item_factors"],
            arrays["item_bias"],
            arrays["dot_output"],
            arrays["mlp_users"],
            kernels,
            biases,
            arrays["mlp_output"],
            arrays["bias"],
            arrays["item_layer"] if "item_layer" in arrays else cls.precompute(arrays)["item_layer"],
        )

    @staticmethod
    def precompute(arrays: Arrays) -> Arrays:
        """Return the arrays that are computed once for each version: the items' half of the MLP's first layer."""
        return {"item_layer": arrays["mlp_items"] @ arrays["mlp_kernel_0"][arrays["mlp_users"].shape[1] :]}

    @property
    def n_items(self) -> int:
        """The number of items."""
        return len(self.item_factors)

    def score(self, query: Query, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        """Return logits; see `Scorer.score`."""
        which = slice(None) if items is None else items
        user = self.biases[0]
        if query.user < len(self.mlp_users):
            user = user + self.mlp_users[query.user] @ self.kernels[0][: self.mlp_users.shape[1]]
        layers = tuple(zip(self.kernels[1:], self.biases[1:], strict=True))
        weighted: NDArray[np.float32] = self.user_representation.of(query) * self.dot_output
        scores: NDArray[np.float32] = weighted @ self.item_factors[which].T
        scores += self.item_bias[which] + self.bias
        scores += tower(self.item_layer, user, layers, self.mlp_output, items)
        return scores
