"""Events without their history: each one a window of its own, so that a batch of them is a batch of (customer, item) pairs."""

from __future__ import annotations

import numpy as np

from recsys.dataset import Dataset
from recsys.networks.windows import Windows


def pairs(data: Dataset) -> Windows:
    """Return every event as the only target of a window in which nothing has happened before it.

    The networks train on these windows as on any others. All of them having one target, nothing is spent on padding and pooled
    histories, so that `Training.batch` can be tens of thousands: with the negatives drawn in the graph, a step is then long enough for
    its products to be near the machine's limit.

    Args:
        data: The events.

    Returns:
        Windows of width 0: a target each, and no events beside it.
    """
    n = len(data)
    return Windows(
        users=data.users,
        items=np.zeros((n, 0), np.int32),
        weights=np.zeros((n, 0), np.float32),
        before=np.full((n, 1), -1, np.int32),
        targets=data.items[:, None],
        confidences=data.confidences[:, None],
        contexts=data.contexts[:, None],
    )
