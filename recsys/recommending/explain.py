"""Explanations of recommended items, found by scoring them again without single items of the history (leave-one-out).

An explanation is true by construction: without the item that it names, the recommended item would score lower.
An ensemble scores all variants in one batch: scored one by one, five variants cost LNCM up to 21 ms.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from recsys.contract.request import MAX_LIMIT
from recsys.features.history import distinct_items
from recsys.features.query import Query
from recsys.scorers.base import Scorer
from recsys.scorers.ensemble import LinearEnsemble

MAX_CAUSES = 5  # candidate causes; each costs one scoring of the recommended items
# The weight of each position of a list, as in DCG: users see the first positions most.
RANK_WEIGHTS = 1 / np.log2(np.arange(MAX_LIMIT) + 2)
LEAST_EFFECT = 1e-3  # a smaller drop of the logit is no explanation for people


def explanations(scorer: Scorer, query: Query, recommended: NDArray[np.int32]) -> Mapping[int, int]:
    """Return the candidate cause that raises each recommended item's score most, where one does.

    Args:
        scorer: The scorer that ranked the items.
        query: The query that it scored.
        recommended: `(k,)` int32 distinct item indices, the best first; at most `MAX_LIMIT`.

    Returns:
        Item index → index of its cause. An item can be its own cause where the user takes it again.
    """
    candidates = candidate_causes(scorer, query, recommended)
    if not candidates:
        return {}
    if isinstance(scorer, LinearEnsemble):
        effects = scorer.score_drops(query, candidates, recommended)
    else:
        scores_without = [scorer.score(query.without(item), recommended) for item in candidates]
        effects = scorer.score(query, recommended) - np.stack(scores_without)
    strongest = effects.argmax(0)
    return {
        int(item): candidates[cause]
        for position, (item, cause) in enumerate(zip(recommended, strongest, strict=True))
        if effects[cause, position] > LEAST_EFFECT
    }


def candidate_causes(scorer: Scorer, query: Query, recommended: NDArray[np.int32]) -> list[int]:
    """Return the items of the history that may be a cause, at most `MAX_CAUSES`.

    They are the items whose features contribute most to the recommended items, and the newest items, on which a
    network's score depends most.

    Args:
        scorer: The scorer that ranked the items.
        query: The query that it scored.
        recommended: `(k,)` int32, the best first; at most `MAX_LIMIT`.
    """
    if not len(query.items) or not len(recommended):
        return []
    strongest = []
    if isinstance(scorer, LinearEnsemble):
        added = scorer.features.contributions(query, scorer.weights[int(query.repeats), :-1], recommended)
        contributions = np.maximum(added, 0) @ RANK_WEIGHTS[: len(recommended)]
        best_first = np.argsort(-contributions, kind="stable")[: np.count_nonzero(contributions)]
        strongest = distinct_items(query)[best_first].tolist()
    newest = query.items[::-1].tolist()
    return list(dict.fromkeys([*strongest[: MAX_CAUSES - 1], newest[0], *strongest, *newest]))[:MAX_CAUSES]
