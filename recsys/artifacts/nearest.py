"""The items whose vectors have the largest dot product with another vector, by an index that is a file of a version.

The index is a graph of near neighbours (Malkov & Yashunin 2016, HNSW), made and read by usearch, which is an extra: see docs/SCALE.md. Such
a graph wants a distance, and a dot product is none: so a short vector is made longer by one more number, which a question meets with 0
(Bachrach et al. 2014), but not as long as the very longest, beside which all others would look alike. Share of the 100 (10) best that are
among 500 found, with BMF's vectors of amazon-beauty-5core: as long as 95 % of the vectors at most 0.969 (0.995), as the longest 0.818
(0.827), left alone 0.846 (0.993).
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.errors import ModelRefused

LIBRARY = "usearch"
METRIC = "MetricKind.IP"
STORED_AS = "f16"  # near enough to find what is scored in full afterwards, and half as large
LONG = 0.95  # the share of vectors that are made as long as the longest of them
LONGEST = 255  # times that length, and no more: the square is a number of 16 bits, of which the largest is 65,504
CONNECTIVITY = 16  # neighbours of a vector in the graph; twice as many on its lowest level
EXPANSION = 128  # candidates looked at for each of them


def installed() -> bool:
    """Return whether the library is there that makes and reads an index."""
    return find_spec(LIBRARY) is not None


def build(vectors: NDArray[np.float32]) -> bytes:
    """Return an index, the same bytes for the same vectors: one thread makes it, because several would race for the neighbours.

    Numbers are stored in units of a power of two near the usual length, so that none is too large for 16 bits: the
    order does not depend on the unit. The few vectors that are far longer are shortened, and come first all the same.
    One that is 10⁷ times shorter counts as zeros.

    Args:
        vectors: `(n, dim)` float32, finite; the index of a row is what a search answers.

    Raises:
        ValueError: A vector is not finite.
    """
    from usearch.index import Index

    if not np.isfinite(vectors).all():
        raise ValueError("`vectors` should be finite. Received: NaN or infinity.")
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    usual = float(np.quantile(lengths, LONG) or lengths.max()) if len(lengths) else 0.0
    shares = np.divide(np.minimum(lengths, LONGEST * usual), lengths, out=np.ones_like(lengths), where=lengths > 0)
    missing = np.sqrt(np.maximum(usual**2 - lengths**2, 0))
    rows = np.column_stack([vectors * shares[:, None], missing]) / _unit(usual)
    index = Index(
        ndim=vectors.shape[1] + 1, metric="ip", dtype=STORED_AS, connectivity=CONNECTIVITY, expansion_add=EXPANSION
    )
    index.add(np.arange(len(vectors)), rows.astype(np.float32), threads=1)
    data: bytes | None = index.save()
    return bytes(data or b"")


@dataclass(frozen=True, eq=False)
class Nearest:
    """An index, mapped into memory.

    Attributes:
        dim: Length of a vector.
    """

    dim: int
    _index: Any
    _source: (
        Path | bytes
    )  # the library reads the caller's bytes where they are, and does not keep them from being freed

    @classmethod
    def open(cls, source: Path | bytes, where: str, *, dim: int, n: int) -> Nearest:
        """Map an index. The library trusts what it reads: a file should have been compared with its hash before.

        Args:
            source: The file, or what `build` returned.
            where: What error messages call it.
            dim: Length of a vector.
            n: The number of vectors.

        Raises:
            ModelRefused: It is no index of such vectors.
        """
        from usearch.index import Index

        try:
            index = Index.restore(source if isinstance(source, bytes) else str(source), view=True)
        except (RuntimeError, ValueError, OSError) as error:
            raise ModelRefused(f"{where} should be a readable index. Received: {error}.") from error
        found = None if index is None else (len(index), index.ndim, str(index.metric_kind))
        if found != (n, dim + 1, METRIC):
            raise ModelRefused(
                f"{where} should be an index of {n} vectors of {dim} numbers by dot product. Received: {found}."
            )
        return cls(dim, index, source)

    def search(self, vector: NDArray[np.float32], k: int) -> NDArray[np.int32]:
        """Return the vectors that have the largest dot product with another one, nearly all of them, best first.

        Args:
            vector: `(dim,)` float32.
            k: How many; at least 1.

        Returns:
            `(at most k,)` int32.
        """
        asked = np.append(vector.astype(np.float64), 0)
        found = self._index.search((asked / _unit(np.linalg.norm(asked))).astype(np.float32), k, threads=1)
        return np.asarray(found.keys).astype(np.int32)


def _unit(length: float | np.floating[Any]) -> float:
    """Return the power of two above a length; dividing by it loses nothing."""
    return float(np.ldexp(1.0, np.frexp(length)[1]))
