"""Windows of a customer's events: a stretch of context, then a stretch of targets, so that every target sees its past."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset

NARROW = 10  # targets of the narrowest windows


@dataclass(frozen=True)
class Windows:
    """Consecutive events of one customer a row, the newest `length` of the past first, then up to `length` targets.

    Attributes:
        users: `(w,)` int32.
        items: `(w, 2·length)` int32; padding is item 0 with weight 0.
        weights: `(w, 2·length)` float32.
        before: `(w, length)` int32, for each target the position in the row of the last event strictly before it in
            time; -1: none.
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

    @property
    def width(self) -> int:
        """Events in a row, padding included."""
        return self.items.shape[1]

    def trim(self, rows: NDArray[np.bool_], context: int, targets: int) -> Windows:
        """Return some windows with the newest `context` events of their past and the first `targets` targets; the rest is padding there."""
        length = self.targets.shape[1]
        kept = slice(length - context, length + targets)
        return Windows(
            users=self.users[rows],
            items=self.items[rows, kept],
            weights=self.weights[rows, kept],
            before=np.maximum(self.before[rows, :targets] - (length - context), -1).astype(np.int32),
            targets=self.targets[rows, :targets],
            confidences=self.confidences[rows, :targets],
            contexts=self.contexts[rows, :targets],
        )


def by_width(cut: Windows, least: int) -> list[Windows]:
    """Return windows in groups that need little padding: with a few targets and no past, with more and no past, and with a past.

    Most customers of a shop have a handful of events. In windows of full width nine tenths of the work would be on
    padding.

    Args:
        cut: Windows, as `windows` makes them; others are one group.
        least: A smaller group is not worth a graph of its own, and joins the next wider one.
    """
    length = cut.targets.shape[1]
    if cut.width != 2 * length:
        return [cut]
    widths = [(0, min(NARROW, length)), (0, length), (length, length)]
    few = (cut.weights[:, length + NARROW :] == 0).all(1)
    group = np.where((cut.weights[:, :length] != 0).any(1), 2, np.where(few, 0, 1))
    for narrower in (0, 1):
        if (group == narrower).sum() < least:
            group[group == narrower] += 1
    return [cut.trim(group == n, *width) for n, width in enumerate(widths) if (group == n).any()]


def windows(data: Dataset, length: int) -> Windows:
    """Cut every customer's events into windows; each event is a target exactly once.

    Every target sees at least the newest `length / 2` events before its moment, or all there are.

    Args:
        data: The events.
        length: Targets in a window, and events of context before them.
    """
    first = _first_targets(data, length)  # of each window, ascending; it ends where the next one starts
    start = np.where(_deep(data, first, length), data.baskets[first], first)  # where the context ends
    ahead = first[:, None] + np.arange(length)
    is_target = ahead < np.append(first[1:], len(data))[:, None]
    is_target &= ahead < data.starts[data.users[first] + 1][:, None]
    columns = np.concatenate([start[:, None] + np.arange(-length, 0), ahead], axis=1)
    oldest = data.starts[data.users[first]][:, None]
    own = np.concatenate([columns[:, :length] >= oldest, is_target], axis=1)
    columns = np.where(own, columns, 0)
    ahead = columns[:, length:]
    before = data.baskets[ahead] - 1
    return Windows(
        users=data.users[first],
        items=np.where(own, data.items[columns], 0).astype(np.int32),
        weights=np.where(own, data.weights[columns], 0).astype(np.float32),
        before=np.where(is_target & (before >= oldest), before - (start[:, None] - length), -1).astype(np.int32),
        targets=np.where(is_target, data.items[ahead], 0).astype(np.int32),
        confidences=np.where(is_target, data.confidences[ahead], 0).astype(np.float32),
        contexts=np.where(is_target[..., None], data.contexts[ahead], 0).astype(np.int32),
    )


def _first_targets(data: Dataset, length: int) -> NDArray[np.int64]:
    """Return the first target of each window: every `length` events of a customer, and where a large basket ends inside a window.

    A window deep inside a basket of one moment would hold hardly anything from before that moment. Its context is taken
    from before the basket instead, so it has to end with the basket: what comes later has the whole basket behind it.
    """
    regular = np.flatnonzero((np.arange(len(data)) - data.starts[data.users]) % length == 0)
    deep = regular[_deep(data, regular, length)]
    end = np.searchsorted(data.baskets, data.baskets[deep], side="right")
    inside = (end < deep + length) & (end < data.starts[data.users[deep] + 1])
    return np.union1d(regular, end[inside])


def _deep(data: Dataset, first: NDArray[np.int64], length: int) -> NDArray[np.bool_]:
    """Return which windows start so deep inside a basket that it would fill more than half of their context."""
    return np.asarray(first - data.baskets[first] > length // 2)
