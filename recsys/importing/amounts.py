"""Numbers as people, spreadsheets and countries write them, and what each of them can mean."""

from __future__ import annotations

import math
import re

_MINUS = r"[\-\u2212\u2012\u2013\ufe63\uff0d]"  # hyphen, minus sign, figure and en dash, small and full-width hyphen
_SIGNED = re.compile(rf"(?P<minus>{_MINUS})?\+?\s*(?P<size>[\d.,].*?)\s*(?P<late>{_MINUS})?", re.ASCII)
_IN_BRACKETS = re.compile(r"\(\s*(?P<size>[\d.,].*?)\s*\)", re.ASCII)  # as accountants write a negative number
_SPACE = "[ \u00a0\u2009\u202f'\u2019]"  # between groups of digits, and never decimal
_FORMS = {  # the text of an unsigned number, by its decimal mark; no group begins with a zero
    point: re.compile(
        rf"(?P<whole>\d+|[1-9]\d{{0,2}}(?P<group>{_SPACE}|\{other})(\d{{2,3}}(?P=group))*\d{{3}}|(?=\{point}\d))"
        rf"(\{point}(?P<fraction>\d*))?(?P<exponent>[eE][-+]?\d+)?",
        re.ASCII,
    )
    for point, other in ((".", ","), (",", "."))
}
_SINGLE_DOT = re.compile(r"[^.,]*\.[^.,]*")


def readings(text: str | None, decimal: str | None = None) -> tuple[float, ...]:
    r"""Return all numbers that a text can mean, none if it is no number.

    A single dot is decimal. A single comma before three digits may be decimal or may group thousands.

    Args:
        text: The text, or None for a blank.
        decimal: The decimal mark, `.` or `,`; None where it is not known.

    >>> [readings(text) for text in ("12.50", "-1,5", "(3)", "\u22122", "'-70", "1,200", "1.234,5", "3 pieces")]
    [(12.5,), (-1.5,), (-3.0,), (-2.0,), (-70.0,), (1200.0, 1.2), (1234.5,), ()]
    """
    if decimal is None and _SINGLE_DOT.fullmatch(text or ""):
        decimal = "."
    return _readings(text, (decimal,) if decimal else tuple(_FORMS))


def amount(text: str | None, decimal: str | None = None) -> float:
    """Return the number that a text means; NaN for None, other text, and text that may mean two numbers.

    >>> [amount(text) for text in ("12.50", "12,50", "1.234,50", "1 234", "1,234", "two", None)]
    [12.5, 12.5, 1234.5, 1234.0, nan, nan, nan]
    >>> [amount("1,234", decimal) for decimal in (".", ",")]
    [1234.0, 1.234]
    """
    meant = readings(text, decimal)
    return meant[0] if len(meant) == 1 else math.nan


def count(text: str | None) -> float:
    """Return a number of pieces, where a mark before three digits can only part thousands; NaN for other text.

    >>> [count(text) for text in ("6", "-1,200", "1.200", "0", "few")]
    [6.0, -1200.0, 1200.0, 0.0, nan]
    """
    return max(_readings(text, tuple(_FORMS)), key=abs, default=math.nan)


def _readings(text: str | None, decimals: tuple[str, ...]) -> tuple[float, ...]:
    """Return all numbers that a text can mean with one of some decimal marks."""
    text = (text or "").strip().removeprefix("'").strip()  # spreadsheets mark text by an apostrophe
    in_brackets = _IN_BRACKETS.fullmatch(text)
    match = in_brackets or _SIGNED.fullmatch(text)
    if match is None:
        return ()
    signs = [] if in_brackets else [sign for sign in (match["minus"], match["late"]) if sign]
    if len(signs) > 1:
        return ()
    sign = -1.0 if in_brackets or signs else 1.0
    sizes = [_size(match["size"], point) for point in decimals]
    return tuple(dict.fromkeys(sign * size for size in sizes if size is not None))


def _size(digits: str, point: str) -> float | None:
    form = _FORMS[point].fullmatch(digits)
    if form is None:
        return None
    whole = form["whole"].replace(form["group"] or ",", "") or "0"
    return float(f"{whole}.{form['fraction'] or '0'}{form['exponent'] or ''}")
