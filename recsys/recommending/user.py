"""Step 1 of a request, load: the user's index, events of the database and of the request, purchases, and context."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys import store
from recsys.contract import ReasonCode, Request
from recsys.data.cleaning import valid_history, without_cancelled
from recsys.data.context import clock_context
from recsys.data.ids import canonical, distinct, id_column
from recsys.data.interactions import Interactions, is_event
from recsys.data.purchases import bought_rows, cart_rows, purchase_names
from recsys.errors import InvalidRequest, UnknownUser
from recsys.errors.wording import listed
from recsys.features.query import MAX_HISTORY, Query
from recsys.recommending.loading import ModelBundle
from recsys.settings import Shop

INDEX = "index"  # the column that carries each event's item index through cleaning
MADE_UP = "made up"  # the name of the event of `similar`
MAX_TIME = 2**62  # no event is later
MIN_FRESH = 3  # fewer active items chosen since training are too few for a metric
LATEST_ROW = 2**62  # row ids from here on sort the request's events behind the database's of the same second
STRENGTHS: tuple[ReasonCode, ...] = ("viewed", "cart", "bought", "similar")  # what an event says, the weakest first
MAX_EVENTS = 10_000  # newest events read of one user; no person has more, a robot may have millions


class ItemRef(NamedTuple):
    """An item that a request names.

    Attributes:
        item_id: The external id, in the shop's type.
        item_index: The item index; -1 where training did not see the item.
    """

    item_id: int | str
    item_index: int


OF_GUESTS = "user_id: stands for guests, so its events are left out"
ItemRefs = Mapping[int | str, ItemRef]


class User(NamedTuple):
    """What is known of the user of a request: who it is, and the cleaned events in the order of time.

    Attributes:
        user_id: The external id in the shop's type; None for a guest.
        known: Whether training saw the user.
        query: The user now, as scorers read it.
        items: `(n,)` external ids of the events' items.
        indices: `(n,)` int32, their item indices; -1 where training did not see the item.
        strengths: `(n,)` int8, positions in `STRENGTHS`.
        timestamps: `(n,)` int64, seconds since 1970, ascending.
        hidden_ids: External ids of items that the repeat rule hides, or that lie in the cart.
        hidden: `(k,)` int32 distinct item indices, ascending, of those that training saw.
        context: The value of each context feature; None for unknown.
        refs: The items that the request names.
        is_new: Whether nothing is known: training did not see the user, and no event is on an item of the version.
        category: Of a new user, the category of the page, which popular items are taken from first; None where unknown.
        holdout: The events since training as a test case; None where there are too few.
        notes: Warnings about what was left out.
    """

    user_id: int | str | None
    known: bool
    query: Query
    items: NDArray
    indices: NDArray[np.int32]
    strengths: NDArray[np.int8]
    timestamps: NDArray[np.int64]
    hidden_ids: frozenset[int | str]
    hidden: NDArray[np.int32]
    context: Mapping[str, str | None]
    refs: ItemRefs
    is_new: bool = False
    category: str | None = None
    holdout: RecentHoldout | None = None
    notes: tuple[str, ...] = ()


class RecentHoldout(NamedTuple):
    """A test case for one user: items chosen after training, to be ranked from the history before.

    Attributes:
        query: The user at the end of training's data.
        hidden: `(k,)` int32, the items that the repeat rule hid then.
        relevant: `(n,)` int32 item indices, none hidden; at least `MIN_FRESH` are active, the others are misses.
        n_relevant: The number of relevant items, including those that training does not know and no list can hit.
    """

    query: Query
    hidden: NDArray[np.int32]
    relevant: NDArray[np.int32]
    n_relevant: int


def resolve_items(request: Request, bundle: ModelBundle) -> ItemRefs:
    """Return the items that a request names, by the id as received; ids that the shop cannot have are left out."""
    received = [event.item_id for event in request.interactions]
    received += [*request.ground_truth, *(request.candidates or ()), *request.exclude]
    received += [*(() if request.item_id is None else (request.item_id,)), *(request.item_ids or ())]
    ids = {written: item for written in received if (item := canonical(written, bundle.item_kind)) is not None}
    item_indices = bundle.item_indices(list(ids.values())) if ids else []
    return {written: ItemRef(item, index) for (written, item), index in zip(ids.items(), item_indices, strict=True)}


def indices_of(refs: ItemRefs, received: Iterable[int | str]) -> NDArray[np.int32]:
    """Return the indices of received ids that training saw, `(n,)` int32 distinct and ascending."""
    return distinct([refs[item].item_index for item in received if item in refs and refs[item].item_index >= 0])


def load_user(request: Request, bundle: ModelBundle, db: store.Database, *, shop: Shop, now: int) -> User:
    """Return the user of a request.

    Of `similar`, it is a user whose only event is on the request's item; what the real user bought, or has in the cart,
    stays hidden.

    Args:
        request: The checked request, of an operation that asks for items.
        bundle: The version that answers.
        db: The shop's database.
        shop: The mapping with the version's event names and rules.
        now: Seconds since 1970.

    Raises:
        UnknownUser: The request is strict, and nothing is known of the user.
        InvalidRequest: An event of the request has a name that the shop does not know.
        ModelMismatch: The database does not hold the version's encoders.
    """
    user_id, refs = canonical(request.user_id, bundle.user_kind), resolve_items(request, bundle)
    of_guests = user_id in bundle.guests
    if of_guests:
        user_id = None
    is_similar, rules = request.op == "similar", shop
    stored = _stored_events(db, shop, bundle, user_id)
    request_events = [_request_events(request, refs, shop, now)] if request.interactions else []
    valid = valid_history(_concatenate([stored, *request_events]), shop=shop, now=now)[0]
    if is_similar:
        events, user_index = _made_up_event(request, refs, now), None
        rules = replace(shop, event_weights={MADE_UP: max(shop.event_weights.values())}, relevant_events=())
    else:
        events, user_index = without_cancelled(valid, shop), stored.user
    indices = events.contexts[INDEX]
    is_new = user_index is None and not (indices >= 0).any()
    if is_new and request.strict and request.op == "recommend":
        received = "nothing" if request.user_id is None else repr(request.user_id)
        raise UnknownUser(
            f"`user_id` should be a user of the training or have events on its items. Received: {received}."
        )
    event_weights = np.array([rules.event_weights.get(name, 0.0) for name in events.event_names], np.float32)
    context = dict.fromkeys(bundle.contexts.features) if is_similar else _context(request, bundle, indices, now)

    def query(until: int) -> Query:
        """Return the query of the newest events up to a moment."""
        rows = np.flatnonzero((indices >= 0) & (events.timestamps <= until))[-MAX_HISTORY:]
        return Query(
            user=bundle.n_users if user_index is None else user_index,
            items=indices[rows],
            weights=event_weights[events.events[rows]],
            timestamps=events.timestamps[rows],
            context=bundle.contexts.encode(context),
            now=now if until == MAX_TIME else until,
            repeats=shop.repeat_after_days < np.inf,
        )

    hides = bought_rows(valid, shop, now) | cart_rows(valid, shop, now)
    hidden_ids, hidden_indices = frozenset(valid.items[hides].tolist()), valid.contexts[INDEX][hides]
    if stored.truncated and user_id is not None:  # all purchases, not only the newest events
        hidden_ids = hidden_ids.union(store.bought_items(db, shop, user_id, now, item_kind=bundle.item_kind))
        hidden_indices = np.array(bundle.item_indices(list(hidden_ids)) if hidden_ids else [], np.int32)
    ground_truth, notes = new_ground_truth(request, refs, indices[events.timestamps <= bundle.data_until])
    return User(
        user_id=user_id if is_similar or user_id is not None else request.user_id,
        known=user_index is not None,
        query=query(MAX_TIME),
        items=events.items,
        indices=indices,
        strengths=event_strengths(events.event_names, shop)[events.events],
        timestamps=events.timestamps,
        hidden_ids=hidden_ids,
        hidden=distinct(hidden_indices[hidden_indices >= 0].tolist()),
        context=context,
        refs=refs,
        is_new=is_new,
        category=category_of_page(request, refs, db, shop) if is_new else None,
        holdout=recent_holdout(events, indices, ground_truth, bundle, rules, query),
        notes=(*notes, *([OF_GUESTS] if of_guests else []), *_notes(stored)),
    )


def event_strengths(names: Sequence[str], shop: Shop) -> NDArray[np.int8]:
    """Return what events say about an item, `(k,)` int8 positions in `STRENGTHS`.

    Args:
        names: Names of events. Whoever rates an item or notes it down has seen it, so all others are views.
        shop: Holds the names of purchases and cart events.
    """
    codes: dict[str, ReasonCode] = dict.fromkeys(shop.cart_events, "cart")
    codes |= {**dict.fromkeys(purchase_names(shop), "bought"), MADE_UP: "similar"}
    return np.array([STRENGTHS.index(codes.get(name, "viewed")) for name in names], np.int8)


def category_of_page(request: Request, refs: ItemRefs, db: store.Database, shop: Shop) -> str | None:
    """Return the category of the page: the context's, else that of the item of `similar` by its present row."""
    if category := request.context.get("category"):
        return category
    item = refs.get(request.item_id) if request.item_id is not None else None
    rows = [] if item is None else store.products(db, shop, [item.item_id], ["category"])
    return rows[0].category if rows else None


def recent_holdout(
    events: Interactions,
    indices: NDArray[np.int32],
    ground_truth: NDArray[np.int32],
    bundle: ModelBundle,
    shop: Shop,
    query: Callable[[int], Query],
) -> RecentHoldout | None:
    """Return the test case of events after training's data, or None where there are too few.

    Args:
        events: The user's cleaned events.
        indices: `(n,)` int32, their item indices; -1 where training did not see the item.
        ground_truth: `(k,)` int32 item indices that the client says were chosen.
        bundle: The version that answers.
        shop: The mapping with the version's event names and rules.
        query: Returns the user's query at a moment.
    """
    chosen = is_event(events, shop.relevant_events) & (events.timestamps > bundle.data_until)
    if chosen.sum() + len(ground_truth) < MIN_FRESH:
        return None
    is_known = indices >= 0
    hides = bought_rows(events, shop, bundle.data_until) & (events.timestamps <= bundle.data_until)
    hidden = set(indices[hides & is_known].tolist())
    relevant = distinct({*indices[chosen & is_known].tolist(), *ground_truth.tolist()} - hidden)
    if bundle.items.active[relevant].sum() < MIN_FRESH:
        return None
    unknown = set(events.items[chosen & ~is_known].tolist()) - set(events.items[hides & ~is_known].tolist())
    return RecentHoldout(query(bundle.data_until), distinct(hidden), relevant, len(relevant) + len(unknown))


def new_ground_truth(request: Request, refs: ItemRefs, seen: NDArray[np.int32]) -> tuple[NDArray[np.int32], list[str]]:
    """Return the item indices of the ground truth that training has not seen, and a warning about the others.

    Args:
        request: The request.
        refs: The items that it names.
        seen: `(n,)` int32, the items that training saw with this user.

    Returns:
        `(k,)` int32 distinct item indices, ascending; at most one warning.
    """
    if not request.ground_truth:
        return np.zeros(0, np.int32), []
    new = distinct(set(indices_of(refs, request.ground_truth).tolist()) - set(seen.tolist()))
    distinct_ids = {refs[item].item_id if item in refs else item for item in request.ground_truth}
    n_dropped = len(distinct_ids) - len(new)
    warning = f"ground_truth: {n_dropped} dropped, because training had seen them with this user or does not know them"
    return new, [warning] if n_dropped else []


def _made_up_event(request: Request, refs: ItemRefs, now: int) -> Interactions:
    """Return one event on the item of `similar`; none where training did not see the item.

    It is neither a purchase to hide nor evidence of a choice.
    """
    item = refs.get(request.item_id) if request.item_id is not None else None
    rows = slice(None) if item is not None and item.item_index >= 0 else slice(0)
    zero = np.zeros(1, np.int64)[rows]
    return Interactions(
        users=zero,
        items=np.array([item.item_id if item else 0], object)[rows],
        events=zero.astype(np.int16),
        timestamps=zero + now,
        row_ids=zero,
        event_names=(MADE_UP,),
        contexts={INDEX: np.array([item.item_index if item else 0], np.int32)[rows]},
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


def _no_events() -> store.UserEvents:
    empty = np.zeros(0, np.int64)
    return store.UserEvents(empty, empty.astype(np.int32), empty.astype(np.int16), empty, empty, ())


def _stored_events(db: store.Database, shop: Shop, bundle: ModelBundle, user_id: int | str | None) -> store.UserEvents:
    """Return the user's events in the database; none for a guest."""
    if user_id is None:
        store.require_version(db, bundle.name)
        return _no_events()
    return store.user_events(db, shop, bundle.name, user_id, MAX_EVENTS, item_kind=bundle.item_kind)


def _request_events(request: Request, refs: ItemRefs, shop: Shop, now: int) -> store.UserEvents:
    """Return the request's events on items that the shop can have; they sort behind the database's events.

    Raises:
        InvalidRequest: An event of `recommend` has a name that the shop does not know.
    """
    # a cancellation or a removal may have a weight, too
    names = tuple(dict.fromkeys((*shop.event_weights, *shop.cancel_events, *shop.uncart_events)))
    for position, event in enumerate(request.interactions):
        if event.event not in names and request.op == "recommend":  # the others leave them out
            field = f"interactions[{position}].event"
            raise InvalidRequest(
                f"`{field}` should be one of {listed(sorted(names))}. Received: {event.event!r}.", field=field
            )
    events = [event for event in request.interactions if event.item_id in refs and event.event in names]
    items = [refs[event.item_id] for event in events]
    return store.UserEvents(
        items=id_column(item.item_id for item in items),
        idx=np.array([item.item_index for item in items], np.int32),
        events=np.array([names.index(event.event) for event in events], np.int16),
        timestamps=np.array([now if event.timestamp is None else event.timestamp for event in events], np.int64),
        row_ids=LATEST_ROW + np.arange(len(events)),
        event_names=names,
    )


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
        quantities=_quantities(parts),
        contexts={INDEX: np.concatenate([part.idx for part in parts])},
    )


def _quantities(parts: Sequence[store.UserEvents]) -> NDArray[np.float64] | None:
    """Return the quantities of all parts, NaN where one tells none; None where no part tells any."""
    if all(part.quantities is None for part in parts):
        return None
    return np.concatenate([np.full(len(p), np.nan) if p.quantities is None else p.quantities for p in parts])


def _context(request: Request, bundle: ModelBundle, indices: NDArray[np.int32], now: int) -> Mapping[str, str | None]:
    """Return the value of each context feature: the request's, else by the clock or the newest event's category."""
    known = indices[indices >= 0]
    category = bundle.items.category_of(int(known[-1])) if len(known) else None
    values = {"category": category, **clock_context(now, bundle.rules["time_zone"]), **request.context}
    return {name: bundle.contexts.known_value(name, values.get(name)) for name in bundle.contexts.features}
