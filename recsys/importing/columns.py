"""Columns of a record batch as texts, moments and prices; what cannot be read is marked, never guessed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.errors import UsageError
from recsys.importing.options import TIMESTAMP_UNITS, ImportOptions, number
from recsys.store.columns import epoch_seconds

NULLS = ("", "NULL", "null", "NaN", "nan", "None", "\\N")  # as databases, pandas and spreadsheets write "nothing"
# Files without a clock are laid out from here, a step an hour: a day of 24 events is no robot's, and a customer's whole
# history spans weeks, so that time decay and the cut in time see the order without one event making another obsolete.
ORDER_EPOCH_S = 946_684_800  # 2000-01-01 UTC
ORDER_STEP_S = 3_600
LAST_SECOND = 253_402_214_400  # 9999-12-30: the last day that every database holds in every time zone
MAX_EXACT = 2.0**53  # above, a float no longer says which whole number it was
SEPARATOR, ABSENT = "\x1f", "\x1e"  # no file writes them: they keep a,b from reading like ab


def texts(column: Any) -> NDArray:
    """Return a pyarrow array as `(n,)` object holding str without surrounding blanks, or None where it says nothing.

    Raises:
        UsageError: The column holds lists or structures.
    """
    import pyarrow.compute as compute

    trimmed = compute.utf8_trim_whitespace(_as_strings(column))
    blank = compute.is_in(trimmed, value_set=_strings(NULLS))
    plain = np.empty(len(column), object)
    plain[:] = compute.if_else(blank, None, trimmed).to_pylist()
    return plain


def row_texts(batch: Any) -> list[str]:
    """Return each row of a record batch as one text: equal rows, equal texts. Lists and structures don't count."""
    import pyarrow.compute as compute
    import pyarrow.types as types

    columns = [_as_strings(column) for column in batch.columns if not types.is_nested(column.type)]
    rows: list[str] = compute.binary_join_element_wise(
        *columns, SEPARATOR, null_handling="replace", null_replacement=ABSENT
    ).to_pylist()
    return rows


def event_id(event: str, row: str) -> str:
    """Return what a row is known by when its file is imported again.

    >>> event_id("view", "7,9") == event_id("view", "7,9"), event_id("view", "7,9") == event_id("cart", "7,9")
    (True, False)
    """
    return "row:" + blake2b(f"{event}{SEPARATOR}{row}".encode(), digest_size=16).hexdigest()


def seconds(column: Any, options: ImportOptions) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return when each row happened, and which rows say so.

    Args:
        column: pyarrow array of the timestamp or the order column.
        options: Says which of both it is, its unit, format and time zone.

    Returns:
        `(n,)` int64 seconds since 1970 in UTC, and `(n,)` bool; moments before 1970 and after 9999 are illegible.
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


def prices(column: Any) -> NDArray[np.float64]:
    """Return `(n,)` prices above 0; NaN where there is none, infinity where the text is no price."""
    plain = texts(column)
    known = {text: np.nan if text is None else _price(text) for text in set(plain.tolist())}
    return np.fromiter(map(known.__getitem__, plain.tolist()), np.float64, len(plain))


def _price(text: str) -> float:
    price = number(text)
    return price if 0 < price < np.inf else np.inf


def _clocks(column: Any, form: str | None) -> Sequence[Any]:
    """Return the column as `epoch_seconds` reads it: date-times, dates, numbers or ISO text, None for nothing."""
    import pyarrow
    import pyarrow.types as types

    if types.is_timestamp(column.type):
        # To whole seconds first: nanoseconds have no Python type, and pandas writes microseconds, pyarrow what it
        # likes.
        clocks: list[Any] = column.cast(pyarrow.timestamp("s", column.type.tz), safe=False).to_pylist()
        return clocks
    if types.is_date(column.type) or types.is_integer(column.type) or types.is_floating(column.type):
        values: list[Any] = column.to_pylist()
        return [None if value != value else value for value in values]
    plain = texts(column).tolist()
    return plain if form is None else _parsed(plain, form)


def _parsed(plain: Sequence[str | None], form: str) -> list[datetime | None]:
    known: dict[str | None, datetime | None] = {None: None}
    for text in dict.fromkeys(plain):
        if text is not None:
            try:
                known[text] = datetime.strptime(text, form)
            except ValueError:
                known[text] = None
    return [known[text] for text in plain]


def _scaled(plain: NDArray, per_second: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return numbers divided and rounded down; whole ones exactly, because nanoseconds are beyond a float's 53 bits."""
    scaled = [_whole(text, per_second) for text in plain.tolist()]
    legible = np.array([value is not None for value in scaled], np.bool_)
    return np.array([value or 0 for value in scaled], np.int64), legible


def _whole(text: str | None, per_second: int) -> int | None:
    if text is None:
        return None
    if text.removeprefix("-").isdecimal() and len(text) <= 20:
        value = int(text) // per_second
    else:
        fraction = number(text)
        if not np.isfinite(fraction):
            return None
        value = int(fraction // per_second)
    return value if abs(value) <= LAST_SECOND else None


def _as_strings(column: Any) -> Any:
    """Return a pyarrow array as strings; a whole number is written as one, also where nulls made its column float."""
    import pyarrow
    import pyarrow.types as types

    try:
        if types.is_floating(column.type):
            return _floats_as_strings(column)
        return column.cast(pyarrow.string())
    except pyarrow.ArrowException as error:
        raise UsageError(f"Columns should hold text in UTF-8, numbers or dates. Received: {column.type}.") from error


def _floats_as_strings(column: Any) -> Any:
    """Spell each value by itself, never by its neighbours: what a row is known by must not depend on the chunk it is in."""
    import pyarrow
    import pyarrow.compute as compute

    values = compute.if_else(compute.is_nan(column), None, column)
    whole = compute.and_(compute.equal(compute.floor(values), values), compute.less(compute.abs(values), MAX_EXACT))
    spelled = compute.if_else(whole, values, None).cast(pyarrow.int64()).cast(pyarrow.string())
    return compute.coalesce(spelled, values.cast(pyarrow.string()))


def _strings(values: Sequence[str]) -> Any:
    import pyarrow

    return pyarrow.array(values, pyarrow.string())
