"""The rules that drop events, with a report of their counts, and the confidence of the events that stay.

Training cleans the events of all users, and serving cleans the history of one user. Both use the same functions, so
that a model meets the same kind of events in production as in training.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from recsys.data.guests import are_sessions, implausible_ids, is_crowd, names_nobody, session_user
from recsys.data.interactions import Interactions, is_event
from recsys.data.purchases import cancelled_rows, purchase_names
from recsys.errors.records import Record
from recsys.errors.wording import listed
from recsys.features.query import Floats, Mask
from recsys.settings import Shop, Training

SECONDS_PER_DAY = 86_400
CLOCK_SKEW_S = SECONDS_PER_DAY  # wrong clocks and time zones run ahead by hours, never by more than a day


class CleanReport(Record):
    """The number of rows before and after cleaning, and the number dropped for each reason.

    Attributes:
        rows_in: The number of rows before the first rule.
        rows_out: The number of rows after the last rule; `rows_in` minus the sum of `dropped`.
        dropped: The number of rows dropped for each reason, in the order of the rules; reasons without rows are absent.
        unreadable: A line for each column of events or products that has unreadable values: their number and one
            example.
        guests: The user ids that stand for guests. Their events were dropped, but for those of their sessions.
        sessions: The number of guests' sessions that are users of their own.
        session_rows: The number of their rows, of `rows_out`.
    """

    rows_in: int
    rows_out: int
    dropped: Mapping[str, int]
    unreadable: tuple[str, ...] = ()
    guests: tuple[int | str, ...] = ()
    sessions: int = 0
    session_rows: int = 0

    def preceded_by(self, dropped: Mapping[str, int], unreadable: Sequence[str] = ()) -> CleanReport:
        """Return the report, including rows that were dropped before cleaning, such as by the reader.

        >>> report = CleanReport(10, 9, {"duplicate": 1}).preceded_by({"null user": 2}, ["price: 1 of 3 unreadable"])
        >>> report.rows_in, report.rows_out, report.dropped, report.unreadable
        (12, 9, {'null user': 2, 'duplicate': 1}, ('price: 1 of 3 unreadable',))
        """
        return replace(
            self,
            rows_in=self.rows_in + sum(dropped.values()),
            dropped=add_counts(dropped, self.dropped),
            unreadable=(*unreadable, *self.unreadable),
        )

    def followed_by(self, dropped: Mapping[str, int]) -> CleanReport:
        """Return the report, including rows that a later rule dropped.

        >>> CleanReport(10, 9, {"duplicate": 1}).followed_by({"rare item": 4})
        CleanReport(rows_in=10, rows_out=5, dropped={'duplicate': 1, 'rare item': 4}, unreadable=(), guests=(), \
sessions=0, session_rows=0)
        """
        return replace(self, rows_out=self.rows_out - sum(dropped.values()), dropped=add_counts(self.dropped, dropped))


def add_counts(*counts: Mapping[str, int]) -> dict[str, int]:
    """Return the sum of the counts for each reason, without reasons of count 0.

    >>> add_counts({"null user": 2, "bot": 0}, {"duplicate": 1, "null user": 1})
    {'null user': 3, 'duplicate': 1}
    """
    total: Counter[str] = Counter()
    for count_of_reason in counts:
        total.update(count_of_reason)
    return {reason: count for reason, count in total.items() if count}


def clean(interactions: Interactions, *, shop: Shop, training: Training, now: int) -> tuple[Interactions, CleanReport]:
    """Return the events to learn from, ordered by (timestamp, row id), and the report.

    The rules are those of `clean_history`, then all events of each id that stands for guests, then "bot": all events of
    a user with too many events on any day. Where the sessions of guests are known, each is a user of its own.

    Args:
        interactions: Events of the shop, in any order.
        shop: Holds the weights of events and the names of purchases and cancellations.
        training: Holds `max_user_events_per_day`.
        now: Seconds since 1970.
    """
    kept, report = clean_history(interactions, shop=shop, now=now)
    of_guests = guest_rows(kept.users, kept.items, shop)
    sessions: dict[int | str, str] = {}
    if interactions.sessions is not None:
        # Duplicates and cancellations are those of a user, so the sessions have to be users before.
        kept, report = clean_history(with_session_users(interactions, set(of_guests)), shop=shop, now=now)
        sessions = sessions_of(kept)
        of_guests = {user: kept.users == user for user in of_guests if user not in sessions}
        of_guests |= guest_rows(kept.users, kept.items, shop, sessions)
        kept = replace(kept, sessions=None)
    for user, rows in of_guests.items():
        name = f"session {sessions[user]!r}" if user in sessions else f"user {user!r}"
        report = report.followed_by({f"guests as {name}": int(rows.sum())})
    if of_guests:
        report = replace(report, guests=tuple(user for user in of_guests if user not in sessions))
        kept = kept.take(~np.any(list(of_guests.values()), axis=0))
    bots = bot_rows(kept.users, kept.timestamps, training.max_user_events_per_day)
    kept = kept.take(~bots)
    if sessions:
        of_sessions = kept.users[are_sessions(kept.users)]
        report = replace(report, sessions=len(set(of_sessions.tolist())), session_rows=len(of_sessions))
    return kept, report.followed_by({"bot": int(bots.sum())})


def clean_history(interactions: Interactions, *, shop: Shop, now: int) -> tuple[Interactions, CleanReport]:
    """Return the valid events of one user or of all, ordered by (timestamp, row id), and the report.

    The rules are those of `valid_history`, then "cancelled" (see `cancelled_rows`).

    Args:
        interactions: Events in any order.
        shop: Holds the weights of events and the names of purchases and cancellations.
        now: Seconds since 1970.
    """
    valid, report = valid_history(interactions, shop=shop, now=now)
    standing = _standing(valid, shop)
    kept = _merged(standing)
    n_removals = int(is_event(valid, removal_names(shop)).sum())
    n_cancelled, n_equal = len(valid) - len(standing) - n_removals, len(standing) - len(kept)
    return kept, report.followed_by({"unweighted event": n_removals, "cancelled": n_cancelled, "duplicate": n_equal})


def valid_history(interactions: Interactions, *, shop: Shop, now: int) -> tuple[Interactions, CleanReport]:
    """Return the valid events of one user or of all, with cancelled ones and removals from the cart, and the report.

    The rules are, in this order: "unweighted event" (no weight or weight 0, no cancellation, no removal),
    "bad timestamp" (1970 or before), "future timestamp" (more than a day ahead), and "duplicate". Rows that differ in
    their quantity alone stay, for a cancellation may take them back one by one.

    Args:
        interactions: Events in any order.
        shop: Holds the weights of events and the names of cancellations and removals.
        now: Seconds since 1970.

    Returns:
        Events ordered by (timestamp, row id), and the number of dropped rows.
    """
    weighted = {name for name, weight in shop.event_weights.items() if weight}
    rules: dict[str, Callable[[Interactions], Mask]] = {
        "unweighted event": lambda rows: ~is_event(rows, weighted.union(shop.cancel_events, shop.uncart_events)),
        "bad timestamp": lambda rows: rows.timestamps <= 0,
        "future timestamp": lambda rows: rows.timestamps > now + CLOCK_SKEW_S,
        "duplicate": lambda rows: duplicate_rows(rows.users, rows.items, rows.events, rows.timestamps, rows.quantities),
    }
    kept, dropped = interactions.in_order(), {}
    for reason, rule in rules.items():
        drop = rule(kept)
        if n := int(np.count_nonzero(drop)):
            kept, dropped[reason] = kept.take(~drop), n
    return kept, CleanReport(len(interactions), len(kept), dropped)


def without_cancelled(events: Interactions, shop: Shop) -> Interactions:
    """Return valid events without cancellations, the purchases that they annul, and removals that have no weight."""
    return _merged(_standing(events, shop))


def _standing(events: Interactions, shop: Shop) -> Interactions:
    purchases, cancels = (is_event(events, names) for names in (purchase_names(shop), shop.cancel_events))
    drop = cancelled_rows(events.users, events.items, purchases, cancels, events.quantities)
    drop |= is_event(events, removal_names(shop))
    return events.take(~drop) if drop.any() else events


def _merged(events: Interactions) -> Interactions:
    """Return events without quantities; lines of one order that differ in these are one event."""
    if events.quantities is None:
        return events
    again = duplicate_rows(events.users, events.items, events.events, events.timestamps)
    return replace(events.take(~again), quantities=None)


def removal_names(shop: Shop) -> set[str]:
    """Return the names of the events that take an item out of the cart and say nothing else."""
    return {name for name in shop.uncart_events if not shop.event_weights.get(name) and name not in shop.cancel_events}


def duplicate_rows(
    users: NDArray,
    items: NDArray,
    events: NDArray[np.int16],
    timestamps: NDArray[np.int64],
    quantities: NDArray[np.float64] | None = None,
) -> Mask:
    """Return which rows repeat an earlier row in all columns, `(n,)` bool; they are to be dropped.

    Args:
        users: `(n,)` ids or indices.
        items: `(n,)` ids or indices.
        events: `(n,)` positions in the event names.
        timestamps: `(n,)` seconds since 1970.
        quantities: `(n,)` float64; NaN where it is not known. None leaves them out.

    >>> duplicate_rows(np.array([1, 1, 2]), np.array([5, 5, 5]), np.array([0, 0, 0]), np.array([9, 9, 9])).tolist()
    [False, True, False]
    """
    if (timestamps[1:] > timestamps[:-1]).all():  # true of most histories of one user
        return np.zeros(len(timestamps), bool)
    columns: tuple[NDArray, ...] = (timestamps, events, _comparable(items), _comparable(users))
    if quantities is not None:
        columns = (np.nan_to_num(quantities, nan=-math.inf), *columns)
    order = np.lexsort(columns)  # stable: among equal rows the first stays first
    repeats = np.ones(max(len(order) - 1, 0), bool)
    for column in columns:
        repeats &= column[order[1:]] == column[order[:-1]]
    drop = np.zeros(len(order), bool)
    drop[order[1:]] = repeats
    return drop


def with_session_users(interactions: Interactions, guests: Collection[int | str]) -> Interactions:
    """Return events in which each session of a guest is a user of its own.

    Args:
        interactions: Events, with their sessions.
        guests: The user ids that stand for guests.
    """
    if not guests or interactions.sessions is None:
        return interactions
    kind = "int" if interactions.users.dtype.kind in "iu" else "str"
    known: dict[str, int | str] = {}
    users = interactions.users.copy()
    for row in np.flatnonzero(np.isin(users, list(guests)) if kind == "int" else [u in guests for u in users.tolist()]):
        session = interactions.sessions[row]
        if session is not None:
            users[row] = known.setdefault(session, session_user(session, kind))
    return replace(interactions, users=users)


def sessions_of(interactions: Interactions) -> dict[int | str, str]:
    """Return the session that each user is who is a guest's session."""
    if interactions.sessions is None:
        return {}
    rows = are_sessions(interactions.users)
    return dict(zip(interactions.users[rows].tolist(), interactions.sessions[rows].tolist(), strict=True))


def guest_rows(
    users: NDArray, items: NDArray, shop: Shop, sessions: Mapping[int | str, str] | None = None
) -> dict[int | str, Mask]:
    """Return the ids that stand for guests, each with its rows, `(n,)` bool.

    Args:
        users: `(n,)` ids.
        items: `(n,)` ids.
        shop: Names the ids that are known to be guests or persons.
        sessions: The sessions of those users that are guests' sessions. A session may stand for many guests, too.
    """
    _, first, codes, counts = np.unique(_comparable(users), return_index=True, return_inverse=True, return_counts=True)
    ids = users[first].tolist()
    named = [user for user in ids if str(user) in shop.guests or names_nobody(user)]
    others = dict(zip(ids, counts.tolist(), strict=True))
    for user in named:
        del others[user]
    found = {
        user: codes == ids.index(user)
        for user in [*named, *implausible_ids(others, sessions)]
        if str(user) not in shop.persons
    }
    if set(found) <= set(named):
        return found
    places = np.unique(_comparable(items), return_inverse=True)[1]
    everybody = np.bincount(places)
    return {
        user: rows
        for user, rows in found.items()
        if user in named or is_crowd(np.bincount(places[rows], minlength=len(everybody)), everybody)
    }


def bot_rows(users: NDArray, timestamps: NDArray[np.int64], max_events_per_day: int) -> Mask:
    """Return the rows of users with more than `max_events_per_day` events on any UTC day, `(n,)` bool.

    Args:
        users: `(n,)` ids or indices.
        timestamps: `(n,)` seconds since 1970, positive.
        max_events_per_day: The largest number of events of a person on one day.
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
    """Return the distinct users and items with enough events to learn from, both ascending.

    Items are counted over all events, then users over the events on frequent items. This is one pass and no k-core,
    which would empty a sparse shop. Pass only events before the cut: thresholds that use later events make the
    evaluation easier.

    Args:
        interactions: Cleaned events of the train part.
        min_user_events: Users with fewer events are left out.
        min_item_events: Items with fewer events are left out.
    """
    items, on_frequent_item = _frequent(interactions.items, min_item_events)
    users, _ = _frequent(interactions.users[on_frequent_item], min_user_events)
    return users, items


def _frequent(values: NDArray, minimum: int) -> tuple[NDArray, Mask]:
    """Return the distinct values with at least `minimum` rows, ascending, and the mask of their rows, `(n,)` bool."""
    _, first, codes, counts = np.unique(_comparable(values), return_index=True, return_inverse=True, return_counts=True)
    frequent = counts >= minimum
    return np.sort(values[first[frequent]]), frequent[codes]


def confidences(
    interactions: Interactions, event_weights: Mapping[str, float], half_life_days: float, now: int
) -> Floats:
    """Return the confidences of events, `(n,)` float32, -1 to 1: weight × 0.5 ** (age / half-life).

    Args:
        interactions: Cleaned events.
        event_weights: Weight of each event, -1 to 1.
        half_life_days: The days in which a confidence halves; 0 switches the decay off.
        now: Seconds since 1970 at which the age is measured; events after it have age 0.

    Raises:
        ValueError: A row's event has no weight.
    """
    missing = [name for name in interactions.event_names if name not in event_weights]
    if is_event(interactions, missing).any():
        received = f"{listed(sorted(event_weights))} without {listed(missing)}"
        raise ValueError(f"`event_weights` should hold every event of the rows. Received: {received}.")
    weights = np.array([event_weights.get(name, 0.0) for name in interactions.event_names])[interactions.events]
    if half_life_days > 0:
        age_days = np.maximum(now - interactions.timestamps, 0) / SECONDS_PER_DAY
        weights = weights * 0.5 ** (age_days / half_life_days)
    return weights.astype(np.float32)


def _comparable(values: NDArray) -> NDArray[np.integer]:
    """Return `(n,)` integers that are equal where the values are equal.

    Texts are hashed, because it takes seconds to sort millions of Python strings.
    """
    if values.dtype.kind in "iu":
        return values
    codes: dict[Hashable, int] = {}
    return np.fromiter((codes.setdefault(value, len(codes)) for value in values.tolist()), np.int64, len(values))
