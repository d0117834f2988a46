"""Lists of everybody, step 2: the ranking of a block of users by one scorer, with matrix products for all of them.

A matrix product rounds differently from the product for one user, by about a millionth. So a ranking is used only where
neighbours in it are further apart than that; otherwise the user is asked alone. Scorers that count, or that sum weights
without such a product, give the very same scores either way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from recsys.evaluation.ranking import top_k
from recsys.features.features import (
    CONTENT,
    FACTORS,
    USER_ITEM,
    USER_ITEM_HALF_LIVES,
    Features,
)
from recsys.features.query import Floats, Indices, Mask, Query, user_item_sums
from recsys.recommending.batch.histories import Histories
from recsys.recommending.batch.tables import BlockTables, product_network
from recsys.recommending.user import User
from recsys.scorers.base import Scorer
from recsys.scorers.bmf import BMF
from recsys.scorers.encm import ENCM
from recsys.scorers.item_item import NeighbourScorer
from recsys.scorers.layers import LinearEnsemble, UserPart
from recsys.scorers.lncm import LNCM
from recsys.scorers.neumf import NeuMF
from recsys.scorers.popularity import Popularity

# Of a logit, for each 1 of the largest one; several times the difference that was seen between both ways.
TOLERANCE = 8e-6
# Of an MLP's activations: those of 8 users, 400 items and 64 units, 800 kB, fit into the processor's cache. With 512
# items, a power of two, it takes a fifth longer.
TILE_USERS, TILE_ITEMS = 8, 400


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
    scores = score_block(tables, model, [user.query for user in users])
    if not np.isfinite(scores).all():
        raise FloatingPointError(f"{model} should score finite numbers. Received: NaN or infinity.")
    scores[:, np.flatnonzero(~bundle.items.active)] = -np.inf
    is_exact = _is_exact(bundle.scorers[model], users[0].query.repeats)
    return [_ranking(row, user, k, is_exact) for row, user in zip(scores, users, strict=True)]


def rank_alone(tables: BlockTables, model: str, user: User, k: int) -> Ranking:
    """Return the `k` best eligible items of one user as a request scores them: every place is certain."""
    tables.n_ranked_alone += 1
    scores = np.where(tables.bundle.items.active, tables.bundle.scorers[model].score(user.query), np.float32(-np.inf))
    return _ranking(scores, user, k, is_exact=True)


def _ranking(scores: Floats, user: User, k: int, is_exact: bool) -> Ranking:
    scores[user.hidden] = -np.inf
    best = top_k(scores, k + 1)
    logits = scores[best]
    tolerance = TOLERANCE * max(1.0, float(np.abs(logits).max(initial=0)))
    close = np.flatnonzero(logits[:-1] - logits[1:] <= tolerance)
    n_certain = len(best) if is_exact or not len(close) else int(close[0])
    return Ranking(best[:k], logits[:k], min(n_certain, k), len(best) <= k)


def score_block(tables: BlockTables, model: str, queries: Sequence[Query]) -> Floats:
    """Return the scores of all items for each query by one scorer, `(b, n_items)` float32."""
    scorer, repeats = tables.bundle.scorers[model], queries[0].repeats
    if not isinstance(scorer, LinearEnsemble) or _is_exact(scorer, repeats):
        return np.stack([scorer.score(query) for query in queries])
    features, weights, histories = scorer.features, scorer.weights[int(repeats)], Histories.of(queries, scorer.n_items)
    network = product_network(scorer, weights)
    parts = [] if network is None else user_parts(network, histories)
    scores: Floats = _user_rows(features, weights, queries, parts) @ tables.columns(model, scorer, repeats)
    if item_item := features.item_item_sums(weights):
        strengths = histories.item_strengths()
        counts = np.stack([summed.strengths(weights, strengths) for summed in item_item], axis=1)
        tables.joined(item_item).add_to(scores, histories, counts)
    sums = user_item_sums(histories.all, histories.by_item, USER_ITEM_HALF_LIVES)
    user_item = np.concatenate([sums[:1] > 0, np.log1p(sums)], dtype=np.float32)
    scores[histories.pair_users, histories.pair_items] += weights[-len(USER_ITEM) - 1 : -1] @ user_item
    if parts and isinstance(scorer.network, NeuMF | ENCM):
        _add_tower(scores, scorer.network, np.stack([part.hidden for part in parts]), weights[-1])
    elif scorer.network is not None and weights[-1] and not parts:
        for row, query in zip(scores, queries, strict=True):
            row += weights[-1] * scorer.network.score(query)
    return scores


def _add_tower(scores: Floats, network: NeuMF | ENCM, users: Floats, weight: np.float32) -> None:
    """Add the weighted output of a network's MLP for each user and item to the scores, in place.

    It is computed as in `recsys.scorers.layers.tower`, with items as columns, which saves a seventh of the time: the
    layers are narrow, and a matrix product is faster if its long side is the contiguous one.

    Args:
        scores: `(b, n_items)` float32.
        network: The network with the MLP.
        users: `(b, hidden)` float32, the users' part of the first layer, bias included.
        weight: The network's weight.
    """
    output = weight * network.mlp_output
    kernels, shifts = [kernel.T.copy() for kernel, _ in network.layers], [users]
    for kernel, bias in network.layers:
        shifts.append(shifts[-1] @ kernel + bias)
    for start in range(0, network.n_items, TILE_ITEMS):
        which = slice(start, start + TILE_ITEMS)
        items = network.item_layer[which].T.copy()
        for first in range(0, len(users), TILE_USERS):
            some = slice(first, first + TILE_USERS)
            hidden = np.maximum(items, -shifts[0][some, :, None])
            for kernel, shift in zip(kernels, shifts[1:], strict=True):
                hidden = kernel @ hidden
                np.maximum(hidden, -shift[some, :, None], out=hidden)
            scores[some, which] += output @ hidden
    scores += (shifts[-1] @ output)[:, None]


def user_parts(network: BMF | LNCM | NeuMF | ENCM, histories: Histories, masks: Mask | None = None) -> list[UserPart]:
    """Return what a network takes from each user; `masks` as in `recsys.recommending.batch.histories`."""
    represented = histories.represented(network.user_representation, masks)
    of_users = None if masks is None else np.split(masks, histories.edges[1:-1], axis=1)
    if isinstance(network, LNCM):
        return network.user_parts(histories.queries, represented, of_users)
    if of_users is None:
        return [network.user_part(query, of) for query, of in zip(histories.queries, represented, strict=True)]
    parts = zip(histories.queries, represented, of_users, strict=True)
    return [network.user_part(query, of, of_user) for query, of, of_user in parts]


def _user_rows(features: Features, weights: Floats, queries: Sequence[Query], parts: Sequence[UserPart]) -> Floats:
    """Return what the scores of an ensemble take from the users, `(b, d)` float32.

    Their product with `BlockTables.columns` is the weighted sum of ALS, the network's dot product, and all that does
    not depend on the user or not on the item. Each further pass over the scores would take as long as the product.
    """
    rows = [_factors(features.user_factors, queries) * weights[FACTORS]] if weights[FACTORS] else []
    rows += [weights[-1] * np.stack([part.vector for part in parts])] if parts else []
    constants = [weights[-1] * part.constant for part in parts] or np.zeros(len(queries))
    return np.column_stack([*rows, np.ones(len(queries)), constants]).astype(np.float32)


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


def _factors(user_factors: Floats, queries: Sequence[Query]) -> Floats:
    """Return the users' vectors of ALS, `(b, dim)` float32; zeros for guests and unseen users."""
    indices = np.array([query.user for query in queries])
    known = indices < len(user_factors)
    factors = np.zeros((len(queries), user_factors.shape[1]), np.float32)
    factors[known] = user_factors[indices[known]]
    return factors
