"""The linear ensemble: a weighted sum of the features, and of a network where there is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from recsys.features.features import Features
from recsys.features.query import Query
from recsys.scorers.base import Scorer


@dataclass(frozen=True, eq=False)
class LinearEnsemble:
    """The signals, and on top of them a network's own part where there is one.

    Attributes:
        features: What is added up.
        weights: `(2, N_SIGNALS + 1)` float32: rows repeats hidden and allowed; the last column is the network's.
        network: The network's own part; None leaves the signals alone.
    """

    features: Features
    weights: NDArray[np.float32]
    network: Scorer | None = None
    _priors: dict[bool, NDArray[np.float32]] = field(init=False, repr=False, default_factory=dict)

    @property
    def n_items(self) -> int:
        """The number of items."""
        return self.features.n_items

    def _prior(self, repeats: bool) -> NDArray[np.float32]:
        """Return what every question about the whole catalogue begins with; nobody may write to it."""
        if repeats not in self._priors:
            prior = self.features.prior(self.weights[int(repeats), :-1])
            prior.flags.writeable = False
            self._priors[repeats] = prior
        return self._priors[repeats]

    def score(self, query: Query, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        """Return the weighted sum of the signals and the network's logits; see `Scorer.score`.

        The network comes first: where models are scored in threads, the quickest one computes the signals while others
        are in their towers.
        """
        weights = self.weights[int(query.repeats)]
        network = self.network.score(query, items) if self.network is not None and weights[-1] else None
        scores = self.features.blend(query, weights[:-1], items, self._prior(query.repeats) if items is None else None)
        if network is not None:
            scores += weights[-1] * network
        return scores

    def score_drops(self, query: Query, without: Sequence[int], items: NDArray[np.int32]) -> NDArray[np.float32]:
        """Return by how much lower the items would score without each of some items of the history, `(len(without), k)` float32.

        Args:
            query: The customer and the moment.
            without: Items of the history.
            items: `(k,)` indices.
        """
        variants, weights = query.leave_one_out_variants(without), self.weights[int(query.repeats)]
        score_drops = self.features.score_drops(variants, weights[:-1], without, items)
        if self.network is not None and weights[-1]:
            network = self.network.score(variants, items)
            score_drops += weights[-1] * (network[0] - network[1:])
        return score_drops
