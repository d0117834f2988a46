"""MySQL and MariaDB through PyMySQL."""

from __future__ import annotations

from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote

import pymysql
import pymysql.converters
import pymysql.cursors
from pymysql.constants import FIELD_TYPE

from recsys.errors import DatabaseUnavailable, Overloaded, RecsysError, SettingsError
from recsys.store.drivers import Duplicate, NotAllowed, Timeouts, UnusableValue

NUMBERS = frozenset(
    {
        FIELD_TYPE.TINY,
        FIELD_TYPE.SHORT,
        FIELD_TYPE.INT24,
        FIELD_TYPE.LONG,
        FIELD_TYPE.LONGLONG,
        FIELD_TYPE.FLOAT,
        FIELD_TYPE.DOUBLE,
        FIELD_TYPE.DECIMAL,
        FIELD_TYPE.NEWDECIMAL,
    }
)
# Date-times stay text: PyMySQL's own conversion costs more than all the rest of reading a row.
TEXTS = dict.fromkeys((FIELD_TYPE.DATE, FIELD_TYPE.DATETIME, FIELD_TYPE.TIMESTAMP, FIELD_TYPE.TIME), pymysql.converters.through)
CONVERSIONS = {**pymysql.converters.conversions, **TEXTS}


class Mysql:
    """The driver of `mysql+pymysql://`."""

    dialect = "mysql"
    errors: tuple[type[Exception], ...] = (pymysql.err.Error, OSError, UnicodeError)
    _overloaded = frozenset({1040, 1203, 1205, 1213, 1226, 1037, 1038, 1041})
    _unreachable = frozenset(
        {0, 1021, 1042, 1043, 1044, 1045, 1047, 1049, 1053, 1077, 1114, 1129, 1130, 1152, 1159, 1161, 1184, 1251, 1317, 1698, 1927}
        | {1969, 3024}  # out of time, in MariaDB's words and in MySQL's
    )
    _duplicate = frozenset({1050, 1061, 1062, 1586})
    _denied = frozenset({1142, 1143, 1227, 1370})
    _unusable = frozenset({1264, 1265, 1292, 1366, 1406, 3988})

    def open(self, url: SplitResult, timeouts: Timeouts, create: bool) -> Any:
        """Connect over TCP, or over `?unix_socket=`; `?ssl_ca=` demands a verified server."""
        options = dict(parse_qsl(url.query))
        if set(options) - {"unix_socket", "ssl_ca"}:
            raise SettingsError(f"DATABASE_URL may hold `unix_socket` and `ssl_ca` behind its `?`. Received: {sorted(options)}.")
        return pymysql.connect(
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
            conv=CONVERSIONS,
            **options,
        )

    def start_clock(self) -> None:
        """The socket keeps the time."""

    def limit(self, connection: Any, seconds: float) -> None:
        """Set what PyMySQL sets its socket to before each read and write; it has no public name for it."""
        connection._read_timeout = connection._write_timeout = seconds

    def is_stale(self, connection: Any) -> bool:
        """A connection that broke off has been closed."""
        return not connection.open

    def begin(self) -> str:
        """Open a transaction."""
        return "BEGIN"

    def streaming(self, connection: Any) -> Any:
        """Return an unbuffered cursor."""
        return connection.cursor(pymysql.cursors.SSCursor)

    def numeric(self, column: Any) -> bool:
        """Read the protocol's type code."""
        return column[1] in NUMBERS

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
        if number in self._denied:
            return NotAllowed
        return UnusableValue if number in self._unusable else SettingsError
