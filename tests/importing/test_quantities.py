"""Cancellations by quantity in a file: after the import, the same purchases stand as where tables tell quantities."""

from __future__ import annotations

import gzip
from pathlib import Path
from zipfile import ZipFile

import pyarrow
import pyarrow.parquet as parquet
import pytest

from recsys.data.cleaning import clean_history
from recsys.importing.formats.registry import FORMATS
from recsys.importing.options import Condition, ImportOptions
from recsys.importing.report import ImportReport
from recsys.importing.run import import_events
from recsys.settings import load_settings
from recsys.store import Database, connect, read_interactions
from tests.helpers.purchases import NOW, QUANTITY_CASES, QuantityCase

SHOP = load_settings({"DATABASE_URL": "sqlite:///unused"}, Path(__file__).parent).shop
OPTIONS = ImportOptions(user="user", item="item", event="event", timestamp="at", quantity="pieces", chunk=2)


@pytest.fixture
def database(tmp_path: Path):  # noqa: ANN201 - a database, closed in the end
    with connect(f"sqlite:///{tmp_path / 'shop.sqlite'}", create=True) as db:
        yield db


def written(case: QuantityCase, path: Path) -> Path:
    lines = [
        f"{user},{item},{event},{NOW - age},{'' if pieces is None else pieces},{row}"
        for row, (user, event, item, age, pieces) in enumerate(case.events)
    ]
    path.write_text("\n".join(["user,item,event,at,pieces,row", *lines]), encoding="utf-8")
    return path


def imported(db: Database, path: Path, options: ImportOptions = OPTIONS) -> ImportReport:
    report = import_events(db, path, options, shop=SHOP)
    assert report.rows + report.repeated == report.added.total() + report.dropped.total()
    return report


def standing(db: Database) -> list[tuple[int, int]]:
    events, _ = clean_history(read_interactions(db, SHOP)[0], shop=SHOP, now=NOW)
    return sorted(zip(events.users.tolist(), events.items.tolist(), strict=True))


@pytest.mark.parametrize("case", QUANTITY_CASES, ids=lambda case: case.name)
def test_the_right_purchases_stand(case: QuantityCase, database: Database, tmp_path: Path) -> None:
    imported(database, written(case, tmp_path / "a.csv"))

    assert standing(database) == case.standing()


def test_a_second_import_adds_nothing(database: Database, tmp_path: Path) -> None:
    case = QuantityCase("", [(7, "purchase", 1, 60, 2), (7, "purchase", 1, 50, 2), (7, "cancel", 1, 40, -4)], [])
    first = imported(database, written(case, tmp_path / "a.csv"))
    again = imported(database, tmp_path / "a.csv")

    assert (first.added, first.repeated) == ({"purchase": 2, "cancel": 2}, 1)
    assert (again.added, dict(again.dropped)) == ({}, {"imported before": 4})
    assert standing(database) == []


def test_a_cancellation_of_what_an_earlier_file_sold_takes_back_one_purchase(
    database: Database, tmp_path: Path
) -> None:
    sold = QuantityCase("", [(7, "purchase", 1, 60, 2), (7, "purchase", 1, 50, 2)], [])
    imported(database, written(sold, tmp_path / "a.csv"))
    imported(database, written(QuantityCase("", [(7, "cancel", 1, 40, -2)], []), tmp_path / "b.csv"))

    assert standing(database) == [(7, 1)]


def test_a_part_and_an_unreadable_quantity_are_told(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("user,item,at,pieces,no\n7,1,2024-01-01,3,1\n7,1,2024-01-02,-1,C2\n7,2,2024-01-02,few,3\n")
    by_number = ImportOptions(
        user="user", item="item", timestamp="at", quantity="pieces", cancelled_when=[Condition.parse("no^=C")]
    )

    report = imported(database, path, by_number)

    assert report.dropped == {"cancellation of a part of a purchase": 1}
    assert [line for _, line in report.unreadable_lines()] == [
        "quantity not a number: 1 of 3 rows, e.g. 'few'. --decimal says which mark is decimal."
    ]
    assert standing(database) == [(7, 1), (7, 2)]


RETAIL = """InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
1,85123A,Pen,2,12/1/2010 8:26,2.5,17850,UK
2,85123A,Pen,2,12/2/2010 8:26,2.5,17850,UK
3,71053,Ink,2,12/2/2010 8:26,2.5,17850,UK
3,71053,Ink,3,12/2/2010 8:26,2.5,17850,UK
C4,85123A,Pen,-4,12/3/2010 8:26,2.5,17850,UK
C5,71053,Ink,-3,12/3/2010 8:26,2.5,17850,UK
"""


def test_online_retail_takes_back_two_purchases_at_once(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "Online Retail.csv"
    path.write_text(RETAIL, encoding="utf-8")
    opened = FORMATS["online-retail"](path, {})

    report = import_events(database, path, opened.options, shop=SHOP, source=opened.source)

    assert (report.added, report.repeated) == ({"purchase": 4, "cancel": 2}, 1)
    assert report.dropped == {"return of a part of a purchase": 1}
    names = dict(database.query("SELECT id, name FROM Products"))
    assert [(user, names[item]) for user, item in standing(database)] == [(17850, "Ink")]


@pytest.mark.parametrize("pack", ["zip", "gz", "zip in a zip"])
def test_a_packed_parquet_file_is_read(pack: str, database: Database, tmp_path: Path) -> None:
    table = pyarrow.table({"user": [7, 8], "item": [1, 2], "at": [NOW - 60, NOW - 50], "more": ["a", "b"]})
    plain = tmp_path / "events.parquet"
    parquet.write_table(table, plain)
    path = tmp_path / ("events.parquet.gz" if pack == "gz" else "events.zip")
    if pack == "gz":
        path.write_bytes(gzip.compress(plain.read_bytes()))
    else:
        inner = plain
        if pack != "zip":
            inner = tmp_path / "events.parquet.zip"
            with ZipFile(inner, "w") as archive:
                archive.write(plain, "events.parquet")
        with ZipFile(path, "w") as archive:
            archive.write(inner, inner.name)

    report = imported(database, path, ImportOptions(user="user", item="item", timestamp="at", chunk=1))

    assert (report.added, standing(database)) == ({"purchase": 2}, [(7, 1), (8, 2)])
