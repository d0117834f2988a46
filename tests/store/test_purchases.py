"""Bought items of requests against the table of cases, and against those of training on random histories."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recsys.data.cleaning import clean_history
from recsys.data.purchases import bought_rows
from recsys.settings import Shop, TableSource
from recsys.settings.shop import DEFAULT_SOURCES
from recsys.store import Database, bought_items, read_interactions
from tests.helpers.purchases import CASES, NOW, Case, shop_of

LOG = TableSource(table="log", user="who", item="what", event="did", timestamp="at", row_id="id")
DEFAULT = DEFAULT_SOURCES[0]
KINDS = {
    "a date-time": {"sqlite": "DATETIME", "mysql": "DATETIME", "postgresql": "TIMESTAMP"},
    "a finer date-time": {"sqlite": "DATETIME", "mysql": "DATETIME(6)", "postgresql": "TIMESTAMP(6)"},
    "a date-time with a zone": {"sqlite": "TEXT", "mysql": "TIMESTAMP", "postgresql": "TIMESTAMPTZ"},
    "text": {"sqlite": "TEXT", "mysql": "VARCHAR(40)", "postgresql": "TEXT"},
    "seconds": dict.fromkeys(("sqlite", "mysql", "postgresql"), "BIGINT"),
    "milliseconds": dict.fromkeys(("sqlite", "mysql", "postgresql"), "BIGINT"),
    "seconds as text": {"sqlite": "TEXT", "mysql": "VARCHAR(40)", "postgresql": "TEXT"},
}


def utc(second: int) -> str:
    return str(np.datetime64(second, "s")).replace("T", " ")


def stored(kind: str, second: int, fraction: int) -> object:
    """Return a moment as a column of the kind holds it; fractions are thousandths."""
    return {
        "a finer date-time": f"{utc(second)}.{fraction:03}",
        "text": f"{utc(second).replace(' ', 'T')}.{fraction:03}Z",
        "seconds": second,
        "milliseconds": second * 1000 + fraction,
        "seconds as text": str(second),
    }.get(kind, utc(second))


def new_log(db: Database, kind: str) -> None:
    whole = "INTEGER" if db.dialect == "sqlite" else "BIGINT"
    db.execute(
        f"CREATE TABLE log (id {whole}, who {whole}, what {whole}, did VARCHAR(20), at {KINDS[kind][db.dialect]})"
    )


def by_function(db: Database, shop: Shop, user: int, now: int) -> list[int]:
    """Return the user's bought items by the way of training: reading, cleaning, and the Python function."""
    read = read_interactions(db, shop)[0]
    cleaned, _ = clean_history(read, shop=shop, now=now)
    return sorted(set(cleaned.items[bought_rows(cleaned, shop, now) & (cleaned.users == user)].tolist()))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_statement_returns_the_bought_items(db: Database, case: Case) -> None:
    """The column of items may hold null here, other than the default schema's."""
    new_log(db, "a date-time")
    moments = [utc(case.now - age) for _, _, age in case.events]
    rows = zip(case.events, moments, strict=True)
    db.insert(
        "log",
        [
            {"id": n, "who": 7, "what": item, "did": name, "at": moment}
            for n, ((name, item, _), moment) in enumerate(rows, 1)
        ],
    )

    assert sorted(bought_items(db, shop_of(case, LOG), 7, case.now)) == case.bought
    assert bought_items(db, shop_of(case, LOG), 8, case.now) == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_statement_agrees_with_the_function_on_random_histories(db: Database, kind: str) -> None:
    rng = np.random.default_rng(20261120)
    new_log(db, kind)
    names = np.array(["purchase", "purchase", "cancel", "order", "view"])
    n = 1200
    columns = (rng.integers(0, 12, n), rng.integers(0, 6, n), rng.choice(names, n), rng.integers(-2, 14, n))
    ages = np.where(columns[3] == -2, -90_000, np.where(columns[3] > 9, 86_400 + columns[3], columns[3]))
    rows = zip(
        *(column.tolist() for column in columns[:3]), ages.tolist(), rng.integers(0, 1000, n).tolist(), strict=True
    )
    db.insert(
        "log",
        [
            {"id": number, "who": who, "what": what, "did": did, "at": stored(kind, NOW - age, fraction)}
            for number, (who, what, did, age, fraction) in zip(rng.permutation(n).tolist(), rows, strict=True)
        ],
    )
    shop = replace(shop_of(CASES[0], LOG), purchase_events=("purchase", "order"))

    n_bought = 0
    for days in (np.inf, 1, 1.0001, 0.00005):
        ruled = replace(shop, repeat_after_days=days)
        for user in range(12):
            expected = by_function(db, ruled, user, NOW)
            assert sorted(bought_items(db, ruled, user, NOW)) == expected, (days, user)
            n_bought += len(expected)
    assert 0 < n_bought < 4 * 12 * 6


def test_purchases_and_cancellations_may_lie_in_two_tables(db: Database) -> None:
    new_log(db, "a date-time")
    whole = "INTEGER" if db.dialect == "sqlite" else "BIGINT"
    db.execute(f"CREATE TABLE returned (who {whole}, what VARCHAR(20), at {whole})")
    db.insert("log", [{"id": n, "who": 7, "what": n, "did": "any", "at": utc(NOW - 50)} for n in (1, 2, 3)])
    db.insert("returned", [{"who": 7, "what": item, "at": NOW - age} for item, age in (("1", 40), ("2", 60))])
    sources = (
        replace(LOG, event=None, event_name="purchase"),
        TableSource(table="returned", user="who", item="what", event_name="cancel", timestamp="at"),
    )

    assert sorted(bought_items(db, shop_of(CASES[0], *sources), 7, NOW)) == [2, 3]


def test_ratings_may_count_as_purchases(db: Database) -> None:
    source = TableSource(table="ratings", user="who", item="what", rating="stars", timestamp="at")
    db.execute("CREATE TABLE ratings (who INTEGER, what INTEGER, stars VARCHAR(9), at VARCHAR(20))")
    ratings = ["5", "4.5", "4.4", "5.5", "0", "great", None]
    db.insert(
        "ratings",
        [{"who": 7, "what": n, "stars": stars, "at": utc(NOW - 9)} for n, stars in enumerate(ratings)],
    )
    shop = replace(shop_of(CASES[0], source), purchase_events=("star5",))

    assert sorted(bought_items(db, shop, 7, NOW)) == by_function(db, shop, 7, NOW) == [0, 1]


@pytest.mark.parametrize("zone", ["Asia/Ho_Chi_Minh", "America/New_York"])
def test_the_window_and_the_clock_are_those_of_the_stored_zone(db: Database, zone: str) -> None:
    new_log(db, "a date-time")
    local = {"Asia/Ho_Chi_Minh": 7 * 3600, "America/New_York": -5 * 3600}[zone]
    ages = {1: 86_400, 2: 86_401, 3: -86_400, 4: -86_401}
    db.insert(
        "log",
        [{"id": n, "who": 7, "what": n, "did": "purchase", "at": utc(NOW - age + local)} for n, age in ages.items()],
    )
    shop = replace(shop_of(CASES[0], LOG), stored_time_zone=zone, repeat_after_days=1)

    assert sorted(bought_items(db, shop, 7, NOW)) == by_function(db, shop, 7, NOW) == [1, 3]


def test_a_row_that_is_no_event_cancels_nothing(db: Database) -> None:
    new_log(db, "text")
    moments = ["yesterday", "0000-00-00 00:00:00", "9999-12-31 00:00:00", "infinity", "", " ", None, "1e300", "-5", "²"]
    db.insert("log", [{"id": 0, "who": 7, "what": 1, "did": "purchase", "at": utc(NOW - 50)}])
    db.insert(
        "log", [{"id": n, "who": 7, "what": 1, "did": "cancel", "at": moment} for n, moment in enumerate(moments, 1)]
    )

    shop = replace(shop_of(CASES[0], LOG), max_unreadable=1)
    assert bought_items(db, shop, 7, NOW) == by_function(db, shop, 7, NOW) == [1]


@pytest.mark.parametrize("shop_url", ["sqlite", "mariadb"], indirect=True)
def test_the_index_on_the_user_is_used(db: Database) -> None:
    events = [(user, item, "purchase") for user in range(60) for item in range(60)]
    db.insert(
        "Interactions",
        [
            {"userId": user, "productId": item, "actionCode": name, "timestamp": utc(NOW - item)}
            for user, item, name in events
        ],
    )
    if db.dialect == "mysql":
        db.query("ANALYZE TABLE Interactions")
    sent: list[tuple[str, dict[str, object]]] = []
    db._tracer = lambda sql, params: sent.append((sql, params))

    assert len(bought_items(db, shop_of(CASES[0], DEFAULT), 7, NOW)) == 60

    [(sql, params)] = sent
    word = "EXPLAIN" if db.dialect == "mysql" else "EXPLAIN QUERY PLAN"
    cursor = db._connection.cursor()
    cursor.execute(f"{word} {sql}", params)
    assert "Interactions_by_user" in str(cursor.fetchall())
