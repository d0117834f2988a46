"""What recsys itself has recorded as one more source: of training, and of the history that serves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recsys.errors import SettingsError
from recsys.settings import Shop, TableSource, with_tracking
from recsys.store import (
    Database,
    bought_items,
    count_rows,
    count_users,
    read_interactions,
    user_events,
    write_version,
)
from recsys.store.readiness import check_mapping
from recsys.store.user import newest_events
from tests.store.test_user import NEW_YEAR, as_rows, visit

Row = dict[str, object]


def told(user: object, item: object, event: str, at: int = 0, event_id: str | None = None) -> Row:
    return {"user": user, "item": item, "event": event, "at": at, "event_id": event_id}


def store(db: Database, *rows: Row) -> None:
    taken = db.query("SELECT COUNT(*) FROM rec_user_interactions")[0][0]
    db.insert(
        "rec_user_interactions",
        [
            {
                "interaction_id": f"int_{taken + k}",
                "user_id": db.key(str(row["user"])),
                "product_id": None if row["item"] is None else db.key(str(row["item"])),
                "interaction_type": row["event"],
                "event_id": row["event_id"],
                "occurred_at": NEW_YEAR + int(str(row["at"])),
            }
            for k, row in enumerate(rows)
        ],
    )


def read(db: Database, shop: Shop) -> list[tuple[object, ...]]:
    events = read_interactions(db, shop)[0].in_order()
    names = [events.event_names[code] for code in events.events]
    seconds = (events.timestamps - NEW_YEAR).tolist()
    return list(zip(events.users.tolist(), events.items.tolist(), names, seconds, strict=True))


@pytest.fixture
def tracked(shop: Shop) -> Shop:
    return with_tracking(shop)


@pytest.fixture
def version(db: Database) -> str:
    write_version(db, "this", data_until=0, users=np.array([5, 7]), items=np.array([10, 11, 12]), contexts={})
    return "this"


# Recorded events of user 7, and what is read: (item, event, second).
EVENTS: dict[str, tuple[list[Row], list[tuple[int, str, int]]]] = {
    "by the shop's names": (
        [told(7, 10, "view"), told(7, 10, "add_to_cart", 1), told(7, 11, "purchase", 2), told(7, 12, "wishlist", 3)],
        [(10, "view", 0), (10, "cart", 1), (11, "purchase", 2), (12, "wishlist", 3)],
    ),
    "what says nothing of liking": (
        [told(7, 10, event) for event in ("impression", "click", "search", "remove_from_wishlist")],
        [],
    ),
    "no product": ([told(7, None, "view"), told(7, 10, "view", 1)], [(10, "view", 1)]),
    "a wishlist event that was taken back": (
        [told(7, 10, "wishlist"), told(7, 10, "view", 1), told(7, 10, "remove_from_wishlist", 2)],
        [(10, "view", 1)],
    ),
    "in the same second": ([told(7, 10, "wishlist"), told(7, 10, "remove_from_wishlist")], []),
    "made again": (
        [told(7, 10, "wishlist"), told(7, 10, "remove_from_wishlist", 1), told(7, 10, "wishlist", 2)],
        [(10, "wishlist", 2)],
    ),
    "taken back by another user, and of another item": (
        [told(7, 10, "wishlist"), told("7 ", 10, "remove_from_wishlist", 1), told(7, 11, "remove_from_wishlist", 1)],
        [(10, "wishlist", 0)],
    ),
    "ids that the shop cannot have": (
        [told(7, "sku 1", "view"), told(7, "010", "view"), told(7, 10, "view", 1)],
        [(10, "view", 1)],
    ),
    "an event that the shop has under the same event id": (
        [told(7, 11, "view", 1, "seen"), told(7, 12, "view", 2, "new")],
        [(12, "view", 2)],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("rows", "events"), EVENTS.values(), ids=EVENTS)
def test_training_and_serving_read_the_same_recorded_events(
    db: Database, tracked: Shop, version: str, rows: list[Row], events: list[tuple[int, str, int]]
) -> None:
    db.insert("Interactions", [{**visit(7, 11, "view", -9), "eventId": "seen"}])
    store(db, *rows)

    expected = [(11, "view", -9), *events]
    assert [row[1:] for row in read(db, tracked) if row[0] == 7] == expected
    history = user_events(db, tracked, version, 7, 50, item_kind="int")
    assert [(item, *row) for item, _, *row in as_rows(history)] == expected
    assert [(item, *row) for item, _, *row in as_rows(newest_events(db, tracked, 7, 50, item_kind="int"))] == expected
    assert history.idx.tolist() == [item - 10 for item, *_ in expected]
    assert history.user == 1


def test_ids_take_the_type_of_the_shops_other_events(db: Database, tracked: Shop) -> None:
    db.insert("Interactions", [visit(7, 10, "view", 0)])
    store(db, told(7, 10, "purchase"), told("guest_4f2a", 10, "view"), told("0007", 10, "view"))

    events, dropped = read_interactions(db, tracked)

    assert events.users.dtype == events.items.dtype == np.int64
    assert events.users.tolist() == [7, 7]
    assert dropped == {"tracked user of another type": 2}
    assert (count_rows(db, tracked), count_users(db, tracked)) == (4, 3)


def test_where_nothing_else_was_recorded_items_have_the_type_of_the_products(db: Database, shop: Shop) -> None:
    store(db, told("u", "10", "view"), told("7", "x 1", "view"))
    db.execute("CREATE TABLE skus (sku VARCHAR(20) PRIMARY KEY)")
    db.insert("skus", [{"sku": "10"}])
    alone = with_tracking(replace(shop, sources=()))

    texts = read_interactions(db, replace(alone, products="SELECT sku AS item_id FROM skus"))[0]
    assert (texts.users.tolist(), texts.items.tolist()) == (["u", "7"], ["10", "x 1"])

    db.insert("Products", [{"id": 10, "name": "bag"}])
    numbers, dropped = read_interactions(db, alone)
    assert (numbers.users.tolist(), numbers.items.tolist()) == (["u"], [10])
    assert dropped == {"tracked item of another type": 1}


def test_a_recorded_purchase_hides_its_item(db: Database, tracked: Shop) -> None:
    store(db, told(7, 10, "purchase"), told(7, 11, "view"), told(8, 12, "purchase"))
    db.insert("Interactions", [visit(7, 12, "purchase", 1), visit(7, 12, "cancel", 2)])

    assert bought_items(db, tracked, 7, NEW_YEAR + 60) == [10]


def test_names_and_events_are_the_settings(db: Database, shop: Shop) -> None:
    weights = {"basket's": 0.7, "order": 1.0, "view": 0.3}
    named = replace(shop, cart_events=("basket's", "cart"), purchase_events=("order",), event_weights=weights)
    store(
        db, told(7, 10, "view"), told(7, 10, "add_to_cart", 1), told(7, 10, "purchase", 2), told(7, 10, "wishlist", 3)
    )

    assert [row[2] for row in read(db, with_tracking(named))] == ["view", "basket's", "order"]
    assert [row[2] for row in read(db, with_tracking(named, ["add_to_cart"]))] == ["basket's"]
    assert with_tracking(with_tracking(named), ["view"]) == with_tracking(named, ["view"])


def test_it_is_one_statement_still(db: Database, tracked: Shop, version: str) -> None:
    store(db, told(7, 10, "view"))
    sent: list[str] = []
    db._tracer = lambda sql, params: sent.append(sql)

    user_events(db, tracked, version, 7, 10)

    assert len(sent) == 1


def test_without_the_table_the_shops_own_events_are_read_alone(db: Database, tracked: Shop, version: str) -> None:
    db.insert("Interactions", [visit(7, 10, "purchase", 0)])
    only = with_tracking(replace(tracked, sources=()))
    db.execute("ALTER TABLE rec_user_interactions RENAME TO hidden_away")
    try:
        assert len(user_events(db, tracked, version, 7, 10)) == len(newest_events(db, tracked, 7, 10)) == 1
        assert bought_items(db, tracked, 7, NEW_YEAR + 60) == [10]
        assert len(read(db, tracked)) == count_rows(db, tracked) == count_users(db, tracked) == 1
        check_mapping(db, tracked)
        assert user_events(db, only, version, 7, 10).user == 1
        assert len(newest_events(db, only, 7, 10)) == count_users(db, only) == len(read(db, only)) == 0
    finally:
        db.execute("ALTER TABLE hidden_away RENAME TO rec_user_interactions")


def test_a_fault_of_the_shops_own_source_is_told_all_the_same(db: Database, tracked: Shop, version: str) -> None:
    wrong = with_tracking(replace(tracked, sources=(TableSource("no_such_table", "u", "i", "w", event="e"),)))

    with pytest.raises(SettingsError, match="no_such_table"):
        user_events(db, wrong, version, 7, 10)
    with pytest.raises(SettingsError, match="no_such_table"):
        newest_events(db, wrong, 7, 10)
