"""Fixtures of the whole suite: the three databases, each test with one of its own, and the random generator."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # as train.py does, before anything imports TensorFlow
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
# Before anything imports NumPy: in tiny fits its threads only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np  # noqa: E402
import pytest  # noqa: E402

from tests.helpers.databases import (
    MYSQL,
    POSTGRESQL,
    emptied,
    migrated,
    new_database,
    run_on_mysql,
    run_on_postgresql,
    without_rows,
)
from tests.helpers.tiny_shop import Published, Trained, train_in  # noqa: E402

pytest_plugins = ["tests.helpers.skips"]


@pytest.fixture(autouse=True)
def secrets_of_this_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test begin without known secrets: the secret of one test may be a plain word of another."""
    monkeypatch.setattr("recsys.errors.secrets._known", set())


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture(scope="session")
def board():  # type: ignore[no-untyped-def] # a `recsys.training.fitting.FittedModels`; naming it would import TensorFlow for every test
    """The checkerboard, fitted once for the whole suite up to its cut; no test may change it."""
    from tests.helpers import checkerboard

    return checkerboard.fit(checkerboard.shop_of(checkerboard.before_the_cut()))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The tiny shop, trained once for the whole suite; no test may change it."""
    return train_in(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="session")
def published(trained: Trained) -> Published:
    """The tiny shop with its version; no test may change it, but `published.copy(tmp_path)`."""
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
    """The URL of a migrated database: MariaDB migrates in seconds, and deletes rows in milliseconds."""
    with new_database(run_on_mysql, MYSQL) as url:
        yield migrated(url)


@pytest.fixture(scope="session")
def postgresql_shop_url() -> Iterator[str]:
    """The URL of a database with the whole schema."""
    with new_database(run_on_postgresql, POSTGRESQL) as url:
        yield migrated(url)


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """The URL of a database for the whole suite: PostgreSQL creates one in a second, and empties it in milliseconds."""
    with new_database(run_on_postgresql, POSTGRESQL) as url:
        yield url
