"""What is checked before a training run: the mapping, and the rights of the account, with the GRANT that is missing."""

import re
import secrets
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import numpy as np
import psycopg
import pymysql
import pytest

from recsys.errors import DatabaseUnavailable, SettingsError
from recsys.settings import Shop, load_settings
from recsys.store import Database, connect, migrate, write_version
from recsys.store.readiness import check_mapping, check_own_tables
from tests.conftest import POSTGRESQL, new_database, run_on_postgresql
from tests.helpers.databases import MYSQL, run_on_mysql

ODD_USER = 'o\'brien "x"'  # an account's name may hold what SQL quotes by
PASSWORD = "s3cret word"
OTHER_SCHEMA = "warehouse"
ELSEWHERE = f"CREATE SCHEMA {OTHER_SCHEMA};\nCREATE TABLE {OTHER_SCHEMA}.goods (sku VARCHAR(20), price REAL);\n"


def mapped(folder: Path, toml: str) -> Shop:
    (folder / "recsys.toml").write_text(toml, encoding="utf-8")
    return load_settings({"DATABASE_URL": "sqlite:///unused"}, folder).shop


ORDERS = """
CREATE TABLE orders (customer INT, sku VARCHAR(20), kind VARCHAR(20), placed TIMESTAMP NULL);
CREATE TABLE goods (sku VARCHAR(20), sold INT, price REAL);
"""
SOURCE = '[[sources]]\ntable = "orders"\nuser = "customer"\nitem = "sku"\nevent = "kind"\ntimestamp = "placed"\n'
SECOND = SOURCE.replace('"kind"', '"{}"')
PRODUCTS = '[products]\ntable = "goods"\nid = "sku"\nprice = "price"\n'
PLAIN = "customer AS user_id, sku AS item_id, kind AS event, placed AS timestamp"
BY_TEXT = (
    f'[[sources]]\nsince = "SELECT {PLAIN} FROM orders WHERE placed >= :since"\n'
    'one_user = "SELECT {} FROM orders WHERE customer = :user_id"\n'
)
WHOLE = f"{PLAIN}, 0 AS row_id"

# (recsys.toml, what the message begins with, what it says to change)
AMISS = {
    "no table": (
        SOURCE.replace("orders", "purchases") + PRODUCTS,
        "[[sources]] 1 (purchases), `since`, should fit",
        "without [[sources]] there",
    ),
    "no column, second source": (
        SOURCE + SECOND.format("verb") + PRODUCTS,
        "[[sources]] 2 (orders), `since`, should fit",
        "recsys.toml",
    ),
    "a default table": (
        PRODUCTS,
        "[[sources]] 1 (Interactions), `since`, should fit",
        "those of the default schema are read",
    ),
    "no products": (SOURCE, "[products] (Products) should fit", "without [products] there"),
    "products without a price": (
        SOURCE + '[products]\nquery = "SELECT sku AS item_id, sold AS active FROM goods"',
        "[products] (goods) should return item_id, active, category, brand, price. Received: item_id, active.",
        "docs/SHOP.md",
    ),
    "one user's text lacks its order": (
        BY_TEXT.format(PLAIN) + PRODUCTS,
        "[[sources]] 1 (orders), `one_user`, should return user_id, item_id, timestamp, event, row_id. "
        "Received: user_id,",
        "recsys.toml",
    ),
    "one user's text is none": (
        BY_TEXT.format("customer,") + PRODUCTS,
        "[[sources]] 1 (orders), `one_user`, should fit",
        "recsys.toml",
    ),
    "a placeholder without a value": (
        BY_TEXT.format(WHOLE).replace(":user_id", ":customer") + PRODUCTS,
        "[[sources]] 1 (orders), `one_user`, should fit the shop's tables. "
        "Received: A statement should use only the placeholders user_id.",
        "recsys.toml",
    ),
}


@pytest.fixture
def orders(bare_db: Database) -> Database:
    """A shop of two tables."""
    for statement in ORDERS.strip().split(";\n"):
        bare_db.execute(statement)
    return bare_db


@pytest.mark.parametrize(("toml", "begins", "way_out"), AMISS.values(), ids=AMISS)
def test_a_mapping_that_does_not_fit_is_refused_by_source_and_way_out(
    orders: Database, tmp_path: Path, toml: str, begins: str, way_out: str
):
    with pytest.raises(SettingsError) as caught:
        check_mapping(orders, mapped(tmp_path, toml))
    assert str(caught.value).startswith(begins)
    assert way_out in str(caught.value)


@pytest.mark.parametrize("toml", [SOURCE + PRODUCTS, BY_TEXT.format(WHOLE) + PRODUCTS])
def test_a_mapping_that_fits_passes(orders: Database, tmp_path: Path, toml: str):
    check_mapping(orders, mapped(tmp_path, toml))


def test_a_check_reads_no_row(database_url: str, orders: Database, tmp_path: Path):
    sent: list[str] = []
    with connect(database_url, tracer=lambda sql, _: sent.append(sql)) as db:
        check_mapping(db, mapped(tmp_path, SOURCE + PRODUCTS))
    assert sent[0] == "SELECT 1"
    assert [sql.endswith("LIMIT 0") for sql in sent[1:]] == [True] * 3


# Rights


def as_administrator(url: str, statements: str) -> None:
    """Run statements that a person would paste, each on a line."""
    parts = urlsplit(url)
    if parts.scheme.startswith("mysql"):
        connection = pymysql.connect(
            host=parts.hostname,
            port=parts.port or 3306,
            user=parts.username,
            password=parts.password or "",
            autocommit=True,
            database=parts.path[1:],
        )
        with closing(connection):
            for statement in filter(None, statements.strip().splitlines()):
                connection.cursor().execute(statement)
        return
    with psycopg.connect(url.replace("postgresql+psycopg", "postgresql", 1), autocommit=True) as session:
        session.execute(statements)  # type: ignore[call-overload] # a test's own text


@dataclass(frozen=True)
class Guarded:
    """A shop with an account that may read two of its tables and no more.

    Attributes:
        url: For the administrator.
        reader: For the account.
        accounts: The account as its administrator writes it; MySQL knows two, and takes one of them by how the host is
            called.
    """

    url: str
    reader: str
    accounts: tuple[str, ...]

    def revoke(self, table: str) -> None:
        as_administrator(self.url, "\n".join(f"REVOKE SELECT ON {table} FROM {account};" for account in self.accounts))


@pytest.fixture(params=["mariadb", "postgresql"])
def guarded(request: pytest.FixtureRequest) -> Iterator[Guarded]:
    user = f'o\'brien "{secrets.token_hex(4)}"'  # an account's name may hold what SQL quotes by
    if request.param == "mariadb":
        accounts = tuple("'{}'@'{}'".format(user.replace("'", "''"), place) for place in ("localhost", "127.0.0.1"))
        run, server, elsewhere, create, drop = (
            run_on_mysql,
            MYSQL,
            "",
            "CREATE USER {} IDENTIFIED BY '{}';",
            "DROP USER {};",
        )
    else:
        accounts = ('"{}"'.format(user.replace('"', '""')),)
        run, server, elsewhere = run_on_postgresql, POSTGRESQL, ELSEWHERE
        create, drop = (
            "CREATE ROLE {} LOGIN PASSWORD '{}'; REVOKE CREATE ON SCHEMA public FROM PUBLIC;",
            "DROP OWNED BY {0}; DROP ROLE {0};",
        )
    with new_database(run, server) as url:
        parts = urlsplit(url)
        as_administrator(url, ORDERS + elsewhere + "\n".join(create.format(account, PASSWORD) for account in accounts))
        try:
            as_administrator(
                url,
                "\n".join(f"GRANT SELECT ON {table} TO {who};" for who in accounts for table in ("orders", "goods")),
            )
            yield Guarded(
                url,
                url.replace(parts.netloc, f"{quote(user)}:{quote(PASSWORD)}@{parts.hostname}:{parts.port}"),
                accounts,
            )
        finally:
            as_administrator(url, "\n".join(drop.format(account) for account in accounts))


def granted(message: str) -> str:
    """Return the statements of a message."""
    return message.partition("\n\n")[2]


def test_an_account_that_may_only_read_gets_the_grants_it_needs(guarded: Guarded, tmp_path: Path):
    with connect(guarded.reader) as db:
        check_mapping(db, mapped(tmp_path, SOURCE + PRODUCTS))
        with pytest.raises(SettingsError, match="should have the right to write the tables rec_") as caught:
            check_own_tables(db)
    assert PASSWORD not in str(caught.value)
    assert "orders" not in granted(str(caught.value))

    as_administrator(guarded.url, granted(str(caught.value)))

    with connect(guarded.reader) as db:
        check_own_tables(db)
        check_own_tables(db)
        write_version(db, "new", data_until=1, users=np.array([7]), items=np.array([1]), contexts={"season": ["dry"]})


def test_an_account_that_may_not_change_existing_tables_gets_its_grants(guarded: Guarded):
    with connect(guarded.url) as db:
        migrate(db, shop=False)
    with (
        connect(guarded.reader) as db,
        pytest.raises(SettingsError, match="should have the right to write the tables rec_") as caught,
    ):
        check_own_tables(db)

    as_administrator(guarded.url, granted(str(caught.value)))

    with connect(guarded.reader) as db:
        check_own_tables(db)


def test_no_grant_to_write_the_shops_own_tables_is_requested(guarded: Guarded):
    as_administrator(guarded.url, "CREATE TABLE recommendations (id INT PRIMARY KEY, customer_id INT);")
    as_administrator(
        guarded.url, "\n".join(f"GRANT SELECT ON recommendations TO {account};" for account in guarded.accounts)
    )
    with connect(guarded.reader) as db, pytest.raises(SettingsError) as caught:
        check_own_tables(db)
    assert "rec_versions" in granted(str(caught.value)) or "SCHEMA" in granted(str(caught.value))
    assert re.search(r"\brecommendations\b", granted(str(caught.value))) is None

    as_administrator(guarded.url, granted(str(caught.value)))

    with connect(guarded.reader) as db:
        check_own_tables(db)


# table, its columns of ids and prices
UNREADABLE = [
    ("goods", "sku", "price"),
    (f"{OTHER_SCHEMA}.goods", "sku", "price"),
    ("mysql.user", "User", "password_expired"),
]


@pytest.mark.parametrize(("table", "item", "price"), UNREADABLE)
def test_an_account_that_may_not_read_a_source_gets_its_name_and_grant(
    guarded: Guarded, tmp_path: Path, table: str, item: str, price: str
):
    if table in ("mysql.user", f"{OTHER_SCHEMA}.goods") and guarded.url.startswith("mysql") != (table == "mysql.user"):
        return  # the other server's way to have tables elsewhere
    guarded.revoke("goods")
    shop = mapped(tmp_path, SOURCE + f'[products]\ntable = "{table}"\nid = "{item}"\nprice = "{price}"\n')

    for _ in range(
        2 if table == f"{OTHER_SCHEMA}.goods" else 1
    ):  # PostgreSQL names a schema first, then the table in it
        with connect(guarded.reader) as db, pytest.raises(SettingsError) as caught:
            check_mapping(db, shop)
        assert str(caught.value).startswith(f"[products] ({table}) should be readable.")
        as_administrator(guarded.url, granted(str(caught.value)))

    with connect(guarded.reader) as db:
        check_mapping(db, shop)


def test_an_unreachable_database_is_reported_first(tmp_path: Path):
    (tmp_path / "none.sqlite").write_bytes(b"no database at all " * 100)
    with connect(f"sqlite:///{tmp_path / 'none.sqlite'}") as db, pytest.raises(DatabaseUnavailable):
        check_mapping(db, mapped(tmp_path, ""))
