"""Checks of single fields: each maps a JSON value and its path to a checked value, or raises an error with the path."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from recsys.errors import InvalidRequest

Id = int | str
Check = Callable[[object, str], Any]

MAX_WHOLE = 2**53 - 1  # JavaScript keeps no larger whole number exactly
MAX_TEXT_BYTES = 512  # the length of the key columns of the rec_* tables
MAX_SHOWN = 60  # characters of a received value in a message
TEXT = f"text of 1 to {MAX_TEXT_BYTES} bytes without control characters"
# Control characters; lone surrogates, which UTF-8 cannot encode.
_UNSTORABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def refused(field: str, expected: str, value: object) -> InvalidRequest:
    """Return the error about a field's value.

    Args:
        field: The path of the field, such as `interactions[3].event`.
        expected: A description of valid values, after "should be".
        value: The received value.
    """
    return InvalidRequest(f"`{field}` should be {expected}. Received: {shown(value)}.", field=field)


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
    """Return a text that is not empty and that every database can store."""
    if not isinstance(value, str) or not _is_valid(value):
        raise refused(field, TEXT, value)
    return value


def identifier(value: object, field: str) -> Id:
    """Return an id as received; `recsys.data.ids.canonical` maps it to the shop's type later."""
    if isinstance(value, bool) or not isinstance(value, int | str) or isinstance(value, str) and not _is_valid(value):
        raise refused(field, f"a whole number, or {TEXT}", value)
    return value


def label(value: object, field: str) -> str:
    """Return a category, brand or context value as text; a whole number becomes its digits."""
    return str(identifier(value, field))


class Whole:
    """The check of a whole number from `low` to `high`; `true` and 1.0 are refused."""

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high

    def __call__(self, value: object, field: str) -> int:
        """Return the number."""
        if isinstance(value, bool) or not isinstance(value, int) or not self.low <= value <= self.high:
            raise refused(field, f"a whole number from {self.low} to {self.high}", value)
        return value


def amount(value: object, field: str) -> float:
    """Return a price, which is 0 or more."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise refused(field, "a number from 0", value)
    return float(value)


def flag(value: object, field: str) -> bool:
    """Return true or false; 1 and "true" are refused."""
    if not isinstance(value, bool):
        raise refused(field, "true or false", value)
    return value


class Choice:
    """The check of one name out of several; it returns the name as it is spelt in `names`."""

    def __init__(self, names: Sequence[str], *, any_case: bool = False) -> None:
        self.names = names
        self._fold = str.casefold if any_case else str
        self._spellings = {self._fold(name): name for name in names}

    def __call__(self, value: object, field: str) -> str:
        """Return the name."""
        name = self._spellings.get(self._fold(value)) if isinstance(value, str) else None
        if name is None:
            raise refused(field, f"one of {', '.join(self.names)}", value)
        return name


class Many:
    """The check of a list, whose members all have to pass `check`."""

    def __init__(self, check: Check) -> None:
        self.check = check

    def __call__(self, value: object, field: str) -> tuple[Any, ...]:
        """Return the members."""
        if not isinstance(value, list):
            raise refused(field, "a list", value)
        return tuple(self.check(member, f"{field}[{position}]") for position, member in enumerate(value))


def labels(value: object, field: str) -> dict[str, str | None]:
    """Return an object with any names, whose values are labels or null."""
    if not isinstance(value, dict):
        raise refused(field, "an object", value)
    checked: dict[str, str | None] = {}
    for name, inner in value.items():
        path = f"{field}.{shown(name, quotes=False)}"
        if not _is_valid(name):
            raise refused(path, f"named by {TEXT}", name)
        checked[name] = None if inner is None else label(inner, path)
    return checked


def members(value: object, checks: Mapping[str, Check], field: str = "") -> dict[str, Any]:
    """Return the checked members of an object; a member that is null is left out, an unknown name is refused.

    Args:
        value: The received value.
        checks: The check of each known member.
        field: The path of the object; empty for the request itself.
    """
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


def _is_valid(value: str) -> bool:
    return bool(value) and not _UNSTORABLE.search(value) and len(value.encode()) <= MAX_TEXT_BYTES
