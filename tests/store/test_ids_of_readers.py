"""An id is the same to training, which reads the driver's values, and to serving, which compares in SQL."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import pytest

from recsys.settings import ProductsTable, Shop, TableSource
from recsys.store import (
    Database,
    bought_items,
    connect,
    count_events,
    events_of_users,
    products,
    read_catalogue,
    read_interactions,
    user_events,
    write_version,
)
from recsys.store.drivers.mysql import SESSION
from recsys.store.products import id_kind

NEW_YEAR = 1_704_067_200  # 2024-01-01 00:00:00 UTC
N_VARIANTS = 20


class Kind(NamedTuple):
    """A column of ids.

    Attributes:
        type: Its SQL type.
        draw: Returns an id as SQL writes it, and as it is to be read; None for none.
    """

    type: str
    draw: Callable[[random.Random], tuple[str, int | str | None]]


def whole(rng: random.Random) -> tuple[str, int]:
    number = rng.choice([0, 5, rng.randrange(10**6), rng.randrange(10**8)])
    return str(number), number


def signed(rng: random.Random) -> tuple[str, int]:
    number = rng.randrange(-(10**18), 10**18)
    return str(number), number


def fraction(rng: random.Random) -> tuple[str, int | None]:
    number = rng.randrange(10**6)
    return rng.choice([(f"{number}", number), (f"{number}.00", number), (f"{number}.50", None)])


def exactly(text: str) -> tuple[str, str]:
    return "'" + text.replace("'", "''") + "'", text


def word(rng: random.Random) -> tuple[str, str]:
    letters = [rng.choice("aAbBzZ019éß日🙂 .-_'%:") for _ in range(rng.randrange(1, 12))]
    return exactly("".join(["x", *letters, "x"]))


def padded(rng: random.Random) -> tuple[str, str]:
    number = rng.choice([5, 17850, rng.randrange(10**6)])
    return exactly(rng.choice(["{}", "0{}", "{:08}", "+{}", "{}.0", "{:.1e}", "-{}"]).format(number))


def filled(rng: random.Random) -> tuple[str, str]:
    return exactly(f"C{rng.randrange(10**5)}{rng.choice(['', 'é', ' x'])}")


def uuid_text(rng: random.Random) -> tuple[str, str]:
    return exactly(str(UUID(int=rng.getrandbits(128))))


def spaced(rng: random.Random) -> tuple[str, str]:
    return exactly(rng.choice(["{} ", " {}", "{}", "{}\t"]).format(rng.randrange(3)))


def bytes_of(literal: str, is_wide: bool) -> Callable[[random.Random], tuple[str, str | None]]:
    """Draws 16 bytes; of other lengths and as text, too, where the column takes them."""

    def draw(rng: random.Random) -> tuple[str, str | None]:
        random_bytes = rng.choice([UUID(int=rng.getrandbits(128), version=4).bytes, bytes([*bytes(14), 1, 7])])
        texts = [b"ABCDEFGHIJKLMNOP", "nguyễn văn an".encode()[:16], "日本語テé".encode() + b"x"[: 16 - 17]]
        chosen = rng.choice([random_bytes, random_bytes, *(text for text in texts if is_wide or len(text) == 16)])
        if is_wide:
            chosen = rng.choice([chosen, b"abc", b"7", bytes(8) + b"\xff"])
        return literal.format(chosen.hex()), read_bytes(chosen)

    return draw


def read_bytes(raw: bytes) -> str | None:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if min(map(ord, text)) >= 32 and "\x7f" not in text:
        return text
    return str(UUID(bytes=raw)) if len(raw) == 16 else None


KINDS: dict[str, dict[str, Kind]] = {
    "sqlite": {
        "whole": Kind("INTEGER", whole),
        "signed": Kind("BIGINT", signed),
        "floats": Kind("REAL", fraction),
        "floats of no type": Kind("", fraction),
        "words": Kind("TEXT", word),
        "numbers as text": Kind("VARCHAR(40)", padded),
        "text with blanks": Kind("TEXT", spaced),
        "UUIDs as text": Kind("TEXT", uuid_text),
        "bytes": Kind("BLOB", bytes_of("x'{}'", True)),
        "UUIDs": Kind("BINARY(16)", bytes_of("x'{}'", False)),
    },
    "mysql": {
        "whole": Kind("INT", whole),
        "zerofill": Kind("INT(8) UNSIGNED ZEROFILL", whole),
        "long zerofill": Kind("BIGINT(20) UNSIGNED ZEROFILL", whole),
        "decimal zerofill": Kind("DECIMAL(8,0) ZEROFILL", whole),
        "decimal": Kind("DECIMAL(12,2)", fraction),
        "signed": Kind("BIGINT", signed),
        "floats": Kind("DOUBLE", fraction),
        "words": Kind("VARCHAR(40) CHARACTER SET utf8mb4", word),
        "numbers as text": Kind("VARCHAR(40)", padded),
        "text with blanks": Kind("VARCHAR(40)", spaced),
        "filled text": Kind("CHAR(12) CHARACTER SET utf8mb4", filled),
        "Latin-1": Kind("CHAR(12) CHARACTER SET latin1", filled),
        "choices": Kind("ENUM('5','05','A')", lambda rng: exactly(rng.choice(["5", "05", "A"]))),
        "UUIDs as text": Kind("CHAR(36) CHARACTER SET ascii", uuid_text),
        "UUIDs": Kind("BINARY(16)", bytes_of("x'{}'", False)),
        "bytes": Kind("VARBINARY(40)", bytes_of("x'{}'", True)),
    },
    "postgresql": {
        "whole": Kind("INTEGER", whole),
        "signed": Kind("BIGINT", signed),
        "decimal": Kind("NUMERIC(12,2)", fraction),
        "plain decimal": Kind("NUMERIC", fraction),
        "floats": Kind("DOUBLE PRECISION", fraction),
        "words": Kind("TEXT", word),
        "numbers as text": Kind("VARCHAR(40)", padded),
        "text with blanks": Kind("TEXT", spaced),
        "filled text": Kind("CHAR(12)", filled),
        "UUIDs as text": Kind("VARCHAR(36)", uuid_text),
        "UUIDs": Kind("UUID", uuid_text),
        "UUIDs as bytes": Kind("BYTEA", bytes_of("'\\x{}'", False)),
        "bytes": Kind("BYTEA", bytes_of("'\\x{}'", True)),
    },
}


def shop_of(db: Database, number: int, kind: Kind, rows: list[tuple[str, str]], shop: Shop) -> Shop:
    """Make a table of purchases, a second apart, and one of their products, and return their mapping."""
    log, goods = f"log{number}", f"goods{number}"
    db.execute(f"CREATE TABLE {log} (id INTEGER, who {kind.type}, what {kind.type}, at BIGINT)")
    db.execute(f"CREATE TABLE {goods} (sku {kind.type})")
    lines = [f"({row}, {user}, {item}, {NEW_YEAR + row})" for row, (user, item) in enumerate(rows, 1)]
    db.execute(f"INSERT INTO {log} VALUES {', '.join(lines)}")
    db.execute(f"INSERT INTO {goods} VALUES {', '.join(sorted({f'({item})' for _, item in rows}))}")
    source = TableSource(log, "who", "what", "at", event_name="purchase", row_id="id")
    return replace(shop, sources=(source,), products=ProductsTable(goods, "sku"), max_unreadable=1)


def test_the_readers_agree_on_every_kind_of_id(db: Database, shop: Shop) -> None:
    for number, (name, kind) in enumerate(KINDS[db.dialect].items()):
        rng = random.Random(name)
        drawn = [kind.draw(rng) for _ in range(N_VARIANTS)]
        pairs = [(rng.choice(drawn), rng.choice(drawn)) for _ in range(3 * N_VARIANTS)]
        mapped = shop_of(db, number, kind, [(user[0], item[0]) for user, item in pairs], shop)
        agree(db, mapped, [(user[1], item[1]) for user, item in pairs], f"{db.dialect}, {name}")


def agree(db: Database, shop: Shop, expected: list[tuple[Any, Any]], kind: str) -> None:
    read, _ = read_interactions(db, shop)
    readable = [pair for pair in expected if None not in pair]
    assert list(zip(read.users.tolist(), read.items.tolist(), strict=True)) == readable, kind

    users, items = (np.array(sorted(set(ids.tolist())), ids.dtype) for ids in (read.users, read.items))
    user_kind, item_kind = id_kind(users), id_kind(items)
    write_version(db, kind, data_until=0, users=users, items=items, contexts={})
    rows_of = {user: [item for one, item in readable if one == user] for user in users.tolist()}
    for index, (user, bought) in enumerate(rows_of.items()):
        served = user_events(db, shop, kind, user, 100, item_kind=item_kind)
        assert (served.user, served.items.tolist()) == (index, bought), (kind, user)
        assert served.idx.tolist() == np.searchsorted(items, np.array(bought, items.dtype)).tolist(), (kind, user)
        hidden = bought_items(db, shop, user, NEW_YEAR + 10**6, item_kind=item_kind)
        assert sorted(hidden) == sorted(set(bought)), (kind, user)

    together = events_of_users(db, shop, list(rows_of), 100, item_kind=item_kind)
    assert not together.unread
    ids = users[together.users].tolist()
    assert Counter(zip(ids, together.items.tolist(), strict=True)) == Counter(readable), kind
    counts = count_events(db, shop, user_kind)
    assert {user: counts[user] for user in rows_of} == {
        user: sum(one == user for one, _ in expected) for user in rows_of
    }, kind
    catalogue = read_catalogue(db, shop)
    in_shop = {row.item_id for row in products(db, shop, items.tolist())}
    assert in_shop == set(items.tolist()) <= set(catalogue.items.tolist()), kind


@pytest.mark.parametrize("shop_url", ["postgresql"], indirect=True)
def test_no_setting_of_the_database_changes_what_is_read(shop_url: str, shop: Shop) -> None:
    name = shop_url.rpartition("/")[2]
    strange = {
        "DateStyle": "German, DMY",
        "TimeZone": "Asia/Tokyo",
        "bytea_output": "escape",
        "extra_float_digits": "-15",
        "IntervalStyle": "iso_8601",
    }
    try:
        with connect(shop_url) as db:
            for setting, value in strange.items():
                db.execute(f"ALTER DATABASE {name} SET {setting} = '{value}'")
        with connect(shop_url) as db:
            for number, kind in enumerate(
                (Kind("BYTEA", bytes_of("'\\x{}'", False)), Kind("DOUBLE PRECISION", fraction))
            ):
                rng = random.Random(number)
                pairs = [(kind.draw(rng), kind.draw(rng)) for _ in range(N_VARIANTS)]
                mapped = shop_of(db, number, kind, [(user[0], item[0]) for user, item in pairs], shop)
                db.execute(f"ALTER TABLE log{number} ALTER at TYPE TIMESTAMPTZ USING to_timestamp(at)")
                agree(db, mapped, [(user[1], item[1]) for user, item in pairs], f"strange {number}")
    finally:
        with connect(shop_url) as db:
            db.execute(f"ALTER DATABASE {name} RESET ALL")


@pytest.mark.parametrize("shop_url", ["mariadb"], indirect=True)
def test_filled_text_is_read_without_blanks_whatever_the_servers_mode(db: Database) -> None:
    db.execute("CREATE TABLE filled (code CHAR(12))")
    db.execute("INSERT INTO filled VALUES ('C1')")
    db.execute("SET sql_mode = 'ANSI_QUOTES,PAD_CHAR_TO_FULL_LENGTH,PIPES_AS_CONCAT'")
    assert db.query("SELECT code FROM filled") == [("C1          ",)]

    db.execute(SESSION)

    assert db.query("SELECT code FROM filled") == [("C1",)]
    ((mode,),) = db.query("SELECT @@sql_mode")
    assert {"ANSI_QUOTES", "STRICT_TRANS_TABLES", "NO_AUTO_VALUE_ON_ZERO"} <= set(mode.split(","))
