from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from recsys.errors import SettingsError
from recsys.store import dialects
from recsys.store.dialects import bind, plain, template

DIALECTS = ("sqlite", "mysql", "postgresql")


@pytest.mark.parametrize(
    ("dialect", "text"),
    [("sqlite", "a = :a AND b = :b"), ("mysql", "a = %(a)s AND b = %(b)s"), ("postgresql", "a = %(a)s AND b = %(b)s")],
)
def test_a_placeholder_is_written_in_the_drivers_own_style(dialect: str, text: str) -> None:
    assert bind("a = :a AND b = :b", {"a": 1, "b": "x"}, dialect) == (text, {"a": 1, "b": "x"})


@pytest.mark.parametrize("values", [[7, 8], (7, 8), np.array([7, 8])])
def test_a_list_stands_for_as_many_placeholders_as_it_has_values(values: object) -> None:
    assert bind("id IN (:ids)", {"ids": values}, "sqlite") == ("id IN (:ids_0, :ids_1)", {"ids_0": 7, "ids_1": 8})


def test_the_placeholders_of_a_long_list_are_not_cached() -> None:
    kept = dialects._places.cache_info().currsize
    text, values = bind("id IN (:long)", {"long": list(range(dialects.REMEMBERED + 1))}, "sqlite")

    assert text.count(":long_") == len(values) == dialects.REMEMBERED + 1
    assert dialects._places.cache_info().currsize == kept


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_empty_list_becomes_null_which_matches_nothing(dialect: str) -> None:
    assert bind("id IN (:ids)", {"ids": []}, dialect) == ("id IN (NULL)", {})


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "opaque",
    ["':no'", "'it''s :no'", '"a :no"', '"a "":no"', "/* :no\n:no */", "-- :no\n", "-- ':no\n", "/* ' */", "'12:30'"],
)
def test_strings_quoted_names_and_comments_hold_no_placeholders(dialect: str, opaque: str) -> None:
    text, values = bind(f"SELECT {opaque}, :yes", {"yes": 1}, dialect)

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
    text, values = bind(sql, {"yes": 1}, dialect)

    assert (text, values) == (sql.replace(":yes", "%(yes)s"), {"yes": 1})


def test_a_percent_sign_is_doubled_for_drivers_that_format_and_nowhere_else() -> None:
    sql = "SELECT '10%', a % 2, DATE_FORMAT(t, '%H:%i') WHERE x LIKE :like"

    assert bind(sql, {"like": "a%"}, "sqlite") == (sql, {"like": "a%"})
    assert bind(sql, {"like": "a%"}, "mysql") == (
        "SELECT '10%%', a %% 2, DATE_FORMAT(t, '%%H:%%i') WHERE x LIKE %(like)s",
        {"like": "a%"},
    )


def test_an_unknown_placeholder_is_named() -> None:
    with pytest.raises(SettingsError, match="only the placeholders since. Received: `:sinse`"):
        bind("WHERE t >= :sinse", {"since": 1}, "mysql")


def test_values_the_text_does_not_use_are_left_out() -> None:
    assert bind("a = :a", {"a": 1, "b": 2}, "postgresql") == ("a = %(a)s", {"a": 1})


def test_the_same_placeholder_may_stand_twice() -> None:
    assert bind(":a < :a", {"a": 1}, "mysql") == ("%(a)s < %(a)s", {"a": 1})


def test_a_template_names_what_each_row_must_have() -> None:
    assert template("INSERT INTO t VALUES (:a, :b)", "mysql") == ("INSERT INTO t VALUES (%(a)s, %(b)s)", ("a", "b"))


def test_numpy_scalars_and_date_times_become_what_every_driver_takes() -> None:
    in_hanoi = datetime(2024, 1, 1, 7, 0, 1, tzinfo=timezone(timedelta(hours=7)))

    assert [plain(np.int64(3)), plain(np.float32(0.5)), plain(np.str_("a"))] == [3, 0.5, "a"]
    assert type(plain(np.int64(3))) is int
    assert plain(in_hanoi) == "2024-01-01 00:00:01"
    assert plain(datetime(2024, 1, 1, 0, 0, 1, 999_999, tzinfo=UTC)) == "2024-01-01 00:00:01"
    assert plain(datetime(2024, 1, 1)) == "2024-01-01 00:00:00"
