"""What an import remembers from row to row: the first lines of orders, and equal rows of a day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.importing.columns import texts

_DAY_S = 86_400


class FirstLines:
    """What an export writes only into the first line of each order, such as its status; it grows with the orders."""

    def __init__(self, column: str) -> None:
        """Start with no order.

        Args:
            column: The column of the orders' ids.
        """
        self._column = column
        self._known: dict[str, dict[str, str | None]] = {}

    def fill(self, batch: Any, name: str) -> NDArray:
        """Return a column of a batch as texts, in which blanks of an order's later lines are filled.

        Args:
            batch: A record batch; batches come in the file's order, and all columns of one before the next.
            name: The column.

        Returns:
            `(n,)` object holding str or None. A line without an order's id stays as it is.
        """
        known = self._known.setdefault(name, {})
        values = texts(batch.column(name))
        for row, (order, value) in enumerate(
            zip(texts(batch.column(self._column)).tolist(), values.tolist(), strict=True)
        ):
            if order is not None:
                first = known.setdefault(order, value)
                values[row] = first if value is None else value
        return values


class PieceCounter:
    """Numbers equal rows of a day in the order of the file, so that each keeps its number in the next import.

    Rows with a time of the day are not numbered: the same second twice is the same event. It takes 8 bytes a row.
    """

    def __init__(self) -> None:
        self._runs: list[NDArray[np.uint64]] = []  # sorted, each at most half as long as the one before

    def numbers(self, event_ids: Sequence[str], local_seconds: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many equal rows came before each row; 0 for rows with a time of the day.

        Args:
            event_ids: `(n,)` keys of the rows, equal for equal rows; they end with hexadecimal digits.
            local_seconds: `(n,)` moments on the clock of the file, in seconds.
        """
        numbers = np.zeros(len(event_ids), np.int64)
        days = np.flatnonzero(local_seconds % _DAY_S == 0)
        if not len(days):
            return numbers
        hashes = np.array([int(event_ids[row][-16:], 16) for row in days.tolist()], np.uint64)
        order = np.argsort(hashes, kind="stable")
        ordered = hashes[order]
        in_batch = np.arange(len(ordered)) - np.searchsorted(ordered, ordered, "left")
        before = sum(
            (np.searchsorted(run, ordered, "right") - np.searchsorted(run, ordered, "left") for run in self._runs),
            start=np.zeros(len(ordered), np.int64),
        )
        numbers[days[order]] = in_batch + before
        self._add(ordered)
        return numbers

    def _add(self, ordered: NDArray[np.uint64]) -> None:
        while self._runs and 2 * len(ordered) > len(self._runs[-1]):
            ordered = np.sort(np.concatenate([self._runs.pop(), ordered]), kind="stable")
        self._runs.append(ordered)
