"""The interface of every scorer."""

from __future__ import annotations

from typing import Protocol

from recsys.features.features import FeatureValues
from recsys.features.query import Floats, Indices, Mask, Query


class Scorer(Protocol):
    """Anything that gives each item of the catalogue a score for one query, in NumPy."""

    @property
    def n_items(self) -> int:
        """The number of items in the catalogue."""
        ...

    def score(self, query: Query, features: FeatureValues | None = None, items: Indices | None = None) -> Floats:
        """Return one score z(u, i) for each item; networks and ensembles give logits.

        Args:
            query: The user and the moment.
            features: The query's features of the same items, which ensembles share. An ensemble that gets None computes
                them itself; other scorers do not read them.
            items: `(k,)` indices to score; None scores the whole catalogue.

        Returns:
            `(k,)` or `(n_items,)` float32, finite; higher is better; not calibrated.
        """
        ...


class Network(Scorer, Protocol):
    """A network's forward pass, which can also score leave-one-out variants of a query in one batch."""

    def score(
        self,
        query: Query,
        features: FeatureValues | None = None,
        items: Indices | None = None,
        masks: Mask | None = None,
    ) -> Floats:
        """Return logits; see `Scorer.score`. Features are not read.

        Args:
            query: The user and the moment.
            features: None.
            items: `(k,)` indices to score; None scores the whole catalogue.
            masks: `(v, h)` bool, the events that each of v variants has; only together with `items`.

        Returns:
            `(k,)` or `(n_items,)` float32; `(v, k)` for variants.
        """
        ...
