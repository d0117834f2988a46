"""Who asks: the customer's row, her events from the database and from the request, the context of the moment."""

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
LATEST_ROW = 2**62  # events of the request come after the database's own of the same second
MAX_EVENTS = 10_000  # newest events read of one customer; a person does not have more, a robot may have millions


@dataclass(frozen=True)
class User:
    """Everything known of who asks.

    Attributes:
        user_id: In the shop's type; None for a guest.
        index: Index of the user; one past the last for a guest or an unseen user.
        known: Whether training saw the user.
        events: Cleaned events in the order of time, in external ids.
        indices: `(n,)` int32, each event's item index; `n_items` where training did not see the item.
        bought: External ids that the repeat rule hides.
        context: Feature values as given, derived or unknown.
        shop: The mapping under the version's words and rules.
        bundle: The version.
        now: Seconds since 1970.
        notes: What of the user's rows was left out, for people.
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
        """Return the question, from all events or from those up to a moment; one object, so that its scorers share what they compute.

        Args:
            until: Seconds since 1970; events after it are left out.
        """
        if until not in self._queries:
            self._queries.setdefault(until, self._build_query(until))  # the first of two threads counts
        return self._queries[until]

    def _build_query(self, until: int | None) -> Query:
        mine = self.indices < len(self.bundle.items)
        if until is not None:
            mine &= self.events.timestamps <= until
        rows = np.flatnonzero(mine)[-MAX_HISTORY:]
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
        """Return the item indices that the repeat rule hides, from all purchases or from those up to a moment."""
        purchases = self._hiding(self.now if until is None else until)
        return distinct(self.indices[purchases & (self.indices < len(self.bundle.items))].tolist())

    def fresh(self) -> tuple[NDArray[np.int32], int]:
        """Return what the customer chose after training's last event, without what the repeat rule hid then.

        Returns:
            `(n,)` int32 distinct item indices, ascending; the number of distinct items beside them that training does
            not know.
        """
        chosen = is_event(self.events, self.shop.relevant_events) & (self.events.timestamps > self.bundle.data_until)
        hidden, learned = self._hiding(self.bundle.data_until), self.indices < len(self.bundle.items)
        known = set(self.indices[chosen & learned].tolist()) - set(self.indices[hidden & learned].tolist())
        unknown = set(self.events.items[chosen & ~learned].tolist()) - set(
            self.events.items[hidden & ~learned].tolist()
        )
        return distinct(known), len(unknown)

    def _hiding(self, moment: int) -> NDArray[np.bool_]:
        return _purchases(self.events, self.shop, moment) & (self.events.timestamps <= moment)


def load_user(
    request: Request, bundle: ModelBundle, db: store.Database, *, resolve_items: ItemRefs, shop: Shop, now: int
) -> User:
    """Return who asks.

    Args:
        request: The question.
        bundle: The version.
        db: The shop's database.
        resolve_items: Indices of the items that the request names.
        shop: The mapping under the version's words and rules.
        now: Seconds since 1970.

    Raises:
        UnknownUser: There is no row, no event, nothing to go on.
        InvalidRequest: An event of the request has a name that the shop does not know.
        ModelMismatch: The database does not hold the version's encoders.
    """
    user_id = bundle.user_id(request.user_id)
    kind = bundle.version.manifest["id_type"]["items"]
    told = [_request_events(request, resolve_items, shop, now)] if request.interactions else []
    stored = _stored(db, shop, bundle.name, user_id, kind)
    index = stored.user
    events, indices = _cleaned([stored, *told], bundle, shop, now)
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
    """Return what to say of rows that training would have dropped, too, because they cannot be read."""
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
    """Return what the repeat rule hides of all that a user ever bought, however many events she has.

    Args:
        db: The shop's database.
        shop: The mapping under the version's words and rules.
        user_id: In the shop's type.
        bundle: The version.
        now: Seconds since 1970.
    """
    if not shop.repeat_after_days:
        return frozenset()
    since = None if shop.repeat_after_days == np.inf else int(now - shop.repeat_after_days * SECONDS_PER_DAY)
    return frozenset(
        store.purchased_items(db, shop, user_id, since=since, item_kind=bundle.version.manifest["id_type"]["items"])
    )


def _stored(
    db: store.Database, shop: Shop, version_name: str, user_id: int | str | None, kind: str
) -> store.UserEvents:
    """Return what the database knows of the user; of a guest nothing."""
    if user_id is None:
        store.require_version(db, version_name)
        nothing = np.zeros(0, np.int64)
        return store.UserEvents(nothing, nothing.astype(np.int32), nothing.astype(np.int16), nothing, nothing, ())
    return store.user_events(db, shop, version_name, user_id, MAX_EVENTS, item_kind=kind)


def _request_events(request: Request, resolve_items: ItemRefs, shop: Shop, now: int) -> store.UserEvents:
    """Return the events of the request on items that the version knows; they come after the database's own."""
    words = tuple(dict.fromkeys((*shop.event_weights, *shop.cancel_events)))  # a cancellation may have a weight, too
    for position, event in enumerate(request.interactions):
        if event.event not in words:
            field = f"interactions[{position}].event"
            raise InvalidRequest(
                f"`{field}` should be one of {listed(sorted(words))}. Received: {event.event!r}.", field=field
            )
    told = [(resolve_items[event.item_id], event) for event in request.interactions if event.item_id in resolve_items]
    return store.UserEvents(
        items=id_column(number.item_id for number, _ in told),
        idx=np.array([number.index for number, _ in told], np.int32),
        events=np.array([words.index(event.event) for _, event in told], np.int16),
        timestamps=np.array([now if event.timestamp is None else event.timestamp for _, event in told], np.int64),
        row_ids=LATEST_ROW + np.arange(len(told)),
        event_names=words,
    )


def _cleaned(
    parts: Sequence[store.UserEvents], bundle: ModelBundle, shop: Shop, now: int
) -> tuple[Interactions, NDArray[np.int32]]:
    """Return the customer's events as training would have cleaned them, and their item indices."""
    rows = _joined(parts)
    rows.contexts[INDEX][rows.contexts[INDEX] < 0] = len(bundle.items)
    cleaned, _ = clean_history(rows, shop=shop, now=now)
    return cleaned, cleaned.contexts[INDEX]


def _joined(parts: Sequence[store.UserEvents]) -> Interactions:
    """Return events of one customer end to end, her item indices as a context."""
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
    """Return which events are purchases that the repeat rule still hides; where repeats are allowed, not even one of this second."""
    if not shop.repeat_after_days:
        return np.zeros(len(events), bool)
    return is_event(events, shop.purchase_events) & (
        events.timestamps >= now - shop.repeat_after_days * SECONDS_PER_DAY
    )


def _context(
    request: Request, bundle: ModelBundle, indices: NDArray[np.int32], events: Interactions, now: int
) -> Mapping[str, str | None]:
    """Return the value of each feature: as the request says, else by the clock and the category of the newest event."""
    known = np.flatnonzero(indices < len(bundle.items))
    category = bundle.items.category_of(int(indices[known[-1]])) if len(known) else None
    given = {"category": category, **clock_context(now, bundle.time_zone), **request.context}
    return {name: bundle.contexts.known_value(name, given.get(name)) for name in bundle.contexts.features}
