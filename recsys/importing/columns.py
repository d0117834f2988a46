"""Conversion of a record batch's columns to text, times and prices. Unreadable values are marked, never guessed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from functools import partial
from hashlib import blake2b
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow
import pyarrow.compute as compute
import pyarrow.types as types
from numpy.typing import NDArray

from recsys.errors import UsageError
from recsys.importing.amounts import amount
from recsys.importing.options import NULLS, TIMESTAMP_UNITS, ImportOptions
from recsys.store.columns import read_each
from recsys.store.moments import epoch_seconds

# Events without timestamps get one hour each, from this moment on. A day of 24 events is no bot's, and a user's history
# then spans weeks, so that time decay and the cut in time follow the order, and no event makes another obsolete.
ORDER_EPOCH_S = 946_684_800  # 2000-01-01 UTC
ORDER_STEP_S = 3_600
LAST_SECOND = 253_402_214_400  # 9999-12-30, the last day that every database can hold in every time zone
MAX_EXACT = 2.0**53  # above it, float64 does not represent every whole number
_DATE_CELLS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S.%f")  # a workbook's dates, which need no format
SEPARATOR, ABSENT = "\x1f", "\x1e"  # characters that files do not use, so that "a,b" and "ab" differ


def texts(column: Any) -> NDArray:
    """Convert a pyarrow array to `(n,)` object holding stripped str, or None for null and blank.

    Raises:
        UsageError: The column holds lists or structures.
    """
    trimmed = compute.utf8_trim_whitespace(_as_strings(column))
    blank = compute.is_in(trimmed, value_set=pyarrow.array(NULLS, pyarrow.string()))
    plain = np.empty(len(column), object)
    plain[:] = compute.if_else(blank, None, trimmed).to_pylist()
    return plain


def row_texts(batch: Any) -> list[str]:
    """Return each row of a record batch as one text, equal for equal rows. Lists and structures are ignored."""
    columns = [_as_strings(column) for column in batch.columns if not types.is_nested(column.type)]
    rows: list[str] = compute.binary_join_element_wise(
        *columns, SEPARATOR, null_handling="replace", null_replacement=ABSENT
    ).to_pylist()
    return rows


def event_id(event: str, row: str) -> str:
    """Return the key by which an import recognises a row that is stored already.

    >>> event_id("view", "7,9") == event_id("view", "7,9"), event_id("view", "7,9") == event_id("cart", "7,9")
    (True, False)
    """
    return "row:" + blake2b(f"{event}{SEPARATOR}{row}".encode(), digest_size=16).hexdigest()


def seconds(column: Any, options: ImportOptions) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Convert a column of timestamps, or of running numbers, to seconds since 1970.

    Args:
        column: pyarrow array of the timestamp or the order column.
        options: The kind of the column, and its unit, format and time zone.

    Returns:
        `(n,)` int64 seconds since 1970 in UTC, and `(n,)` bool, the legible values. Times before 1970 or after 9999
        are illegible.
    """
    if options.order is not None:
        ranks, legible = _scaled(texts(column), 1)
        ranks = np.where(np.abs(ranks) > LAST_SECOND // ORDER_STEP_S, -1, ranks)
        moments, legible = ORDER_EPOCH_S + ORDER_STEP_S * ranks, legible & (ranks >= 0)
    elif options.timestamp_unit is not None:
        moments, legible = _scaled(texts(column), TIMESTAMP_UNITS[options.timestamp_unit])
    else:
        moments, legible = epoch_seconds(_clocks(column, options.timestamp_format), options.time_zone)
    return moments, legible & (moments > 0) & (moments <= LAST_SECOND)


def local_seconds(moments: NDArray[np.int64], time_zone: str) -> NDArray[np.int64]:
    """Return `(n,)` moments in seconds since 1970 as a zone's clocks show them."""
    if time_zone == "UTC":
        return moments
    hours = moments // 3_600  # a zone's offset changes at most once an hour
    known = {hour: _offset(hour, time_zone) for hour in set(hours.tolist())}
    return moments + np.fromiter(map(known.__getitem__, hours.tolist()), np.int64, len(moments))


def _offset(hour: int, time_zone: str) -> int:
    offset = datetime.fromtimestamp(hour * 3_600, ZoneInfo(time_zone)).utcoffset()
    return round(offset.total_seconds()) if offset else 0


def prices(plain: NDArray, decimal: str | None = None) -> NDArray[np.float64]:
    """Convert texts to `(n,)` float64 prices above 0; NaN for None, infinity for text that is no price.

    Args:
        plain: `(n,)` object holding str or None.
        decimal: The decimal mark, `.` or `,`; None where it is not known.
    """
    return np.array(list(read_each(plain.tolist(), partial(_price, decimal=decimal))), np.float64)


def _price(text: str | None, decimal: str | None) -> float:
    price = amount(text, decimal)
    return price if 0 < price < np.inf or text is None else np.inf


def _clocks(column: Any, form: str | None) -> Sequence[Any]:
    """Convert a column to values that `epoch_seconds` reads: date-times, numbers or ISO 8601 text; None for null."""
    if types.is_timestamp(column.type):
        # To whole seconds first, because Python has no type for nanoseconds.
        clocks: list[Any] = column.cast(pyarrow.timestamp("s", column.type.tz), safe=False).to_pylist()
        return clocks
    if types.is_date(column.type) or types.is_integer(column.type) or types.is_floating(column.type):
        values: list[Any] = column.to_pylist()
        return [None if value != value else value for value in values]
    plain = texts(column).tolist()
    return plain if form is None else list(read_each(plain, partial(_parsed, form=form)))


def _parsed(text: str | None, form: str) -> datetime | None:
    # A format of the same look is the only one that can be meant: what it refuses is never read by another.
    for possible in (form,) if form.startswith("%Y-") else (form, *_DATE_CELLS):
        with suppress(TypeError, ValueError):
            return datetime.strptime(text, possible)  # type: ignore[arg-type]
    return None


def _scaled(plain: NDArray, per_second: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Divide numbers and round down. Whole numbers stay exact, because nanoseconds exceed a float's 53 bits."""
    scaled = [_whole(text, per_second) for text in plain.tolist()]
    legible = np.array([value is not None for value in scaled], np.bool_)
    return np.array([value or 0 for value in scaled], np.int64), legible


def _whole(text: str | None, per_second: int) -> int | None:
    with suppress(TypeError, ArithmeticError):  # None, or text that is no number
        value = Decimal(text) / per_second  # type: ignore[arg-type]
        return math.floor(value) if abs(value) <= LAST_SECOND else None
    return None


def _as_strings(column: Any) -> Any:
    """Convert a pyarrow array to strings; whole numbers have no fraction, even if nulls made the column float."""
    try:
        if types.is_floating(column.type):
            return _floats_as_strings(column)
        return column.cast(pyarrow.string())
    except pyarrow.ArrowException as error:
        raise UsageError(f"Columns should hold text in UTF-8, numbers or dates. Received: {column.type}.") from error


def _floats_as_strings(column: Any) -> Any:
    """Convert each float by itself, so that a row's text does not depend on the other rows of its chunk."""
    values = compute.if_else(compute.is_nan(column), None, column)
    whole = compute.and_(compute.equal(compute.floor(values), values), compute.less(compute.abs(values), MAX_EXACT))
    integers = compute.if_else(whole, values, None).cast(pyarrow.int64()).cast(pyarrow.string())
    return compute.coalesce(integers, values.cast(pyarrow.string()))
