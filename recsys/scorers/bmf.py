"""BMF, biased matrix factorisation with pooled histories: z = b + b_u + b_i + s_u·q_i."""

from __future__ import annotations

import numpy as np

from recsys.errors.records import Record
from recsys.features.features import FeatureValues
from recsys.features.query import Arrays, Floats, Indices, Mask, Query
from recsys.scorers.layers import UserPart, UserRepresentation


class BMF(Record):
    """The dot product of user representation and item vector, plus biases.

    Attributes:
        user_representation: Gives s_u.
        user_bias: `(n_users,)` float32.
        item_factors: `(n_items, dim)` float32, q.
        item_bias: `(n_items,)` float32.
        bias: Scalar float32.
    """

    user_representation: UserRepresentation
    user_bias: Floats
    item_factors: Floats
    item_bias: Floats
    bias: Floats

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> BMF:
        """Build the scorer from a version's arrays."""
        names = ("user_bias", "item_factors", "item_bias", "bias")
        return cls(UserRepresentation.from_arrays(arrays), *(arrays[name] for name in names))

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
        which = slice(None) if items is None else items
        user = self.user_part(query, self.user_representation.of(query, masks))
        scores: Floats = user.vector @ self.item_factors[which].T + self.item_bias[which] + user.constant
        return scores

    def user_part(self, query: Query, representation: Floats, masks: Mask | None = None) -> UserPart:
        """Return what the score takes from the user; see `UserPart`."""
        user_bias = self.user_bias[query.user] if query.user < len(self.user_bias) else np.float32(0)
        return UserPart(representation, self.bias + user_bias)
