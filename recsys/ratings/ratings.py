"""Ratings as arrays: one for each user and item, in an order that does not depend on the table they came from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from recsys.data.guests import are_sessions
from recsys.data.ids import INT64_MAX
from recsys.data.interactions import Interactions
from recsys.errors.records import Record

LOWEST, HIGHEST = 1.0, 5.0  # stars
NEVER = -(2**62)  # the time of a rating without one: before any other


class Ratings(Record):
    """Ratings, ordered by (user, item); no pair occurs twice.

    Attributes:
        users: `(n,)` ids of one type: int64, or object holding str.
        items: `(n,)` ids of one type, like `users`.
        values: `(n,)` float64, stars within `LOWEST` and `HIGHEST`.
        timestamps: `(n,)` int64, seconds since 1970 in UTC.
    """

    users: NDArray
    items: NDArray
    values: NDArray[np.float64]
    timestamps: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.users)

    def take(self, which: NDArray) -> Ratings:
        """Return the rows that a mask or ascending positions select."""
        return Ratings(self.users[which], self.items[which], self.values[which], self.timestamps[which])


def clean_ratings(
    users: Sequence[object], items: Sequence[object], values: Sequence[object], timestamps: Sequence[object]
) -> tuple[Ratings, dict[str, int]]:
    """Return the ratings that can be learned from, and how many were dropped for each reason.

    Ids become one type for each column: integers if all are, otherwise texts. Surprise would take 7 and "7" for two
    users, and answer the mean for the one that it does not know. Of several ratings of a pair, the newest counts.

    Args:
        users: `(n,)` ids: integers or texts.
        items: `(n,)` ids, like `users`.
        values: `(n,)` stars: numbers, or texts of numbers.
        timestamps: `(n,)` seconds since 1970.

    Returns:
        The ratings, and the counts of `no id`, `no number`, `outside the scale` and `rated again`.

    >>> ratings, dropped = clean_ratings([1, "1", 2, 2], [7, 7, 8, 9], [4, 5, "?", 6], [10, 20, 30, 40])
    >>> ratings.users.tolist(), ratings.values.tolist(), dropped
    (['1'], [5.0], {'no id': 0, 'no number': 1, 'outside the scale': 1, 'rated again': 1})
    """
    stars = np.array([_number(value) for value in values], np.float64)
    moments = np.array([_moment(value) for value in timestamps], np.int64)
    has_ids = np.array([_is_id(user) and _is_id(item) for user, item in zip(users, items, strict=True)], bool)
    is_number = np.isfinite(stars)
    fits = is_number & (stars >= LOWEST) & (stars <= HIGHEST)
    kept = np.flatnonzero(has_ids & fits).tolist()
    user_ids, item_ids = (one_type([column[row] for row in kept]) for column in (users, items))
    all_kept = Ratings(user_ids, item_ids, stars[kept], moments[kept])
    user_codes, item_codes = (np.unique(ids, return_inverse=True)[1] for ids in (user_ids, item_ids))
    order = np.lexsort((all_kept.values, all_kept.timestamps, item_codes, user_codes))
    pairs = np.stack([user_codes[order], item_codes[order]])
    is_last = np.append((pairs[:, 1:] != pairs[:, :-1]).any(axis=0), True)[: len(order)]
    ratings = all_kept.take(order[is_last])
    return ratings, {
        "no id": int((~has_ids).sum()),
        "no number": int((has_ids & ~is_number).sum()),
        "outside the scale": int((has_ids & is_number & ~fits).sum()),
        "rated again": len(order) - len(ratings),
    }


def ratings_of(events: Interactions) -> tuple[Ratings, dict[str, int]]:
    """Return the stars among a shop's events, which have the names `star1` … `star5`, as `clean_ratings` does.

    Those of guests' sessions are left out, because nobody asks for predictions as a session.
    """
    if events.sessions is not None:
        events = events.take(~are_sessions(events.users))
    stars: Mapping[str, float] = {f"star{n}": float(n) for n in range(int(LOWEST), int(HIGHEST) + 1)}
    values = np.array([stars.get(name, math.nan) for name in event_names(events)])[events.events]
    rows = np.flatnonzero(np.isfinite(values))
    columns = (events.users[rows], events.items[rows], values[rows], events.timestamps[rows])
    return clean_ratings(*(column.tolist() for column in columns))


def event_names(events: Interactions) -> tuple[str, ...]:
    """Return the names of events, and an empty one where there are none, so that indexing works."""
    return events.event_names or ("",)


def one_type(ids: Sequence[object]) -> NDArray:
    """Return ids as one type: `(n,)` int64 if all are integers, otherwise object holding str."""
    if all(isinstance(value, int) for value in ids):
        return np.array(ids, np.int64)
    return np.array([str(value) for value in ids], object)


def _is_id(value: object) -> bool:
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) <= INT64_MAX
    return isinstance(value, str) and value != "" and "\0" not in value


def _number(value: object) -> float:
    """Return a number of stars; NaN for what is none, such as a truth value or an infinity."""
    if value is None or isinstance(value, bool):
        return math.nan
    try:
        number = float(value)  # type: ignore[arg-type] # what is no number raises
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return number if math.isfinite(number) else math.nan


def _moment(value: object) -> int:
    number = _number(value)
    return int(number) if math.isfinite(number) and abs(number) < -NEVER else NEVER
