"""Lists of everybody, step 1: all users of a block, from one statement for each source; who has to be asked alone.

`recsys.recommending.user.load_user` says the same of one user. What is cheap for one user is done for all at once here:
cleaning, purchases, carts and weights. Both use the same rules of `recsys.data`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from recsys import store
from recsys.data.cleaning import valid_history, without_cancelled
from recsys.data.context import clock_context
from recsys.data.ids import distinct
from recsys.data.interactions import Interactions
from recsys.data.purchases import bought_rows, cart_rows
from recsys.features.query import MAX_HISTORY, Query
from recsys.recommending.loading import ModelBundle
from recsys.recommending.user import INDEX, MAX_EVENTS, User, event_strengths
from recsys.settings import Shop


def load_users(
    ids: Sequence[int | str], bundle: ModelBundle, db: store.Database, *, shop: Shop, now: int
) -> list[User | None]:
    """Return the users of a block, without a recent holdout, in the order of their ids.

    Args:
        ids: Distinct ids in the shop's type, at most some thousands.
        bundle: The version that answers.
        db: The shop's database.
        shop: The mapping with the version's event names and rules.
        now: Seconds since 1970.

    Returns:
        None for a user who has to be asked alone: their rows cannot be read together with the others', or are too many.
    """
    read = store.events_of_users(db, shop, ids, MAX_EVENTS, item_kind=bundle.item_kind)
    valid = valid_history(_interactions(read, bundle), shop=shop, now=now)[0]
    hides = bought_rows(valid, shop, now) | cart_rows(replace(valid, items=_pairs(valid)), shop, now)
    hidden = _by_user(valid.take(hides), len(ids))
    events = _by_user(without_cancelled(valid, shop), len(ids))
    known = bundle.user_indices(ids)
    histories = _Histories(events, bundle, shop, now)
    users: list[User | None] = [
        None
        if position in read.unread
        else histories.user(user_id, int(index), rows, hidden.items[hides_of], hidden.contexts[INDEX][hides_of])
        for position, (user_id, index, rows, hides_of) in enumerate(
            zip(ids, known, _spans(events, len(ids)), _spans(hidden, len(ids)), strict=True)
        )
    ]
    return users


class _Histories:
    """The cleaned events of a block of users, user by user, and what all of them share."""

    def __init__(self, events: Interactions, bundle: ModelBundle, shop: Shop, now: int) -> None:
        names = events.event_names
        self._weights = np.array([shop.event_weights.get(name, 0.0) for name in names], np.float32)[events.events]
        self._strengths = event_strengths(names, shop)[events.events]
        self._events, self._indices = events, events.contexts[INDEX]
        self._bundle, self._now, self._repeats = bundle, now, shop.repeat_after_days < np.inf
        self._clock = clock_context(now, bundle.rules["time_zone"])
        self._contexts: dict[str | None, tuple[dict[str, str | None], NDArray[np.int32]]] = {}

    def user(self, user_id: int | str, index: int, rows: slice, hidden_ids: NDArray, hidden: NDArray[np.int32]) -> User:
        """Return one user.

        Args:
            user_id: The id in the shop's type.
            index: The index in the version; negative for a user that training did not see.
            rows: The rows of the user's events.
            hidden_ids: External ids of the items that are hidden from the user.
            hidden: Their indices; negative where training did not see the item.
        """
        indices = self._indices[rows]
        on_known = np.flatnonzero(indices >= 0)
        newest = on_known[-MAX_HISTORY:] + rows.start
        category = self._bundle.items.category_of(int(indices[on_known[-1]])) if len(on_known) else None
        context, encoded = self._context(category)
        query = Query(
            user=self._bundle.n_users if index < 0 else index,
            items=self._indices[newest],
            weights=self._weights[newest],
            timestamps=self._events.timestamps[newest],
            context=encoded,
            now=self._now,
            repeats=self._repeats,
        )
        return User(
            user_id=user_id,
            known=index >= 0,
            query=query,
            items=self._events.items[rows],
            indices=indices,
            strengths=self._strengths[rows],
            timestamps=self._events.timestamps[rows],
            hidden_ids=frozenset(hidden_ids.tolist()),
            hidden=distinct(hidden[hidden >= 0].tolist()),
            context=context,
            refs={},
            is_new=index < 0 and not len(on_known),
        )

    def _context(self, category: str | None) -> tuple[dict[str, str | None], NDArray[np.int32]]:
        """Return the context of users whose newest item has a category, and its indices."""
        if category not in self._contexts:
            values, contexts = {"category": category, **self._clock}, self._bundle.contexts
            context = {name: contexts.known_value(name, values.get(name)) for name in contexts.features}
            self._contexts[category] = context, contexts.encode(context)
        return self._contexts[category]


def _interactions(read: store.EventsOfUsers, bundle: ModelBundle) -> Interactions:
    """Return events with the users' positions as users, and the item indices as the context column `INDEX`."""
    return Interactions(
        users=read.users,
        items=read.items,
        events=read.events,
        timestamps=read.timestamps,
        row_ids=read.row_ids,
        event_names=read.event_names,
        quantities=read.quantities,
        contexts={INDEX: np.array(bundle.item_indices(read.items.tolist()), np.int32)},
    )


def _pairs(events: Interactions) -> NDArray[np.int64]:
    """Return a number for each pair of user and item, so that a rule for the items of one user holds for all users."""
    codes: dict[int | str, int] = {}
    items = np.fromiter((codes.setdefault(item, len(codes)) for item in events.items.tolist()), np.int64, len(events))
    return events.users * len(codes) + items


def _by_user(events: Interactions, n_users: int) -> Interactions:
    """Return events user by user, each user's in the order of time."""
    return events.take(np.argsort(events.users, kind="stable"))


def _spans(events: Interactions, n_users: int) -> list[slice]:
    """Return the rows of each user, of events that are ordered by user."""
    edges = np.searchsorted(events.users, np.arange(n_users + 1)).tolist()
    return [slice(first, last) for first, last in zip(edges[:-1], edges[1:], strict=True)]
