"""PostgreSQL through psycopg 3."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.types.string import TextLoader
from psycopg.waiting import wait_conn

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

# Date-times stay text, as on MySQL: text is read faster, and Python has no infinity and no years before 1.
TEXTS = ("date", "timestamp", "timestamptz", "time", "timetz", "interval")
LOOK_S = 0.005  # between two looks at the clock while the server is silent; less than a client's margin

# It must not fail for any type of column, not even while it is planned. The text of bytes is \x and hexadecimal digits.
_TEXT = "CAST({0} AS TEXT)"
_HEX = f"SUBSTR({_TEXT}, 3)"
_IS_TEXT = f"{_HEX} ~ '{TEXT_IN_HEX}'"
_ID = (
    f"CASE WHEN pg_typeof({{0}}) = CAST('bytea' AS regtype) THEN CASE WHEN {_IS_TEXT} "
    f"THEN convert_from(decode(CASE WHEN {_IS_TEXT} THEN {_HEX} ELSE '' END, 'hex'), 'UTF8') "
    f"WHEN LENGTH({_HEX}) = {2 * UUID_BYTES} THEN CONCAT_WS('-', SUBSTR({_HEX}, 1, 8), SUBSTR({_HEX}, 9, 4), "
    f"SUBSTR({_HEX}, 13, 4), SUBSTR({_HEX}, 17, 4), SUBSTR({_HEX}, 21)) END "
    rf"WHEN pg_typeof({{0}}) = CAST('numeric' AS regtype) THEN regexp_replace({_TEXT}, '\.0+$', '') ELSE {_TEXT} END"
)
# So that a value has one text, whatever the server's settings are.
SESSION = {
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
}
SYNTAX = Syntax(
    dialect="postgresql",
    placeholder="%({})s",
    opaque=rf"""\b[eE]'(?:[^'\\]|''|\\.)*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$"""
    rf"|--[^\n]*|{COMMENT}|::",  # `::` is a cast
    text=_TEXT,
    id=_ID,
    key=_TEXT,
    price="CASE WHEN CAST({0} AS TEXT) ~ '^ *[0-9]+([.][0-9]+)?([eE][-+]?[0-9]+)? *$' "
    "THEN CAST(CAST({0} AS TEXT) AS DOUBLE PRECISION) END",
    second="to_char(to_timestamp(FLOOR({})) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')",
    columns="SELECT attname FROM pg_attribute "
    "WHERE attrelid = to_regclass(COALESCE(quote_ident(CAST(:place AS text)) || '.', '') || CAST(:table AS text)) "
    "AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
    lock=("SELECT pg_advisory_lock(7263797)", "SELECT pg_advisory_unlock(7263797)"),  # of the database
    quote='"',
    is_exact="SELECT 1 FROM pg_attribute WHERE attname = CAST(:name AS name) AND NOT attisdropped "
    "UNION ALL SELECT 1 FROM pg_class WHERE relname = CAST(:name AS name) "
    "UNION ALL SELECT 1 FROM pg_namespace WHERE nspname = CAST(:name AS name) LIMIT 1",
    shops_place="SELECT (current_schemas(false))[2]",
    create_in_shop=r"^CREATE (?:TABLE|INDEX) IF NOT EXISTS (?:\w+ ON )?",
    renumber="SELECT setval(pg_get_serial_sequence(LOWER('{table}'), LOWER('{column}')), "
    "(SELECT COALESCE(MAX({column}), 0) + 1 FROM {table}), false)",
)


class Postgresql(Driver):
    """The driver of `postgresql+psycopg://`."""

    syntax = SYNTAX
    errors: tuple[type[Exception], ...] = (psycopg.Error, OSError, UnicodeError)
    _numbers = frozenset({20, 21, 23, 700, 701, 1700})  # int8, int2, int4, float4, float8, numeric
    _crowded = ("too many clients", "too many connections", "connection slots", "starting up")

    def __init__(self) -> None:
        self._numbering = itertools.count()

    def open(self, url: DatabaseUrl, timeout_s: float, create: bool) -> Any:
        """Connect; the options after the URL's `?`, such as `sslmode`, go to libpq."""
        options = url.revealed_options()
        address = {
            "host": url.host,
            "port": url.port,
            "user": url.user,
            "password": url.password.reveal() or None,
            "dbname": url.name,
            **options,
            "options": " ".join(
                [options.get("options", ""), *(f"-c {name}={SESSION[name]}" for name in SESSION)]
            ).strip(),
        }
        connection = ImpatientConnection.until(make_conninfo("", **address), timeout_s)
        connection.autocommit = True
        connection.prepare_threshold = None  # prepared statements don't survive a pooler such as PgBouncer
        if url.own_tables:  # before the shop's, so that our tables are created there
            path = "SELECT set_config('search_path', quote_ident(%s) || ', ' || current_setting('search_path'), false)"
            connection.execute(path, (url.own_tables,))
        for name in TEXTS:
            connection.adapters.register_loader(name, TextLoader)
        connection.adapters.register_loader("bpchar", PaddedLoader)
        return connection

    def start_clock(self, connection: Any, seconds: float) -> None:
        """Limit every following wait."""
        connection.statement_s = seconds

    def is_stale(self, connection: Any) -> bool:
        """Return whether the connection is closed; psycopg closes one that broke."""
        return bool(connection.closed)

    def streaming(self, connection: Any) -> Any:
        """Return a server-side cursor that outlives its statement without holding a transaction open."""
        return connection.cursor(name=f"recsys_{next(self._numbering)}", withhold=True)

    def numeric(self, column: Any) -> bool:
        """Decide by the type's object id."""
        return column.type_code in self._numbers

    def meaning(self, error: Exception) -> type[RecsysError]:
        """Decide by the SQLSTATE; a failed connection has none."""
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
        if state.startswith("22") or state == "21000":  # a value, or two rows instead of one
            return UnusableValue
        return DatabaseUnavailable if state.startswith(("08", "28", "3D", "57", "58")) else SettingsError

    def _stateless(self, error: Exception) -> type[RecsysError]:
        if isinstance(error, psycopg.DataError):
            return UnusableValue
        if any(words in str(error) for words in self._crowded):
            return Overloaded
        return SettingsError if isinstance(error, psycopg.ProgrammingError) else DatabaseUnavailable

    def grants_to_write(
        self, query: Query, tables: Sequence[str], existing: Sequence[str], views: Sequence[str], place: str
    ) -> str:
        """Return GRANT statements for the schema and for existing tables; new ones belong to the account itself."""
        account, schema = _account(query)
        rights = "SELECT, INSERT, UPDATE, DELETE"
        return "\n".join(
            (
                f"GRANT USAGE, CREATE ON SCHEMA {schema} TO {account};",
                *(f"GRANT {rights} ON {schema}.{name} TO {account};" for name in existing),
            )
        )

    def grants_to_read(self, query: Query, refusal: str, text: str) -> str:
        """Return a GRANT for the relation that the message names, whose schema the catalogue and the text tell."""
        account, schema = _account(query)
        denied = re.search(r"permission denied for (?P<kind>\w+) \"?(?P<name>[^\"\n]+?)\"?$", refusal, re.MULTILINE)
        if denied is None:
            return f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {account};"
        name = denied["name"]
        if denied["kind"] == "schema":
            return f"GRANT USAGE ON SCHEMA {_quoted(name)} TO {account};"
        sql = (
            "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE c.relname = :name AND NOT has_table_privilege(c.oid, 'SELECT') "
            "ORDER BY n.nspname = current_schema() DESC, n.nspname"
        )
        schemas = [str(schema_name) for (schema_name,) in query(sql, {"name": name})]
        in_text = [schema_name for schema_name in schemas if f"{schema_name}.{name}" in text.replace('"', "")]
        schema = _quoted((in_text or schemas)[0]) if schemas else schema
        return f"GRANT SELECT ON {schema}.{_quoted(name)} TO {account};"


DRIVER = Postgresql


def _account(query: Query) -> tuple[str, str]:
    """Return the account and its schema, quoted."""
    ((account, schema),) = query(
        "SELECT quote_ident(current_user), quote_ident(COALESCE(current_schema(), 'public'))", {}
    )
    return str(account), str(schema)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


class PaddedLoader(TextLoader):
    """Reads CHAR(12) without the blanks that fill it up, which mean nothing."""

    def load(self, data: Any) -> str | bytes:
        """Return the text, or its bytes where the database has no encoding."""
        text: str | bytes = super().load(data)
        return text.rstrip(" ") if isinstance(text, str) else text.rstrip(b" ")


class ImpatientConnection(psycopg.Connection[Any]):
    """A connection with a limit on every wait.

    libpq itself would wait for ever for a server that is frozen, or that sends one byte at a time.
    """

    statement_s: float | None = None

    @classmethod
    def until(cls, conninfo: str, seconds: float) -> ImpatientConnection:
        """Connect within a number of seconds; libpq's own limit takes whole seconds, 2 at least.

        Raises:
            TimeoutError: The server does not answer within that time.
        """
        with closing(cls._connect_gen(conninfo)) as connecting:
            connection: ImpatientConnection = wait_conn(_within(seconds, connecting), LOOK_S)
        return connection

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        """Wait as psycopg does, and no longer than `statement_s`."""
        if self.statement_s is None:
            return super().wait(gen, *args, **kwargs)
        try:
            return super().wait(_within(self.statement_s, gen), LOOK_S)
        except TimeoutError:
            self.pgconn.finish()  # a late answer may still come, so the connection cannot be used again
            raise


def _within(seconds: float, gen: Any) -> Generator[Any, Any, Any]:
    """Wait as psycopg's generator `gen` does, but no longer than `seconds` in all.

    Raises:
        TimeoutError: The generator has not ended by then, however often there was something to read.
    """
    give_up_at = time.monotonic() + seconds
    try:
        event = next(gen)
        while True:
            ready = yield event
            if time.monotonic() > give_up_at:
                raise TimeoutError(f"no answer within {seconds:g} s")
            event = gen.send(ready)
    except StopIteration as end:
        return end.value
