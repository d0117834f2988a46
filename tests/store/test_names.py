"""Tables and columns whose names need quotes, and conditions on their rows, in training and in serving."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from recsys.errors import SettingsError
from recsys.settings import Shop, load_settings
from recsys.store import (
    Database,
    bought_items,
    connect,
    list_versions,
    newest_products,
    products,
    read_catalogue,
    read_interactions,
    runs_since,
    set_active,
    user_events,
    write_version,
)
from recsys.store.migrations import columns, migrate, own_tables
from recsys.store.monitoring import Answered
from recsys.store.readiness import check_mapping, check_own_tables
from recsys.store.schema import table_names

NOW = 1_704_067_200 + 86_400  # 2024-01-02 00:00:00 UTC
MOMENT = {"sqlite": "DATETIME", "mysql": "DATETIME", "postgresql": "TIMESTAMP"}
FLAG = {"sqlite": "TEXT", "mysql": "ENUM('Y', 'N')", "postgresql": "VARCHAR(1)"}
TOML = """
[[sources]]
table = "{table}"
user = "{user}"
item = "select"
timestamp = "placedAt"
row_id = "row"
where = "test = 0 -- no trials"
purchase_when = "state IN ('paid', 'sent', 'back')"
returned_when = "state = 'back' OR pieces <= 0"

[products]
table = "wp-goods"
id = "key"
active = "onSale"
category = "group"
"""
ROWS = [  # item, state, pieces, test
    (1, "paid", 1, 0),
    (2, "back", 1, 0),
    (2, "sent", 1, 0),  # another purchase of the same product, which stands
    (3, "cancelled", 1, 0),
    (4, "paid", -1, 0),
    (5, "paid", 1, 1),
    (6, None, 1, 0),
    (7, "paid", None, 0),  # null is no return
]


@pytest.fixture
def mapped(tmp_path: Path) -> Callable[..., Shop]:
    def read(table: str, user: str) -> Shop:
        (tmp_path / "recsys.toml").write_text(TOML.format(table=table, user=user), encoding="utf-8")
        return load_settings({"DATABASE_URL": "sqlite:///unused"}, tmp_path).shop

    return read


def fill(db: Database, table: str, user: str) -> None:
    """Create tables with names that need quotes: as in `TOML`, but for those that are passed."""
    q = db.syntax.quoted
    db.execute(
        f"CREATE TABLE {table} ({user} INTEGER, {q('select')} INTEGER, {q('placedAt')} {MOMENT[db.dialect]}, "
        f"{q('row')} INTEGER, state VARCHAR(9), pieces INTEGER, test INTEGER)"
    )
    for number, (item, state, pieces, test) in enumerate(ROWS, 1):
        db.execute(
            f"INSERT INTO {table} VALUES (7, {item}, '2024-01-01 00:00:00', {number}, :state, :pieces, {test})",  # noqa: S608 - the test's own
            {"state": state, "pieces": pieces},
        )
    goods = f"{q('wp-goods')} ({q('key')} INTEGER, {q('onSale')} {FLAG[db.dialect]}, {q('group')} VARCHAR(9))"
    db.execute(f"CREATE TABLE {goods}")
    db.execute(f"INSERT INTO {q('wp-goods')} VALUES (1, 'Y', 'bag'), (2, 'N', 'hat')")  # noqa: S608 - the test's own


# The table's and the user's name in recsys.toml, and as they were created; `q` quotes as the database does.
NAMES: dict[str, tuple[str, str, Callable[[Callable[[str], str]], tuple[str, str]]]] = {
    "reserved words": ("order", "user", lambda q: (q("order"), q("user"))),
    "capitals": ("Orders", "customerId", lambda q: (q("Orders"), q("customerId"))),
    "capitals that the database may have folded": ("Orders", "customerId", lambda q: ("Orders", "customerId")),
    "hyphens": ("wp-orders", "customer-id", lambda q: (q("wp-orders"), q("customer-id"))),
    "quotes": ('\\"our orders\\"', "`a.b`", lambda q: (q("our orders"), q("a.b"))),
}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_names_that_need_quotes_work_by_name_and_rows_count_as_the_conditions_say(
    bare_db: Database, mapped: Callable[..., Shop], names: tuple[str, str, Callable[..., tuple[str, str]]]
) -> None:
    db, (table, user, created) = bare_db, names
    fill(db, *created(db.syntax.quoted))
    shop = mapped(table, user)
    migrate(db, shop=False)
    write_version(db, "v1", data_until=0, users=np.array([7]), items=np.array([1, 2, 7]), contexts={})

    check_mapping(db, shop)
    read, dropped = read_interactions(db, shop)
    events = user_events(db, shop, "v1", 7, 10)

    assert (read.items.tolist(), dropped, read.event_names) == ([1, 2, 7], {}, ("purchase",))
    assert (events.items.tolist(), events.idx.tolist(), events.row_ids.tolist()) == ([1, 2, 7], [0, 1, 2], [1, 3, 8])
    assert sorted(bought_items(db, shop, 7, NOW)) == [1, 2, 7]
    catalogue = read_catalogue(db, shop)
    assert sorted(zip(catalogue.items.tolist(), catalogue.active.tolist(), strict=True)) == [(1, True), (2, False)]
    assert [(row.item_id, row.active, row.category) for row in products(db, shop, [1, 2])] == [
        (1, True, "bag"),
        (2, False, "hat"),
    ]
    assert [row.item_id for row in newest_products(db, shop, limit=5)] == [1]


def test_a_name_that_the_shop_does_not_have_is_an_error_and_no_text(
    bare_db: Database, mapped: Callable[..., Shop]
) -> None:
    fill(bare_db, "orders", "customer")

    with pytest.raises(SettingsError, match="custmer"):
        read_interactions(bare_db, mapped("orders", "custmer"))


# Our own tables in another place than the shop's


@pytest.fixture
def place(database_url: str, tmp_path: Path) -> Iterator[str]:
    """A schema, a database or a file for our tables, which is removed after the test."""
    if database_url.startswith("sqlite"):
        yield "own.sqlite"
        return
    name = f"own_{database_url.rpartition('/')[2].partition('?')[0]}"[:60]
    yield name
    with connect(database_url) as db:
        word = "SCHEMA" if db.dialect == "mysql" else "SCHEMA IF EXISTS"
        db.execute(f"DROP {word} {db.syntax.quoted(name)}{'' if db.dialect == 'mysql' else ' CASCADE'}")


def test_our_own_tables_may_lie_elsewhere_and_the_shops_tables_of_their_names_stay(
    database_url: str, tmp_path: Path, place: str
) -> None:
    with connect(database_url) as db:
        fill(db, "orders", "customer")
        db.execute("CREATE TABLE rec_versions (id INTEGER, owner VARCHAR(9))")  # another program's
        db.execute("CREATE TABLE recommendations (id INTEGER)")
    toml = TOML.format(table="orders", user="customer") + f'[shop]\nown_tables = "{place}"\ntracked_events = ["view"]\n'
    (tmp_path / "recsys.toml").write_text(toml, encoding="utf-8")
    settings = load_settings({"DATABASE_URL": database_url}, tmp_path)

    for _ in range(2):
        with connect(settings.database_url) as db:
            check_own_tables(db)
            assert migrate(db, shop=False) == []
            check_mapping(db, settings.shop)
            if "v1" not in {version.name for version in list_versions(db)}:
                write_version(db, "v1", data_until=0, users=np.array([7]), items=np.array([1, 2, 7]), contexts={})
                set_active(db, "v1")
            assert user_events(db, settings.shop, "v1", 7, 10).idx.tolist() == [0, 1, 2]
            assert sorted(bought_items(db, settings.shop, 7, NOW)) == [1, 2, 7]
            assert sorted(read_interactions(db, settings.shop)[0].items.tolist()) == [1, 2, 7]
            assert db.query("SELECT original_id FROM rec_user_encoder_active") == [("7",)]
            assert len(columns(db, "recommendations")) == 8
            assert runs_since(db, "2024-01-01 00:00:00") == Answered(0, 0)
            assert "model_runs" not in table_names(db)
    with connect(database_url) as db:  # the shop's own place has no more tables than before
        assert columns(db, "rec_versions") == ["id", "owner"]
        assert columns(db, "recommendations") == ["id"]
        assert columns(db, "rec_user_encoder") == columns(db, "rec_schema_migrations") == []


def test_a_new_shop_is_made_in_its_own_place_and_not_among_our_tables(
    database_url: str, tmp_path: Path, place: str
) -> None:
    with connect(database_url) as db:
        db.execute("CREATE TABLE Users (id INTEGER)")  # made earlier; it stays as it is
    (tmp_path / "recsys.toml").write_text(f'[shop]\nown_tables = "{place}"\n', encoding="utf-8")
    with connect(load_settings({"DATABASE_URL": database_url}, tmp_path).database_url) as db:
        assert "0001_shop.sql" in migrate(db)
        assert columns(db, "Interactions") == []
        db.insert("Interactions", [{"userId": 1, "productId": 2, "actionCode": "view", "timestamp": "2024-01-01"}])

    with connect(database_url) as db:
        assert db.query("SELECT userId FROM Interactions") == [(1,)]
        assert columns(db, "Users") == ["id"]
        assert columns(db, "rec_versions") == []


def test_the_backends_cache_takes_a_prefix_beside_the_shops_own_recommendations(
    database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "recsys.toml").write_text('[shop]\ncache_prefix = "recsys_"\n', encoding="utf-8")
    with connect(database_url) as db:
        db.execute("CREATE TABLE recommendations (id INTEGER, customer INTEGER)")
        assert "0004_cache.sql" not in migrate(db, shop=False)

    with connect(load_settings({"DATABASE_URL": database_url}, tmp_path).database_url) as db:
        assert "0004_cache.sql" in migrate(db)
        assert columns(db, "recommendations") == ["id", "customer"]
        assert len(columns(db, "recsys_recommendations")) == 8
        assert len(columns(db, "recsys_model_runs")) == 7
        assert {"recsys_recommendations", "recsys_model_runs"} <= set(own_tables(db))


@pytest.mark.parametrize("place", ["a b", "a.b", "a;b", ""])
def test_a_place_that_is_no_name_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "recsys.toml").write_text(f'[shop]\nown_tables = "{place}"\n', encoding="utf-8")

    with pytest.raises(SettingsError, match="own_tables"):
        load_settings({"DATABASE_URL": "mysql+pymysql://localhost/shop"}, tmp_path)
