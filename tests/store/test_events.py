from dataclasses import replace

import numpy as np
import pytest

from recsys.data.interactions import Interactions
from recsys.errors import SettingsError
from recsys.settings import Shop, Source
from recsys.store import Database, read_interactions

NEW_YEAR = 1_704_067_200  # 2024-01-01 00:00:00 UTC
DAY = 86_400

# How a column of timestamps may be declared, per dialect, and how the moment `NEW_YEAR + s` is written in it.
SECONDS = {"sqlite": "INTEGER", "mysql": "BIGINT", "postgresql": "BIGINT"}
TEXTS = {"sqlite": "TEXT", "mysql": "VARCHAR(40)", "postgresql": "VARCHAR(40)"}
TIMESTAMP_COLUMNS = {
    "date-times": ({"sqlite": "DATETIME", "mysql": "DATETIME", "postgresql": "TIMESTAMP"}, lambda s: utc(s)),
    "stamps": ({"sqlite": "TIMESTAMP", "mysql": "TIMESTAMP NULL", "postgresql": "TIMESTAMPTZ"}, lambda s: utc(s)),
    "seconds": (SECONDS, lambda s: NEW_YEAR + s),
    "milliseconds": (SECONDS, lambda s: (NEW_YEAR + s) * 1000 + 7),
    "fractional seconds": (
        {"sqlite": "REAL", "mysql": "DOUBLE", "postgresql": "DOUBLE PRECISION"},
        lambda s: NEW_YEAR + s + 0.25,
    ),
    "decimals": (
        {"sqlite": "NUMERIC", "mysql": "DECIMAL(16,3)", "postgresql": "NUMERIC(16,3)"},
        lambda s: NEW_YEAR + s + 0.25,
    ),
    "texts": (TEXTS, lambda s: utc(s)),
    "texts with T and Z": (TEXTS, lambda s: utc(s).replace(" ", "T") + "Z"),
    "texts with fractions": (TEXTS, lambda s: utc(s) + ".123"),
    "texts as Sequelize writes them": (TEXTS, lambda s: utc(s) + ".000 +00:00"),
    "texts in another zone": (TEXTS, lambda s: utc(s + 7 * 3600).replace(" ", "T") + "+07:00"),
}


def utc(seconds_from_new_year: int) -> str:
    return str(np.datetime64(NEW_YEAR + seconds_from_new_year, "s")).replace("T", " ")


def visit(
    user: object, item: object, event: str = "view", at: object = "2024-01-01 00:00:00", **others: object
) -> dict[str, object]:
    return {"userId": user, "productId": item, "actionCode": event, "timestamp": at, **others}


def as_rows(read: Interactions) -> list[tuple[object, ...]]:
    names = [read.event_names[event] for event in read.events]
    return sorted(
        zip(read.users.tolist(), read.items.tolist(), names, (read.timestamps - NEW_YEAR).tolist(), strict=True)
    )


def test_all_sources_are_read_as_they_are(db: Database, shop: Shop) -> None:
    db.insert(
        "Interactions", [visit(7, 1, "view", utc(0)), visit(7, 2, "purchase", utc(60)), visit(8, 1, "cart", utc(30))]
    )
    db.insert("Comments", [{"userId": 7, "productId": 2, "star": 4, "createdAt": utc(90)}])

    read, dropped = read_interactions(db, shop)

    assert as_rows(read) == [(7, 1, "view", 0), (7, 2, "purchase", 60), (7, 2, "star4", 90), (8, 1, "cart", 30)]
    assert read.event_names == ("cart", "purchase", "star4", "view")
    assert dropped == {}
    assert (read.users.dtype, read.items.dtype, read.events.dtype) == (np.int64, np.int64, np.int16)
    assert (read.timestamps.dtype, read.row_ids.dtype) == (np.int64, np.int64)


def test_an_empty_shop_has_no_events(db: Database, shop: Shop) -> None:
    read, dropped = read_interactions(db, shop)

    assert (len(read), read.event_names, dropped) == (0, (), {})
    assert read.contexts["device_type"].tolist() == []
    assert (read.users.dtype, read.events.dtype, read.timestamps.dtype) == (np.int64, np.int16, np.int64)


def test_row_ids_keep_the_tables_order(db: Database, shop: Shop) -> None:
    db.insert("Interactions", [visit(7, item, at=utc(0), interId=row) for row, item in ((30, 3), (10, 1), (20, 2))])

    read = read_interactions(db, shop)[0].in_order()

    assert (read.row_ids.tolist(), read.items.tolist()) == ([10, 20, 30], [1, 2, 3])


def test_context_columns_come_with_the_events_and_are_none_where_a_source_has_none(db: Database, shop: Shop) -> None:
    db.insert("Interactions", [visit(7, 1, device_type=device) for device in ("mobile", None, "")])
    db.insert("Comments", [{"userId": 7, "productId": 2, "star": 5, "createdAt": utc(0)}])

    read, _ = read_interactions(db, shop)

    assert sorted(read.contexts["device_type"].tolist(), key=str) == [None, None, None, "mobile"]
    assert read.contexts["device_type"].dtype == object


def test_unreadable_rows_are_dropped_and_counted_once_each(bare_db: Database, shop: Shop) -> None:
    bare_db.execute("CREATE TABLE log (who VARCHAR(20), what VARCHAR(20), did VARCHAR(20), at VARCHAR(20))")
    good = ("a", "x", "view", "2024-01-01 00:00:00")
    bad = [
        (None, "x", "view", good[3]),
        ("", "x", "view", good[3]),
        (None, None, None, good[3]),
        ("a", None, "view", good[3]),
        ("a", "x", "dance", good[3]),
        ("a", "x", None, good[3]),
        ("a", "x", "View", good[3]),
        ("a", "x", "view", "yesterday"),
        ("a", "x", "view", "2024-99-99"),
        ("a", "x", "view", ""),
    ]
    bare_db.insert("log", [dict(zip(("who", "what", "did", "at"), row, strict=True)) for row in (good, *bad)])
    # '' >= '1000-…' is false in every database, so the shop's text includes '' by a condition of its own.
    select = "SELECT who AS user_id, what AS item_id, did AS event, at AS timestamp, 0 AS row_id FROM log "
    select += "WHERE at >= :since OR at = ''"

    read, dropped = read_interactions(bare_db, replace(shop, sources=(Source(select, select),), max_unreadable=1))

    assert as_rows(read) == [("a", "x", "view", 0)]
    assert dropped == {"null user": 3, "null item": 1, "unknown event": 3, "bad timestamp": 3}


def test_ratings_outside_the_stars_are_dropped_and_counted(db: Database, shop: Shop) -> None:
    stars = [0, 1, 5, 6, -1, None]
    db.insert("Comments", [{"userId": 7, "productId": 2, "star": star, "createdAt": utc(0)} for star in stars])

    read, dropped = read_interactions(db, shop)

    assert [row[2] for row in as_rows(read)] == ["star1", "star5"]
    assert dropped == {"unknown rating": 3}  # a comment without stars is no rating at all


def test_cancelling_events_are_kept_though_they_carry_no_weight(db: Database, shop: Shop) -> None:
    db.insert("Interactions", [visit(7, 1, "cancel"), visit(7, 1, "refund")])

    read, dropped = read_interactions(db, shop)

    assert (read.event_names, dropped) == (("cancel",), {"unknown event": 1})


def test_only_events_with_a_weight_are_read(db: Database, shop: Shop) -> None:
    db.insert("Interactions", [visit(7, 1, "view"), visit(7, 1, "purchase")])
    db.insert("Comments", [{"userId": 7, "productId": 2, "star": 5, "createdAt": utc(0)}])

    read, dropped = read_interactions(db, replace(shop, event_weights={"purchase": 1.0}))

    assert read.event_names == ("purchase",)
    assert dropped == {"unknown event": 1, "unknown rating": 1}


@pytest.mark.parametrize("kind", TIMESTAMP_COLUMNS)
def test_every_kind_of_timestamp_is_read_to_the_second_and_since_is_exact(
    bare_db: Database, shop: Shop, kind: str
) -> None:
    types, written = TIMESTAMP_COLUMNS[kind]
    bare_db.execute(f"CREATE TABLE log (id INTEGER, at {types[bare_db.dialect]})")
    moments = [-400 * DAY, -DAY, -1, 0, 1, DAY]
    bare_db.insert("log", [{"id": row, "at": written(moment)} for row, moment in enumerate(moments, 1)])
    select = (
        "SELECT 7 AS user_id, id AS item_id, 'view' AS event, at AS timestamp, id AS row_id FROM log WHERE at >= :since"
    )
    mapped = replace(shop, sources=(Source(select, select),))

    everything, dropped = read_interactions(bare_db, mapped)
    recent, _ = read_interactions(bare_db, mapped, since=NEW_YEAR)

    assert sorted((everything.timestamps - NEW_YEAR).tolist()) == moments
    assert sorted((recent.timestamps - NEW_YEAR).tolist()) == [0, 1, DAY]
    assert dropped == {}


@pytest.mark.parametrize("kind", ["date-times", "texts"])
def test_since_is_bound_in_the_stored_time_zone(bare_db: Database, shop: Shop, kind: str) -> None:
    # The shop's clocks are in New York, 5 hours behind: its 2023-12-31 19:00 is the new year in UTC.
    types, written = TIMESTAMP_COLUMNS[kind]
    bare_db.execute(f"CREATE TABLE log (id INTEGER, at {types[bare_db.dialect]})")
    bare_db.insert("log", [{"id": row, "at": written(moment - 5 * 3600)} for row, moment in enumerate([-1, 0, 1])])
    select = (
        "SELECT 7 AS user_id, id AS item_id, 'view' AS event, at AS timestamp, id AS row_id FROM log WHERE at >= :since"
    )
    sent: list[object] = []

    bare_db._tracer = lambda sql, params: sent.append(params.get("since"))
    read, _ = read_interactions(
        bare_db, replace(shop, sources=(Source(select, select),), stored_time_zone="America/New_York"), since=NEW_YEAR
    )

    assert sorted((read.timestamps - NEW_YEAR).tolist()) == [0, 1]
    assert sent[-1] == "2023-12-30 19:00:00"  # with the day's margin


@pytest.mark.parametrize("shop_url", ["sqlite"], indirect=True)
def test_sqlite_finds_numbers_and_texts_in_one_column(db: Database, shop: Shop) -> None:
    db.insert("Interactions", [visit(7, 1, at=utc(5)), visit(7, 2, at=NEW_YEAR), visit(7, 3, at=NEW_YEAR * 1000)])

    assert sorted((read_interactions(db, shop)[0].timestamps - NEW_YEAR).tolist()) == [0, 0, 5]


def test_a_shops_text_may_calculate_with_since(bare_db: Database, shop: Shop) -> None:
    bare_db.execute(f"CREATE TABLE log (id INTEGER, at {TIMESTAMP_COLUMNS['date-times'][0][bare_db.dialect]})")
    bare_db.insert("log", [{"id": 1, "at": utc(0)}])
    since = {
        "sqlite": "datetime(:since, '-1 hour')",
        "mysql": "DATE_SUB(:since, INTERVAL 1 HOUR)",
        "postgresql": "CAST(:since AS TIMESTAMP) - INTERVAL '1 hour'",
    }[bare_db.dialect]
    columns = "7 AS user_id, id AS item_id, 'view' AS event, at AS timestamp, id AS row_id"
    select = f"SELECT {columns} FROM log WHERE at >= {since}"

    mapped = replace(shop, sources=(Source(select, select),))

    assert len(read_interactions(bare_db, mapped)[0]) == 1
    assert len(read_interactions(bare_db, mapped, since=NEW_YEAR)[0]) == 1
    assert len(read_interactions(bare_db, mapped, since=NEW_YEAR + 3 * DAY)[0]) == 0


def test_rows_without_an_id_of_their_own_are_numbered_as_they_come(bare_db: Database, shop: Shop) -> None:
    bare_db.execute("CREATE TABLE log (id INTEGER, at VARCHAR(20))")
    bare_db.insert("log", [{"id": row, "at": utc(0)} for row in (1, 2, 3)])
    select = (
        "SELECT 7 AS user_id, id AS item_id, 'view' AS event, at AS timestamp{} FROM log WHERE at >= :since ORDER BY id"
    )

    for row_id in (", 0 AS row_id", "", ", 'a-uuid' AS row_id"):
        text = select.format(row_id)
        assert read_interactions(bare_db, replace(shop, sources=(Source(text, text),)))[0].row_ids.tolist() == [1, 2, 3]


def test_a_source_that_lacks_a_column_says_which_it_should_return(bare_db: Database, shop: Shop) -> None:
    text = "SELECT 1 AS user_id, 2 AS item_id, '2024-01-01' AS timestamp WHERE '2' > :since"

    with pytest.raises(
        SettingsError,
        match="should return user_id, item_id, timestamp, and event or rating. Received: user_id, item_id",
    ):
        read_interactions(bare_db, replace(shop, sources=(Source(text, text),)))


def test_texts_that_disagree_on_ratings_are_refused(bare_db: Database, shop: Shop) -> None:
    since = "SELECT 1 AS user_id, 2 AS item_id, 3 AS rating, '2024-01-01' AS timestamp WHERE '2' > :since"

    with pytest.raises(SettingsError, match="or both a rating written as `AS rating`"):
        read_interactions(bare_db, replace(shop, sources=(Source(since, since.replace("rating", "event")),)))


def test_a_missing_table_names_the_statement_and_recsys_toml(bare_db: Database, shop: Shop) -> None:
    with pytest.raises(SettingsError, match=r"recsys.toml.*FROM Interactions"):
        read_interactions(bare_db, shop)


def test_a_column_of_no_ids_is_refused(bare_db: Database, shop: Shop) -> None:
    bare_db.execute("CREATE TABLE log (who DOUBLE PRECISION, at VARCHAR(20))")
    bare_db.insert("log", [{"who": 1.5, "at": utc(0)}])
    text = (
        "SELECT who AS user_id, 1 AS item_id, 'view' AS event, at AS timestamp, 0 AS row_id FROM log WHERE at >= :since"
    )

    with pytest.raises(SettingsError, match="CAST them in recsys.toml"):
        read_interactions(bare_db, replace(shop, sources=(Source(text, text),)))


def test_progress_is_called_for_every_chunk(db: Database, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    db.insert("Interactions", [visit(7, item) for item in range(5)])
    stream = db.stream
    monkeypatch.setattr(db, "stream", lambda sql, params: stream(sql, params, chunk=2))
    heard: list[int] = []

    read, _ = read_interactions(db, shop, progress=heard.append)

    assert (heard, len(read)) == ([2, 2, 1], 5)


def test_many_rows_arrive_whole_and_in_their_types(db: Database, shop: Shop, rng: np.random.Generator) -> None:
    n = 12_000
    users, items = rng.integers(1, 500, n).tolist(), rng.integers(1, 500, n).tolist()
    seconds = rng.integers(0, 365 * DAY, n).tolist()
    events = rng.choice(["view", "cart", "purchase"], n).tolist()
    db.insert("Interactions", (visit(*row[:3], utc(row[3])) for row in zip(users, items, events, seconds, strict=True)))

    read, dropped = read_interactions(db, shop)

    assert as_rows(read) == sorted(zip(users, items, events, seconds, strict=True))
    assert dropped == {}
