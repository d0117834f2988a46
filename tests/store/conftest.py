from collections.abc import Iterator
from pathlib import Path

import pytest

from recsys.settings import Shop, load_settings
from recsys.store import Database, connect


@pytest.fixture
def db(shop_url: str) -> Iterator[Database]:
    """An open connection to a database with the whole schema and no rows."""
    with connect(shop_url) as database:
        yield database


@pytest.fixture
def bare_db(database_url: str) -> Iterator[Database]:
    """An open connection to an empty database."""
    with connect(database_url) as database:
        yield database


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """The mapping of the default schema."""
    return load_settings({"DATABASE_URL": "sqlite:///unused"}, tmp_path / "nowhere").shop
