"""Columns as drivers return them, turned into the project's arrays; what cannot be read is marked, never guessed."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from recsys.errors import SettingsError
from recsys.ids import INT64_MAX

MAX_KEY_BYTES = 512  # the width of the encoders' id columns
MILLISECONDS_FROM = 10**11  # as seconds this is the year 5138, as milliseconds 1973
_FIRST_SECOND, _LAST_SECOND = -62_135_510_400, 253_402_214_400  # the years 1 to 9999, a day off each end for time zones
_ZONE_STEP_S = 900  # every change of a zone's offset falls on a quarter of an hour
_NUMBER = re.compile(r"[-+]?\d+(\.\d*)?([eE][-+]?\d+)?")
_CLOCK = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d", re.ASCII)  # as databases write it: read all at once
_SPACED_OFFSET = re.compile(r"\s+(?=[-+]\d\d:?\d\d$)")  # Sequelize writes "… 10:00:00.000 +00:00"
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - a wall clock without a zone


class IdReader(dict[Any, int | str | None]):
    """Raw database values to ids, each distinct one read once and kept once; None for what cannot be an id."""

    def __missing__(self, raw: Any) -> int | str | None:
        self[raw] = value = read_id(raw)
        return value


def read_id(raw: object) -> int | str | None:
    """Return an id as int or str; None for null, empty, and text that no key column holds.

    Raises:
        SettingsError: The column's type is not one of ids.
    """
    if type(raw) is int and -INT64_MAX <= raw <= INT64_MAX:  # nearly all
        return raw
    if isinstance(raw, Decimal) and raw == raw.to_integral_value():
        raw = int(raw)
    if isinstance(raw, UUID):
        raw = str(raw)
    if isinstance(raw, bytes):
        raw = _decoded(raw)
    if raw is None:
        return None
    if isinstance(raw, bool) or not isinstance(raw, int | str):
        raise SettingsError(
            f"`user_id` and `item_id` should be integers or text. Received: {raw!r} ({type(raw).__name__}). CAST them in recsys.toml."
        )
    if isinstance(raw, int):
        return raw if -INT64_MAX <= raw <= INT64_MAX else str(raw)
    return raw if is_key(raw) else None


def is_key(text: str) -> bool:
    """Return whether every database can hold the text as an id: 1 to 512 bytes of UTF-8, no NUL."""
    if not text or "\0" in text or len(text) > MAX_KEY_BYTES:
        return False
    try:
        return len(text.encode("utf-8")) <= MAX_KEY_BYTES
    except UnicodeEncodeError:
        return False


def id_array(column: Sequence[Any], reader: IdReader) -> NDArray:
    """Return a raw column as int64, or as object holding int, str and None.

    Args:
        column: `(n,)` values as the driver returned them.
        reader: Shared by the chunks of a column.
    """
    if set(map(type, column)) == {int}:
        try:
            return np.array(column, np.int64)
        except OverflowError:
            pass  # an unsigned id beyond int64 is read as text
    ids = np.empty(len(column), object)
    ids[:] = list(map(reader.__getitem__, column))
    return ids


def joined_ids(chunks: Sequence[NDArray]) -> NDArray:
    """Return chunks without None as one array: int64 where every id is an integer, object holding str otherwise."""
    chunks = [_as_integers(chunk) for chunk in chunks]
    if all(chunk.dtype == np.int64 for chunk in chunks):
        return np.concatenate(chunks) if chunks else np.zeros(0, np.int64)
    ids = np.empty(sum(map(len, chunks)), object)
    known: dict[Any, str] = {}
    ids[:] = [known.setdefault(value, str(value)) for chunk in chunks for value in chunk.tolist()]
    return ids


def text_array(column: Sequence[Any]) -> NDArray:
    """Return a raw column as object holding str, or None for null and empty; equal texts are one object."""
    known: dict[Any, str | None] = {}
    texts = np.empty(len(column), object)
    texts[:] = [known[raw] if raw in known else known.setdefault(raw, text(raw)) for raw in column]
    return texts


def event_codes(column: Sequence[Any], names: dict[str, int], allowed: Collection[str], *, rating: bool) -> NDArray[np.int16]:
    """Return `(n,)` int16 positions in `names`, -1 for an event that isn't allowed.

    Args:
        column: `(n,)` event names, or ratings, as the driver returned them.
        names: Names seen so far, to their positions; new ones are added.
        allowed: The names to keep.
        rating: Whether the column holds ratings; these become `star1` … `star5`, rounded half up.
    """
    codes: dict[Any, int] = {}
    for raw in dict.fromkeys(column):
        name = star(raw) if rating else text(raw)
        codes[raw] = names.setdefault(name, len(names)) if name in allowed and name is not None else -1
    return np.fromiter(map(codes.__getitem__, column), np.int16, len(column))


def sorted_names(names: Mapping[str, int], codes: NDArray[np.int16]) -> tuple[tuple[str, ...], NDArray[np.int16]]:
    """Return the names that occur, in order, and `(n,)` int16 positions in them.

    Args:
        names: Names to positions, as `event_codes` gathered them.
        codes: `(n,)` int16 positions of events that are allowed.
    """
    occurring = set(codes.tolist())  # not np.unique: see recsys.ids.distinct
    ordered = sorted(name for name, code in names.items() if code in occurring)
    positions = np.zeros(len(names), np.int16)
    for position, name in enumerate(ordered):
        positions[names[name]] = position
    return tuple(ordered), positions[codes]


def star(rating: object) -> str | None:
    """Return the event of a rating from 0.5 to below 5.5; None outside.

    >>> star(4), star("3.5"), star(0.2), star(None), star(6)
    ('star4', 'star4', None, None, None)
    """
    try:
        stars = float(rating)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return f"star{int(stars + 0.5)}" if 0.5 <= stars < 5.5 else None


def epoch_seconds(column: Sequence[Any], time_zone: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return when each row happened, and which rows say so legibly.

    Integers are seconds since 1970, above 1e11 milliseconds. Text is ISO 8601, with a space or a T, with or without
    fractions, Z or an offset. What has no zone of its own is in `time_zone`.

    Args:
        column: `(n,)` date-times, dates, integers or texts as the driver returned them.
        time_zone: The zone of values that have none.

    Returns:
        `(n,)` int64 seconds since 1970 in UTC, 0 where illegible, and `(n,)` bool.
    """
    kinds = set(map(type, column))
    if kinds == {int}:
        return _from_numbers(np.array(column, np.float64))
    if kinds == {str} and all(map(_CLOCK.fullmatch, column)):
        try:
            return _in_range(_from_zone(np.array(column, "datetime64[s]").astype(np.int64), zone(time_zone)))
        except ValueError:
            pass  # such as the 31st of February
    moments = _moments(column, kinds)
    numbers = np.array([moment if isinstance(moment, float) else np.nan for moment in moments])
    seconds, legible = _from_numbers(numbers)
    clocks = np.fromiter((isinstance(moment, datetime) for moment in moments), np.bool_, len(moments))
    if clocks.any():
        seconds[clocks] = _from_clocks([moment for moment in moments if isinstance(moment, datetime)], zone(time_zone))
    seconds, possible = _in_range(seconds)
    return seconds, (legible | clocks) & possible


def zone(name: str) -> ZoneInfo:
    """Return a time zone by its name.

    Raises:
        SettingsError: There is no such zone.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise SettingsError(f"[shop] time zones should be names such as UTC or Asia/Ho_Chi_Minh. Received: {name!r}.") from error


def _moments(column: Sequence[Any], kinds: set[type]) -> Sequence[datetime | float | None]:
    if kinds == {datetime}:
        return column
    if kinds == {str} and not any(map(str.isdigit, column)):
        try:
            return list(map(datetime.fromisoformat, column))
        except ValueError:
            pass  # at least one needs a closer look
    known: dict[Any, datetime | float | None] = {}
    return [known[raw] if raw in known else known.setdefault(raw, _moment(raw)) for raw in column]


def _moment(raw: object) -> datetime | float | None:
    if isinstance(raw, datetime):
        return raw
    if isinstance(raw, date):
        return datetime(raw.year, raw.month, raw.day)  # noqa: DTZ001 - a wall clock without a zone
    if isinstance(raw, int | float | Decimal) and not isinstance(raw, bool):
        return float(raw)
    if isinstance(raw, bytes):
        raw = _decoded(raw)
    if not isinstance(raw, str):
        return None
    text = raw.strip()
    if _NUMBER.fullmatch(text) and not (len(text) == 8 and text.isdigit()):  # 20240131 is a day
        return float(text)
    try:
        return datetime.fromisoformat(_SPACED_OFFSET.sub("", text))
    except ValueError:
        return None


def _from_numbers(numbers: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    numbers = np.where(np.abs(numbers) > MILLISECONDS_FROM, numbers / 1000, numbers)
    legible = (numbers >= _FIRST_SECOND) & (numbers <= _LAST_SECOND)
    return np.floor(np.where(legible, numbers, 0)).astype(np.int64), legible


def _from_clocks(clocks: Sequence[datetime], default: ZoneInfo) -> NDArray[np.int64]:
    bare = [clock if clock.tzinfo is None else _in_utc(clock) for clock in clocks]
    seconds = np.array(bare, "datetime64[s]").astype(np.int64)
    zoneless = np.fromiter((clock.tzinfo is None for clock in clocks), np.bool_, len(clocks))
    seconds[zoneless] = _from_zone(seconds[zoneless], default)
    return seconds


def _from_zone(local: NDArray[np.int64], default: ZoneInfo) -> NDArray[np.int64]:
    return local if default.key == "UTC" else local - _offsets(local, default)


def _in_range(seconds: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    return seconds, (seconds >= _FIRST_SECOND) & (seconds <= _LAST_SECOND)


def _in_utc(clock: datetime) -> datetime:
    try:
        return clock.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        return datetime.max  # within hours of the calendar's end: illegible


def _offsets(local: NDArray[np.int64], default: ZoneInfo) -> NDArray[np.int64]:
    """Return how far the zone's clocks are ahead of UTC, in seconds; asked once per quarter of an hour."""
    steps, where = np.unique(np.clip(local, _FIRST_SECOND, _LAST_SECOND) // _ZONE_STEP_S, return_inverse=True)
    clocks = (_EPOCH + timedelta(seconds=int(step) * _ZONE_STEP_S) for step in steps)
    offsets = [clock.replace(tzinfo=default).utcoffset() or timedelta() for clock in clocks]
    return np.array([round(offset.total_seconds()) for offset in offsets], np.int64)[where]


def _as_integers(chunk: NDArray) -> NDArray:
    if chunk.dtype != object or not set(map(type, chunk.tolist())) <= {int}:
        return chunk
    return chunk.astype(np.int64)


def text(raw: object) -> str | None:
    """Return a raw value as text; None for null, empty, and bytes that are no UTF-8."""
    if isinstance(raw, bytes):
        raw = _decoded(raw)
    return None if raw is None or raw == "" else str(raw)


def _decoded(raw: bytes) -> str | None:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return None


def all_integers(values: Iterable[object]) -> bool:
    """Return whether every value is an int (and not a bool)."""
    return set(map(type, values)) <= {int}
