"""User-item frequency: what the customer took most, plain or fading, then what is popular."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.features.history import add_at, user_item_counts
from recsys.features.query import Arrays, Query


@dataclass(frozen=True)
class UserFrequency:
    """The customer's own counts, plain; popularity decides among the rest.

    Attributes:
        popularity: `(n_items,)` float32.
    """

    popularity: NDArray[np.float32]

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> UserFrequency:
        """Build the scorer from a version's arrays."""
        return cls(arrays["popularity"])

    @property
    def n_items(self) -> int:
        """The number of items."""
        return len(self.popularity)

    def score(self, query: Query, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        """Return own count + half of the relative popularity; see `Scorer.score`."""
        own, counts, _ = user_item_counts(query)
        return self._on_top_of(0.5, own, counts, items)

    def _on_top_of(
        self, share: float, own: NDArray[np.int32], counts: NDArray[np.float32], items: NDArray[np.int32] | None
    ) -> NDArray[np.float32]:
        which = slice(None) if items is None else items
        scores = self.popularity[which] * np.float32(share / max(float(self.popularity.max(initial=0)), 1e-9))
        add_at(scores, own, counts, items)
        return scores


@dataclass(frozen=True)
class DecayedUserFrequency(UserFrequency):
    """The customer's own counts, plain and fading, over recent popularity."""

    def score(self, query: Query, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        """Return own count + own count halved every 60 days + twice the relative recent popularity; see `Scorer.score`."""
        own, counts, decayed = user_item_counts(query)
        return self._on_top_of(2.0, own, counts + decayed, items)
