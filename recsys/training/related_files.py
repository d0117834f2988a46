"""The files of a version that lists without a model start from: pairs bought together, trends, and consumables."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from recsys import store
from recsys.artifacts import Draft
from recsys.data.cleaning import SECONDS_PER_DAY
from recsys.data.dataset import Dataset
from recsys.recommending.loading import AGAIN, PAIRS, TRENDS
from recsys.related.again import repurchases
from recsys.related.together import ORDER_DAYS, families_of, orders_of, together_pairs
from recsys.related.trending import trending
from recsys.store.tracking_exports import has_parents, read_parents
from recsys.training.run import TrainingRun


def write_related(
    draft: Draft, data: Dataset, *, families: NDArray[np.int64] | None, categories: NDArray[np.int32] | None
) -> None:
    """Write the pairs bought together, how much each item rises, and the consumables with their intervals.

    Args:
        draft: The version being written.
        data: The events of the fit that serves.
        families: `(n_items,)` the product that each item is a variant of; None where the shop does not say.
        categories: `(n_items,)` the category of each item, -1 for none; None where the shop has none.
    """
    now = int(data.timestamps.max())
    bought = data.purchases & (data.timestamps >= now - ORDER_DAYS * SECONDS_PER_DAY)
    orders = orders_of(data.users[bought], data.timestamps[bought])
    draft.write_arrays(PAIRS, together_pairs(orders, data.items[bought], data.n_items, families=families).arrays())
    draft.write_arrays(TRENDS, {"rises": trending(data.items, data.weights, data.timestamps, data.n_items, now=now)})
    rows = data.purchases
    found = repurchases(
        data.users[rows], data.items[rows], data.timestamps[rows], data.n_items, now=now, categories=categories
    )
    draft.write_arrays(AGAIN, found.arrays())


def variants_of(run: TrainingRun, connect: Callable[..., store.Database]) -> NDArray[np.int64] | None:
    """Return the product that each item is a variant of, `(n_items,)` int64; None where the shop does not say."""
    if not has_parents(run.settings.shop):
        return None
    with connect(run.settings.database_url) as db:
        parents = read_parents(db, run.settings.shop)
    return families_of(list(map(str, run.final.encoders.items.ids.tolist())), parents)
