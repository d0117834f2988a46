"""Which rows of a shop are left out, why, and how much an event that stays is worth.

Training cleans all customers and serving cleans one customer's history by the very same functions, so that a model never
meets in production what it did not meet in training.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recsys.data.interactions import Interactions
from recsys.errors.wording import listed
from recsys.settings import Shop, Training

SECONDS_PER_DAY = 86_400
CLOCK_SKEW_S = SECONDS_PER_DAY  # browsers and wrongly set time zones run ahead by hours, never by more than a day

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class CleanReport:
    """How many rows came in, how many are left, and why the others are not.

    Attributes:
        rows_in: Rows before the first rule.
        rows_out: Rows after the last one; `rows_in` less everything in `dropped`.
        dropped: Rows dropped for each reason, in the order of the rules; reasons that met no row are absent.
        unreadable: A line for each column of events and products with values that cannot be read: how many, and one of
            them.
    """

    rows_in: int
    rows_out: int
    dropped: Mapping[str, int]
    unreadable: tuple[str, ...] = ()

    def preceded_by(self, dropped: Mapping[str, int], unreadable: Sequence[str] = ()) -> CleanReport:
        """Return the report with rows that were dropped before cleaning, such as the reader's, counted in.

        >>> CleanReport(10, 9, {"duplicate": 1}).preceded_by({"null user": 2}, ["price: 1 of 3 unreadable"])
        CleanReport(rows_in=12, rows_out=9, dropped={'null user': 2, 'duplicate': 1}, unreadable=('price: 1 of 3
        unreadable',))
        """
        return replace(
            self,
            rows_in=self.rows_in + sum(dropped.values()),
            dropped=add_counts(dropped, self.dropped),
            unreadable=(*unreadable, *self.unreadable),
        )

    def followed_by(self, dropped: Mapping[str, int]) -> CleanReport:
        """Return the report with rows that a later rule dropped counted in.

        >>> CleanReport(10, 9, {"duplicate": 1}).followed_by({"rare item": 4})
        CleanReport(rows_in=10, rows_out=5, dropped={'duplicate': 1, 'rare item': 4}, unreadable=())
        """
        return replace(self, rows_out=self.rows_out - sum(dropped.values()), dropped=add_counts(self.dropped, dropped))


def add_counts(*counts: Mapping[str, int]) -> dict[str, int]:
    """Return the sum of the counts, reason by reason, without the reasons that met no row.

    >>> add_counts({"null user": 2, "bot": 0}, {"duplicate": 1, "null user": 1})
    {'null user': 3, 'duplicate': 1}
    """
    total: Counter[str] = Counter()
    for part in counts:
        total.update(part)
    return {reason: count for reason, count in total.items() if count}


def clean(interactions: Interactions, *, shop: Shop, training: Training, now: int) -> tuple[Interactions, CleanReport]:
    """Return the events that training may learn from, ordered by (timestamp, row id), and the report.

    The rules are those of `clean_history`, then "bot": every event of a user who exceeds the rate on some day.

    Args:
        interactions: Events of the shop, in any order.
        shop: Names the weighted, the purchase and the cancel events.
        training: Holds `max_user_events_per_day`.
        now: Seconds since 1970.
    """
    kept, report = clean_history(interactions, shop=shop, now=now)
    bots = bot_rows(kept.users, kept.timestamps, training.max_user_events_per_day)
    return kept.take(~bots), report.followed_by({"bot": int(bots.sum())})


def clean_history(interactions: Interactions, *, shop: Shop, now: int) -> tuple[Interactions, CleanReport]:
    """Return the events that count, ordered by (timestamp, row id), and the report; for one customer or for all.

    In this order: "unweighted event" (the shop gives it no weight, or 0, and does not call it a cancellation), "bad
    timestamp" (1970 or before), "future timestamp" (more than a day ahead), "duplicate", "cancelled" (see
    `cancelled_rows`).

    Args:
        interactions: Events in any order.
        shop: Names the weighted, the purchase and the cancel events.
        now: Seconds since 1970.
    """
    weighted = {name for name, weight in shop.event_weights.items() if weight}
    rules: dict[str, Callable[[Interactions], Mask]] = {
        "unweighted event": lambda rows: ~is_event(rows, weighted | set(shop.cancel_events)),
        "bad timestamp": lambda rows: rows.timestamps <= 0,
        "future timestamp": lambda rows: rows.timestamps > now + CLOCK_SKEW_S,
        "duplicate": lambda rows: duplicate_rows(rows.users, rows.items, rows.events, rows.timestamps),
        "cancelled": lambda rows: cancelled_rows(
            rows.users, rows.items, is_event(rows, shop.purchase_events), is_event(rows, shop.cancel_events)
        ),
    }
    kept, dropped = interactions.in_order(), {}
    for reason, rule in rules.items():
        drop = rule(kept)
        if n := int(np.count_nonzero(drop)):
            kept, dropped[reason] = kept.take(~drop), n
    return kept, CleanReport(len(interactions), len(kept), dropped)


def is_event(interactions: Interactions, names: Collection[str]) -> Mask:
    """Return the `(n,)` mask of rows whose event has one of the names."""
    return np.array([name in names for name in interactions.event_names], bool)[interactions.events]


def duplicate_rows(users: NDArray, items: NDArray, events: NDArray[np.int16], timestamps: NDArray[np.int64]) -> Mask:
    """Return the `(n,)` mask of rows to drop: those that repeat an earlier row in all four columns.

    Args:
        users: `(n,)` ids or indices.
        items: `(n,)` likewise.
        events: `(n,)` positions in the event names.
        timestamps: `(n,)` seconds since 1970.

    >>> duplicate_rows(np.array([1, 1, 2]), np.array([5, 5, 5]), np.array([0, 0, 0]), np.array([9, 9, 9])).tolist()
    [False, True, False]
    """
    if (timestamps[1:] > timestamps[:-1]).all():  # as most customers' events are
        return np.zeros(len(timestamps), bool)
    columns = (timestamps, events, _comparable(items), _comparable(users))
    order = np.lexsort(columns)  # stable: among equal rows the first stays first
    repeats = np.ones(max(len(order) - 1, 0), bool)
    for column in columns:
        repeats &= column[order[1:]] == column[order[:-1]]
    drop = np.zeros(len(order), bool)
    drop[order[1:]] = repeats
    return drop


def cancelled_rows(users: NDArray, items: NDArray, is_purchase: Mask, is_cancel: Mask) -> Mask:
    """Return the `(n,)` mask of rows to drop: every cancellation, and the purchase that it annuls.

    A cancellation annuls the newest earlier purchase of the same item by the same user that is not annulled yet; there
    may be none, because the purchase is older than the data.

    Args:
        users: `(n,)` ids or indices, rows in time order.
        items: `(n,)` likewise.
        is_purchase: `(n,)` which rows are purchases.
        is_cancel: `(n,)` which rows are cancellations.

    >>> bought, bought_again, cancelled = [True, False], [True, False], [False, True]
    >>> is_purchase, is_cancel = np.array([bought, bought_again, cancelled]).T
    >>> cancelled_rows(np.array([1, 1, 1]), np.array([5, 5, 5]), is_purchase, is_cancel).tolist()
    [False, True, True]
    """
    drop = is_cancel.copy()
    if not is_cancel.any():
        return drop
    rows = np.flatnonzero(is_purchase | is_cancel)
    pairs = list(zip(users[rows].tolist(), items[rows].tolist(), strict=True))
    standing: dict[tuple[Hashable, Hashable], list[int]] = {pairs[row]: [] for row in np.flatnonzero(is_cancel[rows])}
    for row, pair, cancels in zip(rows.tolist(), pairs, is_cancel[rows].tolist(), strict=True):
        purchases = standing.get(pair)
        if purchases is None:
            continue  # nearly all: nothing of the pair is ever cancelled
        if not cancels:
            purchases.append(row)
        elif purchases:
            drop[purchases.pop()] = True
    return drop


def bot_rows(users: NDArray, timestamps: NDArray[np.int64], max_events_per_day: int) -> Mask:
    """Return the `(n,)` mask of every row of a user who has more events than that on some UTC day.

    Args:
        users: `(n,)` ids or indices.
        timestamps: `(n,)` seconds since 1970, positive.
        max_events_per_day: The rate that a person may reach.
    """
    if not len(users):
        return np.zeros(0, bool)
    distinct, codes = np.unique(_comparable(users), return_inverse=True)
    days = timestamps // SECONDS_PER_DAY
    n_days = days.max() + 1
    user_days, n_events = np.unique(codes * n_days + days, return_counts=True)
    is_bot = np.zeros(len(distinct), bool)
    is_bot[user_days[n_events > max_events_per_day] // n_days] = True
    return is_bot[codes]


def frequent_ids(interactions: Interactions, min_user_events: int, min_item_events: int) -> tuple[NDArray, NDArray]:
    """Return the distinct `(users, items)`, ascending, that have enough events to be learned.

    One pass, items first: items are counted over all events, users over the events on the items that are left. It is
    not repeated until nothing changes (a k-core), because that empties a sparse shop. Give it the events before the cut
    only: thresholds that see the exam make it easier.

    Args:
        interactions: Cleaned events of the train part.
        min_user_events: Users with fewer events are left out.
        min_item_events: Items with fewer events are left out.
    """
    items, on_frequent_item = _frequent(interactions.items, min_item_events)
    users, _ = _frequent(interactions.users[on_frequent_item], min_user_events)
    return users, items


def _frequent(values: NDArray, minimum: int) -> tuple[NDArray, Mask]:
    """Return the distinct values that occur so often, ascending, and the `(n,)` mask of their rows."""
    _, first, codes, counts = np.unique(_comparable(values), return_index=True, return_inverse=True, return_counts=True)
    frequent = counts >= minimum
    return np.sort(values[first[frequent]]), frequent[codes]


def confidences(
    interactions: Interactions, event_weights: Mapping[str, float], half_life_days: float, now: int
) -> NDArray[np.float32]:
    """Return `(n,)` float32: the event's weight × 0.5 ** (age / half-life), with the weight's sign, -1 to 1.

    Args:
        interactions: Cleaned events.
        event_weights: Weight of each event, -1 to 1.
        half_life_days: An event's confidence halves in so many days; 0 switches the decay off.
        now: Seconds since 1970 from which age counts; younger events, within the clock skew, have age 0.

    Raises:
        ValueError: A row's event has no weight.
    """
    missing = [name for name in interactions.event_names if name not in event_weights]
    if is_event(interactions, missing).any():
        given = listed(sorted(event_weights))
        raise ValueError(
            f"`event_weights` should hold every event of the rows. Received: {given} without {listed(missing)}."
        )
    weights = np.array([event_weights.get(name, 0.0) for name in interactions.event_names])[interactions.events]
    if half_life_days > 0:
        age_days = np.maximum(now - interactions.timestamps, 0) / SECONDS_PER_DAY
        weights = weights * 0.5 ** (age_days / half_life_days)
    return weights.astype(np.float32)


def _comparable(values: NDArray) -> NDArray[np.integer]:
    """Return `(n,)` integers that are equal where the values are; by hashing, since sorting Python strings takes seconds."""
    if values.dtype.kind in "iu":
        return values
    table: dict[Hashable, int] = {}
    return np.fromiter((table.setdefault(value, len(table)) for value in values.tolist()), np.int64, len(values))
