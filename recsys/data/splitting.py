"""Splits of events into a part to learn from and a part to evaluate on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recsys.data.interactions import Interactions


def cut_time(timestamps: NDArray[np.int64], quantile: float) -> int:
    """Return the moment of the cut, in seconds since 1970: at most the given share of the events is before it.

    Events of the same second stay together after the cut. If all events have one timestamp, none is before the cut.

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
    """Return the events before the cut and the events at or after it, without changing their order.

    Args:
        interactions: Events in any order.
        cut: Seconds since 1970.
    """
    before = interactions.timestamps < cut
    return interactions.take(before), interactions.take(~before)


def last_item_out(interactions: Interactions) -> tuple[Interactions, Interactions]:
    """Return the training part and the last event of each user, both ordered by (timestamp, row id).

    A user with a single event stays in the training part, because the user would be unknown otherwise. An earlier event
    on the same item stays there, too. The split serves the protocol `loo99`, and datasets with an order but no
    timestamps.

    Args:
        interactions: Events in any order.
    """
    ordered = interactions.in_order()
    # np.unique returns first positions; those of the reversed rows are the last ones
    _, from_end, n_events = np.unique(ordered.users[::-1], return_index=True, return_counts=True)
    last = np.zeros(len(ordered), bool)
    last[len(ordered) - 1 - from_end[n_events > 1]] = True
    return ordered.take(~last), ordered.take(last)
