"""MySQL and MariaDB through PyMySQL."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Sequence
from typing import Any

import pymysql
import pymysql.converters
import pymysql.cursors
from pymysql.constants import FIELD_TYPE

from recsys.errors import DatabaseUnavailable, Overloaded, RecsysError, SettingsError
from recsys.settings.database_url import DatabaseUrl
from recsys.store.drivers.base import (
    COMMENT,
    TEXT_IN_HEX,
    UUID_BYTES,
    Driver,
    Duplicate,
    NotAllowed,
    Query,
    Syntax,
    UnusableValue,
)

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
# Date-times stay text, because PyMySQL's conversion takes longer than the rest of reading a row.
TEXTS = dict.fromkeys(
    (FIELD_TYPE.DATE, FIELD_TYPE.DATETIME, FIELD_TYPE.TIMESTAMP, FIELD_TYPE.TIME), pymysql.converters.through
)
CONVERSIONS = {**pymysql.converters.conversions, **TEXTS}
# Strict, so that a value that does not fit is refused, not truncated; a user 0 is stored as 0. Under the mode that is
# taken out, CHAR(12) would be read with blanks behind its texts. The last setting is for `Syntax.packed`.
SESSION = (
    "SET time_zone = '+00:00', sql_mode = REPLACE(CONCAT(@@sql_mode, ',STRICT_TRANS_TABLES,NO_AUTO_VALUE_ON_ZERO'), "
    "'PAD_CHAR_TO_FULL_LENGTH', ''), group_concat_max_len = 1073741824"
)
LEAST_S = 0.001  # for the last message to the server, even after the deadline; 0 would mean not to wait at all

_TEXT = "CAST({0} AS CHAR CHARACTER SET utf8mb4)"
# COERCIBILITY tells numbers (5) from texts and bytes. COALESCE drops the leading zeros of ZEROFILL, and FLOOR the
# fraction of a DECIMAL(10, 2).
_NUMBER = "CAST(COALESCE({0}, {0}) AS CHAR CHARACTER SET utf8mb4)"
_HEX = "LOWER(HEX({0}))"
_ID = (
    f"CASE WHEN COERCIBILITY({{0}}) = 5 THEN CASE WHEN {_NUMBER} LIKE '%.%' AND {{0}} = FLOOR({{0}}) "
    f"THEN CAST(FLOOR({{0}}) AS CHAR CHARACTER SET utf8mb4) ELSE {_NUMBER} END "
    f"WHEN LENGTH({{0}}) = {UUID_BYTES} AND CHARSET({{0}}) = 'binary' AND {_HEX} NOT REGEXP '{TEXT_IN_HEX}' "
    f"THEN CONCAT_WS('-', SUBSTR({_HEX}, 1, 8), SUBSTR({_HEX}, 9, 4), SUBSTR({_HEX}, 13, 4), SUBSTR({_HEX}, 17, 4), "
    f"SUBSTR({_HEX}, 21)) ELSE {_TEXT} END"
)
SYNTAX = Syntax(
    dialect="mysql",
    placeholder="%({})s",
    opaque=rf"""'(?:[^'\\]|''|\\.)*'|"(?:[^"\\]|""|\\.)*"|`[^`]*`|--(?=\s|\Z)[^\n]*|\#[^\n]*|{COMMENT}""",
    text=_TEXT,
    id=_ID,
    key=f"CAST({_TEXT} AS BINARY)",  # even beside a binary literal, a text would be compared by its collation
    price=f"CASE WHEN {_TEXT} REGEXP '^ *[0-9]+([.][0-9]+)?([eE][-+]?[0-9]+)? *$' THEN {_TEXT} + 0.0 END",
    second="CAST(DATE_ADD('1970-01-01', INTERVAL FLOOR({}) SECOND) AS CHAR CHARACTER SET utf8mb4)",
    has_binary_keys=True,
    packed="CONCAT('[', GROUP_CONCAT(JSON_ARRAY({})), ']')",  # PyMySQL takes six microseconds to read a row
    read_committed="SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
    undoes_create=False,
    looks_for_own_tables=False,
    skip_duplicates="ON DUPLICATE KEY UPDATE {0} = {0}",  # not INSERT IGNORE, which would also store truncated values
    upsert="ON DUPLICATE KEY UPDATE {sets}",
    columns="SELECT column_name FROM information_schema.columns "
    "WHERE table_schema = COALESCE(:place, DATABASE()) AND table_name = :table ORDER BY ordinal_position",
    lock=(  # of the whole server; the Node backend takes the same one
        "SELECT GET_LOCK(CONCAT('recsys_', MD5(DATABASE())), 60)",
        "SELECT RELEASE_LOCK(CONCAT('recsys_', MD5(DATABASE())))",
    ),
)


class Mysql(Driver):
    """The driver of `mysql+pymysql://`."""

    syntax = SYNTAX
    errors: tuple[type[Exception], ...] = (pymysql.err.Error, OSError, UnicodeError)
    _overloaded = frozenset({1040, 1203, 1205, 1213, 1226, 1037, 1038, 1041})
    _refused = frozenset({1044, 1045, 1049, 1129, 1130, 1251, 1698})  # the account, the database or the host
    _timeouts = frozenset({1969, 3024})  # of statements, in MariaDB and in MySQL
    _broken = frozenset({0, 1021, 1042, 1043, 1047, 1053, 1077, 1114, 1152, 1159, 1161, 1184, 1317, 1927})
    _unreachable = _refused | _timeouts | _broken
    _duplicate = frozenset({1050, 1061, 1062, 1586})
    _denied = frozenset({1142, 1143, 1227, 1370})
    # Among them: an unsigned difference below 0, two rows instead of one, text that is no JSON, date or UTF-8.
    _unusable = frozenset({1264, 1265, 1292, 1366, 1406, 3988, 1242, 1300, 1411, 1525, 1690, 3141, 3146, 3156, 3854})

    def open(self, url: DatabaseUrl, timeout_s: float, create: bool) -> Any:
        """Connect over TCP, or over `?unix_socket=`; with `?ssl_ca=`, the server's certificate is verified."""
        options = url.revealed_options()
        if set(options) - {"unix_socket", "ssl_ca"}:
            names = ", ".join(sorted(options))
            raise SettingsError(f"{url.setting} may hold `unix_socket` and `ssl_ca` behind its `?`. Received: {names}.")
        connection = PunctualConnection(
            host=url.host,
            port=url.port,
            user=url.user,
            password=url.password.reveal().encode(),  # UTF-8, as the server stores it; PyMySQL would encode in Latin-1
            database=url.name,
            charset="utf8mb4",
            autocommit=True,
            init_command=SESSION,
            connect_timeout=timeout_s,
            conv=CONVERSIONS,
            defer_connect=True,
            **options,
        )
        self.start_clock(connection, timeout_s)
        connection.connect()
        return connection

    def start_clock(self, connection: Any, seconds: float) -> None:
        """Limit the next statement, or its next rows."""
        connection.give_up_at = time.monotonic() + seconds

    def is_stale(self, connection: Any) -> bool:
        """Return whether the connection is closed; PyMySQL closes one that broke."""
        return not connection.open

    def streaming(self, connection: Any) -> Any:
        """Return an unbuffered cursor."""
        return connection.cursor(pymysql.cursors.SSCursor)

    def numeric(self, column: Any) -> bool:
        """Decide by the protocol's type code."""
        return column[1] in NUMBERS

    def meaning(self, error: Exception) -> type[RecsysError]:
        """Decide by the server's error number. Numbers from 2000 are PyMySQL's own: refused, gone away, timed out."""
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

    def grants_to_write(
        self, query: Query, tables: Sequence[str], existing: Sequence[str], views: Sequence[str], place: str
    ) -> str:
        """Return GRANT statements; those for missing tables hold CREATE, without which MySQL refuses them."""
        account, schema = _account(query)
        schema = _quoted(place) if place else schema
        rights = {
            **dict.fromkeys(tables, "SELECT, INSERT, UPDATE, DELETE, CREATE, INDEX"),
            **dict.fromkeys(views, "SELECT, CREATE, CREATE VIEW, DROP"),
        }
        return "\n".join(f"GRANT {right} ON {schema}.{_quoted(name)} TO {account};" for name, right in rights.items())

    def grants_to_read(self, query: Query, refusal: str, text: str) -> str:
        """Return a GRANT for the table that the message names."""
        account, schema = _account(query)
        pattern = r"(?:for|in) table (?:[`'](?P<schema>[^`']+)[`']\.)?[`'](?P<table>[^`']+)[`']"
        denied = re.search(pattern, refusal)
        if denied is None:
            return f"GRANT SELECT ON {schema}.* TO {account};"
        schema = _quoted(denied["schema"]) if denied["schema"] else schema
        return f"GRANT SELECT ON {schema}.{_quoted(denied['table'])} TO {account};"


DRIVER = Mysql


def _account(query: Query) -> tuple[str, str]:
    """Return the account as the server knows it, `'user'@'host'`, and its quoted database."""
    ((account, schema),) = query("SELECT CURRENT_USER(), DATABASE()", {})
    user, _, host = str(account).rpartition("@")
    quoted = ("'" + part.replace("\\", "\\\\").replace("'", "''") + "'" for part in (user, host))
    return "@".join(quoted), _quoted(str(schema))


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


class PunctualConnection(pymysql.connections.Connection):  # type: ignore[misc]
    """A connection with a deadline for each statement.

    PyMySQL's own timeouts start again whenever the server sends a few bytes, so that a slow server is never given up.

    Attributes:
        give_up_at: The deadline of connecting or of the current statement, as a moment of `time.monotonic`.
    """

    give_up_at = 0.0
    _reader: io.BufferedReader | None = None

    @property
    def remaining_s(self) -> float:
        """Seconds until the deadline; negative after it."""
        return self.give_up_at - time.monotonic()

    @property
    def _rfile(self) -> io.BufferedReader | None:
        """The stream that PyMySQL reads from and replaces with every new socket."""
        return self._reader

    @_rfile.setter
    def _rfile(self, file: Any) -> None:
        if file is not None:
            file.close()  # the socket stays open
            self._reader = io.BufferedReader(_Incoming(self))
        else:
            self._reader = None

    def _write_bytes(self, data: bytes) -> None:
        self._write_timeout, self._current_timeout = max(LEAST_S, self.remaining_s), None
        super()._write_bytes(data)


class _Incoming(io.RawIOBase):
    """The bytes that a server sends before the deadline."""

    def __init__(self, connection: PunctualConnection) -> None:
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        remaining_s = self._connection.remaining_s
        if remaining_s <= 0:
            raise TimeoutError("timed out")
        self._connection._sock.settimeout(remaining_s)
        return int(self._connection._sock.recv_into(buffer))
