"""Rankings over the shop's own events and the recorded ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from recsys.settings import Shop, TableSource, with_tracking
from recsys.store import Database
from recsys.tracking.analytics import RankedItem, rankings
from recsys.tracking.record import TrackedEvent, record
from tests.tracking.conftest import NOW

DAY = 86_400


def own(item: int, event: str, days_ago: float, user: int = 1, event_id: str | None = None) -> dict[str, Any]:
    moment = datetime.fromtimestamp(NOW - int(days_ago * DAY), UTC)
    return {"userId": user, "productId": item, "actionCode": event, "timestamp": moment, "eventId": event_id}


def tell(
    db: Database, item: int | str, event: str, days_ago: float, user: str = "g", event_id: str | None = None
) -> None:
    record(db, TrackedEvent(user, None, item, event, event_id=event_id, at=NOW - int(days_ago * DAY)), now=NOW)


@pytest.fixture
def busy(db: Database) -> Database:
    """A shop with events of its own and recorded ones, of which one is both."""
    db.insert("Products", [{"id": item, "name": "x"} for item in (9, 10, 11)])
    db.insert("Interactions", [
        own(10, "purchase", 1), own(10, "purchase", 2, 2), own(9, "purchase", 3), own(9, "purchase", 89.9),
        own(9, "purchase", 92),
        own(11, "purchase", 1), own(11, "cancel", 0.5), own(9, "view", 1, event_id="seen"), own(11, "wishlist", 1),
    ])  # fmt: skip
    db.insert("Comments", [{"userId": 1, "productId": 11, "star": 5, "createdAt": datetime.fromtimestamp(NOW, UTC)}])
    tell(db, 10, "purchase", 1)
    tell(db, 9, "view", 1, "1", event_id="seen")
    tell(db, 10, "view", 1)
    tell(db, 10, "view", 0)
    tell(db, "no number", "view", 0)
    tell(db, 10, "wishlist", 3)
    tell(db, 10, "remove_from_wishlist", 2)
    tell(db, 9, "wishlist", 3)
    for event in ("impression", "click", "search"):
        tell(db, 11, event, 0)
    return db


@pytest.mark.parametrize(
    ("kind", "ranked"),
    [
        ("top_selling", [RankedItem(10, 3.0), RankedItem(9, 2.0)]),
        ("most_viewed", [RankedItem(10, 2.0), RankedItem(9, 1.0)]),
        ("most_wishlisted", [RankedItem(11, 1.0), RankedItem(9, 1.0)]),
    ],
)
def test_a_ranking_counts_each_event_once(busy: Database, shop: Shop, kind: Any, ranked: list[RankedItem]) -> None:
    assert rankings(busy, shop, kind, now=NOW, limit=10) == ranked
    assert rankings(busy, with_tracking(shop), kind, now=NOW, limit=1) == ranked[:1]
    assert rankings(busy, shop, kind, now=NOW, limit=0) == []
    assert rankings(busy, shop, kind, now=NOW + 400 * DAY, limit=10) == []


def test_what_is_trending_rises_above_the_weeks_before(db: Database, shop: Shop) -> None:
    db.insert("Products", [{"id": 1, "name": "x"}])
    steady = [own(1, "purchase", week * 7 + 1, user) for week in range(5) for user in range(3)]
    db.insert("Interactions", [*steady, *(own(2, "purchase", 1, user) for user in range(3)), own(3, "purchase", 10)])

    # Item 1 has 3 this week as in each week before. Item 2 has 3 beside none, and item 3 none beside 1.
    assert rankings(db, shop, "trending", now=NOW, limit=10) == [RankedItem(2, 3 / 5**0.5)]


def test_a_shop_may_store_local_times_and_ids_of_text(db: Database, shop: Shop) -> None:
    """At UTC+7, 90 days ago to the second still counts, and a second more does not."""
    db.execute("CREATE TABLE sku (code VARCHAR(20) PRIMARY KEY)")
    db.execute("CREATE TABLE sold (who VARCHAR(20), what VARCHAR(20), at VARCHAR(20))")
    db.insert("sku", [{"code": "7"}])
    edge = NOW - 90 * DAY + 7 * 3600
    rows = [("7", edge), ("a", edge - 1), ("A", NOW + 7 * 3600)]
    db.insert("sold", [{"who": "u", "what": what, "at": datetime.fromtimestamp(at, UTC)} for what, at in rows])
    lines = TableSource("sold", "who", "what", "at", event_name="purchase")
    local = replace(
        shop, sources=(lines,), products="SELECT code AS item_id FROM sku", stored_time_zone="Asia/Ho_Chi_Minh"
    )

    assert rankings(db, local, "top_selling", now=NOW, limit=10) == [RankedItem("7", 1.0), RankedItem("A", 1.0)]


def test_an_empty_shop_has_no_ranking_and_an_unknown_one_is_refused(db: Database, shop: Shop) -> None:
    assert rankings(db, shop, "trending", now=NOW, limit=5) == []
    with pytest.raises(ValueError, match="top_selling, most_viewed, most_wishlisted, trending. Received: best"):
        rankings(db, shop, "best", now=NOW, limit=5)  # type: ignore[arg-type]


def test_without_the_table_of_recorded_events_the_shops_own_count(busy: Database, shop: Shop) -> None:
    busy.execute("ALTER TABLE rec_user_interactions RENAME TO hidden_away")
    try:
        assert rankings(busy, shop, "top_selling", now=NOW, limit=1)[0].score == 2.0
    finally:
        busy.execute("ALTER TABLE hidden_away RENAME TO rec_user_interactions")
