"""Windows for training: consecutive events of one user, first the history, then the targets.

Each target sees the events strictly before its own moment, at least the newest half window of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.features.query import Floats, Indices, Mask

NARROW = (10, 20)  # targets of the narrow groups of windows


@dataclass(frozen=True)
class Windows:
    """Windows of events, one in each row: up to h events of history, then up to t targets.

    Attributes:
        users: `(w,)` int32.
        items: `(w, h + t)` int32, items of the history and of the targets; padding is item 0 with weight 0. A width of
            0 means that only targets are given.
        weights: `(w, h + t)` float32, weights of the same events.
        history_end: `(w, t)` int32, the position in the row of the last event in a second before that of each target;
            -1 for none.
        targets: `(w, t)` int32, the items to predict.
        confidences: `(w, t)` float32, confidence of each target, -1 to 1; 0 is padding.
        contexts: `(w, t, m)` int32, the context of each target.
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


def windows(data: Dataset, length: int, at_most: int | None = None) -> Windows:
    """Return each user's events as windows of full width, so that each event is a target exactly once.

    Each target sees at least the newest `length / 2` events before its moment, or all if there are fewer.

    Args:
        data: The events.
        length: The most targets of a window, and the most events of history before them.
        at_most: The most windows to return, spread evenly over all; None returns all.
    """
    places = _Places.of(data, length)
    n = len(places.first)
    return places.windows(data, np.linspace(0, n - 1, min(n, at_most or n)).astype(int), length, length)


def by_width(data: Dataset, length: int, least: int) -> list[Windows]:
    """Return the same windows as `windows` in up to four groups, each only as wide as its windows need.

    The groups are: up to ten targets without history; up to twenty; more targets without history; and windows with
    history. Most users of a shop have a handful of events, so nine tenths of full windows, and of the work on them,
    would be padding.

    Args:
        data: The events.
        length: As of `windows`.
        least: A group of fewer windows joins the next wider one, as compiling a graph for it would not pay.
    """
    places = _Places.of(data, length)
    widths = [*((0, width) for width in NARROW if width < length), (0, length), (length, length)]
    group = np.searchsorted([width for _, width in widths[:-1]], places.n_targets)
    group[places.n_history > 0] = len(widths) - 1
    for narrower in range(len(widths) - 1):
        if (group == narrower).sum() < least:
            group[group == narrower] += 1
    chosen = ((np.flatnonzero(group == n), *width) for n, width in enumerate(widths))
    return [places.windows(data, *of_group) for of_group in chosen if len(of_group[0])]


class _Places(NamedTuple):
    """Where w windows lie among the events.

    Attributes:
        first: `(w,)` int64, the event that is the first target, ascending.
        n_targets: `(w,)` int64, from 1.
        history_stop: `(w,)` int64, one after the last event of the history.
        n_history: `(w,)` int64, from 0.
    """

    first: NDArray[np.int64]
    n_targets: NDArray[np.int64]
    history_stop: NDArray[np.int64]
    n_history: NDArray[np.int64]

    @classmethod
    def of(cls, data: Dataset, length: int) -> _Places:
        """Return the windows of all events."""
        first = _first_targets(data, length)  # a window ends where the next one starts
        users = data.users[first]
        ends = np.minimum(np.append(first[1:], len(data)), data.starts[users + 1]) if len(first) else first
        history_stop = np.where(_is_deep(data, first, length), data.baskets[first], first)
        n_history = np.clip(history_stop - data.starts[users], 0, length)
        return cls(first, np.minimum(ends - first, length), history_stop, n_history)

    def windows(self, data: Dataset, chosen: NDArray[np.int64], history: int, targets: int) -> Windows:
        """Return some windows, with the newest events of their history and their targets.

        Args:
            data: The events.
            chosen: The numbers of the windows.
            history: The number of columns for events of history.
            targets: The number of columns for targets, at least as many as a chosen window has.
        """
        first, history_stop = self.first[chosen], self.history_stop[chosen]
        is_target = np.arange(targets) < self.n_targets[chosen, None]
        is_history = np.arange(history, 0, -1) <= self.n_history[chosen, None]
        ahead = np.where(is_target, first[:, None] + np.arange(targets), 0)
        events = np.where(is_history, history_stop[:, None] + np.arange(-history, 0), 0)
        events, is_event = np.append(events, ahead, axis=1), np.append(is_history, is_target, axis=1)
        history_end = data.baskets[ahead] - 1
        has_history = is_target & (history_end >= data.starts[data.users[first]][:, None])
        return Windows(
            users=data.users[first],
            items=np.where(is_event, data.items[events], 0).astype(np.int32),
            weights=np.where(is_event, data.weights[events], 0).astype(np.float32),
            history_end=np.where(has_history, history_end - (history_stop[:, None] - history), -1).astype(np.int32),
            targets=np.where(is_target, data.items[ahead], 0).astype(np.int32),
            confidences=np.where(is_target, data.confidences[ahead], 0).astype(np.float32),
            contexts=np.where(is_target[..., None], data.contexts[ahead], 0).astype(np.int32),
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
