"""Fixtures of the whole suite: the three databases, each test with one of its own, and the random generator."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pymysql
import pytest
from tiny_shop import Published, Trained, train_in

MYSQL = os.environ.get("RECSYS_TEST_MYSQL", "mysql+pymysql://root@127.0.0.1:3306")
POSTGRESQL = os.environ.get("RECSYS_TEST_POSTGRESQL", "postgresql+psycopg://postgres@127.0.0.1:5432")
CONNECT_TIMEOUT_S = 3  # a local server answers at once or isn't there


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


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
        reachable(run_on_mysql, MYSQL)
        name = f"recsys_test_{secrets.token_hex(6)}"
        run_on_mysql(MYSQL, f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        try:
            yield f"{MYSQL}/{name}"
        finally:
            run_on_mysql(MYSQL, f"DROP DATABASE {name}")


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """The URL of a database for the whole suite: PostgreSQL takes over a second to make one, and milliseconds to empty it."""
    reachable(run_on_postgresql, POSTGRESQL)
    name = f"recsys_test_{secrets.token_hex(6)}"
    run_on_postgresql(POSTGRESQL, f"CREATE DATABASE {name}")
    try:
        yield f"{POSTGRESQL}/{name}"
    finally:
        run_on_postgresql(POSTGRESQL, f"DROP DATABASE {name} WITH (FORCE)")


def emptied(url: str) -> str:
    """Return the URL of a PostgreSQL database after everything in it, and everybody else, has been thrown out."""
    server, _, name = url.rpartition("/")
    run_on_postgresql(server, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    run_on_postgresql(server, "DROP SCHEMA public CASCADE; CREATE SCHEMA public", name)
    return url


def reachable(run: Callable[[str, str], None], server: str) -> None:
    """Skip the test where the server doesn't answer; on CI a missing server is a failure."""
    import psycopg

    try:
        run(server, "SELECT 1")
    except (pymysql.err.MySQLError, psycopg.Error, OSError) as error:
        reason = f"no database at {server.rpartition('@')[2]}: {error}"
        if os.environ.get("CI", "").lower() in {"true", "1"}:
            pytest.fail(reason)
        pytest.skip(reason)


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
