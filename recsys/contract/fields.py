"""Checks of single fields: a JSON value and its path in, the value of our type out, or a refusal that names the field."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from recsys.errors import InvalidRequest

Id = int | str
Check = Callable[[object, str], Any]

MAX_WHOLE = 2**53 - 1  # JavaScript keeps no larger whole number exactly
MAX_TEXT_BYTES = 512  # what the key columns of the rec_* tables hold
MAX_SHOWN = 60
TEXT = f"text of 1 to {MAX_TEXT_BYTES} bytes without control characters"
_UNFIT = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff]"
)  # control characters; lone surrogates, which UTF-8 cannot carry


def refused(field: str, wanted: str, value: object) -> InvalidRequest:
    """Return the refusal of a field's value."""
    return InvalidRequest(f"`{field}` should be {wanted}. Received: {shown(value)}.", field=field)


def shown(value: object, *, quotes: bool = True) -> str:
    r"""Return a received value in at most 60 printable ASCII characters.

    >>> shown("7\n" + "a" * 100), shown([1, 2]), shown(None)
    ('"7\\naaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...', 'a list of 2', 'null')
    """
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return f"an object of {len(value)}"
    text = json.dumps(value[: MAX_SHOWN + 1] if isinstance(value, str) else value)
    if isinstance(value, str) and not quotes:
        text = text[1:-1]
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."


def text(value: object, field: str) -> str:
    """Return a text that is not empty and that every database can hold."""
    if not isinstance(value, str) or not _is_fit(value):
        raise refused(field, TEXT, value)
    return value


def identifier(value: object, field: str) -> Id:
    """Return an id as it was written; its type against the shop's is decided later, by `recsys.data.ids.canonical`."""
    if isinstance(value, bool) or not isinstance(value, int | str) or isinstance(value, str) and not _is_fit(value):
        raise refused(field, f"a whole number, or {TEXT}", value)
    return value


def label(value: object, field: str) -> str:
    """Return a category, brand or context value: text, a whole number being its digits."""
    return str(identifier(value, field))


class Whole:
    """The check of a whole number from `low` to `high`; `true` and 1.0 are none."""

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high

    def __call__(self, value: object, field: str) -> int:
        """Return the number."""
        if isinstance(value, bool) or not isinstance(value, int) or not self.low <= value <= self.high:
            raise refused(field, f"a whole number from {self.low} to {self.high}", value)
        return value


def amount(value: object, field: str) -> float:
    """Return a price: a number from 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise refused(field, "a number from 0", value)
    return float(value)


def flag(value: object, field: str) -> bool:
    """Return a truth value; 1 and "true" are none."""
    if not isinstance(value, bool):
        raise refused(field, "true or false", value)
    return value


class Choice:
    """The check of one name out of several, given back as it is spelt in `names`."""

    def __init__(self, names: Sequence[str], *, any_case: bool = False) -> None:
        self.names = names
        self._fold = str.casefold if any_case else str
        self._spelt = {self._fold(name): name for name in names}

    def __call__(self, value: object, field: str) -> str:
        """Return the name."""
        name = self._spelt.get(self._fold(value)) if isinstance(value, str) else None
        if name is None:
            raise refused(field, f"one of {', '.join(self.names)}", value)
        return name


class Many:
    """The check of a list whose members all pass `check`."""

    def __init__(self, check: Check) -> None:
        self.check = check

    def __call__(self, value: object, field: str) -> tuple[Any, ...]:
        """Return the members."""
        if not isinstance(value, list):
            raise refused(field, "a list", value)
        return tuple(self.check(member, f"{field}[{position}]") for position, member in enumerate(value))


def labels(value: object, field: str) -> dict[str, str | None]:
    """Return an object whose names are free and whose values are labels or null."""
    if not isinstance(value, dict):
        raise refused(field, "an object", value)
    checked: dict[str, str | None] = {}
    for name, inner in value.items():
        path = f"{field}.{shown(name, quotes=False)}"
        if not _is_fit(name):
            raise refused(path, f"named by {TEXT}", name)
        checked[name] = None if inner is None else label(inner, path)
    return checked


def members(value: object, checks: Mapping[str, Check], field: str = "") -> dict[str, Any]:
    """Return an object's members, each checked; null stands for an absent member, an unknown name is refused."""
    if not isinstance(value, dict):
        raise refused(field, "an object", value)
    checked: dict[str, Any] = {}
    for name, inner in value.items():
        known = name if name in checks else shown(name, quotes=False)
        path = f"{field}.{known}" if field else known
        if name not in checks:
            raise InvalidRequest(
                f"`{path}` should be one of the fields {', '.join(checks)}. Received: an unknown field.", field=path
            )
        if inner is not None:
            checked[name] = checks[name](inner, path)
    return checked


def _is_fit(value: str) -> bool:
    return bool(value) and not _UNFIT.search(value) and len(value.encode()) <= MAX_TEXT_BYTES
