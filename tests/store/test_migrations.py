import json
import re
import threading
from importlib.resources import files

import numpy as np
import pytest

from recsys.errors import RecsysError, SettingsError
from recsys.store import Database, connect
from recsys.store.encoders import set_active, write_version
from recsys.store.migrations import columns, migrate, own_tables, own_views, renumber, statements

FOLDER = files("recsys.store") / "migrations"
NAMES = sorted(item.name for item in FOLDER.iterdir() if item.name.endswith(".sql"))
DIALECTS = json.loads((FOLDER / "dialects.json").read_text(encoding="utf-8"))
COLUMNS = {
    "Users": "id email password firstName lastName address genderId phonenumber dob roleId statusId "
    "createdAt updatedAt",
    "Products": "id name contentHTML contentMarkdown statusId categoryId brandId view madeby material "
    "createdAt updatedAt",
    "Productdetails": "id productId nameDetail description originalPrice discountPrice stock",
    "Productimages": "id productId image",
    "Interactions": "interId userId productId actionCode device_type timestamp eventId",
    "Comments": "id content parentId productId userId blogId star createdAt",
    "Allcodes": "id type value code",
    "rec_versions": "id name complete active data_until",
    "rec_user_encoder": "version original_id idx",
    "rec_item_encoder": "version original_id idx",
    "rec_context_mapping": "version feature_name original_value idx",
    "rec_context_meta": "version feature_name position",
    "recommendations": "id userId productId modelName score details createdAt updatedAt",
    "model_runs": "id userId modelName metricsJson recommendationsJson createdAt updatedAt",
    "rec_lists": "userId modelName modelVersion source context asked computedAt leaseToken leaseUntil",
    "rec_guest_events": "id guestId productId actionCode device_type timestamp eventId",
    "rec_answer_counts": "hour source reason count",
    "rec_user_interactions": "id interaction_id user_id session_id product_id interaction_type metadata event_id "
    "recommendation_id position occurred_at pending",
    "rec_user_preferences": "user_id categories brands price_min price_max revision updated_at",
    "rec_product_similarities": "item_id similar_id score version",
    "rec_frequently_together": "item_id together_id n_orders lift confidence confidence_back",
    "rec_recommendations_cache": "user_id list_key entry expires_at",
    "rec_user_segments": "user_id segment arm assigned_at",
    "rec_analytics": "day algorithm position action count",
    "rec_batch_lists": "user_id position item_id score reason reason_item version model source computed_at",
    "rec_batch_runs": "job version started_at last_user n_users n_lists finished_at",
    "rec_user_encoder_active": "original_id idx",
    "rec_item_encoder_active": "original_id idx",
    "rec_context_mapping_active": "feature_name original_value idx",
    "rec_context_meta_active": "feature_name position",
}


def test_the_whole_schema_is_made_once_and_recorded(bare_db: Database) -> None:
    assert migrate(bare_db) == NAMES
    assert migrate(bare_db) == []
    assert [name for (name,) in bare_db.query("SELECT name FROM rec_schema_migrations ORDER BY name")] == NAMES


def test_every_table_has_the_columns_that_its_readers_know(db: Database) -> None:
    for table, names in COLUMNS.items():
        stream = db.stream(f"SELECT * FROM {table}")
        stream.close()

        assert {name.lower() for name in names.split()} - {name.lower() for name in stream.columns} == set(), table


def test_our_own_tables_and_views_are_known_by_name(db: Database) -> None:
    assert {*own_tables(db), *own_views()} == {
        name for name in COLUMNS if name.startswith("rec") or name == "model_runs"
    } | {"rec_schema_migrations"}
    for table in own_tables(db)[1:]:
        assert [name.lower() for name in columns(db, table)] == COLUMNS[table].lower().split()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_token_is_replaced_and_no_name_is_quoted(name: str, dialect: str) -> None:
    text = ";\n".join(statements(name, dialect))

    assert re.search(r"[{}`\"]", text) is None


def test_every_dialect_knows_the_same_tokens_and_each_is_used() -> None:
    used = {
        token for name in NAMES for token in re.findall(r"\{\{(\w+)\}\}", (FOLDER / name).read_text(encoding="utf-8"))
    } - {"words"}

    assert {dialect: set(tokens) for dialect, tokens in DIALECTS.items()} == dict.fromkeys(
        ("sqlite", "mysql", "postgresql"), used
    )


def test_an_interrupted_migration_is_resumed(bare_db: Database, database_url: str) -> None:
    class Killed(Exception):
        pass

    for step in range(1, 200):
        sent = 0

        def die(sql: str, params: object, last: int = step) -> None:
            nonlocal sent
            sent += 1
            if sent == last:
                raise Killed

        try:
            with connect(database_url, tracer=die) as db:
                migrate(db)
            break
        except Killed:
            continue

    assert step > len(NAMES)
    assert migrate(bare_db) == []
    assert bare_db.query("SELECT COUNT(*) FROM rec_versions") == [(0,)]


# Tables of the shop's own, by what made them
FOREIGN = {
    "golang-migrate": "CREATE TABLE schema_migrations (version BIGINT NOT NULL PRIMARY KEY, dirty BOOLEAN NOT NULL)",
    "Rails and dbmate": "CREATE TABLE schema_migrations (version VARCHAR(128) NOT NULL PRIMARY KEY)",
    "names alone": "CREATE TABLE schema_migrations (name VARCHAR(128) NOT NULL PRIMARY KEY)",
    "recommendations": "CREATE TABLE recommendations (id INT PRIMARY KEY, customer_id INT, product_id INT)",
    "model_runs": "CREATE TABLE model_runs (id INT PRIMARY KEY, car_model VARCHAR(50))",
    "rec_analytics": "CREATE TABLE rec_analytics (id INT PRIMARY KEY, user_id VARCHAR(50), algorithm VARCHAR(50))",
}


@pytest.mark.parametrize("ddl", FOREIGN.values(), ids=FOREIGN)
def test_our_tables_are_created_beside_the_shops_tables_which_stay_unchanged(bare_db: Database, ddl: str) -> None:
    table = ddl.split()[2]
    bare_db.execute(ddl)
    had = columns(bare_db, table)

    made = migrate(bare_db, shop=False)

    assert "0002_recommendations.sql" in made
    assert migrate(bare_db, shop=False) == []
    assert columns(bare_db, table) == had
    assert bare_db.query(f"SELECT COUNT(*) FROM {table}") == [(0,)]
    assert (table not in {"recommendations", "model_runs"}) == ("0004_cache.sql" in made)
    assert (table != "rec_analytics") == ("0007_tracking.sql" in made)
    assert table not in own_tables(bare_db)
    write_version(bare_db, "new", data_until=2, users=np.array([8]), items=np.array([2]), contexts={"season": ["wet"]})


@pytest.mark.parametrize("table", ["rec_schema_migrations", "rec_versions", "rec_user_encoder", "rec_context_meta"])
def test_a_table_that_training_cannot_share_is_refused_by_name_columns_and_way_out(
    bare_db: Database, table: str
) -> None:
    bare_db.execute(f"CREATE TABLE {table} (id INT PRIMARY KEY, owner VARCHAR(50))")

    with pytest.raises(SettingsError) as caught:
        migrate(bare_db, shop=False)

    columns = COLUMNS.get(table, "name applied_at").replace(" ", ", ")
    expected = f"The table `{table}` should be recsys' own, with the columns {columns}. "
    assert str(caught.value).startswith(expected + "Received: a table with id, owner. Rename it; or name another place")


def test_the_whole_schema_is_not_created_beside_the_shops_own_recommendations(bare_db: Database) -> None:
    bare_db.execute(FOREIGN["recommendations"])

    with pytest.raises(
        SettingsError, match="`recommendations` should be recsys' own.* a table with id, customer_id, product_id"
    ):
        migrate(bare_db)


OLD_RECORD = "CREATE TABLE schema_migrations (name VARCHAR(191) NOT NULL PRIMARY KEY, applied_at {} NOT NULL)"
IN_THE_OLD_RECORD = ["0001_shop.sql", "0002_recommendations.sql", "0003_lists.sql"]


def test_an_older_record_is_taken_over_and_no_migration_is_run_again(bare_db: Database) -> None:
    """A database as earlier programs left it: their record, and the backend's cache made by what is 0002 now."""
    migrate(bare_db)
    bare_db.execute("DROP TABLE rec_schema_migrations")
    bare_db.execute(OLD_RECORD.format(DIALECTS[bare_db.dialect]["datetime"]))
    bare_db.insert(
        "schema_migrations", [{"name": name, "applied_at": "2024-01-01 00:00:00"} for name in IN_THE_OLD_RECORD]
    )
    bare_db.insert("recommendations", [{"userId": 1, "productId": 2, "modelName": "BMF"}])

    assert migrate(bare_db) == NAMES[len(IN_THE_OLD_RECORD) :]

    assert bare_db.query("SELECT COUNT(*) FROM recommendations") == [(1,)]
    record = bare_db.query("SELECT name, applied_at FROM rec_schema_migrations WHERE name < '0004' ORDER BY name")
    assert [(name, str(applied)) for name, applied in record] == [
        (name, "2024-01-01 00:00:00") for name in IN_THE_OLD_RECORD
    ]
    assert bare_db.query("SELECT COUNT(*) FROM schema_migrations") == [(3,)]


def test_two_programs_may_migrate_at_once(bare_db: Database, database_url: str) -> None:
    applied: list[list[str]] = []
    failures: list[RecsysError] = []
    start = threading.Barrier(2)

    def run() -> None:
        with connect(database_url) as db:
            start.wait()
            try:
                applied.append(migrate(db))
            except RecsysError as error:
                failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert sorted(name for names in applied for name in names) == NAMES
    assert migrate(bare_db) == []


def test_users_and_products_keep_the_ids_they_come_with_and_new_ones_follow(bare_db: Database) -> None:
    db = bare_db  # MariaDB goes on counting after rows are deleted
    migrate(db)
    db.insert("Users", [{"id": 17850}, {"id": 9_000_000_000}])
    db.insert("Products", [{"id": 22, "name": "bag"}])
    renumber(db)

    db.execute("INSERT INTO Users (email) VALUES ('new@example.org')")
    db.execute("INSERT INTO Products (name) VALUES ('belt')")

    assert db.query("SELECT id FROM Users ORDER BY id") == [(17850,), (9_000_000_000,), (9_000_000_001,)]
    assert db.query("SELECT id FROM Products ORDER BY id") == [(22,), (23,)]


def test_an_event_with_an_event_id_is_stored_once_and_one_without_each_time(db: Database) -> None:
    event = {"userId": 1, "productId": 2, "actionCode": "view", "timestamp": "2024-01-01 00:00:00"}

    assert db.insert("Interactions", [{**event, "eventId": "aB"}, {**event, "eventId": "ab"}]) == 2
    assert db.insert("Interactions", [{**event, "eventId": "aB"}, {**event, "eventId": "c"}], skip_duplicates=True) == 1
    assert db.insert("Interactions", [{**event, "eventId": None}, {**event, "eventId": None}]) == 2
    assert db.query("SELECT COUNT(*) FROM Interactions") == [(5,)]


def test_many_users_may_lack_an_email_and_an_email_belongs_to_one_user(db: Database) -> None:
    db.insert("Users", [{"email": None}, {"email": None}, {"email": "lan@example.org"}])

    with pytest.raises(SettingsError):
        db.insert("Users", [{"email": "lan@example.org"}])


def test_an_image_and_a_price_come_back_as_they_went_in(db: Database) -> None:
    image = "<svg xmlns='http://www.w3.org/2000/svg'>" + "🎒" * 30_000 + "</svg>"
    db.insert("Productimages", [{"productId": 1, "image": image}])
    db.insert("Productdetails", [{"productId": 1, "originalPrice": 2.55, "discountPrice": None, "stock": 3}])

    assert db.query("SELECT image FROM Productimages") == [(image,)]
    assert db.query("SELECT originalPrice, discountPrice, stock FROM Productdetails") == [(2.55, None, 3)]


def test_readers_of_the_old_tables_find_the_active_version_only(db: Database) -> None:
    write_version(db, "old", data_until=1, users=np.array([7]), items=np.array([1, 2]), contexts={"season": ["dry"]})
    write_version(
        db,
        "new",
        data_until=2,
        users=np.array([8, 7]),
        items=np.array([2]),
        contexts={"season": ["wet"], "hour": ["1"]},
    )
    assert db.query("SELECT original_id FROM rec_user_encoder_active") == []

    set_active(db, "new")
    assert db.query("SELECT original_id, idx FROM rec_user_encoder_active ORDER BY idx") == [("8", 0), ("7", 1)]
    assert db.query("SELECT original_id, idx FROM rec_item_encoder_active") == [("2", 0)]
    assert db.query("SELECT feature_name, position FROM rec_context_meta_active ORDER BY position") == [
        ("season", 0),
        ("hour", 1),
    ]

    set_active(db, "old")
    assert db.query("SELECT original_id, idx FROM rec_user_encoder_active") == [("7", 0)]
    assert db.query("SELECT * FROM rec_context_mapping_active") == [("season", "dry", 0)]
