"""Content: how much an item's description is like those of the items that a user liked.

Training writes each item as a vector of TF-IDF weights, in `recsys.training.closed_form.content`. Here they are plain
arrays.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recsys.errors.records import Record
from recsys.features.query import MAX_HISTORY, Arrays, Floats, Indices, Query, ages

PREFIX = "content/"
DECAY = 0.9  # of an event's weight, for each moment of age
_RECENCY = (DECAY ** np.arange(MAX_HISTORY)).astype(np.float32)


class Content(Record):
    """The descriptions of all items, one row an item, in CSR form. A row has length 1, or 0 without a description.

    Attributes:
        starts: `(n_items + 1,)` int64; the row of item i is at `starts[i]:starts[i + 1]` of the other two.
        terms: `(k,)` int32, the terms of a row, ascending; a term is a word or a value of an attribute.
        values: `(k,)` float32, the weight of each term in its row, above 0.
    """

    starts: NDArray[np.int64]
    terms: Indices
    values: Floats

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Content:
        """Build the descriptions from a version's arrays."""
        return cls(*(arrays[f"{PREFIX}{name}"] for name in ("starts", "terms", "values")))

    @classmethod
    def nothing(cls, n_items: int) -> Content:
        """Return descriptions of items of which nothing is known."""
        return cls(np.zeros(n_items + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))

    @property
    def arrays(self) -> dict[str, NDArray]:
        """The arrays of a version."""
        return {f"{PREFIX}{name}": getattr(self, name) for name in ("starts", "terms", "values")}

    @property
    def n_items(self) -> int:
        """The number of items."""
        return len(self.starts) - 1

    @cached_property
    def _n_terms(self) -> int:
        return int(self.terms.max(initial=-1)) + 1

    @cached_property
    def _rows(self) -> NDArray[np.intp]:
        """The item of each value, `(k,)`."""
        return np.repeat(np.arange(self.n_items), np.diff(self.starts))

    def score(self, query: Query) -> Floats:
        """Return the cosine between each item's description and the sum of those that the user liked.

        Each event counts by its positive weight, decayed with its age; disliked items count nothing.

        Args:
            query: The user and the moment.

        Returns:
            `(n_items,)` float32, 0 to 1; 0 for every item without a history that says anything.
        """
        strengths = np.maximum(query.weights, 0) * _RECENCY[ages(query)]
        profile = np.zeros(self._n_terms)
        for item, strength in zip(query.items.tolist(), strengths.tolist(), strict=True):
            row = slice(int(self.starts[item]), int(self.starts[item + 1]))
            profile[self.terms[row]] += strength * self.values[row]  # a row names a term once
        length = float(np.sqrt(profile @ profile))
        if length == 0:
            return np.zeros(self.n_items, np.float32)
        products = self.values * (profile / length).astype(np.float32)[self.terms]
        return np.bincount(self._rows, products, self.n_items).astype(np.float32)
