"""Why an item is answered, by true provenance: without the named item of the history its score would be lower."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from recsys.scorers import Query, Scorer

MAX_CAUSES = 10  # newest distinct items of the history that are tried; each costs one scoring of the answered items
LEAST_EFFECT = 1e-3  # a smaller drop of the logit is no reason that a person would call one


def causes(scorer: Scorer, query: Query, answered: NDArray[np.int32]) -> Mapping[int, int]:
    """Return, for answered items that have one, the item of the history that lifts them most.

    Args:
        scorer: The one that ranked them.
        query: What it was asked.
        answered: `(k,)` int32 item indices.

    Returns:
        Item index → index of the cause. An item can be its own cause where the customer takes it again.
    """
    newest_first = list(dict.fromkeys(query.items[::-1].tolist()))[:MAX_CAUSES]
    if not newest_first or not len(answered):
        return {}
    scores = scorer.score(query, answered)
    effects = np.stack([scores - scorer.score(query.without(item), answered) for item in newest_first])
    strongest = effects.argmax(0)
    return {
        int(item): newest_first[cause]
        for position, (item, cause) in enumerate(zip(answered, strongest, strict=True))
        if effects[cause, position] > LEAST_EFFECT
    }
