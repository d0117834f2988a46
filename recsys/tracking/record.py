"""Records what a user does: one row of `rec_user_interactions` for each event id, returned once it is committed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import uuid4

from recsys.data.cleaning import SECONDS_PER_DAY
from recsys.data.ids import INT64_MAX
from recsys.errors import InvalidRequest, Overloaded, TooLarge
from recsys.errors.records import Record
from recsys.errors.wording import listed, shown
from recsys.settings import Privacy
from recsys.store import Database
from recsys.store.columns import is_key
from recsys.store.tracking import Count, Interaction, add_interaction, move_events, take_from_guest
from recsys.store.tracking_experiments import delete_events, delete_idle_users
from recsys.tracking.analytics import COUNTED, algorithm_of

VIEW, ADD_TO_CART, PURCHASE, WISHLIST = "view", "add_to_cart", "purchase", "wishlist"
REMOVE_FROM_WISHLIST, SEARCH, IMPRESSION, CLICK = "remove_from_wishlist", "search", "impression", "click"
EVENTS = (VIEW, ADD_TO_CART, PURCHASE, WISHLIST, REMOVE_FROM_WISHLIST, SEARCH, IMPRESSION, CLICK)
# Events that say what users like.
PREFERENCES = frozenset({VIEW, ADD_TO_CART, PURCHASE, WISHLIST, REMOVE_FROM_WISHLIST})
LIST_EVENTS = frozenset({IMPRESSION, CLICK})  # what a list has shown, and what of it was clicked
GUEST = "guest_"  # how ids of guests begin that pages give them; no customer has such an id
MAX_METADATA = 65_536  # characters of JSON
MAX_EVENT_ID = 128  # characters; the width of the columns of event ids, here and in the shop
MAX_POSITION = 10_000
T = TypeVar("T")
ATTEMPTS = 8  # of writers that the database makes wait for each other in a circle, one is always let through


class TrackedEvent(Record):
    """What a user did.

    Attributes:
        user_id: The user's id.
        session_id: The visit that it belongs to.
        product_id: The product; None for a search, or where a handle names no product.
        event: One of `EVENTS`.
        metadata: Anything that JSON can hold.
        event_id: The sender's own id of the event. The same user's second event with it is not stored again, and
            neither is anybody's second impression or click of one answer and product; None stores every time.
        recommendation_id: The answer that showed the product, by `new_recommendation_id` of `analytics`.
        position: The product's place in that answer, from 1.
        at: When it happened, in seconds since 1970; None, or a moment in the future, stands for now.
    """

    user_id: int | str
    session_id: str | None
    product_id: int | str | None
    event: str
    metadata: Mapping[str, Any] | None = None
    event_id: str | None = None
    recommendation_id: str | None = None
    position: int | None = None
    at: int | None = None


class Recorded(Record):
    """What `record` did.

    Attributes:
        interaction_id: `int_` and 32 hexadecimal digits; the same for the same event.
        is_new: Whether the event was stored now; False for a replay.
    """

    interaction_id: str
    is_new: bool


def record(db: Database, event: TrackedEvent, *, now: int) -> Recorded:
    """Store an event, and return after the commit.

    An event that belongs to a recommendation is counted in `rec_analytics` in the same transaction. Preferences follow
    later, by `refresh_preferences`. A product that the shop does not have is stored like any other. An impression or a
    click that a guest has sent belongs to whoever sends it again: the guest may have signed in meanwhile.

    Args:
        db: The database, not within a transaction.
        event: What the user did.
        now: Seconds since 1970.

    Raises:
        InvalidRequest: A field is not what it should be; nothing is stored.
        TooLarge: The metadata is too large; nothing is stored.
        Overloaded: The database is too busy; nothing is stored.
        DatabaseUnavailable: It is not known whether the event is stored; the same event id makes a repeat safe.
    """
    row = _row(event, now)
    count = None
    if row.recommendation_id is not None and row.interaction_type in COUNTED:
        day = datetime.fromtimestamp(row.occurred_at, UTC).date().isoformat()
        count = Count(day, algorithm_of(row.recommendation_id), row.position or 0, row.interaction_type)
    is_new = _in_turn(lambda: add_interaction(db, row, count))
    if not is_new and row.interaction_type in LIST_EVENTS:
        _in_turn(lambda: take_from_guest(db, row.interaction_id, row.user_id, GUEST))
    return Recorded(row.interaction_id, is_new)


def join_guest(db: Database, guest_id: str, user_id: int | str) -> int:
    """Give what a guest did to the customer who has signed in, and return after the commit. A repeat changes nothing.

    Args:
        db: The database, not within a transaction.
        guest_id: The guest's id, which only their browser and the shop's servers know.
        user_id: The customer's id.

    Returns:
        How many events the guest had.

    Raises:
        InvalidRequest: The first id is none of a guest, or the second one is.
        Overloaded: The database is too busy; nothing has changed.
    """
    if not is_guest(_id("guest_id", guest_id)):
        raise _invalid("guest_id", f"an id that begins with {GUEST}", guest_id)
    if is_guest(_id("user_id", user_id)):
        raise _invalid("user_id", "a customer's id", user_id)
    return _in_turn(lambda: move_events(db, guest_id, str(user_id), sorted(PREFERENCES)))


def is_guest(user_id: int | str) -> bool:
    """Return whether an id is one that a page has given to a guest.

    >>> is_guest("guest_0f1e"), is_guest("7"), is_guest(7)
    (True, False, False)
    """
    return isinstance(user_id, str) and user_id.startswith(GUEST)


def _in_turn(write: Callable[[], T]) -> T:
    """Write, again where the database is too busy."""
    for n_tries in range(1, ATTEMPTS + 1):
        try:
            return write()
        except Overloaded:
            if n_tries == ATTEMPTS:
                raise
    raise AssertionError  # the last attempt has returned or raised


def sweep_tracking(db: Database, privacy: Privacy, *, now: int) -> tuple[int, int]:
    """Delete old events, and what is kept of customers without newer ones. It may be interrupted at any time.

    The counts of `rec_analytics` stay: they name nobody. Lists expire by themselves.

    Args:
        db: The database, not within a transaction.
        privacy: How long events are kept; without a number of days, nothing is deleted.
        now: Seconds since 1970.

    Returns:
        The number of events, and of customers.
    """
    if privacy.keep_days is None:
        return 0, 0
    before = now - privacy.keep_days * SECONDS_PER_DAY
    return delete_events(db, before), delete_idle_users(db, before)


def interaction_id(user_id: int | str, event_id: str | None) -> str:
    """Return the id of an event: of user and event id together, so that nobody can take another user's event ids.

    That of an impression or a click of an answer is `list_event_id`.

    Args:
        user_id: The user's id.
        event_id: The sender's own id; None gives a random one.
    """
    if event_id is None:
        return f"int_{uuid4().hex}"
    user = str(user_id).encode()
    return _hashed_id(b"%d:%b%b" % (len(user), user, event_id.encode()))


def list_event_id(recommendation_id: str, event: str, product_id: str | None, event_id: str) -> str:
    """Return the id of an impression or a click of an answer, which is the same before and after the user signs in.

    Args:
        recommendation_id: The answer's id. It is random, so that nobody else knows it.
        event: `impression` or `click`.
        product_id: The product.
        event_id: The sender's own id.
    """
    parts = [recommendation_id, event, product_id, event_id]
    return _hashed_id(json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode())


def _hashed_id(content: bytes) -> str:
    return f"int_{hashlib.sha256(content).hexdigest()[:32]}"


def _interaction_id(event: TrackedEvent, user_id: str, product_id: str | None) -> str:
    if event.event in LIST_EVENTS and event.recommendation_id is not None and event.event_id is not None:
        return list_event_id(event.recommendation_id, event.event, product_id, event.event_id)
    return interaction_id(user_id, event.event_id)


def _row(event: TrackedEvent, now: int) -> Interaction:
    """Check an event, and return its row."""
    if event.event not in EVENTS:
        raise _invalid("event", f"one of {listed(EVENTS)}", event.event)
    user_id = _id("user_id", event.user_id)
    product_id = None if event.product_id is None else _id("product_id", event.product_id)
    _check_text("session_id", event.session_id)
    _check_text("event_id", event.event_id, MAX_EVENT_ID)
    _check_text("recommendation_id", event.recommendation_id, MAX_EVENT_ID)
    _check_number("position", event.position, MAX_POSITION)
    _check_number("at", event.at)
    return Interaction(
        interaction_id=_interaction_id(event, user_id, product_id),
        user_id=user_id,
        session_id=event.session_id,
        product_id=product_id,
        interaction_type=event.event,
        metadata=None if event.metadata is None else _json(event.metadata),
        event_id=event.event_id,
        recommendation_id=event.recommendation_id,
        position=event.position,
        occurred_at=now if event.at is None else min(event.at, now),
        pending=int(event.event in PREFERENCES and product_id is not None),
    )


def _id(name: str, value: object) -> str:
    is_whole = type(value) is int and abs(value) <= INT64_MAX
    if not (is_whole or (isinstance(value, str) and is_key(value))):
        raise _invalid(name, "a whole number, or a text of 1 to 512 bytes", value)
    return str(value)


def _check_text(name: str, value: object, most: int = 512) -> None:
    if value is not None and not (isinstance(value, str) and is_key(value) and len(value) <= most):
        raise _invalid(name, f"a text of 1 to {most} characters", value)


def _check_number(name: str, value: object, most: int | None = None) -> None:
    if value is not None and not (type(value) is int and value >= 1 and (most is None or value <= most)):
        raise _invalid(name, "a whole number from 1" + (f" to {most:,}" if most else ""), value)


def _json(metadata: Mapping[str, Any]) -> str:
    """Return metadata as ASCII JSON without NaN, which JSON does not have."""
    try:
        text = json.dumps(dict(metadata), allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"`metadata` should be a JSON object. Received: {error}.", field="metadata") from error
    if len(text) > MAX_METADATA:
        expected = f"at most {MAX_METADATA:,} characters of JSON"
        raise TooLarge(f"`metadata` should have {expected}. Received: {len(text):,}.", field="metadata")
    return text


def _invalid(name: str, expected: str, received: object) -> InvalidRequest:
    return InvalidRequest(f"`{name}` should be {expected}. Received: {shown(received)}.", field=name)
