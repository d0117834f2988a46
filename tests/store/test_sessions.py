"""Guests' sessions: each is a user of its own for training, and nobody for requests, whatever the columns hold."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from recsys.data.cleaning import clean
from recsys.data.guests import are_sessions, session_user
from recsys.data.ids import distinct
from recsys.errors import SettingsError
from recsys.settings import Shop, Source, TableSource, Training
from recsys.store import Database, count_events, read_interactions, user_events, write_version
from recsys.store.products import id_kind
from recsys.store.readiness import check_mapping
from tests.store.test_ids_of_readers import KINDS, N_VARIANTS, NEW_YEAR

TEXT = {"sqlite": "TEXT", "mysql": "VARCHAR(60)", "postgresql": "TEXT"}
VISITS = TableSource("visits", "who", "what", "at", event_name="view", row_id="id", session="visit")
NOW = NEW_YEAR + 10**6
ON_ONE = pytest.mark.parametrize("shop_url", ["sqlite"], indirect=True)  # what happens behind the readers


def literal(value: object) -> str:
    return "NULL" if value is None else str(value) if isinstance(value, int) else f"'{value}'"


def fill(db: Database, table: str, types: tuple[str, str], rows: list[tuple[object, str, int]]) -> None:
    """Make a table of views, a second apart: user, session as SQL writes it, item."""
    db.execute(f"CREATE TABLE {table} (id INTEGER, who {types[0]}, visit {types[1]}, what INTEGER, at BIGINT)")
    lines = [f"({n}, {literal(who)}, {visit}, {what}, {NEW_YEAR + n})" for n, (who, visit, what) in enumerate(rows, 1)]
    db.execute(f"INSERT INTO {table} VALUES {', '.join(lines)}")


def cleaned(db: Database, shop: Shop):  # noqa: ANN201 - as of `clean`
    recorded, dropped = read_interactions(db, shop)
    events, report = clean(recorded, shop=shop, training=Training(), now=NOW)
    return events, report.preceded_by(dropped)


@pytest.mark.parametrize("users", ["whole", "text"])
def test_every_kind_of_session_is_a_user_and_no_account(db: Database, shop: Shop, users: str) -> None:
    for number, (name, kind) in enumerate(KINDS[db.dialect].items()):
        rng = random.Random(f"session {users} {name}")
        accounts = [5, 17, 2**53] if users == "whole" else ["5", "ann", "guest:1"]
        nobodies = [None] if users == "whole" else [None, "guest", "N/A", ""]
        visits = [kind.draw(rng) for _ in range(N_VARIANTS)] + [("NULL", None)]
        rows, expected = [], []
        for _ in range(4 * N_VARIANTS):
            (written, visit), item = rng.choice(visits), rng.randrange(1, 9)
            who = rng.choice([rng.choice(accounts), rng.choice(nobodies)])
            rows.append((who, written, item))
            if who in accounts:
                expected.append((who, item))
            elif visit is not None:
                expected.append((session_user(str(visit), "int" if users == "whole" else "str"), item))
        table = f"visits{number}"
        fill(db, table, ("BIGINT" if users == "whole" else TEXT[db.dialect], kind.type), rows)
        mapped = replace(shop, sources=(replace(VISITS, table=table),), max_unreadable=1)

        events, report = cleaned(db, mapped)

        assert list(zip(events.users.tolist(), events.items.tolist(), strict=True)) == expected, name
        assert id_kind(events.users) == ("int" if users == "whole" else "str")
        assert report.sessions == len({user for user, _ in expected if user not in accounts})
        assert report.rows_in == len(rows) == report.rows_out + sum(report.dropped.values())
        serves_accounts_alone(db, mapped, expected, accounts, name)


def serves_accounts_alone(db: Database, shop: Shop, expected: list, accounts: list, name: str) -> None:
    kind = "int" if isinstance(accounts[0], int) else "str"
    write_version(db, f"{name} {kind}", data_until=0, users=np.array(accounts), items=np.arange(9), contexts={})
    counts = count_events(db, shop, kind)
    of_user = Counter(user for user, _ in expected)
    assert {user: counts.get(user) for user in accounts if of_user[user]} == {
        user: of_user[user] for user in accounts if of_user[user]
    }
    for user in of_user:
        served = user_events(db, shop, f"{name} {kind}", user, 100, item_kind="int")
        own = [item for one, item in expected if one == user] if user in accounts else []
        assert (served.items.tolist(), served.user is not None) == (own, user in accounts), (name, user)


@ON_ONE
def test_a_session_of_two_users_and_of_a_guest_is_three_users(db: Database, shop: Shop) -> None:
    fill(
        db, "visits", ("INTEGER", TEXT[db.dialect]), [(7, "'s'", 1), (8, "'s'", 2), (None, "'s'", 3), (None, "'s'", 4)]
    )

    events, report = cleaned(db, replace(shop, sources=(VISITS,)))

    guest = session_user("s", "int")
    assert events.users.tolist() == [7, 8, guest, guest]
    assert (report.sessions, report.session_rows) == (1, 2)


@ON_ONE
def test_a_guest_without_a_session_is_dropped_and_told(db: Database, shop: Shop) -> None:
    rows = [(7, "NULL", 1), *((None, visit, 2) for visit in ("NULL", "''", "'  '", "'guest'", "'(not set)'", "'s'"))]
    fill(db, "visits", ("INTEGER", TEXT[db.dialect]), rows)

    events, report = cleaned(db, replace(shop, sources=(VISITS,)))

    assert events.users.tolist() == [7, session_user("s", "int")]
    assert report.dropped == {"null user and session": 5}


@ON_ONE
def test_without_a_session_column_guests_are_dropped_as_before(db: Database, shop: Shop) -> None:
    fill(db, "visits", ("INTEGER", TEXT[db.dialect]), [(7, "'s'", 1), (None, "'s'", 3)])

    events, report = cleaned(db, replace(shop, sources=(replace(VISITS, session=None),)))

    assert (events.users.tolist(), report.dropped, report.sessions) == ([7], {"null user": 1}, 0)


@ON_ONE
@pytest.mark.parametrize("nobody", [None, 0])
def test_a_constant_session_is_no_user(db: Database, shop: Shop, nobody: int | None) -> None:
    rng = random.Random(3)
    rows = [(user, "'s'", rng.randrange(40)) for user in range(1, 13) for _ in range(4)]
    rows += [(nobody, "'s'", rng.randrange(40)) for _ in range(60)]
    fill(db, "visits", ("INTEGER", TEXT[db.dialect]), rows)
    mapped = replace(shop, sources=(VISITS,), guests=("0",))

    events, report = cleaned(db, mapped)

    assert set(events.users.tolist()) == set(range(1, 13))
    assert report.dropped == {"guests as session 's'": 60}
    assert report.guests == (() if nobody is None else (0,))


@ON_ONE
def test_the_found_guests_of_an_id_are_their_sessions_and_the_rest_is_dropped(db: Database, shop: Shop) -> None:
    rng = random.Random(4)
    rows = [(user, "NULL", rng.randrange(60)) for user in range(1, 31) for _ in range(5)]
    rows += [(0, f"'s{n % 40}'" if n % 3 else "NULL", rng.randrange(60)) for n in range(300)]
    fill(db, "visits", ("INTEGER", TEXT[db.dialect]), rows)

    events, report = cleaned(db, replace(shop, sources=(VISITS,)))

    assert report.guests == (0,)
    assert (report.sessions, report.session_rows, report.dropped["guests as user 0"]) == (40, 200, 100)
    assert 0 not in events.users
    assert len(distinct(events.users[~are_sessions(events.users)].tolist())) == 30


@ON_ONE
def test_equal_events_of_two_sessions_are_two(db: Database, shop: Shop) -> None:
    fill(db, "visits", ("INTEGER", TEXT[db.dialect]), [(0, "'a'", 1), (0, "'b'", 1), (0, "'a'", 1), (7, "'a'", 1)])
    db.execute(f"UPDATE visits SET at = {NEW_YEAR}")

    events, report = cleaned(db, replace(shop, sources=(VISITS,), guests=("0",)))

    assert sorted(events.users.tolist()) == sorted([7, session_user("a", "int"), session_user("b", "int")])
    assert report.dropped == {"duplicate": 1}


@ON_ONE
def test_a_session_is_the_same_user_in_two_tables_and_in_a_query(db: Database, shop: Shop) -> None:
    fill(db, "visits", ("INTEGER", TEXT[db.dialect]), [(None, "'5'", 1), (7, "'6'", 2)])
    fill(db, "bought", ("INTEGER", "INTEGER"), [(None, "5", 1), (None, "6", 3)])
    text = (
        "SELECT who AS user_id, what AS item_id, 'purchase' AS event, at AS timestamp, id AS row_id, "
        "visit AS session_id FROM bought WHERE "
    )
    orders = Source(f"{text} at >= :since", f"{text} who = :user_id")

    events, _ = cleaned(db, replace(shop, sources=(VISITS, orders)))

    one, other = session_user("5", "int"), session_user("6", "int")
    assert sorted(events.users.tolist()) == sorted([one, one, 7, other])


@pytest.mark.parametrize("column", ['"the visit"', "COALESCE(who, id) -- a comment"])
def test_a_session_is_a_name_in_quotes_or_an_expression(db: Database, shop: Shop, column: str) -> None:
    fill(db, "visits", ("INTEGER", "INTEGER"), [(None, "1", 1), (7, "2", 2)])
    db.execute(f"ALTER TABLE visits RENAME COLUMN visit TO {db.syntax.quoted('the visit')}")

    events, _ = cleaned(db, replace(shop, sources=(replace(VISITS, session=column),)))

    assert events.users.tolist() == [session_user("1", "int"), 7]


def test_a_missing_column_of_sessions_is_told_before_training(db: Database, shop: Shop) -> None:
    fill(db, "visits", ("INTEGER", "INTEGER"), [(None, "1", 1)])

    with pytest.raises(SettingsError, match=r"\[\[sources\]\] 1 \(visits\), `since`, should fit .*cart_token"):
        check_mapping(db, replace(shop, sources=(replace(VISITS, session="cart_token"),)))


@pytest.mark.parametrize(("kind", "user"), [("BIGINT", 2**62), ("VARCHAR(60)", "\U0010ffff5")])
def test_no_user_may_have_the_id_of_a_session(db: Database, shop: Shop, kind: str, user: int | str) -> None:
    kind = f"{kind} CHARACTER SET utf8mb4" if db.dialect == "mysql" and kind != "BIGINT" else kind
    fill(db, "visits", (kind, "INTEGER"), [(user, "1", 1)])

    with pytest.raises(SettingsError, match="`user_id` should be .* those of guests' sessions"):
        read_interactions(db, replace(shop, sources=(VISITS,)))
    assert len(read_interactions(db, replace(shop, sources=(replace(VISITS, session=None),)))[0]) == 1
