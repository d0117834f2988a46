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
    """The URL of an empty database, gone after the test."""
    if request.param == "sqlite":
        path = tmp_path / "shop.sqlite"
        path.touch()
        yield f"sqlite:///{path}"
        return
    name = f"recsys_test_{secrets.token_hex(6)}"
    server, run = (MYSQL, run_on_mysql) if request.param == "mariadb" else (POSTGRESQL, run_on_postgresql)
    reachable(run, server)
    run(server, f"CREATE DATABASE {name}" + (" CHARACTER SET utf8mb4" if request.param == "mariadb" else ""))
    try:
        yield f"{server}/{name}"
    finally:
        run(server, f"DROP DATABASE {name}" + (" WITH (FORCE)" if request.param == "postgresql" else ""))


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


def run_on_postgresql(server: str, statement: str) -> None:
    import psycopg

    address = server.replace("postgresql+psycopg", "postgresql", 1) + "/postgres"
    with psycopg.connect(address, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S) as connection:
        connection.execute(statement)
