"""The schema, as numbered SQL files that every database and the Node backend run alike."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from recsys.errors import RecsysError
from recsys.store.database import Database, Duplicate

_FOLDER = Path(__file__).parent / "migrations"
_RECORD = """
CREATE TABLE IF NOT EXISTS schema_migrations (name VARCHAR(191) NOT NULL PRIMARY KEY, applied_at {{datetime}} NOT NULL) {{table}}
"""
# The Node backend takes the same locks. MySQL's are the whole server's, PostgreSQL's the database's.
_LOCK = {
    "mysql": (
        "SELECT GET_LOCK(CONCAT('recsys_', MD5(DATABASE())), 60)",
        "SELECT RELEASE_LOCK(CONCAT('recsys_', MD5(DATABASE())))",
    ),
    "postgresql": ("SELECT pg_advisory_lock(7263797)", "SELECT pg_advisory_unlock(7263797)"),
}
_OF_THE_SHOP = frozenset({"0001_shop.sql"})
_IDENTITIES = (
    ("Allcodes", "id"),
    ("Users", "id"),
    ("Products", "id"),
    ("Productdetails", "id"),
    ("Productimages", "id"),
    ("Interactions", "interId"),
    ("Comments", "id"),
    ("recommendations", "id"),
    ("model_runs", "id"),
)


def migrate(db: Database, *, shop: bool = True) -> list[str]:
    """Run the migrations that the database hasn't seen, in order of their names.

    A migration and its record are one transaction where the database can undo CREATE; MySQL cannot, so every statement
    may be run again.

    Args:
        db: The database.
        shop: Whether the default schema's shop is wanted. A shop that maps its own tables may have a `Products` unlike ours.

    Returns:
        The names of the migrations that were run; none the second time.
    """
    with _in_turn(db):
        db.execute(_spelled(_RECORD, db.dialect))
        names = sorted(file.name for file in _FOLDER.glob("*.sql"))
        return [name for name in names if (shop or name not in _OF_THE_SHOP) and _apply(db, name)]


def statements(name: str, dialect: str) -> list[str]:
    """Return the statements of a migration in a dialect's words.

    Args:
        name: A file's name, such as `0001_shop.sql`.
        dialect: `sqlite`, `mysql` or `postgresql`.
    """
    text = (_FOLDER / name).read_text(encoding="utf-8")
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return [_spelled(statement, dialect) for piece in re.split(r";[ \t]*(?:\n|\Z)", code) if (statement := piece.strip())]


def renumber(db: Database, tables: Sequence[tuple[str, str]] = _IDENTITIES) -> None:
    """Let PostgreSQL number new rows behind those that were inserted with their ids; the others do so by themselves.

    Args:
        db: The database.
        tables: Names of tables, each with that of its numbered column.
    """
    if db.dialect != "postgresql":
        return
    for table, column in tables:
        sequence = f"pg_get_serial_sequence('{table.lower()}', '{column.lower()}')"
        db.query(f"SELECT setval({sequence}, (SELECT COALESCE(MAX({column}), 0) + 1 FROM {table}), false)")  # noqa: S608 - our own names


@contextmanager
def _in_turn(db: Database) -> Iterator[None]:
    """Let programs that start at once migrate one after the other; SQLite's transactions do so by themselves."""
    take, give = _LOCK.get(db.dialect, ("", ""))
    if take:
        db.query(take)
    try:
        yield
    finally:
        if give:
            with suppress(RecsysError):  # a broken connection has given it back
                db.query(give)


def _apply(db: Database, name: str) -> bool:
    with db.atomic():
        if db.query("SELECT name FROM schema_migrations WHERE name = :name", {"name": name}):
            return False
        for statement in statements(name, db.dialect):
            _run(db, statement)
        db.execute("INSERT INTO schema_migrations (name, applied_at) VALUES (:name, CURRENT_TIMESTAMP)", {"name": name})
    return True


def _run(db: Database, statement: str) -> None:
    try:
        db.execute(statement)
    except Duplicate:
        if db.dialect != "mysql" or not statement.startswith("CREATE INDEX"):
            raise  # MySQL has no IF NOT EXISTS for an index that an interrupted run has left


def _spelled(text: str, dialect: str) -> str:
    words: dict[str, dict[str, Any]] = json.loads((_FOLDER / "dialects.json").read_text(encoding="utf-8"))
    return re.sub(r"\{\{(\w+)\}\}", lambda match: words[dialect][match[1]], text).rstrip()
