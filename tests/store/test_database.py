import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pymysql
import pytest

from recsys.errors import DatabaseUnavailable, Overloaded, RecsysError, SettingsError
from recsys.store import Database, Duplicate, UnusableValue, connect
from recsys.store.drivers.mysql import Mysql
from recsys.store.drivers.postgresql import Postgresql
from recsys.store.drivers.sqlite import Sqlite
from tests.helpers.failing_servers import FreezableProxy, dripping_server, silent_server

SHORT_S = 0.2
on_servers = pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)


@pytest.fixture
def words(bare_db: Database) -> Database:
    """A database with one table of numbered words."""
    bare_db.execute("CREATE TABLE words (id INTEGER PRIMARY KEY, word VARCHAR(100), price DECIMAL(8,2))")
    bare_db.insert("words", [{"id": 1, "word": "một", "price": 1.5}, {"id": 2, "word": "hai 🎒", "price": None}])
    return bare_db


# URLs


@pytest.mark.parametrize(
    "url",
    [
        "",
        "shop.sqlite",
        "sqlite:",
        "sqlite://",
        "sqlite:///",
        "sqlite://host/x",
        "oracle://a/b",
        "http://a",
        "mysql+mysqldb://a/b",
    ],
)
def test_a_url_of_no_known_kind_is_a_settings_error(url: str) -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL should be sqlite:///path"):
        connect(url)


@pytest.mark.parametrize("url", ["mysql+pymysql://root@127.0.0.1:port/x", "mysql+pymysql://root@127.0.0.1:99999/x"])
def test_a_port_that_is_none_is_a_settings_error(url: str) -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL cannot be used"):
        connect(url)


@pytest.mark.parametrize("scheme", ["mysql+pymysql", "postgresql+psycopg"])
def test_an_option_the_driver_does_not_have_is_refused(scheme: str) -> None:
    with pytest.raises(SettingsError, match="nonsense"):
        connect(f"{scheme}://root@127.0.0.1:1/x?nonsense=1")


@pytest.mark.parametrize(
    "scheme", ["mysql+pymysql", "mysql", "mariadb+pymysql", "postgresql+psycopg", "postgresql", "postgres"]
)
def test_a_closed_port_is_database_unavailable_and_shows_no_password(scheme: str) -> None:
    with pytest.raises(DatabaseUnavailable) as caught:
        connect(f"{scheme}://someone:s3cret@127.0.0.1:1/x", timeout_s=1)

    assert caught.value.retryable
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_options_behind_the_question_mark_go_to_libpq(database_url: str) -> None:
    with connect(f"{database_url}?application_name=recsys&options=-c%20statement_timeout%3D9s") as db:
        assert db.query("SHOW application_name") == [("recsys",)]
        assert db.query("SHOW statement_timeout") == [("9s",)]
        assert db.query("SHOW TimeZone") == [("UTC",)]


def test_an_unknown_database_is_database_unavailable(database_url: str) -> None:
    with pytest.raises(DatabaseUnavailable):
        connect(
            database_url.replace("shop.sqlite", "other/shop.sqlite")
            if "sqlite" in database_url
            else f"{database_url}_other"
        )


def test_serving_never_makes_a_missing_sqlite_file(tmp_path: Path) -> None:
    path = tmp_path / "mistyped.sqlite"

    with pytest.raises(DatabaseUnavailable):
        connect(f"sqlite:///{path}")

    assert not path.exists()


def test_a_script_makes_a_missing_sqlite_file_that_is_read_while_written(tmp_path: Path) -> None:
    with connect(f"sqlite:///{tmp_path / 'new shop#1.sqlite'}", create=True) as db:
        assert db.query("PRAGMA journal_mode") == [("wal",)]
        assert db.dialect == "sqlite"
    assert (tmp_path / "new shop#1.sqlite").exists()


def test_a_file_that_is_no_database_is_database_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "shop.sqlite"
    path.write_text("not a database, but long enough to be read as the header of one" * 20, encoding="utf-8")

    with pytest.raises(DatabaseUnavailable, match="not a database"), connect(f"sqlite:///{path}") as db:
        db.query("SELECT * FROM Users")


def test_a_driver_is_imported_when_a_url_asks_for_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shop.sqlite'}"
    code = (
        "import sys, recsys.store\n"
        "drivers = ('sqlite3', 'pymysql', 'psycopg')\n"
        "print([name for name in drivers if name in sys.modules])\n"
        f"recsys.store.connect({url!r}, create=True).close()\n"
        "print([name for name in drivers if name in sys.modules])\n"
    )

    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )

    assert ran.stdout.splitlines() == ["[]", "['sqlite3']"]


# Statements


def test_one_text_runs_on_all_three_databases(words: Database) -> None:
    rows = words.query(
        "SELECT id, word FROM words WHERE id IN (:ids) AND word <> :word ORDER BY id", {"ids": [1, 2, 3], "word": "10%"}
    )

    assert rows == [(1, "một"), (2, "hai 🎒")]


def test_no_parameters_and_a_percent_sign_get_along(words: Database) -> None:
    assert words.query("SELECT id FROM words WHERE word LIKE 'm%' AND id % 2 = 1") == [(1,)]


@pytest.mark.parametrize("text", ["'; DROP TABLE words; --", "' OR '1'='1", "\\' OR 1=1 -- ", "%s %(id)s :id", '"'])
def test_a_value_is_never_read_as_sql(words: Database, text: str) -> None:
    words.execute("UPDATE words SET word = :word WHERE id = 1", {"word": text})

    assert words.query("SELECT id FROM words WHERE word = :word", {"word": text}) == [(1,)]
    assert len(words.query("SELECT id FROM words")) == 2


def test_an_empty_list_matches_nothing(words: Database) -> None:
    assert words.query("SELECT id FROM words WHERE id IN (:ids)", {"ids": []}) == []


def test_numpy_values_are_taken_as_they_are(words: Database) -> None:
    assert words.query("SELECT id FROM words WHERE id = :id", {"id": np.int64(2)}) == [(2,)]
    assert words.query("SELECT id FROM words WHERE id IN (:ids) ORDER BY id", {"ids": np.array([2, 1])}) == [(1,), (2,)]
    assert words.insert("words", [{"id": np.int64(3), "word": np.str_("ba"), "price": np.float32(0.5)}]) == 1
    assert words.query("SELECT id, word FROM words WHERE id = 3") == [(3, "ba")]


def test_execute_returns_how_many_rows_changed(words: Database) -> None:
    assert words.execute("UPDATE words SET word = 'x' WHERE id = :id", {"id": 1}) == 1
    assert words.execute("DELETE FROM words WHERE id > :id", {"id": 5}) == 0


def test_a_stream_gives_lists_of_rows_with_the_columns_names(words: Database) -> None:
    words.insert("words", ({"id": number, "word": "w", "price": 0} for number in range(3, 13)))

    stream = words.stream("SELECT id AS number, word FROM words WHERE id > :least ORDER BY id", {"least": 2}, chunk=4)

    assert stream.columns == ("number", "word")
    assert [[number for number, _ in rows] for rows in stream] == [[3, 4, 5, 6], [7, 8, 9, 10], [11, 12]]


def test_a_stream_knows_which_columns_are_numbers_where_the_database_does(words: Database) -> None:
    stream = words.stream("SELECT id, word, price FROM words")
    stream.close()

    assert stream.numeric == (frozenset() if words.dialect == "sqlite" else {"id", "price"})


def test_a_stream_left_half_read_leaves_the_connection_usable(words: Database) -> None:
    for _ in range(3):
        stream = words.stream("SELECT id FROM words ORDER BY id", chunk=1)
        assert next(stream) == [(1,)]
        stream.close()

    assert words.query("SELECT COUNT(*) FROM words") == [(2,)]


def test_a_stream_that_fails_names_the_statement(bare_db: Database) -> None:
    with pytest.raises(SettingsError, match="FROM nowhere"):
        bare_db.stream("SELECT 1 FROM nowhere")

    assert bare_db.query("SELECT 1") == [(1,)]


# Writing many rows


def test_rows_go_in_by_chunks_one_transaction_each(bare_db: Database, database_url: str) -> None:
    bare_db.execute("CREATE TABLE numbers (id INTEGER PRIMARY KEY)")
    sent: list[str] = []
    with connect(database_url, tracer=lambda sql, params: sent.append(sql.split()[0])) as db:
        assert db.insert("numbers", ({"id": number} for number in range(5)), chunk=2) == 5

    assert sent == ["BEGIN", "INSERT", "COMMIT"] * 3


def test_an_interrupted_import_keeps_whole_chunks_only(bare_db: Database) -> None:
    bare_db.execute("CREATE TABLE numbers (id INTEGER PRIMARY KEY)")

    def rows() -> Iterator[dict[str, int]]:
        yield from ({"id": number} for number in (0, 1, 2))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bare_db.insert("numbers", rows(), chunk=2)

    assert bare_db.query("SELECT id FROM numbers ORDER BY id") == [(0,), (1,)]


def test_nothing_to_insert_sends_nothing(words: Database) -> None:
    assert words.insert("words", []) == 0


def test_an_existing_key_is_an_error_of_its_own_and_undoes_its_chunk(words: Database) -> None:
    with pytest.raises(Duplicate):
        words.insert("words", [{"id": 3, "word": "ba", "price": 0}, {"id": 1, "word": "một", "price": 0}])

    assert words.query("SELECT COUNT(*) FROM words") == [(2,)]


def test_duplicates_are_skipped_on_demand_and_only_new_rows_counted(words: Database) -> None:
    rows = [{"id": 1, "word": "other", "price": 0}, {"id": 3, "word": "ba", "price": 0}]

    assert words.insert("words", rows, skip_duplicates=True) == 1
    assert words.query("SELECT word FROM words ORDER BY id") == [("một",), ("hai 🎒",), ("ba",)]


def test_a_row_that_lacks_a_column_is_named(words: Database) -> None:
    with pytest.raises(ValueError, match=r"Every row should have id, word\. Received: id\."):
        words.insert("words", [{"id": 3, "word": "ba"}, {"id": 4}])


@pytest.mark.parametrize(("table", "column"), [("words; DROP TABLE words", "id"), ("words", "id) VALUES (1); --")])
def test_names_that_are_no_names_are_refused(words: Database, table: str, column: str) -> None:
    with pytest.raises(ValueError, match="plain names"):
        words.insert(table, [{column: 1}])


# Transactions


def test_a_block_that_fails_leaves_nothing_behind(words: Database) -> None:
    with pytest.raises(RuntimeError, match="half-way"), words.atomic():
        words.execute("DELETE FROM words")
        raise RuntimeError("half-way")

    assert words.query("SELECT COUNT(*) FROM words") == [(2,)]


def test_a_block_inside_another_joins_it(words: Database) -> None:
    with pytest.raises(RuntimeError), words.atomic():
        with words.atomic():
            words.execute("DELETE FROM words")
        raise RuntimeError

    assert words.query("SELECT COUNT(*) FROM words") == [(2,)]


def test_uncommitted_rows_are_invisible_to_other_connections(words: Database, database_url: str) -> None:
    with connect(database_url) as other, words.atomic():
        words.execute("DELETE FROM words WHERE id = 1")
        if words.dialect != "sqlite":  # without write-ahead logging, SQLite's readers would have to wait
            assert other.query("SELECT COUNT(*) FROM words") == [(2,)]

    assert words.query("SELECT COUNT(*) FROM words") == [(1,)]


def test_a_failing_commit_rolls_back(words: Database, database_url: str) -> None:
    def refuse(sql: str, params: Any) -> None:
        if sql == "COMMIT":
            raise OSError("the disk is gone")

    with connect(database_url, tracer=refuse) as db, pytest.raises(OSError, match="the disk is gone"), db.atomic():
        db.execute("DELETE FROM words")

    assert words.query("SELECT COUNT(*) FROM words") == [(2,)]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_text_that_is_not_utf_8_stays_bytes_and_the_others_texts(words: Database) -> None:
    assert words.query("SELECT word FROM words WHERE id = 1") == [("một",)]

    for _ in range(2):
        assert words.query("SELECT CAST(x'ff' AS TEXT), word FROM words WHERE id = 1") == [(b"\xff", "một")]
    assert words.query("SELECT word FROM words WHERE id = 1") == [("một",)]


# The tracer


def test_the_tracer_sees_every_statement_as_it_is_sent(words: Database, database_url: str) -> None:
    sent: list[tuple[str, Any]] = []
    with connect(database_url, tracer=lambda sql, params: sent.append((sql, params))) as db:
        db.query("SELECT id FROM words WHERE id IN (:ids)", {"ids": [1, 2]})
        list(db.stream("SELECT id FROM words"))
        db.execute("DELETE FROM words WHERE id = :id", {"id": 2})

    places = ":ids_0, :ids_1" if words.dialect == "sqlite" else "%(ids_0)s, %(ids_1)s"
    place = ":id" if words.dialect == "sqlite" else "%(id)s"
    assert sent == [
        (f"SELECT id FROM words WHERE id IN ({places})", {"ids_0": 1, "ids_1": 2}),
        ("SELECT id FROM words", {}),
        (f"DELETE FROM words WHERE id = {place}", {"id": 2}),
    ]


def test_a_statement_the_tracer_refuses_is_not_sent(words: Database, database_url: str) -> None:
    def refuse(sql: str, params: Any) -> None:
        raise OSError("killed here")

    with connect(database_url, tracer=refuse) as db, pytest.raises(OSError, match="killed here"):
        db.execute("DELETE FROM words")

    assert words.query("SELECT COUNT(*) FROM words") == [(2,)]


# Failures by name


@pytest.mark.parametrize("sql", ["SELECT * FROM nowhere", "SELECT nothing FROM words", "SELEC 1"])
def test_a_statement_that_does_not_fit_says_so_and_what_to_check(words: Database, sql: str) -> None:
    with pytest.raises(SettingsError, match="recsys.toml") as caught:
        words.query(sql)

    assert type(caught.value) is SettingsError
    assert sql in str(caught.value)
    assert words.query("SELECT 1") == [(1,)]


@pytest.mark.parametrize("value", ["\ud800", 10**40])
def test_a_value_no_column_can_hold_is_an_error_of_its_own(words: Database, value: object) -> None:
    try:
        words.execute("UPDATE words SET id = :value WHERE id = 1", {"value": value})
    except UnusableValue:
        return
    pytest.fail("the value was taken")


def test_a_closed_connection_is_database_unavailable(words: Database) -> None:
    words.close()
    words.close()

    with pytest.raises(DatabaseUnavailable):
        words.query("SELECT 1")


@on_servers
def test_a_connection_killed_by_the_server_is_database_unavailable(words: Database, database_url: str) -> None:
    own = "SELECT CONNECTION_ID()" if words.dialect == "mysql" else "SELECT pg_backend_pid()"
    ((session,),) = words.query(own)
    with connect(database_url) as other:
        other.query(f"KILL {session}" if words.dialect == "mysql" else f"SELECT pg_terminate_backend({session})")

    with pytest.raises(DatabaseUnavailable), words.atomic():
        words.query("SELECT 1")


def test_a_locked_sqlite_file_is_overloaded(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shop.sqlite'}"
    with connect(url, create=True) as busy, connect(url, timeout_s=SHORT_S) as waiting, busy.atomic():
        with pytest.raises(Overloaded, match="locked"), waiting.atomic():
            pass


def test_an_endless_statement_is_given_up(database_url: str) -> None:
    endless = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers) SELECT COUNT(*) FROM numbers"
    if database_url.startswith("mysql"):
        endless = "SELECT SLEEP(60)"
    started = time.monotonic()

    with connect(database_url, timeout_s=SHORT_S) as db, pytest.raises(DatabaseUnavailable):
        db.query(endless)

    assert time.monotonic() - started < 5


@on_servers
def test_a_server_that_freezes_is_given_up(database_url: str) -> None:
    with FreezableProxy(database_url) as proxy, connect(proxy.url, timeout_s=1) as db:
        assert db.query("SELECT 1") == [(1,)]
        proxy.freeze()

        with pytest.raises(DatabaseUnavailable):
            db.query("SELECT 1")
        with pytest.raises(DatabaseUnavailable):
            db.query("SELECT 1")


@pytest.mark.parametrize("scheme", ["mysql+pymysql", "postgresql+psycopg"])
def test_a_server_that_never_greets_is_given_up(scheme: str) -> None:
    with silent_server() as port, pytest.raises(DatabaseUnavailable):
        connect(f"{scheme}://root@127.0.0.1:{port}/x", timeout_s=SHORT_S)


@pytest.mark.parametrize("scheme", ["mysql+pymysql", "postgresql+psycopg"])
def test_a_server_that_greets_a_few_bytes_at_a_time_is_given_up(scheme: str) -> None:
    started = time.monotonic()

    with dripping_server(scheme) as url, pytest.raises(DatabaseUnavailable):
        connect(url, timeout_s=SHORT_S)

    assert time.monotonic() - started < 5


@on_servers
def test_a_server_whose_greeting_would_end_too_late_is_given_up(database_url: str) -> None:
    with FreezableProxy(database_url) as proxy:
        proxy.drip()  # MariaDB's words of greeting take 0.7 s so, PostgreSQL's 2.5 s
        with pytest.raises(DatabaseUnavailable):
            connect(proxy.url, timeout_s=SHORT_S)


@on_servers
@pytest.mark.parametrize(
    "statement",
    ["SELECT REPEAT('x', 1000)", "SELECT 1 UNION ALL " * 60 + "SELECT 2"],
    ids=["one long value", "many rows"],
)
@pytest.mark.parametrize("reading", ["query", "stream"])
def test_an_answer_that_comes_a_few_bytes_at_a_time_is_given_up(
    database_url: str, statement: str, reading: str
) -> None:
    read = {"query": lambda db: db.query(statement), "stream": lambda db: list(db.stream(statement))}[reading]
    with FreezableProxy(database_url) as proxy, connect(proxy.url) as db:
        db.limit(time.monotonic() + SHORT_S)
        proxy.drip()
        with pytest.raises(DatabaseUnavailable):
            read(db)
        assert db.is_stale  # the rest of that answer may still come


@on_servers
def test_an_answer_that_flows_is_read_to_its_end_however_long_the_connection_was_idle(database_url: str) -> None:
    with FreezableProxy(database_url) as proxy, connect(proxy.url, timeout_s=30) as db:
        assert db.query("SELECT REPEAT('x', 100000)") == [("x" * 100_000,)]
        if db.dialect == "mysql":
            db._connection.give_up_at = 0.0  # long ago: a new statement has time of its own
        assert db.query("SELECT 1") == [(1,)]
        assert [row for rows in db.stream("SELECT 1 UNION ALL SELECT 2", chunk=1) for row in rows] == [(1,), (2,)]


@on_servers
def test_the_session_is_in_utc_and_refuses_to_cut_values(bare_db: Database) -> None:
    bare_db.execute("CREATE TABLE short (word VARCHAR(3))")
    zone = "SELECT @@session.time_zone" if bare_db.dialect == "mysql" else "SHOW TimeZone"

    assert bare_db.query(zone) in ([("+00:00",)], [("UTC",)])
    with pytest.raises(UnusableValue):
        bare_db.execute("INSERT INTO short (word) VALUES ('long')")


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (1040, Overloaded),  # too many connections
        (1203, Overloaded),  # too many connections of this user
        (1226, Overloaded),  # a limit of this user
        (1205, Overloaded),  # waited too long for a lock
        (1213, Overloaded),  # deadlock
        (2003, DatabaseUnavailable),  # refused
        (2006, DatabaseUnavailable),  # gone away
        (2013, DatabaseUnavailable),  # lost, or timed out
        (1045, DatabaseUnavailable),  # wrong password
        (1049, DatabaseUnavailable),  # unknown database
        (1146, SettingsError),  # no such table
        (1054, SettingsError),  # no such column
        (1064, SettingsError),  # syntax
        (1062, Duplicate),
        (1406, UnusableValue),
        (1690, UnusableValue),  # a difference of unsigned numbers below 0
        (1242, UnusableValue),  # two rows where one is due
        (3141, UnusableValue),  # no JSON
    ],
)
def test_mysql_errors_are_distinguished_by_number(number: int, kind: type[RecsysError]) -> None:
    assert Mysql().meaning(pymysql.err.OperationalError(number, "…")) is kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (psycopg.errors.TooManyConnections(), Overloaded),
        (psycopg.OperationalError("connection failed: FATAL: sorry, too many clients already"), Overloaded),
        (psycopg.errors.DeadlockDetected(), Overloaded),
        (psycopg.errors.LockNotAvailable(), Overloaded),
        (psycopg.errors.AdminShutdown(), DatabaseUnavailable),
        (psycopg.errors.QueryCanceled(), DatabaseUnavailable),
        (psycopg.errors.InvalidPassword(), DatabaseUnavailable),
        (psycopg.errors.InvalidCatalogName(), DatabaseUnavailable),
        (psycopg.OperationalError("the connection is closed"), DatabaseUnavailable),
        (psycopg.errors.UndefinedTable(), SettingsError),
        (psycopg.errors.UndefinedColumn(), SettingsError),
        (psycopg.errors.UniqueViolation(), Duplicate),
        (psycopg.errors.InvalidTextRepresentation(), UnusableValue),
        (psycopg.errors.CardinalityViolation(), UnusableValue),
        (psycopg.DataError("NUL"), UnusableValue),
    ],
)
def test_postgresql_errors_are_distinguished_by_state(error: Exception, kind: type[RecsysError]) -> None:
    assert Postgresql().meaning(error) is kind


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_BUSY, Overloaded),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, Overloaded),
        (sqlite3.SQLITE_CANTOPEN, DatabaseUnavailable),
        (sqlite3.SQLITE_IOERR_READ, DatabaseUnavailable),
        (sqlite3.SQLITE_CORRUPT, DatabaseUnavailable),
        (sqlite3.SQLITE_FULL, DatabaseUnavailable),
        (sqlite3.SQLITE_READONLY, DatabaseUnavailable),
        (sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, Duplicate),
        (sqlite3.SQLITE_CONSTRAINT_NOTNULL, SettingsError),
        (sqlite3.SQLITE_ERROR, SettingsError),
        (sqlite3.SQLITE_TOOBIG, UnusableValue),
    ],
)
def test_sqlite_errors_are_distinguished_by_code(code: int, kind: type[RecsysError]) -> None:
    error = sqlite3.OperationalError("…")
    error.sqlite_errorcode = code

    assert Sqlite().meaning(error) is kind
