"""Ids as a shop's columns hold them: bytes in a column such as BINARY(16), else text or numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from recsys.store.database import Database, UnusableValue
from recsys.store.shop_mapping import derived_table

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_known: WeakKeyDictionary[Database, dict[str, bool]] = WeakKeyDictionary()


def native_ids(
    db: Database, ids: Sequence[int | str], sql: str, column: str, since: Callable[[], int | str] | None = None
) -> Sequence[Any]:
    """Return ids with the type by which a column compares them.

    Args:
        db: The shop's database.
        ids: Ids in the shop's type.
        sql: A text that returns the column.
        column: The column's name.
        since: Returns the text's `:since`; None where it has none.
    """
    if not any(may_be_bytes(db, value) for value in ids) or not holds_bytes(db, sql, column, since):
        return ids
    return [as_bytes(value) for value in ids]


def may_be_bytes(db: Database, value: int | str) -> bool:
    """Return whether an id's text would not find it in a column of bytes: that of a UUID, and on SQLite any text."""
    return isinstance(value, str) and (db.dialect == "sqlite" or _UUID.fullmatch(value) is not None)


def as_bytes(value: int | str) -> bytes:
    """Return an id as bytes, as `recsys.store.columns.read_id` reads it."""
    words = str(value)
    return UUID(words).bytes if _UUID.fullmatch(words) else words.encode("utf-8")


def holds_bytes(db: Database, sql: str, column: str, since: Callable[[], int | str] | None) -> bool:
    """Return whether a column of a text holds bytes, by its first value; one statement, once per connection.

    Args:
        db: The shop's database.
        sql: A text that returns the column.
        column: The column's name.
        since: Returns the text's `:since`; None where it has none.
    """
    known = _known.setdefault(db, {})
    statement = f"SELECT e.{column} FROM {derived_table(sql, 'e')} WHERE e.{column} IS NOT NULL LIMIT 1"  # noqa: S608 - the shop's own text
    if statement not in known:
        try:
            rows = db.query(statement, {"since": since()} if since else {})
        except UnusableValue:  # of another row: the statement that follows says so
            return False
        if not rows:
            return False
        known[statement] = isinstance(rows[0][0], bytes)
    return known[statement]
