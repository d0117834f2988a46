"""Runs the schema's migrations: numbered SQL files, which the Node backend runs as well."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from recsys.errors import RecsysError, SettingsError
from recsys.errors.wording import listed
from recsys.store.database import Database, Duplicate

_FOLDER = Path(__file__).parent / "migrations"
_RECORD = """
CREATE TABLE IF NOT EXISTS rec_schema_migrations (
    name VARCHAR(191) NOT NULL PRIMARY KEY,
    applied_at {{datetime}} NOT NULL
) {{table}}
"""
RECORD = "rec_schema_migrations"
_OLD_RECORD = "schema_migrations"  # its earlier name, which other programs use for a table of theirs
_OF_THE_SHOP = "0001_shop.sql"
_CACHE = "0004_cache.sql"
CACHE = ("recommendations", "model_runs")  # its tables, without their prefix
_CACHE_NAME = re.compile(rf"\b(?:{'|'.join(CACHE)})(?=\b|_by)")
_OPTIONAL = frozenset(  # what training does not need
    {"0003_lists.sql", "0004_cache.sql", "0005_guest_events.sql", "0006_answer_counts.sql", "0007_tracking.sql"}
)
_TABLE = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+) \(\n(.*)\n\)", re.DOTALL)
_VIEW = re.compile(r"CREATE VIEW IF NOT EXISTS (\w+) AS")
_NUMBERED = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+) \(\n\s*(\w+) \{\{id\}\}")


def migrate(db: Database, *, shop: bool = True) -> list[str]:
    """Run the missing migrations, in order of their names.

    A migration and its record are one transaction where the database can undo CREATE. MySQL cannot, so every statement
    may be run twice.

    Args:
        db: The database.
        shop: Whether to create the default schema's shop. A shop that maps its own tables may have a `Products` unlike
            ours. If it has a `recommendations` or a `rec_analytics` unlike ours, the backend's cache or the tables of
            tracking, which training does not need, are left out as well.

    Returns:
        The names of the migrations that were run; empty if none was missing.

    Raises:
        SettingsError: A table of the shop has the name of one of ours.
        NotAllowed: The account may not create our tables.
    """
    with _in_turn(db):
        _create_place(db)
        _begin_record(db)
        names = sorted(file.name for file in _FOLDER.glob("*.sql"))
        return [
            name
            for name in names
            if (shop or name != _OF_THE_SHOP) and _apply(db, name, optional=not shop and name in _OPTIONAL)
        ]


def own_tables(db: Database) -> list[str]:
    """Return the names of our tables, also of missing ones, without those that another program has taken."""
    texts = [_RECORD.strip(), *(_with_prefix(text, db) for text in _own_statements())]
    foreign = {created[1] for created, _ in _foreign(db, texts)}
    return [created[1] for created in filter(None, map(_TABLE.match, texts)) if created[1] not in foreign]


def own_views() -> list[str]:
    """Return the names of the views on the tables of `own_tables`."""
    return [created[1] for created in filter(None, map(_VIEW.match, _own_statements()))]


def columns(db: Database, table: str) -> list[str]:
    """Return the names of a table's columns as the database spells them; empty if there is no such table.

    Args:
        db: The database.
        table: The name of one of our tables as in a statement, unquoted.
    """
    return [
        str(name) for (name,) in db.query(db.syntax.columns, {"table": table, "place": db.names.own_tables or None})
    ]


def statements(name: str, dialect: str) -> list[str]:
    """Return the statements of a migration in a dialect.

    Args:
        name: The file's name, such as `0001_shop.sql`.
        dialect: `sqlite`, `mysql` or `postgresql`.
    """
    text = (_FOLDER / name).read_text(encoding="utf-8")
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    pieces = (piece.strip() for piece in re.split(r";[ \t]*(?:\n|\Z)", code))
    return [_in_dialect(piece, dialect) for piece in pieces if piece]


def renumber(db: Database) -> None:
    """Make our tables number new rows after those inserted with their ids, where the database does not by itself."""
    for file in _FOLDER.glob("*.sql") if db.syntax.renumber else ():
        for table, column in _NUMBERED.findall(file.read_text(encoding="utf-8")):
            db.query(db.syntax.renumber.format(table=table, column=column))


@contextmanager
def _in_turn(db: Database) -> Iterator[None]:
    """Make programs that start at the same time migrate in turn; the Node backend takes the same locks."""
    for take in db.syntax.lock[:1]:
        db.query(take)
    try:
        yield
    finally:
        for give in db.syntax.lock[1:]:
            with suppress(RecsysError):  # a broken connection has released the lock
                db.query(give)


def _with_prefix(text: str, db: Database) -> str:
    """Return a statement of ours with the prefix of the backend's cache in the names of its tables and indices."""
    return _CACHE_NAME.sub(rf"{db.cache_prefix}\g<0>", text)


def _in_place(text: str, db: Database, migration: str) -> str:
    """Return a statement of a migration with the place of its table, where the connection would take another one."""
    if migration == _CACHE:
        cache = rf"\b{db.cache_prefix}(?:{'|'.join(CACHE)})\b"
        return re.sub(cache, lambda match: db.names.in_own_place(match[0]), text)
    if migration == _OF_THE_SHOP and db.names.own_tables and db.syntax.create_in_shop:
        ((shop,),) = db.query(db.syntax.shops_place)
        text = re.sub("^CREATE INDEX ", "CREATE INDEX IF NOT EXISTS ", text)  # the shop may have been made earlier
        return re.sub(db.syntax.create_in_shop, lambda match: f"{match[0]}{db.syntax.quoted(str(shop))}.", text)
    return text


def _create_place(db: Database) -> None:
    """Create the schema of our tables if it is missing; SQLite makes the file as it opens it."""
    if db.names.own_tables and db.dialect != "sqlite":
        known = "SELECT 1 FROM information_schema.schemata WHERE schema_name = :place"
        if not db.query(known, {"place": db.names.own_tables}):
            db.execute(f"CREATE SCHEMA {db.syntax.quoted(db.names.own_tables)}")


def _own_statements() -> list[str]:
    """Return the statements of all migrations but the shop's, in SQLite's dialect; all dialects have the same names."""
    names = sorted({file.name for file in _FOLDER.glob("*.sql")} - {_OF_THE_SHOP})
    return [statement for name in names for statement in statements(name, "sqlite")]


def _begin_record(db: Database) -> None:
    """Create the record of migrations if it is missing, with the entries of the one under its earlier name."""
    statement = _in_dialect(_RECORD.strip(), db.dialect)
    _refuse_foreign(db, [statement])
    if columns(db, RECORD):
        return
    with db.atomic():
        db.execute(statement)
        if {"name", "applied_at"} <= set(columns(db, _OLD_RECORD)):
            names = {"names": [file.name for file in _FOLDER.glob("*.sql")]}
            rows = db.query(f"SELECT name, applied_at FROM {_OLD_RECORD} WHERE name IN (:names)", names)  # noqa: S608 - our own names
            db.insert(RECORD, ({"name": name, "applied_at": moment} for name, moment in rows), skip_duplicates=True)


def _apply(db: Database, name: str, *, optional: bool) -> bool:
    with db.atomic():
        if db.query(f"SELECT name FROM {RECORD} WHERE name = :name", {"name": name}):  # noqa: S608 - our own name
            return False
        texts = [_with_prefix(text, db) for text in statements(name, db.dialect)]
        if optional and list(_foreign(db, texts)):
            return False
        if name != _OF_THE_SHOP:  # a shop may have tables of the default schema with fewer columns
            _refuse_foreign(db, texts)
        for statement in texts:
            _run(db, _in_place(statement, db, name))
        db.execute(f"INSERT INTO {RECORD} (name, applied_at) VALUES (:name, CURRENT_TIMESTAMP)", {"name": name})  # noqa: S608
    return True


def _foreign(db: Database, texts: Iterable[str]) -> Iterator[tuple[re.Match[str], list[str]]]:
    """Yield the tables that exist and lack columns of ours.

    Args:
        db: The database.
        texts: Statements; those that create no table are skipped.

    Yields:
        The match of `_TABLE` on the statement, and the columns that the table has.
    """
    for created in filter(None, map(_TABLE.match, texts)):
        existing = columns(db, created[1])
        missing = set(map(str.lower, _our_columns(created))) - set(map(str.lower, existing))
        if existing and missing:
            yield created, existing


def _refuse_foreign(db: Database, texts: Iterable[str]) -> None:
    """Refuse to share a table with another program.

    Raises:
        SettingsError: Such a table exists; the message names it, our columns and the columns that it has.
    """
    for created, existing in _foreign(db, texts):
        raise SettingsError(
            f"The table `{created[1]}` should be recsys' own, with the columns {listed(_our_columns(created))}. "
            f"Received: a table with {listed(existing)}. "
            "Rename it; or name another place of recsys' own tables by `own_tables` of [shop] in recsys.toml: a schema "
            "(PostgreSQL), a database of the same server (MySQL) or a file (SQLite). For `recommendations` and "
            "`model_runs`, `cache_prefix` names a prefix."
        )


def _our_columns(created: re.Match[str]) -> list[str]:
    return [line.split()[0] for line in created[2].splitlines() if line.split()[0] != "PRIMARY"]


def _run(db: Database, statement: str) -> None:
    try:
        db.execute(statement)
    except Duplicate:
        if db.syntax.undoes_create or not statement.startswith("CREATE INDEX"):
            raise  # an interrupted run may have left the index


def _in_dialect(text: str, dialect: str) -> str:
    words: dict[str, dict[str, Any]] = json.loads((_FOLDER / "dialects.json").read_text(encoding="utf-8"))
    return re.sub(r"\{\{(\w+)\}\}", lambda match: words[dialect][match[1]], text).rstrip()
