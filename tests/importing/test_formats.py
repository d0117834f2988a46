"""Formats by name, each on a small file of its real columns whose right events are worked out by hand."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from recsys.errors import UsageError
from recsys.importing.amounts import amount, count
from recsys.importing.formats.registry import FORMATS, open_format
from recsys.importing.options import ImportOptions
from recsys.importing.report import ImportReport
from recsys.importing.run import import_events
from recsys.settings import load_settings
from recsys.store import Database, connect
from scripts import import_events as script
from tests.helpers.format_cases import CASES, Event
from tests.helpers.workbook import write_workbook

MOST = 0.25  # one of the four events of the case "otto" is a broken line
FOLDERS = Path(__file__).with_name("formats")
SHOP = load_settings({"DATABASE_URL": "sqlite:///unused"}, Path(__file__).parent).shop


def read(db: Database, name: str, path: Path, **flags: Any) -> ImportReport:
    options, source = open_format(name, path, flags)
    return import_events(db, path, options, shop=SHOP, source=source)


def events(db: Database) -> list[Event]:
    rows = db.query(
        "SELECT COALESCE(u.externalId, CAST(u.id AS TEXT)), COALESCE(p.externalId, CAST(p.id AS TEXT)), i.actionCode, "
        "i.timestamp FROM Interactions i JOIN Users u ON u.id = i.userId JOIN Products p ON p.id = i.productId"
    )
    return sorted((str(user), str(item), str(event), str(moment)) for user, item, event, moment in rows)


def products(db: Database) -> dict[str, tuple[Any, ...]]:
    sql = (
        "SELECT COALESCE(p.externalId, CAST(p.id AS TEXT)), p.name, p.categoryId, d.originalPrice "
        "FROM Products p LEFT JOIN Productdetails d ON d.productId = p.id"
    )
    return {row[0]: tuple(row[1:]) for row in db.query(sql)}


def counts(report: ImportReport) -> dict[str, int]:
    return {reason: n for reason, n in report.dropped.items() if n}


def test_each_format_has_a_case() -> None:
    assert {case.format for case in CASES.values()} == set(FORMATS)
    assert {path.name for path in FOLDERS.iterdir()} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_a_format_is_read_right_again_and_by_small_chunks(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    path = FOLDERS / name / (case.main or "")
    for chunk in (50_000, 2):
        with connect(f"sqlite:///{tmp_path / str(chunk)}", create=True) as db:
            report = read(db, case.format, path, chunk=chunk, max_unreadable=MOST)
            assert events(db) == list(case.events)
            assert counts(report) == dict(case.dropped)
            assert report.rows == report.added.total() + report.dropped.total()
            assert {item: products(db)[item] for item in case.products} == dict(case.products)

            again = read(db, case.format, path, chunk=3, max_unreadable=MOST)
            assert not again.added and not again.withdrawn and events(db) == list(case.events)


@pytest.mark.parametrize("name", ["retailrocket", "movielens-dat", "instacart", "shopify-orders", "diginetica"])
def test_an_archive_and_gzipped_files_are_read_as_their_folder_is(name: str, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    with ZipFile(tmp_path / "set.zip", "w") as archive:
        for file in (FOLDERS / name).iterdir():
            archive.write(file, f"inner/{file.name}")
            (tmp_path / f"set/{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
    for path in (tmp_path / "set.zip", tmp_path / "set"):
        with connect(f"sqlite:///{path}.db", create=True) as db:
            read(db, CASES[name].format, path)
            assert events(db) == list(CASES[name].events)


def test_a_workbook_is_read_also_from_its_archive(tmp_path: Path) -> None:
    case, text = CASES["online-retail"], (FOLDERS / "online-retail/data.csv").read_text(encoding="latin-1")
    book = write_workbook(tmp_path / "Online Retail.xlsx", {"Log": [line.split(",") for line in text.splitlines()]})
    with ZipFile(tmp_path / "online+retail.zip", "w") as archive:
        archive.write(book, "Online Retail.xlsx")
    for path in (book, tmp_path / "online+retail.zip"):
        with connect(f"sqlite:///{path}.db", create=True) as db:
            report = read(db, "online-retail", path)
            assert events(db) == list(case.events)
            assert counts(report) == dict(case.dropped)


def test_a_flag_replaces_what_the_format_says(tmp_path: Path) -> None:
    with connect(f"sqlite:///{tmp_path / 'db'}", create=True) as db:
        read(db, "retailrocket", FOLDERS / "retailrocket", event_map={"addtocart": "wishlist"})
        assert [event for _, _, event, _ in events(db)] == ["wishlist", "view"]


def test_an_order_that_is_refunded_later_is_taken_back(tmp_path: Path) -> None:
    path, files = tmp_path / "orders.csv", sorted((FOLDERS / "shopify-orders").glob("orders*"))
    first, second = (file.read_text(encoding="utf-8") for file in files)
    text = first + second.partition("\n")[2]
    with connect(f"sqlite:///{tmp_path / 'db'}", create=True) as db:
        path.write_text(text, encoding="utf-8")
        read(db, "shopify-orders", path)
        assert ("ann@example.com", "P-R", "purchase", "2024-01-31 15:15:20") in events(db)  # no products beside it
        path.write_text(text.replace("Ann@example.com,paid", "ann@example.com,refunded"), encoding="utf-8")
        report = read(db, "shopify-orders", path)

        assert report.withdrawn == 3 and not report.added
        assert {user for user, *_ in events(db)} == {"4912345", "bob@example.com", "dan@example.com"}


@pytest.mark.parametrize(
    ("name", "file", "text", "says"),
    [
        ("retailrocket", "events.csv", "a,b\n", "--format retailrocket: events.csv should have one column 'timestamp'"),
        ("otto", "a.jsonl", '{"a": 1}\n', "should have one column 'session'"),
        ("recbole", "a.inter", "user_id:token\tx:float\n1\t2\n", "should have one column 'item_id:token'"),
        ("instacart", "order_products__prior.csv", "order_id,product_id\n1,2\n", "should have orders.csv beside it"),
        ("movielens", "other.csv", "a,b\n1,2\n", "should hold ratings"),
    ],
)
def test_what_is_not_of_the_format_is_refused(name: str, file: str, text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / file).write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="Received") as raised:
        open_format(name, tmp_path, {})
    assert says in str(raised.value)


def test_damaged_files_are_told(tmp_path: Path) -> None:
    whole = gzip.compress((FOLDERS / "retailrocket/events.csv").read_bytes())
    for name in ("retailrocket", "movielens"):
        for cut in (whole[:60], whole[:6], b"PK\x03\x04" + whole):
            (tmp_path / "events.csv.gz").write_bytes(cut)
            with pytest.raises(UsageError, match="events.csv.gz (cannot be read|should be gzip)"):
                open_format(name, tmp_path / "events.csv.gz", {})


BROKEN = b'\n{"user":7,"item":"9","at":1706696100,"price":2.50}\n[1]\n'
PLAIN = "user,item,at,price\n7,9,2024-01-31 10:15:00,2\n"


@pytest.mark.parametrize(
    ("file", "content", "flags", "price"),
    [
        ("utf16.csv", PLAIN.encode("utf-16"), {}, 2.0),
        ("tab.tsv", PLAIN.replace(",", "\t").encode(), {"delimiter": "\t"}, 2.0),
        ("double.dat", PLAIN.replace(",", "::").encode(), {"delimiter": "::"}, 2.0),
        ("comma.csv", PLAIN.replace(",", ";").replace(";2\n", ";12,50\n").encode(), {"delimiter": ";"}, 12.5),
        ("lines.jsonl", b'{"user":7,"item":9,"at":"2024-01-31 10:15:00"}\n{"user":7,"price":3}\n', {}, None),
        (
            "lines.jsonl.gz",
            gzip.compress(BROKEN, mtime=0),
            {},
            2.5,
        ),
    ],
)
def test_other_encodings_separators_and_lines_are_read(
    file: str, content: bytes, flags: dict[str, Any], price: float | None, tmp_path: Path
) -> None:
    (tmp_path / file).write_bytes(content)
    with ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / file, f"deep/{file}")
    for path in (tmp_path / file, tmp_path / "a.zip"):
        with connect(f"sqlite:///{path}.db", create=True) as db:
            options = ImportOptions(
                user="user", item="item", timestamp="at", price="price", max_unreadable=0.5, **flags
            )
            import_events(db, path, options, shop=SHOP)
            assert events(db) == [("7", "9", "purchase", "2024-01-31 10:15:00")]
            assert products(db)["9"][2] == price


def test_two_pieces_on_a_day_are_two_whatever_the_chunk(tmp_path: Path) -> None:
    line, dated = "2018-09-20,ann,0663713001", "2018-09-20 10:00:00,ann,0541518023"
    path = tmp_path / "hm.csv"
    expected = [("ann", "0541518023", "purchase", "2018-09-20 08:00:00")] + [
        ("ann", "0663713001", "purchase", f"2018-09-19 22:00:0{second}") for second in range(3)
    ]
    for chunk in (1, 2, 100):
        path.write_text("\n".join(["t_dat,customer_id,article_id", line, dated, line, dated, line, ""]))
        options = ImportOptions(
            user="customer_id", item="article_id", timestamp="t_dat", time_zone="Europe/Paris", chunk=chunk
        )
        with connect(f"sqlite:///{tmp_path / str(chunk)}", create=True) as db:
            first = import_events(db, path, options, shop=SHOP)
            again = import_events(db, path, options, shop=SHOP)
            assert events(db) == expected
            assert (first.added.total(), first.dropped["equal to an earlier row"]) == (4, 1)
            assert (again.added.total(), again.dropped.total()) == (0, 5)
            path.write_text(path.read_text() + line + "\n")  # a longer export
            assert import_events(db, path, options, shop=SHOP).added.total() == 1


def test_the_command_reads_a_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = FOLDERS / "shopify-orders"
    url = ["--database-url", f"sqlite:///{tmp_path / 'db'}"]
    assert script.main([str(folder), "--format", "shopify-orders", *url]) == 0
    assert "dropped: order refunded" in capsys.readouterr().out
    assert script.main([str(folder / "orders_export_1.csv"), *url]) != 0
    assert "--user should name a column, or --format a format" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "as_amount", "as_count"),
    [
        ("12.50", 12.5, 12.5),
        ("12,5", 12.5, 12.5),
        ("1.234.567,80", 1234567.8, 1234567.8),
        ("1'234.50", 1234.5, 1234.5),
        ("1\u202f234,50", 1234.5, 1234.5),
        ("-1,200", None, -1200.0),
        ("\u22122", -2.0, -2.0),
        ("(3)", -3.0, -3.0),
        ("3-", -3.0, -3.0),
        ("1,2,3", None, None),
        ("EUR 3", None, None),
        ("", None, None),
        (None, None, None),
    ],
)
def test_numbers_of_any_country(text: str | None, as_amount: float | None, as_count: float | None) -> None:
    received = [value if value == value else None for value in (amount(text), count(text))]
    assert received == [as_amount, as_count]
