"""A migrated database of each kind, and many connections to it at once."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from recsys.settings import Shop, load_settings
from recsys.store import Database, connect

NOW = 1_764_400_000  # 2025-11-29 07:06:40 UTC
WRITERS = {"sqlite": 8, "mysql": 32, "postgresql": 32}  # SQLite has one writer at a time, and the others wait


@pytest.fixture
def db(shop_url: str) -> Iterator[Database]:
    """An open connection to a database with the whole schema and no rows."""
    with connect(shop_url) as database:
        yield database


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """The mapping of the default schema."""
    return load_settings({"DATABASE_URL": "sqlite:///unused"}, tmp_path / "nowhere").shop


@pytest.fixture
def at_once(db: Database, shop_url: str) -> Callable[[Callable[[Database, int], None]], int]:
    """Runs work with its own connection in many threads that start together; returns how many there were."""

    def run(work: Callable[[Database, int], None]) -> int:
        n_writers, failures = WRITERS[db.dialect], list[BaseException]()
        start = threading.Barrier(n_writers)

        def write(number: int) -> None:
            try:
                with connect(shop_url) as connection:
                    start.wait()
                    work(connection, number)
            except BaseException as error:
                failures.append(error)
                start.abort()

        threads = [threading.Thread(target=write, args=(number,)) for number in range(n_writers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        return n_writers

    return run


@pytest.fixture
def sqlite_db(sqlite_shop_url: str, tmp_path: Path) -> Iterator[Database]:
    """The same on SQLite alone, for what does not depend on the database."""
    path = tmp_path / "alone.sqlite"
    shutil.copy(sqlite_shop_url.removeprefix("sqlite:///"), path)
    with connect(f"sqlite:///{path}") as database:
        yield database
