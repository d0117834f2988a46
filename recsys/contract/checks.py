"""The strict reader of requests: bytes to one JSON object, and its fields to checked values or errors with their path.

Input that two parsers could read differently is refused.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from recsys.errors import InvalidJson, InvalidRequest, TooLarge
from recsys.errors.wording import shown as shown_value

Id = int | str
Check = Callable[[object, str], Any]

MAX_BYTES = 2**20  # of one request
MAX_DEPTH = 32  # levels of nesting
MAX_LENGTH = 10_000  # members of one list or object
MAX_WHOLE = 2**53 - 1  # JavaScript keeps no larger whole number exactly
MAX_TEXT_BYTES = 512  # the length of the key columns of the rec_* tables
TEXT = f"text of 1 to {MAX_TEXT_BYTES} bytes without control characters"


def read_document(data: bytes) -> dict[str, Any]:
    """Return the JSON object that `data` holds.

    Args:
        data: One request in UTF-8, its line end included; a byte order mark is skipped.

    Raises:
        InvalidJson: The bytes are not one JSON object in UTF-8.
        InvalidRequest: A name occurs twice, or a number is too large for JavaScript to keep it exactly.
        TooLarge: More than `MAX_BYTES` bytes, `MAX_DEPTH` levels or `MAX_LENGTH` members.
    """
    if len(data) > MAX_BYTES:
        raise TooLarge(f"The request should have at most {MAX_BYTES} bytes. Received: more.")
    document = _decode_json(_decode_text(data))
    if not isinstance(document, dict):
        raise InvalidJson(f"The request should be one JSON object. Received: {shown(document)}.")
    _check_limits(document, "", 1)
    return document


def _decode_text(data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidJson(
            f"The request should be UTF-8. Received: the byte 0x{error.object[error.start]:02x}."
        ) from error
    if not text.strip(" \t\r\n"):
        raise InvalidJson("The request should be one JSON object. Received: nothing.")
    return text


def _decode_json(text: str) -> object:
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        what = f"text that errs at character {error.pos} ({error.msg.lower()})"
        raise InvalidJson(f"The request should be one JSON object. Received: {what}.") from error
    except RecursionError as error:
        raise _too_deep("") from error


def _check_limits(value: dict[str, Any] | list[Any], field: str, depth: int) -> None:
    """Refuse a value with too many levels or members.

    Args:
        value: An object or a list, at any depth.
        field: The field of the request that holds it; empty for the request itself.
        depth: Its level, from 1.
    """
    if depth > MAX_DEPTH:
        raise _too_deep(field)
    if len(value) > MAX_LENGTH:
        subject = f"`{field}`" if field else "The request"
        raise TooLarge(
            f"{subject} should have at most {MAX_LENGTH} members. Received: {len(value)}.", field=field or None
        )
    if isinstance(value, list):
        for inner in value:
            if isinstance(inner, dict | list):
                _check_limits(inner, field, depth + 1)
    else:
        for name, inner in value.items():
            if isinstance(inner, dict | list):
                _check_limits(inner, field or shown(name, quotes=False), depth + 1)


def _too_deep(field: str) -> TooLarge:
    return TooLarge(f"The request should have at most {MAX_DEPTH} levels. Received: more.", field=field or None)


def _read_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return the members of a JSON object; a name that occurs twice is refused."""
    document = dict(pairs)
    if len(document) < len(pairs):
        name = shown(Counter(name for name, _ in pairs).most_common(1)[0][0], quotes=False)
        raise InvalidRequest(f"`{name}` should be given once. Received: twice or more.", field=name)
    return document


def _read_whole(digits: str) -> int:
    """Return a whole number within ±`MAX_WHOLE`."""
    is_short = len(digits) <= len(str(-MAX_WHOLE))  # `int` of thousands of digits is slow, or raises
    value = int(digits) if is_short else None
    if value is None or abs(value) > MAX_WHOLE:
        raise InvalidRequest(
            f"Numbers should be within ±{MAX_WHOLE}, and larger ids be text. Received: {shown(digits, quotes=False)}."
        )
    return value


def _read_float(digits: str) -> float:
    """Return a finite number."""
    value = float(digits)
    if abs(value) == float("inf"):
        raise InvalidRequest(f"Numbers should be finite. Received: {shown(digits, quotes=False)}.")
    return value


def _refuse_constant(name: str) -> object:
    """Refuse NaN and Infinity, which Python's parser would accept."""
    raise InvalidJson(f"The request should be one JSON object. Received: {name}, which JSON does not know.")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_read_object, parse_int=_read_whole, parse_float=_read_float, parse_constant=_refuse_constant
)


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
    if isinstance(value, list | dict):
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    return shown_value(value, quotes=quotes)


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
    """The check of a list with `least` to `most` members, which all have to pass `check`."""

    def __init__(self, check: Check, least: int = 0, most: int = MAX_LENGTH) -> None:
        self.check = check
        self.least = least
        self.most = most

    def __call__(self, value: object, field: str) -> tuple[Any, ...]:
        """Return the members."""
        if not isinstance(value, list):
            raise refused(field, "a list", value)
        if not self.least <= len(value) <= self.most:
            raise InvalidRequest(
                f"`{field}` should have {self.least} to {self.most} members. Received: {len(value)}.", field=field
            )
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
    is_storable = value.isprintable() or not any(map(_is_unstorable, value))
    return bool(value) and is_storable and len(value.encode()) <= MAX_TEXT_BYTES


def _is_unstorable(letter: str) -> bool:
    """Return whether a character is a control character, or a lone surrogate, which UTF-8 cannot encode."""
    return letter < " " or "\x7f" <= letter <= "\x9f" or "\ud800" <= letter <= "\udfff"
