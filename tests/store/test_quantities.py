"""Cancellations by quantity: training, requests and lists of everybody take back the same purchases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recsys.data.cleaning import clean_history, valid_history
from recsys.data.purchases import bought_rows
from recsys.errors import SettingsError
from recsys.settings import Shop, Source, TableSource
from recsys.store import Database, bought_items, events_of_users, read_interactions, user_events, write_version
from recsys.store.readiness import check_mapping
from recsys.store.user import interactions_of
from tests.helpers.purchases import CASES, NOW, QUANTITY_CASES, QuantityCase, shop_of

LOG = TableSource("log", "who", "what", "at", event="did", row_id="id", quantity="pieces")
SHOP = shop_of(CASES[0], LOG)
USERS = (7, 8)


def fill(db: Database, case: QuantityCase, kind: str = "DECIMAL(9,2)") -> None:
    whole = "INTEGER" if db.dialect == "sqlite" else "BIGINT"
    db.execute(f"CREATE TABLE log (id {whole}, who {whole}, what {whole}, did VARCHAR(20), at BIGINT, pieces {kind})")
    names = ("id", "who", "did", "what", "at", "pieces")
    rows = [(n, who, did, what, NOW - age, pieces) for n, (who, did, what, age, pieces) in enumerate(case.events, 1)]
    db.insert("log", [dict(zip(names, row, strict=True)) for row in rows])
    write_version(db, "v", data_until=0, users=np.array(USERS), items=np.array([1, 2]), contexts={})


def trained(db: Database, shop: Shop) -> list[tuple[int, int]]:
    events, _ = clean_history(read_interactions(db, shop)[0], shop=shop, now=NOW)
    return sorted(zip(events.users.tolist(), events.items.tolist(), strict=True))


def hidden_by_one_request(db: Database, shop: Shop, user: int) -> set[int]:
    valid = valid_history(interactions_of(user_events(db, shop, "v", user, 100)), shop=shop, now=NOW)[0]
    return set(valid.items[bought_rows(valid, shop, NOW)].tolist())


@pytest.mark.parametrize("case", QUANTITY_CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("shop_url", ["sqlite"], indirect=True)
def test_the_right_purchases_stand(db: Database, case: QuantityCase) -> None:
    fill(db, case)

    assert trained(db, SHOP) == case.standing()


def test_every_reader_takes_back_the_same(db: Database) -> None:
    for case in QUANTITY_CASES:
        fill(db, case)
        bought = {user: {item for who, item in case.standing() if who == user} for user in USERS}
        assert {user: set(bought_items(db, SHOP, user, NOW)) for user in USERS} == bought, case.name
        assert {user: hidden_by_one_request(db, SHOP, user) for user in USERS} == bought, case.name
        together = events_of_users(db, SHOP, USERS, 100, item_kind="int")
        quantities = read_interactions(db, SHOP)[0].quantities
        assert sorted(map(str, together.quantities.tolist())) == sorted(map(str, quantities.tolist())), case.name
        assert trained(db, SHOP) == case.standing(), case.name
        db.execute("DROP TABLE log")


def test_a_quantity_that_cannot_be_read_is_unknown_and_told(db: Database) -> None:
    [case] = [case for case in QUANTITY_CASES if case.name.startswith("the newest purchase and a part")]
    fill(db, case, "VARCHAR(20)")
    db.execute("UPDATE log SET pieces = 'few' WHERE id = 2")
    lines: list[str] = []

    events, _ = read_interactions(db, replace(SHOP, max_unreadable=0.5), tell=lines.append)

    assert np.isnan(events.in_order().quantities).tolist() == [False, True, False]
    [line] = lines
    assert line.startswith("WARNING: `quantity` of log: 1 of 3 unreadable, e.g. 'few' (row 2)")
    assert bought_items(db, SHOP, 7, NOW) == trained(db, replace(SHOP, max_unreadable=0.5)) == []


@pytest.mark.parametrize("shop_url", ["sqlite"], indirect=True)
def test_sources_with_and_without_quantities_are_read_together(db: Database) -> None:
    fill(db, QuantityCase("", [(7, "purchase", 1, 60, 2), (7, "purchase", 1, 50, 2), (7, "cancel", 1, 40, -4)], []))
    db.execute("CREATE TABLE shops (who INTEGER, what INTEGER, at BIGINT)")
    db.insert("shops", [{"who": 7, "what": 1, "at": NOW - 45}])
    till = TableSource("shops", "who", "what", "at", event_name="purchase")

    shop = replace(SHOP, sources=(LOG, till))

    assert trained(db, shop) == [(7, 1)] and bought_items(db, shop, 7, NOW) == [1]


@pytest.mark.parametrize("shop_url", ["sqlite"], indirect=True)
def test_a_query_tells_quantities_in_both_texts(db: Database) -> None:
    fill(db, QUANTITY_CASES[1])
    text = "SELECT who AS user_id, what AS item_id, did AS event, at AS timestamp, id AS row_id"
    since, one_user = f"{text}, pieces AS quantity FROM log WHERE at >= :since", "FROM log WHERE who = :user_id"
    right = replace(SHOP, sources=(Source(since, f"{text}, pieces AS quantity {one_user}"),))
    check_mapping(
        db, replace(right, products="SELECT 1 AS item_id, 1 AS active, 1 AS category, 1 AS brand, 1 AS price")
    )
    assert trained(db, right) == bought_items(db, right, 7, NOW) == []

    wrong = replace(SHOP, sources=(Source(since, f"{text} {one_user}"),))
    with pytest.raises(SettingsError, match="`one_user`, should return .*quantity"):
        check_mapping(db, wrong)
    with pytest.raises(SettingsError, match="Both texts of a source should return a quantity"):
        read_interactions(db, wrong)
