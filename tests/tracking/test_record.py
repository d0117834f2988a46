"""Recording: once for each event id, committed before it returns, counted with its recommendation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from recsys.errors import DatabaseUnavailable, InvalidRequest, Overloaded, RecsysError, TooLarge
from recsys.settings import Shop
from recsys.store import Database, connect, tracking
from recsys.tracking.analytics import PositionCounts, algorithm_of, new_recommendation_id, outcomes
from recsys.tracking.preferences import refresh_preferences
from recsys.tracking.record import EVENTS, TrackedEvent, interaction_id, join_guest, record
from recsys.tracking.segments import user_segment
from tests.tracking.conftest import NOW

VIEW = TrackedEvent("u7", "s1", "bag", "view", event_id="e1")
AtOnce = Callable[[Callable[[Database, int], None]], int]


def stored(db: Database, columns: str = "user_id, product_id, interaction_type, occurred_at") -> list[tuple[Any, ...]]:
    rows = db.query(f"SELECT {columns} FROM rec_user_interactions ORDER BY id")
    return [tuple(value.decode() if isinstance(value, bytes) else value for value in row) for row in rows]


def test_an_event_is_stored_whole_and_visible_to_others_when_it_returns(db: Database, shop_url: str) -> None:
    event = replace(VIEW, metadata={"page": "a\0é", "n": [1, None]}, recommendation_id="r", position=3, at=NOW - 5)

    recorded = record(db, event, now=NOW)

    columns = (
        "interaction_id, user_id, session_id, product_id, interaction_type, metadata, event_id, "
        "recommendation_id, position, occurred_at, pending"
    )
    with connect(shop_url) as other:
        ((number, *row),) = stored(other, columns)
    assert number == recorded.interaction_id
    assert row == ["u7", "s1", "bag", "view", '{"page":"a\\u0000\\u00e9","n":[1,null]}', "e1", "r", 3, NOW - 5, 1]


@pytest.mark.parametrize("event", EVENTS)
def test_every_event_is_stored_and_those_that_say_what_users_like_wait_for_the_preferences(
    db: Database, event: str
) -> None:
    record(db, replace(VIEW, event=event), now=NOW)

    ((name, pending),) = stored(db, "interaction_type, pending")
    assert name == event
    assert pending == (event not in {"search", "impression", "click"})


def test_an_event_id_is_stored_once_for_each_user(db: Database) -> None:
    first = record(db, VIEW, now=NOW)
    again = record(db, replace(VIEW, event="purchase", product_id="other"), now=NOW + 9)
    others = record(db, replace(VIEW, user_id="u8"), now=NOW)

    assert (first.is_new, again.is_new, others.is_new) == (True, False, True)
    assert first.interaction_id == again.interaction_id == interaction_id("u7", "e1")
    assert others.interaction_id != first.interaction_id
    assert stored(db) == [("u7", "bag", "view", NOW), ("u8", "bag", "view", NOW)]


def test_without_an_event_id_every_event_is_new(db: Database) -> None:
    event = replace(VIEW, event_id=None)

    assert {record(db, event, now=NOW).is_new for _ in range(3)} == {True}
    assert len({number for (number,) in stored(db, "interaction_id")}) == 3


ANSWER, OTHER_ANSWER = (f"rec_encm_{digit * 32}" for digit in "ab")
CLICK = TrackedEvent("guest_a", "s1", 5, "click", event_id="c1", recommendation_id=ANSWER, position=2)
AGAIN: dict[str, tuple[str, dict[str, Any], str]] = {
    "by the guest": ("guest_a", {}, "guest_a"),
    "after the login": ("guest_a", {"user_id": 7}, "7"),
    "by the guest under another id": ("guest_a", {"user_id": "guest_b"}, "guest_b"),
    "after the logout": ("7", {"user_id": "guest_a"}, "7"),
    "by another customer": ("7", {"user_id": 8}, "7"),
    "by a customer whose id is near that of guests": ("guest`", {"user_id": 8}, "guest`"),
    "with the product as a text": ("7", {"product_id": "5"}, "7"),
}
OTHERS: dict[str, dict[str, Any]] = {
    "by another customer, of another answer": {"user_id": 8, "recommendation_id": OTHER_ANSWER},
    "of another answer": {"recommendation_id": OTHER_ANSWER},
    "as a second click": {"event_id": "c2"},
    "without an event id": {"event_id": None},
    "of another product": {"product_id": 6},
    "of no product": {"product_id": None},
    "as an impression": {"event": "impression"},
    "by another customer, of no answer": {"user_id": 8, "recommendation_id": None},
}


@pytest.mark.parametrize(("first", "second", "owner"), AGAIN.values(), ids=AGAIN)
def test_a_click_that_is_sent_again_is_the_same_and_that_of_a_guest_goes_to_the_sender(
    db: Database, first: str, second: dict[str, Any], owner: str
) -> None:
    sent = [record(db, replace(CLICK, user_id=first), now=NOW), record(db, replace(CLICK, **second), now=NOW)]

    assert [one.is_new for one in sent] == [True, False]
    assert len({one.interaction_id for one in sent}) == 1
    assert stored(db) == [(owner, "5", "click", NOW)]
    assert outcomes(db) == [PositionCounts("encm", 2, 0, 1, 0, 0)]


@pytest.mark.parametrize("changed", OTHERS.values(), ids=OTHERS)
def test_a_click_or_an_impression_of_something_else_is_another_event(
    sqlite_db: Database, changed: dict[str, Any]
) -> None:
    record(sqlite_db, CLICK, now=NOW)

    assert record(sqlite_db, replace(CLICK, **changed), now=NOW).is_new
    assert [user for user, *_ in stored(sqlite_db)] == ["guest_a", str(changed.get("user_id", "guest_a"))]


def test_another_kind_of_event_of_a_guest_stays_the_guests(sqlite_db: Database) -> None:
    for user in ("guest_a", "u7"):
        record(sqlite_db, replace(VIEW, user_id=user, recommendation_id=ANSWER), now=NOW)

    assert [user for user, *_ in stored(sqlite_db)] == ["guest_a", "u7"]


def test_an_interaction_id_is_of_user_and_event_together() -> None:
    assert interaction_id("ab", "c") != interaction_id("a", "bc")
    assert interaction_id(7, "c") == interaction_id("7", "c")
    assert interaction_id("1", "1a") != interaction_id("11", "a")
    assert len(interaction_id("ab", None)) == len(interaction_id("ab", "c")) == 36


@pytest.mark.parametrize(
    ("at", "stored_at"),
    [(None, NOW), (NOW, NOW), (NOW + 1, NOW), (NOW * 1000, NOW), (1, 1), (NOW - 86_400, NOW - 86_400)],
)
def test_a_clock_that_runs_ahead_counts_as_now(db: Database, at: int | None, stored_at: int) -> None:
    record(db, replace(VIEW, at=at), now=NOW)

    assert stored(db, "occurred_at") == [(stored_at,)]


IDS = {"a number": (7, "7"), "a zero byte's neighbour": ("a'\"\\%s:x é", "a'\"\\%s:x é"), "upper case": ("U7", "U7")}


@pytest.mark.parametrize(("sent", "kept"), IDS.values(), ids=IDS)
def test_ids_come_back_as_they_were_sent(db: Database, sent: int | str, kept: str) -> None:
    record(db, replace(VIEW, user_id=sent, product_id=sent), now=NOW)
    record(db, VIEW, now=NOW)

    assert stored(db, "user_id, product_id") == [(kept, kept), ("u7", "bag")]


def test_a_product_that_nobody_knows_and_none_at_all_are_stored(db: Database) -> None:
    record(db, replace(VIEW, product_id="no such product"), now=NOW)
    record(db, TrackedEvent("u7", None, None, "search", {"q": "bag"}), now=NOW)

    assert stored(db, "product_id, pending") == [("no such product", 1), (None, 0)]


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown event": ({"event": "cart"}, "event"),
    "an event that is no text": ({"event": None}, "event"),
    "no user": ({"user_id": None}, "user_id"),
    "an empty user": ({"user_id": ""}, "user_id"),
    "true as a user": ({"user_id": True}, "user_id"),
    "a float as a user": ({"user_id": 7.0}, "user_id"),
    "a user of 5,000 digits": ({"user_id": 10**5000}, "user_id"),
    "a zero byte": ({"user_id": "a\0b"}, "user_id"),
    "a lone surrogate": ({"product_id": "\ud800"}, "product_id"),
    "a product that is too long": ({"product_id": "é" * 257}, "product_id"),
    "a list as a session": ({"session_id": ["s"]}, "session_id"),
    "an empty event id": ({"event_id": ""}, "event_id"),
    "an event id that is too long": ({"event_id": "x" * 129}, "event_id"),
    "a number as a recommendation": ({"recommendation_id": 7}, "recommendation_id"),
    "position 0": ({"position": 0}, "position"),
    "position 1.0": ({"position": 1.0}, "position"),
    "true as a position": ({"position": True}, "position"),
    "a huge position": ({"position": 10_001}, "position"),
    "the year 1970": ({"at": 0}, "at"),
    "NaN in metadata": ({"metadata": {"a": [float("nan")]}}, "metadata"),
    "metadata that is no JSON": ({"metadata": {"a": object()}}, "metadata"),
    "metadata that is too large": ({"metadata": {"a": "x" * 70_000}}, "metadata"),
}


@pytest.mark.parametrize(("fields", "field"), BAD.values(), ids=BAD)
def test_a_wrong_field_is_refused_by_name_and_nothing_is_stored(
    sqlite_db: Database, fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(RecsysError) as caught:
        record(sqlite_db, replace(VIEW, **fields), now=NOW)

    assert isinstance(caught.value, InvalidRequest | TooLarge)
    assert caught.value.field == field
    assert stored(sqlite_db) == []


def test_a_closed_connection_says_that_the_outcome_is_unknown(db: Database) -> None:
    db.close()

    with pytest.raises(DatabaseUnavailable):
        record(db, VIEW, now=NOW)


def test_an_event_of_a_recommendation_is_counted_once_by_algorithm_and_position(db: Database) -> None:
    hybrid, unknown = new_recommendation_id("hybrid"), "rec_made_up_1"
    events = [
        (hybrid, "impression", 1), (hybrid, "impression", 2), (hybrid, "click", 2), (hybrid, "add_to_cart", 2),
        (hybrid, "purchase", 2), (unknown, "impression", None), (hybrid, "view", 1), (None, "impression", 1),
    ]  # fmt: skip
    for _ in range(2):
        for number, (recommendation, event, position) in enumerate(events):
            sent = TrackedEvent(
                "u7", None, "bag", event, event_id=str(number), recommendation_id=recommendation, position=position
            )
            record(db, sent, now=NOW)

    assert outcomes(db) == [
        PositionCounts("hybrid", 1, 1, 0, 0, 0),
        PositionCounts("hybrid", 2, 1, 1, 1, 1),
        PositionCounts("other", 0, 1, 0, 0, 0),
    ]
    assert outcomes(db, since=NOW + 86_400) == []


@pytest.mark.parametrize(
    ("algorithm", "known"),
    [("hybrid", "hybrid"), ("ENCM", "encm"), ("item_cf", "item_cf"), ("top_selling", "top_selling"), ("a_b", "other")],
)
def test_a_recommendation_id_names_its_algorithm(algorithm: str, known: str) -> None:
    assert algorithm_of(new_recommendation_id(algorithm)) == known


@pytest.mark.parametrize("made_up", ["", "rec", "rec_", "rec__", "hybrid", "x_hybrid_1", "rec_HYBRID'_1"])
def test_an_id_of_another_kind_names_no_algorithm(made_up: str) -> None:
    assert algorithm_of(made_up) == "other"


def test_many_writers_store_each_event_once_and_count_it_once(db: Database, at_once: AtOnce) -> None:
    recommendation = new_recommendation_id("blend")
    is_new: list[bool] = []

    def work(connection: Database, number: int) -> None:
        for event_id in ("all", "all", f"own {number}"):
            event = TrackedEvent(
                "u7", None, "bag", "click", event_id=event_id, recommendation_id=recommendation, position=1
            )
            is_new.append(record(connection, event, now=NOW).is_new)

    n_writers = at_once(work)

    assert sum(is_new) == n_writers + 1
    assert len(stored(db)) == n_writers + 1
    assert outcomes(db) == [PositionCounts("blend", 1, 0, n_writers + 1, 0, 0)]


def test_a_deadlock_is_tried_again_and_no_more_than_a_few_times(
    sqlite_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []

    def deadlocked(*args: object) -> bool:
        tries.append(1)
        raise Overloaded("deadlock")

    monkeypatch.setattr("recsys.tracking.record.add_interaction", deadlocked)

    with pytest.raises(Overloaded):
        record(sqlite_db, VIEW, now=NOW)
    assert len(tries) == 8

    def once(db: Database, row: tracking.Interaction, count: object) -> bool:
        if len(tries) == 8:
            deadlocked()
        return tracking.add_interaction(db, row)

    monkeypatch.setattr("recsys.tracking.record.add_interaction", once)
    assert record(sqlite_db, VIEW, now=NOW).is_new


def test_a_guests_events_become_the_customers_and_are_news_of_theirs(db: Database, shop: Shop) -> None:
    guest, other = "guest_" + "a" * 32, "guest_" + "b" * 32
    for user, event in ((guest, "view"), (guest, "impression"), (other, "view"), ("u7", "view")):
        record(db, replace(VIEW, user_id=user, event=event, event_id=f"{user}-{event}"), now=NOW)
    refresh_preferences(db, shop, [guest, other, "u7"], now=NOW)

    assert [join_guest(db, guest, "u7") for _ in range(2)] == [2, 0]
    assert stored(db, "user_id, interaction_type, pending") == [
        ("u7", "view", 1),
        ("u7", "impression", 0),
        (other, "view", 0),
        ("u7", "view", 0),
    ]
    assert [user_segment(db, user).assigned_at for user in (guest, other)] == [None, NOW]


@pytest.mark.parametrize(
    ("guest", "user", "field"), [("u8", "u7", "guest_id"), ("", "u7", "guest_id"), ("guest_1", "guest_2", "user_id")]
)
def test_nobody_but_a_guest_joins_a_customer(sqlite_db: Database, guest: str, user: str, field: str) -> None:
    record(sqlite_db, replace(VIEW, user_id="u8"), now=NOW)
    with pytest.raises(InvalidRequest) as caught:
        join_guest(sqlite_db, guest, user)

    assert caught.value.field == field
    assert [row[0] for row in stored(sqlite_db)] == ["u8"]
