"""Fills down what an export writes only into the first line of each order."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from recsys.importing.columns import texts


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
