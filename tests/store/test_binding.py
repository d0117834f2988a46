from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from recsys.errors import SettingsError
from recsys.store import Database
from recsys.store.binding import bind, plain
from recsys.store.drivers import mysql, postgresql, sqlite

SYNTAX = {module.SYNTAX.dialect: module.SYNTAX for module in (sqlite, mysql, postgresql)}


@pytest.mark.parametrize(
    ("dialect", "text"),
    [("sqlite", "a = :a AND b = :b"), ("mysql", "a = %(a)s AND b = %(b)s"), ("postgresql", "a = %(a)s AND b = %(b)s")],
)
def test_a_placeholder_is_written_in_the_drivers_own_style(dialect: str, text: str) -> None:
    assert bind("a = :a AND b = :b", {"a": 1, "b": "x"}, SYNTAX[dialect]) == (text, {"a": 1, "b": "x"})


@pytest.mark.parametrize("values", [[7, 8], (7, 8), np.array([7, 8])])
def test_a_list_stands_for_as_many_placeholders_as_it_has_values(values: object) -> None:
    assert bind("id IN (:ids)", {"ids": values}, SYNTAX["sqlite"]) == (
        "id IN (:ids_0, :ids_1)",
        {"ids_0": 7, "ids_1": 8},
    )


@pytest.mark.parametrize("dialect", SYNTAX)
def test_an_empty_list_becomes_null_which_matches_nothing(dialect: str) -> None:
    assert bind("id IN (:ids)", {"ids": []}, SYNTAX[dialect]) == ("id IN (NULL)", {})


@pytest.mark.parametrize("dialect", SYNTAX)
@pytest.mark.parametrize(
    "opaque",
    ["':no'", "'it''s :no'", '"a :no"', '"a "":no"', "/* :no\n:no */", "-- :no\n", "-- ':no\n", "/* ' */", "'12:30'"],
)
def test_strings_quoted_names_and_comments_hold_no_placeholders(dialect: str, opaque: str) -> None:
    text, values = bind(f"SELECT {opaque}, :yes", {"yes": 1}, SYNTAX[dialect])

    assert opaque in text
    assert values == {"yes": 1}
    assert text.endswith(":yes" if dialect == "sqlite" else "%(yes)s")


@pytest.mark.parametrize(
    ("dialect", "sql"),
    [
        ("postgresql", "SELECT a::text, :yes"),
        ("postgresql", "SELECT $$ :no $$, $tag$ $$ :no $tag$, :yes"),
        ("postgresql", r"SELECT E'it\'s :no', :yes"),
        ("mysql", r"SELECT 'it\'s :no', :yes"),
        ("mysql", "SELECT 1 # :no\n, :yes"),
        ("mysql", "SELECT `:no`, :yes"),
        ("mysql", "SELECT @x := 1, :yes"),
        ("mysql", "SELECT 5--3, :yes"),
    ],
)
def test_syntax_of_one_dialect_is_left_unchanged_there(dialect: str, sql: str) -> None:
    text, values = bind(sql, {"yes": 1}, SYNTAX[dialect])

    assert (text, values) == (sql.replace(":yes", "%(yes)s"), {"yes": 1})


def test_a_percent_sign_is_doubled_for_drivers_that_format_and_nowhere_else() -> None:
    sql = "SELECT '10%', a % 2, DATE_FORMAT(t, '%H:%i') WHERE x LIKE :like"

    assert bind(sql, {"like": "a%"}, SYNTAX["sqlite"]) == (sql, {"like": "a%"})
    assert bind(sql, {"like": "a%"}, SYNTAX["mysql"]) == (
        "SELECT '10%%', a %% 2, DATE_FORMAT(t, '%%H:%%i') WHERE x LIKE %(like)s",
        {"like": "a%"},
    )


def test_an_unknown_placeholder_is_named() -> None:
    with pytest.raises(SettingsError, match="only the placeholders since. Received: `:sinse`"):
        bind("WHERE t >= :sinse", {"since": 1}, SYNTAX["mysql"])


def test_values_the_text_does_not_use_are_left_out() -> None:
    assert bind("a = :a", {"a": 1, "b": 2}, SYNTAX["postgresql"]) == ("a = %(a)s", {"a": 1})


def test_the_same_placeholder_may_stand_twice() -> None:
    assert bind(":a < :a", {"a": 1}, SYNTAX["mysql"]) == ("%(a)s < %(a)s", {"a": 1})


def test_values_of_mixed_types_are_converted_one_by_one() -> None:
    moment = datetime(2024, 1, 1, tzinfo=UTC)

    _, values = bind("a IN (:a) AND b = :b", {"a": [np.int64(3), "x", None, moment], "b": moment}, SYNTAX["sqlite"])

    assert values == {"a_0": 3, "a_1": "x", "a_2": None, "a_3": "2024-01-01 00:00:00", "b": "2024-01-01 00:00:00"}
    assert type(values["a_0"]) is int


def test_rows_are_written_in_the_drivers_own_style(bare_db: Database) -> None:
    bare_db.execute("CREATE TABLE t (a INTEGER, b VARCHAR(9))")
    sent: list[object] = []
    bare_db._tracer = lambda sql, params: sent.append((sql, params))

    bare_db.execute_many("INSERT INTO t VALUES (:a, :b)", [{"a": np.int64(1), "b": "x", "c": 2}])

    places = ", ".join(map(bare_db.syntax.placeholder.format, "ab"))
    assert (f"INSERT INTO t VALUES ({places})", [{"a": 1, "b": "x"}]) in sent


def test_numpy_scalars_and_date_times_become_what_every_driver_takes() -> None:
    in_hanoi = datetime(2024, 1, 1, 7, 0, 1, tzinfo=timezone(timedelta(hours=7)))

    assert [plain(np.int64(3)), plain(np.float32(0.5)), plain(np.str_("a"))] == [3, 0.5, "a"]
    assert type(plain(np.int64(3))) is int
    assert plain(in_hanoi) == "2024-01-01 00:00:01"
    assert plain(datetime(2024, 1, 1, 0, 0, 1, 999_999, tzinfo=UTC)) == "2024-01-01 00:00:01"
    assert plain(datetime(2024, 1, 1)) == "2024-01-01 00:00:00"
