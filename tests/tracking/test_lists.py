"""Computed lists: kept until they expire, forgotten with their user, one writer at a time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from recsys.store import Database
from recsys.tracking.lists import forget_lists, read_list, sweep_lists, write_list
from tests.tracking.conftest import NOW

AtOnce = Callable[[Callable[[Database, int], None]], int]
FIELDS = {
    "short": "v|hybrid|homepage|",
    "quoted": "v|'\"%s\\ :x",
    "zero byte": "v|\0",
    "upper case": "V|HYBRID",
    "surrogate": "v|\ud800",
    "longer than a key": "v|" + "é" * 600,
}


@pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS)
def test_a_list_comes_back_until_it_expires(db: Database, field: str) -> None:
    write_list(db, 7, field, '{"items":["é","\\u0000"]}', NOW + 10)
    write_list(db, 7, field + "x", "other", NOW + 10)

    assert read_list(db, "7", field, NOW) == '{"items":["é","\\u0000"]}'
    assert read_list(db, 7, field, NOW + 9) is not None
    assert read_list(db, 7, field, NOW + 10) is None
    assert read_list(db, 8, field, NOW) is None
    assert read_list(db, 7, field[:-1], NOW) is None


def test_a_newer_list_replaces_the_older_one(db: Database) -> None:
    write_list(db, "u", "f", "old", NOW + 10)
    write_list(db, "u", "f", "new", NOW + 99)

    assert read_list(db, "u", "f", NOW + 50) == "new"
    assert db.query("SELECT COUNT(*) FROM rec_recommendations_cache") == [(1,)]


def test_a_users_lists_are_forgotten_and_expired_ones_swept(db: Database) -> None:
    for user in ("u", "U"):
        write_list(db, user, "f", "list", NOW + 10)
        write_list(db, user, "g", "list", NOW + 99)

    assert forget_lists(db, "u") == 2
    assert forget_lists(db, "u") == forget_lists(db, "nobody") == 0
    assert read_list(db, "U", "f", NOW) == "list"
    assert sweep_lists(db, NOW + 10) == 1
    assert sweep_lists(db, NOW + 10) == 0
    assert read_list(db, "U", "g", NOW + 10) == "list"


def test_many_writers_leave_one_whole_list(db: Database, at_once: AtOnce) -> None:
    n_writers = at_once(
        lambda connection, number: write_list(connection, "u", "f", f"{number} " * 500, NOW + number + 1)
    )

    kept = read_list(db, "u", "f", NOW) or ""
    assert kept in {f"{number} " * 500 for number in range(n_writers)}
    assert db.query("SELECT expires_at FROM rec_recommendations_cache") == [(NOW + int(kept.split()[0]) + 1,)]
