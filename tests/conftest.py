"""Fixtures of the whole suite: the three databases, each test with one of its own, and the random generator."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # as train.py does, before anything imports TensorFlow
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before anything imports NumPy: in tiny fits its threads only wait for each other

import numpy as np  # noqa: E402
import pymysql  # noqa: E402
import pytest  # noqa: E402
from tiny_shop import Published, Trained, train_in  # noqa: E402

from recsys.store import connect  # noqa: E402
from recsys.store.migrations import migrate  # noqa: E402

pytest_plugins = ["skips"]

MYSQL = os.environ.get("RECSYS_TEST_MYSQL", "mysql+pymysql://root@127.0.0.1:3306")
POSTGRESQL = os.environ.get("RECSYS_TEST_POSTGRESQL", "postgresql+psycopg://postgres@127.0.0.1:5432")
SCHEMA_TABLES = frozenset(
    "rec_schema_migrations allcodes users products productdetails productimages interactions comments rec_versions rec_user_encoder "
    "rec_item_encoder rec_context_mapping rec_context_meta recommendations model_runs rec_lists".split()
)
CONNECT_TIMEOUT_S = 3  # a local server answers at once or isn't there


@pytest.fixture(autouse=True)
def secrets_of_this_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test begin with a process that knows no secret: a word that is one here may be a plain word there."""
    monkeypatch.setattr("recsys.secrets._known", set())


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture(scope="session")
def board():  # type: ignore[no-untyped-def] # a `recsys.training.stages.Stage`; naming it would import TensorFlow for every test
    """The checkerboard, fitted once for the whole suite up to its cut; nobody may change it."""
    import checkerboard

    return checkerboard.fit(checkerboard.shop_of(checkerboard.before_the_cut()))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The tiny shop, trained on once for the whole suite; nobody may change it."""
    return train_in(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="session")
def published(trained: Trained) -> Published:
    """The tiny shop with its version; nobody may change it: `published.copy(tmp_path)` is for that."""
    return trained.published


@pytest.fixture(params=["sqlite", "mariadb", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database that no other test sees."""
    if request.param == "sqlite":
        path = tmp_path / "shop.sqlite"
        path.touch()
        yield f"sqlite:///{path}"
    elif request.param == "postgresql":
        yield emptied(request.getfixturevalue("postgresql_url"))
    else:
        with new_database(run_on_mysql, MYSQL) as url:
            yield url


@pytest.fixture(params=["sqlite", "mariadb", "postgresql"])
def shop_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database with the whole schema and no rows, that no other test sees meanwhile."""
    migrated = request.getfixturevalue(f"{request.param}_shop_url")
    if request.param != "sqlite":
        return without_rows(migrated)
    path = tmp_path / "shop.sqlite"
    shutil.copy(migrated.removeprefix("sqlite:///"), path)
    return f"sqlite:///{path}"


@pytest.fixture(scope="session")
def sqlite_shop_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a file with the whole schema, to be copied."""
    path = tmp_path_factory.mktemp("schema") / "shop.sqlite"
    path.touch()
    return migrated(f"sqlite:///{path}")


@pytest.fixture(scope="session")
def mariadb_shop_url() -> Iterator[str]:
    """The URL of a database with the whole schema: MariaDB takes seconds to make it, and milliseconds to take out rows."""
    with new_database(run_on_mysql, MYSQL) as url:
        yield migrated(url)


@pytest.fixture(scope="session")
def postgresql_shop_url() -> Iterator[str]:
    """The URL of a database with the whole schema."""
    with new_database(run_on_postgresql, POSTGRESQL) as url:
        yield migrated(url)


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """The URL of a database for the whole suite: PostgreSQL takes over a second to make one, and milliseconds to empty it."""
    with new_database(run_on_postgresql, POSTGRESQL) as url:
        yield url


@contextmanager
def new_database(run: Callable[[str, str], None], server: str) -> Iterator[str]:
    """Make a database of a random name, and drop it in the end."""
    reachable(run, server)
    name = f"recsys_test_{secrets.token_hex(6)}"
    mysql = server.startswith("mysql")
    run(server, f"CREATE DATABASE {name}{' CHARACTER SET utf8mb4' if mysql else ''}")
    try:
        yield f"{server}/{name}"
    finally:
        run(server, f"DROP DATABASE {name}{'' if mysql else ' WITH (FORCE)'}")


def migrated(url: str) -> str:
    with connect(url) as db:
        migrate(db)
    return url


def without_rows(url: str) -> str:
    """Return the URL of a migrated database after rows have been deleted, and tables of single tests dropped."""
    with connect(url) as db:
        schema = "DATABASE()" if db.dialect == "mysql" else "'public'"
        tables = db.query(f"SELECT table_name FROM information_schema.tables WHERE table_schema = {schema} AND table_type = 'BASE TABLE'")
        for (table,) in tables:
            if table.lower() not in SCHEMA_TABLES:
                db.execute(f"DROP TABLE {table}")
            elif table.lower() != "rec_schema_migrations":
                db.execute(f"DELETE FROM {table}")
    return url


def emptied(url: str) -> str:
    """Return the URL of a PostgreSQL database after everything in it, and everybody else, has been thrown out."""
    server, _, name = url.rpartition("/")
    run_on_postgresql(server, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    run_on_postgresql(server, "DROP SCHEMA public CASCADE; CREATE SCHEMA public", name)
    return url


def reachable(run: Callable[[str, str], None], server: str) -> None:
    """Skip the test where the server doesn't answer."""
    import psycopg

    try:
        run(server, "SELECT 1")
    except (pymysql.err.MySQLError, psycopg.Error, OSError) as error:
        pytest.skip(f"no database at {server.rpartition('@')[2]}: {' '.join(str(error).split())}")


def run_on_mysql(server: str, statement: str) -> None:
    from urllib.parse import unquote, urlsplit

    url = urlsplit(server)
    connection = pymysql.connect(
        host=url.hostname,
        port=url.port or 3306,
        user=unquote(url.username or "root"),
        password=unquote(url.password or ""),
        connect_timeout=CONNECT_TIMEOUT_S,
        autocommit=True,
    )
    try:
        connection.cursor().execute(statement)
    finally:
        connection.close()


def run_on_postgresql(server: str, statement: str, database: str = "postgres") -> None:
    import psycopg

    address = f"{server.replace('postgresql+psycopg', 'postgresql', 1)}/{database}"
    with psycopg.connect(address, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S) as connection:
        connection.execute(statement)
