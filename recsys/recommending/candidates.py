"""Which items compete for a place in a list: all that may be answered while these are few, else some thousands that are promising."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from recsys.recommending.customer import Customer
from recsys.scorers import EXHAUSTIVE_UP_TO, Query

FEW = 4  # items so many times fewer than the catalogue are gathered and scored; more are not worth gathering


def competing(
    names: Iterable[str], customer: Customer, query: Query, allowed: NDArray[np.bool_], at_least: int
) -> NDArray[np.int32] | None:
    """Return the items to score.

    Args:
        names: The scorers that will rank them.
        customer: Who asks.
        query: Her question.
        allowed: `(n_items,)` bool, the items that may be answered.
        at_least: So many are needed; where fewer are promising, all that may be answered compete.

    Returns:
        `(k,)` int32 ascending, all of them allowed; None for the whole catalogue, of which some may not be allowed.
    """
    loaded, n_allowed = customer.loaded, int(np.count_nonzero(allowed))
    if n_allowed > EXHAUSTIVE_UP_TO and loaded.candidates is not None:
        scorers = [loaded.scorer(name) for name in names if name in loaded.names]
        promising = loaded.candidates.of(query, allowed, scorers)
        if len(promising) >= at_least:
            return promising
    return np.flatnonzero(allowed).astype(np.int32) if n_allowed * FEW <= len(allowed) else None
