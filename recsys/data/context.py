"""Context features, known before a choice: time of day, season, device, category of the page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from recsys.errors.records import Record
from recsys.features.query import Indices

# The Node backend reads the same file, so that both sides agree.
_BUCKETS = json.loads(Path(__file__).with_name("buckets.json").read_text(encoding="utf-8"))
_TIME_OF_HOUR: dict[int, str] = {hour: name for name, hours in _BUCKETS["time_of_day"].items() for hour in hours}
_SEASON_OF_MONTH: dict[int, str] = {month: name for name, months in _BUCKETS["season"].items() for month in months}

TIMES_OF_DAY: tuple[str, ...] = tuple(_BUCKETS["time_of_day"])
SEASONS: tuple[str, ...] = tuple(_BUCKETS["season"])
CLOCK_FEATURES: Mapping[str, tuple[str, ...]] = {"time_of_day": TIMES_OF_DAY, "season": SEASONS}
QUARTER_HOUR = 900  # seconds; the offset of every time zone is a multiple of it, such as 5:45 hours in Nepal


def time_of_day(hour: int) -> str:
    """Return the bucket of an hour: night 0–5, morning 6–11, afternoon 12–17, evening 18–23.

    >>> [time_of_day(hour) for hour in (0, 6, 12, 23)]
    ['night', 'morning', 'afternoon', 'evening']
    """
    return _TIME_OF_HOUR[hour]


def season(month: int) -> str:
    """Return the northern season of a month: winter 12–2, spring 3–5, summer 6–8, autumn 9–11.

    >>> [season(month) for month in (12, 2, 3, 8, 11)]
    ['winter', 'winter', 'spring', 'summer', 'autumn']
    """
    return _SEASON_OF_MONTH[month]


def clock_context(now: int, time_zone: str) -> dict[str, str]:
    """Return the clock features of one moment, by their names.

    Args:
        now: Seconds since 1970 in UTC.
        time_zone: The time zone of the shop's users, such as `Europe/Berlin`.
    """
    local = datetime.fromtimestamp(now, UTC).astimezone(ZoneInfo(time_zone))
    return {"time_of_day": time_of_day(local.hour), "season": season(local.month)}


def clock_columns(timestamps: NDArray[np.int64], time_zone: str) -> dict[str, Indices]:
    """Return the clock features of many moments, `(n,)` int32 indices into the values of `CLOCK_FEATURES`.

    Args:
        timestamps: `(n,)` int64, seconds since 1970 in UTC.
        time_zone: The time zone of the shop's users, such as `Europe/Berlin`.
    """
    moments, inverse = np.unique(timestamps // QUARTER_HOUR, return_inverse=True)
    contexts = [clock_context(int(moment) * QUARTER_HOUR, time_zone) for moment in moments]
    return {
        name: np.array([values.index(context[name]) for context in contexts], np.int32)[inverse]
        for name, values in CLOCK_FEATURES.items()
    }


class ContextEncoder(Record):
    """Maps the values of context features to indices; one past the last index means "unknown".

    Attributes:
        values: The values of each feature, in index order. The order of the features is fixed.
    """

    values: Mapping[str, tuple[str, ...]]

    @classmethod
    def fit(cls, columns: Mapping[str, Iterable[str | None]], categories: Iterable[str | None]) -> ContextEncoder:
        """Fit the encoder of a shop: clock features, context columns, and the categories of its catalogue.

        Args:
            columns: The context columns of the interactions; columns named as clock features are ignored.
            categories: The category of each product.
        """
        learned = {name: _distinct(column) for name, column in columns.items() if name not in CLOCK_FEATURES}
        return cls({**CLOCK_FEATURES, **learned, "category": _distinct(categories)})

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the features, in index order."""
        return tuple(self.values)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of indices of each feature, "unknown" included."""
        return tuple(len(values) + 1 for values in self.values.values())

    def encode(self, context: Mapping[str, str | None]) -> Indices:
        """Return one index for each feature, `(m,)` int32; absent and unseen values are "unknown"."""
        return np.array(
            [self._lookups[name].get(_folded(context.get(name)), len(values)) for name, values in self.values.items()],
            np.int32,
        )

    def known_value(self, name: str, value: str | None) -> str | None:
        """Return the encoder's own spelling of a value, or None if it is unknown."""
        (index,) = self.column(name, [value])
        return self.values[name][index] if index < len(self.values[name]) else None

    def column(self, name: str, values: Sequence[str | None]) -> Indices:
        """Return the indices of many values of one feature, `(n,)` int32."""
        lookup, unknown = self._lookups[name], len(self.values[name])
        return np.array([lookup.get(_folded(value), unknown) for value in values], np.int32)

    @cached_property
    def _lookups(self) -> dict[str, dict[str | None, int]]:
        return {
            name: {_folded(value): index for index, value in enumerate(values)} for name, values in self.values.items()
        }


def _distinct(column: Iterable[str | None]) -> tuple[str, ...]:
    """Return the distinct folded values of a column, ascending, without empty ones."""
    return tuple(sorted({_folded(value) or "" for value in column} - {""}))


def _folded(value: str | None) -> str | None:
    """Fold case and strip blanks, so that 'Morning ' and 'morning' are one value."""
    return None if value is None else str(value).strip().casefold()
