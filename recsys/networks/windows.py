"""Windows of a customer's events: a stretch of context, then a stretch of targets, so that every target sees its past."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.dataset import Dataset


@dataclass(frozen=True)
class Windows:
    """Consecutive events of one customer a row, the newest `length` of the past first, then up to `length` targets.

    Attributes:
        users: `(w,)` int32.
        items: `(w, 2·length)` int32; padding is item 0 with weight 0.
        weights: `(w, 2·length)` float32.
        before: `(w, length)` int32, for each target the position in the row of the last event strictly before it in time; -1: none.
        targets: `(w, length)` int32, the items to predict.
        confidences: `(w, length)` float32, signed; 0 is padding.
        contexts: `(w, length, m)` int32, the context of each target.
    """

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    weights: NDArray[np.float32]
    before: NDArray[np.int32]
    targets: NDArray[np.int32]
    confidences: NDArray[np.float32]
    contexts: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.users)


def windows(data: Dataset, length: int) -> Windows:
    """Cut every customer's events into windows; each event is a target exactly once.

    Args:
        data: The events.
        length: Targets in a window, and events of context before them.
    """
    position = np.arange(len(data)) - data.starts[data.users]
    first = np.flatnonzero(position % length == 0)  # the first target of each window
    columns = first[:, None] + np.arange(-length, length)
    inside = np.clip(columns, 0, max(len(data) - 1, 0))
    same_user = (columns >= 0) & (columns < len(data)) & (data.users[inside] == data.users[first][:, None])
    ahead = inside[:, length:]
    before = data.baskets[ahead] - 1 - (first[:, None] - length)
    oldest = np.maximum(data.starts[data.users[first]] - (first - length), 0)[:, None]
    return Windows(
        users=data.users[first],
        items=np.where(same_user, data.items[inside], 0).astype(np.int32),
        weights=np.where(same_user, data.weights[inside], 0).astype(np.float32),
        before=np.where(before >= oldest, before, -1).astype(np.int32),
        targets=np.where(same_user[:, length:], data.items[ahead], 0).astype(np.int32),
        confidences=np.where(same_user[:, length:], data.confidences[ahead], 0).astype(np.float32),
        contexts=np.where(same_user[:, length:, None], data.contexts[ahead], 0).astype(np.int32),
    )
