"""The cards of products, and the items that handles name."""

from pathlib import Path

import pytest

from recsys.errors import SettingsError
from recsys.settings import Shop, load_settings
from recsys.store import Database, ProductCard, item_of_handle, product_cards

CARDS = '''
[shop.cards]
query = """
SELECT sku AS item_id, handle AS handle, label AS title, NULL AS thumbnail, cost AS price, 'EUR' AS currency,
  sold AS active FROM goods
"""
[products]
query = "SELECT sku AS item_id, sold AS active, NULL AS category, NULL AS brand, cost AS price FROM goods"
'''
GOODS = [
    ("A-1", "hat", "Hat", 25.5, "yes"),
    ("a-1", "Hat", "Small hat", 20.0, "no"),
    ("B-2", "bag", "Old bag", None, "no"),
    ("B-3", "bag", "New bag", -1.0, "yes"),
    ("B-3", "bag", "New bag, again", 3.0, "no"),
    ("C-4", None, None, 5.0, "perhaps"),
]


def mapped(folder: Path, toml: str) -> Shop:
    (folder / "recsys.toml").write_text(toml, encoding="utf-8")
    return load_settings({"DATABASE_URL": "sqlite:///unused"}, folder).shop


@pytest.fixture
def goods(bare_db: Database) -> Database:
    """A table of goods, with two handles that differ by case and one that two products have."""
    bare_db.execute(
        "CREATE TABLE goods (sku VARCHAR(9), handle VARCHAR(9), label VARCHAR(20), cost REAL, sold VARCHAR(9))"
    )
    bare_db.insert("goods", [dict(zip(("sku", "handle", "label", "cost", "sold"), row, strict=True)) for row in GOODS])
    return bare_db


def test_cards_have_the_order_of_the_ids(goods: Database, tmp_path: Path) -> None:
    cards = product_cards(goods, mapped(tmp_path, CARDS), ["C-4", "A-1", "none", "B-3", "A-1", "a-1"])

    assert list(cards.values()) == [
        ProductCard("C-4", None, None, None, 5.0, "eur", False),  # a flag that cannot be read is none
        ProductCard("A-1", "hat", "Hat", None, 25.5, "eur", True),
        ProductCard("B-3", "bag", "New bag", None, None, "eur", True),  # its first row; a price below 0 is none
        ProductCard("a-1", "Hat", "Small hat", None, 20.0, "eur", False),
    ]
    assert list(cards) == ["C-4", "A-1", "B-3", "a-1"]
    assert product_cards(goods, mapped(tmp_path, CARDS), []) == {}
    assert product_cards(goods, mapped(tmp_path, CARDS), ["none"]) == {}


@pytest.mark.parametrize(
    ("handle", "item"),
    [("hat", "A-1"), ("Hat", "a-1"), ("HAT", None), ("bag", "B-3"), ("", None), ("a\0b", None), ("x" * 600, None)],
)
def test_a_handle_names_the_active_product_that_has_it(
    goods: Database, tmp_path: Path, handle: str, item: str | None
) -> None:
    assert item_of_handle(goods, mapped(tmp_path, CARDS), handle) == item


def test_the_default_schema_has_names_and_prices_but_no_handles(db: Database, shop: Shop) -> None:
    db.insert("Products", [{"id": 7, "name": "Tea", "statusId": "S1"}, {"id": 8, "name": "Cup", "statusId": "S2"}])
    details = [(7, 9.5, 7.25), (7, 8.0, None), (8, None, None)]
    names = ("productId", "originalPrice", "discountPrice")
    db.insert("Productdetails", [dict(zip(names, row, strict=True)) for row in details])

    assert product_cards(db, shop, [8, 7, 9]) == {
        8: ProductCard(8, None, "Cup", None, None, None, False),
        7: ProductCard(7, None, "Tea", None, 7.25, None, True),
    }
    assert item_of_handle(db, shop, "tea") is None


@pytest.mark.parametrize(
    ("products", "title"),
    [
        ('[products]\ntable = "goods"\nid = "sku"\nname = "label"', "Hat"),
        ('[products]\ntable = "goods"\nid = "sku"', None),
        (
            '[products]\nquery = "SELECT sku AS item_id, 1 AS active, NULL AS category, NULL AS brand, cost AS price, '
            'label AS name FROM goods;"',
            "Hat",
        ),
        (CARDS.partition("[products]")[2].join(["[products]", ""]), None),
    ],
)
def test_without_cards_the_products_tell_what_they_can(
    goods: Database, tmp_path: Path, products: str, title: str | None
) -> None:
    cards = product_cards(goods, mapped(tmp_path, products), ["A-1"])
    assert [(card.title, card.handle, card.is_active) for card in cards.values()] == [(title, None, True)]


def test_cards_that_do_not_fit_the_tables_are_told(goods: Database, tmp_path: Path) -> None:
    from recsys.store.readiness import check_mapping

    source = '[[sources]]\ntable = "goods"\nuser = "sku"\nitem = "sku"\nevent = "sku"\ntimestamp = "sku"\n'
    check_mapping(goods, mapped(tmp_path, source + CARDS))
    for wrong, message in (("AS handle", "should return"), ("label AS", "should fit")):
        cards = CARDS.replace(wrong, wrong.replace("handle", "slug").replace("label", "nothing"))
        with pytest.raises(SettingsError, match=rf"^\[shop.cards\] \(goods\) {message}"):
            check_mapping(goods, mapped(tmp_path, source + cards))
