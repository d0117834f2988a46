"""Fitting sequential item-item co-occurrence: how often one item follows another within a few events of a user."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.features.query import Arrays, Floats, Indices
from recsys.training.closed_form.co_occurrence import blocks, is_positive, neighbour_arrays

GAPS = 10  # the most steps between two events of a pair
DECAY = 0.8  # of a pair's weight, for each further step
SHRINKAGE = 20.0  # events added to each item's count before the division, because counts of rare items are uncertain
# Weights stored for each item. HR@10 on ml-1m's validation: 0.809, with all weights 0.819; with EASE added 0.842 both.
NEIGHBOURS = 400
PAIRS_AT_ONCE = 1 << 23  # pairs of events in memory at once: about 300 MB


def transitions(data: Dataset) -> Arrays:
    """Return the arrays of `Neighbours` with the weights `T[j, i] / √((n_j + 20)·(n_i + 20))`.

    n_j is the number of events of item j. T[j, i] sums 0.8^(gap - 1) over the pairs of events where one user's event
    with i comes 1 to 10 events after one with j. The order inside a basket (one user, one moment) has no meaning, so
    such a pair counts half in each direction. At most 400 weights of a row are stored; a small catalogue stores all.

    NDCG@10 on the validation part of online-retail, purchased items hidden / allowed, is 0.0936 / 0.2337. Each variant
    was worse in at least one of the two: row order as the order inside baskets 0.0911 / 0.2309; no pairs inside baskets
    0.0666 / 0.2479; steps of whole baskets 0.0746 / 0.2663. Pairs of an item with itself count: they change nothing
    where purchased items are hidden, and add 0.0128 where they are allowed.

    Events of weight 0 or below are removed before steps are counted.

    Returns:
        `starts` `(n_items + 1,)` int64, `neighbours` `(k,)` int32, `similarities` `(k,)` float32 above 0.

    Raises:
        ValueError: A weight is NaN or infinite, or the events are out of order.
    """
    liked = is_positive(data.weights)
    users, items, timestamps = data.users[liked], data.items[liked], data.timestamps[liked]
    in_order = (users[1:] > users[:-1]) | ((users[1:] == users[:-1]) & (timestamps[1:] >= timestamps[:-1]))
    if not in_order.all():
        event = np.argmin(in_order) + 1
        raise ValueError(f"`users` and `timestamps` should be in order. Received: event {event} before an earlier one.")
    return neighbour_arrays(_rows(users, items, timestamps, data.n_items), data.n_items, NEIGHBOURS)


def _rows(users: Indices, items: Indices, timestamps: NDArray[np.int64], n_items: int) -> Iterator[Any]:
    """Yield the normalised T in blocks of rows that fit into memory, `(k, n_items)` float32 in CSR form."""
    from scipy import sparse  # fitting only: serving never pays for it

    order = np.argsort(items, kind="stable")  # positions of the events, sorted by item
    popularity = np.bincount(items, minlength=n_items)
    ends = np.concatenate([[0], np.cumsum(popularity)])
    scale = (1 / np.sqrt(popularity + SHRINKAGE)).astype(np.float32)
    for first, last in blocks(popularity * 2 * GAPS, PAIRS_AT_ONCE):
        block = np.sort(order[ends[first] : ends[last]])  # ascending, so that memory is read in order
        sources, targets, counts = _pairs(users, timestamps, block)
        values = counts * scale[items[sources]] * scale[items[targets]]
        yield sparse.csr_matrix((values, (items[sources] - first, items[targets])), shape=(last - first, n_items))


def _pairs(
    users: Indices, timestamps: NDArray[np.int64], sources: NDArray[np.int64]
) -> tuple[Indices, Indices, Floats]:
    """Return all pairs of events whose first one is among `sources`.

    Args:
        users: `(n,)` int32.
        timestamps: `(n,)` int64.
        sources: `(s,)` int64, positions of events, ascending.

    Returns:
        The positions of the first and of the second event, `(k,)` int32 each; the pairs' weights `(k,)` float32.
    """
    pairs = [(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.float32))]
    for gap in (*range(-GAPS, 0), *range(1, GAPS + 1)):
        inside = sources[(sources + gap >= 0) & (sources + gap < len(users))]
        inside = inside[users[inside] == users[inside + gap]]
        together = timestamps[inside] == timestamps[inside + gap]
        if gap < 0:
            inside, together = inside[together], together[together]
        count = np.where(together, 0.5, 1) * DECAY ** (abs(gap) - 1)
        pairs.append((inside.astype(np.int32), (inside + gap).astype(np.int32), count.astype(np.float32)))
    first, second, counts = (np.concatenate(column) for column in zip(*pairs, strict=True))
    return first, second, counts
