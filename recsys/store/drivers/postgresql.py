"""PostgreSQL through psycopg 3."""

from __future__ import annotations

import itertools
import time
from collections.abc import Generator
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote

import psycopg
from psycopg.conninfo import make_conninfo

from recsys.errors import DatabaseUnavailable, Overloaded, RecsysError, SettingsError
from recsys.store.drivers import Duplicate, NotAllowed, Timeouts, UnusableValue

MIN_CONNECT_S = 2  # libpq takes whole seconds and treats 1 as 2


class Postgresql:
    """The driver of `postgresql+psycopg://`."""

    dialect = "postgresql"
    errors: tuple[type[Exception], ...] = (psycopg.Error, OSError, UnicodeError)
    _numbers = frozenset({20, 21, 23, 700, 701, 1700})  # int8, int2, int4, float4, float8, numeric
    _crowded = ("too many clients", "too many connections", "connection slots", "starting up")

    def __init__(self) -> None:
        self._numbering = itertools.count()

    def open(self, url: SplitResult, timeouts: Timeouts, create: bool) -> Any:
        """Connect; what stands behind the URL's `?` (sslmode, …) goes to libpq."""
        options = dict(parse_qsl(url.query))
        address = {
            "host": url.hostname or "127.0.0.1",
            "port": url.port or 5432,
            "user": unquote(url.username or "postgres"),
            "password": unquote(url.password) if url.password else None,
            "dbname": unquote(url.path.removeprefix("/")) or None,
            "connect_timeout": max(MIN_CONNECT_S, round(timeouts.connect_s)),
            **options,
            "options": f"{options.get('options', '')} -c TimeZone=UTC".strip(),
        }
        connection = ImpatientConnection.connect(
            make_conninfo("", **address),
            autocommit=True,
            prepare_threshold=None,  # prepared statements don't survive a pooler such as PgBouncer
        )
        connection.statement_s = timeouts.statement_s
        return connection

    def start_clock(self) -> None:
        """The connection keeps the time."""

    def limit(self, connection: Any, seconds: float) -> None:
        """Set the limit of every wait."""
        connection.statement_s = seconds

    def is_stale(self, connection: Any) -> bool:
        """A connection that broke off has been closed."""
        return bool(connection.closed)

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
        if state == "42501":
            return NotAllowed
        if state.startswith("22"):
            return UnusableValue
        return DatabaseUnavailable if state.startswith(("08", "28", "3D", "57", "58")) else SettingsError

    def _stateless(self, error: Exception) -> type[RecsysError]:
        if isinstance(error, psycopg.DataError):
            return UnusableValue
        if any(words in str(error) for words in self._crowded):
            return Overloaded
        return SettingsError if isinstance(error, psycopg.ProgrammingError) else DatabaseUnavailable


class ImpatientConnection(psycopg.Connection[Any]):
    """A connection with a limit on every wait: libpq itself waits for ever for a frozen server."""

    statement_s: float | None = None

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        """Wait as psycopg does, and no longer than `statement_s`."""
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
