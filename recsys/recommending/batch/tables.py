"""Lists of everybody: a version's arrays in the forms that blocks of users need, each made once a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.features.features import FACTORS, ItemItemSums, Neighbours
from recsys.features.query import Floats
from recsys.recommending.batch.histories import Histories
from recsys.recommending.loading import ModelBundle
from recsys.scorers.bmf import BMF
from recsys.scorers.encm import ENCM
from recsys.scorers.layers import LinearEnsemble
from recsys.scorers.lncm import LNCM
from recsys.scorers.neumf import NeuMF

ITEMS_AT_ONCE = 32  # copies of their rows, each of some 1,500 weights, fit into the processor's cache


class JoinedRows(NamedTuple):
    """The rows of k item-item matrices in one table: behind each other, all rows of an item.

    A user's items are then added up in few passes. One call for each row of each matrix takes more than twice the time.

    Attributes:
        starts: `(n_items + 1,)` int64; item j has `starts[j]:starts[j + 1]` of the last two.
        lengths: `(n_items, k)` int64, how many of them are each matrix's.
        neighbours: `(n,)` uint16, or uint32 for more than 65,535 items, the columns; short ones are copied faster.
        similarities: `(n,)` float32, the weights.
    """

    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    neighbours: NDArray[np.unsignedinteger]
    similarities: Floats

    @classmethod
    def of(cls, matrices: Sequence[Neighbours]) -> JoinedRows:
        """Join the rows of matrices, of which there is at least one."""
        edges = np.stack([matrix.starts for matrix in matrices], axis=1)
        lengths = np.diff(edges, axis=0)
        spans = list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))

        def joined(arrays: Sequence[NDArray], dtype: np.dtype) -> NDArray:
            parts = [array[first:last] for row in spans for array, first, last in zip(arrays, *row, strict=True)]
            return np.concatenate(parts, dtype=dtype, casting="unsafe")

        return cls(
            np.concatenate([[0], np.cumsum(lengths.sum(axis=1))]),
            lengths,
            joined([matrix.neighbours for matrix in matrices], np.min_scalar_type(len(lengths))),
            joined([matrix.similarities for matrix in matrices], np.dtype(np.float32)),
        )

    def add_to(self, scores: Floats, histories: Histories, strengths: Floats) -> None:
        """Add `Σ_j strengths_j · W[items_j, :]` of each user's items and of each matrix to the user's scores, in place.

        Args:
            scores: `(b, n_items)` float32.
            histories: The users' histories.
            strengths: `(m, k)` float32, how much each pair counts in each matrix.
        """
        starts = self.starts[histories.pair_items].tolist()
        ends = self.starts[histories.pair_items + 1].tolist()
        lengths = self.lengths[histories.pair_items]
        edges = histories.pair_edges.tolist()
        for of_user, start, end in zip(scores, edges[:-1], edges[1:], strict=True):
            for first in range(start, end, ITEMS_AT_ONCE):
                last = min(first + ITEMS_AT_ONCE, end)
                spans = list(map(slice, starts[first:last], ends[first:last]))
                columns = np.concatenate([self.neighbours[span] for span in spans], dtype=np.intp)
                values = np.concatenate([self.similarities[span] for span in spans])
                values *= np.repeat(strengths[first:last].ravel(), lengths[first:last].ravel())
                np.add.at(of_user, columns, values)


class BlockTables:
    """A version, with arrays that every block of users needs in another form.

    Attributes:
        bundle: The version.
        n_ranked_alone: The number of users who were ranked by `rank_alone`.
    """

    def __init__(self, bundle: ModelBundle) -> None:
        """Take a version; the arrays are made on first use."""
        self.bundle = bundle
        self.n_ranked_alone = 0
        self._joined: dict[tuple[str, ...], JoinedRows] = {}
        self._columns: dict[tuple[str, bool], Floats] = {}

    def joined(self, sums: Sequence[ItemItemSums]) -> JoinedRows:
        """Return the rows of the matrices of sums, which are those of the version's features."""
        names = tuple(summed.name for summed in sums)
        if names not in self._joined:
            self._joined[names] = JoinedRows.of([summed.matrix for summed in sums])
        return self._joined[names]

    def columns(self, model: str, scorer: LinearEnsemble, repeats: bool) -> Floats:
        """Return what the scores of one ensemble take from the items; see `_user_rows` in `scores`.

        Args:
            model: The ensemble's registry name.
            scorer: The ensemble.
            repeats: Whether purchased items may be recommended.

        Returns:
            `(d, n_items)` float32. The last two rows are the part that all users share, and ones.
        """
        if (model, repeats) not in self._columns:
            weights, shared = scorer.weights[int(repeats)], scorer.features.prior(scorer.weights[int(repeats), :-1])
            columns = [scorer.features.item_factors] if weights[FACTORS] else []
            if (network := product_network(scorer, weights)) is not None:
                columns.append(network.item_factors)
                shared = shared + weights[-1] * network.item_bias
            rows = [*(column.T for column in columns), shared[None], np.ones((1, len(shared)), np.float32)]
            self._columns[model, repeats] = np.ascontiguousarray(np.concatenate(rows), np.float32)
        return self._columns[model, repeats]


def product_network(scorer: LinearEnsemble, weights: Floats) -> BMF | LNCM | NeuMF | ENCM | None:
    """Return the network of an ensemble, if it counts and its score is a product of vectors, with or without an MLP."""
    network = scorer.network if weights[-1] else None
    return network if isinstance(network, BMF | LNCM | NeuMF | ENCM) else None
