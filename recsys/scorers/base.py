"""What every scorer is asked and what it answers."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from recsys.features.query import Query


class Scorer(Protocol):
    """A trained model that ranks the catalogue for one query, in NumPy."""

    @property
    def n_items(self) -> int:
        """The number of items it scores."""
        ...

    def score(self, query: Query, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        """Return one logit z(u, i) for each item.

        Args:
            query: The customer and the moment.
            items: `(k,)` indices to score; None scores all.

        Returns:
            `(k,)` or `(n_items,)` float32, finite; higher is better; not calibrated.
        """
        ...
