"""SQLite through the standard library."""

from __future__ import annotations

import math
import os
import sqlite3
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from recsys.errors import DatabaseUnavailable, Overloaded, RecsysError, SettingsError
from recsys.settings.database_url import DatabaseUrl
from recsys.store.columns import read_id
from recsys.store.drivers.base import COMMENT, Driver, Duplicate, Rows, Syntax, UnusableValue

# Error messages of SQL functions for a value that they cannot use; SQLite has no code for these.
VALUE_ERRORS = ("malformed JSON", "integer overflow", "bad JSON path")
STEPS_PER_LOOK = 10_000  # virtual-machine steps between two looks at the clock: well under a millisecond
LOCK_TIMEOUT_S = 10.0  # an import holds the write lock for one chunk of rows

ID = "recsys_id"  # the function that reads ids of fractions and of bytes as training does
SYNTAX = Syntax(
    dialect="sqlite",
    placeholder=":{}",
    opaque=rf"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|--[^\n]*|{COMMENT}""",
    text="CAST({} AS TEXT)",
    id=f"CASE WHEN typeof({{0}}) IN ('text', 'integer') THEN CAST({{0}} AS TEXT) ELSE {ID}({{0}}) END",
    key="CAST({} AS TEXT)",
    price="CASE WHEN typeof({0}) IN ('integer', 'real') OR typeof({0}) = 'text' AND {0} NOT GLOB '*[^0-9. ]*' "
    "THEN CAST({0} AS REAL) END",
    second="datetime(CAST({} AS INTEGER), 'unixepoch')",
    columns="SELECT name FROM pragma_table_info(:table, 'main') WHERE :place IS NULL OR 1",
    begin="BEGIN IMMEDIATE",  # takes the write lock at once: upgrading a read lock later fails without waiting
    shops_place="SELECT name FROM pragma_database_list WHERE name = 'shop'",
    create_in_shop="^CREATE (?:TABLE|INDEX) IF NOT EXISTS ",
    any_time=-(10**15),  # sorts before every number and every text
)


class Sqlite(Driver):
    """The driver of `sqlite:///`."""

    syntax = SYNTAX
    errors: tuple[type[Exception], ...] = (sqlite3.Error, OverflowError, UnicodeError)
    _busy = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM})
    _broken = frozenset(
        {
            sqlite3.SQLITE_CANTOPEN,
            sqlite3.SQLITE_IOERR,
            sqlite3.SQLITE_CORRUPT,
            sqlite3.SQLITE_NOTADB,
            sqlite3.SQLITE_PERM,
            sqlite3.SQLITE_READONLY,
            sqlite3.SQLITE_FULL,
            sqlite3.SQLITE_INTERRUPT,
            sqlite3.SQLITE_PROTOCOL,
        }
    )
    _unusable = frozenset({sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH})
    _duplicate = frozenset(
        {sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID}
    )

    def __init__(self) -> None:
        self._give_up_at = 0.0
        self._lock_tenths = 0
        self._path = ""
        self._file: tuple[int, int] | None = None

    def open(self, url: DatabaseUrl, timeout_s: float, create: bool) -> Any:
        """Open the file. Only `create` makes a new one, so that a mistyped path never looks like an empty shop.

        Where our tables have a file of their own, it is the main one, and the shop's is attached to it: SQLite creates
        tables in the main file, and looks for others in the attached one.
        """
        uri = f"file:{quote(url.name)}?mode={'rwc' if create else 'rw'}"
        main = f"file:{quote(url.own_tables)}?mode=rwc" if url.own_tables else uri
        connection = sqlite3.connect(main, uri=True, isolation_level=None, check_same_thread=False)
        if url.own_tables:
            connection.execute("ATTACH DATABASE ? AS shop", (uri,))
        connection.create_function(ID, 1, _id, deterministic=True)
        self._path, self._file = url.name, _identity(url.name)
        connection.set_progress_handler(lambda: time.monotonic() > self._give_up_at, STEPS_PER_LOOK)
        self.start_clock(connection, timeout_s)
        if create:  # write-ahead logging lets requests read while scripts write; the file keeps this mode
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    def start_clock(self, connection: Any, seconds: float) -> None:
        """Limit the next statement, and its waiting for a lock."""
        self._give_up_at = time.monotonic() + seconds
        tenths = math.ceil(10 * min(seconds, LOCK_TIMEOUT_S))  # rounded, so that most statements share one setting
        if tenths != self._lock_tenths:
            connection.execute(f"PRAGMA busy_timeout = {100 * tenths}")
            self._lock_tenths = tenths

    def is_stale(self, connection: Any) -> bool:
        """Return whether the file was moved or replaced; SQLite would go on reading the old one."""
        return _identity(self._path) != self._file

    def fetch(self, connection: Any, text: str, values: Mapping[str, Any]) -> Rows:
        """Run a statement and return its rows; once a text is not UTF-8, this connection decodes each by itself."""
        try:
            return list(connection.execute(text, values).fetchall())
        except sqlite3.OperationalError as error:
            if connection.text_factory is not str or not str(error).startswith("Could not decode to UTF-8"):
                raise
        connection.text_factory = _text
        return list(connection.execute(text, values).fetchall())

    def streaming(self, connection: Any) -> Any:
        """Return a plain cursor: every cursor of SQLite reads row by row."""
        connection.text_factory = _text
        return connection.cursor()

    def meaning(self, error: Exception) -> type[RecsysError]:
        """Decide by SQLite's result code."""
        if isinstance(error, OverflowError | UnicodeError):
            return UnusableValue
        if isinstance(error, sqlite3.ProgrammingError) and "closed database" in str(error):
            return DatabaseUnavailable
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        if code in self._duplicate:
            return Duplicate
        primary = code & 0xFF
        if primary in self._unusable or (primary == sqlite3.SQLITE_ERROR and str(error).startswith(VALUE_ERRORS)):
            return UnusableValue
        return (
            Overloaded if primary in self._busy else DatabaseUnavailable if primary in self._broken else SettingsError
        )


DRIVER = Sqlite


def _id(raw: object) -> str | None:
    """Return the id that a value is read as, as text; NUL, which is no id either, for a value that cannot be read."""
    value = read_id(raw)
    return str(value) if value is not None else None if raw is None else "\0"


def _text(raw: bytes) -> str | bytes:
    """Decode a text; bytes that are not UTF-8 stay bytes, so that the other values of the column can be read."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _identity(path: str) -> tuple[int, int] | None:
    """Return the device and inode of a file; None if there is no such file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
