from dataclasses import replace

import numpy as np
import pytest

from recsys.errors import ModelMismatch
from recsys.settings import Shop, Source
from recsys.store import Database, UserEvents, bought_items, read_interactions, user_events, write_version

NEW_YEAR = 1_704_067_200  # 2024-01-01 00:00:00 UTC


def utc(seconds_from_new_year: int) -> str:
    return str(np.datetime64(NEW_YEAR + seconds_from_new_year, "s")).replace("T", " ")


def visit(user: int, item: int, event: str, at: int, row: int | None = None) -> dict[str, object]:
    others = {} if row is None else {"interId": row}
    return {"userId": user, "productId": item, "actionCode": event, "timestamp": utc(at), **others}


def as_rows(events: UserEvents) -> list[tuple[object, ...]]:
    names = [events.event_names[event] for event in events.events]
    return list(
        zip(events.items.tolist(), events.idx.tolist(), names, (events.timestamps - NEW_YEAR).tolist(), strict=True)
    )


@pytest.fixture
def version(db: Database) -> str:
    """The name of a version with items 10, 11 and 12 at 0, 1 and 2, beside one with them in reverse order."""
    write_version(db, "other", data_until=0, users=np.array([7]), items=np.array([12, 11, 10, 99]), contexts={})
    write_version(db, "this", data_until=0, users=np.array([5, 7]), items=np.array([10, 11, 12]), contexts={})
    return "this"


def test_a_users_events_come_oldest_first_with_the_versions_indices(db: Database, shop: Shop, version: str) -> None:
    db.insert(
        "Interactions",
        [visit(7, 12, "purchase", 60), visit(7, 10, "view", 0), visit(7, 99, "cart", 90), visit(8, 11, "view", 1)],
    )
    db.insert("Comments", [{"userId": 7, "productId": 11, "star": 4, "createdAt": utc(30)}])

    events = user_events(db, shop, version, 7, 10)

    assert as_rows(events) == [(10, 0, "view", 0), (11, 1, "star4", 30), (12, 2, "purchase", 60), (99, -1, "cart", 90)]
    assert events.event_names == ("cart", "purchase", "star4", "view")
    assert not events.truncated
    assert (events.items.dtype, events.idx.dtype, events.events.dtype) == (np.int64, np.int32, np.int16)


def test_it_takes_one_statement(db: Database, shop: Shop, version: str) -> None:
    sent: list[str] = []
    db._tracer = lambda sql, params: sent.append(sql)

    user_events(db, shop, version, 7, 10)
    assert len(sent) == 1

    bought_items(db, shop, 7, NEW_YEAR)
    assert len(sent) == 2


def test_only_the_newest_are_read_and_truncation_is_reported(db: Database, shop: Shop, version: str) -> None:
    db.insert("Interactions", [visit(7, 10, "view", second) for second in (5, 3, 4, 1, 2)])
    db.insert("Comments", [{"userId": 7, "productId": 11, "star": 4, "createdAt": utc(at)} for at in (0, 6)])

    newest = user_events(db, shop, version, 7, 3)
    everything = user_events(db, shop, version, 7, 7)

    assert [row[3] for row in as_rows(newest)] == [4, 5, 6]
    assert newest.truncated
    assert [row[3] for row in as_rows(everything)] == [0, 1, 2, 3, 4, 5, 6]
    assert not everything.truncated


def test_equal_times_keep_the_tables_order_as_in_training(db: Database, shop: Shop, version: str) -> None:
    db.insert("Interactions", [visit(7, item, "view", 0, row) for item, row in ((10, 3), (11, 1), (12, 2))])

    events = user_events(db, shop, version, 7, 10)

    assert events.items.tolist() == [11, 12, 10]
    assert events.items.tolist() == read_interactions(db, shop)[0].in_order().items.tolist()
    assert user_events(db, shop, version, 7, 2).items.tolist() == [12, 10]


def test_unknown_events_do_not_count_towards_the_limit(db: Database, shop: Shop, version: str) -> None:
    db.insert(
        "Interactions", [visit(7, 10, "purchase", 0), *(visit(7, 11, "scroll", second) for second in range(1, 9))]
    )

    events = user_events(db, shop, version, 7, 2)

    assert as_rows(events) == [(10, 0, "purchase", 0)]
    assert not events.truncated


def test_cancellations_come_along(db: Database, shop: Shop, version: str) -> None:
    db.insert("Interactions", [visit(7, 10, "purchase", 0), visit(7, 10, "cancel", 1)])

    assert [row[2] for row in as_rows(user_events(db, shop, version, 7, 10))] == ["purchase", "cancel"]


@pytest.mark.parametrize("user", [8, "7abc", "7", -1, 2**63 - 1])
def test_another_user_has_other_events_or_none(db: Database, shop: Shop, version: int, user: int | str) -> None:
    db.insert("Interactions", [visit(7, 10, "view", 0)])

    events = user_events(db, shop, version, user, 10)

    assert len(events) == (1 if user == "7" else 0)  # the text of the same id


@pytest.mark.parametrize("user", ["", "a\0b", "\ud800", "x" * 600, "' OR '1'='1"])
def test_what_can_be_no_id_has_no_events(db: Database, shop: Shop, version: int, user: str) -> None:
    db.insert("Interactions", [visit(7, 10, "view", 0)])

    assert len(user_events(db, shop, version, user, 10)) == 0
    assert bought_items(db, shop, user, NEW_YEAR) == []


def test_no_events_are_arrays_without_rows(db: Database, shop: Shop, version: str) -> None:
    without_sources = replace(shop, sources=())
    for events in (
        user_events(db, of, version, 7, limit) for of, limit in ((shop, 10), (shop, 0), (without_sources, 10))
    ):
        assert (len(events), events.event_names, events.truncated, events.user) == (0, (), False, 1)
        assert (events.idx.dtype, events.events.dtype, events.timestamps.dtype) == (np.int32, np.int16, np.int64)


def test_the_user_comes_with_the_index_in_that_version(db: Database, shop: Shop, version: str) -> None:
    db.insert("Interactions", [visit(7, 10, "view", 0), visit(8, 10, "view", 0)])

    users = {user: user_events(db, shop, version, user, 10).user for user in (5, 7, "7", 8, "", "x" * 600)}

    assert users == {5: 0, 7: 1, "7": 1, 8: None, "": None, "x" * 600: None}
    assert user_events(db, shop, "other", 7, 10).user == 0


def test_a_row_without_an_item_is_no_event_and_not_the_user(db: Database, shop: Shop, version: str) -> None:
    views = [(0, "10", 0, "view", utc(0), "1", None), (0, None, None, "view", utc(1), "2", None)]
    rows = [*views, (-1, None, 41, None, None, None, None)]
    db.query = lambda sql, params=None: rows  # type: ignore[method-assign] # as a server that cannot cast an id

    events = user_events(db, shop, version, 7, 10, item_kind="str")

    assert (events.user, events.items.tolist()) == (41, ["10"])


@pytest.mark.parametrize("limit", [0, 10])
def test_a_version_that_the_database_does_not_hold_is_refused(
    db: Database, shop: Shop, version: str, limit: int
) -> None:
    db.insert("Interactions", [visit(7, 10, "view", 0)])

    with pytest.raises(ModelMismatch, match="encoders of version missing"):
        user_events(db, shop, "missing", 7, limit)


def test_item_ids_come_in_the_shops_type(db: Database, shop: Shop, version: str) -> None:
    db.insert("Interactions", [visit(7, 10, "purchase", 0)])

    assert user_events(db, shop, version, 7, 10, item_kind="str").items.tolist() == ["10"]
    assert user_events(db, shop, version, 7, 10, item_kind="int").items.tolist() == [10]
    assert bought_items(db, shop, 7, NEW_YEAR, item_kind="str") == ["10"]


def test_times_are_read_in_the_stored_zone(db: Database, shop: Shop, version: str) -> None:
    db.insert("Interactions", [visit(7, 10, "view", 7 * 3600)])

    events = user_events(db, replace(shop, stored_time_zone="Asia/Ho_Chi_Minh"), version, 7, 10)

    assert (events.timestamps - NEW_YEAR).tolist() == [0]


def test_bought_items_are_those_of_the_window_once_each(db: Database, shop: Shop) -> None:
    db.insert("Interactions", [visit(7, 10, "purchase", 0), visit(7, 10, "purchase", 50), visit(7, 11, "cart", 0)])
    db.insert("Interactions", [visit(7, 12, "purchase", 10), visit(8, 99, "purchase", 0)])

    for now, items in ((60, [10, 12]), (86_411, [10]), (86_450, [10]), (86_451, [])):
        assert sorted(bought_items(db, replace(shop, repeat_after_days=1), 7, NEW_YEAR + now)) == items
    assert bought_items(db, replace(shop, purchase_events=("cart",)), 7, NEW_YEAR) == [11]


def test_a_shop_with_ratings_only_has_no_purchases(db: Database, shop: Shop) -> None:
    assert bought_items(db, replace(shop, sources=shop.sources[1:]), 7, NEW_YEAR) == []


@pytest.mark.parametrize("what", ["events", "purchases"])
def test_ids_that_differ_in_case_or_blanks_are_two_users(db: Database, shop: Shop, version: str, what: str) -> None:
    db.execute("CREATE TABLE log (who VARCHAR(20), what VARCHAR(20), at VARCHAR(20))")
    db.insert("log", [{"who": who, "what": f"of {who}", "at": utc(0)} for who in ("lan", "LAN", "lan ", "län")])
    columns = "who AS user_id, what AS item_id, 'purchase' AS event, at AS timestamp, 0 AS row_id"
    source = Source(f"SELECT {columns} FROM log WHERE at >= :since", f"SELECT {columns} FROM log WHERE who = :user_id")
    mapped = replace(shop, sources=(source,))

    for who in ("lan", "LAN", "lan ", "län"):
        items = (
            user_events(db, mapped, version, who, 9).items.tolist()
            if what == "events"
            else bought_items(db, mapped, who, NEW_YEAR)
        )
        assert items == [f"of {who}"]


@pytest.mark.parametrize("shop_url", ["postgresql"], indirect=True)
def test_a_text_that_is_no_uuid_is_an_unknown_user(db: Database, shop: Shop, version: str) -> None:
    lan = "12345678-1234-5678-1234-567812345678"
    db.execute("CREATE TABLE log (who UUID, what INT, did VARCHAR(9), at TIMESTAMPTZ)")
    db.insert("log", [{"who": lan, "what": 5, "did": "purchase", "at": "2024-01-01 07:00:00+07"}])
    columns = "who AS user_id, what AS item_id, did AS event, at AS timestamp, 0 AS row_id"
    source = Source(f"SELECT {columns} FROM log WHERE at >= :since", f"SELECT {columns} FROM log WHERE who = :user_id")
    mapped = replace(shop, sources=(source,), stored_time_zone="America/New_York")

    events = user_events(db, mapped, version, lan, 9)
    assert (events.items.tolist(), (events.timestamps - NEW_YEAR).tolist()) == ([5], [0])
    assert read_interactions(db, mapped)[0].users.tolist() == [lan]
    unknown = user_events(db, mapped, version, "lan", 9)
    assert (len(unknown), unknown.user) == (0, None)
    assert bought_items(db, mapped, "lan", NEW_YEAR) == []


@pytest.mark.parametrize("shop_url", ["sqlite", "mariadb"], indirect=True)
def test_the_encoders_primary_key_is_used_among_many_items(db: Database, shop: Shop) -> None:
    write_version(db, "v0", data_until=0, users=np.arange(10), items=np.arange(12_000), contexts={})
    write_version(db, "v1", data_until=0, users=np.arange(10), items=np.arange(12_000), contexts={})
    db.insert(
        "Interactions", [visit(user, 37 * user + second, "view", second) for user in range(40) for second in range(25)]
    )
    if db.dialect == "mysql":
        db.query("ANALYZE TABLE Interactions, rec_item_encoder")
    sent: list[tuple[str, dict[str, object]]] = []
    db._tracer = lambda sql, params: sent.append((sql, params))

    events = user_events(db, shop, "v1", 7, 100)
    db._tracer = None

    assert events.user == 7
    assert events.idx.tolist() == [37 * 7 + second for second in range(25)]
    cursor = db._connection.cursor()
    cursor.execute(("EXPLAIN QUERY PLAN " if db.dialect == "sqlite" else "EXPLAIN ") + sent[0][0], sent[0][1])
    plan = cursor.fetchall()
    if db.dialect == "sqlite":
        steps = [step for *_, step in plan]
        assert sum("SEARCH r USING PRIMARY KEY (version=? AND original_id=?)" in step for step in steps) == len(
            shop.sources
        )
        assert any("SEARCH Interactions USING INDEX Interactions_by_user (userId=?)" in step for step in steps)
        assert not any(step.startswith(("SCAN r", "SCAN Interactions", "SCAN Comments")) for step in steps)
    else:
        by_table = {row[2]: row for row in plan}
        assert by_table["r"][3:6:2] == ("eq_ref", "PRIMARY")
        assert by_table["Interactions"][3:6:2] == ("ref", "Interactions_by_user")
