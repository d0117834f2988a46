"""The user representation that all four models share: a user's embedding plus two pooled histories."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.features.history import event_weights, events_after
from recsys.features.query import Arrays, Query


def pooled(query: Query, item_vectors: NDArray[np.float32], decay: float) -> NDArray[np.float32]:
    """Return the decayed sum of the history's item vectors, `Σ_j w_j · decay^age(j) · a_j`.

    The age of an event is the number of events after it, 0 for the newest. Each model pools twice: a slow decay keeps
    the long-term history, a fast one the last few events.

    Args:
        query: The query whose history is pooled.
        item_vectors: `(n_items, dim)` float32, the vectors a.
        decay: Between 0 and 1.

    Returns:
        `(dim,)` float32, zeros for an empty history; `(v, dim)` for leave-one-out variants.
    """

    def recency_weighted() -> NDArray[np.float32]:
        return event_weights(query) * np.float32(decay) ** events_after(query)

    return query.once(("decayed weights", float(decay), query.mask_key), recency_weighted) @ item_vectors[query.items]


@dataclass(frozen=True)
class UserRepresentation:
    """s_u = p_u + Σ_j w_j·γ_slow^age(j)·a_j^slow + Σ_j w_j·γ_fast^age(j)·a_j^fast.

    Attributes:
        user_factors: `(n_users, dim)` float32, the users' embeddings p.
        slow_items: `(n_items, dim)` float32, the item vectors of the long-term history, a^slow.
        fast_items: `(n_items, dim)` float32, the item vectors of the short-term history, a^fast.
        decays: `(2,)` float32, γ_slow and γ_fast.
    """

    user_factors: NDArray[np.float32]
    slow_items: NDArray[np.float32]
    fast_items: NDArray[np.float32]
    decays: NDArray[np.float32]

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> UserRepresentation:
        """Build the user representation from a version's arrays."""
        return cls(*(arrays[name] for name in ("user_factors", "slow_items", "fast_items", "decays")))

    def of(self, query: Query) -> NDArray[np.float32]:
        """Return s_u, `(dim,)` float32, or `(v, dim)` for variants; without p_u for guests and unseen users."""
        slow, fast = pooled(query, self.slow_items, self.decays[0]), pooled(query, self.fast_items, self.decays[1])
        history = slow + fast
        return history + self.user_factors[query.user] if query.user < len(self.user_factors) else history
