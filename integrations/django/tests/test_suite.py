"""The suites of the Django app, each in a process of its own on SQLite, MariaDB and PostgreSQL.

Django and Celery keep settings for the whole process. A child keeps them apart from the other tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.databases import MYSQL, POSTGRESQL, reachable, run_on_mysql, run_on_postgresql

FOLDER = Path(__file__).resolve().parent.parent


def environment(folder: Path, server: str) -> dict[str, str]:
    """Return the environment of a child whose site has its files in a folder; Django makes and drops the database."""
    if server == "mariadb":
        reachable(run_on_mysql, MYSQL)
        url = f"{MYSQL}/recsys_django_{os.getpid()}"
    elif server == "postgresql":
        reachable(run_on_postgresql, POSTGRESQL)
        url = f"{POSTGRESQL}/recsys_django_{os.getpid()}"
    else:
        url = ""
    return {**os.environ, "EXAMPLE_DIR": str(folder), "EXAMPLE_DATABASE_URL": url, "BROKER_URL": "memory://"}


@pytest.mark.slow
@pytest.mark.parametrize("server", ["sqlite", "mariadb", "postgresql"])
def test_the_app_on(server: str, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "manage.py", "test", "suites", "-p", "suite_*.py", "--noinput"]

    done = subprocess.run(
        command, cwd=FOLDER, env=environment(tmp_path, server), capture_output=True, text=True, timeout=600, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stderr


def test_no_migration_is_missing(tmp_path: Path) -> None:
    command = [sys.executable, "manage.py", "makemigrations", "--check", "--dry-run"]

    done = subprocess.run(
        command, cwd=FOLDER, env=environment(tmp_path, "sqlite"), capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (0, "No changes detected\n")
