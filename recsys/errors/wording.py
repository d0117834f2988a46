"""Values in messages."""

from __future__ import annotations

import json
from collections.abc import Iterable

MOST_CHARACTERS = 80  # of one value: received values may be of any length
MOST_SHOWN = 60


def listed(values: Iterable[object]) -> str:
    """Return values with commas between them, in their order; `nothing` for no values.

    >>> listed(["cart", "view"]), listed([])
    ('cart, view', 'nothing')
    """
    return ", ".join(f"{value!s:.{MOST_CHARACTERS}}" for value in values) or "nothing"


def shown(value: object, *, quotes: bool = True) -> str:
    r"""Return a received value as JSON, in at most 60 printable ASCII characters.

    >>> shown("a\n"), shown("a\n", quotes=False), shown([1, 2]), shown(float("nan"))
    ('"a\\n"', 'a\\n', '[1, 2]', 'nan')
    """
    try:
        text = repr(value) if isinstance(value, float) else json.dumps(value, default=str)
    except ValueError:  # an integer of thousands of digits
        return "a number that is far too long"
    if isinstance(value, str) and not quotes:
        text = text[1:-1]
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 3] + "..."
