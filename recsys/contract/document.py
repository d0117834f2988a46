"""Bytes to one JSON object, strictly: input that two parsers could read differently is refused."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from recsys.contract.fields import MAX_WHOLE, shown
from recsys.errors import InvalidJson, InvalidRequest, TooLarge

MAX_BYTES = 2**20  # of one request
MAX_DEPTH = 32  # levels of nesting
MAX_LENGTH = 10_000  # members of one list or object


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
