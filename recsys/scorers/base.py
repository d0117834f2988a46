"""The interface of every scorer."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from recsys.features.query import Query


class Scorer(Protocol):
    """Anything that gives each item of the catalogue a score for one query, in NumPy."""

    @property
    def n_items(self) -> int:
        """The number of items in the catalogue."""
        ...

    def score(self, query: Query, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        """Return one score z(u, i) for each item; networks and ensembles give logits.

        Args:
            query: The user and the moment.
            items: `(k,)` indices to score; None scores the whole catalogue.

        Returns:
            `(k,)` or `(n_items,)` float32, finite; higher is better; not calibrated.
        """
        ...
