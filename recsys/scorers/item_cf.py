"""Item-item collaborative filtering: shrunk cosine between the items' customers (Sarwar et al. 2001)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.scorers.base import Arrays, Query
from recsys.scorers.history import own_counts

NEIGHBOURS = 200
SHRINKAGE = 10.0
MIN_CO_OCCURRENCE = 2
ROWS_AT_ONCE = 2048  # rows of the item-item product held at one time


@dataclass(frozen=True)
class ItemCF:
    """The neighbours of everything in the customer's history, summed.

    Attributes:
        starts: `(n_items + 1,)` int64: the neighbours of item i are `starts[i]:starts[i + 1]`.
        neighbours: `(k,)` int32.
        similarities: `(k,)` float32, above 0.
        tie_break: `(n_items,)` float32 below 1e-6: popularity decides where the history says nothing.
    """

    starts: NDArray[np.int64]
    neighbours: NDArray[np.int32]
    similarities: NDArray[np.float32]
    tie_break: NDArray[np.float32]

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> ItemCF:
        """Build the scorer from a version's arrays."""
        return cls(arrays["starts"], arrays["neighbours"], arrays["similarities"], arrays["tie_break"])

    @property
    def n_items(self) -> int:
        """The number of items."""
        return len(self.tie_break)

    def score(self, query: Query, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        """Return the summed similarity to the history's items; see `Scorer.score`."""
        own, counts, _ = own_counts(query)
        spans = [np.arange(self.starts[item], self.starts[item + 1]) for item in own]
        where = np.concatenate(spans) if spans else np.zeros(0, np.int64)
        strengths = np.repeat(np.minimum(counts, 1), [len(span) for span in spans])
        scores = np.bincount(self.neighbours[where], strengths * self.similarities[where], self.n_items).astype(np.float32)
        scores += self.tie_break
        return scores if items is None else scores[items]


def item_cf(users: NDArray[np.int32], items: NDArray[np.int32], weights: NDArray[np.float32], n_users: int, n_items: int) -> Arrays:
    """Return the arrays of `ItemCF`: cosine × co-occurrence / (co-occurrence + 10), the 200 nearest of each item.

    Args:
        users: `(n,)` int32.
        items: `(n,)` int32.
        weights: `(n,)` float32; negative events don't count.
        n_users: The number of users.
        n_items: The number of items.
    """
    from scipy import sparse  # fitting only: serving never pays for it

    liked = weights > 0
    matrix = sparse.csr_matrix((np.ones(int(liked.sum()), np.float32), (users[liked], items[liked])), shape=(n_users, n_items))
    matrix.data[:] = 1  # several events of one customer with one item count once
    popularity = np.asarray(matrix.sum(0)).ravel()
    transposed = matrix.T.tocsr()
    starts = range(0, n_items, ROWS_AT_ONCE)
    rows = [_nearest((transposed[start : start + ROWS_AT_ONCE] @ matrix).tocsr(), start, popularity) for start in starts]
    lengths, neighbours, similarities = (np.concatenate(column) for column in zip(*rows, strict=True))
    return {
        "starts": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        "neighbours": neighbours,
        "similarities": similarities,
        "tie_break": (popularity / max(popularity.max(initial=0), 1) * 1e-6).astype(np.float32),
    }


def _nearest(together, first: int, popularity: NDArray[np.float32]):  # type: ignore[no-untyped-def] # SciPy has no types
    """Return, for some rows of the co-occurrence matrix, the neighbours' number, indices and similarities."""
    lengths, neighbours, similarities = [], [np.zeros(0, np.int32)], [np.zeros(0, np.float32)]
    for row in range(together.shape[0]):
        span = slice(together.indptr[row], together.indptr[row + 1])
        others, counts = together.indices[span], together.data[span]
        keep = (others != first + row) & (counts >= MIN_CO_OCCURRENCE)
        others, counts = others[keep], counts[keep]
        similar = counts / np.sqrt(popularity[first + row] * popularity[others]) * counts / (counts + SHRINKAGE)
        best = np.lexsort((others, -similar))[:NEIGHBOURS]
        lengths.append(len(best))
        neighbours.append(others[best].astype(np.int32))
        similarities.append(similar[best].astype(np.float32))
    return np.array(lengths, np.int64), np.concatenate(neighbours), np.concatenate(similarities)
