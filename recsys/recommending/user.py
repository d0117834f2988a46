"""The user of a request: index, events of the database and of the request, purchases to hide, context features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from recsys import store
from recsys.contract import Request
from recsys.data.cleaning import SECONDS_PER_DAY, clean_history, is_event
from recsys.data.context import clock_context
from recsys.data.ids import distinct, id_column
from recsys.data.interactions import Interactions
from recsys.errors import InvalidRequest, UnknownUser
from recsys.errors.wording import listed
from recsys.features.query import MAX_HISTORY, Query
from recsys.recommending.loading import ItemRefs, ModelBundle
from recsys.settings import Shop

INDEX = "index"  # the column that carries each event's item index through cleaning
LATEST_ROW = 2**62  # row ids from here on sort the request's events behind the database's of the same second
MAX_EVENTS = 10_000  # newest events read of one user; no person has more, a robot may have millions


@dataclass(frozen=True)
class User:
    """Everything that is known of the user of a request.

    Attributes:
        user_id: The external id in the shop's type; None for a guest.
        index: The user index; `n_users` for a guest or an unseen user.
        known: Whether training saw the user.
        events: Cleaned events in the order of time, with external ids.
        indices: `(n,)` int32, each event's item index; `n_items` where training did not see the item.
        bought: External ids of items that the repeat rule hides.
        context: The value of each context feature; None for unknown.
        shop: The mapping with the version's event names and rules.
        bundle: The version that answers.
        now: Seconds since 1970.
        notes: Warnings about rows of the user that were left out.
    """

    user_id: int | str | None
    index: int
    known: bool
    events: Interactions
    indices: NDArray[np.int32]
    bought: frozenset[int | str]
    context: Mapping[str, str | None]
    shop: Shop
    bundle: ModelBundle
    now: int
    notes: tuple[str, ...] = ()
    _queries: dict[int | None, Query] = field(init=False, repr=False, compare=False, default_factory=dict)

    def query(self, until: int | None = None) -> Query:
        """Return the query of all events, or of those up to a moment.

        Calls with the same moment return the same object, so that scorers share the features that it caches.

        Args:
            until: Seconds since 1970; events after it are left out. None keeps all events.
        """
        if until not in self._queries:
            self._queries.setdefault(until, self._build_query(until))  # of two threads, the first one sets it
        return self._queries[until]

    def _build_query(self, until: int | None) -> Query:
        in_history = self.indices < len(self.bundle.items)
        if until is not None:
            in_history &= self.events.timestamps <= until
        rows = np.flatnonzero(in_history)[-MAX_HISTORY:]
        weights = np.array([self.shop.event_weights.get(name, 0.0) for name in self.events.event_names], np.float32)
        return Query(
            user=self.index,
            items=self.indices[rows],
            weights=weights[self.events.events[rows]],
            timestamps=self.events.timestamps[rows],
            context=self.bundle.contexts.encode(self.context),
            now=self.now if until is None else until,
            repeats=self.shop.repeat_after_days < np.inf,
        )

    def hidden(self, until: int | None = None) -> NDArray[np.int32]:
        """Return the items that the repeat rule hides, `(n,)` int32 distinct item indices, ascending.

        Args:
            until: Seconds since 1970; the rule is applied at this moment to the purchases up to it. None means now.
        """
        purchases = self._hiding_purchases(self.now if until is None else until)
        return distinct(self.indices[purchases & (self.indices < len(self.bundle.items))].tolist())

    def fresh(self) -> tuple[NDArray[np.int32], int]:
        """Return the items chosen after training's last event, without those that the repeat rule hid at that moment.

        Returns:
            `(n,)` int32 distinct item indices, ascending; the number of further distinct items, which training does not
            know.
        """
        chosen = is_event(self.events, self.shop.relevant_events) & (self.events.timestamps > self.bundle.data_until)
        hidden, is_known = self._hiding_purchases(self.bundle.data_until), self.indices < len(self.bundle.items)
        known = set(self.indices[chosen & is_known].tolist()) - set(self.indices[hidden & is_known].tolist())
        ids = self.events.items
        unknown = set(ids[chosen & ~is_known].tolist()) - set(ids[hidden & ~is_known].tolist())
        return distinct(known), len(unknown)

    def _hiding_purchases(self, moment: int) -> NDArray[np.bool_]:
        """Return which events are purchases up to a moment that the repeat rule hides at that moment, `(n,)` bool."""
        return _purchases(self.events, self.shop, moment) & (self.events.timestamps <= moment)


def load_user(
    request: Request, bundle: ModelBundle, db: store.Database, *, resolved: ItemRefs, shop: Shop, now: int
) -> User:
    """Return the user of a `recommend` request.

    Args:
        request: The checked request.
        bundle: The version that answers.
        db: The shop's database.
        resolved: The items that the request names.
        shop: The mapping with the version's event names and rules.
        now: Seconds since 1970.

    Raises:
        UnknownUser: Training did not see the user, and they have no event on an item of the version.
        InvalidRequest: An event of the request has a name that the shop does not know.
        ModelMismatch: The database does not hold the version's encoders.
    """
    user_id = bundle.user_id(request.user_id)
    item_kind = bundle.version.manifest["id_type"]["items"]
    request_events = [_request_events(request, resolved, shop, now)] if request.interactions else []
    stored = _stored_events(db, shop, bundle.name, user_id, item_kind)
    index = stored.user
    events, indices = _clean_events([stored, *request_events], bundle, shop, now)
    if index is None and not (indices < len(bundle.items)).any():
        received = "nothing" if request.user_id is None else repr(request.user_id)
        raise UnknownUser(
            f"`user_id` should be a user of the training or have events on its items. Received: {received}."
        )
    bought = set(events.items[_purchases(events, shop, now)].tolist())
    if stored.truncated and user_id is not None:
        bought |= purchased(db, shop, user_id, bundle, now)
    return User(
        user_id=user_id if user_id is not None else request.user_id,
        index=bundle.n_users if index is None else index,
        known=index is not None,
        events=events,
        indices=indices,
        bought=frozenset(bought),
        context=_context(request, bundle, indices, events, now),
        shop=shop,
        bundle=bundle,
        now=now,
        notes=_notes(stored),
    )


def _notes(stored: store.UserEvents) -> tuple[str, ...]:
    """Return a warning about unreadable rows, which training drops, too."""
    if stored.refused:
        return ("history: all of it is left out, because the database cannot work out the user's rows",)
    n_unread = sum(stored.unread.values())
    if not n_unread:
        return ()
    columns = ", ".join(f"{name} {count}" for name, count in stored.unread.items())
    return (f"history: {n_unread} left out, because they cannot be read ({columns})",)


def purchased(
    db: store.Database, shop: Shop, user_id: int | str, bundle: ModelBundle, now: int
) -> frozenset[int | str]:
    """Return the external ids that the repeat rule hides, from all purchases of a user, not only the newest events.

    Args:
        db: The shop's database.
        shop: The mapping with the version's event names and rules.
        user_id: The external id in the shop's type.
        bundle: The version that answers.
        now: Seconds since 1970.
    """
    if not shop.repeat_after_days:
        return frozenset()
    since = None if shop.repeat_after_days == np.inf else int(now - shop.repeat_after_days * SECONDS_PER_DAY)
    item_kind = bundle.version.manifest["id_type"]["items"]
    return frozenset(store.purchased_items(db, shop, user_id, since=since, item_kind=item_kind))


def _stored_events(
    db: store.Database, shop: Shop, version_name: str, user_id: int | str | None, item_kind: str
) -> store.UserEvents:
    """Return the user's events in the database; none for a guest."""
    if user_id is None:
        store.require_version(db, version_name)
        empty = np.zeros(0, np.int64)
        return store.UserEvents(empty, empty.astype(np.int32), empty.astype(np.int16), empty, empty, ())
    return store.user_events(db, shop, version_name, user_id, MAX_EVENTS, item_kind=item_kind)


def _request_events(request: Request, resolved: ItemRefs, shop: Shop, now: int) -> store.UserEvents:
    """Return the request's events on items that the shop can have; they sort behind the database's events.

    Raises:
        InvalidRequest: An event has a name that the shop does not know.
    """
    names = tuple(dict.fromkeys((*shop.event_weights, *shop.cancel_events)))  # a cancellation may have a weight, too
    for position, event in enumerate(request.interactions):
        if event.event not in names:
            field = f"interactions[{position}].event"
            raise InvalidRequest(
                f"`{field}` should be one of {listed(sorted(names))}. Received: {event.event!r}.", field=field
            )
    events = [event for event in request.interactions if event.item_id in resolved]
    items = [resolved[event.item_id] for event in events]
    return store.UserEvents(
        items=id_column(item.item_id for item in items),
        idx=np.array([item.index for item in items], np.int32),
        events=np.array([names.index(event.event) for event in events], np.int16),
        timestamps=np.array([now if event.timestamp is None else event.timestamp for event in events], np.int64),
        row_ids=LATEST_ROW + np.arange(len(events)),
        event_names=names,
    )


def _clean_events(
    parts: Sequence[store.UserEvents], bundle: ModelBundle, shop: Shop, now: int
) -> tuple[Interactions, NDArray[np.int32]]:
    """Return the user's events, cleaned as for training, and `(n,)` int32 their item indices."""
    rows = _concatenate(parts)
    rows.contexts[INDEX][rows.contexts[INDEX] < 0] = len(bundle.items)
    cleaned, _ = clean_history(rows, shop=shop, now=now)
    return cleaned, cleaned.contexts[INDEX]


def _concatenate(parts: Sequence[store.UserEvents]) -> Interactions:
    """Return the events of one user in one table, with the item indices as the context column `INDEX`."""
    names = tuple(dict.fromkeys(name for part in parts for name in part.event_names))
    codes = [
        np.array([names.index(name) for name in part.event_names], np.int16)[part.events] for part in parts if len(part)
    ]
    items = [part.items for part in parts if len(part)]
    return Interactions(
        users=np.zeros(sum(map(len, parts)), np.int64),
        items=np.concatenate(items) if items else np.zeros(0, np.int64),
        events=np.concatenate(codes) if codes else np.zeros(0, np.int16),
        timestamps=np.concatenate([part.timestamps for part in parts]),
        row_ids=np.concatenate([part.row_ids for part in parts]),
        event_names=names,
        contexts={INDEX: np.concatenate([part.idx for part in parts])},
    )


def _purchases(events: Interactions, shop: Shop, now: int) -> NDArray[np.bool_]:
    """Return which events are purchases that the repeat rule hides, `(n,)` bool; none where repeats are allowed."""
    if not shop.repeat_after_days:
        return np.zeros(len(events), bool)
    since = now - shop.repeat_after_days * SECONDS_PER_DAY
    return is_event(events, shop.purchase_events) & (events.timestamps >= since)


def _context(
    request: Request, bundle: ModelBundle, indices: NDArray[np.int32], events: Interactions, now: int
) -> Mapping[str, str | None]:
    """Return the value of each context feature: the request's, else by the clock or the newest event's category."""
    known = np.flatnonzero(indices < len(bundle.items))
    category = bundle.items.category_of(int(indices[known[-1]])) if len(known) else None
    values = {"category": category, **clock_context(now, bundle.time_zone), **request.context}
    return {name: bundle.contexts.known_value(name, values.get(name)) for name in bundle.contexts.features}
