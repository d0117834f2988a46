"""MySQL and MariaDB through PyMySQL."""

from __future__ import annotations

import io
import time
from typing import Any

import pymysql
import pymysql.converters
import pymysql.cursors
from pymysql.constants import FIELD_TYPE

from recsys.errors import DatabaseUnavailable, Overloaded, RecsysError, SettingsError
from recsys.settings.database_url import DatabaseUrl
from recsys.store.drivers.base import Duplicate, NotAllowed, Timeouts, UnusableValue

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
TEXTS = dict.fromkeys(
    (FIELD_TYPE.DATE, FIELD_TYPE.DATETIME, FIELD_TYPE.TIMESTAMP, FIELD_TYPE.TIME), pymysql.converters.through
)
CONVERSIONS = {**pymysql.converters.conversions, **TEXTS}
LEAST_S = 0.001  # a goodbye is tried even where no time is left; 0 would mean not to wait at all


class Mysql:
    """The driver of `mysql+pymysql://`."""

    dialect = "mysql"
    errors: tuple[type[Exception], ...] = (pymysql.err.Error, OSError, UnicodeError)
    _overloaded = frozenset({1040, 1203, 1205, 1213, 1226, 1037, 1038, 1041})
    _unreachable = frozenset(
        {
            0,
            1021,
            1042,
            1043,
            1044,
            1045,
            1047,
            1049,
            1053,
            1077,
            1114,
            1129,
            1130,
            1152,
            1159,
            1161,
            1184,
            1251,
            1317,
            1698,
            1927,
        }
        | {1969, 3024}  # out of time, in MariaDB's words and in MySQL's
    )
    _duplicate = frozenset({1050, 1061, 1062, 1586})
    _denied = frozenset({1142, 1143, 1227, 1370})
    # Besides: a difference below 0 of unsigned numbers, two rows where one is due, text that is no JSON, no date, no
    # UTF-8.
    _unusable = frozenset({1264, 1265, 1292, 1366, 1406, 3988, 1242, 1300, 1411, 1525, 1690, 3141, 3146, 3156, 3854})

    def __init__(self) -> None:
        self._connection: PunctualConnection | None = None

    def open(self, url: DatabaseUrl, timeouts: Timeouts, create: bool) -> Any:
        """Connect over TCP, or over `?unix_socket=`; `?ssl_ca=` demands a verified server."""
        options = url.revealed_options()
        if set(options) - {"unix_socket", "ssl_ca"}:
            names = ", ".join(sorted(options))
            raise SettingsError(f"{url.setting} may hold `unix_socket` and `ssl_ca` behind its `?`. Received: {names}.")
        connection = PunctualConnection(
            host=url.host,
            port=url.port,
            user=url.user,
            password=url.password.reveal().encode(),  # as the server has it; PyMySQL's own way is Latin-1
            database=url.name,
            charset="utf8mb4",
            autocommit=True,
            # Strict, so that a value that doesn't fit is refused, not cut.
            init_command="SET time_zone = '+00:00', sql_mode = CONCAT(@@sql_mode, ',STRICT_TRANS_TABLES')",
            connect_timeout=timeouts.connect_s,
            conv=CONVERSIONS,
            defer_connect=True,
            **options,
        )
        connection.give_up_at = time.monotonic() + timeouts.connect_s
        connection.connect()
        connection.statement_s = timeouts.statement_s
        self._connection = connection
        return connection

    def start_clock(self) -> None:
        """Give the next statement, or the next rows of one, its time."""
        if self._connection is not None:
            self._connection.give_up_at = time.monotonic() + self._connection.statement_s

    def limit(self, connection: Any, seconds: float) -> None:
        """Set the time of every statement."""
        connection.statement_s = seconds

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


class PunctualConnection(pymysql.connections.Connection):  # type: ignore[misc]
    """A connection that is given up at a moment: PyMySQL's own timeouts begin anew with every few bytes that a server sends.

    Attributes:
        give_up_at: The moment of `time.monotonic`, of connecting as of a statement.
        statement_s: Seconds that a statement is given.
    """

    give_up_at = 0.0
    statement_s = 0.0
    _reader: io.BufferedReader | None = None

    @property
    def left(self) -> float:
        """Seconds left."""
        return self.give_up_at - time.monotonic()

    @property
    def _rfile(self) -> io.BufferedReader | None:
        """What PyMySQL reads from; it sets it with every new socket."""
        return self._reader

    @_rfile.setter
    def _rfile(self, file: Any) -> None:
        if file is not None:
            file.close()  # the socket stays open
            self._reader = io.BufferedReader(_Incoming(self))
        else:
            self._reader = None

    def _write_bytes(self, data: bytes) -> None:
        self._write_timeout, self._current_timeout = max(LEAST_S, self.left), None
        super()._write_bytes(data)


class _Incoming(io.RawIOBase):
    """What a server sends, as long as there is time left."""

    def __init__(self, connection: PunctualConnection) -> None:
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._connection.left
        if left <= 0:
            raise TimeoutError("timed out")
        self._connection._sock.settimeout(left)
        return int(self._connection._sock.recv_into(buffer))
