"""The databases of a synthetic shop: a SQLite file, and a MariaDB database that is dropped at the end."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recsys.store import connect

SERVER = "mysql+pymysql://root@127.0.0.1:3306"
SQLITE, MARIADB = "sqlite", "mariadb"
DRIVERS = {SQLITE: "sqlite3", MARIADB: "pymysql"}
LABELS = {SQLITE: "SQLite", MARIADB: "MariaDB"}


@contextmanager
def databases(folder: Path, server: str | None) -> Iterator[dict[str, str]]:
    """Yield the URL of an empty database of each kind.

    Args:
        folder: Where the SQLite file will lie.
        server: `mysql+pymysql://user:password@host:port`; None leaves MariaDB out.

    Raises:
        RecsysError: The server does not answer, or does not let the user make databases.
    """
    urls = {SQLITE: f"sqlite:///{folder / 'shop.sqlite'}"}
    if server is None:
        yield urls
        return
    name = f"recsys_bench_{secrets.token_hex(6)}"
    _run(server, f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    try:
        yield {**urls, MARIADB: f"{server}/{name}"}
    finally:
        _run(server, f"DROP DATABASE {name}")


def _run(server: str, statement: str) -> None:
    with connect(f"{server}/information_schema") as db:  # a URL has to name a database, and this one exists
        db.execute(statement)
