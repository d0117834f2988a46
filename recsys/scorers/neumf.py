"""NeuMF, neural matrix factorisation: z = b + b_i + h·[s_u ⊙ q_i ; MLP(m_u ‖ m_i)] (He et al. 2017, with a history)."""

from __future__ import annotations

from recsys.errors.records import Record
from recsys.features.features import FeatureValues
from recsys.features.query import Arrays, Floats, Indices, Mask, Query
from recsys.scorers.layers import Layers, UserPart, UserRepresentation, tower, tower_weights


class NeuMF(Record):
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
    item_factors: Floats
    item_bias: Floats
    dot_output: Floats
    mlp_users: Floats
    kernels: tuple[Floats, ...]
    biases: tuple[Floats, ...]
    mlp_output: Floats
    bias: Floats
    item_layer: Floats

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
        hidden = self.biases[0]
        if query.user < len(self.mlp_users):
            hidden = hidden + self.mlp_users[query.user] @ self.kernels[0][: self.mlp_users.shape[1]]
        return UserPart(representation * self.dot_output, self.bias, hidden)
