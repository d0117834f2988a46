"""Why an item is answered, by true provenance: without the named item of the history its score would be lower."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from recsys.scorers import Blend, Query, Scorer
from recsys.scorers.history import distinct_items

MAX_CAUSES = 5  # items of the history that are tried; each costs one scoring of the answered items
LEAST_EFFECT = 1e-3  # a smaller drop of the logit is no reason that a person would call one


def causes(scorer: Scorer, query: Query, answered: NDArray[np.int32]) -> Mapping[int, int]:
    """Return, for answered items that have one, the item of the history that lifts them most, of those that are likely to.

    Args:
        scorer: The one that ranked them.
        query: What it was asked.
        answered: `(k,)` int32 distinct item indices.

    Returns:
        Item index → index of the cause. An item can be its own cause where the customer takes it again.
    """
    tried = suspects(scorer, query, answered)
    if not tried:
        return {}
    scores = scorer.score(query, answered)
    effects = np.stack([scores - scorer.score(query.without(item), answered) for item in tried])
    strongest = effects.argmax(0)
    return {
        int(item): tried[cause]
        for position, (item, cause) in enumerate(zip(answered, strongest, strict=True))
        if effects[cause, position] > LEAST_EFFECT
    }


def suspects(scorer: Scorer, query: Query, answered: NDArray[np.int32]) -> list[int]:
    """Return items of the history to try as causes, at most five: those with the strongest signals to an answered item, then the newest."""
    if not len(query.items) or not len(answered):
        return []
    strongest = []
    if isinstance(scorer, Blend):
        added = scorer.signals.contributions(query, scorer.weights[int(query.repeats), :-1], answered)
        best = added.argmax(0)
        worth = np.bincount(best, np.maximum(added.max(0), 0), len(added))
        strongest = distinct_items(query)[0][np.argsort(-worth, kind="stable")[: np.count_nonzero(worth)]].tolist()
    return list(dict.fromkeys([*strongest, *query.items[::-1].tolist()]))[:MAX_CAUSES]
