"""The map between the shop's ids and dense indices, and the canonical form of ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from recsys.errors.records import Record
from recsys.features.query import Indices

INT64_MAX = 2**63 - 1


class IdMap(Record):
    """A bijection between a shop's ids and `0 … len - 1`; `len` itself stands for "unknown".

    Attributes:
        ids: `(n,)` distinct ids in ascending order; int64, or object holding str.
    """

    ids: NDArray

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def unknown(self) -> int:
        """The index that stands for every id outside the map."""
        return len(self.ids)

    @property
    def kind(self) -> str:
        """`int` or `str`: the type of the shop's ids."""
        return "int" if self.ids.dtype.kind in "iu" else "str"

    def indices(self, values: NDArray) -> Indices:
        """Return the indices of ids of the map's own type, `(n,)` int32; `unknown` for ids outside the map."""
        if len(self.ids) == 0:
            return np.zeros(len(values), np.int32)
        positions = np.minimum(np.searchsorted(self.ids, values), len(self.ids) - 1)
        return np.where(self.ids[positions] == values, positions, self.unknown).astype(np.int32)


def canonical(value: object, kind: str) -> int | str | None:
    """Return an id in the shop's type, or None if the value is no valid id.

    In a shop with integer ids, only 7 and the text "7" mean 7. No other text may, because MySQL reads '7abc' as 7.

    Args:
        value: An id from a request.
        kind: `int` or `str`, the type of the shop's ids.

    >>> canonical("7", "int"), canonical("07", "int"), canonical("7abc", "int"), canonical(True, "int")
    (7, None, None, None)
    >>> canonical(7, "str"), canonical("A-7", "str")
    ('7', 'A-7')
    """
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    if kind == "str":
        return str(value)
    if isinstance(value, str):
        digits = value.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 19 and str(int(value)) == value):
            return None
        value = int(value)
    return value if -INT64_MAX <= value <= INT64_MAX else None


def canonical_integers(texts: Sequence[str | None]) -> list[int | None]:
    """Apply `canonical` to each text in a shop with integer ids; fast if all of them are canonical.

    >>> canonical_integers(["7", "-12"]), canonical_integers(["7", "07", None])
    ([7, -12], [7, None, None])
    """
    try:
        numbers = list(map(int, texts))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        numbers = []
    if len(texts) == 0 or (list(map(str, numbers)) == list(texts) and max(map(abs, numbers)) <= INT64_MAX):
        return list(numbers)
    return [canonical(text, "int") for text in texts]  # type: ignore[misc]


def distinct(indices: Iterable[int]) -> Indices:
    """Return the distinct indices, `(n,)` int32, ascending.

    NumPy's set functions import numpy.ma at their first call, which takes 5 % of a one-shot request.

    >>> distinct([3, 1, 3]).tolist()
    [1, 3]
    """
    return np.array(sorted(set(indices)), np.int32)


def id_column(values: Iterable[object]) -> NDArray:
    """Return an id column, `(n,)` int64 if every value is an integer, else object holding str."""
    column = list(values)
    if all(isinstance(value, int) for value in column):
        return np.array(column, np.int64)
    return np.array([str(value) for value in column], object)
