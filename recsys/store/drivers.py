"""The three drivers: how each opens, streams, and names its failures. Imported only when a URL asks for one."""

from __future__ import annotations

import itertools
import sqlite3
import time
from collections.abc import Generator
from typing import Any, Protocol
from urllib.parse import SplitResult, parse_qsl, quote, unquote

from recsys.errors import DatabaseUnavailable, Overloaded, RecsysError, SettingsError

SQLITE_STEPS_PER_LOOK = 10_000  # virtual-machine steps between two looks at the clock: well under a millisecond
MIN_POSTGRESQL_CONNECT_S = 2  # libpq takes whole seconds and treats 1 as 2


class Duplicate(SettingsError):
    """The row, table or index is there already."""


class UnusableValue(SettingsError):
    """A value that no column of that type can hold."""


class Driver(Protocol):
    """What `Database` needs from a driver."""

    dialect: str
    errors: tuple[type[Exception], ...]

    def open(self, url: SplitResult, timeouts: Timeouts, create: bool) -> Any:
        """Return an open DB-API connection in autocommit mode, in UTC."""

    def start_clock(self) -> None:
        """Give the next statement its time, where the connection doesn't do so by itself."""

    def begin(self) -> str:
        """Return the statement that opens a transaction."""

    def streaming(self, connection: Any) -> Any:
        """Return a cursor that leaves rows at the server until they are fetched."""

    def numeric(self, column: Any) -> bool:
        """Return whether a column of `cursor.description` is declared as a number."""

    def meaning(self, error: Exception) -> type[RecsysError]:
        """Return which of the project's errors a driver's error is."""


class Timeouts:
    """How long to wait, in seconds: for the connection, and for each statement or lock.

    Attributes:
        connect_s: Until the connection stands.
        statement_s: Until a statement, or the next rows of one, are there.
        lock_s: Until another's lock is released (SQLite).
    """

    def __init__(self, connect_s: float, statement_s: float, lock_s: float) -> None:
        self.connect_s, self.statement_s, self.lock_s = connect_s, statement_s, lock_s


class Sqlite:
    """SQLite through the standard library."""

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
    _duplicate = frozenset({sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID})

    def __init__(self) -> None:
        self._give_up_at = 0.0
        self._statement_s = 0.0

    def open(self, url: SplitResult, timeouts: Timeouts, create: bool) -> Any:
        """Open the file; only `create` makes one, so that a mistyped path never looks like an empty shop."""
        uri = f"file:{quote(url.path)}?mode={'rwc' if create else 'rw'}"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=timeouts.lock_s, check_same_thread=False)
        self._statement_s = timeouts.statement_s
        connection.set_progress_handler(self._late, SQLITE_STEPS_PER_LOOK)
        self.start_clock()
        if create:  # write-ahead logging lets requests read while scripts write; it stays with the file
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    def start_clock(self) -> None:
        """Give the next statement its time."""
        self._give_up_at = time.monotonic() + self._statement_s

    def _late(self) -> bool:
        return time.monotonic() > self._give_up_at

    def begin(self) -> str:
        """Take the write lock at once: upgrading a read lock later fails without waiting."""
        return "BEGIN IMMEDIATE"

    def streaming(self, connection: Any) -> Any:
        """Every cursor of SQLite steps row by row."""
        return connection.cursor()

    def numeric(self, column: Any) -> bool:
        """SQLite declares no types for results."""
        return False

    def meaning(self, error: Exception) -> type[RecsysError]:
        """Read SQLite's result code."""
        if isinstance(error, OverflowError | UnicodeError):
            return UnusableValue
        if isinstance(error, sqlite3.ProgrammingError) and "closed database" in str(error):
            return DatabaseUnavailable
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        if code in self._duplicate:
            return Duplicate
        primary = code & 0xFF
        return Overloaded if primary in self._busy else DatabaseUnavailable if primary in self._broken else SettingsError


class Mysql:
    """MySQL and MariaDB through PyMySQL."""

    dialect = "mysql"
    _overloaded = frozenset({1040, 1203, 1205, 1213, 1226, 1037, 1038, 1041})
    _unreachable = frozenset(
        {0, 1021, 1044, 1045, 1049, 1053, 1077, 1114, 1129, 1130, 1152, 1159, 1161, 1184, 1251, 1317, 1698, 1927, 1969, 3024}
    )
    _duplicate = frozenset({1050, 1061, 1062, 1586})
    _unusable = frozenset({1264, 1265, 1292, 1366, 1406, 3988})

    def __init__(self) -> None:
        import pymysql.constants.FIELD_TYPE as kinds
        import pymysql.converters
        import pymysql.cursors
        import pymysql.err

        self.errors: tuple[type[Exception], ...] = (pymysql.err.Error, OSError, UnicodeError)
        self._pymysql = pymysql
        whole = {kinds.TINY, kinds.SHORT, kinds.INT24, kinds.LONG, kinds.LONGLONG}
        self._numbers = whole | {kinds.FLOAT, kinds.DOUBLE, kinds.DECIMAL, kinds.NEWDECIMAL}
        # Date-times stay text: PyMySQL's own conversion costs more than all the rest of reading a row.
        texts = dict.fromkeys((kinds.DATE, kinds.DATETIME, kinds.TIMESTAMP, kinds.TIME), pymysql.converters.through)
        self._conversions = {**pymysql.converters.conversions, **texts}

    def open(self, url: SplitResult, timeouts: Timeouts, create: bool) -> Any:
        """Connect over TCP, or over `?unix_socket=`; `?ssl_ca=` demands a verified server."""
        options = dict(parse_qsl(url.query))
        if set(options) - {"unix_socket", "ssl_ca"}:
            raise SettingsError(f"DATABASE_URL may hold `unix_socket` and `ssl_ca` behind its `?`. Received: {sorted(options)}.")
        return self._pymysql.connect(
            host=url.hostname or "127.0.0.1",
            port=url.port or 3306,
            user=unquote(url.username or "root"),
            password=unquote(url.password or ""),
            database=unquote(url.path.removeprefix("/")) or None,
            charset="utf8mb4",
            autocommit=True,
            # Strict, so that a value that doesn't fit is refused, not cut.
            init_command="SET time_zone = '+00:00', sql_mode = CONCAT(@@sql_mode, ',STRICT_TRANS_TABLES')",
            connect_timeout=timeouts.connect_s,
            read_timeout=timeouts.statement_s,
            write_timeout=timeouts.statement_s,
            conv=self._conversions,
            **options,
        )

    def start_clock(self) -> None:
        """The socket keeps the time."""

    def begin(self) -> str:
        """Open a transaction."""
        return "BEGIN"

    def streaming(self, connection: Any) -> Any:
        """Return an unbuffered cursor."""
        return connection.cursor(self._pymysql.cursors.SSCursor)

    def numeric(self, column: Any) -> bool:
        """Read the protocol's type code."""
        return column[1] in self._numbers

    def meaning(self, error: Exception) -> type[RecsysError]:
        """Read the server's error number; 2000 and above are the client's: refused, gone away, timed out."""
        if isinstance(error, UnicodeError):
            return UnusableValue
        number = error.args[0] if error.args and isinstance(error.args[0], int) else None
        if isinstance(error, OSError) or number is None or number in self._unreachable or 2000 <= number < 2100:
            return DatabaseUnavailable
        if number in self._overloaded:
            return Overloaded
        if number in self._duplicate:
            return Duplicate
        return UnusableValue if number in self._unusable else SettingsError


class Postgresql:
    """PostgreSQL through psycopg 3."""

    dialect = "postgresql"
    _numbers = frozenset({20, 21, 23, 700, 701, 1700})  # int8, int2, int4, float4, float8, numeric
    _crowded = ("too many clients", "too many connections", "connection slots", "starting up")

    def __init__(self) -> None:
        import psycopg

        self.errors: tuple[type[Exception], ...] = (psycopg.Error, OSError, UnicodeError)
        self._psycopg = psycopg
        self._numbering = itertools.count()

    def open(self, url: SplitResult, timeouts: Timeouts, create: bool) -> Any:
        """Connect; what stands behind the URL's `?` (sslmode, …) goes to libpq."""
        options = dict(parse_qsl(url.query))
        options["options"] = f"{options.get('options', '')} -c TimeZone=UTC".strip()
        connection = _impatient(self._psycopg).connect(
            host=url.hostname or "127.0.0.1",
            port=url.port or 5432,
            user=unquote(url.username or "postgres"),
            password=unquote(url.password) if url.password else None,
            dbname=unquote(url.path.removeprefix("/")) or None,
            connect_timeout=max(MIN_POSTGRESQL_CONNECT_S, round(timeouts.connect_s)),
            autocommit=True,
            prepare_threshold=None,  # prepared statements don't survive a pooler such as PgBouncer
            **options,
        )
        connection.statement_s = timeouts.statement_s
        return connection

    def start_clock(self) -> None:
        """The connection keeps the time."""

    def begin(self) -> str:
        """Open a transaction."""
        return "BEGIN"

    def streaming(self, connection: Any) -> Any:
        """Return a server-side cursor that outlives its statement without holding a transaction open."""
        return connection.cursor(name=f"recsys_{next(self._numbering)}", withhold=True)

    def numeric(self, column: Any) -> bool:
        """Read the type's object id."""
        return column.type_code in self._numbers

    def meaning(self, error: Exception) -> type[RecsysError]:
        """Read the SQLSTATE; a failed connection has none."""
        if isinstance(error, UnicodeError):
            return UnusableValue
        state = getattr(error, "sqlstate", None)
        if state is None:
            return self._stateless(error)
        if state in {"40001", "40P01", "55P03"} or state.startswith("53"):
            return Overloaded
        if state in {"23505", "42P07", "42710"}:
            return Duplicate
        if state.startswith("22"):
            return UnusableValue
        return DatabaseUnavailable if state.startswith(("08", "28", "3D", "57", "58")) else SettingsError

    def _stateless(self, error: Exception) -> type[RecsysError]:
        if isinstance(error, self._psycopg.DataError):
            return UnusableValue
        if any(words in str(error) for words in self._crowded):
            return Overloaded
        return SettingsError if isinstance(error, self._psycopg.ProgrammingError) else DatabaseUnavailable


def _impatient(psycopg: Any) -> Any:
    """Return psycopg's connection with a limit on every wait: libpq itself waits for ever for a frozen server."""

    class Connection(psycopg.Connection):  # type: ignore[misc]
        statement_s: float | None = None

        def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
            if self.statement_s is None:
                return super().wait(gen, *args, **kwargs)
            try:
                return super().wait(self._until(gen, time.monotonic() + self.statement_s), *args, **kwargs)
            except TimeoutError:
                self.pgconn.finish()  # the answer may still come: nothing more can be asked on this connection
                raise

        def _until(self, gen: Any, give_up_at: float) -> Generator[Any, Any, Any]:
            try:
                wanted = next(gen)
                while True:
                    ready = yield wanted
                    if not ready and time.monotonic() > give_up_at:
                        raise TimeoutError(f"no answer within {self.statement_s:g} s")
                    wanted = gen.send(ready)
            except StopIteration as done:
                return done.value

    return Connection
