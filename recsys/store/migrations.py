"""The schema, as numbered SQL files that every database and the Node backend run alike."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
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
_OLD_RECORD = "schema_migrations"  # what the record was called once; other programs call theirs so, too
# The Node backend takes the same locks. MySQL's are the whole server's, PostgreSQL's the database's.
_LOCK = {
    "mysql": (
        "SELECT GET_LOCK(CONCAT('recsys_', MD5(DATABASE())), 60)",
        "SELECT RELEASE_LOCK(CONCAT('recsys_', MD5(DATABASE())))",
    ),
    "postgresql": ("SELECT pg_advisory_lock(7263797)", "SELECT pg_advisory_unlock(7263797)"),
}
_OF_THE_SHOP = "0001_shop.sql"
_OF_THE_BACKEND = frozenset({"0003_lists.sql", "0004_cache.sql"})
_TABLE = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+) \(\n(.*)\n\)", re.DOTALL)
_VIEW = re.compile(r"CREATE VIEW IF NOT EXISTS (\w+) AS")
_COLUMNS = {
    "sqlite": "SELECT name FROM pragma_table_info(:table)",
    "mysql": (
        "SELECT column_name FROM information_schema.columns "
        "WHERE table_schema = DATABASE() AND table_name = :table ORDER BY ordinal_position"
    ),
    "postgresql": (
        "SELECT attname FROM pg_attribute "
        "WHERE attrelid = to_regclass(CAST(:table AS text)) AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
    ),
}
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
        shop: Whether the default schema's shop is wanted. A shop that maps its own tables may have a `Products` unlike
            ours; where it has a `recommendations` unlike ours, the backend's cache is left out as well: training does
            not need it.

    Returns:
        The names of the migrations that were run; none the second time.

    Raises:
        SettingsError: A table of the shop's own has the name of one of ours.
        NotAllowed: The account may not create our tables.
    """
    with _in_turn(db):
        _begin_record(db)
        names = sorted(file.name for file in _FOLDER.glob("*.sql"))
        return [
            name
            for name in names
            if (shop or name != _OF_THE_SHOP) and _apply(db, name, optional=not shop and name in _OF_THE_BACKEND)
        ]


def own_tables(db: Database) -> list[str]:
    """Return the names of our tables, those that are still to be made included, and those that another program has left out."""
    texts = [_RECORD.strip(), *_own_statements()]
    foreign = {made[1] for made, _ in _foreign(db, texts)}
    return [made[1] for text in texts if (made := _TABLE.match(text)) and made[1] not in foreign]


def own_views() -> list[str]:
    """Return the names of the views on the tables of `own_tables`."""
    return [made[1] for text in _own_statements() if (made := _VIEW.match(text))]


def columns(db: Database, table: str) -> list[str]:
    """Return the names of a table's columns as the database spells them; none where there is no such table.

    Args:
        db: The database.
        table: A table's name as in a statement, unquoted.
    """
    return [
        str(name)
        for (name,) in db.query(_COLUMNS[db.dialect], {"table": table.lower() if db.dialect == "postgresql" else table})
    ]


def statements(name: str, dialect: str) -> list[str]:
    """Return the statements of a migration in a dialect's words.

    Args:
        name: A file's name, such as `0001_shop.sql`.
        dialect: `sqlite`, `mysql` or `postgresql`.
    """
    text = (_FOLDER / name).read_text(encoding="utf-8")
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return [
        _spelled(statement, dialect) for piece in re.split(r";[ \t]*(?:\n|\Z)", code) if (statement := piece.strip())
    ]


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


def _own_statements() -> list[str]:
    """Return the statements of all migrations but the shop's, in words of one dialect; names are the same in all of them."""
    names = sorted({file.name for file in _FOLDER.glob("*.sql")} - {_OF_THE_SHOP})
    return [statement for name in names for statement in statements(name, "sqlite")]


def _begin_record(db: Database) -> None:
    """Create the record of what was run, where it is missing, and take over what an older one says."""
    statement = _spelled(_RECORD.strip(), db.dialect)
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
        texts = statements(name, db.dialect)
        if optional and list(_foreign(db, texts)):
            return False
        if name != _OF_THE_SHOP:  # of the default schema's tables a shop may have some already, with fewer columns
            _refuse_foreign(db, texts)
        for statement in texts:
            _run(db, statement)
        db.execute(f"INSERT INTO {RECORD} (name, applied_at) VALUES (:name, CURRENT_TIMESTAMP)", {"name": name})  # noqa: S608
    return True


def _foreign(db: Database, texts: Iterable[str]) -> Iterator[tuple[re.Match[str], list[str]]]:
    """Yield the tables among some statements that are there already and lack columns of ours, each with the columns that it has."""
    for text in texts:
        made = _TABLE.match(text)
        found = columns(db, made[1]) if made else []
        if made and found and {name.lower() for name in _wanted(made)} - {name.lower() for name in found}:
            yield made, found


def _refuse_foreign(db: Database, texts: Iterable[str]) -> None:
    """Refuse to share a table with another program.

    Raises:
        SettingsError: It names the table, and says which columns it should have and which it has.
    """
    for made, found in _foreign(db, texts):
        raise SettingsError(
            f"The table `{made[1]}` should be recsys' own, with the columns {listed(_wanted(made))}. "
            f"Received: a table with {listed(found)}. "
            "Rename it; or let DATABASE_URL name a database (PostgreSQL: a schema, by search_path) of recsys' own, and name the shop's "
            "tables in recsys.toml with theirs in front, such as shop.orders."
        )


def _wanted(made: re.Match[str]) -> list[str]:
    return [line.split()[0] for line in made[2].splitlines() if line.split()[0] != "PRIMARY"]


def _run(db: Database, statement: str) -> None:
    try:
        db.execute(statement)
    except Duplicate:
        if db.dialect != "mysql" or not statement.startswith("CREATE INDEX"):
            raise  # MySQL has no IF NOT EXISTS for an index that an interrupted run has left


def _spelled(text: str, dialect: str) -> str:
    words: dict[str, dict[str, Any]] = json.loads((_FOLDER / "dialects.json").read_text(encoding="utf-8"))
    return re.sub(r"\{\{(\w+)\}\}", lambda match: words[dialect][match[1]], text).rstrip()
