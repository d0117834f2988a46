"""What a database's tables look like: columns, types, keys and numbers of rows."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recsys.store.database import Database
from recsys.store.migrations import CACHE

MOST_COUNTED = 1_000_000  # rows; more are not counted, so that a look at a large database takes seconds
_MOST_VALUES = 50  # different values of a column of statuses or event names

_OF_SERVERS = """
SELECT c.table_name, c.column_name, c.data_type, c.is_nullable FROM information_schema.columns c
JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name
WHERE {schema} AND t.table_type = 'BASE TABLE' ORDER BY c.table_name, c.ordinal_position
"""
_COLUMNS = {
    "mysql": _OF_SERVERS.format(schema="c.table_schema = DATABASE()"),
    "postgresql": _OF_SERVERS.format(schema="c.table_schema = current_schema()"),
    "sqlite": """
SELECT t.name, c.name, c.type, CASE WHEN c."notnull" = 1 THEN 'NO' ELSE 'YES' END
FROM sqlite_master t JOIN pragma_table_info(t.name) c
WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' ORDER BY t.name, c.cid
""",
}
_KEYS = {
    "mysql": """
SELECT table_name, column_name FROM information_schema.key_column_usage
WHERE table_schema = DATABASE() AND constraint_name = 'PRIMARY' ORDER BY table_name, ordinal_position
""",
    "postgresql": """
SELECT k.table_name, k.column_name FROM information_schema.table_constraints c
JOIN information_schema.key_column_usage k ON k.constraint_name = c.constraint_name AND k.table_name = c.table_name
  AND k.table_schema = c.table_schema
WHERE c.table_schema = current_schema() AND c.constraint_type = 'PRIMARY KEY' ORDER BY k.table_name, k.ordinal_position
""",
    "sqlite": """
SELECT t.name, c.name FROM sqlite_master t JOIN pragma_table_info(t.name) c
WHERE t.type = 'table' AND c.pk > 0 ORDER BY t.name, c.pk
""",
}
# Keys of several columns do not matter here: each part is listed by itself.
_REFERENCES = {
    "mysql": """
SELECT table_name, column_name, referenced_table_name, referenced_column_name
FROM information_schema.key_column_usage WHERE table_schema = DATABASE() AND referenced_table_name IS NOT NULL
""",
    "postgresql": """
SELECT t.relname, a.attname, r.relname, b.attname FROM pg_constraint c
JOIN pg_class t ON t.oid = c.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace
JOIN pg_class r ON r.oid = c.confrelid
JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = c.conkey[1]
JOIN pg_attribute b ON b.attrelid = r.oid AND b.attnum = c.confkey[1]
WHERE c.contype = 'f' AND cardinality(c.conkey) = 1 AND n.nspname = current_schema()
""",
    "sqlite": """
SELECT t.name, f."from", f."table", f."to" FROM sqlite_master t JOIN pragma_foreign_key_list(t.name) f
WHERE t.type = 'table'
""",
}


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: Its name, as the database spells it.
        kind: `number`, `moment`, `flag` or `text`, by its type; other types are `text`.
        nullable: Whether it may hold null.
        target: The table and the column that a foreign key names; None without one.
    """

    name: str
    kind: str
    nullable: bool
    target: tuple[str, str] | None = None


@dataclass(frozen=True)
class Table:
    """A table of the shop.

    Attributes:
        name: Its name, as the database spells it.
        label: Its name without the prefix that most tables share, such as `wp_`.
        columns: Its columns, in order.
        key: The names of the primary key's columns.
        rows: The number of its rows, at most `MOST_COUNTED`.
    """

    name: str
    label: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    rows: int


def table_names(db: Database) -> list[str]:
    """Return the names of the shop's tables; our own are left out."""
    return sorted(_by_table(db, _COLUMNS))


def read_schema(db: Database, only: str | None = None) -> list[Table]:
    """Return the shop's tables by name; our own are left out.

    Args:
        db: The shop's database.
        only: The name of the only table to read, in any case; None reads all.
    """
    keys, targets = _by_table(db, _KEYS), _by_table(db, _REFERENCES)
    described = _by_table(db, _COLUMNS)
    prefix = _shared_prefix(list(described))
    tables = []
    for name, columns in sorted(described.items()):
        if only is not None and name.lower() != only.lower():
            continue
        to = {column: (str(table), str(other or "id")) for column, table, other in targets.get(name, [])}
        read = tuple(
            Column(column, _kind(str(kind), db.dialect), nullable == "YES", to.get(column))
            for column, kind, nullable in columns
        )
        key = tuple(column for (column,) in keys.get(name, []))
        tables.append(Table(name, name.removeprefix(prefix) or name, read, key, count_rows(db, name)))
    return tables


def _shared_prefix(names: Sequence[str]) -> str:
    """Return what stands before the first underscore in most names; empty if names differ in it.

    >>> _shared_prefix(["shop_user", "shop_order", "shop_product", "django_log"]), _shared_prefix(["orders", "users"])
    ('shop_', '')
    """
    starts = Counter(name.split("_", 1)[0] + "_" for name in names if "_" in name)
    start, count = max(starts.items(), key=lambda entry: entry[1], default=("", 0))
    return start if count >= 3 and 2 * count > len(names) else ""


def count_rows(db: Database, table: str, condition: str = "1 = 1") -> int:
    """Return the number of a table's rows that meet a condition, at most `MOST_COUNTED`."""
    limited = f"SELECT 1 AS one FROM {quoted(db, table)} t WHERE {condition} LIMIT {MOST_COUNTED}"  # noqa: S608 - quoted
    return int(db.query(f"SELECT COUNT(*) FROM ({limited}) c")[0][0])  # noqa: S608 - quoted


def value_counts(db: Database, table: str, column: str) -> dict[Any, int] | None:
    """Return how often each value of a column occurs, most often first; None if there are too many values."""
    name = quoted(db, column)
    rows = db.query(
        f"SELECT {name}, COUNT(*) FROM {quoted(db, table)} GROUP BY {name} ORDER BY 2 DESC LIMIT {_MOST_VALUES + 1}"  # noqa: S608 - quoted
    )
    return {value: int(count) for value, count in rows} if len(rows) <= _MOST_VALUES else None


def quoted(db: Database, name: str) -> str:
    """Return a name of a table or a column in the database's quotes."""
    quote = "`" if db.dialect == "mysql" else '"'
    return quote + name.replace(quote, quote * 2) + quote


def _by_table(db: Database, texts: Mapping[str, str]) -> dict[str, list[Sequence[Any]]]:
    """Return rows by their first column, a table's name, which they lose."""
    rows: defaultdict[str, list[Sequence[Any]]] = defaultdict(list)
    ours = {f"{db.cache_prefix}{name}" for name in CACHE}
    for table, *rest in db.query(texts[db.dialect]):
        if str(table).lower() not in ours and not str(table).lower().startswith("rec_"):
            rows[str(table)].append(rest)
    return dict(rows)


def _kind(declared: str, dialect: str) -> str:
    kind = declared.lower()
    if "bool" in kind or (kind.startswith("tinyint") and dialect != "postgresql") or kind == "bit":
        return "flag"
    if re.match(r"(date|timestamp)", kind):
        return "moment"
    return "number" if re.search(r"int|serial|numeric|decimal|real|double|float|number|money", kind) else "text"
