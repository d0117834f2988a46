"""Lists of values in messages."""

from __future__ import annotations

from collections.abc import Iterable

MOST_CHARACTERS = 80  # of one value: received values may be of any length


def listed(values: Iterable[object]) -> str:
    """Return values with commas between them, in their order; `nothing` for no values.

    >>> listed(["cart", "view"]), listed([])
    ('cart, view', 'nothing')
    """
    return ", ".join(f"{value!s:.{MOST_CHARACTERS}}" for value in values) or "nothing"
