"""Lists of everybody, step 4: leave-one-out explanations of the lists of a block of users, all at once.

`recsys.recommending.explain.explanations` says the same of one user, in 1 to 3 ms; most of that are small arrays. Here
the variants of all histories are one array. As products round differently, an explanation counts only where it is ahead
of the next one by more than that; otherwise the user's list is explained alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from recsys.features.query import Floats, Indices, Query
from recsys.recommending.batch.histories import Histories
from recsys.recommending.batch.scores import user_parts
from recsys.recommending.explain import LEAST_EFFECT, MAX_CAUSES, RANK_WEIGHTS, candidate_causes, explanations
from recsys.scorers.base import Network, Scorer
from recsys.scorers.bmf import BMF
from recsys.scorers.encm import ENCM
from recsys.scorers.item_item import NeighbourScorer
from recsys.scorers.layers import LinearEnsemble, tower
from recsys.scorers.lncm import LNCM
from recsys.scorers.neumf import NeuMF

CLOSE = 2e-5  # effects on a logit that differ less may change places with the rounding
NO_ITEM = -1  # fills up the candidates of short histories; leaving it out changes nothing


def explain_block(scorer: Scorer, queries: Sequence[Query], recommended: Sequence[Indices]) -> list[Mapping[int, int]]:
    """Return the explanations of each user's list: item index → index of the item of the history that is its cause.

    Args:
        scorer: The scorer that ranked the items.
        queries: The users' queries.
        recommended: The item indices of each user's list, best first.
    """
    explained: list[Mapping[int, int] | None] = [None] * len(queries)
    length = max(map(len, recommended), default=0)
    together = [
        user
        for user, (query, items) in enumerate(zip(queries, recommended, strict=True))
        if len(query.items) and len(items) == length > 0
    ]
    if together and isinstance(scorer, LinearEnsemble | NeighbourScorer):
        lists = np.stack([recommended[user] for user in together])
        tried, effects = _effects(scorer, [queries[user] for user in together], lists)
        found = _strongest(tried, effects, lists)
        for user, of_user in zip(together, found, strict=True):
            explained[user] = of_user
    return [
        explanations(scorer, query, items) if of_user is None else of_user
        for query, items, of_user in zip(queries, recommended, explained, strict=True)
    ]


def _strongest(tried: Indices, effects: Floats, lists: Indices) -> list[Mapping[int, int] | None]:
    """Return the cause with the largest effect on each item, by user; None where two of them are too close.

    Args:
        tried: `(b, c)` int32, items of the history that were left out, or `NO_ITEM`.
        effects: `(b, c, k)` float32, how much each recommended score falls without them.
        lists: `(b, k)` int32, the recommended items.
    """
    effects[tried[:, :, None] == lists[:, None, :]] = 0  # an item does not explain itself
    best = effects.argmax(1)
    ordered = np.sort(effects, axis=1)
    highest, second = ordered[:, -1], ordered[:, -2]
    is_cause = highest > LEAST_EFFECT
    is_close = (np.abs(highest - LEAST_EFFECT) < CLOSE) | (is_cause & (highest - second < CLOSE))
    chosen = np.take_along_axis(tried, best, 1)
    return [
        None if close else {item: cause for item, cause, is_one in zip(items, of_items, ones, strict=True) if is_one}
        for close, items, of_items, ones in zip(
            is_close.any(1).tolist(), lists.tolist(), chosen.tolist(), is_cause.tolist(), strict=True
        )
    ]


def _effects(
    scorer: LinearEnsemble | NeighbourScorer, queries: Sequence[Query], lists: Indices
) -> tuple[Indices, Floats]:
    """Return the items that were left out `(b, c)`, and their effects `(b, c, k)` float32; arguments as above."""
    histories = Histories.of(queries, scorer.n_items)
    if isinstance(scorer, NeighbourScorer):
        return _effects_of_neighbours(scorer, histories, lists)
    weights, columns = scorer.weights[int(queries[0].repeats)], lists[histories.pair_users]
    rows = histories.pair_items[:, None]
    sums = scorer.features.item_item_sums(weights)
    blocks = [summed.matrix.at(rows, columns) for summed in sums]
    contributions, strengths = np.zeros(columns.shape, np.float32), histories.item_strengths()
    for summed, block in zip(sums, blocks, strict=True):
        contributions += summed.strengths(weights, strengths)[:, None] * block
    np.maximum(contributions, 0, out=contributions)
    contributions[rows == columns] = 0
    tried = _tried(histories, contributions @ RANK_WEIGHTS[: lists.shape[1]])
    owners = np.repeat(np.arange(len(queries)), np.diff(histories.edges))
    masks = np.append(np.full((len(queries), 1), NO_ITEM, np.int32), tried, axis=1).T[:, owners] != histories.items
    strengths = histories.item_strengths(masks)
    by_mask = np.zeros((len(queries), len(masks), lists.shape[1]), np.float32)
    edges = histories.pair_edges.tolist()
    for summed, block in zip(sums, blocks, strict=True):
        of_matrix = summed.strengths(weights, strengths)
        for of_user, first, last in zip(by_mask, edges[:-1], edges[1:], strict=True):
            of_user += of_matrix[:, first:last] @ block[first:last]
    effects = by_mask[:, :1] - by_mask[:, 1:]
    if scorer.network is not None and weights[-1]:
        network = _variants(scorer.network, histories, lists, masks)
        effects += weights[-1] * (network[:, :1] - network[:, 1:])
    return tried, effects


def _tried(histories: Histories, totals: NDArray) -> Indices:
    """Return the items to leave out of each history, `(b, MAX_CAUSES)` int32; see `candidate_causes`.

    Args:
        histories: The users' histories.
        totals: `(m,)` floats, how much each pair contributes to the user's list.
    """
    tried = np.full((len(histories.queries), MAX_CAUSES), NO_ITEM, np.int32)
    edges = histories.pair_edges.tolist()
    for user, (first, last) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        total = totals[first:last]
        best_first = np.argsort(-total, kind="stable")[: np.count_nonzero(total)]
        strongest = histories.pair_items[first:last][best_first].tolist()
        of_user = candidate_causes(histories.queries[user], strongest)
        tried[user, : len(of_user)] = of_user
    return tried


def _effects_of_neighbours(scorer: NeighbourScorer, histories: Histories, lists: Indices) -> tuple[Indices, Floats]:
    """Return the items left out and their effects for item-item baselines, whose sums lose one item's part."""
    tried = _tried(histories, np.zeros(len(histories.pair_items)))
    weights = np.minimum(histories.by_item.sum(np.maximum(histories.all.weights, 0)).astype(np.float32), 1)
    effects = np.zeros((*tried.shape, lists.shape[1]), np.float32)
    matrix = scorer.neighbours
    for user, (of_user, items) in enumerate(zip(tried, lists, strict=True)):
        pairs = slice(histories.pair_edges[user], histories.pair_edges[user + 1])
        counts = dict(zip(histories.pair_items[pairs].tolist(), weights[pairs], strict=True))
        for place, cause in enumerate(of_user.tolist()):
            if cause != NO_ITEM:
                row = slice(matrix.starts[cause], matrix.starts[cause + 1])
                at, of = np.nonzero(matrix.neighbours[row, None] == items)
                effects[user, place, of] = counts[cause] * matrix.similarities[row][at]
    return tried, effects


def _variants(network: Network, histories: Histories, lists: Indices, masks: NDArray[np.bool_]) -> Floats:
    """Return a network's logits of each user's list under each variant of the history, `(b, v, k)` float32."""
    if not isinstance(network, BMF | LNCM | NeuMF | ENCM):
        parts = zip(histories.queries, lists, np.split(masks, histories.edges[1:-1], axis=1), strict=True)
        return np.stack([network.score(query, None, items, of_user) for query, items, of_user in parts])
    users = user_parts(network, histories, masks)
    logits: Floats = np.stack([user.vector for user in users]) @ network.item_factors[lists].swapaxes(1, 2)
    if isinstance(network, ENCM):  # in NeuMF's MLP the history has no part
        for of_user, user, items in zip(logits, users, lists, strict=True):
            of_user += tower(network.item_layer, user.hidden, network.layers, network.mlp_output, items)
    return logits
