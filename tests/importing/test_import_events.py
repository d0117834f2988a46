"""Importing: what a file says arrives once, whatever the database; what is dropped is counted by name."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from recsys.errors import Overloaded, UsageError
from recsys.importing.id_allocation import FIRST_ASSIGNED
from recsys.importing.options import Condition, ImportOptions
from recsys.importing.report import ImportReport
from recsys.importing.run import import_events
from recsys.settings import load_settings
from recsys.store import Database, connect
from recsys.store.migrations import migrate
from scripts import import_events as script

ROOT = Path(__file__).parents[2]
ORDERS = """\
InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID
536365,85123A,WHITE HEART,6,2010-12-01 08:26:00,2.55,17850
536365,71053,WHITE LANTERN,6,2010-12-01 08:26:00,3.39,17850
536366,71053,WHITE LANTERN,1,2010-12-02 09:00:00,3.75,13047
C536367,71053,WHITE LANTERN,-1,2010-12-03 10:00:00,3.75,13047
536368,85123a,red heart,2,2010-12-03 11:00:00,inf,13047
536369,85123A,WHITE HEART,-5,2010-12-03 12:00:00,2.55,13047
536370,85123A,WHITE HEART,4,2010-12-03 13:00:00,2.95,
536371,,nothing,4,2010-12-03 13:00:00,2.95,13047
536372,85123A,WHITE HEART,4,the third,2.95,13047
536365,71053,WHITE LANTERN,6,2010-12-01 08:26:00,3.39,17850
"""
ORDER_FLAGS = (
    *(
        "--user",
        "CustomerID",
        "--item",
        "StockCode",
        "--timestamp",
        "InvoiceDate",
        "--price",
        "UnitPrice",
        "--name",
        "Description",
    ),
    *("--cancelled-when", "InvoiceNo^=C", "--drop-when", "Quantity<=0"),
)
ORDER_OPTIONS = ImportOptions(
    user="CustomerID",
    item="StockCode",
    timestamp="InvoiceDate",
    price="UnitPrice",
    name="Description",
    cancelled_when=(Condition("InvoiceNo", "^=", "C"),),
    drop_when=(Condition("Quantity", "<=", "0"),),
)
CLICKS = ImportOptions(user="user", item="item", event="event", timestamp="at")


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with connect(f"sqlite:///{tmp_path / 'shop.sqlite'}", create=True) as opened:
        yield opened


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def written(text: str, name: str = "events.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode("utf-8")) if name.endswith(".gz") else text.encode("utf-8"))
        return path

    return written


def run(db: Database, path: Path, options: ImportOptions, **more: Any) -> ImportReport:
    shop = load_settings({"DATABASE_URL": "sqlite:///unused.sqlite"}, path.parent).shop
    options = replace(options, max_unreadable=1.0)  # files of a few rows, of which one is unreadable
    return import_events(db, path, options, shop=shop, **more)


def stored(db: Database) -> list[tuple[Any, ...]]:
    """Return every interaction as (user, item, event, timestamp), in the order of the table."""
    rows = db.query("SELECT userId, productId, actionCode, timestamp FROM Interactions ORDER BY interId")
    return [(user, item, event, str(at)) for user, item, event, at in rows]


def dropped(report: ImportReport) -> dict[str, int]:
    return {reason: count for reason, count in report.dropped.items() if count}


# The whole way


def test_an_order_log_becomes_users_products_prices_and_events(database_url: str, write: Callable[..., Path]) -> None:
    with connect(database_url) as db:
        report = run(db, write(ORDERS, "orders.csv.gz"), ORDER_OPTIONS)
        products = {external: number for number, external in db.query("SELECT id, externalId FROM Products")}
        names = dict(db.query("SELECT externalId, name FROM Products"))
        prices = dict(db.query("SELECT productId, originalPrice FROM Productdetails"))
        users = db.query("SELECT id, externalId, roleId, statusId FROM Users ORDER BY id")
        events = stored(db)

    assert report.rows == 10 == sum(report.added.values()) + sum(report.dropped.values())
    assert report.added == {"purchase": 4, "cancel": 1}
    assert dropped(report) == {
        "dropped as Quantity<=0": 1,
        "no user": 1,
        "no item": 1,
        "illegible timestamp": 1,
        "equal to an earlier row": 1,
    }
    assert report.ignored == {"price not a number above 0": 1}
    assert (report.new_users, report.new_products, report.priced_products) == (2, 3, 2)
    assert users == [(13047, None, "R2", "S1"), (17850, None, "R2", "S1")]
    heart, red_heart = FIRST_ASSIGNED, FIRST_ASSIGNED + 1
    assert products == {"85123A": heart, None: 71053, "85123a": red_heart}  # case tells them apart, on MariaDB too
    assert names == {"85123A": "WHITE HEART", None: "WHITE LANTERN", "85123a": "red heart"}
    assert prices == {heart: 2.55, 71053: 3.75}  # the newest of each; the row that costs `inf` is kept, its price not
    assert events == [
        (17850, heart, "purchase", "2010-12-01 08:26:00"),
        (17850, 71053, "purchase", "2010-12-01 08:26:00"),
        (13047, 71053, "purchase", "2010-12-02 09:00:00"),
        (13047, 71053, "cancel", "2010-12-03 10:00:00"),
        (13047, red_heart, "purchase", "2010-12-03 11:00:00"),
    ]
    assert report.oddities == [
        f"2 product ids: no whole number, e.g. '85123A' is {heart}, in the row "
        "536365,85123A,WHITE HEART,6,2010-12-01 08:26:00,2.55,17850"
    ]


def test_the_same_file_again_adds_nothing(database_url: str, write: Callable[..., Path]) -> None:
    path = write(ORDERS)
    with connect(database_url) as db:
        run(db, path, ORDER_OPTIONS)
        before = everything(db)
        report = run(db, path, ORDER_OPTIONS)

        assert everything(db) == before
    assert report.added == {} and report.new_users == report.new_products == 0
    assert dropped(report)["imported before"] == 5
    assert dropped(report)["equal to an earlier row"] == 1


def everything(db: Database) -> list[list[tuple[Any, ...]]]:
    tables = {"Users": "id", "Products": "id", "Productdetails": "id", "Interactions": "interId", "Allcodes": "id"}
    return [db.query(f"SELECT * FROM {table} ORDER BY {key}") for table, key in tables.items()]  # noqa: S608 - our own names


def test_a_longer_export_adds_only_what_is_new(db: Database, write: Callable[..., Path]) -> None:
    header, *lines = ORDERS.splitlines(keepends=True)
    run(db, write(header + "".join(lines[:3])), ORDER_OPTIONS)

    report = run(db, write(header + "".join(lines[1:])), ORDER_OPTIONS)

    assert report.added == {"purchase": 1, "cancel": 1}
    assert dropped(report)["imported before"] == 2
    assert dropped(report)["equal to an earlier row"] == 1


def test_every_chunk_size_gives_the_same_tables(tmp_path: Path, write: Callable[..., Path]) -> None:
    path = write(ORDERS)
    tables = []
    for chunk in (1, 3, 1_000):
        with connect(f"sqlite:///{tmp_path / f'{chunk}.sqlite'}", create=True) as db:
            run(db, path, ImportOptions(**{**vars(ORDER_OPTIONS), "chunk": chunk}))
            tables.append(
                [db.query("SELECT * FROM Interactions"), db.query("SELECT id, externalId, name FROM Products")]
            )

    assert tables[0] == tables[1] == tables[2]


def test_an_import_killed_at_any_statement_is_finished_by_the_next_run(
    tmp_path: Path, write: Callable[..., Path]
) -> None:
    path, options = write(ORDERS), ImportOptions(**{**vars(ORDER_OPTIONS), "chunk": 2})
    sent: list[str] = []
    whole = imported_tables(tmp_path / "whole.sqlite", path, options, lambda sql, _: sent.append(sql))

    assert len(sent) > 50
    for death in range(0, len(sent), 4):
        database = tmp_path / f"{death}.sqlite"
        with pytest.raises(KeyboardInterrupt):
            imported_tables(database, path, options, dies_at(death))

        assert imported_tables(database, path, options, None) == whole, f"killed at statement {death}: {sent[death]}"


def imported_tables(database: Path, path: Path, options: ImportOptions, tracer: Any) -> list[list[tuple[Any, ...]]]:
    with connect(f"sqlite:///{database}", create=True, tracer=tracer) as db:
        run(db, path, options)
    with connect(f"sqlite:///{database}") as db:
        return [
            db.query(sql)
            for sql in ("SELECT * FROM Interactions", "SELECT id, externalId, name, categoryId, view FROM Products")
        ] + [
            db.query("SELECT productId, originalPrice FROM Productdetails ORDER BY productId"),
            db.query("SELECT id, externalId FROM Users"),
        ]


def dies_at(statement: int) -> Callable[[str, Any], None]:
    left = iter(range(statement))

    def tracer(sql: str, _: object) -> None:
        if sql != "ROLLBACK" and next(left, None) is None:  # a dead process rolls back by itself
            raise KeyboardInterrupt

    return tracer


# Ids


def test_whole_numbers_are_the_ids_themselves(db: Database, write: Callable[..., Path]) -> None:
    run(db, write("user,item,event,at\n7,2268318,view,1511544070\n9,4,view,1511544071\n"), CLICKS)

    assert stored(db) == [(7, 2268318, "view", "2017-11-24 17:21:10"), (9, 4, "view", "2017-11-24 17:21:11")]
    assert db.query("SELECT id, externalId, name FROM Products ORDER BY id") == [
        (4, None, "Product 4"),
        (2268318, None, "Product 2268318"),
    ]


def test_an_id_that_is_no_number_changes_no_other(db: Database, write: Callable[..., Path]) -> None:
    run(db, write("user,item,event,at\n7,POST,view,1\n7,501,view,2\n7,500,view,3\n"), CLICKS)

    assert ids_of(db, "Products") == {500: None, 501: None, FIRST_ASSIGNED: "POST"}
    assert [row[1] for row in stored(db)] == [FIRST_ASSIGNED, 501, 500]


def ids_of(db: Database, table: str) -> dict[int, str | None]:
    return dict(db.query(f"SELECT id, externalId FROM {table} ORDER BY id"))  # noqa: S608 - our own names


def test_numbers_of_an_earlier_numbering_are_kept_and_told(db: Database, write: Callable[..., Path]) -> None:
    migrate(db)
    db.insert("Products", [{"id": 1, "name": "A", "externalId": "A-1"}, {"id": 2, "name": "B", "externalId": "501.0"}])
    report = run(db, write("user,item,event,at\n7,501,view,1\n7,2,view,2\n7,A-1,view,3\n7,0501,view,4\n"), CLICKS)

    assert [row[1] for row in stored(db)] == [2, FIRST_ASSIGNED, 1, 2]
    assert ids_of(db, "Products") == {1: "A-1", 2: "501.0", FIRST_ASSIGNED: "2"}
    assert sorted(line.partition(" (")[0].partition(", in")[0] for line in report.oddities) == [
        "1 product ids: a whole number in another spelling, e.g. '0501' is 2",
        "1 product ids: no whole number, e.g. 'A-1' is 1",
        "2 product ids: a whole number that has another number here, e.g. '501' is 2",
    ]


def test_a_shops_own_row_is_numbered_after_the_imported_ones(database_url: str, write: Callable[..., Path]) -> None:
    with connect(database_url) as db:
        run(db, write("user,item,event,at\n7,40,view,1\n"), CLICKS)
        db.insert("Products", [{"name": "The shop's own"}])

        assert db.query("SELECT id FROM Products WHERE name = 'The shop''s own'") == [(41,)]


def test_ids_are_taken_without_the_blanks_around_them(db: Database, write: Callable[..., Path]) -> None:
    run(db, write("user,item,event,at\n 7, A ,view,1\n7,A,view,2\n"), CLICKS)

    assert ids_of(db, "Products") == {FIRST_ASSIGNED: "A"}
    assert ids_of(db, "Users") == {7: None}


def test_an_id_too_long_to_store_is_dropped_by_name(db: Database, write: Callable[..., Path]) -> None:
    report = run(db, write(f"user,item,event,at\n{'u' * 129},A,view,1\n{'u' * 128},A,view,2\n"), CLICKS)

    assert dropped(report) == {"user id too long": 1}
    assert db.query("SELECT externalId FROM Users") == [("u" * 128,)]


@pytest.mark.parametrize("nothing", ["", "   ", "NULL", "null", "NaN", "nan", "None", r"\N"])
def test_every_spelling_of_null_is_no_user(db: Database, write: Callable[..., Path], nothing: str) -> None:
    report = run(db, write(f"user,item,event,at\n{nothing},A,view,1\n7,A,view,2\n"), CLICKS)

    assert dropped(report) == {"no user": 1}
    assert report.added == {"view": 1}


# Events


def test_event_names_are_mapped_and_the_others_counted_by_name(database_url: str, write: Callable[..., Path]) -> None:
    text = (
        "user,item,event,at\n1,1,pv,1\n1,1,pv,2\n1,1,buy,3\n1,1,cart,4\n1,1,share,5\n1,1,share,6\n1,1,,7\n1,1,Cart,8\n"
    )
    with connect(database_url) as db:
        report = run(db, write(text), ImportOptions(**{**vars(CLICKS), "event_map": {"pv": "view", "buy": "purchase"}}))
        views = db.query("SELECT view FROM Products")

    assert report.added == {"view": 2, "purchase": 1, "cart": 1}
    assert dropped(report) == {"unknown event 'share'": 2, "no event": 1, "unknown event 'Cart'": 1}
    assert views == [(2,)]


def test_endless_event_names_are_counted_together_after_twenty(db: Database, write: Callable[..., Path]) -> None:
    text = "user,item,event,at\n" + "".join(f"1,1,name {k},{k}\n" for k in range(30)) + "1,1,name 3,99\n1,1,view,100\n"
    report = run(db, write(text), CLICKS)

    assert report.dropped["unknown event 'name 3'"] == 2
    assert report.dropped["other unknown events"] == 10


def test_without_an_event_column_every_row_is_the_named_event(db: Database, write: Callable[..., Path]) -> None:
    report = run(
        db,
        write("user,item,at\n1,1,1\n"),
        ImportOptions(user="user", item="item", event_name="wishlist", timestamp="at"),
    )

    assert report.added == {"wishlist": 1}


def test_equal_rows_of_different_events_are_different_events(db: Database, write: Callable[..., Path]) -> None:
    path = write("user,item,at\n1,1,1\n")
    for name in ("cart", "purchase"):
        run(db, path, ImportOptions(user="user", item="item", event_name=name, timestamp="at"))

    assert [row[2] for row in stored(db)] == ["cart", "purchase"]


def test_rows_that_differ_in_an_unused_column_are_two_events(db: Database, write: Callable[..., Path]) -> None:
    report = run(db, write("user,item,event,at,invoice\n1,1,purchase,1,A\n1,1,purchase,1,B\n"), CLICKS)

    assert report.added == {"purchase": 2}


def test_a_cancellation_survives_the_drop_rules_and_an_unknown_event_name(
    db: Database, write: Callable[..., Path]
) -> None:
    options = ImportOptions(
        **{
            **vars(CLICKS),
            "cancelled_when": (Condition("state", "=", "returned"),),
            "drop_when": (Condition("n", "<", "1"), Condition("state", "!=", "returned")),
        }
    )
    report = run(
        db, write("user,item,event,at,n,state\n1,1,sold,1,-1,returned\n1,1,view,2,0,ok\n1,1,view,3,5,ok\n"), options
    )

    assert report.added == {"cancel": 1}
    assert dropped(report) == {"dropped as n<1": 1, "dropped as state!=returned": 1}


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("x=5", [True, False, False, False, False]),
        ("x!=5", [False, True, True, True, False]),
        ("x^=C", [False, False, True, False, False]),
        ("x<5", [False, True, False, False, False]),
        ("x<=5", [True, True, False, False, False]),
        ("x > -7", [True, True, False, False, False]),
        ("x>=5.0", [True, False, False, False, False]),
        ("x=", [False, False, False, False, True]),
        ("x!=", [True, True, True, True, False]),
        ("x=NULL", [False, False, False, False, True]),
    ],
)
def test_conditions_compare_as_they_say(condition: str, holds: list[bool]) -> None:
    import numpy as np

    texts = np.array(["5", "-6", "C5", "nan", None], object)

    assert Condition.parse(condition).holds(texts)[0].tolist() == holds


@pytest.mark.parametrize("text", ["", "Quantity", "<=0", "Quantity<=few", "Quantity<="])
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="should be"):
        Condition.parse(text)


def test_devices_and_categories_are_kept_and_too_long_ones_left_out(db: Database, write: Callable[..., Path]) -> None:
    text = f"user,item,event,at,kind,with\n1,1,view,1,tea,mobile\n1,2,view,2,{'t' * 51},{'m' * 51}\n"
    text += "1,3,view,3,,\n1,2,view,4,mugs,tablet\n"
    report = run(db, write(text), ImportOptions(**{**vars(CLICKS), "category": "kind", "device_type": "with"}))

    assert db.query("SELECT id, categoryId FROM Products ORDER BY id") == [(1, "tea"), (2, "mugs"), (3, None)]
    assert [device for (device,) in db.query("SELECT device_type FROM Interactions ORDER BY interId")] == [
        "mobile",
        None,
        None,
        "tablet",
    ]
    assert report.ignored == {"category longer than 50 characters": 1, "device_type longer than 50 characters": 1}
    assert {code for (code,) in db.query("SELECT code FROM Allcodes WHERE type = 'CATEGORY'")} == {"tea", "mugs"}


def test_a_name_and_a_category_that_come_in_a_later_chunk_are_still_taken(
    database_url: str, write: Callable[..., Path]
) -> None:
    text = "user,item,event,at,name,kind\n1,1,view,1,,\n1,1,view,2,Kettle,\n1,1,view,3,Other,kitchen\n"
    with connect(database_url) as db:
        run(db, write(text), ImportOptions(**{**vars(CLICKS), "name": "name", "category": "kind", "chunk": 1}))

        assert db.query("SELECT name, categoryId, view FROM Products") == [("Kettle", "kitchen", 3)]


def test_products_that_the_shop_has_described_itself_stay_as_they_are(db: Database, write: Callable[..., Path]) -> None:
    migrate(db)
    db.insert("Products", [{"id": 1, "name": "Our own name", "statusId": "S2"}])
    run(db, write("user,item,event,at,name\n1,1,view,1,Theirs\n"), ImportOptions(**{**vars(CLICKS), "name": "name"}))

    assert db.query("SELECT name, statusId, view FROM Products") == [("Our own name", "S2", 1)]


@pytest.mark.parametrize("price", ["inf", "-inf", "0", "-1", "1e999", "two", "nan"])
def test_an_impossible_price_is_ignored_and_its_event_kept(
    db: Database, write: Callable[..., Path], price: str
) -> None:
    report = run(
        db,
        write(f"user,item,event,at,price\n1,1,view,1,{price}\n"),
        ImportOptions(**{**vars(CLICKS), "price": "price"}),
    )

    assert report.added == {"view": 1} and report.priced_products == 0
    assert report.ignored == ({} if price == "nan" else {"price not a number above 0": 1})  # "nan" says nothing at all
    assert db.query("SELECT * FROM Productdetails") == []


def test_a_new_price_replaces_the_stored_one(db: Database, write: Callable[..., Path]) -> None:
    options = ImportOptions(**{**vars(CLICKS), "price": "price"})
    run(db, write("user,item,event,at,price\n1,1,view,20,3\n1,1,view,10,2\n"), options)
    assert db.query("SELECT productId, originalPrice FROM Productdetails") == [(1, 3.0)]

    run(db, write("user,item,event,at,price\n1,1,view,30,4.5\n"), options)
    assert db.query("SELECT productId, originalPrice FROM Productdetails") == [(1, 4.5)]


# Moments


@pytest.mark.parametrize(
    ("text", "more", "expected"),
    [
        ("2011-07-01 08:26:00", {}, "2011-07-01 08:26:00"),
        ("2011-07-01T08:26:00Z", {}, "2011-07-01 08:26:00"),
        ("2011-07-01T08:26:00+02:00", {"time_zone": "Asia/Shanghai"}, "2011-07-01 06:26:00"),
        ("2011-07-01 08:26:00", {"time_zone": "Asia/Shanghai"}, "2011-07-01 00:26:00"),
        ("2011-07-01 08:26:00", {"time_zone": "Europe/London"}, "2011-07-01 07:26:00"),
        ("2011-12-01 08:26:00", {"time_zone": "Europe/London"}, "2011-12-01 08:26:00"),
        ("2011-07-01", {}, "2011-07-01 00:00:00"),
        ("7/1/2011 8:26", {"timestamp_format": "%m/%d/%Y %H:%M"}, "2011-07-01 08:26:00"),
        ("1511544070", {}, "2017-11-24 17:21:10"),
        ("1511544070123", {}, "2017-11-24 17:21:10"),
        ("1511544070.9", {"timestamp_unit": "s"}, "2017-11-24 17:21:10"),
        ("1511544070999", {"timestamp_unit": "ms"}, "2017-11-24 17:21:10"),
        ("1511544070999999", {"timestamp_unit": "us"}, "2017-11-24 17:21:10"),
        ("1511544070999999999", {"timestamp_unit": "ns"}, "2017-11-24 17:21:10"),  # a float would round this up
    ],
)
def test_moments_are_stored_in_utc(
    db: Database, write: Callable[..., Path], text: str, more: dict[str, str], expected: str
) -> None:
    run(db, write(f"user,item,event,at\n1,1,view,{text}\n"), ImportOptions(**{**vars(CLICKS), **more}))

    assert stored(db) == [(1, 1, "view", expected)]


@pytest.mark.parametrize("text", ["", "soon", "2011-02-30", "-5", "0", "1e300", "inf", "99999999999999999999"])
@pytest.mark.parametrize("unit", [None, "s"])
def test_an_illegible_moment_is_dropped_by_name(
    db: Database, write: Callable[..., Path], text: str, unit: str | None
) -> None:
    path = write(f"user,item,event,at\n1,1,view,{text}\n1,1,view,1511544070\n")
    report = run(db, path, ImportOptions(**{**vars(CLICKS), "timestamp_unit": unit}))

    assert dropped(report) == {"illegible timestamp": 1}
    assert report.added == {"view": 1}


def test_an_order_becomes_a_clock_of_hours_from_the_year_2000(db: Database, write: Callable[..., Path]) -> None:
    options = ImportOptions(user="user", item="item", event="event", order="rank")
    report = run(
        db,
        write("user,item,event,rank\n1,5,view,0\n1,6,view,25\n2,5,view,1\n2,5,view,-1\n2,5,view,x\n2,5,view,1e15\n"),
        options,
    )

    assert [row[3] for row in stored(db)] == ["2000-01-01 00:00:00", "2000-01-02 01:00:00", "2000-01-01 01:00:00"]
    assert dropped(report) == {"illegible order": 3}


def test_a_new_user_dates_from_the_first_event(db: Database, write: Callable[..., Path]) -> None:
    run(db, write("user,item,event,at\n1,1,view,2020-05-05\n1,1,view,2020-03-03\n"), CLICKS)

    assert [str(at) for (at,) in db.query("SELECT createdAt FROM Users")] == ["2020-03-03 00:00:00"]
    assert [str(at) for (at,) in db.query("SELECT createdAt FROM Products")] == ["2020-03-03 00:00:00"]


def test_two_imports_at_once_do_not_mix_their_numbers(
    tmp_path: Path, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recsys.importing.run.MIN_JUDGED", 1)
    url, options = f"sqlite:///{tmp_path / 'shop.sqlite'}", ImportOptions(**{**vars(CLICKS), "chunk": 1})
    path = write("user,item,event,at\n1,A,view,5\n1,B,view,6\n")

    def another_import(_: int, rows: int) -> None:
        with connect(url) as other:
            other.insert("Products", [{"id": FIRST_ASSIGNED + rows, "name": "Theirs", "externalId": "C"}])

    with connect(url, create=True) as db:
        with pytest.raises(Overloaded, match="Run the import again"):
            run(db, path, options, progress=another_import)
        run(db, path, options)

        assert list(ids_of(db, "Products").values()) == ["A", "C", "B"]
        assert [row[1] - FIRST_ASSIGNED for row in stored(db)] == [0, 2]


# Files


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_parquet_moments_of_every_unit_mean_the_same(db: Database, tmp_path: Path, unit: str) -> None:
    at = datetime(2017, 11, 24, 17, 21, 10)  # noqa: DTZ001 - a wall clock in Shanghai
    table = pa.table({"user": [1], "item": [2], "event": ["view"], "at": pa.array([at], pa.timestamp(unit))})
    parquet.write_table(table, tmp_path / "events.parquet")

    run(db, tmp_path / "events.parquet", ImportOptions(**{**vars(CLICKS), "time_zone": "Asia/Shanghai"}))

    assert stored(db) == [(1, 2, "view", "2017-11-24 09:21:10")]


def test_parquet_as_pandas_writes_it_arrives_with_its_microseconds_nulls_and_zones(
    db: Database, tmp_path: Path
) -> None:
    moments = [datetime(2024, 3, 1, 9, 0, 0, 900_000, UTC), datetime(2024, 3, 1, 10, tzinfo=UTC), None]
    table = pa.table(
        {
            "user": pa.array([1.0, None, 3.0]),  # whole numbers that a null has made floats
            "item": pa.array(["A", "B", "A"]).dictionary_encode(),  # a categorical
            "event": ["view", "view", "cart"],
            "at": pa.array(moments, pa.timestamp("us", "Europe/Berlin")),
        }
    )
    parquet.write_table(table, tmp_path / "events.parquet")

    report = run(db, tmp_path / "events.parquet", CLICKS)

    assert stored(db) == [(1, FIRST_ASSIGNED, "view", "2024-03-01 09:00:00")]
    assert dropped(report) == {"no user": 1, "illegible timestamp": 1}


def test_floats_are_known_by_their_own_value_not_by_their_chunk(db: Database, tmp_path: Path) -> None:
    table = pa.table(
        {
            "user": [1, 1, 1],
            "item": [1, 1, 1],
            "event": ["view"] * 3,
            "at": [10, 20, 30],
            "price": [2.0, 2.5, float("nan")],
        }
    )
    parquet.write_table(table, tmp_path / "events.parquet")
    options = {**vars(CLICKS), "price": "price"}
    run(db, tmp_path / "events.parquet", ImportOptions(**{**options, "chunk": 1}))

    report = run(db, tmp_path / "events.parquet", ImportOptions(**{**options, "chunk": 100}))

    assert report.added == {} and dropped(report) == {"imported before": 3}


def test_lists_are_no_ids(db: Database, tmp_path: Path) -> None:
    parquet.write_table(
        pa.table({"user": [[1]], "item": [2], "event": ["view"], "at": [5]}), tmp_path / "events.parquet"
    )

    with pytest.raises(UsageError, match="should hold text"):
        run(db, tmp_path / "events.parquet", CLICKS)


def test_lists_beside_the_needed_columns_do_no_harm(db: Database, tmp_path: Path) -> None:
    table = pa.table({"user": [1], "item": [2], "event": ["view"], "at": [5], "tags": [["a", "b"]]})
    parquet.write_table(table, tmp_path / "events.parquet")

    assert run(db, tmp_path / "events.parquet", CLICKS).added == {"view": 1}


def test_a_csv_with_a_mark_quotes_and_line_breaks_in_values_is_read(db: Database, write: Callable[..., Path]) -> None:
    text = '\ufeffuser,item,event,at,name\r\n1,1,view,5,"Tea, ""fine""\nand loose"\r\n'
    run(db, write(text), ImportOptions(**{**vars(CLICKS), "name": "name"}))

    assert db.query("SELECT name FROM Products") == [('Tea, "fine"\nand loose',)]


def test_another_delimiter_and_encoding_are_read(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "events.tsv"
    path.write_bytes("user\titem\tevent\tat\tname\n1\t1\tview\t5\tThé\n".encode("latin-1"))

    run(db, path, ImportOptions(**{**vars(CLICKS), "name": "name", "delimiter": "\t", "encoding": "latin-1"}))

    assert db.query("SELECT name FROM Products") == [("Thé",)]


def test_lines_with_too_many_or_too_few_fields_are_counted(db: Database, write: Callable[..., Path]) -> None:
    report = run(db, write("user,item,event,at\n1,1,view\n1,1,view,5\n1,1,view,6,7\n"), CLICKS)

    assert report.rows == 3 and report.added == {"view": 1}
    assert dropped(report) == {"line with too few or too many fields": 2}


def test_progress_ends_at_the_size_of_the_file(db: Database, write: Callable[..., Path], tmp_path: Path) -> None:
    path, calls = write(ORDERS, "orders.csv.gz"), []
    run(db, path, ORDER_OPTIONS, progress=lambda done, rows: calls.append((done, rows)))
    assert calls[-1] == (path.stat().st_size, 10)

    parquet.write_table(
        pa.table({"user": [1, 1], "item": [2, 2], "event": ["view"] * 2, "at": [5, 6]}), tmp_path / "e.parquet"
    )
    calls.clear()
    options = ImportOptions(**{**vars(CLICKS), "chunk": 1})
    run(db, tmp_path / "e.parquet", options, progress=lambda done, rows: calls.append((done, rows)))
    size = (tmp_path / "e.parquet").stat().st_size
    assert calls == [(size // 2, 1), (size, 2)]


# Bad files, each refused in one sentence


def refusal(db: Database, path: Path, options: ImportOptions = CLICKS) -> str:
    with pytest.raises(UsageError) as caught:
        run(db, path, options)
    return str(caught.value)


def test_a_missing_column_is_refused_with_the_columns_there_are(db: Database, write: Callable[..., Path]) -> None:
    assert refusal(db, write("who,item,event,at\n1,1,view,5\n")) == (
        "events.csv should have one column 'user'. Received: no such column among who, item, event, at."
    )
    assert "more than one among user, user" in refusal(db, write("user,user,item,event,at\n1,1,1,view,5\n"))


def test_an_empty_file_and_a_header_alone_are_refused(db: Database, write: Callable[..., Path]) -> None:
    assert "Received: an empty file" in refusal(db, write(""))
    assert "Received: a header only" in refusal(db, write("user,item,event,at\n"))


def test_a_file_that_is_not_there_is_refused(db: Database, tmp_path: Path) -> None:
    assert "no such file" in refusal(db, tmp_path / "events.csv")


def test_a_folder_is_refused(db: Database, tmp_path: Path) -> None:
    assert "cannot be read" in refusal(db, tmp_path)


def test_what_is_not_what_its_name_says_is_refused(db: Database, tmp_path: Path) -> None:
    for name, kind in (("events.csv.gz", "gzip"), ("events.parquet", "Parquet")):
        (tmp_path / name).write_text("user,item,event,at\n1,1,view,5\n", encoding="utf-8")
        assert refusal(db, tmp_path / name) == f"{name} should be {kind}, as its name says. Received: something else."


def test_a_truncated_file_is_refused_before_anything_is_written(db: Database, tmp_path: Path) -> None:
    options = ImportOptions(**{**vars(CLICKS), "chunk": 500})
    text = "user,item,event,at\n" + "".join(
        f"u{k % 50},p{k * 7 % 97},view,{1_500_000_000 + k * k}\n" for k in range(6_000)
    )
    whole = gzip.compress(text.encode("ascii"))
    path = tmp_path / "events.csv.gz"
    path.write_bytes(whole[: len(whole) * 4 // 5])
    assert "events.csv.gz cannot be read" in refusal(db, path, options)
    ((before,),) = db.query("SELECT COUNT(*) FROM Interactions")
    assert before == 0  # the search for guests reads it before anything is written

    path.write_bytes(whole)
    run(db, path, options)
    assert db.query("SELECT COUNT(*) FROM Interactions") == [(6_000,)]


def test_truncated_parquet_is_refused(db: Database, tmp_path: Path) -> None:
    parquet.write_table(pa.table({"user": [1], "item": [2], "event": ["view"], "at": [5]}), tmp_path / "e.parquet")
    (tmp_path / "e.parquet").write_bytes((tmp_path / "e.parquet").read_bytes()[:60])

    assert "e.parquet cannot be read" in refusal(db, tmp_path / "e.parquet")


def test_text_that_is_not_utf8_is_refused(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_bytes("user,item,event,at\n1,Thé,view,5\n".encode("latin-1"))

    assert "events.csv should be written in utf8, or --encoding say how" in refusal(db, path)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"timestamp": None}, "Either --timestamp or --order"),
        ({"order": "rank"}, "Either --timestamp or --order"),
        ({"timestamp_unit": "min"}, "--timestamp-unit should be one of s, ms, us, ns"),
        ({"timestamp_unit": "s", "timestamp_format": "%Y"}, "Received: both"),
        ({"time_zone": "Mars/Olympus"}, "--time-zone should be a name"),
        ({"event": None, "event_map": {"a": "view"}}, "--event-map should come with --event"),
        ({"delimiter": "‖"}, "--delimiter should be ASCII characters"),
        ({"chunk": 0}, "--chunk should be a positive integer"),
    ],
)
def test_options_that_contradict_themselves_are_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        ImportOptions(**{**vars(CLICKS), **wrong})


def test_an_event_that_training_does_not_know_is_refused(db: Database, write: Callable[..., Path]) -> None:
    options = ImportOptions(**{**vars(CLICKS), "event_map": {"pv": "vieww"}})

    assert "Received: vieww." in refusal(db, write("user,item,event,at\n1,1,pv,5\n"), options)


# The script


def test_the_script_imports_and_prints_a_table_of_counts(
    tmp_path: Path, write: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path / 'shop.sqlite'}"

    assert script.main([str(write(ORDERS, "orders.csv.gz")), *ORDER_FLAGS, "--database-url", url]) == 0
    printed = capsys.readouterr()
    told = "import_events: WARNING: illegible timestamp: 1 of 10 rows, e.g. 'the third' (row 9). --timestamp-format"
    assert printed.err.startswith(told)
    for line in (
        "added: cancel",
        "added: purchase",
        "dropped: no user",
        "dropped: dropped as Quantity<=0",
        "new products",
    ):
        assert line in printed.out
    with connect(url) as db:
        assert db.query("SELECT COUNT(*) FROM Interactions") == [(5,)]


def test_a_file_without_a_usable_row_prints_its_table_and_fails(
    tmp_path: Path, write: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--user", "user", "--item", "item", "--event", "event", "--timestamp", "at"]
    status = script.main(
        [
            str(write("user,item,event,at\n1,1,pv,5\n")),
            *flags,
            "--database-url",
            f"sqlite:///{tmp_path / 'shop.sqlite'}",
        ]
    )

    printed = capsys.readouterr()
    assert status == UsageError.exit_status
    assert "unknown event 'pv'" in printed.out and "no row became an event" in printed.err


def test_names_from_the_file_are_printed_as_they_are(
    tmp_path: Path, write: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--user", "user", "--item", "item", "--event", "event", "--timestamp", "at"]
    path = write("user,item,event,at\n1,1,[/b],5\n1,1,[red]x,5\n1,1,view,5\n", "[bold]events.csv")

    assert script.main([str(path), *flags, "--database-url", f"sqlite:///{tmp_path / 'shop.sqlite'}"]) == 0
    printed = capsys.readouterr().out
    assert "unknown event '[/b]'" in printed and "unknown event '[red]x'" in printed and "[bold]events.csv" in printed


def test_the_script_shows_odd_ids_and_takes_what_the_caller_knows_of_guests(
    tmp_path: Path, write: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write("user,item,at,visit\n7.0,A\x1b[31m,1,\n,5,2,v1\nguest,5,3,\nshop,5,4,\nNA,5,5,\n")
    flags = ["--user", "user", "--item", "item", "--timestamp", "at", "--session", "visit", "--guest", "shop"]
    url = f"sqlite:///{tmp_path / 'shop.sqlite'}"

    assert script.main([str(path), *flags, "--person", "NA", "--database-url", url]) == 0

    printed = capsys.readouterr().out
    for line in ("dropped: guests as user 'guest'", "dropped: guests as user 'shop'", "events of guests' sessions"):
        assert line in printed
    assert "1 user ids: a whole number in another spelling, e.g. '7.0' is 7, in the row 7.0,A [31m,1," in printed
    assert "\x1b[31m" not in printed
    with connect(url) as db:
        assert list(ids_of(db, "Users").values()) == [None, "guest:v1", "NA"]


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--user", "nobody", "--item", "item", "--timestamp", "at"], "should have one column 'nobody'"),
        (
            ["--user", "user", "--item", "item", "--timestamp", "at", "--context", "weather=sky"],
            "--context should name a context",
        ),
        (
            ["--user", "user", "--item", "item", "--timestamp", "at", "--event", "event", "--event-map", "pv"],
            "--event-map should hold pairs",
        ),
        (["--user", "user", "--item", "item", "--timestamp", "at", "--drop-when", "n"], "A condition should be"),
        (["--user", "user", "--item", "item", "--timestamp", "at", "--encoding", "martian"], "cannot be read"),
    ],
)
def test_the_script_reports_an_error_in_one_line(
    tmp_path: Path, write: Callable[..., Path], capsys: pytest.CaptureFixture[str], flags: list[str], says: str
) -> None:
    url = f"sqlite:///{tmp_path / 'shop.sqlite'}"

    assert script.main([str(write("user,item,event,at,n\n1,1,view,5,1\n")), *flags, "--database-url", url]) == 64
    printed = capsys.readouterr()
    assert printed.out == "" and says in printed.err and printed.err.count("\n") == 1


@pytest.mark.slow
def test_the_command_runs_from_anywhere_and_a_dead_database_is_one_line(
    tmp_path: Path, write: Callable[..., Path]
) -> None:
    write(ORDERS)
    command = [sys.executable, str(ROOT / "scripts" / "import_events.py"), "events.csv", *ORDER_FLAGS, "--database-url"]
    environ = {"PATH": os.environ["PATH"]}

    good = subprocess.run(
        [*command, "sqlite:///" + str(tmp_path / "s.sqlite")],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    dead = subprocess.run(
        [*command, "mysql+pymysql://root@127.0.0.1:1/x"],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )

    assert good.returncode == 0 and "added: purchase" in good.stdout
    assert good.stderr.startswith("import_events: WARNING: illegible timestamp: 1 of 10 rows")
    assert (
        dead.returncode == 69
        and dead.stdout == ""
        and dead.stderr.count("\n") == 1
        and "cannot be reached" in dead.stderr
    )
