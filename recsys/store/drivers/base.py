"""What `Database` needs from a driver, and the failures that drivers tell apart."""

from __future__ import annotations

from typing import Any, Protocol

from recsys.errors import RecsysError, SettingsError
from recsys.settings.database_url import DatabaseUrl


class Duplicate(SettingsError):
    """The row, table or index is there already."""


class NotAllowed(SettingsError):
    """The account lacks a right."""


class UnusableValue(SettingsError):
    """A value that no column of that type can hold."""


class Timeouts:
    """How long to wait, in seconds: for the connection, and for each statement or lock.

    Attributes:
        connect_s: Until the connection stands.
        statement_s: Until a statement, or the next rows of one, are there.
        lock_s: Until another's lock is released (SQLite).
    """

    def __init__(self, connect_s: float, statement_s: float, lock_s: float) -> None:
        self.connect_s, self.statement_s, self.lock_s = connect_s, statement_s, lock_s


class Driver(Protocol):
    """What `Database` needs from a driver."""

    dialect: str
    errors: tuple[type[Exception], ...]

    def open(self, url: DatabaseUrl, timeouts: Timeouts, create: bool) -> Any:
        """Return an open DB-API connection in autocommit mode, in UTC."""

    def start_clock(self) -> None:
        """Give the next statement its time, where the connection doesn't do so by itself."""

    def limit(self, connection: Any, seconds: float) -> None:
        """Give each of the following statements, and the locks that it waits for, so many seconds."""

    def is_stale(self, connection: Any) -> bool:
        """Return whether a connection is closed already, or leads to another database than its URL does by now."""

    def begin(self) -> str:
        """Return the statement that opens a transaction."""

    def streaming(self, connection: Any) -> Any:
        """Return a cursor that leaves rows at the server until they are fetched."""

    def numeric(self, column: Any) -> bool:
        """Return whether a column of `cursor.description` is declared as a number."""

    def meaning(self, error: Exception) -> type[RecsysError]:
        """Return which of the project's errors a driver's error is."""
