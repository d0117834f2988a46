"""A sparse matrix of item-item weights: sums over a history, and blocks of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recsys.features.query import Arrays

# More rows are added one by one. 500 rows of a thousand weights then take half the time, 50 rows a tenth more.
MANY = 150


@dataclass(frozen=True)
class Neighbours:
    """A square sparse matrix W of weights from item j (row) to item i (column), in CSR form.

    Attributes:
        starts: `(n_items + 1,)` int64; row j is at `starts[j]:starts[j + 1]` of the other two.
        neighbours: `(k,)` int32, the columns i, ascending within a row.
        similarities: `(k,)` float32, the weights W[j, i].
    """

    starts: NDArray[np.int64]
    neighbours: NDArray[np.int32]
    similarities: NDArray[np.float32]

    @classmethod
    def from_arrays(cls, arrays: Arrays, prefix: str = "") -> Neighbours:
        """Build the matrix from a version's arrays; their names may begin with a prefix."""
        return cls(arrays[f"{prefix}starts"], arrays[f"{prefix}neighbours"], arrays[f"{prefix}similarities"])

    @property
    def n_items(self) -> int:
        """The number of items."""
        return len(self.starts) - 1

    @cached_property
    def _dense(self) -> NDArray[np.float32] | None:
        """The dense matrix `(n_items, n_items)` if all weights are stored, which is faster for a small catalogue."""
        is_dense = len(self.similarities) == self.n_items**2
        return self.similarities.reshape(self.n_items, self.n_items) if is_dense else None

    def accumulate(self, items: NDArray[np.int32], strengths: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return `Σ_j strengths_j · W[items_j, :]`. Several rows of strengths cost little more than one.

        Args:
            items: `(h,)` int32; a repeated item counts twice.
            strengths: `(h,)` or `(s, h)` float32, how much each item counts.

        Returns:
            `(n_items,)` or `(s, n_items)` float32.
        """
        if self._dense is not None:  # not by BLAS, whose rounding may differ between items with equal weights
            dense_sums: NDArray[np.float32] = np.einsum("...h,hn->...n", strengths, self._dense[items])
            return dense_sums
        if len(items) > MANY:
            return self._accumulate_by_row(items, strengths)
        columns = self._rows(self.neighbours, items).astype(np.intp)  # converted once, not in each bincount
        repeated = np.repeat(np.atleast_2d(strengths), self._lengths(items), axis=1)
        weighted = repeated * self._rows(self.similarities, items)
        sums = np.array([np.bincount(columns, values, self.n_items) for values in weighted], np.float32)
        return sums.reshape(*strengths.shape[:-1], self.n_items)

    def _accumulate_by_row(self, items: NDArray[np.int32], strengths: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute `accumulate` one row at a time; a copy of many rows would not fit into the processor's cache."""
        sums = np.zeros((*strengths.shape[:-1], self.n_items), np.float32)
        spans = zip(self.starts[items].tolist(), self.starts[items + 1].tolist(), strict=True)
        for (first, last), row_strengths in zip(spans, np.atleast_2d(strengths).T, strict=True):
            for total, strength in zip(np.atleast_2d(sums), row_strengths, strict=True):
                np.add.at(total, self.neighbours[first:last], self.similarities[first:last] * strength)
        return sums

    def block(self, items: NDArray[np.int32], columns: NDArray[np.int32]) -> NDArray[np.float32]:
        """Return the dense block `W[items, columns]`, `(h, k)` float32.

        All rows and columns are searched at once: each round of a binary search halves every interval.

        Args:
            items: `(h,)` int32, the rows.
            columns: `(k,)` int32, in any order; repeated ones are allowed.
        """
        if self._dense is not None:
            return self._dense[items[:, None], columns]
        if not len(self.neighbours):
            return np.zeros((len(items), len(columns)), np.float32)
        starts, ends = self.starts[items][:, None], self.starts[items + 1][:, None]
        place = np.repeat(starts - 1, len(columns), axis=1)  # of the last neighbour that is at most the column
        longest = int(self._lengths(items).max(initial=0))
        for bit in reversed(range(longest.bit_length())):
            further = place + (1 << bit)
            place = np.where((further < ends) & (self.neighbours.take(further, mode="clip") <= columns), further, place)
        hit = (place >= starts) & (self.neighbours.take(place, mode="clip") == columns)
        return np.where(hit, self.similarities.take(place, mode="clip"), np.float32(0))

    def _lengths(self, items: NDArray[np.int32]) -> NDArray[np.int64]:
        return self.starts[items + 1] - self.starts[items]

    def _rows(self, values: NDArray, items: NDArray[np.int32]) -> NDArray:
        """Return the values of some rows, concatenated.

        Rows are copied one by one. One index array for all of them would take longer to make than the copies take.
        """
        spans = zip(self.starts[items].tolist(), self.starts[items + 1].tolist(), strict=True)
        return np.concatenate([values[first:last] for first, last in spans] or [values[:0]])
