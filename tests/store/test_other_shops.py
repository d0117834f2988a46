"""Shops whose tables are wholly their own: mapped in recsys.toml, nothing imported."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recsys.errors import SettingsError
from recsys.settings import Shop, load_settings
from recsys.store import (
    Database,
    bought_items,
    products,
    read_catalogue,
    read_interactions,
    user_events,
    write_version,
)

NEW_YEAR = 1_704_067_200  # 2024-01-01 00:00:00 UTC
HANOI_S = 7 * 3600

ORDERS_AND_VIEWS = '''
[shop]
stored_time_zone = "Asia/Ho_Chi_Minh"
purchase_events = ["order"]
relevant_events = ["order"]
context_columns = ["channel"]

[events]
order = 1.0
pageview = 0.2

# Orders: three tables, the shop's own words, and no order that was cancelled. One text with quotes, a percent sign and
# a comment.
[[sources]]
since = """
SELECT o.customer_code AS user_id, l.sku AS item_id, 'order' AS event,
  o.placed_at AS timestamp, l.line_no AS row_id, o.channel AS channel
FROM orders o JOIN order_lines l ON l.order_no = o.order_no
WHERE o.placed_at >= :since AND o.state NOT IN ('CANCELLED', 'it''s :no order')
  AND l.sku NOT LIKE 'GIFT%' -- no :vouchers
"""
one_user = """
SELECT o.customer_code AS user_id, l.sku AS item_id, 'order' AS event,
  o.placed_at AS timestamp, l.line_no AS row_id, o.channel AS channel
FROM orders o JOIN order_lines l ON l.order_no = o.order_no
WHERE o.customer_code = :user_id AND o.state NOT IN ('CANCELLED', 'it''s :no order') AND l.sku NOT LIKE 'GIFT%';
"""

# Page views: by names; their clock counts milliseconds.
[[sources]]
table = "page_views"
user = "visitor"
item = "page_sku"
event_name = "pageview"
timestamp = "seen_ms"

[products]
query = """
SELECT a.sku AS item_id, a.sellable AS active, g.title AS category, a.maker AS brand, a.cents / 100.0 AS price
FROM articles a LEFT JOIN article_groups g ON g.group_no = a.group_no
"""
'''

BY_NAMES = """
[shop]
repeat = "allow"
context_columns = ["device_type"]

[[sources]]
table = "activity"
user = "member_id"
item = "thing_id"
event = "kind"
timestamp = "happened_at"
row_id = "activity_id"
device_type = "device"

[[sources]]
table = "opinions"
user = "member_id"
item = "thing_id"
rating = "grade"
timestamp = "given_at"

[events]
bought = 1.0
star5 = 0.9
star1 = -1.0

[products]
table = "things"
id = "thing_id"
active = "on_sale = 'Y'"
category = "kind"
price = "price"
"""


@pytest.fixture
def mapped(tmp_path: Path) -> Callable[[str], Shop]:
    """Reads a recsys.toml."""

    def read(toml: str) -> Shop:
        (tmp_path / "recsys.toml").write_text(toml, encoding="utf-8")
        return load_settings({"DATABASE_URL": "sqlite:///unused"}, tmp_path).shop

    return read


@pytest.fixture
def bags(db: Database) -> Database:
    """A shop with text ids: two users, one of whom cancelled an order."""
    moment = {"sqlite": "TEXT", "mysql": "DATETIME", "postgresql": "TIMESTAMP"}[db.dialect]
    columns = "order_no INTEGER PRIMARY KEY, customer_code VARCHAR(40), state VARCHAR(20), channel VARCHAR(9)"
    db.execute(f"CREATE TABLE orders ({columns}, placed_at {moment})")
    db.execute("CREATE TABLE order_lines (order_no INTEGER, line_no INTEGER, sku VARCHAR(40))")
    db.execute("CREATE TABLE page_views (visitor VARCHAR(40), page_sku VARCHAR(40), seen_ms BIGINT)")
    db.execute(
        "CREATE TABLE articles (sku VARCHAR(40), group_no INTEGER, maker VARCHAR(40), cents INTEGER, sellable INTEGER)"
    )
    db.execute("CREATE TABLE article_groups (group_no INTEGER, title VARCHAR(40))")
    orders = [
        (1, "C-ä7", "PAID", "2024-01-01 07:00:00", "web"),  # midnight in UTC
        (2, "C-ä7", "CANCELLED", "2024-01-02 07:00:00", "web"),
        (3, "C-9", "SENT", "2024-01-03 07:00:00", None),
    ]
    db.insert(
        "orders",
        [dict(zip(("order_no", "customer_code", "state", "placed_at", "channel"), row, strict=True)) for row in orders],
    )
    lines = [(1, 1, "BAG-1"), (1, 2, "HAT-2"), (1, 3, "GIFT-5"), (2, 1, "BELT-3"), (3, 1, "BAG-1")]
    db.insert("order_lines", [dict(zip(("order_no", "line_no", "sku"), row, strict=True)) for row in lines])
    views = [
        ("C-ä7", "BELT-3", (NEW_YEAR - 10) * 1000 + 5),
        ("C-9", "OLD-9", (NEW_YEAR + 10) * 1000),
        (None, "BAG-1", NEW_YEAR * 1000),
    ]
    db.insert("page_views", [dict(zip(("visitor", "page_sku", "seen_ms"), row, strict=True)) for row in views])
    articles = [("BAG-1", 1, "Jan", 2550, 1), ("HAT-2", None, None, None, 1), ("BELT-3", 2, "Jan", 990, 0)]
    db.insert(
        "articles", [dict(zip(("sku", "group_no", "maker", "cents", "sellable"), row, strict=True)) for row in articles]
    )
    db.insert("article_groups", [{"group_no": 1, "title": "Bags"}, {"group_no": 2, "title": "Belts"}])
    return db


def test_a_shop_of_orders_and_page_views_is_read_by_its_own_texts(
    bags: Database, mapped: Callable[[str], Shop]
) -> None:
    read, dropped = read_interactions(bags, mapped(ORDERS_AND_VIEWS))

    rows = zip(
        read.users.tolist(),
        read.items.tolist(),
        [read.event_names[event] for event in read.events],
        (read.timestamps - NEW_YEAR).tolist(),
        read.contexts["channel"].tolist(),
        strict=True,
    )
    assert sorted(rows, key=str) == sorted(
        [
            ("C-ä7", "BAG-1", "order", 0, "web"),
            ("C-ä7", "HAT-2", "order", 0, "web"),
            ("C-9", "BAG-1", "order", 2 * 86_400, None),
            ("C-ä7", "BELT-3", "pageview", -10, None),
            ("C-9", "OLD-9", "pageview", 10, None),
        ],
        key=str,
    )
    assert dropped == {"null user": 1}
    assert (read.users.dtype, read.items.dtype) == (object, object)


def test_recent_events_are_those_since_a_moment_in_every_source(bags: Database, mapped: Callable[[str], Shop]) -> None:
    shop = mapped(ORDERS_AND_VIEWS)

    assert sorted(read_interactions(bags, shop, since=NEW_YEAR)[0].items.tolist()) == [
        "BAG-1",
        "BAG-1",
        "HAT-2",
        "OLD-9",
    ]
    assert read_interactions(bags, shop, since=NEW_YEAR + 11)[0].items.tolist() == ["BAG-1"]
    assert len(read_interactions(bags, shop, since=NEW_YEAR + 3 * 86_400)[0]) == 0


def test_one_of_its_users_is_read_with_the_versions_indices(bags: Database, mapped: Callable[[str], Shop]) -> None:
    shop = mapped(ORDERS_AND_VIEWS)
    users, items = np.array(["C-9", "C-ä7"], object), np.array(["BAG-1", "BELT-3", "HAT-2"], object)
    write_version(bags, "v1", data_until=0, users=users, items=items, contexts={"channel": ["web"]})

    events = user_events(bags, shop, "v1", "C-ä7", 10)

    assert events.items.tolist() == ["BELT-3", "BAG-1", "HAT-2"]
    assert events.idx.tolist() == [1, 0, 2]
    assert [events.event_names[event] for event in events.events] == ["pageview", "order", "order"]
    assert (events.timestamps - NEW_YEAR).tolist() == [-10, 0, 0]
    assert events.user == 1
    assert user_events(bags, shop, "v1", "C-9", 10).idx.tolist() == [-1, 0]
    assert sorted(bought_items(bags, shop, "C-ä7", NEW_YEAR)) == ["BAG-1", "HAT-2"]
    assert len(user_events(bags, shop, "v1", "c-ä7", 10)) == 0


def test_its_articles_are_read_by_its_own_text(bags: Database, mapped: Callable[[str], Shop]) -> None:
    shop = mapped(ORDERS_AND_VIEWS)

    catalogue = read_catalogue(bags, shop)
    order = np.argsort(catalogue.items)
    assert catalogue.items[order].tolist() == ["BAG-1", "BELT-3", "HAT-2"]
    assert catalogue.active[order].tolist() == [True, False, True]
    assert catalogue.categories[order].tolist() == ["Bags", "Belts", None]
    assert catalogue.brands[order].tolist() == ["Jan", "Jan", None]
    assert catalogue.prices[order][:2].tolist() == [25.5, 9.9]

    rows = {row.item_id: row for row in products(bags, shop, ["BELT-3", "BAG-1", "bag-1", "nothing"])}
    assert rows == {"BAG-1": ("BAG-1", True, "Bags", "Jan", 25.5), "BELT-3": ("BELT-3", False, "Belts", "Jan", 9.9)}


def test_a_shop_is_mapped_by_the_names_of_its_tables_and_columns(db: Database, mapped: Callable[[str], Shop]) -> None:
    moment = {"sqlite": "DATETIME", "mysql": "DATETIME", "postgresql": "TIMESTAMP"}[db.dialect]
    columns = "activity_id INTEGER, member_id BIGINT, thing_id BIGINT, kind VARCHAR(9), device VARCHAR(9)"
    db.execute(f"CREATE TABLE activity ({columns}, happened_at {moment})")
    db.execute(f"CREATE TABLE opinions (member_id BIGINT, thing_id BIGINT, grade DECIMAL(3,1), given_at {moment})")
    db.execute("CREATE TABLE things (thing_id BIGINT, on_sale VARCHAR(1), kind VARCHAR(9), price DECIMAL(8,2))")
    activity = {"member_id": 5, "thing_id": 1, "happened_at": "2024-01-01 00:00:01", "device": "mobile"}
    db.insert(
        "activity", [{**activity, "activity_id": 8, "kind": "bought"}, {**activity, "activity_id": 9, "kind": "seen"}]
    )
    grades = [4.5, 1.0, 3.0, 9.0, None]
    db.insert(
        "opinions",
        [{"member_id": 5, "thing_id": 2, "grade": grade, "given_at": "2024-01-01 00:00:00"} for grade in grades],
    )
    db.insert(
        "things",
        [
            {"thing_id": 1, "on_sale": "Y", "kind": "bag", "price": 25.5},
            {"thing_id": 2, "on_sale": "N", "kind": None, "price": None},
        ],
    )
    shop = mapped(BY_NAMES)

    read, dropped = read_interactions(db, shop)
    assert sorted(read.event_names[event] for event in read.events) == ["bought", "star1", "star5"]
    assert dropped == {"unknown event": 1, "unknown rating": 2}  # grade 3 has no weight here, grade 9 is none
    assert (read.users.tolist(), read.users.dtype, sorted(read.items.tolist())) == ([5, 5, 5], np.int64, [1, 2, 2])
    assert sorted(read.row_ids.tolist()) == [1, 2, 8]

    write_version(db, "v1", data_until=0, users=np.array([5]), items=np.array([1, 2]), contexts={})
    events = user_events(db, shop, "v1", 5, 10)
    assert events.idx.tolist() == [1, 1, 0]
    assert sorted(events.event_names[event] for event in events.events) == ["bought", "star1", "star5"]
    assert events.event_names[events.events[2]] == "bought"

    catalogue = read_catalogue(db, shop)
    assert dict(zip(catalogue.items.tolist(), catalogue.active.tolist(), strict=True)) == {1: True, 2: False}
    assert products(db, shop, [1])[0] == (1, True, "bag", None, 25.5)


def test_a_mapping_that_does_not_fit_the_tables_names_what_to_check(
    db: Database, mapped: Callable[[str], Shop]
) -> None:
    with pytest.raises(SettingsError, match=r"recsys.toml.*activity"):
        read_interactions(db, mapped(BY_NAMES))
    with pytest.raises(SettingsError, match=r"recsys.toml.*things"):
        read_catalogue(db, mapped(BY_NAMES))


def test_a_placeholder_mistyped_in_recsys_toml_is_named(bags: Database, mapped: Callable[[str], Shop]) -> None:
    with pytest.raises(SettingsError, match="Received: `:sinse`"):
        read_interactions(bags, mapped(ORDERS_AND_VIEWS.replace(":since", ":sinse")))
