"""The linear ensemble: a weighted sum of the features and, where there is one, a network's score."""

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
    """A weighted sum of the features and a network's score, as a scorer.

    Attributes:
        features: The features to add up.
        weights: `(2, N_FEATURES + 1)` float32. Row 0 hides purchased items, row 1 allows repeats. The last column is
            the network's weight.
        network: The network; None for the features alone.
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
        """Return the part of the whole catalogue's scores that all queries share, computed once, read-only."""
        if repeats not in self._priors:
            prior = self.features.prior(self.weights[int(repeats), :-1])
            prior.flags.writeable = False
            self._priors[repeats] = prior
        return self._priors[repeats]

    def score(self, query: Query, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        """Return the weighted sum of the features and the network's logits; see `Scorer.score`.

        The network is scored first. If several models are scored in threads, the fastest one then computes the features
        that all share, while the others still compute their networks.
        """
        weights = self.weights[int(query.repeats)]
        network = self.network.score(query, items) if self.network is not None and weights[-1] else None
        scores = self.features.blend(query, weights[:-1], items, self._prior(query.repeats) if items is None else None)
        if network is not None:
            scores += weights[-1] * network
        return scores

    def score_drops(self, query: Query, without: Sequence[int], items: NDArray[np.int32]) -> NDArray[np.float32]:
        """Return how much the scores of some items drop when each of some history items is left out.

        Why this exists: the explanation of an item is the history item whose absence lowers its score most, by what the
        model computes, not by a separate guess. All drops are computed in one batch. Features give the difference of
        two sums; the network scores all leave-one-out variants in one call. See `Query.leave_one_out_variants`.

        Args:
            query: The user and the moment.
            without: The items of the history to leave out, one at a time.
            items: `(k,)` indices of the scored items.

        Returns:
            `(len(without), k)` float32; negative where an item's presence lowers a score.
        """
        one_left_out, weights = query.leave_one_out_variants(without), self.weights[int(query.repeats)]
        score_drops = self.features.score_drops(one_left_out, weights[:-1], without, items)
        if self.network is not None and weights[-1]:
            network = self.network.score(one_left_out, items)
            score_drops += weights[-1] * (network[0] - network[1:])
        return score_drops
