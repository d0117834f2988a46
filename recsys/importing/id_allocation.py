"""Assigns the default schema's ids to another system's ids, each by itself, whatever else a file holds.

A whole number is its own id, in whatever spelling: `17850`, `0017850`, `+17850` and `17850.0` are 17850. Every other id
gets a number above all of these.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from recsys.importing.columns import ABSENT, SEPARATOR

MAX_ID_LENGTH = 128  # the width of externalId
MAX_ROW = 120  # characters of a row in an example
_MAX_DIGITS = 15
# The numbers of ids that are none. They have 16 digits, so that no file's own number can be one of them, and are exact
# in JavaScript, which also reads these ids.
FIRST_ASSIGNED = 10**_MAX_DIGITS
_MAX_EXACT = 2**53  # floats above it are rounded: their digits are not those of the id
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d*(?:[eE]\+?\d{1,3})?|,00?)?", re.ASCII)
_SHORTENED = re.compile(r"[-+]?(\d+([.,]\d*)?[eE]\+?\d{1,3}|\d{16,}[.,]0*)", re.ASCII)

SPELLED = "a whole number in another spelling"
SHORTENED = "a number without its last digits; export the column as text"
OTHER = "no whole number"
LONG = "a whole number of more than 15 digits"
RENUMBERED = "a whole number that has another number here"


def is_storable(text: str) -> bool:
    """Return whether every database can store the id as externalId."""
    return 0 < len(text) <= MAX_ID_LENGTH and "\0" not in text


def spelled(text: str) -> str:
    """Return the one spelling of an id: that of a whole number, or the text itself.

    A number that went through a float is whole if no digit of it was lost.

    >>> [spelled(text) for text in ("17850.0", "0017850", "+17850", "1.785000e+04", "17850,0", "-5", "00")]
    ['17850', '17850', '17850', '17850', '17850', '-5', '0']
    >>> [spelled(text) for text in ("1.5", "5.41E+08", "17,850", "85123A", "2103807459595387648.0")]
    ['1.5', '5.41E+08', '17,850', '85123A', '2103807459595387648.0']
    """
    if text.isdigit() and text[0] != "0" or not _NUMBER.fullmatch(text):
        return text
    if not ("." in text or "," in text):
        return str(int(text))
    value = Decimal(text.replace(",", "."))
    has_all_digits = value.as_tuple().exponent <= 0  # type: ignore[operator]
    is_whole = has_all_digits and value == value.to_integral_value() and abs(value) < _MAX_EXACT
    return str(int(value)) if is_whole else text


@dataclass
class Oddity:
    """Ids of one odd kind.

    Attributes:
        n_ids: The number of different ids.
        example: One of them, the number that it has, and its row.
    """

    n_ids: int
    example: str


class IdAllocator:
    """The ids of one table, of users or of products.

    An id that the table knows, in any spelling, keeps its number. A new whole number is its own, unless it is another
    row's. All others get the next free number from `FIRST_ASSIGNED` on.

    Attributes:
        oddities: The ids that are not simply their own number, by kind.
    """

    def __init__(self, known: Iterable[tuple[int, str | None]]) -> None:
        """Start with the ids of the table.

        Args:
            known: Id and external id of each row.
        """
        rows = dict(known)
        self._rows = set(rows)
        self._known: dict[str, int] = {str(number): number for number, external in rows.items() if external is None}
        self._known.update((external, number) for number, external in rows.items() if external is not None)
        for external, number in list(self._known.items()):
            self._known.setdefault(spelled(external), number)
        self._last = max(FIRST_ASSIGNED - 1, max(rows, default=0))
        self._numbers: dict[str, int] = {}  # of the ids of this import, as they are written
        self.oddities: dict[str, Oddity] = {}

    def numbers(self, ids: NDArray, rows: Sequence[str]) -> tuple[NDArray[np.int64], dict[int, str | None]]:
        """Return the number of each id, and the new numbers.

        Args:
            ids: `(n,)` object holding str, all storable.
            rows: `(n,)` the rows of the ids, for examples.

        Returns:
            `(n,)` int64 numbers, and the external id of each new number (None if it is the number itself), in the order
            of first appearance.
        """
        texts: Sequence[str] = ids.tolist()
        new: dict[int, str | None] = {}
        for text in dict.fromkeys(texts):
            if text not in self._numbers:
                oddity = self._add(text, new)
                if oddity:
                    self._note(oddity, text, rows, texts)
        return np.fromiter(map(self._numbers.__getitem__, texts), np.int64, len(texts)), new

    def _add(self, text: str, new: dict[int, str | None]) -> str:
        """Find or choose the number of an id; returns what is odd about it, or nothing."""
        key = spelled(text)
        is_number = key.removeprefix("-").isdigit() and key.isascii()
        fits = is_number and 0 <= int(key) < FIRST_ASSIGNED
        number = self._known.get(text, self._known.get(key))
        if number is None:
            is_own = fits and int(key) not in self._rows
            number = int(key) if is_own else self._last + 1
            self._last = max(self._last, number)
            self._rows.add(number)
            is_padded = text != key and text.isdigit()  # leading zeros stay in view, as those of an article number
            new[number] = None if is_own and not is_padded else text
        self._known.setdefault(key, number)
        self._numbers[text] = number
        if key != text:
            return SPELLED
        if not is_number:
            return SHORTENED if _SHORTENED.fullmatch(text) else OTHER
        return "" if number == int(key) else RENUMBERED if fits else LONG

    def _note(self, oddity: str, text: str, rows: Sequence[str], texts: Sequence[str]) -> None:
        if oddity in self.oddities:
            self.oddities[oddity].n_ids += 1
        else:
            row = rows[texts.index(text)].replace(SEPARATOR, ",").replace(ABSENT, "")
            row = "".join(letter if letter.isprintable() else " " for letter in row)
            example = f"{text!r} is {self._numbers[text]}, in the row {row[:MAX_ROW]}"
            self.oddities[oddity] = Oddity(1, example)
