"""How messages put values into words."""

from __future__ import annotations

from collections.abc import Iterable

MOST_CHARACTERS = 80  # of one value: what came from outside may be of any length


def listed(values: Iterable[object]) -> str:
    """Return values as a person lists them, in their order; `nothing` where there is none.

    >>> listed(["cart", "view"]), listed([])
    ('cart, view', 'nothing')
    """
    return ", ".join(f"{value!s:.{MOST_CHARACTERS}}" for value in values) or "nothing"
