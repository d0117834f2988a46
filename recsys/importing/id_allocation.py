"""Assigns the default schema's ids to another system's ids: whole numbers are kept, other ids get new numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

MAX_ID_LENGTH = 128  # the width of externalId
_MAX_DIGITS = 15  # such numbers are exact in JavaScript, which also reads these ids


def is_whole(text: str) -> bool:
    """Return whether an id can be kept: a positive whole number in its usual spelling.

    >>> [is_whole(text) for text in ("71053", "85123A", "007", "0", "-1", "1.0", "1000000000000000")]
    [True, False, False, False, False, False, False]
    """
    return text.isascii() and text.isdigit() and text[0] != "0" and len(text) <= _MAX_DIGITS


def is_storable(text: str) -> bool:
    """Return whether every database can store the id as externalId."""
    return 0 < len(text) <= MAX_ID_LENGTH and "\0" not in text


class IdAllocator:
    """The ids of one table, of users or of products.

    An id that the table knows keeps its number. A new id is kept as its own number if all ids of the file and of the
    table are whole numbers. Otherwise it gets the next free number, so that all ids of a shop are of one kind.
    """

    def __init__(self, known: Iterable[tuple[int, str | None]], *, file_is_whole: bool) -> None:
        """Start with the ids of the table.

        Args:
            known: Id and external id of each row.
            file_is_whole: Whether every id in the file's column passes `is_whole`.
        """
        rows = dict(known)
        externals = {external: number for number, external in rows.items() if external is not None}
        kept = {str(number): number for number, external in rows.items() if external is None}
        self._numbers = kept | externals
        self._highest = max(0, max(rows, default=0))
        self._whole = file_is_whole and not externals

    def numbers(self, ids: NDArray) -> tuple[NDArray[np.int64], dict[int, str | None]]:
        """Return the number of each id, and the new numbers.

        Args:
            ids: `(n,)` object holding str, all storable.

        Returns:
            `(n,)` int64 numbers, and the external id of each new number (None if the id was kept), in the order of
            first appearance.
        """
        texts: Sequence[str] = ids.tolist()
        unknown = [text for text in dict.fromkeys(texts) if text not in self._numbers]
        new = {self._add(text): None if self._whole else text for text in unknown}
        return np.fromiter(map(self._numbers.__getitem__, texts), np.int64, len(texts)), new

    def _add(self, text: str) -> int:
        number = int(text) if self._whole else self._highest + 1
        self._numbers[text] = number
        self._highest = max(self._highest, number)
        return number
