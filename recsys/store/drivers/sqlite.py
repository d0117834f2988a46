"""SQLite through the standard library."""

from __future__ import annotations

import math
import os
import sqlite3
import time
from typing import Any
from urllib.parse import quote

from recsys.errors import DatabaseUnavailable, Overloaded, RecsysError, SettingsError
from recsys.settings.database_url import DatabaseUrl
from recsys.store.drivers.base import Duplicate, Timeouts, UnusableValue

# Error messages of SQL functions for a value that they cannot use; SQLite has no code for these.
VALUE_ERRORS = ("malformed JSON", "integer overflow", "bad JSON path")
STEPS_PER_LOOK = 10_000  # virtual-machine steps between two looks at the clock: well under a millisecond


class Sqlite:
    """The driver of `sqlite:///`."""

    dialect = "sqlite"
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
        self._statement_s = 0.0
        self._lock_tenths = 0
        self._path = ""
        self._file: tuple[int, int] | None = None

    def open(self, url: DatabaseUrl, timeouts: Timeouts, create: bool) -> Any:
        """Open the file. Only `create` makes a new one, so that a mistyped path never looks like an empty shop."""
        uri = f"file:{quote(url.name)}?mode={'rwc' if create else 'rw'}"
        connection = sqlite3.connect(
            uri, uri=True, isolation_level=None, timeout=timeouts.lock_s, check_same_thread=False
        )
        self._statement_s = timeouts.statement_s
        self._path, self._file = url.name, _identity(url.name)
        connection.text_factory = _text
        connection.set_progress_handler(self._late, STEPS_PER_LOOK)
        self.start_clock()
        if create:  # write-ahead logging lets requests read while scripts write; the file keeps this mode
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    def start_clock(self) -> None:
        """Start the time limit of the next statement."""
        self._give_up_at = time.monotonic() + self._statement_s

    def limit(self, connection: Any, seconds: float) -> None:
        """Set the limit of each statement, and of waiting for a lock."""
        self._statement_s = seconds
        tenths = math.ceil(10 * seconds)  # rounded, so that most statements of a request share one setting
        if tenths != self._lock_tenths:
            connection.execute(f"PRAGMA busy_timeout = {100 * tenths}")
            self._lock_tenths = tenths

    def is_stale(self, connection: Any) -> bool:
        """Return whether the file was moved or replaced; SQLite would go on reading the old one."""
        return _identity(self._path) != self._file

    def _late(self) -> bool:
        return time.monotonic() > self._give_up_at

    def begin(self) -> str:
        """Return a statement that takes the write lock at once: upgrading a read lock later fails without waiting."""
        return "BEGIN IMMEDIATE"

    def streaming(self, connection: Any) -> Any:
        """Return a plain cursor: every cursor of SQLite reads row by row."""
        return connection.cursor()

    def numeric(self, column: Any) -> bool:
        """Return False: SQLite declares no types for results."""
        return False

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
