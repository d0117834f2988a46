"""What the history keeps of a shop at each training run: its size, its sparsity, and how similar its items are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.errors import NotEnoughData
from recsys.features.query import Arrays
from recsys.training.closed_form.co_occurrence import user_item_matrix
from recsys.training.closed_form.item_cf import item_cf
from recsys.training.run import TrainingRun
from recsys.training.stages import encode_events


def shop_figures(run: TrainingRun) -> dict[str, Any]:
    """Return the time of the run and the shop's figures, as models/metrics.json has them.

    Without a fit, as after a refusal, the items' similarities are computed from the cleaned events.

    Args:
        run: The run, at least with its cleaned events.
    """
    moment = {"timestamp": run.now, "trained_at": run.now}
    if run.final is not None:
        data, similar = run.final.data, run.final.baselines["item_cf"]
        return {**moment, **figures(data.users, data.items, data.n_users, data.n_items, similar)}
    try:
        _, data = encode_events(run, run.events)
    except NotEnoughData:
        users, items = (np.unique(ids, return_inverse=True) for ids in (run.events.users, run.events.items))
        return {**moment, **figures(users[1], items[1], len(users[0]), len(items[0]))}
    similar = item_cf(user_item_matrix(data))
    return {**moment, **figures(data.users, data.items, data.n_users, data.n_items, similar)}


def figures(
    users: NDArray[np.integer],
    items: NDArray[np.integer],
    n_users: int,
    n_items: int,
    similar: Arrays | None = None,
) -> dict[str, Any]:
    """Return the figures of a shop's events.

    Args:
        users: `(n,)` the index of each event's user.
        items: `(n,)` the index of each event's item.
        n_users: The number of users.
        n_items: The number of items.
        similar: The arrays of item-based collaborative filtering, which holds no similarity of an item to itself.

    Returns:
        `n_users`, `n_products`, `n_interactions`; `sparsity`, the share of pairs of a user and a product without an
        event; `similarity_density`, the share of ordered pairs of two products with a similarity; `avg_similarity`, the
        mean of these similarities. All three are from 0 to 1, or None where there is no pair.
    """
    cells, pairs = n_users * n_items, n_items * (n_items - 1)
    seen = len(np.unique(users.astype(np.int64) * n_items + items))
    similarities = np.zeros(0) if similar is None else similar["similarities"]
    n_similar = len(similarities)
    return {
        "n_users": n_users,
        "n_products": n_items,
        "n_interactions": len(users),
        "sparsity": 1 - seen / cells if cells else None,
        "similarity_density": n_similar / pairs if similar is not None and pairs else None,
        "avg_similarity": float(np.mean(similarities, dtype=np.float64))
        if n_similar and similarities is not None
        else None,
    }
