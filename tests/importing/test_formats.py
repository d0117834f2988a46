"""Formats by name, each on a small file of its real columns whose right events are worked out by hand."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from recsys.errors import UsageError
from recsys.importing.amounts import amount, count
from recsys.importing.formats.registry import FORMATS, open_format
from recsys.importing.options import ImportOptions
from recsys.importing.rows import ImportReport
from recsys.importing.run import import_events
from recsys.settings import load_settings
from recsys.store import Database, connect
from scripts import import_events as script
from tests.helpers.workbook import write_workbook

Event = tuple[str, str, str, str]  # user, item, event, moment in UTC


@dataclass(frozen=True)
class Case:
    """A data set of a format.

    Attributes:
        format: The format's name.
        files: The text of each file by its name.
        events: The right events, sorted.
        dropped: The right counts of rows that are no events.
        products: Name, category and price of some products.
        main: The file that the command names; None for the folder.
    """

    format: str
    files: Mapping[str, str | bytes]
    events: Sequence[Event]
    dropped: Mapping[str, int] = field(default_factory=dict)
    products: Mapping[str, tuple[str | None, str | None, float | None]] = field(default_factory=dict)
    main: str | None = None


SHOPIFY = """\
Name,Email,Financial Status,Paid at,Fulfillment Status,Total,Created at,Lineitem quantity,Lineitem name,Lineitem price,\
Lineitem sku,Cancelled at,Refunded Amount,Id,Phone
#1,Ann@example.com,paid,2024-01-31 10:15:22 -0500,fulfilled,50.00,2024-01-31 10:15:20 -0500,1,Pen - Red,10.00,P-R,,0.00,1,
#1,ann@example.com,,,,,2024-01-31 10:15:20 -0500,2,Pen - Blue,10.00,P-B,,,,
#1,ann@example.com,,,,,2024-01-31 10:15:20 -0500,1,"Cup, big - 2 - L",20.00,,,,,
#2,bob@example.com,refunded,2024-02-01 10:00:00 +0000,fulfilled,20.00,2024-02-01 10:00:00 +0000,1,Pen - Red,10.00,P-R,,20.00,2,
#2,bob@example.com,,,,,2024-02-01 10:00:00 +0000,1,Ink,10.00,INK,,,,
#3,bob@example.com,paid,2024-02-02 10:00:00 +0000,,20.00,2024-02-02 10:00:00 +0000,1,Ink,10.00,INK,2024-02-02 11:00:00 +0000,0.00,3,
#3,bob@example.com,,,,,2024-02-02 10:00:00 +0000,1,Pen - Red,10.00,P-R,,,,
#4,bob@example.com,partially_refunded,2024-02-03 10:00:00 +0000,,20.00,2024-02-03 10:00:00 +0000,2,Ink,10.00,INK,,10.00,4,
#5,cyd@example.com,pending,,,20.00,2024-02-04 10:00:00 +0000,1,Ink,10.00,INK,,0.00,5,
#5,cyd@example.com,,,,,2024-02-04 10:00:00 +0000,1,Pen - Red,10.00,P-R,,,,
#6,,paid,2024-02-05 10:00:00 +0000,,20.00,2024-02-05 10:00:00 +0000,1,Ink,10.00,INK,,0.00,6,+4912345
#6,,,,,,2024-02-05 10:00:00 +0000,0,Cap,10.00,CAP,,,,
#7,,paid,2024-02-06 10:00:00 +0000,,20.00,2024-02-06 10:00:00 +0000,1,Ink,10.00,INK,,0.00,7,
#8,dan@example.com,voided,,,20.00,2024-02-07 10:00:00 +0000,1,Ink,10.00,INK,,0.00,8,
#9,dan@example.com,paid,2024-02-08 10:00:00 +0000,,20.00,2024-02-08 10:00:00 +0000,1,Gone,5.00,GONE,,0.00,9,
"""
SHOPIFY_PRODUCTS = """\
Handle,Title,Body (HTML),Vendor,Type,Option1 Value,Variant SKU,Variant Price
pen,Pen,"<p>a
pen</p>",Acme,Writing,Red,P-R,10.00
pen,,,,,Blue,P-B,10.00
cup,"Cup, big - 2",,Acme,,L,,20.00
"""
SHOPIFY_EVENTS = [
    ("+4912345", "INK", "purchase", "2024-02-05 10:00:00"),
    ("ann@example.com", "cup", "purchase", "2024-01-31 15:15:20"),
    ("ann@example.com", "pen", "purchase", "2024-01-31 15:15:20"),
    ("ann@example.com", "pen", "purchase", "2024-01-31 15:15:20"),
    ("bob@example.com", "INK", "purchase", "2024-02-03 10:00:00"),
    ("dan@example.com", "GONE", "purchase", "2024-02-08 10:00:00"),
]
SHOPIFY_DROPPED = {
    "order refunded": 2,
    "order cancelled": 2,
    "order pending": 2,
    "order voided": 1,
    "quantity of 0 or illegible": 1,
    "no user": 1,
}
RETAILROCKET = """\
timestamp,visitorid,event,itemid,transactionid
1433221332117,257597,view,355908,
1433224214164,0,addtocart,248676,
1433224214164,0,addtocart,248676,
1433223236999,0,transaction,248676,4000
1433223236999,7,transaction,248676,4001
"""
REES46 = """\
event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session
2019-10-01 00:00:00 UTC,view,44600062,2103807459595387724,,shiseido,35.79,541312140,72d76fde
2019-10-01 00:00:01 UTC,cart,3900821,2053013552326770905,appliances.water_heater,aqua,33.20,554748717,9333dfbd
2019-10-01 00:00:04 UTC,purchase,1307067,2053013558920217191,computers.notebook,lenovo,-251.74,550050854,7c90fc70
2019-10-01 00:00:05 UTC,remove_from_cart,3900821,2053013552326770905,appliances.water_heater,aqua,33.20,554748717,9333dfbd
2019-10-01 00:00:06 UTC,view,1307067,2053013558920217191,computers.notebook,lenovo,251.74,,aaaa
"""
INVOICES = """\
InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
536365,85123A,HEART,6,12/1/2010 8:26,2.55,17850,UK
536365,71053,LANTERN,6,12/1/2010 8:26,3.39,17850,UK
536365,POST,POSTAGE,1,12/1/2010 8:26,18.00,17850,UK
C536366,85123A,HEART,-2,12/2/2010 9:00,2.55,17850,UK
C536367,71053,LANTERN,-6,12/2/2010 9:05,3.39,17850,UK
C536368,85123A,HEART,-4,12/3/2010 9:00,2.55,17850,UK
536369,85123A,HEART,12,12/4/2010 9:00,2.55,,UK
536370,22139,,-9,12/4/2010 9:10,0,,UK
A563185,B,Adjust bad debt,1,8/12/2011 14:50,11062.06,,UK
536371,71053,LANTERN,2,12/5/2010 8:00,3.39,13047,UK
C536379,D,Discount,-1,12/5/2010 9:41,27.5,13047,UK
"""
INVOICE_EVENTS = [
    ("13047", "71053", "purchase", "2010-12-05 08:00:00"),
    ("17850", "71053", "cancel", "2010-12-02 09:05:00"),
    ("17850", "71053", "purchase", "2010-12-01 08:26:00"),
    ("17850", "85123A", "cancel", "2010-12-03 09:00:00"),
    ("17850", "85123A", "purchase", "2010-12-01 08:26:00"),
]
INVOICES_DROPPED = {
    "no product, such as postage": 3,
    "return of a part of a purchase": 1,
    "quantity of 0 or below": 1,
    "no user": 1,
}
SESSIONS = [
    {
        "session": 12,
        "events": [
            {"aid": 59625, "ts": 1661724000278, "type": "clicks"},
            {"aid": 59625, "ts": 1661724001000, "type": "carts"},
        ],
    },
    {"session": 0, "events": [{"aid": 0, "ts": 1661724002999, "type": "orders"}]},
]
STARS = [
    ("1", "17", "star4", "1999-12-01 16:24:09"),
    ("1", "25", "star1", "1999-12-01 16:43:48"),
    ("2", "29", "star3", "1999-11-21 05:56:16"),
]
DOLLS = {"17": ("Sense (1995)", "Drama", None), "25": ("Café (1995)", "Comedy", None)}
CASES: Mapping[str, Case] = {
    "retailrocket": Case(
        "retailrocket",
        {"events.csv": RETAILROCKET, "category_tree.csv": "categoryid,parentid\n1,\n"},
        [
            ("0", "248676", "cart", "2015-06-02 05:50:14"),
            ("0", "248676", "purchase", "2015-06-02 05:33:56"),
            ("257597", "355908", "view", "2015-06-02 05:02:12"),
            ("7", "248676", "purchase", "2015-06-02 05:33:56"),
        ],
        {"equal to an earlier row": 1},
    ),
    "rees46": Case(
        "rees46",
        {"2019-Oct.csv": REES46, "2019-Nov.csv.gz": gzip.compress(REES46.replace("2019-10", "2019-11").encode())},
        sorted(
            event
            for month in (10, 11)
            for event in (
                ("541312140", "44600062", "view", f"2019-{month}-01 00:00:00"),
                ("550050854", "1307067", "purchase", f"2019-{month}-01 00:00:04"),
                ("554748717", "3900821", "cart", f"2019-{month}-01 00:00:01"),
                ("554748717", "3900821", "uncart", f"2019-{month}-01 00:00:05"),
            )
        ),
        {"no user": 2},
        {
            "3900821": ("Product 3900821", "appliances.water_heater", 33.2),
            "1307067": ("Product 1307067", "computers.notebook", None),
        },
    ),
    "rees46 purchase history": Case(
        "rees46",
        {
            "kz.csv": "event_time,order_id,product_id,category_id,category_code,brand,price,user_id\n"
            "2020-04-24 11:50:39 UTC,2294359932054536986,1515966223509089906,2268105426648170900,electronics.tablet,samsung,162.01,1515915625441993984\n"
            "2020-04-24 11:50:40 UTC,2294359932054536987,1515966223509089906,2268105426648170900,,samsung,162.01,\n"
        },
        [("1515915625441993984", "1515966223509089906", "purchase", "2020-04-24 11:50:39")],
        {"no user": 1},
    ),
    "movielens csv": Case(
        "movielens",
        {
            "ml.csv": "userId,movieId,rating,timestamp\n1,17,4.0,944065449\n1,25,0.5,944066628\n2,29,2.5,943163776\n3,29,7,943163776\n",
            "movies.csv": "movieId,title,genres\n17,Sense (1995),Drama|Romance\n25,Café (1995),Comedy\n",
        },
        STARS,
        {"unknown event 'rating 7'": 1},
        DOLLS,
        "ml.csv",
    ),
    "movielens dat": Case(
        "movielens",
        {
            "ratings.dat": "1::17::4::944065449\n1::25::1::944066628\n2::29::3::943163776\n",
            "movies.dat": "17::Sense (1995)::Drama|Romance\n25::Café (1995)::Comedy\n".encode("latin-1"),
        },
        STARS,
        {},
        DOLLS,
    ),
    "movielens 100k": Case(
        "movielens",
        {
            "u.data": "1\t17\t4\t944065449\n1\t25\t1\t944066628\n2\t29\t3\t943163776\n",
            "u1.base": "1\t17\t4\t944065449\n",
            "u.item": (
                "17|Sense (1995)|01-Jan-1995||http://a|" + "|".join("1" if k == 8 else "0" for k in range(19)) + "\n"
                "25|Café (1995)|01-Jan-1995||http://b|" + "|".join("1" if k == 5 else "0" for k in range(19)) + "\n"
            ).encode("latin-1"),
        },
        STARS,
        {},
        DOLLS,
    ),
    "recbole": Case(
        "recbole",
        {
            "shop.inter": 'user_id:token\titem_id:token\trating:float\ttimestamp:float\nu1\t"17\t4.0\t944065449.0\nu2\t29\t3.0\t943163776\n',
            "shop.item": 'item_id:token\ttitle:token_seq\tgenre:token_seq\tprice:float\n"17\t6" nail\tTools Iron\t0.5\n',
        },
        [("u1", '"17', "star4", "1999-12-01 16:24:09"), ("u2", "29", "star3", "1999-11-21 05:56:16")],
        {},
        {'"17': ('6" nail', "Tools", 0.5)},
    ),
    "recbole without clock": Case(
        "recbole",
        {"clicks.inter": "user_id:token\titem_id:token\nu1\t3\nu1\t4\nu1\t3\n"},
        [
            ("u1", "3", "purchase", "2000-01-01 00:00:00"),
            ("u1", "3", "purchase", "2000-01-01 02:00:00"),
            ("u1", "4", "purchase", "2000-01-01 01:00:00"),
        ],
        main="clicks.inter",
    ),
    "online-retail": Case(
        "online-retail",
        {"data.csv": INVOICES.replace("HEART", "£ HEART").encode("latin-1")},
        INVOICE_EVENTS,
        INVOICES_DROPPED,
        {"85123A": ("£ HEART", None, 2.55)},
    ),
    "online-retail ii, semicolons": Case(
        "online-retail",
        {
            "ii.csv": "Invoice;StockCode;Description;Quantity;InvoiceDate;Price;Customer ID;Country\n"
            "489434;85048;BALL;1.200;01.12.2009 07:45;6,95;13085;UK\nC489500;85048;BALL;−1.200;02.12.2009 07:45;6,95;13085;UK\n"
        },
        [("13085", "85048", "cancel", "2009-12-02 07:45:00"), ("13085", "85048", "purchase", "2009-12-01 07:45:00")],
        {},
        {"85048": ("BALL", None, 6.95)},
    ),
    "instacart": Case(
        "instacart",
        {
            "orders.csv": "order_id,user_id,eval_set,order_number,order_dow,order_hour_of_day,days_since_prior_order\n"
            "20,1,prior,1,2,08,\n10,1,prior,2,3,07,15.0\n30,1,test,3,3,12,21.0\n5,2,train,2,1,11,5.0\n4,2,prior,1,3,23,NA\n",
            "order_products__prior.csv": "order_id,product_id,add_to_cart_order,reordered\n20,196,1,0\n20,14084,2,0\n10,196,1,1\n4,196,1,0\n99,196,1,0\n",
            "order_products__train.csv": "order_id,product_id,add_to_cart_order,reordered\n5,14084,1,0\n",
            "products.csv": 'product_id,product_name,aisle_id,department_id\n196,"Soda, plain",77,7\n14084,Milk,91,16\n',
            "aisles.csv": "aisle_id,aisle\n77,soft drinks\n",
        },
        [
            ("1", "14084", "purchase", "2000-01-03 08:00:00"),
            ("1", "196", "purchase", "2000-01-03 08:00:00"),
            ("1", "196", "purchase", "2000-01-18 07:00:00"),
            ("2", "14084", "purchase", "2000-01-09 11:00:00"),
            ("2", "196", "purchase", "2000-01-04 23:00:00"),
        ],
        {"order that orders.csv does not have": 1},
        {"196": ("Soda, plain", "soft drinks", None), "14084": ("Milk", "91", None)},
    ),
    "otto": Case(
        "otto",
        {"otto-recsys-test.jsonl": "".join(json.dumps(line) + "\n" for line in SESSIONS) + "{broken\n"},
        [
            ("0", "0", "purchase", "2022-08-28 22:00:02"),
            ("12", "59625", "cart", "2022-08-28 22:00:01"),
            ("12", "59625", "view", "2022-08-28 22:00:00"),
        ],
        {"line with too few or too many fields": 1},
    ),
    "diginetica": Case(
        "diginetica",
        {
            "train-item-views.csv": "sessionId;userId;itemId;timeframe;eventdate\n1;NA;81766;526309;2016-05-09\n1;;31331;1031018;2016-05-09\n2;7;31331;0;2016-05-10\n",
            "train-purchases.csv": "sessionId;userId;timeframe;eventdate;ordernumber;itemId\n1;NA;1500000;2016-05-09;16421;81766\n",
            "product-categories.csv": "itemId;categoryId\n81766;1096\n",
            "products.csv": "itemId;pricelog2;product.name.tokens\n81766;10;4875,776\n",
        },
        [
            ("7", "31331", "view", "2016-05-10 00:00:00"),
            ("session:1", "31331", "view", "2016-05-09 00:17:11"),
            ("session:1", "81766", "purchase", "2016-05-09 00:25:00"),
            ("session:1", "81766", "view", "2016-05-09 00:08:46"),
        ],
        {},
        {"81766": ("Product 81766", "1096", 1024.0)},
    ),
    "shopify-orders": Case(
        "shopify-orders",
        {
            "orders_export_1.csv": SHOPIFY[: SHOPIFY.index("#3,bob@example.com,,")],
            "orders_export_2.csv": SHOPIFY[: SHOPIFY.index("#1,")] + SHOPIFY[SHOPIFY.index("#3,bob@example.com,,") :],
            "products_export.csv": SHOPIFY_PRODUCTS,
        },
        SHOPIFY_EVENTS,
        SHOPIFY_DROPPED,
        {"pen": ("Pen", "Writing", 10.0), "INK": ("Ink", None, 10.0)},
    ),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "set"
    path.mkdir()
    return path


def write(folder: Path, files: Mapping[str, str | bytes]) -> None:
    for name, text in files.items():
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))


def read(db: Database, name: str, path: Path, **flags: Any) -> ImportReport:
    options, source = open_format(name, path, flags)
    return import_events(
        db,
        path,
        options,
        shop=load_settings({"DATABASE_URL": "sqlite:///x"}, Path(__file__).parent).shop,
        source=source,
    )


def events(db: Database) -> list[Event]:
    sql = (
        "SELECT COALESCE(u.externalId, CAST(u.id AS TEXT)), COALESCE(p.externalId, CAST(p.id AS TEXT)), i.actionCode, i.timestamp "
        "FROM Interactions i JOIN Users u ON u.id = i.userId JOIN Products p ON p.id = i.productId"
    )
    return sorted(tuple(map(str, row)) for row in db.query(sql))  # type: ignore[misc]


def products(db: Database) -> dict[str, tuple[Any, ...]]:
    sql = (
        "SELECT COALESCE(p.externalId, CAST(p.id AS TEXT)), p.name, p.categoryId, d.originalPrice "
        "FROM Products p LEFT JOIN Productdetails d ON d.productId = p.id"
    )
    return {row[0]: tuple(row[1:]) for row in db.query(sql)}


def test_each_format_has_a_case() -> None:
    assert {case.format for case in CASES.values()} == set(FORMATS)


@pytest.mark.parametrize("name", CASES)
def test_a_format_is_read_right_again_and_by_small_chunks(name: str, folder: Path, tmp_path: Path) -> None:
    case = CASES[name]
    write(folder, case.files)
    path = folder / case.main if case.main else folder
    for database, chunk in (("whole", 50_000), ("small", 2)):
        with connect(f"sqlite:///{tmp_path / database}", create=True) as db:
            report = read(db, case.format, path, chunk=chunk)
            assert events(db) == list(case.events)
            assert {reason: n for reason, n in report.dropped.items() if n} == dict(case.dropped)
            assert report.rows == report.added.total() + report.dropped.total()
            assert {item: products(db)[item] for item in case.products} == dict(case.products)

            again = read(db, case.format, path, chunk=3)
            assert not again.added and not again.withdrawn and events(db) == list(case.events)


@pytest.mark.parametrize("name", ["retailrocket", "movielens dat", "instacart", "shopify-orders", "diginetica"])
def test_an_archive_is_read_as_its_folder_is(name: str, tmp_path: Path) -> None:
    case, path = CASES[name], tmp_path / "set.zip"
    with ZipFile(path, "w") as archive:
        for file, text in case.files.items():
            archive.writestr(f"inner/{file}", text)
    with connect(f"sqlite:///{tmp_path / 'db'}", create=True) as db:
        read(db, case.format, path)
        assert events(db) == list(case.events)


def test_a_workbook_is_read_also_from_its_archive(tmp_path: Path) -> None:
    rows = [line.split(",") for line in INVOICES.splitlines()]
    book = write_workbook(tmp_path / "Online Retail.xlsx", {"Online Retail": rows})
    with ZipFile(tmp_path / "online+retail.zip", "w") as archive:
        archive.write(book, "Online Retail.xlsx")
    for path in (book, tmp_path / "online+retail.zip"):
        with connect(f"sqlite:///{path}.db", create=True) as db:
            report = read(db, "online-retail", path)
            assert events(db) == INVOICE_EVENTS
            assert {reason: n for reason, n in report.dropped.items() if n} == INVOICES_DROPPED


def test_a_flag_replaces_what_the_format_says(folder: Path, tmp_path: Path) -> None:
    write(folder, CASES["retailrocket"].files)
    with connect(f"sqlite:///{tmp_path / 'db'}", create=True) as db:
        read(db, "retailrocket", folder, event_map={"addtocart": "wishlist"})
        assert [event for _, _, event, _ in events(db)] == ["wishlist", "view"]


def test_an_order_that_is_refunded_later_is_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text(SHOPIFY, encoding="utf-8")
    with connect(f"sqlite:///{tmp_path / 'db'}", create=True) as db:
        read(db, "shopify-orders", path)
        assert ("ann@example.com", "P-R", "purchase", "2024-01-31 15:15:20") in events(db)  # no products beside it
        path.write_text(SHOPIFY.replace("Ann@example.com,paid", "ann@example.com,refunded"), encoding="utf-8")
        report = read(db, "shopify-orders", path)

        assert report.withdrawn == 3 and not report.added
        assert {user for user, *_ in events(db)} == {"+4912345", "bob@example.com", "dan@example.com"}


@pytest.mark.parametrize(
    ("name", "file", "text", "says"),
    [
        (
            "retailrocket",
            "events.csv",
            "a,b\n1,2\n",
            "--format retailrocket: events.csv should have one column 'timestamp'",
        ),
        ("otto", "a.jsonl", '{"a": 1}\n', "should have one column 'session'"),
        ("recbole", "a.inter", "user_id:token\tx:float\n1\t2\n", "should have one column 'item_id:token'"),
        ("instacart", "order_products__prior.csv", "order_id,product_id\n1,2\n", "should have orders.csv beside it"),
        ("movielens", "other.csv", "a,b\n1,2\n", "set should hold ratings"),
    ],
)
def test_what_is_not_of_the_format_is_refused(name: str, file: str, text: str, says: str, folder: Path) -> None:
    write(folder, {file: text})
    with pytest.raises(UsageError, match="Received") as raised:
        open_format(name, folder, {})
    assert says in str(raised.value)


PLAIN = "user,item,at,price\n7,9,2024-01-31 10:15:00,2\n"


@pytest.mark.parametrize(
    ("file", "content", "flags", "price"),
    [
        ("utf16.csv", PLAIN.encode("utf-16"), {}, 2.0),
        ("tab.tsv", PLAIN.replace(",", "\t").encode(), {"delimiter": "\t"}, 2.0),
        ("double.dat", PLAIN.replace(",", "::").encode(), {"delimiter": "::"}, 2.0),
        ("comma.csv", PLAIN.replace(",", ";").replace(";2\n", ";12,50\n").encode(), {"delimiter": ";"}, 12.5),
        ("lines.jsonl", b'{"user":7,"item":9,"at":"2024-01-31 10:15:00"}\n{"user":7,"price":3}\n', {}, None),
        ("lines.jsonl.gz", gzip.compress(b'\n{"user":7,"item":"9","at":1706696100,"price":2.50}\n[1]\n'), {}, 2.5),
    ],
)
def test_other_encodings_separators_and_lines_are_read(
    file: str, content: bytes, flags: dict[str, str], price: float | None, folder: Path, tmp_path: Path
) -> None:
    shop = load_settings({"DATABASE_URL": "sqlite:///x"}, Path(__file__).parent).shop
    (folder / file).write_bytes(content)
    with ZipFile(folder / "a.zip", "w") as archive:
        archive.write(folder / file, f"deep/{file}")
    for path in (folder / file, folder / "a.zip"):
        with connect(f"sqlite:///{path}.db", create=True) as db:
            options = ImportOptions(user="user", item="item", timestamp="at", price="price", **flags)
            import_events(db, path, options, shop=shop)
            assert events(db) == [("7", "9", "purchase", "2024-01-31 10:15:00")]
            assert products(db)["9"][2] == price


def test_two_pieces_on_a_day_are_two_whatever_the_chunk(tmp_path: Path) -> None:
    line, dated = "2018-09-20,ann,0663713001", "2018-09-20 10:00:00,ann,0541518023"
    path = tmp_path / "hm.csv"
    shop = load_settings({"DATABASE_URL": "sqlite:///x"}, Path(__file__).parent).shop
    expected = [("ann", "0541518023", "purchase", "2018-09-20 08:00:00")] + [
        ("ann", "0663713001", "purchase", f"2018-09-19 22:00:0{second}") for second in range(3)
    ]
    for chunk in (1, 2, 100):
        path.write_text("\n".join(["t_dat,customer_id,article_id", line, dated, line, dated, line, ""]))
        options = ImportOptions(
            user="customer_id", item="article_id", timestamp="t_dat", time_zone="Europe/Paris", chunk=chunk
        )
        with connect(f"sqlite:///{tmp_path / str(chunk)}", create=True) as db:
            first = import_events(db, path, options, shop=shop)
            again = import_events(db, path, options, shop=shop)
            assert events(db) == expected
            assert (first.added.total(), first.dropped["equal to an earlier row"]) == (4, 1)
            assert (again.added.total(), again.dropped.total()) == (0, 5)
            path.write_text(path.read_text() + line + "\n")  # a longer export
            assert import_events(db, path, options, shop=shop).added.total() == 1


def test_the_command_reads_a_format(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, CASES["shopify-orders"].files)
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
