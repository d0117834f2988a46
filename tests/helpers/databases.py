"""The database servers of the tests: new, migrated and emptied databases."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pymysql  # noqa: E402
import pytest  # noqa: E402

from recsys.store import connect  # noqa: E402
from recsys.store.migrations import migrate  # noqa: E402

MYSQL = os.environ.get("RECSYS_TEST_MYSQL", "mysql+pymysql://root@127.0.0.1:3306")
POSTGRESQL = os.environ.get("RECSYS_TEST_POSTGRESQL", "postgresql+psycopg://postgres@127.0.0.1:5432")
SCHEMA_TABLES = frozenset(
    "rec_schema_migrations allcodes users products productdetails productimages interactions comments "
    "rec_versions rec_user_encoder rec_item_encoder rec_context_mapping rec_context_meta "
    "recommendations model_runs rec_lists rec_guest_events rec_answer_counts rec_batch_lists rec_batch_runs "
    "rec_user_interactions rec_user_preferences rec_product_similarities rec_frequently_together "
    "rec_recommendations_cache rec_user_segments rec_analytics".split()
)
CONNECT_TIMEOUT_S = 3  # a local server answers at once or isn't there


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
        tables = db.query(
            "SELECT table_name FROM information_schema.tables "
            f"WHERE table_schema = {schema} AND table_type = 'BASE TABLE'"
        )
        for (table,) in tables:
            if table.lower() not in SCHEMA_TABLES:
                db.execute(f"DROP TABLE {table}")
            elif table.lower() != "rec_schema_migrations":
                db.execute(f"DELETE FROM {table}")
    return url


def emptied(url: str) -> str:
    """Return the URL of a PostgreSQL database without tables and without other connections."""
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
