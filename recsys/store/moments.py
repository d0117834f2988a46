"""Moments: raw database columns of date-times, numbers and texts as seconds since 1970."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from recsys.errors import SettingsError
from recsys.store.columns import BYTES, NUMBER, Mask, as_float, decoded, read_each

MILLISECONDS_FROM = 10**11  # as seconds this is the year 5138, as milliseconds 1973
# The years 1 to 9999, less a day at each end for time zones.
_FIRST_SECOND, _LAST_SECOND = -62_135_510_400, 253_402_214_400
_ZONE_STEP_S = 900  # every change of a zone's offset falls on a quarter of an hour
# As databases write a date-time; a column of these is read at once.
_CLOCK = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d", re.ASCII)
_SPACED_OFFSET = re.compile(r"\s+(?=[-+]\d\d:?\d\d$)")  # Sequelize writes "… 10:00:00.000 +00:00"
_EPOCH, _ONE_SECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(seconds=1)


def epoch_seconds(column: Sequence[Any], time_zone: str) -> tuple[NDArray[np.int64], Mask]:
    """Convert a raw column of timestamps to seconds since 1970.

    Integers are seconds since 1970, and milliseconds above 1e11. Text is ISO 8601, with a space or a T, with or
    without fractions, Z or an offset.

    Args:
        column: `(n,)` date-times, dates, integers or texts as the driver returned them.
        time_zone: The zone of values that have none.

    Returns:
        `(n,)` int64 seconds since 1970 in UTC, 0 where a value is illegible, and `(n,)` bool, the legible values.
    """
    kinds = set(map(type, column))
    if kinds == {int}:
        try:
            numbers = np.array(column, np.float64)
            return _in_range(np.where(np.abs(numbers) > MILLISECONDS_FROM, numbers / 1000, numbers))
        except OverflowError:
            pass  # an integer beyond float64
    default = zone(time_zone)
    if kinds == {str} and all(map(_CLOCK.fullmatch, column)):
        try:
            return _in_range(_in_utc(np.array(column, "datetime64[s]").astype(np.int64), default))
        except ValueError:
            pass  # such as the 31st of February
    if kinds == {str} and not any(map(str.isdigit, column)):
        with suppress(ValueError):  # at least one is no ISO 8601 text
            column = list(map(datetime.fromisoformat, column))
    return _in_range(np.fromiter(read_each(column, lambda raw: _second(raw, default)), np.float64, len(column)))


def zone(name: str) -> ZoneInfo:
    """Return a time zone by its name.

    Raises:
        SettingsError: There is no such zone.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        expected = "names such as UTC or Asia/Ho_Chi_Minh"
        raise SettingsError(f"[shop] time zones should be {expected}. Received: {name!r}.") from error


def _second(raw: object, default: ZoneInfo) -> float:
    """Return a moment in seconds since 1970; NaN if it cannot be read."""
    if isinstance(raw, BYTES):
        raw = decoded(raw)
    if isinstance(raw, str):
        raw = raw.strip()
        if NUMBER.fullmatch(raw) and not (len(raw) == 8 and raw.isdigit()):  # 20240131 is a day
            raw = float(raw)
        else:
            try:
                raw = datetime.fromisoformat(_SPACED_OFFSET.sub("", raw))
            except ValueError:
                return math.nan
    if isinstance(raw, date):
        clock = raw if isinstance(raw, datetime) else datetime(raw.year, raw.month, raw.day)  # noqa: DTZ001
        return (clock.replace(tzinfo=clock.tzinfo or default) - _EPOCH) // _ONE_SECOND
    if isinstance(raw, bool) or not isinstance(raw, int | float | Decimal):
        return math.nan
    moment = as_float(raw)
    return moment / 1000 if abs(moment) > MILLISECONDS_FROM else moment


def _in_range(seconds: NDArray[Any]) -> tuple[NDArray[np.int64], Mask]:
    """Return whole seconds, 0 for those outside of the calendar, and `(n,)` bool, the others."""
    legible = (seconds >= _FIRST_SECOND) & (seconds <= _LAST_SECOND)
    return np.floor(np.where(legible, seconds, 0)).astype(np.int64), legible


def _in_utc(local: NDArray[np.int64], default: ZoneInfo) -> NDArray[np.int64]:
    """Return moments of a zone in UTC; the zone's offset is computed once per quarter of an hour."""
    if default.key == "UTC":
        return local
    steps, where = np.unique(np.clip(local, _FIRST_SECOND, _LAST_SECOND) // _ZONE_STEP_S, return_inverse=True)
    clocks = [_EPOCH.replace(tzinfo=default) + timedelta(seconds=int(step) * _ZONE_STEP_S) for step in steps]
    offsets = [clock.utcoffset() or timedelta() for clock in clocks]
    return local - np.array([round(offset.total_seconds()) for offset in offsets], np.int64)[where]
