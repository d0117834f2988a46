"""The SQL texts that a shop's mapping becomes, and the mapping that recsys.toml becomes."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from recsys.errors import SettingsError
from recsys.settings import ProductsTable, Shop, Source, TableSource, TrackedSource, load_settings
from recsys.settings.checks import is_name
from recsys.settings.shop import read_shop
from recsys.store.drivers import mysql, sqlite
from recsys.store.names import marked, written
from recsys.store.shop_mapping import products_sql, source_sql

TABLE = 'table = "shop.activity"\nuser = "u"\nitem = "i"\ntimestamp = "w"\n'
PLAIN = TableSource("shop.activity", "u", "i", "w", event="e")
VIEWS = TableSource(
    "Interactions", "userId", "productId", "timestamp", event="actionCode", row_id="interId", event_id="eventId"
)
VIEWS_BY_DEVICE = replace(VIEWS, contexts=(("device_type", "device_type"),))
STARS = TableSource("Comments", "userId", "productId", "createdAt", rating="star", row_id="id")

SOURCES = {
    "a column of events": (
        PLAIN,
        "SELECT `u` AS user_id, `i` AS item_id, `e` AS event, `w` AS timestamp, 0 AS row_id FROM `shop`.`activity` "
        "WHERE `w` >= :since",
        "SELECT `u` AS user_id, `i` AS item_id, `e` AS event, `w` AS timestamp, 0 AS row_id FROM `shop`.`activity` "
        "WHERE `u` = :user_id",
    ),
    "one event for all rows, quoted": (
        TableSource("t", "u", "i", "w", event_name="it's :seen 10%"),
        "SELECT `u` AS user_id, `i` AS item_id, 'it''s :seen 10%' AS event, `w` AS timestamp, 0 AS row_id "
        "FROM `t` WHERE `w` >= :since",
        "SELECT `u` AS user_id, `i` AS item_id, 'it''s :seen 10%' AS event, `w` AS timestamp, 0 AS row_id "
        "FROM `t` WHERE `u` = :user_id",
    ),
    "a column of ratings": (
        STARS,
        "SELECT userId AS user_id, productId AS item_id, star AS rating, createdAt AS timestamp, id AS row_id "
        "FROM Comments WHERE createdAt >= :since AND star IS NOT NULL",
        "SELECT userId AS user_id, productId AS item_id, star AS rating, createdAt AS timestamp, id AS row_id "
        "FROM Comments WHERE userId = :user_id AND star IS NOT NULL",
    ),
    "contexts and the order of rows": (
        TableSource("t", "u", "i", "w", event="Käufe", row_id="r", contexts=(("channel", "c"), ("device_type", "d"))),
        "SELECT `u` AS user_id, `i` AS item_id, `Käufe` AS event, `w` AS timestamp, `r` AS row_id, `c` AS channel, "
        "`d` AS device_type FROM `t` WHERE `w` >= :since",
        "SELECT `u` AS user_id, `i` AS item_id, `Käufe` AS event, `w` AS timestamp, `r` AS row_id, `c` AS channel, "
        "`d` AS device_type FROM `t` WHERE `u` = :user_id",
    ),
    "what recsys records itself": (
        TrackedSource(names=(("add_to_cart", "it's in"),), event_ids=(("a.b", "c"),)),
        "SELECT t.user_id AS user_id, t.product_id AS item_id, "
        "CASE t.interaction_type WHEN 'add_to_cart' THEN 'it''s in' END AS event, t.occurred_at AS timestamp, "
        "t.id AS row_id FROM rec_user_interactions t WHERE t.occurred_at >= :since AND t.product_id IS NOT NULL "
        "AND t.interaction_type IN ('add_to_cart') AND (SELECT COUNT(*) FROM `a`.`b` o WHERE o.`c` = t.event_id) = 0",
        "SELECT t.user_id AS user_id, t.product_id AS item_id, "
        "CASE t.interaction_type WHEN 'add_to_cart' THEN 'it''s in' END AS event, t.occurred_at AS timestamp, "
        "t.id AS row_id FROM rec_user_interactions t WHERE t.user_id = :user_key AND t.product_id IS NOT NULL "
        "AND t.interaction_type IN ('add_to_cart') AND (SELECT COUNT(*) FROM `a`.`b` o WHERE o.`c` = t.event_id) = 0",
    ),
    "conditions on rows": (
        TableSource(
            "order", "customerId", "i", "w", event_name="purchase", where="NOT test -- no", returned_when="s = 'back'"
        ),
        "SELECT `customerId` AS user_id, `i` AS item_id, 'purchase' AS event, `w` AS timestamp, 0 AS row_id "
        "FROM `order` WHERE `w` >= :since AND (\nNOT test -- no\n) "
        "AND CASE WHEN (\ns = 'back'\n) THEN 0 ELSE 1 END = 1",
        "SELECT `customerId` AS user_id, `i` AS item_id, 'purchase' AS event, `w` AS timestamp, 0 AS row_id "
        "FROM `order` WHERE `customerId` = :user_id AND (\nNOT test -- no\n) "
        "AND CASE WHEN (\ns = 'back'\n) THEN 0 ELSE 1 END = 1",
    ),
    "names in quotes": (
        TableSource('"a.b"."my orders"', "`u``x`", "i-d", "w", event='"e""f"'),
        "SELECT `u`x` AS user_id, `i-d` AS item_id, `e\"f` AS event, `w` AS timestamp, 0 AS row_id "
        "FROM `a.b`.`my orders` WHERE `w` >= :since",
        "SELECT `u`x` AS user_id, `i-d` AS item_id, `e\"f` AS event, `w` AS timestamp, 0 AS row_id "
        "FROM `a.b`.`my orders` WHERE `u`x` = :user_id",
    ),
    "the shop's own texts": (Source("SELECT 1;", " SELECT 2 "), "SELECT 1;", " SELECT 2 "),
}  # fmt: skip

PRODUCTS = {
    "the default schema": (
        None,
        "SELECT p.id AS item_id, CASE WHEN p.statusId = 'S1' THEN 1 ELSE 0 END AS active, p.categoryId AS category, "
        "p.brandId AS brand, (SELECT MIN(COALESCE(d.discountPrice, d.originalPrice)) FROM Productdetails d "
        "WHERE d.productId = p.id) AS price, p.name AS name FROM Products p",
    ),
    "a table with ids only": (
        ProductsTable("db.p", "i"),
        "SELECT `i` AS item_id, 1 AS active, NULL AS category, NULL AS brand, NULL AS price, NULL AS name, "
        "NULL AS tags FROM `db`.`p`",
    ),
    "a table with every column": (
        ProductsTable("p", "i", active="on_sale = 'Y'", category="c", brand="b", price="x", name="n"),
        "SELECT `i` AS item_id, CASE WHEN on_sale = 'Y' THEN 1 ELSE 0 END AS active, `c` AS category, `b` AS brand, "
        "`x` AS price, `n` AS name, NULL AS tags FROM `p`",
    ),
    "a flag in a column": (
        ProductsTable("p", "i", active="onSale"),
        "SELECT `i` AS item_id, `onSale` AS active, NULL AS category, NULL AS brand, NULL AS price, NULL AS name, "
        "NULL AS tags FROM `p`",
    ),
    "a constant flag": (
        ProductsTable("p", "i", active="TRUE"),
        "SELECT `i` AS item_id, CASE WHEN TRUE THEN 1 ELSE 0 END AS active, NULL AS category, NULL AS brand, "
        "NULL AS price, NULL AS name, NULL AS tags FROM `p`",
    ),
    "a table with a price": (
        ProductsTable("p", "i", price="p.x"),
        "SELECT `i` AS item_id, 1 AS active, NULL AS category, NULL AS brand, `p`.`x` AS price, NULL AS name, "
        "NULL AS tags FROM `p`",
    ),
    "the shop's own text": ("SELECT a.sku AS item_id FROM a -- :x", "SELECT a.sku AS item_id FROM a -- :x"),
    "an empty text": ("", ""),
}

TOML = {
    "nothing": ("", Shop(sources=(VIEWS_BY_DEVICE, STARS))),
    "no contexts": ("[shop]\ncontext_columns = []", Shop(sources=(VIEWS, STARS), context_columns=())),
    "a context that the default schema lacks": (
        '[shop]\ncontext_columns = ["channel", "device_type"]',
        Shop(sources=(VIEWS_BY_DEVICE, STARS), context_columns=("channel", "device_type")),
    ),
    "contexts in the order of [shop]": (
        '[shop]\ncontext_columns = ["channel", "device_type", "city"]\n'
        f'[[sources]]\n{TABLE}event = "e"\ndevice_type = "d"\nchannel = "c"',
        Shop(
            sources=(replace(PLAIN, contexts=(("channel", "c"), ("device_type", "d"))),),
            context_columns=("channel", "device_type", "city"),
        ),
    ),
    "a context that [shop] does not list": (
        f'[shop]\ncontext_columns = []\n[[sources]]\n{TABLE}event = "e"\ndevice_type = "d"',
        Shop(sources=(PLAIN,), context_columns=()),
    ),
    "a table and texts": (
        f"[[sources]]\n{TABLE}event = 'e'\n[[sources]]\nsince = 'A'\none_user = 'B'",
        Shop(sources=(PLAIN, Source("A", "B"))),
    ),
    "what recsys records itself, beside a table with event ids": (
        "[shop]\ntracked_events = ['view', 'add_to_cart', 'purchase']\ncart_events = ['basket', 'cart']\n"
        f"[[sources]]\n{TABLE}event = 'e'\nevent_id = 'x'",
        Shop(
            sources=(
                replace(PLAIN, event_id="x"),
                TrackedSource(
                    names=(("view", "view"), ("add_to_cart", "basket"), ("purchase", "purchase")),
                    event_ids=(("shop.activity", "x"),),
                ),
            ),
            cart_events=("basket", "cart"),
        ),
    ),
    "a table of purchases with conditions": (
        f"[shop]\npurchase_events = ['order']\n[[sources]]\n{TABLE}purchase_when = 'paid'\nreturned_when = 'n < 1'",
        Shop(
            sources=(replace(PLAIN, event=None, event_name="order", purchase_when="paid", returned_when="n < 1"),),
            purchase_events=("order",),
        ),
    ),
    "sessions of guests and quantities, a name and an expression": (
        f"[[sources]]\n{TABLE}event = 'e'\nsession = '\"the visit\"'\nquantity = 'qty - back'",
        Shop(sources=(replace(PLAIN, session='"the visit"', quantity="qty - back"),)),
    ),
    "a condition beside a column of events": (
        f"[[sources]]\n{TABLE}event = 'e'\nwhere = 'NOT test'",
        Shop(sources=(replace(PLAIN, where="NOT test"),)),
    ),
    "a table of products": (
        f"products = {{table = 'p', id = 'i', active = 'a > 0', name = 'n'}}\n[[sources]]\n{TABLE}event = 'e'",
        Shop(sources=(PLAIN,), products=ProductsTable("p", "i", active="a > 0", name="n")),
    ),
    "a text of products": (
        f"products = {{query = 'SELECT 1'}}\n[[sources]]\n{TABLE}event = 'e'",
        Shop(sources=(PLAIN,), products="SELECT 1"),
    ),
}  # fmt: skip


def in_backticks(text: str) -> str:
    return written(text, lambda name: f"`{name}`")


@pytest.mark.parametrize(("source", "since", "one_user"), SOURCES.values(), ids=SOURCES)
def test_a_source_becomes_two_texts(source: Source | TableSource, since: str, one_user: str) -> None:
    read = source_sql(source)

    assert (in_backticks(read.since), in_backticks(read.one_user)) == (since, one_user)


@pytest.mark.parametrize(("products", "sql"), PRODUCTS.values(), ids=PRODUCTS)
def test_the_products_become_one_text(products: str | ProductsTable | None, sql: str) -> None:
    assert in_backticks(products_sql(products)) == sql


@pytest.mark.parametrize(("toml", "shop"), TOML.values(), ids=TOML)
def test_recsys_toml_becomes_records(toml: str, shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "recsys.toml").write_text(toml, encoding="utf-8")

    assert load_settings({"DATABASE_URL": "sqlite:///unused"}, tmp_path).shop == shop


@pytest.mark.parametrize(("sql_of", "value"), [(source_sql, PLAIN), (products_sql, ProductsTable("db.p", "i"))])
def test_a_text_is_written_once(sql_of: Callable[[object], object], value: object) -> None:
    assert sql_of(value) is sql_of(value)


# What the Node backend makes of the same blocks: backend/test/core/mappedSources.test.js reads the same table.
CASES = json.loads(Path(__file__).with_name("source_cases.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("name", "parts"), CASES["names"], ids=repr)
def test_a_name_has_the_parts_that_the_backend_reads(name: str, parts: list[str] | None) -> None:
    assert is_name(name) is (parts is not None)
    if parts is not None:
        found: list[str] = []
        written(marked(name), lambda part: found.append(part) or part)
        assert found == parts


@pytest.mark.parametrize("case", CASES["sources"], ids=lambda case: case["title"])
def test_a_source_has_the_text_that_the_backend_reads(case: dict[str, Any]) -> None:
    toml = {"sources": [case["source"]], "shop": {"purchase_events": [case.get("purchase", "purchase")]}}
    if case["one_user"] is None:
        with pytest.raises(SettingsError, match="sources"):
            read_shop(toml)
        return
    (source,) = read_shop(toml).sources
    for quoted in (mysql.SYNTAX.quoted, sqlite.SYNTAX.quoted):
        assert written(source_sql(source).one_user, quoted) == case["one_user"]
