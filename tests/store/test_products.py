import math
from dataclasses import replace

import numpy as np
import pytest

from recsys.errors import SettingsError
from recsys.settings import Shop
from recsys.store import Database, products, read_catalogue


@pytest.fixture
def stocked(db: Database) -> Database:
    """A shop of three products: one reduced, one taken off, one without a price."""
    db.insert(
        "Products",
        [
            {"id": 1, "name": "bag", "statusId": "S1", "categoryId": "bags", "brandId": "jan"},
            {"id": 2, "name": "hat", "statusId": "S2", "categoryId": "hats", "brandId": None},
            {"id": 3, "name": "belt", "statusId": "S1", "categoryId": None, "brandId": "jan"},
        ],
    )
    db.insert(
        "Productdetails",
        [
            {"productId": 1, "originalPrice": 30.0, "discountPrice": 25.5},
            {"productId": 1, "originalPrice": 28.0, "discountPrice": None},
            {"productId": 2, "originalPrice": 10.0, "discountPrice": None},
        ],
    )
    return db


def test_the_catalogue_has_every_product_as_it_is(stocked: Database, shop: Shop) -> None:
    catalogue = read_catalogue(stocked, shop)

    order = np.argsort(catalogue.items)
    assert catalogue.items[order].tolist() == [1, 2, 3]
    assert catalogue.active[order].tolist() == [True, False, True]
    assert catalogue.categories[order].tolist() == ["bags", "hats", None]
    assert catalogue.brands[order].tolist() == ["jan", None, "jan"]
    assert catalogue.prices[order][:2].tolist() == [25.5, 10.0]  # the cheapest variant, reduced where it is
    assert math.isnan(catalogue.prices[order][2])
    assert (catalogue.items.dtype, catalogue.active.dtype, catalogue.prices.dtype) == (np.int64, np.bool_, np.float64)


def test_an_empty_shop_has_an_empty_catalogue(db: Database, shop: Shop) -> None:
    catalogue = read_catalogue(db, shop)

    assert len(catalogue) == 0
    assert (catalogue.items.dtype, catalogue.active.dtype, catalogue.prices.dtype) == (np.int64, np.bool_, np.float64)


def test_several_products_are_read_in_one_statement(stocked: Database, shop: Shop) -> None:
    sent: list[str] = []
    stocked._tracer = lambda sql, params: sent.append(sql)

    rows = {row.item_id: row for row in products(stocked, shop, [3, 1, 99])}

    assert len(sent) == 1
    assert set(rows) == {1, 3}
    assert rows[1] == (1, True, "bags", "jan", 25.5)
    assert (rows[3].active, rows[3].category, math.isnan(rows[3].price)) == (True, None, True)


@pytest.mark.parametrize("description", [(), ("price",), ("category", "brand")])
def test_only_the_named_columns_of_a_product_are_read(
    stocked: Database, shop: Shop, description: tuple[str, ...]
) -> None:
    sent: list[str] = []
    stocked._tracer = lambda sql, params: sent.append(sql)

    [row] = products(stocked, shop, [1], description)

    selected = sent[0].partition(" FROM ")[0]
    assert selected == "SELECT " + ", ".join(f"p.{name}" for name in ("item_id", "active", *description))
    assert (row.item_id, row.active) == (1, True)
    for name, value, nothing in (("category", "bags", None), ("brand", "jan", None), ("price", 25.5, math.nan)):
        assert getattr(row, name) == (value if name in description else pytest.approx(nothing, nan_ok=True))


def test_no_ids_send_no_statement(stocked: Database, shop: Shop) -> None:
    stocked.close()

    assert products(stocked, shop, []) == []


def test_a_product_listed_twice_counts_once(stocked: Database, shop: Shop) -> None:
    twice = "SELECT 1 AS item_id, 1 AS active, 'a' AS category, NULL AS brand, 5 AS price "
    twice += "UNION ALL SELECT 1, 0, 'b', NULL, 6"
    mapped = replace(shop, products=twice)

    assert len(read_catalogue(stocked, mapped)) == 1
    assert len(products(stocked, mapped, [1])) == 1


@pytest.mark.parametrize(
    ("written", "active"), [("1", True), ("0", False), ("NULL", False), ("TRUE", True), ("FALSE", False), ("'1'", True)]
)
def test_active_may_be_a_number_a_truth_or_nothing(bare_db: Database, shop: Shop, written: str, active: bool) -> None:
    mapped = replace(
        shop, products=f"SELECT 'x' AS item_id, {written} AS active, 7 AS category, 8 AS brand, 1.5 AS price;"
    )

    catalogue = read_catalogue(bare_db, mapped)

    assert (catalogue.items.tolist(), catalogue.active.tolist()) == (["x"], [active])
    assert (catalogue.categories.tolist(), catalogue.brands.tolist(), catalogue.prices.tolist()) == (
        ["7"],
        ["8"],
        [1.5],
    )
    assert products(bare_db, mapped, ["x"])[0].active is active


def test_ids_that_differ_in_case_are_two_products(bare_db: Database, shop: Shop) -> None:
    bare_db.execute("CREATE TABLE goods (sku VARCHAR(20), kind VARCHAR(20))")
    bare_db.insert("goods", [{"sku": "aB", "kind": "lower"}, {"sku": "AB", "kind": "upper"}])
    mapped = replace(
        shop, products="SELECT sku AS item_id, 1 AS active, kind AS category, NULL AS brand, NULL AS price FROM goods"
    )

    assert [row.category for row in products(bare_db, mapped, ["aB"])] == ["lower"]
    assert sorted(read_catalogue(bare_db, mapped).items.tolist()) == ["AB", "aB"]


def test_products_that_lack_a_column_say_which_they_should_return(bare_db: Database, shop: Shop) -> None:
    with pytest.raises(
        SettingsError, match="should return item_id, active, category, brand, price. Received: item_id, active"
    ):
        read_catalogue(bare_db, replace(shop, products="SELECT 1 AS item_id, 1 AS active"))
