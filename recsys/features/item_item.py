"""Sparse item-item weights, and the scorer that adds up the neighbours of everything in a customer's history."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recsys.features.query import Arrays

MANY = 150  # rows: so many are added up one by one. 500 of a thousand weights each take half the time, 50 a tenth more


@dataclass(frozen=True)
class Neighbours:
    """A square matrix of weights from item to item, W, of which few are not 0, row by row.

    Attributes:
        starts: `(n_items + 1,)` int64: the neighbours of item j are `starts[j]:starts[j + 1]`.
        neighbours: `(k,)` int32, the columns i, ascending in a row.
        similarities: `(k,)` float32, the weights W[j, i].
    """

    starts: NDArray[np.int64]
    neighbours: NDArray[np.int32]
    similarities: NDArray[np.float32]

    @classmethod
    def from_arrays(cls, arrays: Arrays, prefix: str = "") -> Neighbours:
        """Take the matrix out of a version's arrays; their names may begin with a prefix."""
        return cls(arrays[f"{prefix}starts"], arrays[f"{prefix}neighbours"], arrays[f"{prefix}similarities"])

    @property
    def n_items(self) -> int:
        """The number of items."""
        return len(self.starts) - 1

    @cached_property
    def _dense(self) -> NDArray[np.float32] | None:
        """The matrix as it is, `(n_items, n_items)`, where every row has every column; a small catalogue is faster so."""
        return (
            self.similarities.reshape(self.n_items, self.n_items) if len(self.similarities) == self.n_items**2 else None
        )

    def accumulate(self, items: NDArray[np.int32], strengths: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return `Σ_j strengths_j · W[items_j, :]`; several strengths of the same items cost little more than one.

        Args:
            items: `(h,)` int32; an item that is there twice counts twice.
            strengths: `(h,)` or `(s, h)` float32.

        Returns:
            `(n_items,)` or `(s, n_items)` float32.
        """
        if self._dense is not None:  # no product by BLAS: it could make a difference between items with equal weights
            accumulate: NDArray[np.float32] = np.einsum("...h,hn->...n", strengths, self._dense[items])
            return accumulate
        if len(items) > MANY:
            return self._accumulate_by_row(items, strengths)
        columns = self._rows(self.neighbours, items).astype(np.intp)  # once, instead of in each bincount
        each = np.repeat(np.atleast_2d(strengths), self._lengths(items), axis=1) * self._rows(self.similarities, items)
        sums = np.array([np.bincount(columns, values, self.n_items) for values in each], np.float32)
        return sums.reshape(*strengths.shape[:-1], self.n_items)

    def _accumulate_by_row(self, items: NDArray[np.int32], strengths: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what `accumulate` returns, a row at a time: of many rows end to end, nothing would stay in the processor's cache."""
        sums = np.zeros((*strengths.shape[:-1], self.n_items), np.float32)
        spans = zip(self.starts[items].tolist(), self.starts[items + 1].tolist(), strict=True)
        for (first, last), each in zip(spans, np.atleast_2d(strengths).T, strict=True):
            for total, strength in zip(np.atleast_2d(sums), each, strict=True):
                np.add.at(total, self.neighbours[first:last], self.similarities[first:last] * strength)
        return sums

    def block(self, items: NDArray[np.int32], columns: NDArray[np.int32]) -> NDArray[np.float32]:
        """Return `W[items, columns]`, `(h, k)` float32, dense.

        Args:
            items: `(h,)` int32, the rows.
            columns: `(k,)` int32, in any order, repeated or not.
        """
        if self._dense is not None:
            return self._dense[items[:, None], columns]
        if not len(self.neighbours):
            return np.zeros((len(items), len(columns)), np.float32)
        ends = self.starts[items + 1][:, None]
        place = np.repeat(
            self.starts[items][:, None] - 1, len(columns), axis=1
        )  # of the last neighbour that is not beyond the column
        for bit in reversed(
            range(int(self._lengths(items).max(initial=0)).bit_length())
        ):  # all rows and columns are bisected at once
            further = place + (1 << bit)
            place = np.where((further < ends) & (self.neighbours.take(further, mode="clip") <= columns), further, place)
        hit = (place >= self.starts[items][:, None]) & (self.neighbours.take(place, mode="clip") == columns)
        return np.where(hit, self.similarities.take(place, mode="clip"), np.float32(0))

    def _lengths(self, items: NDArray[np.int32]) -> NDArray[np.int64]:
        return self.starts[items + 1] - self.starts[items]

    def _rows(self, values: NDArray, items: NDArray[np.int32]) -> NDArray:
        """Return the values of some rows end to end.

        Rows are copied one by one: an index into all of them at once would take longer to make than they take to copy.
        """
        spans = zip(self.starts[items].tolist(), self.starts[items + 1].tolist(), strict=True)
        return np.concatenate([values[first:last] for first, last in spans] or [values[:0]])
