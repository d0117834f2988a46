"""Preferences: one fold over a user's events, cached without a lost update, and the segment beside them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from recsys.errors import Overloaded
from recsys.settings import Shop, with_tracking
from recsys.store import Database, ProductRow
from recsys.tracking.preferences import Preferences, fold, preferences_of, refresh_preferences
from recsys.tracking.record import TrackedEvent, record
from recsys.tracking.segments import UserSegment, segment_of_user, user_segment, users_by_segment
from tests.tracking.conftest import NOW

AtOnce = Callable[[Callable[[Database, int], None]], int]
PRODUCTS = {
    1: ("backpacks", "Fern", 40.0),
    2: ("backpacks", None, 25.0),
    3: ("belts", "Moss", None),
    4: (None, "Fern", 5.0),
}
BACKPACKS = Preferences({"backpacks": 1.0}, 40.0, 40.0, {"Fern": 1.0})

FOLDS: dict[str, tuple[Mapping[int | str, float], Preferences]] = {
    "nothing": ({}, Preferences()),
    "one item": ({1: 0.3}, BACKPACKS),
    "the best category has 1, the others their share": (
        {1: 0.3, 2: 0.7, 3: 0.25},
        Preferences({"backpacks": 1.0, "belts": 0.25}, 25.0, 40.0, {"Fern": 1.0, "Moss": 0.8333}),
    ),
    "equal ones are in the order of their names": (
        {3: 0.5, 1: 0.5},
        Preferences({"backpacks": 1.0, "belts": 1.0}, 40.0, 40.0, {"Fern": 1.0, "Moss": 1.0}),
    ),
    "what is disliked says nothing": ({1: 0.3, 3: -0.5, 4: 0.0}, BACKPACKS),
    "an item that the shop no longer has": ({1: 0.3, 9: 5.0}, BACKPACKS),
    "no category and no brand": ({2: 0.1, 4: 0.4}, Preferences({"backpacks": 1.0}, 5.0, 25.0, {"Fern": 1.0})),
    "no price": ({3: 1.0}, Preferences({"belts": 1.0}, None, None, {"Moss": 1.0})),
    "a share that rounds to nothing": ({1: 1.0, 3: 1e-6}, replace(BACKPACKS, price_max=40.0)),
}


@pytest.mark.parametrize(("weights", "expected"), FOLDS.values(), ids=FOLDS)
def test_a_fold_sums_the_weights_of_each_category_and_brand(
    weights: Mapping[int | str, float], expected: Preferences
) -> None:
    rows = [
        ProductRow(item, True, category, brand, math.nan if price is None else price)
        for item, (category, brand, price) in PRODUCTS.items()
    ]

    found = fold(weights, rows)

    assert found == expected
    assert (list(found.categories), list(found.brands)) == (list(expected.categories), list(expected.brands))


@pytest.fixture
def stocked(db: Database) -> Database:
    """The database with four products."""
    db.insert("Products", [{"id": k, "name": "x", "categoryId": c, "brandId": b} for k, (c, b, _) in PRODUCTS.items()])
    db.insert("Productdetails", [{"productId": k, "originalPrice": p} for k, (_, _, p) in PRODUCTS.items() if p])
    return db


def tell(db: Database, *events: tuple[str, int | str | None], user: int | str = 7) -> None:
    for k, (event, product) in enumerate(events):
        record(db, TrackedEvent(user, None, product, event, at=NOW - 100 + k), now=NOW)


# Recorded events, and the categories that follow with the weights 0.3, 0.7, 1.0 and 0.5.
CASES: dict[str, tuple[list[tuple[str, int | str | None]], dict[str, float]]] = {
    "a view": ([("view", 1)], {"backpacks": 1.0}),
    "a purchase beside a view": ([("view", 1), ("purchase", 3)], {"belts": 1.0, "backpacks": 0.3}),
    "a cart beside a wishlist": ([("add_to_cart", 1), ("wishlist", 3)], {"backpacks": 1.0, "belts": 0.7143}),
    "a wishlist event that was taken back": (
        [("wishlist", 3), ("view", 1), ("remove_from_wishlist", 3)],
        {"backpacks": 1.0},
    ),
    "one that was made again": ([("wishlist", 3), ("remove_from_wishlist", 3), ("wishlist", 3)], {"belts": 1.0}),
    "another item's removal": ([("wishlist", 3), ("remove_from_wishlist", 1)], {"belts": 1.0}),
    "a removal leaves views": ([("view", 3), ("wishlist", 3), ("remove_from_wishlist", 3)], {"belts": 1.0}),
    "what was shown, clicked and searched": (
        [("view", 1), ("impression", 3), ("click", 3), ("search", 3), ("search", None)],
        {"backpacks": 1.0},
    ),
    "products that nobody knows": (
        [("view", 1), ("view", 99), ("view", "no number"), ("view", None)],
        {"backpacks": 1.0},
    ),
    "nothing that counts": ([("impression", 3), ("view", 99)], {}),
}  # fmt: skip


@pytest.mark.parametrize(("events", "categories"), CASES.values(), ids=CASES)
def test_preferences_follow_what_was_recorded(
    stocked: Database, shop: Shop, events: list[tuple[str, int | str | None]], categories: dict[str, float]
) -> None:
    tell(stocked, *events)

    assert refresh_preferences(stocked, shop, now=NOW) == 1

    assert preferences_of(stocked, 7).categories == categories
    assert preferences_of(stocked, "7") == preferences_of(stocked, 7)
    assert refresh_preferences(stocked, shop, now=NOW) == 0


def test_prices_and_brands_are_stored_too_and_an_unknown_user_has_none(stocked: Database, shop: Shop) -> None:
    tell(stocked, ("view", 1), ("view", 2))
    refresh_preferences(stocked, shop, now=NOW)

    assert preferences_of(stocked, 7) == Preferences({"backpacks": 1.0}, 25.0, 40.0, {"Fern": 1.0})
    assert preferences_of(stocked, 8) == Preferences()


def test_what_the_shop_itself_has_recorded_counts_as_well(stocked: Database, shop: Shop) -> None:
    moment = datetime.fromtimestamp(NOW - 50, UTC)
    stocked.insert("Interactions", [{"userId": 7, "productId": 3, "actionCode": "purchase", "timestamp": moment}])
    tell(stocked, ("view", 1))

    refresh_preferences(stocked, shop, [7], now=NOW)

    assert preferences_of(stocked, 7).categories == {"belts": 1.0, "backpacks": 0.3}


def test_a_visitor_of_a_shop_whose_users_are_numbers_has_preferences(stocked: Database, shop: Shop) -> None:
    tell(stocked, ("view", 1), user="guest_4f2a")
    tell(stocked, ("view", 3), user="7abc")
    stocked.insert(
        "Interactions", [{"userId": 7, "productId": 2, "actionCode": "view", "timestamp": "2025-11-01 00:00:00"}]
    )

    assert refresh_preferences(stocked, shop, now=NOW) == 2

    assert preferences_of(stocked, "guest_4f2a") == BACKPACKS
    assert preferences_of(stocked, "7abc").categories == {"belts": 1.0}


def test_only_users_with_news_are_folded_again_unless_they_are_named(stocked: Database, shop: Shop) -> None:
    tell(stocked, ("view", 1), user="a")
    tell(stocked, ("view", 1), user="b")
    assert refresh_preferences(stocked, with_tracking(shop), ["a", "a"], now=NOW) == 1
    assert preferences_of(stocked, "b") == Preferences()

    assert refresh_preferences(stocked, shop, now=NOW) == 1
    assert preferences_of(stocked, "b") == BACKPACKS
    assert refresh_preferences(stocked, shop, ["a", "nobody"], now=NOW) == 2
    assert refresh_preferences(stocked, shop, [], now=NOW) == 0


def test_many_writers_lose_no_event(stocked: Database, shop: Shop, at_once: AtOnce) -> None:
    """Each writer views a belt once and refreshes at once; each second one buys a backpack."""

    def work(connection: Database, number: int) -> None:
        record(connection, TrackedEvent(7, None, 3, "view", at=NOW - number), now=NOW)
        if number % 2:
            record(connection, TrackedEvent(7, None, 1, "purchase", at=NOW - number), now=NOW)
        refresh_preferences(connection, shop, now=NOW)

    n_writers = at_once(work)

    assert stocked.query("SELECT COUNT(*) FROM rec_user_interactions WHERE pending = 1") == [(0,)]
    assert preferences_of(stocked, 7).categories == {"backpacks": 1.0, "belts": 0.6}  # n × 0.3 beside n / 2 × 1.0
    assert stocked.query("SELECT revision FROM rec_user_preferences") != [(0,)]
    assert segment_of_user(stocked, 7) == "known"
    assert n_writers >= 8


def test_a_fold_of_older_events_never_replaces_a_newer_one(
    stocked: Database, shop: Shop, shop_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another writer records and refreshes between this one's reading and writing: this one has to read again."""
    from recsys.tracking import preferences

    tell(stocked, ("view", 1))
    write, n_writes = preferences.write_preferences, 0

    def overtaken(*args: object, **named: object) -> bool:
        nonlocal n_writes
        n_writes += 1
        if n_writes == 1:
            tell(stocked, ("purchase", 3))
            assert refresh_preferences(stocked, shop, now=NOW) == 1
        return write(*args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(preferences, "write_preferences", overtaken)

    assert refresh_preferences(stocked, shop, [7], now=NOW) == 1
    assert n_writes == 3
    assert preferences_of(stocked, 7).categories == {"belts": 1.0, "backpacks": 0.3}


def test_a_user_whom_others_always_overtake_is_given_up(
    sqlite_db: Database, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(sqlite_db, ("view", 1))
    monkeypatch.setattr("recsys.tracking.preferences.write_preferences", lambda *args, **named: False)

    with pytest.raises(Overloaded):
        refresh_preferences(sqlite_db, shop, now=NOW)


def test_the_segment_follows_the_number_of_events_and_keeps_its_moment_and_arm(stocked: Database, shop: Shop) -> None:
    tell(stocked, ("view", 1))
    refresh_preferences(stocked, shop, now=NOW)
    assert user_segment(stocked, 7) == UserSegment("guests", None, NOW)

    tell(stocked, ("view", 1))
    refresh_preferences(stocked, shop, now=NOW + 10)
    assert user_segment(stocked, 7) == UserSegment("guests", None, NOW)  # the same second and item is one event

    stocked.execute("UPDATE rec_user_segments SET arm = 'B'")
    tell(stocked, ("view", 3), ("add_to_cart", 3))
    refresh_preferences(stocked, shop, now=NOW + 20)
    assert user_segment(stocked, 7) == UserSegment("returning", "B", NOW + 20)
    assert segment_of_user(stocked, "nobody") == "guests"
    assert user_segment(stocked, "nobody") == UserSegment("guests")
    assert users_by_segment(stocked) == {"returning": 1}
