"""Trending: what is chosen more often now than in the weeks before."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recsys.data.cleaning import SECONDS_PER_DAY
from recsys.features.query import Floats, Indices

RECENT_DAYS = 7  # a whole week, because weekends differ from other days
WEEKS_BEFORE = 4  # which the recent one is compared with
LONGER_DAYS = RECENT_DAYS * (1 + WEEKS_BEFORE)
PRIOR = 5.0  # events of an item; without them, a third event of an unknown item would lead the list


def rises(recent: NDArray[np.floating], longer: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return how much each item rises: the last week's count beside the mean week before, as a Poisson z-score.

    Args:
        recent: `(n,)` weighted events of each item in the last week.
        longer: `(n,)` the same of the last week and of the four weeks before.

    Returns:
        `(n,)` float64, `(recent − before) / √(before + prior)`; negative where an item falls.

    >>> rises(np.array([9.0, 9.0]), np.array([9.0, 9.0 + 4 * 11.0])).tolist()
    [4.024922359499621, -0.5]
    """
    before = np.maximum(longer - recent, 0.0) / WEEKS_BEFORE
    return np.asarray((recent - before) / np.sqrt(before + PRIOR), np.float64)


def decayed_counts(
    items: Indices, weights: Floats, timestamps: NDArray[np.int64], n_items: int, *, days: float, now: int
) -> NDArray[np.float64]:
    """Return the weighted events of each item, each times `exp(-age / days)`.

    Of events that come evenly it is as much as the last `days` days hold, and no event leaves it at once.

    Args:
        items: `(n,)` int32 item indices.
        weights: `(n,)` the weight of each event; those below 0 do not count.
        timestamps: `(n,)` int64, seconds since 1970; an event after `now` counts as one of now.
        n_items: The number of items.
        days: The mean age of what counts.
        now: Seconds since 1970.

    Returns:
        `(n_items,)` float64.
    """
    ages = np.maximum(now - timestamps, 0) / SECONDS_PER_DAY
    decayed = np.maximum(weights, 0) * np.exp(-ages / days)
    return np.bincount(items, decayed, minlength=n_items).astype(np.float64)  # of no events, it counts in integers


def trending(
    items: Indices, weights: Floats, timestamps: NDArray[np.int64], n_items: int, *, now: int
) -> NDArray[np.float32]:
    """Return how much each item rises, by counts that decay; the arguments are those of `decayed_counts`.

    Returns:
        `(n_items,)` float32; see `rises`.
    """
    recent, longer = (
        decayed_counts(items, weights, timestamps, n_items, days=days, now=now) for days in (RECENT_DAYS, LONGER_DAYS)
    )
    return rises(recent, longer).astype(np.float32)
