"""Numbers in texts of any country: what may mean two numbers is none."""

from __future__ import annotations

import math
import re

_MINUS = str.maketrans({"\u2212": "-", "\u2012": "-", "\u2013": "-", "\u00a0": " ", "\u202f": " ", "\u2019": "'"})
_PLAIN = re.compile(r"\d+(\.\d*)?([eE][-+]?\d+)?|\.\d+", re.ASCII)
_GROUPED = re.compile(r"\d{1,3}(?P<sep>[,.' ])\d{3}(?:(?P=sep)\d{3})*(?:(?P<point>[,.])\d*)?", re.ASCII)
_COMMA = re.compile(r"\d+,\d*", re.ASCII)


def amount(text: str | None) -> float:
    """Return the number that a text stands for; NaN for None, other text, and text that may mean two numbers.

    A comma is a decimal comma unless exactly three digits follow it: `1,234` is 1.234 in some countries and 1234 in
    others. Minus signs of every kind, and brackets as in book-keeping, make a number negative.

    >>> [amount(text) for text in ("12.50", "12,50", "1.234,50", "1,234.50", "1 234", "1,234", "two")]
    [12.5, 12.5, 1234.5, 1234.5, 1234.0, nan, nan]
    >>> [amount(text) for text in ("-3", "(3)", "3-", None)]
    [-3.0, -3.0, -3.0, nan]
    """
    bare, sign = _unsigned(text or "")
    if _PLAIN.fullmatch(bare):
        return sign * float(bare)
    grouped = _GROUPED.fullmatch(bare)
    if grouped and grouped["point"] != grouped["sep"] and not _is_ambiguous(bare):
        return sign * float(_without_groups(bare, grouped["sep"]))
    if _COMMA.fullmatch(bare) and not grouped:
        return sign * float(bare.replace(",", "."))
    return math.nan


def count(text: str | None) -> float:
    """Return a number of pieces, where a mark before three digits can only part thousands; NaN for other text.

    >>> [count(text) for text in ("6", "-1,200", "1.200", "0", "few")]
    [6.0, -1200.0, 1200.0, 0.0, nan]
    """
    bare, sign = _unsigned(text or "")
    if _GROUPED.fullmatch(bare) and _is_ambiguous(bare):
        return sign * float(re.sub(r"\D", "", bare))
    return amount(text)


def _is_ambiguous(bare: str) -> bool:
    """Return whether a text has one mark, a comma or a point, before exactly three digits, as 1,234 has."""
    return re.fullmatch(r"\d{1,3}[,.]\d{3}", bare) is not None


def _without_groups(bare: str, separator: str) -> str:
    return bare.replace(separator, "").replace(",", ".")


def _unsigned(text: str) -> tuple[str, int]:
    """Return a text without blanks and signs around it, and -1 or 1."""
    bare = text.translate(_MINUS).strip()
    if bare.startswith("(") and bare.endswith(")"):
        return bare[1:-1].strip(), -1
    if bare.endswith("-"):
        return bare[:-1].strip(), -1
    return bare.removeprefix("-").removeprefix("+").strip(), -1 if bare.startswith("-") else 1
