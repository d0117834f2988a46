"""Where training ends and the exam begins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recsys.data.interactions import Interactions


def cut_time(timestamps: NDArray[np.int64], quantile: float) -> int:
    """Return the moment of the one global cut: at most the given share of the events is before it.

    Events of the same second stay together, on the later side. Where one second holds everything, nothing is before the
    cut.

    Args:
        timestamps: `(n,)` seconds since 1970, in any order; at least one.
        quantile: The share of events before the cut, between 0 and 1.

    Raises:
        ValueError: There is no event, or the quantile is not between 0 and 1.

    >>> cut_time(np.array([10, 20, 30, 40, 50]), 0.8)
    50
    """
    if not 0 < quantile < 1:
        raise ValueError(f"`quantile` should be between 0 and 1. Received: {quantile}.")
    if not len(timestamps):
        raise ValueError("`timestamps` should hold at least one event. Received: none.")
    position = int(quantile * len(timestamps))
    return int(np.partition(timestamps, position)[position])


def split_at(interactions: Interactions, cut: int) -> tuple[Interactions, Interactions]:
    """Return the events before the cut and the events at or after it, each in the order given.

    Args:
        interactions: Events in any order.
        cut: Seconds since 1970.
    """
    before = interactions.timestamps < cut
    return interactions.take(before), interactions.take(~before)


def last_item_out(interactions: Interactions) -> tuple[Interactions, Interactions]:
    """Return the train part and the exam of leave-one-out, both ordered by (timestamp, row id).

    The exam is the last event of each user; users with a single event stay in the train part, because nothing would be
    left to know them by. For sets that have an order but no clock, and for `loo99`. An earlier event on the same item
    stays in the train part.

    Args:
        interactions: Events in any order.
    """
    ordered = interactions.in_order()
    # np.unique reports first positions: in the reversed rows these are the last ones
    _, from_end, n_events = np.unique(ordered.users[::-1], return_index=True, return_counts=True)
    last = np.zeros(len(ordered), bool)
    last[len(ordered) - 1 - from_end[n_events > 1]] = True
    return ordered.take(~last), ordered.take(last)
