"""The user side that all four models share: an embedding plus two pooled histories."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.features.history import pooled
from recsys.features.query import Arrays, Query


@dataclass(frozen=True)
class UserRepresentation:
    """s_u = p_u + Σ_j w_j·γ_slow^age(j)·a_j^slow + Σ_j w_j·γ_fast^age(j)·a_j^fast.

    Attributes:
        user_factors: `(n_users, dim)` float32, p.
        slow_items: `(n_items, dim)` float32, a of the long memory.
        fast_items: `(n_items, dim)` float32, a of the short memory.
        decays: `(2,)` float32, γ slow and fast.
    """

    user_factors: NDArray[np.float32]
    slow_items: NDArray[np.float32]
    fast_items: NDArray[np.float32]
    decays: NDArray[np.float32]

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> UserRepresentation:
        """Take the user side out of a version's arrays."""
        return cls(*(arrays[name] for name in ("user_factors", "slow_items", "fast_items", "decays")))

    def of(self, query: Query) -> NDArray[np.float32]:
        """Return s_u `(dim,)` float32, or `(v, dim)` of variants; a guest has no embedding of her own."""
        user_representation = pooled(query, self.slow_items, self.decays[0]) + pooled(
            query, self.fast_items, self.decays[1]
        )
        return (
            user_representation + self.user_factors[query.user]
            if query.user < len(self.user_factors)
            else user_representation
        )
