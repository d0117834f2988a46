"""Lists of everybody, step 2: the ranking of a block of users by one scorer, with matrix products for all of them.

A matrix product rounds differently from the product for one user, by about a millionth. So a ranking is used only where
neighbours in it are further apart than that; otherwise the user is asked alone. Scorers that count, or that sum weights
without such a product, give the very same scores either way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.evaluation.ranking import top_k
from recsys.features.features import CONTENT, FACTORS, USER_ITEM, USER_ITEM_HALF_LIVES, Neighbours
from recsys.features.query import Floats, Indices, Query, user_item_sums
from recsys.recommending.batch.histories import Histories
from recsys.recommending.loading import ModelBundle
from recsys.recommending.user import User
from recsys.scorers.base import Network, Scorer
from recsys.scorers.bmf import BMF
from recsys.scorers.encm import ENCM
from recsys.scorers.item_item import NeighbourScorer
from recsys.scorers.layers import LinearEnsemble, tower
from recsys.scorers.lncm import LNCM
from recsys.scorers.neumf import NeuMF
from recsys.scorers.popularity import Popularity

# Of a logit, for each 1 of the largest one; several times the difference that was seen between both ways.
TOLERANCE = 4e-6


class BlockTables:
    """A version, with arrays that every block of users needs in another form.

    Attributes:
        bundle: The version.
    """

    def __init__(self, bundle: ModelBundle) -> None:
        """Take a version; the arrays are made on first use."""
        self.bundle = bundle
        self._columns: dict[str, NDArray[np.intp]] = {}

    def columns(self, name: str) -> NDArray[np.intp]:
        """Return the columns of an item-item matrix as `np.add.at` reads them, without a conversion in each call.

        Args:
            name: The matrix's name in `Features`.
        """
        if name not in self._columns:
            self._columns[name] = getattr(self.bundle.scorers.features, name).neighbours.astype(np.intp)
        return self._columns[name]


class Ranking(NamedTuple):
    """The best items of one user.

    Attributes:
        items: `(k,)` int32 item indices, best first.
        logits: `(k,)` float32, their scores.
        n_certain: How many of the first items are certain to stand in this order, whatever way they are scored.
        is_all: Whether these are all eligible items.
    """

    items: Indices
    logits: Floats
    n_certain: int
    is_all: bool


def rank_block(tables: BlockTables, model: str, users: Sequence[User], k: int) -> list[Ranking]:
    """Return the `k` best eligible items of each user by one scorer.

    Args:
        tables: The version.
        model: The scorer's registry name.
        users: The users of a block.
        k: The length of a ranking.

    Raises:
        FloatingPointError: A score is not finite.
    """
    bundle = tables.bundle
    scorer = bundle.scorers[model]
    scores = score_block(tables, scorer, [user.query for user in users])
    if not np.isfinite(scores).all():
        raise FloatingPointError(f"{model} should score finite numbers. Received: NaN or infinity.")
    scores += np.where(bundle.items.active, np.float32(0), np.float32(-np.inf))
    is_exact = _is_exact(scorer, users[0].query.repeats)
    return [_ranking(row, user, k, is_exact) for row, user in zip(scores, users, strict=True)]


def _ranking(scores: Floats, user: User, k: int, is_exact: bool) -> Ranking:
    scores[user.hidden] = -np.inf
    best = top_k(scores, k + 1)
    logits = scores[best]
    tolerance = TOLERANCE * max(1.0, float(np.abs(logits).max(initial=0)))
    close = np.flatnonzero(logits[:-1] - logits[1:] <= tolerance)
    n_certain = len(best) if is_exact or not len(close) else int(close[0])
    return Ranking(best[:k], logits[:k], min(n_certain, k), len(best) <= k)


def score_block(tables: BlockTables, scorer: Scorer, queries: Sequence[Query]) -> Floats:
    """Return the scores of all items for each query, `(b, n_items)` float32."""
    if not isinstance(scorer, LinearEnsemble) or _is_exact(scorer, queries[0].repeats):
        return np.stack([scorer.score(query) for query in queries])
    row, features = int(queries[0].repeats), scorer.features
    weights, histories = scorer.weights[row], Histories.of(queries, scorer.n_items)
    scores = _products(_factors(features.user_factors, queries) * weights[FACTORS], features.item_factors)
    scores += features.prior(weights[:-1])
    strengths = histories.item_strengths()
    for summed in features.item_item_sums(weights):
        columns = tables.columns(summed.name)
        _accumulate(scores, histories, summed.matrix, columns, summed.strengths(weights, strengths))
    sums = user_item_sums(histories.all, histories.by_item, USER_ITEM_HALF_LIVES)
    user_item = np.concatenate([sums[:1] > 0, np.log1p(sums)], dtype=np.float32)
    scores[histories.pair_users, histories.pair_items] += weights[-len(USER_ITEM) - 1 : -1] @ user_item
    if scorer.network is not None and weights[-1]:
        _add_network(scores, scorer.network, histories, weights[-1])
    return scores


def _is_exact(scorer: Scorer, repeats: bool) -> bool:
    """Return whether the scores are the very same as those of one request, because they are summed the same way.

    An ensemble without a product is scored query by query where content counts: items of like description often tie,
    and every user with such a tie would be asked alone.
    """
    if not isinstance(scorer, LinearEnsemble):
        return isinstance(scorer, NeighbourScorer | Popularity)
    weights = scorer.weights[int(repeats)]
    has_product = weights[FACTORS] or (scorer.network is not None and weights[-1])
    return bool(weights[CONTENT]) and not has_product


def _accumulate(
    scores: Floats, histories: Histories, matrix: Neighbours, columns: NDArray[np.intp], strengths: Floats
) -> None:
    """Add `Σ_j strengths_j · W[items_j, :]` of each user's items to the user's scores, in place.

    `np.add.at` takes a third of the time of a sparse product with its intermediate copies.
    """
    starts = matrix.starts[histories.pair_items].tolist()
    ends = matrix.starts[histories.pair_items + 1].tolist()
    similarities = matrix.similarities
    pairs = zip(histories.pair_users.tolist(), starts, ends, strengths, strict=True)
    for user, first, last, strength in pairs:
        if strength:
            np.add.at(scores[user], columns[first:last], similarities[first:last] * strength)


def _factors(user_factors: Floats, queries: Sequence[Query]) -> Floats:
    """Return the users' vectors of ALS, `(b, dim)` float32; zeros for guests and unseen users."""
    indices = np.array([query.user for query in queries])
    known = indices < len(user_factors)
    factors = np.zeros((len(queries), user_factors.shape[1]), np.float32)
    factors[known] = user_factors[indices[known]]
    return factors


def _products(users: Floats, items: Floats) -> Floats:
    scores: Floats = users @ items.T
    return scores


def _add_network(scores: Floats, network: Network, histories: Histories, weight: np.float32) -> None:
    """Add the weighted logits of a network to the scores, in place."""
    if not isinstance(network, BMF | LNCM | NeuMF | ENCM):
        for row, query in zip(scores, histories.queries, strict=True):
            row += weight * network.score(query)
        return
    represented = histories.represented(network.user_representation)
    parts = [network.user_part(query, of) for query, of in zip(histories.queries, represented, strict=True)]
    scores += _products(weight * np.stack([part.vector for part in parts]), network.item_factors)
    scores += weight * network.item_bias
    scores += weight * np.array([[part.constant] for part in parts], np.float32)
    if isinstance(network, NeuMF | ENCM):
        for row, part in zip(scores, parts, strict=True):
            row += weight * tower(network.item_layer, part.hidden, network.layers, network.mlp_output)
