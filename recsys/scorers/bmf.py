"""BMF, biased matrix factorisation with pooled histories: z = b + b_u + b_i + s_u·q_i."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.features.query import Arrays, Query
from recsys.features.user_vector import UserRepresentation


@dataclass(frozen=True)
class BMF:
    """The dot product of user representation and item vector, plus biases.

    Attributes:
        user_representation: Gives s_u.
        user_bias: `(n_users,)` float32.
        item_factors: `(n_items, dim)` float32, q.
        item_bias: `(n_items,)` float32.
        bias: Scalar float32.
    """

    user_representation: UserRepresentation
    user_bias: NDArray[np.float32]
    item_factors: NDArray[np.float32]
    item_bias: NDArray[np.float32]
    bias: NDArray[np.float32]

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> BMF:
        """Build the scorer from a version's arrays."""
        names = ("user_bias", "item_factors", "item_bias", "bias")
        return cls(UserRepresentation.from_arrays(arrays), *(arrays[name] for name in names))

    @property
    def n_items(self) -> int:
        """The number of items."""
        return len(self.item_factors)

    def score(self, query: Query, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        """Return logits; see `Scorer.score`."""
        which = slice(None) if items is None else items
        user_bias = self.user_bias[query.user] if query.user < len(self.user_bias) else np.float32(0)
        scores: NDArray[np.float32] = (
            self.user_representation.of(query) @ self.item_factors[which].T
            + self.item_bias[which]
            + (self.bias + user_bias)
        )
        return scores
