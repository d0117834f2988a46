"""Damaged rows of the shop: only their user loses them, with a warning."""

from pathlib import Path

import pytest

from recsys.errors import UnknownUser
from recsys.settings import load_settings
from recsys.store import connect, read_interactions
from tests.helpers.tiny_shop import ITEMS, RARE, Published, shown

NEWEST = "(SELECT MAX(interId) FROM Interactions WHERE userId = 1)"
# A column of Interactions, what one of user 1's rows holds there, and what the answer says of it.
DAMAGE = {
    "bytes for a time": ("timestamp", "x'00ff'", "timestamp 1"),
    "text that is no UTF-8 for a time": ("timestamp", "CAST(x'ff' AS TEXT)", "timestamp 1"),
    "no date": ("timestamp", "'0000-00-00 00:00:00'", "timestamp 1"),
    "nothing for a time": ("timestamp", "''", "timestamp 1"),
    "infinity for a time": ("timestamp", "9e999", "timestamp 1"),
    "bytes for an item": ("productId", "x'ff'", "item_id 1"),
    "text that is no UTF-8 for an item": ("productId", "CAST(x'ff' AS TEXT)", "item_id 1"),
    "a word for an item": ("productId", "'tea'", "item_id 1"),
    "half an item": ("productId", "101.5", "item_id 1"),
    "bytes for an event": ("actionCode", "x'ff'", None),
    "bytes for a user": ("userId", "x'ff'", None),
    "bytes for a device": ("device_type", "x'ff'", None),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_one_damaged_row_costs_its_user_that_row(published: Published, tmp_path: Path, case: str):
    column, value, said = DAMAGE[case]
    shop = published.copy(tmp_path)
    without = published.copy(tmp_path / "without")
    bundle = shop.load()
    if column != "device_type":
        without.execute(f"DELETE FROM Interactions WHERE interId = {NEWEST}")
    others = [shown(shop.ask(bundle, user_id=user)) for user in (2, 3)]

    shop.execute(f"UPDATE Interactions SET {column} = {value} WHERE interId = {NEWEST}")
    answer, expected = (where.ask(where.load(), user_id=1, limit=20) for where in (shop, without))

    assert (answer.items, answer.model, answer.source) == (expected.items, expected.model, expected.source)
    assert answer.warnings == ((f"history: 1 left out, because they cannot be read ({said})",) if said else ())
    assert [shown(shop.ask(bundle, user_id=user)) for user in (2, 3)] == others


def test_a_history_of_damaged_rows_only_is_empty(published: Published, tmp_path: Path):
    shop = published.copy(tmp_path)
    shop.execute("UPDATE Interactions SET timestamp = x'00ff' WHERE userId = 1")
    shop.execute("DELETE FROM Comments WHERE userId = 1")
    shop.execute(
        "INSERT INTO Interactions (userId, productId, actionCode, timestamp) VALUES (1000, 101, 'view', x'ff')"
    )
    with connect(shop.url) as db:
        read, dropped = read_interactions(db, shop.settings.shop)

    answer = shop.ask(user_id=1)

    assert (answer.user_id, len(answer.items)) == (1, 10)
    assert 1 not in read.users
    n_dropped = dropped["bad timestamp"] - 1
    warning = f"history: {n_dropped} left out, because they cannot be read (timestamp {n_dropped})"
    assert answer.warnings == (warning,)
    with pytest.raises(UnknownUser):
        shop.ask(user_id=1000, strict=True)


def test_rows_that_the_database_cannot_compute_cost_the_user_their_history(published: Published, tmp_path: Path):
    shop = published.copy(tmp_path)
    timestamp = "json_extract(device_type, '$.at') AS timestamp"
    columns = f"userId AS user_id, productId AS item_id, actionCode AS event, {timestamp}, interId AS row_id"
    text = f"SELECT {columns} FROM Interactions WHERE {{}}"
    source = f'[[sources]]\nsince = "{text.format("1")}"\none_user = "{text.format("userId = :user_id")}"\n'
    (tmp_path / "recsys.toml").write_text(source, encoding="utf-8")
    shop.execute("UPDATE Interactions SET device_type = json_object('at', timestamp)")
    shop.execute("UPDATE Interactions SET device_type = '{' WHERE userId = 1")
    mapped = load_settings({**shop.environ}, tmp_path).shop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Published, "settings", property(lambda self: type("Mapped", (), {"shop": mapped})))
        lost, kept = (shop.ask(user_id=user) for user in (1, 2))

    assert (lost.user_id, len(lost.items)) == (1, 10)
    assert lost.warnings == ("history: all of it is left out, because the database cannot work out the user's rows",)
    assert (len(kept.items), kept.warnings) == (10, ())


@pytest.mark.parametrize(
    "price", ["''", "'12,50'", "'12.50 EUR'", "'free'", "x'ff'", "CAST(x'ff' AS TEXT)", "-1", "9e999", "'nan'"]
)
def test_a_product_whose_price_cannot_be_read_passes_no_filter_of_prices(
    published: Published, tmp_path: Path, price: str
):
    shop = published.copy(tmp_path)
    items = (101, RARE)  # one that models rank, one that fills lists
    shop.execute(f"UPDATE Productdetails SET originalPrice = {price}, discountPrice = NULL WHERE productId IN {items}")

    everything = shop.ask(user_id=2, limit=100)
    filtered = shop.ask(user_id=2, limit=100, filters={"price_min": 0})
    cheap = shop.ask(user_id=2, limit=100, filters={"price_max": 1e9})

    assert RARE in shown(everything)
    assert set(shown(everything)) - set(shown(filtered)) == set(shown(everything)) & set(items)
    assert shown(cheap) == shown(filtered)
    assert set(shown(filtered)) <= set(ITEMS)


def test_names_and_categories_that_are_no_utf8_change_no_list(published: Published, tmp_path: Path):
    shop = published.copy(tmp_path)
    shop.execute(
        "UPDATE Products SET name = CAST(x'ff' AS TEXT), categoryId = CAST(x'ff' AS TEXT), brandId = x'ff' "
        "WHERE id = 101"
    )

    for filters in ({}, {"category": "tea"}, {"brand": "sud"}):
        assert (101 in shown(shop.ask(user_id=2, limit=100, filters=filters))) is (not filters)
