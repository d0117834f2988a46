"""Mappings that are proposed for tables of other designs, on each database: what they read is worked out by hand."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from recsys.data.guests import session_user
from recsys.errors import UsageError
from recsys.settings.shop import read_shop
from recsys.store import Database, connect, read_catalogue, read_interactions
from recsys.store.events import count_sessions
from recsys.store.proposal import propose
from recsys.store.readiness import check_mapping
from recsys.store.vocabulary import role_of_status, words


@dataclass(frozen=True)
class Shop:
    """A shop of its own design.

    Attributes:
        tables: Statements that every database understands; a tilde stands for a quote around names.
        events: The right events: user, event, item.
        active: Whether each product is active.
        reasons: Parts of the comments.
        sessions: The number of guests' sessions of the source that has the most.
    """

    tables: str
    events: list[tuple[object, str, object]]
    active: Mapping[object, bool]
    reasons: tuple[str, ...]
    sessions: int = 0


SHOPS: Mapping[str, Shop] = {
    "orders and lines": Shop(
        """
CREATE TABLE customers (customer_id INT PRIMARY KEY, email VARCHAR(99), created_at TIMESTAMP NULL);
CREATE TABLE products (product_id INT PRIMARY KEY, title VARCHAR(99), category_id INT, brand VARCHAR(9),
  unit_price DECIMAL(9,2), is_active INT NOT NULL);
CREATE TABLE users (id INT PRIMARY KEY, email VARCHAR(99));
INSERT INTO users VALUES (1, NULL), (2, NULL), (3, NULL);
CREATE TABLE orders (order_id INT PRIMARY KEY, customer_id INT, status VARCHAR(20), cancelled_at TIMESTAMP NULL,
  ordered_at TIMESTAMP NULL, updated_at TIMESTAMP NULL);
CREATE TABLE order_items (id INT PRIMARY KEY, order_id INT, product_id INT, quantity INT, refunded_quantity INT);
INSERT INTO customers VALUES (7, 'a@example.com', NULL), (8, 'b@example.com', NULL);
INSERT INTO products VALUES (1, 'Pen', 3, 'Acme', 2.5, 1), (2, 'Ink', NULL, NULL, 5, 0);
INSERT INTO orders VALUES (1, 7, 'paid', NULL, '2025-01-01 10:00:00', NULL),
  (2, 7, 'CANCELLED', NULL, '2025-01-02 10:00:00', NULL),
  (3, 8, 'shipped', '2025-01-04 10:00:00', '2025-01-03 10:00:00', NULL),
  (4, 8, 'pending', NULL, '2025-01-03 10:00:00', NULL),
  (5, 0, 'paid', NULL, '2025-01-05 10:00:00', NULL), (6, 0, 'paid', NULL, '2025-01-05 10:00:00', NULL),
  (7, 8, 'shipped', NULL, '2025-01-06 10:00:00', NULL);
INSERT INTO order_items VALUES (1, 1, 1, 2, NULL), (2, 1, 2, 1, 1), (3, 2, 1, 1, NULL), (4, 3, 1, 1, NULL),
  (5, 4, 1, 1, NULL), (6, 5, 1, 1, NULL), (7, 6, 2, 1, NULL), (8, 7, 2, 1, 0)
""",
        [(7, "purchase", 1), (8, "purchase", 2)],
        {1: True, 2: False},
        ("status has paid (3), shipped (2)", "2 rows have the user 0: guests", "quantity, less refunded_quantity"),
    ),
    "names that need quotes": Shop(
        """
CREATE TABLE ~Users~ (~userId~ VARCHAR(20) PRIMARY KEY, ~eMail~ VARCHAR(99));
CREATE TABLE ~Product~ (~productId~ VARCHAR(20) PRIMARY KEY, ~Name~ VARCHAR(99), ~price~ DECIMAL(9,2),
  ~status~ VARCHAR(9));
CREATE TABLE ~order~ (~orderId~ INT PRIMARY KEY, ~userId~ VARCHAR(20), ~createdAt~ TIMESTAMP NULL, ~status~ INT,
  FOREIGN KEY (~userId~) REFERENCES ~Users~ (~userId~));
CREATE TABLE ~order-lines~ (~lineNo~ INT PRIMARY KEY, ~orderId~ INT, ~thing~ VARCHAR(20),
  FOREIGN KEY (~orderId~) REFERENCES ~order~ (~orderId~), FOREIGN KEY (~thing~) REFERENCES ~Product~ (~productId~));
INSERT INTO ~Users~ VALUES ('ann', NULL), ('bob', NULL);
INSERT INTO ~Product~ VALUES ('p1', 'Pen', 2, 'published'), ('p2', 'Ink', 3, 'draft');
INSERT INTO ~order~ VALUES (1, 'ann', '2025-01-01 10:00:00', 2), (2, 'bob', '2025-01-02 10:00:00', 3),
  (3, NULL, '2025-01-03 10:00:00', 2);
INSERT INTO ~order-lines~ VALUES (1, 1, 'p1'), (2, 2, 'p1'), (3, 2, 'p2'), (4, 3, 'p2')
""",
        [("ann", "purchase", "p1"), ("bob", "purchase", "p1"), ("bob", "purchase", "p2")],
        {"p1": True, "p2": False},
        (
            "order-lines (4 rows) names products by thing and users through orderId to order by order.userId",
            "PLEASE CHECK: status has 2 (2), 3 (1)",
        ),
    ),
    "a prefix, variants, and carts among the orders": Shop(
        """
CREATE TABLE spree_users (id INT PRIMARY KEY, email VARCHAR(99));
CREATE TABLE spree_products (id INT PRIMARY KEY, name VARCHAR(99), deleted_at TIMESTAMP NULL);
CREATE TABLE spree_variants (id INT PRIMARY KEY, product_id INT, sku VARCHAR(9));
CREATE TABLE spree_orders (id INT PRIMARY KEY, user_id INT, state VARCHAR(20), completed_at TIMESTAMP NULL,
  created_at TIMESTAMP NULL);
CREATE TABLE spree_line_items (id INT PRIMARY KEY, order_id INT, variant_id INT, quantity INT);
CREATE TABLE spree_stock_movements (id INT PRIMARY KEY, product_id INT, user_id INT, action VARCHAR(9),
  created_at TIMESTAMP NULL);
INSERT INTO spree_users VALUES (7, NULL), (8, NULL);
INSERT INTO spree_products VALUES (1, 'Pen', NULL), (2, 'Ink', NULL);
INSERT INTO spree_variants VALUES (11, 1, 'P-R'), (12, 1, 'P-B'), (21, 2, 'I');
INSERT INTO spree_orders VALUES (1, 7, 'complete', '2025-01-01 10:00:00', '2025-01-01 09:00:00'),
  (2, 7, 'delivery', NULL, '2025-01-02 09:00:00'), (3, 8, 'canceled', '2025-01-03 10:00:00', '2025-01-03 09:00:00');
INSERT INTO spree_line_items VALUES (1, 1, 12, 1), (2, 1, 21, 1), (3, 2, 11, 1), (4, 3, 11, 1);
INSERT INTO spree_stock_movements VALUES (1, 1, 8, 'sale', '2025-01-03 10:00:00')
""",
        [(7, "purchase", 1), (7, "purchase", 2)],
        {1: True, 2: True},
        ("variant_id names a variant", "Rows without completed_at do not count", "canceled (1)"),
    ),
    "guests with sessions": Shop(
        """
CREATE TABLE customers (customer_id INT PRIMARY KEY, email VARCHAR(99));
CREATE TABLE products (product_id INT PRIMARY KEY, title VARCHAR(99), category_id INT, unit_price DECIMAL(9,2));
CREATE TABLE orders (order_id INT PRIMARY KEY, customer_id INT, cart_token VARCHAR(20), ordered_at TIMESTAMP NULL);
CREATE TABLE order_items (id INT PRIMARY KEY, order_id INT, product_id INT);
CREATE TABLE page_views (id INT PRIMARY KEY, customer_id INT, product_id INT, session_seconds INT, session_id INT,
  viewed_at TIMESTAMP NULL);
CREATE TABLE wishlists (id INT PRIMARY KEY, customer_id INT, product_id INT, visitor_id INT, added_at TIMESTAMP NULL);
INSERT INTO customers VALUES (7, NULL), (8, NULL);
INSERT INTO products VALUES (1, 'Pen', 3, 2.5), (2, 'Ink', 3, 5);
INSERT INTO orders VALUES (1, 7, 'aa', '2025-01-01 10:00:00'), (2, 0, 'bb', '2025-01-02 10:00:00'),
  (3, 0, 'cc', '2025-01-03 10:00:00');
INSERT INTO order_items VALUES (1, 1, 1), (2, 2, 1), (3, 3, 2);
INSERT INTO page_views VALUES (1, 8, 1, 30, 5, '2025-01-01 10:00:00'), (2, NULL, 1, 40, 6, '2025-01-02 10:00:00'),
  (3, NULL, 2, 50, 6, '2025-01-03 10:00:00'), (4, NULL, 2, 20, 7, '2025-01-03 10:00:00');
INSERT INTO wishlists VALUES (1, 8, 2, 9, '2025-01-04 10:00:00'), (2, NULL, 2, 9, '2025-01-05 10:00:00')
""",
        [
            (0, "purchase", 1),
            (0, "purchase", 2),
            (7, "purchase", 1),
            (8, "view", 1),
            (8, "wishlist", 2),
            (session_user("6", "int"), "view", 1),
            (session_user("6", "int"), "view", 2),
            (session_user("7", "int"), "view", 2),
        ],
        {1: True, 2: True},
        (
            'guests = ["0"]',
            "cart_token tells 2 sessions of guests apart",
            "2 rows have the user 0: guests",
            "session_id tells 2 sessions of guests apart",
        ),
        sessions=2,
    ),
    "a log of events and reviews": Shop(
        """
CREATE TABLE members (id INT PRIMARY KEY, email VARCHAR(99));
CREATE TABLE articles (id INT PRIMARY KEY, name VARCHAR(99), deleted_at TIMESTAMP NULL, active CHAR(1), state INT);
CREATE TABLE activity_log (id INT PRIMARY KEY, member_id INT, article_id INT, action VARCHAR(20),
  created_at TIMESTAMP NULL);
CREATE TABLE reviews (id INT PRIMARY KEY, member_id INT, article_id INT, rating INT, created_at TIMESTAMP NULL);
INSERT INTO members VALUES (1, NULL), (2, NULL);
INSERT INTO articles VALUES (5, 'Pen', NULL, 'Y', 1), (6, 'Ink', '2025-01-01 10:00:00', 'Y', 1),
  (7, 'Nib', NULL, 'N', 1);
INSERT INTO activity_log VALUES (1, 1, 5, 'click', '2025-01-01 10:00:00'),
  (2, 1, 5, 'add_to_cart', '2025-01-01 10:01:00'),
  (3, 1, 5, 'buy', '2025-01-01 10:02:00'), (4, 2, 6, 'zoom', '2025-01-01 10:02:00');
INSERT INTO reviews VALUES (1, 2, 5, 4, '2025-01-01 11:00:00')
""",
        [(1, "cart", 5), (1, "purchase", 5), (1, "view", 5), (2, "star4", 5)],
        {5: True, 6: False, 7: False},
        (
            "click is view",
            "Left out, for their meaning is not known here: zoom",
            "rating is taken for stars",
            "PLEASE CHECK: state has 1",
        ),
    ),
}


def fill(db: Database, statements: str) -> None:
    quote = "`" if db.dialect == "mysql" else '"'
    for statement in statements.replace("~", quote).split(";\n"):
        db.execute(statement)


@pytest.mark.parametrize("name", SHOPS)
def test_a_proposal_reads_what_was_bought(name: str, bare_db: Database) -> None:
    case = SHOPS[name]
    fill(bare_db, case.tables)

    text = propose(bare_db)

    shop = read_shop(tomllib.loads(text))
    check_mapping(bare_db, shop)
    read, _ = read_interactions(bare_db, shop)
    rows = zip(read.users.tolist(), read.events.tolist(), read.items.tolist(), strict=True)
    assert sorted((user, read.event_names[event], item) for user, event, item in rows) == case.events
    catalogue = read_catalogue(bare_db, shop)
    assert dict(zip(catalogue.items.tolist(), catalogue.active.tolist(), strict=True)) == case.active
    for reason in case.reasons:
        assert reason in text
    assert count_sessions(bare_db, shop) == case.sessions


@pytest.mark.parametrize(
    ("statements", "says"),
    [
        ("CREATE TABLE visits (id INT PRIMARY KEY, page TEXT)", "should look like the shop's products"),
        (
            "CREATE TABLE products (id INT PRIMARY KEY, name TEXT, price INT, category TEXT);\nINSERT INTO products "
            "VALUES (1, 'Pen', 2, 'a')",
            "should tell which user had to do with which row of products",
        ),
    ],
)
def test_tables_that_tell_nothing_are_refused_with_their_names(statements: str, says: str, tmp_path: Path) -> None:
    with connect(f"sqlite:///{tmp_path / 'db'}", create=True) as db:
        fill(db, statements)
        with pytest.raises(UsageError, match="Received: (visits|products)") as raised:
            propose(db)
        assert says in str(raised.value)


def test_statuses_are_known_by_their_words() -> None:
    roles = {
        "good": ("paid", "Completed", "wc-processing", "FULFILLED", "delivered", "partially_refunded", "shipped"),
        "bad": (
            "canceled",
            "Refunded",
            "wc-failed",
            "pending",
            "draft",
            "unpaid",
            "awaiting_payment",
            "not paid",
            "new",
        ),
        None: ("3", "gift", ""),
    }
    assert {status: role_of_status(status) for group in roles.values() for status in group} == {
        status: role for role, group in roles.items() for status in group
    }


def test_names_are_split_in_words() -> None:
    cases = {"orderItems": ["order", "item"], "ProductID": ["product", "id"], "deleted_at": ["delete", "at"]}
    assert {name: words(name) for name in cases} == cases
