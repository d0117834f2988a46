"""Why an item is answered, by true provenance: without the named item of the history its score would be lower."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from recsys.contract.request import MAX_LIMIT
from recsys.features.history import distinct_items
from recsys.features.query import Query
from recsys.scorers.base import Scorer
from recsys.scorers.ensemble import LinearEnsemble

MAX_CAUSES = 5  # items of the history that are tried; each costs one scoring of the answered items
RANK_WEIGHTS = 1 / np.log2(
    np.arange(MAX_LIMIT) + 2
)  # how much each place of a list counts: the first ones are the ones that are seen
LEAST_EFFECT = 1e-3  # a smaller drop of the logit is no reason that a person would call one


def explanations(scorer: Scorer, query: Query, answered: NDArray[np.int32]) -> Mapping[int, int]:
    """Return, for answered items that have one, the item of the history that lifts them most, of those that are likely to.

    Args:
        scorer: The one that ranked them.
        query: What it was asked.
        answered: `(k,)` int32 distinct item indices, the best first; at most `MAX_LIMIT`.

    Returns:
        Item index → index of the cause. An item can be its own cause where the customer takes it again.
    """
    tried = candidate_causes(scorer, query, answered)
    if not tried:
        return {}
    if isinstance(scorer, LinearEnsemble):
        effects = scorer.score_drops(query, tried, answered)
    else:
        effects = scorer.score(query, answered) - np.stack(
            [scorer.score(query.without(item), answered) for item in tried]
        )
    strongest = effects.argmax(0)
    return {
        int(item): tried[cause]
        for position, (item, cause) in enumerate(zip(answered, strongest, strict=True))
        if effects[cause, position] > LEAST_EFFECT
    }


def candidate_causes(scorer: Scorer, query: Query, answered: NDArray[np.int32]) -> list[int]:
    """Return items of the history to try as causes, at most five.

    They are those with the strongest signals to the answered items, and the newest, which a network's own part depends
    on most.

    Args:
        scorer: The one that ranked them.
        query: What it was asked.
        answered: `(k,)` int32, the best first; at most `MAX_LIMIT`.
    """
    if not len(query.items) or not len(answered):
        return []
    strongest = []
    if isinstance(scorer, LinearEnsemble):
        added = scorer.features.contributions(query, scorer.weights[int(query.repeats), :-1], answered)
        worth = np.maximum(added, 0) @ RANK_WEIGHTS[: len(answered)]
        strongest = distinct_items(query)[np.argsort(-worth, kind="stable")[: np.count_nonzero(worth)]].tolist()
    newest = query.items[::-1].tolist()
    return list(dict.fromkeys([*strongest[: MAX_CAUSES - 1], newest[0], *strongest, *newest]))[:MAX_CAUSES]
