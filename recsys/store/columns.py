"""Conversion of raw database columns to arrays. Values that cannot be read are marked, never guessed."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import repeat
from operator import is_not
from types import NoneType
from typing import Any, TypeVar
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from recsys.data.ids import INT64_MAX
from recsys.settings import Shop
from recsys.store.drivers.base import TEXT_IN_HEX, UUID_BYTES

T = TypeVar("T")
Mask = NDArray[np.bool_]

MAX_KEY_BYTES = 512  # the width of the encoders' id columns
MAX_FLOAT_ID = 10**15  # databases write larger floats as 1e+15
UNKNOWN, UNREADABLE = -1, -2  # codes of events without a known name
NUMBER = re.compile(r"[-+]?\d+(\.\d*)?([eE][-+]?\d+)?", re.ASCII)
# A number that every country reads alike: without comma, currency or grouping of digits.
_PLAIN_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?", re.ASCII)
_TEXT_IN_HEX = re.compile(TEXT_IN_HEX)
MAX_RANK_DIGITS = 18  # any such number is an int64
_RANK = re.compile(rf"-?\d{{1,{MAX_RANK_DIGITS}}}", re.ASCII)
_YES, _NO = (
    frozenset({"true", "t", "yes", "y", "on", "active", "enabled"}),
    frozenset({"false", "f", "no", "n", "off", "inactive", "disabled"}),
)
BYTES = (bytes, bytearray, memoryview)
_APART = frozenset({int, str, bytes, NoneType})  # values of two of these types are never equal
_HASHABLE = _APART | {float, bool, Decimal, UUID, datetime, date}
_ID_TYPES = _APART | {Decimal, UUID}  # equal values of these types are equal ids
_TEXT_TYPES = (str, int, float, Decimal, UUID, date)


def read_each(column: Sequence[Any], read: Callable[[Any], T]) -> Iterator[T]:
    """Yield `read(value)` for each value of a column.

    Equal values are read once, unless values of different types may be equal, as 1, 1.0 and True are.
    """
    kinds = set(map(type, column))
    if kinds <= _APART or (len(kinds) == 1 and kinds <= _HASHABLE):
        known = {raw: read(raw) for raw in dict.fromkeys(column)}
        return map(known.__getitem__, column)
    return map(read, column)


def unreadable(column: Sequence[Any], readable: Mask, *, blank_is_nothing: bool = False) -> Mask:
    """Find the values that are present but could not be read.

    Args:
        column: `(n,)` values as the driver returned them.
        readable: `(n,)` bool, the values that could be read.
        blank_is_nothing: Whether blank text counts as absent, as in columns of ids and names. In columns of numbers and
            dates it counts as unreadable.

    Returns:
        `(n,)` bool.
    """
    missing = len(column) - np.count_nonzero(readable)
    if not missing or missing == column.count(None):  # nearly always
        return np.zeros(len(column), np.bool_)
    there = (not is_blank(raw) if blank_is_nothing else raw is not None for raw in column)
    return ~readable & np.fromiter(there, np.bool_, len(column))


def kept_rows(conditions: Mapping[str, Mask], dropped: Counter[str]) -> Mask:
    """Return `(n,)` bool: the rows to keep.

    Args:
        conditions: For each reason to drop a row, `(n,)` bool: the rows to which it does not apply.
        dropped: Counts of dropped rows, each under the first reason that applies; updated in place.
    """
    keep = np.ones(len(next(iter(conditions.values()))), np.bool_)
    for reason, condition in conditions.items():
        if failed := int(np.count_nonzero(keep & ~condition)):
            dropped[reason] += failed
        keep &= condition
    return keep


def is_blank(raw: object) -> bool:
    """Return whether a value is null or blank text."""
    return raw is None or (isinstance(raw, str | bytes) and not raw.strip())


def read_id(raw: object) -> int | str | None:
    """Return a raw value as an id, int or str, as `recsys.store.drivers.base.Syntax.id` does in SQL.

    Returns:
        None for null, for empty text, for types other than whole numbers and text, and for text that `is_key` refuses.
        Bytes are text, or a UUID if they are 16 and no text.
    """
    if isinstance(raw, Decimal):
        is_whole = raw.is_finite() and raw.adjusted() < MAX_KEY_BYTES and raw == raw.to_integral_value()
        raw = int(raw) if is_whole else None
    elif isinstance(raw, float):
        raw = int(raw) if raw.is_integer() and abs(raw) < MAX_FLOAT_ID else None
    elif isinstance(raw, UUID):
        raw = str(raw)
    elif isinstance(raw, BYTES):
        raw = bytes(raw)
        is_uuid = len(raw) == UUID_BYTES and not _TEXT_IN_HEX.fullmatch(raw.hex())
        raw = str(UUID(bytes=raw)) if is_uuid else decoded(raw)
    if isinstance(raw, bool) or not isinstance(raw, int | str):
        return None
    if isinstance(raw, int) and -INT64_MAX <= raw <= INT64_MAX:
        return raw
    return str(raw) if is_key(str(raw)) else None


def is_key(text: str) -> bool:
    """Return whether every database can hold a text as an id: 1 to 512 bytes of UTF-8, no NUL."""
    if not text or "\0" in text or len(text) > MAX_KEY_BYTES:
        return False
    try:
        return len(text.encode("utf-8")) <= MAX_KEY_BYTES
    except UnicodeEncodeError:
        return False


def _are_keys(values: Collection[Any]) -> bool:
    """Return whether all values are ASCII texts for which `is_key` holds; False is no proof of the contrary."""
    if set(map(type, values)) != {str}:
        return False
    joined = "".join(values)
    return joined.isascii() and "\0" not in joined and max(map(len, values)) <= MAX_KEY_BYTES and "" not in values


def id_array(column: Sequence[Any], known: dict[Any, int | str | None]) -> NDArray:
    """Convert a raw column to ids: int64, or object holding int, str and None. Equal ids share one object.

    Args:
        column: `(n,)` values as the driver returned them.
        known: The ids of values that were read before; new ones are added in place.
    """
    kinds = set(map(type, column))
    if kinds == {int}:
        try:
            return np.array(column, np.int64)
        except OverflowError:
            pass  # an unsigned id beyond int64 is read as text
    if kinds <= _ID_TYPES:
        new = set(column) - known.keys()
        known.update(zip(new, new, strict=True) if _are_keys(new) else zip(new, map(read_id, new), strict=True))
        read = list(map(known.__getitem__, column))
    else:  # True is no id, though equal to one; lists are equal to nothing
        read = list(map(read_id, column))
    ids = np.empty(len(column), object)
    ids[:] = read
    return ids


def joined_ids(chunks: Sequence[NDArray]) -> NDArray:
    """Join chunks of ids without None: int64 if every id is an integer, otherwise object holding str."""
    chunks = [_as_integers(chunk) for chunk in chunks]
    if all(chunk.dtype == np.int64 for chunk in chunks):
        return np.concatenate(chunks) if chunks else np.zeros(0, np.int64)
    ids = np.empty(sum(map(len, chunks)), object)
    known: dict[Any, str] = {}
    ids[:] = [known.setdefault(value, str(value)) for chunk in chunks for value in chunk.tolist()]
    return ids


def present(values: NDArray) -> Mask:
    """Return `(n,)` bool: the values of an array of ids or texts that are not None."""
    if values.dtype != object:
        return np.ones(len(values), np.bool_)
    return np.fromiter(map(is_not, values, repeat(None)), np.bool_, len(values))


def text_array(column: Sequence[Any]) -> NDArray:
    """Convert a raw column to object holding str, or None for null, empty and unreadable. Equal texts are shared."""
    return _objects(column, text)


def label_array(column: Sequence[Any]) -> NDArray:
    """Convert a raw column as `text_array` does; None also for texts that the encoders' columns cannot hold."""
    return _objects(column, label)


def _objects(column: Sequence[Any], read: Callable[[Any], str | None]) -> NDArray:
    values = np.empty(len(column), object)
    values[:] = list(read_each(column, read))
    return values


def known_events(shop: Shop) -> frozenset[str]:
    """Return the names of the events that have a weight, cancel others, or take an item out of the cart."""
    return frozenset(shop.event_weights).union(shop.cancel_events, shop.uncart_events)


def event_codes(
    column: Sequence[Any], names: dict[str, int], allowed: Collection[str], *, rating: bool
) -> NDArray[np.int16]:
    """Convert a raw column of events, or of ratings, to codes.

    Args:
        column: `(n,)` event names, or ratings, as the driver returned them.
        names: Positions by event name; new names are added in place.
        allowed: The names to keep.
        rating: Whether the column holds ratings, which become `star1` … `star5`, rounded half up.

    Returns:
        `(n,)` int16 positions in `names`; `UNKNOWN` for an event that is not allowed, `UNREADABLE` for other values.
    """

    def code(raw: Any) -> int:
        name = star(raw) if rating else text(raw)
        if name is not None and name in allowed:
            return names.setdefault(name, len(names))
        known = is_blank(raw) or (math.isfinite(number(raw)) if rating else name is not None)
        return UNKNOWN if known else UNREADABLE

    return np.fromiter(read_each(column, code), np.int16, len(column))


def sorted_names(names: Mapping[str, int], codes: NDArray[np.int16]) -> tuple[tuple[str, ...], NDArray[np.int16]]:
    """Sort the event names and drop those that do not occur.

    Args:
        names: Positions by event name, as `event_codes` collected them.
        codes: `(n,)` int16 positions of allowed events.

    Returns:
        The sorted names, and `(n,)` int16 positions in them.
    """
    occurring = set(codes.tolist())  # not np.unique: see recsys.data.ids.distinct
    ordered = sorted([name for name, code in names.items() if code in occurring])
    positions = np.zeros(len(names), np.int16)
    for position, name in enumerate(ordered):
        positions[names[name]] = position
    return tuple(ordered), positions[codes]


def star(rating: object) -> str | None:
    """Return the event name of a rating from 0.5 to below 5.5; None for other ratings.

    >>> star(4), star("3.5"), star(0.2), star(None), star(6)
    ('star4', 'star4', None, None, None)
    """
    stars = number(rating)
    return f"star{int(stars + 0.5)}" if 0.5 <= stars < 5.5 else None


def number(raw: object) -> float:
    """Return a number, or plain text of one, as float. Booleans and text with a currency or a comma give NaN.

    >>> number(4), number(" 12.50 "), number("12,50"), number(True), number(None)
    (4.0, 12.5, nan, nan, nan)
    """
    if isinstance(raw, BYTES):
        raw = decoded(raw)
    if isinstance(raw, str):
        return float(raw) if _PLAIN_NUMBER.fullmatch(raw := raw.strip()) else math.nan
    return as_float(raw) if isinstance(raw, int | float | Decimal) and not isinstance(raw, bool) else math.nan


def price(raw: object) -> float:
    """Return a finite price of at least 0; NaN for other values."""
    amount = number(raw)
    return amount if 0 <= amount < math.inf else math.nan


def price_array(column: Sequence[Any]) -> NDArray[np.float64]:
    """Convert a raw column to `(n,)` float64 prices of at least 0; NaN for other values."""
    if set(map(type, column)) <= {int, float, Decimal, NoneType}:
        try:
            amounts = np.array(column, np.float64)
            return np.where((amounts >= 0) & (amounts < math.inf), amounts, math.nan)
        except (OverflowError, ValueError):
            pass  # an integer beyond float64, or a signalling NaN
    return np.fromiter(read_each(column, price), np.float64, len(column))


def quantity_array(column: Sequence[Any]) -> NDArray[np.float64]:
    """Convert a raw column to `(n,)` float64 numbers of pieces; NaN for other values, and for infinity."""
    quantities = np.fromiter(read_each(column, number), np.float64, len(column))
    return np.where(np.isfinite(quantities), quantities, math.nan)


def truth(raw: object) -> bool | None:
    r"""Return whether a flag is set. Numbers and words such as yes and no are flags; other values give None.

    >>> truth(1), truth("0"), truth("Y"), truth("no"), truth(b"\x01"), truth("perhaps")
    (True, False, True, False, True, None)
    """
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, BYTES):
        if raw and max(raw := bytes(raw)) < ord(" "):  # MySQL's BIT(1)
            return any(raw)
        raw = decoded(raw)
    word = raw.strip().lower() if isinstance(raw, str) else None
    if word in _YES or word in _NO:
        return word in _YES
    amount = number(raw)
    return None if math.isnan(amount) else amount != 0


def flags(column: Sequence[Any]) -> list[bool | None]:
    """Convert a raw column as `truth` does."""
    return list(map(bool, column) if set(map(type, column)) <= {int, bool} else read_each(column, truth))


def ranks(column: Sequence[Any]) -> NDArray[np.int64]:
    """Convert a raw column to `(n,)` int64 row ids. Other values than whole numbers become 0, which means no row id."""
    kinds = set(map(type, column))
    if kinds == {int} or (kinds == {str} and (_are_digits(column) or all(map(_RANK.fullmatch, column)))):
        try:
            return np.array(column if kinds == {int} else list(map(int, column)), np.int64)
        except OverflowError:
            pass  # unsigned and beyond int64
    return np.array(list(map(_rank, column)), np.int64)


def _are_digits(column: Sequence[str]) -> bool:
    """Return whether all texts are short whole numbers without a sign: the usual case, without a search in each."""
    joined = "".join(column)
    return joined.isascii() and joined.isdigit() and "" not in column and max(map(len, column)) <= MAX_RANK_DIGITS


def _rank(raw: object) -> int:
    number = read_id(raw)
    return number if isinstance(number, int) else int(number) if number and _RANK.fullmatch(number) else 0


def _as_integers(chunk: NDArray) -> NDArray:
    if chunk.dtype != object or not set(map(type, chunk.tolist())) <= {int}:
        return chunk
    return chunk.astype(np.int64)


def text(raw: object) -> str | None:
    """Return a raw value as text; None for null, empty text, bytes that are not UTF-8, and values such as lists."""
    if isinstance(raw, BYTES):
        raw = decoded(raw)
    return str(raw) or None if isinstance(raw, _TEXT_TYPES) else None


def label(raw: object) -> str | None:
    """Return a raw value as text. None also for text whose form in the encoders, folded and stripped, is no key."""
    words = text(raw)
    return words if words is not None and is_key(words.strip().casefold()) else None


def as_float(raw: float | Decimal) -> float:
    """Return a number as a float; infinity for an integer beyond float64."""
    try:
        return float(raw)
    except OverflowError:
        return math.inf


def decoded(raw: bytes | bytearray | memoryview) -> str | None:
    """Return bytes as text; None if they are not UTF-8."""
    try:
        return bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        return None
