"""Windows for training: consecutive events of one user, first the history, then the targets.

Each target sees the events strictly before its own moment, at least the newest half window of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.features.query import Floats, Indices, Mask

NARROW = (10, 20)  # targets of the narrow groups of windows


@dataclass(frozen=True)
class Windows:
    """Windows of events, one in each row: up to `length` events of history, then up to `length` targets.

    `by_width` trims them to fewer events of history or fewer targets. A width of 0 means that only targets are given.

    Attributes:
        users: `(w,)` int32.
        items: `(w, 2·length)` int32, items of the history and of the targets; padding is item 0 with weight 0.
        weights: `(w, 2·length)` float32, weights of the same events.
        history_end: `(w, length)` int32, the position in the row of the last event in a second before that of each
            target; -1 for none.
        targets: `(w, length)` int32, the items to predict.
        confidences: `(w, length)` float32, confidence of each target, -1 to 1; 0 is padding.
        contexts: `(w, length, m)` int32, the context of each target.
    """

    users: Indices
    items: Indices
    weights: Floats
    history_end: Indices
    targets: Indices
    confidences: Floats
    contexts: Indices

    def __len__(self) -> int:
        return len(self.users)

    @property
    def width(self) -> int:
        """The number of events in a row, padding included."""
        return self.items.shape[1]

    def subset(self, positions: Indices) -> Windows:
        """Return the windows at some positions."""
        return Windows(**{name: column[positions] for name, column in vars(self).items()})

    def trim(self, mask: Mask, history: int, targets: int) -> Windows:
        """Return some windows with fewer columns, where the columns that go are padding.

        Args:
            mask: `(w,)`, the windows to return.
            history: The number of events of history; the newest ones stay.
            targets: The number of targets; the first ones stay.
        """
        length = self.targets.shape[1]
        columns = slice(length - history, length + targets)
        return Windows(
            users=self.users[mask],
            items=self.items[mask, columns],
            weights=self.weights[mask, columns],
            history_end=np.maximum(self.history_end[mask, :targets] - (length - history), -1).astype(np.int32),
            targets=self.targets[mask, :targets],
            confidences=self.confidences[mask, :targets],
            contexts=self.contexts[mask, :targets],
        )


def by_width(all_windows: Windows, least: int) -> list[Windows]:
    """Return the windows in up to four groups, each trimmed to the columns that it needs.

    The groups are: up to ten targets without history; up to twenty; more targets without history; and windows with
    history. Most users of a shop have a handful of events, so nine tenths of the work on full windows would be on
    padding.

    Args:
        all_windows: Windows as `windows` returns them; windows of another width stay one group.
        least: A group of fewer windows joins the next wider one, as compiling a graph for it would not pay.
    """
    length = all_windows.targets.shape[1]
    if all_windows.width != 2 * length:
        return [all_windows]
    widths = [*((0, width) for width in NARROW if width < length), (0, length), (length, length)]
    n_targets = np.where(all_windows.weights[:, length:] != 0, np.arange(1, length + 1), 0).max(1)
    has_history = (all_windows.weights[:, :length] != 0).any(1)
    group = np.searchsorted([width for _, width in widths[:-1]], n_targets)
    group[has_history] = len(widths) - 1
    for narrower in range(len(widths) - 1):
        if (group == narrower).sum() < least:
            group[group == narrower] += 1
    return [all_windows.trim(group == n, *width) for n, width in enumerate(widths) if (group == n).any()]


def windows(data: Dataset, length: int) -> Windows:
    """Return each user's events as windows, so that each event is a target exactly once.

    Each target sees at least the newest `length / 2` events before its moment, or all if there are fewer.

    Args:
        data: The events.
        length: The most targets of a window, and the most events of history before them.
    """
    first = _first_targets(data, length)  # of each window, ascending; a window ends where the next one starts
    history_stop = np.where(_is_deep(data, first, length), data.baskets[first], first)  # one after the last event
    ahead = first[:, None] + np.arange(length)
    is_target = ahead < np.append(first[1:], len(data))[:, None]
    is_target &= ahead < data.starts[data.users[first] + 1][:, None]
    events = np.concatenate([history_stop[:, None] + np.arange(-length, 0), ahead], axis=1)
    oldest = data.starts[data.users[first]][:, None]
    is_event = np.concatenate([events[:, :length] >= oldest, is_target], axis=1)
    events = np.where(is_event, events, 0)
    target_events = events[:, length:]
    history_end = data.baskets[target_events] - 1
    has_history = is_target & (history_end >= oldest)
    return Windows(
        users=data.users[first],
        items=np.where(is_event, data.items[events], 0).astype(np.int32),
        weights=np.where(is_event, data.weights[events], 0).astype(np.float32),
        history_end=np.where(has_history, history_end - (history_stop[:, None] - length), -1).astype(np.int32),
        targets=np.where(is_target, data.items[target_events], 0).astype(np.int32),
        confidences=np.where(is_target, data.confidences[target_events], 0).astype(np.float32),
        contexts=np.where(is_target[..., None], data.contexts[target_events], 0).astype(np.int32),
    )


def _first_targets(data: Dataset, length: int) -> NDArray[np.int64]:
    """Return the position of each window's first target, int64, ascending.

    A new window starts after `length` events of a user, and where a large basket ends inside a window. A window that
    starts deep inside a basket would see hardly any event from before the basket. So its history is taken from before
    the basket, and it has to end with the basket: the history of later events includes the whole basket.
    """
    regular = np.flatnonzero((np.arange(len(data)) - data.starts[data.users]) % length == 0)
    deep = regular[_is_deep(data, regular, length)]
    end = np.searchsorted(data.baskets, data.baskets[deep], side="right")
    inside = (end < deep + length) & (end < data.starts[data.users[deep] + 1])
    return np.union1d(regular, end[inside])


def _is_deep(data: Dataset, first: NDArray[np.int64], length: int) -> Mask:
    """Return which windows start so deep inside a basket that it would fill more than half of their history."""
    return np.asarray(first - data.baskets[first] > length // 2)
