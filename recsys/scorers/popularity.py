"""Baselines that count: popularity alone, and a user's own counts followed by popularity."""

from __future__ import annotations

from typing import Self

import numpy as np

from recsys.errors.records import Record
from recsys.features.features import FeatureValues
from recsys.features.query import Arrays, Floats, Indices, Query, add_at, user_item_counts


class Popularity(Record):
    """Ranks items by popularity, the same list for all users.

    Attributes:
        popularity: `(n_items,)` float32, the summed weight of each item's events, in all time or recently.
    """

    popularity: Floats

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Build the scorer from a version's arrays."""
        return cls(arrays["popularity"])

    @property
    def n_items(self) -> int:
        """The number of items."""
        return len(self.popularity)

    def score(self, query: Query, features: FeatureValues | None = None, items: Indices | None = None) -> Floats:
        """Return the popularity itself; see `Scorer.score`."""
        return self.popularity.copy() if items is None else self.popularity[items]


class UserFrequency(Popularity):
    """Ranks items by how often the user chose them, and the others by popularity."""

    def score(self, query: Query, features: FeatureValues | None = None, items: Indices | None = None) -> Floats:
        """Return the user's count plus half of the relative popularity; see `Scorer.score`."""
        user_items, frequencies, _ = user_item_counts(query)
        return self._add_popularity(0.5, user_items, frequencies, items)

    def _add_popularity(
        self,
        share: float,
        user_items: Indices,
        frequencies: Floats,
        items: Indices | None,
    ) -> Floats:
        """Return popularity, scaled to at most `share`, plus the frequencies of the user's items."""
        which = slice(None) if items is None else items
        scores = self.popularity[which] * np.float32(share / max(float(self.popularity.max(initial=0)), 1e-9))
        add_at(scores, user_items, frequencies, items)
        return scores


class DecayedUserFrequency(UserFrequency):
    """Ranks items by how often, and how recently, the user chose them; `popularity` is the recent one."""

    def score(self, query: Query, features: FeatureValues | None = None, items: Indices | None = None) -> Floats:
        """Return the user's count, plus the decayed count, plus twice the relative popularity; see `Scorer.score`."""
        user_items, frequencies, decayed = user_item_counts(query)
        return self._add_popularity(2.0, user_items, frequencies + decayed, items)
