"""Unreadable values in every mapped column are unknown, counted and reported; a column without others is refused."""

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

import numpy as np
import pytest

from recsys.errors import SettingsError
from recsys.settings import Shop, Source
from recsys.store import (
    Database,
    bought_items,
    newest_products,
    products,
    read_catalogue,
    read_interactions,
    user_events,
    write_version,
)
from recsys.store.columns import (
    event_codes,
    id_array,
    label_array,
    price,
    price_array,
    ranks,
    text_array,
    truth,
    unreadable,
)
from recsys.store.moments import epoch_seconds
from recsys.store.reading import Reading

NEW_YEAR = 1_704_067_200  # 2024-01-01 00:00:00 UTC
DAY = 86_400
NOTHING_ELSE = {"sqlite": "TEXT", "mysql": "VARCHAR(60)", "postgresql": "VARCHAR(60)"}

# What drivers have returned for damaged rows, or could.
ODD = {
    "bytes": b"\x00\xff",
    "bytearray": bytearray(b"\xff"),
    "memoryview": memoryview(b"\xff"),
    "NUL": "a\0b",
    "half a surrogate": "\ud800",
    "empty": "",
    "blanks": "  ",
    "long": "x" * 600,
    "fraction": 7.5,
    "NaN": float("nan"),
    "infinity": float("inf"),
    "minus infinity": float("-inf"),
    "true": True,
    "huge": 10**400,
    "huge digits": "9" * 5000,
    "beyond int64": 2**64,
    "superscript": "²",
    "Decimal NaN": Decimal("NaN"),
    "Decimal infinity": Decimal("Infinity"),
    "Decimal huge": Decimal("1e999999"),
    "duration": timedelta(hours=25),
    "time of day": time(12),
    "year 0": "0000-01-01 00:00:00",
    "zero date": "0000-00-00 00:00:00",
    "end of the calendar": "9999-12-31T23:59:59-14:00",
    "last moment": datetime.max,
    "date": date.max,
    "infinite date": "infinity",
    "list": [1],
    "mapping": {"a": 1},
    "range": range(3),
    "UUID": UUID(int=7),
    "null": None,
}
GOOD: dict[str, tuple[Callable[[list[object]], object], object, object]] = {  # reader, a good value, how it is read
    "ids": (lambda column: id_array(column, {}), 1, 1),
    "events": (lambda column: event_codes(column, {}, {"view"}, rating=False), "view", 0),
    "ratings": (lambda column: event_codes(column, {}, {"star1"}, rating=True), 1, 0),
    "timestamps": (lambda column: epoch_seconds(column, "Asia/Ho_Chi_Minh")[0], NEW_YEAR, NEW_YEAR),
    "row ids": (ranks, 1, 1),
    "texts": (text_array, "1", "1"),
    "labels": (label_array, "1", "1"),
    "prices": (price_array, 1, 1.0),
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("kind", GOOD)
def test_an_odd_value_neither_stops_a_reader_nor_changes_its_neighbours(kind: str, odd: str) -> None:
    read, good, expected = GOOD[kind]

    for column in ([good, ODD[odd], good], [ODD[odd], good, good], (ODD[odd], None, good)):
        values = read(column)  # type: ignore[arg-type]
        assert len(values) == 3  # type: ignore[arg-type]
        assert values[-1] == expected  # type: ignore[index]


@pytest.mark.parametrize("raw", [True, 1.5, 1e15, Decimal("1.5"), [1], date(2024, 1, 1)])
def test_a_value_that_only_equals_an_id_is_no_id(raw: object) -> None:
    known: dict[object, int | str | None] = {}

    assert id_array([raw, 1], known).tolist() == [None, 1]
    assert id_array([1, raw, None], known).tolist() == [1, None, None]


def test_null_is_absent_and_so_is_blank_text_in_columns_of_text() -> None:
    column = ["a", None, "", "  ", b"\xff"]
    readable = np.array([True, False, False, False, False])

    assert unreadable(column, readable, blank_is_nothing=True).tolist() == [False, False, False, False, True]
    assert unreadable(column, readable).tolist() == [False, False, True, True, True]


@pytest.mark.parametrize(
    ("raw", "amount"),
    [
        (12.5, 12.5),
        (0, 0.0),
        (Decimal("12.50"), 12.5),
        ("12.50", 12.5),
        (" 7 ", 7.0),
        (b"12.5", 12.5),
        *(
            (raw, None)
            for raw in (
                None,
                "",
                "12,50",
                "12.50 EUR",
                "$12.50",
                "free",
                "1.234,50",
                "1e3",
                "٣",
                -1,
                "-1",
                "nan",
                "inf",
            )
        ),
        *(
            (raw, None)
            for raw in (math.nan, math.inf, True, b"\xff", [1], Decimal("NaN"), Decimal("Infinity"), 10**400)
        ),
    ],
)
def test_a_price_is_a_plain_number_from_0(raw: object, amount: float | None) -> None:
    assert (None if math.isnan(price(raw)) else price(raw)) == amount
    assert np.isnan(price_array([raw, 1.0])).tolist() == [amount is None, False]


@pytest.mark.parametrize(
    ("raw", "is_set"),
    [
        *(
            (raw, True)
            for raw in (
                1,
                True,
                17,
                2.0,
                Decimal(1),
                "1",
                "17",
                "true",
                "T",
                "Y",
                "yes",
                " On ",
                "active",
                b"\x01",
                b"1",
                b"Y",
            )
        ),
        *(
            (raw, False)
            for raw in (
                0,
                False,
                0.0,
                Decimal("0.00"),
                "0",
                "0.0",
                "FALSE",
                "f",
                "N",
                "no",
                "off",
                "Inactive",
                b"\x00",
                b"0",
            )
        ),
        *((raw, None) for raw in (None, "", "retired", "S1", date(2024, 1, 1), math.nan, [1], b"\xff", "1,0")),
    ],
)
def test_a_flag_is_a_number_or_a_word_for_yes_or_no(raw: object, is_set: bool | None) -> None:
    assert truth(raw) is is_set


# Events: training and serving


@pytest.fixture
def shop(shop: Shop) -> Shop:
    """The mapping of the default schema, for tables of a few rows of which most are unreadable."""
    return replace(shop, max_unreadable=1.0)


def log_of(db: Database, rows: list[tuple[object, ...]], types: tuple[str, str, str, str] | None = None) -> Source:
    """Create a table of users, items, events and timestamps, of text unless types are named; rows count from 1."""
    kinds = types or (NOTHING_ELSE[db.dialect],) * 4
    db.execute(
        "CREATE TABLE log (id INTEGER, " + ", ".join(f"c{number} {kind}" for number, kind in enumerate(kinds)) + ")"
    )
    db.insert(
        "log",
        [
            {"id": row, **{f"c{number}": value for number, value in enumerate(values)}}
            for row, values in enumerate(rows, 1)
        ],
    )
    columns = "c0 AS user_id, c1 AS item_id, c2 AS event, c3 AS timestamp, id AS row_id"
    return Source(f"SELECT {columns} FROM log", f"SELECT {columns} FROM log WHERE c0 = :user_id")


def of_training(db: Database, shop: Shop, user: object) -> list[tuple[object, ...]]:
    read = read_interactions(db, shop)[0].in_order()
    names = [read.event_names[event] for event in read.events]
    rows = zip(read.users.tolist(), read.items.tolist(), names, read.timestamps.tolist(), strict=True)
    return [row[1:] for row in rows if row[0] == user]


def of_serving(db: Database, shop: Shop, user: int | str, kind: str) -> list[tuple[object, ...]]:
    events = user_events(db, shop, "v1", user, 100, item_kind=kind)
    names = [events.event_names[event] for event in events.events]
    return list(zip(events.items.tolist(), names, events.timestamps.tolist(), strict=True))


# A damaged value in SQL, the reason why its row is dropped (None: it is not), and the column that serving names.
DAMAGE = {
    "a time of bytes": ("timestamp", "x'00ff'", "bad timestamp", "timestamp"),
    "a time of bytes that say one": ("timestamp", "CAST('2024-01-01 00:00:05' AS BLOB)", None, None),
    "a time that is no UTF-8": ("timestamp", "CAST(x'ff' AS TEXT)", "bad timestamp", "timestamp"),
    "a time with NUL": ("timestamp", "CAST(x'320000' AS TEXT)", "bad timestamp", "timestamp"),
    "an empty time": ("timestamp", "''", "bad timestamp", "timestamp"),
    "an infinite time": ("timestamp", "9e999", "bad timestamp", "timestamp"),
    "a huge time": ("timestamp", "9223372036854775807", "bad timestamp", "timestamp"),
    "the year 0": ("timestamp", "'0000-01-01 00:00:00'", "bad timestamp", "timestamp"),
    "the end of the calendar": ("timestamp", "'9999-12-31T23:59:59+14:00'", "bad timestamp", "timestamp"),
    "an item of bytes": ("productId", "x'ff'", "unreadable item", "item_id"),
    "an item that is no UTF-8": ("productId", "CAST(x'ff' AS TEXT)", "unreadable item", "item_id"),
    "a fraction of an item": ("productId", "1.5", "unreadable item", "item_id"),
    "an infinite item": ("productId", "9e999", "unreadable item", "item_id"),
    "an empty item": ("productId", "''", "null item", None),
    "an event of bytes": ("actionCode", "x'ff'", "unknown event", None),
    "an event that is no UTF-8": ("actionCode", "CAST(x'ff' AS TEXT)", "unknown event", None),
    "an event that is a number": ("actionCode", "1.5", "unknown event", None),
    "a context that is no UTF-8": ("device_type", "CAST(x'ff' AS TEXT)", None, None),
    "a context too long to be kept": ("device_type", f"'{'x' * 600}'", None, None),
}


@pytest.fixture
def damaged(db: Database) -> Callable[[str, str], None]:
    """Makes three visits of users 7 and 8 each, and damages the second of user 7."""

    def make(column: str, value: str) -> None:
        write_version(db, "v1", data_until=0, users=np.array([7, 8]), items=np.array([10, 11, 12]), contexts={})
        names = ("interId", "userId", "productId", "actionCode", "timestamp", "device_type")
        moments = ("2024-01-01 00:00:00", "2024-01-01 00:00:05", "2024-01-01 00:00:10")
        rows = [(row, 7 + row // 4, 10 + row % 3, "purchase", moments[row % 3], "mobile") for row in range(1, 7)]
        db.insert("Interactions", [dict(zip(names, row, strict=True)) for row in rows])
        db.execute(
            "CREATE TABLE plain (interId, userId, productId, actionCode, device_type, timestamp)"
        )  # without types any value goes
        db.execute(
            "INSERT INTO plain SELECT interId, userId, productId, actionCode, device_type, timestamp FROM Interactions"
        )
        db.execute("DROP TABLE Interactions")
        db.execute("ALTER TABLE plain RENAME TO Interactions")
        db.execute(f"UPDATE Interactions SET {column} = {value} WHERE interId = 2")

    return make


@pytest.mark.parametrize("shop_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("case", DAMAGE)
def test_serving_drops_the_same_damaged_rows_as_training(
    db: Database, shop: Shop, damaged: Callable[[str, str], None], case: str
) -> None:
    column, value, reason, unread = DAMAGE[case]
    damaged(column, value)

    lines: list[str] = []
    read, dropped = read_interactions(db, shop, tell=lines.append)

    assert dropped == ({reason: 1} if reason else {})
    assert len(read) == (5 if reason else 6)
    assert of_serving(db, shop, 7, "int") == of_training(db, shop, 7)
    assert len(of_serving(db, shop, 7, "int")) == (2 if reason else 3)
    assert len(of_serving(db, shop, 8, "int")) == 3
    assert dict(user_events(db, shop, "v1", 7, 100, item_kind="int").unread) == ({unread: 1} if unread else {})
    assert sorted(bought_items(db, shop, 7, NEW_YEAR + 60, item_kind="int")) == sorted(
        {row[0] for row in of_training(db, shop, 7)}
    )
    if reason not in {None, "null item"} and "number" not in case:
        [line] = lines
        assert "of Interactions: 1 of 6 unreadable, e.g. " in line
        assert line.endswith("(row 2)")


@pytest.mark.parametrize("shop_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("value", ["x'ff'", "CAST(x'ff' AS TEXT)", "7.5", "''", "NULL"])
def test_a_damaged_user_id_loses_one_row_and_no_other(
    db: Database, shop: Shop, damaged: Callable[[str, str], None], value: str
) -> None:
    damaged("userId", value)

    read, dropped = read_interactions(db, shop)

    assert (read.users.dtype, read.users.tolist()) == (np.int64, [7, 7, 8, 8, 8])
    assert dropped == {"null user" if value in {"''", "NULL"} else "unreadable user": 1}
    assert of_serving(db, shop, 7, "int") == of_training(db, shop, 7)


@pytest.mark.parametrize("shop_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("value", ["x'ff'", "'²'", "''", "1.5", "'a-uuid'", "NULL", "'00000000000000000000000000009'"])
def test_a_damaged_row_id_loses_only_its_place_among_equal_timestamps(
    db: Database, shop: Shop, damaged: Callable[[str, str], None], value: str
) -> None:
    damaged("actionCode", "'purchase'")
    db.execute("UPDATE Interactions SET timestamp = '2024-01-01 00:00:00'")
    db.execute(f"UPDATE Interactions SET interId = {value} WHERE interId = 2")

    assert len(of_training(db, shop, 7)) == 3
    assert of_serving(db, shop, 7, "int") == of_training(db, shop, 7)


BAD_TEXTS = [
    "yesterday",
    "0000-00-00 00:00:00",
    "2024-99-99",
    "infinity",
    "12:00:00",
    "9999-12-31 23:59:59",
    "nan",
    "²",
    " ",
]


def test_on_every_database_text_that_is_no_time_loses_only_its_row(db: Database, shop: Shop) -> None:
    good = [("7", str(item), "view", f"2024-01-01 00:00:0{item}") for item in (1, 2)]
    source = log_of(db, [*good, *(("7", "3", "view", text) for text in BAD_TEXTS)])
    mapped = replace(shop, sources=(source,))
    write_version(
        db, "v1", data_until=0, users=np.array(["7"], object), items=np.array(["1", "2", "3"], object), contexts={}
    )
    lines: list[str] = []

    read, dropped = read_interactions(db, mapped, tell=lines.append)

    assert (len(read), dropped) == (2, {"bad timestamp": len(BAD_TEXTS)})
    assert lines == [
        f"WARNING: `timestamp` of log: {len(BAD_TEXTS)} of {len(BAD_TEXTS) + 2} unreadable, e.g. 'yesterday' (row 3)"
    ]
    assert of_serving(db, mapped, "7", "str") == of_training(db, mapped, "7")
    events = user_events(db, mapped, "v1", "7", 100, item_kind="str")
    assert (events.user, dict(events.unread), events.refused) == (0, {"timestamp": len(BAD_TEXTS)}, False)


TYPED = {  # the type of a column of moments, and what may stand in it
    "mysql": [("DATETIME", "'0000-00-00 00:00:00'"), ("VARBINARY(30)", "x'00ff'"), ("VARCHAR(30)", "'12:00:00'")],
    "postgresql": [
        ("TIMESTAMP", "'infinity'"),
        ("TIMESTAMPTZ", "'-infinity'"),
        ("TIMESTAMP", "'0044-03-15 12:00 BC'"),
        ("DATE", "'infinity'"),
    ],
}


@pytest.mark.parametrize(
    ("shop_url", "case"),
    [(f"{name}", n) for name, n in (("mariadb", 3), ("postgresql", 4)) for n in range(n)],
    indirect=["shop_url"],
)
def test_a_value_that_only_servers_can_hold_loses_only_its_row(db: Database, shop: Shop, case: int) -> None:
    kind, value = TYPED[db.dialect][case]
    text = NOTHING_ELSE[db.dialect]
    source = log_of(
        db,
        [("7", "1", "view", "2024-01-01 00:00:01"), ("7", "2", "view", "2024-01-01 00:00:02")],
        (text, text, text, kind),
    )
    if db.dialect == "mysql":
        db.execute("SET sql_mode = ''")
    db.execute(f"UPDATE log SET c3 = {value} WHERE id = 2")
    mapped = replace(shop, sources=(source,))
    write_version(
        db, "v1", data_until=0, users=np.array(["7"], object), items=np.array(["1", "2"], object), contexts={}
    )

    read, dropped = read_interactions(db, mapped)

    assert (read.items.tolist(), dropped) == (["1"], {"bad timestamp": 1})
    assert [row[0] for row in of_serving(db, mapped, "7", "str")] == ["1"]
    assert dict(user_events(db, mapped, "v1", "7", 100, item_kind="str").unread) == {"timestamp": 1}


# What the database cannot work out of one damaged row, where the shop's own text makes something of it.
WORKED_OUT = {
    "sqlite": ("json_extract(c2, '$.event')", "view", '{"event": "view"}', "{"),
    "mysql": ("CASE WHEN CAST(c2 AS UNSIGNED) - 1 >= 0 THEN 'view' END", "view", "1", "0"),
    "postgresql": ("CASE WHEN CAST(c2 AS INTEGER) = 1 THEN 'view' END", "view", "1", "one"),
}


def test_a_row_that_the_database_cannot_compute_is_no_settings_error(db: Database, shop: Shop) -> None:
    expression, _, good, bad = WORKED_OUT[db.dialect]
    log_of(
        db,
        [
            ("7", "1", good, "2024-01-01 00:00:01"),
            ("7", "2", bad, "2024-01-01 00:00:02"),
            ("8", "2", good, "2024-01-01 00:00:02"),
        ],
    )
    columns = f"c0 AS user_id, c1 AS item_id, {expression} AS event, c3 AS timestamp, id AS row_id"
    source = Source(f"SELECT {columns} FROM log", f"SELECT {columns} FROM log WHERE c0 = :user_id")
    mapped = replace(shop, sources=(source,))
    write_version(
        db, "v1", data_until=0, users=np.array(["7", "8"], object), items=np.array(["1", "2"], object), contexts={}
    )

    lost, kept = (user_events(db, mapped, "v1", user, 100, item_kind="str") for user in ("7", "8"))

    assert (len(lost), lost.user, lost.refused) == (0, 0, True)
    assert (len(kept), kept.user, kept.refused) == (1, 1, False)
    assert bought_items(db, mapped, "7", NEW_YEAR, item_kind="str") == []


@pytest.mark.parametrize(
    ("row", "named", "should"),
    [
        (("1.5", 1, "'view'", "1"), "user_id", "whole numbers or text of 1 to 512 bytes"),
        (("1", 1.5, "'view'", "1"), "item_id", "whole numbers or text of 1 to 512 bytes"),
        (("1", 1, "'view'", "'soon'"), "timestamp", "date-times, ISO 8601 text, or seconds or milliseconds since 1970"),
    ],
)
def test_a_column_without_a_readable_value_is_refused_with_the_way_out(
    bare_db: Database, shop: Shop, row: tuple[object, ...], named: str, should: str
) -> None:
    bare_db.execute("CREATE TABLE log (id INTEGER)")
    bare_db.insert("log", [{"id": 4}, {"id": 5}])
    user, item, event, moment = row
    text = (
        f"SELECT {user} AS user_id, {item} AS item_id, {event} AS event, {moment} AS timestamp, id AS row_id FROM log"
    )

    with pytest.raises(SettingsError) as caught:
        read_interactions(bare_db, replace(shop, sources=(Source(text, text),)))

    assert f"[[sources]] `{named}` of log should hold {should}. Received: 2 values that are none, e.g. " in str(
        caught.value
    )
    assert "(row 4). CAST them in recsys.toml" in str(caught.value)


# Products


def goods(db: Database, shop: Shop, column: str, kind: str, values: list[object]) -> Shop:
    """Make a table of products numbered from 1, with the given values in one column."""
    db.execute(f"CREATE TABLE goods (sku INTEGER, given {kind})")
    db.insert("goods", [{"sku": sku, "given": value} for sku, value in enumerate(values, 1)])
    others = {"active": "1", "category": "NULL", "brand": "NULL", "price": "NULL", "name": "NULL", column: "given"}
    return replace(
        shop,
        products=f"SELECT sku AS item_id, {', '.join(f'{text} AS {name}' for name, text in others.items())} FROM goods",
    )


PRICES = ["9.90", "101,50 EUR", "", "12,50", "12.50 EUR", "free", "-1", "nan", "inf", "1e3", " 12 ", None]


def test_prices_of_text_are_known_where_they_are_plain_numbers(bare_db: Database, shop: Shop) -> None:
    mapped = goods(bare_db, shop, "price", NOTHING_ELSE[bare_db.dialect], list(PRICES))
    lines: list[str] = []

    catalogue = read_catalogue(bare_db, mapped, tell=lines.append)

    known = {
        sku: amount
        for sku, amount in zip(catalogue.items.tolist(), catalogue.prices.tolist(), strict=True)
        if amount == amount
    }
    assert known == {1: 9.9, 11: 12.0}
    assert lines == ["WARNING: price: 9 of 11 unreadable, e.g. '101,50 EUR' (product 2)"]
    described = products(bare_db, mapped, list(range(1, 13)), ["price"])
    assert {row.item_id: row.price for row in described if row.price == row.price} == known


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({}, set(range(1, 13))),
        ({"price_min": 0.0}, {1, 11}),
        ({"price_max": 10.0}, {1}),
        ({"price_min": 10.0, "price_max": 13.0}, {11}),
    ],
)
def test_an_unknown_price_passes_no_filter_of_prices(
    bare_db: Database, shop: Shop, bounds: dict[str, float], expected: set[int]
) -> None:
    mapped = goods(bare_db, shop, "price", NOTHING_ELSE[bare_db.dialect], list(PRICES))

    rows = newest_products(bare_db, mapped, limit=20, **bounds)  # type: ignore[arg-type]

    low, high = bounds.get("price_min", -math.inf), bounds.get("price_max", math.inf)
    assert {row.item_id for row in rows if not bounds or low <= row.price <= high} == expected


@pytest.mark.parametrize("kind", ["number", "exact number"])
def test_a_filter_of_prices_finds_what_lies_between_in_a_column_of_numbers(
    bare_db: Database, shop: Shop, kind: str
) -> None:
    mapped = goods(
        bare_db,
        shop,
        "price",
        {"number": "DOUBLE PRECISION", "exact number": "DECIMAL(12, 2)"}[kind],
        [0, 9.5, 10, 1e9, None],
    )

    for low, high, expected in ((0, 1e10, [4, 3, 2, 1]), (9.5, 10, [3, 2]), (1e9, 1e9, [4]), (10.25, 11, [])):
        assert [
            row.item_id for row in newest_products(bare_db, mapped, limit=9, price_min=low, price_max=high)
        ] == expected


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_column_of_money_is_refused_in_training_and_unknown_in_serving(bare_db: Database, shop: Shop) -> None:
    mapped = goods(bare_db, shop, "price", "MONEY", ["12.50", "3"])

    with pytest.raises(SettingsError) as caught:
        read_catalogue(bare_db, mapped)
    assert str(caught.value) == (
        "[products] price should hold numbers from 0 with a dot, without a currency. "
        "Received: 2 values that are none, e.g. '$12.50' (product 1). CAST them in recsys.toml."
    )
    assert [math.isnan(row.price) for row in products(bare_db, mapped, [1, 2], ["price"])] == [True, True]
    assert newest_products(bare_db, mapped, limit=5, price_min=1.0) == []


@pytest.mark.parametrize("column", ["active", "category", "brand", "name"])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_every_column_of_products_may_hold_bytes(bare_db: Database, shop: Shop, column: str) -> None:
    mapped = goods(bare_db, shop, column, "BLOB", ["1", b"\xff", None, "1"])
    lines: list[str] = []

    catalogue = read_catalogue(bare_db, mapped, tell=lines.append)

    assert lines == [rf"WARNING: {column}: 1 of 3 unreadable, e.g. b'\xff' (product 2)"]
    if column == "active":
        assert catalogue.active.tolist() == [True, False, False, True]  # what is not known to be sold is not sold
    else:
        values = {"category": catalogue.categories, "brand": catalogue.brands, "name": catalogue.names}[column]
        assert values is not None
        assert values.tolist() == ["1", None, None, "1"]
    bare_db.execute("UPDATE goods SET given = x'ff'")
    with pytest.raises(SettingsError, match=rf"\[products\] {column} should hold .* Received: 4 values that are none"):
        read_catalogue(bare_db, mapped)


def test_words_for_yes_are_active_and_other_words_are_not(bare_db: Database, shop: Shop) -> None:
    flags = ["Y", "N", "no", "f", "off", "retired", "0", "false", "true", "", None]
    mapped = goods(bare_db, shop, "active", NOTHING_ELSE[bare_db.dialect], list(flags))
    lines: list[str] = []

    catalogue = read_catalogue(bare_db, mapped, tell=lines.append)

    assert [sku for sku, active in zip(catalogue.items.tolist(), catalogue.active.tolist(), strict=True) if active] == [
        1,
        9,
    ]
    assert lines == ["WARNING: active: 1 of 9 unreadable, e.g. 'retired' (product 6)"]
    assert [row.item_id for row in newest_products(bare_db, mapped, limit=20) if row.active] == [9, 1]


def test_blanks_in_a_column_of_prices_are_reported_but_not_refused(bare_db: Database, shop: Shop) -> None:
    mapped = goods(bare_db, shop, "price", NOTHING_ELSE[bare_db.dialect], ["", " "])
    lines: list[str] = []

    assert np.isnan(read_catalogue(bare_db, mapped, tell=lines.append).prices).all()
    assert lines == ["WARNING: price: 2 of 2 unreadable, e.g. '' (product 1)"]


def test_a_product_that_the_database_cannot_compute_loses_no_other(bare_db: Database, shop: Shop) -> None:
    bare_db.execute(f"CREATE TABLE goods (sku INTEGER, given {NOTHING_ELSE[bare_db.dialect]})")
    expression, _, good, bad = WORKED_OUT[bare_db.dialect]
    bare_db.insert("goods", [{"sku": sku, "given": bad if sku == 3 else good} for sku in range(1, 6)])
    flag = expression.replace("c2", "given")
    mapped = replace(
        shop,
        products=f"SELECT sku AS item_id, 1 AS active, {flag} AS category, NULL AS brand, NULL AS price FROM goods",
    )

    rows = products(bare_db, mapped, [1, 2, 3, 4, 5], ["category"])

    assert [row.item_id for row in rows] == [1, 2, 4, 5]


SHARES = [  # unreadable values, all values, the largest share, and whether the column is told, told loudly or refused
    (0, 100, 0.2, None),
    (1, 100, 0.2, "price: 1 of 100 unreadable, e.g. 'free' (product 1)"),
    (2, 100, 0.2, "WARNING: price: 2 of 100 unreadable, e.g. 'free' (product 1)"),
    (20, 100, 0.2, "WARNING: price: 20 of 100 unreadable, e.g. 'free' (product 1)"),
    (21, 100, 0.2, "21 of 100 values that are none, e.g. 'free' (product 1). CAST them in recsys.toml, or allow more"),
    (21, 100, 1.0, "WARNING: price: 21 of 100 unreadable, e.g. 'free' (product 1)"),
    (100, 100, 1.0, "100 values that are none, e.g. 'free' (product 1). CAST them in recsys.toml."),
]


@pytest.mark.parametrize(("unread", "n", "most", "says"), SHARES)
def test_more_than_a_share_is_a_warning_and_more_than_a_larger_one_is_refused(
    unread: int, n: int, most: float, says: str | None
) -> None:
    reading, lines = Reading("", "product"), []  # type: ignore[var-annotated]
    column = ["free"] * unread + [1] * (n - unread)
    reading.add("price", column, ~np.isnan(price_array(column)), range(1, n + 1))

    if says is not None and "values that are none" in says:
        with pytest.raises(SettingsError) as caught:
            reading.finish("[products]", lines.append, most)
        assert says in str(caught.value)
    else:
        reading.finish("[products]", lines.append, most)
        assert lines == ([says] if says else [])
