"""Names of the shop's tables and columns in texts, until the database that reads a text is known.

A name may be a reserved word or hold capitals and hyphens, and each database quotes in its own way. So texts that are
made of names hold them between two marks, and `Database` replaces these by the quotes of its database.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_BEGIN, _END = "\ue000", "\ue001"  # of Unicode's private use, which no name has
_MARKED = re.compile(f"{_BEGIN}([^{_END}]*){_END}")
_PART = re.compile(r'"((?:[^"]|"")+)"|`((?:[^`]|``)+)`|([^."`]+)')
NAME_IN_TEXT = rf"(?:[\w.]|{_BEGIN}[^{_END}]*{_END})+"  # a regular expression for a table's name


def marked(name: str) -> str:
    """Return a name of recsys.toml, which may be quoted and have parts with dots between them, with marks."""
    parts = (
        (double or back or plain).replace('""' if double else "``", '"' if double else "`")
        for double, back, plain in _PART.findall(name)
    )
    return ".".join(f"{_BEGIN}{part}{_END}" for part in parts)


def written(text: str, quote: Callable[[str], str] | None = None) -> str:
    """Return a text with names in quotes.

    Args:
        text: A text, in which names have marks.
        quote: Returns a name in quotes; None leaves names bare, as for messages.
    """
    if _BEGIN not in text:
        return text
    return _MARKED.sub(lambda match: match[1] if quote is None else quote(match[1]), text)
