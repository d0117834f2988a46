"""Popularity: the same list for everybody, plain or recent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.features.query import Arrays, Query


@dataclass(frozen=True)
class Popularity:
    """Items by the weight of everything that happened to them.

    Attributes:
        popularity: `(n_items,)` float32.
    """

    popularity: NDArray[np.float32]

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Popularity:
        """Build the scorer from a version's arrays."""
        return cls(arrays["popularity"])

    @property
    def n_items(self) -> int:
        """The number of items."""
        return len(self.popularity)

    def score(self, query: Query, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        """Return the popularity itself; see `Scorer.score`."""
        return self.popularity.copy() if items is None else self.popularity[items]
