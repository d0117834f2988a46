"""The protocol of drivers, and the errors that drivers distinguish."""

from __future__ import annotations

from typing import Any, Protocol

from recsys.errors import RecsysError, SettingsError
from recsys.settings.database_url import DatabaseUrl


class Duplicate(SettingsError):
    """The row, table or index exists already."""


class NotAllowed(SettingsError):
    """The account lacks a right."""


class UnusableValue(SettingsError):
    """A value that the column's type cannot hold."""


class Timeouts:
    """Limits of waiting, in seconds.

    Attributes:
        connect_s: For the connection.
        statement_s: For a statement, or for its next rows.
        lock_s: For a lock that another process holds (SQLite).
    """

    def __init__(self, connect_s: float, statement_s: float, lock_s: float) -> None:
        self.connect_s, self.statement_s, self.lock_s = connect_s, statement_s, lock_s


class Driver(Protocol):
    """The methods that `recsys.store.database.Database` needs from a driver."""

    dialect: str
    errors: tuple[type[Exception], ...]

    def open(self, url: DatabaseUrl, timeouts: Timeouts, create: bool) -> Any:
        """Open a DB-API connection in autocommit mode, in UTC."""

    def start_clock(self) -> None:
        """Start the time limit of the next statement, unless the connection does so by itself."""

    def limit(self, connection: Any, seconds: float) -> None:
        """Set the limit, in seconds, of each following statement and of the locks that it waits for."""

    def is_stale(self, connection: Any) -> bool:
        """Return whether a connection is closed, or belongs to another database than its URL names now."""

    def begin(self) -> str:
        """Return the statement that opens a transaction."""

    def streaming(self, connection: Any) -> Any:
        """Return a cursor that leaves rows at the server until they are fetched."""

    def numeric(self, column: Any) -> bool:
        """Return whether a column of `cursor.description` is declared as a number."""

    def meaning(self, error: Exception) -> type[RecsysError]:
        """Return the project's error class for a driver's error."""
