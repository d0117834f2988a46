"""A connection to the shop's database. Rows are plain tuples, and every error is one of the project's own."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from itertools import chain, islice
from types import TracebackType
from typing import Any, Self

from recsys.errors import DatabaseUnavailable, DeadlineExceeded, Overloaded, RecsysError, SettingsError
from recsys.settings.database_url import DatabaseUrl
from recsys.store.binding import Parameters, bind, pieces_of, values_of
from recsys.store.drivers.base import Driver, Duplicate, NotAllowed, Rows, UnusableValue
from recsys.store.names import Names, written

__all__ = ["Database", "Duplicate", "NotAllowed", "Stream", "Tracer", "UnusableValue", "connect"]

Tracer = Callable[[str, Any], None]
_Chunks = Generator[Rows, None, None]

CONNECT_TIMEOUT_S = 10.0  # a slower server could not serve requests
STATEMENT_TIMEOUT_S = 600.0  # for training's largest reads; serving passes the time that a request has left
CHUNK_ROWS = 5_000  # a transaction short enough for readers and replicas
STREAM_ROWS = 50_000  # large enough to convert by column, small enough for memory


def connect(
    url: DatabaseUrl | str, *, timeout_s: float | None = None, tracer: Tracer | None = None, create: bool = False
) -> Database:
    """Open a connection.

    Args:
        url: `sqlite:///path`, `mysql+pymysql://…` or `postgresql+psycopg://…`, parsed or as text.
        timeout_s: Seconds for connecting and for each statement; None sets limits that suit offline work.
        tracer: Called with the text and the parameters of every statement just before it is sent.
        create: Whether to create a missing SQLite file. Serving never does, because a mistyped path is no empty shop.

    Raises:
        DatabaseUnavailable: No connection can be made.
        Overloaded: The server has no free connection, or the file is locked.
        SettingsError: The URL has another scheme, or its driver is not installed.
    """
    if isinstance(url, str):
        url = DatabaseUrl.parse(url)
    try:  # imports one driver only, because an import takes longer than a request
        driver: Driver = import_module(f"recsys.store.drivers.{url.dialect}").DRIVER()
    except ImportError as error:
        raise SettingsError(f"{url.setting} needs the driver `{error.name}`, which is not installed.") from error
    try:
        connection = driver.open(url, CONNECT_TIMEOUT_S if timeout_s is None else timeout_s, create)
    except driver.errors as error:
        kind = driver.meaning(error)
        if kind is Overloaded:
            raise Overloaded(f"The database takes no more connections: {_words(error)}") from error
        if issubclass(kind, SettingsError):
            raise SettingsError(f"{url.setting} cannot be used: {_words(error)}") from error
        raise DatabaseUnavailable(f"The database of {url.setting} cannot be reached: {_words(error)}") from error
    except (ValueError, RuntimeError) as error:  # a wrong option; a login method whose package is missing
        raise SettingsError(f"{url.setting} cannot be used: {_words(error)}") from error
    database = Database(driver, connection, STATEMENT_TIMEOUT_S if timeout_s is None else timeout_s, tracer)
    database.names.own_tables, database.cache_prefix = url.own_tables, url.cache_prefix
    return database


class Database:
    """One connection, for one thread at a time.

    Attributes:
        driver: The driver that opened it.
        syntax: What the database writes in its own way.
        dialect: `sqlite`, `mysql` or `postgresql`.
        names: How the database spells names in texts.
        cache_prefix: What the names of the backend's cache begin with.
    """

    cache_prefix = ""

    def __init__(self, driver: Driver, connection: Any, statement_s: float, tracer: Tracer | None) -> None:
        self.driver = driver
        self.syntax = driver.syntax
        self.dialect = driver.syntax.dialect
        self._connection = connection
        self._statement_s = statement_s
        self._tracer = tracer
        self._in_transaction = False
        self._until: float | None = None
        self.names = Names(driver.syntax, self.query)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; a second time does nothing."""
        with suppress(*self.driver.errors):
            self._connection.close()

    @property
    def is_stale(self) -> bool:
        """Whether the connection should be replaced, as far as that is known without asking the server."""
        return self.driver.is_stale(self._connection)

    def limit(self, until: float) -> None:
        """Set a deadline for all statements, in place of the limits that `connect` set.

        After the deadline, statements raise DeadlineExceeded and are not sent.

        Args:
            until: A moment of `time.monotonic`, in seconds.
        """
        self._until = until

    def query(self, sql: str, params: Parameters | None = None) -> Rows:
        """Return all rows of a statement.

        Args:
            sql: Text with `:name` placeholders; a list as value stands for `:name_0, :name_1, …`.
            params: A value for each placeholder.

        Raises:
            DatabaseUnavailable: The connection broke, or the answer took too long.
            Overloaded: A lock is held, or the server lacks a resource; the same statement may pass later.
            SettingsError: The statement does not fit the tables.
        """
        text, values = self._bound(sql, params)
        try:
            self._start_clock()
            return self.driver.fetch(self._connection, text, values)
        except self.driver.errors as error:
            raise self._project_error(error, sql) from error

    def execute(self, sql: str, params: Parameters | None = None) -> int:
        """Run a statement and return how many rows it changed."""
        text, values = self._bound(sql, params)
        return self._change("execute", sql, text, values)

    def stream(self, sql: str, params: Parameters | None = None, *, chunk: int = STREAM_ROWS) -> Stream:
        """Run a statement and return its rows in chunks. On MySQL, the connection is busy until all rows are read.

        Args:
            sql: Text with `:name` placeholders.
            params: A value for each placeholder.
            chunk: Rows in each list.
        """
        text, values = self._bound(sql, params)
        try:
            cursor = self.driver.streaming(self._connection)
            try:
                self._start_clock()
                cursor.execute(text, values)
            except BaseException:
                _release(cursor, self.driver)
                raise
        except self.driver.errors as error:
            raise self._project_error(error, sql) from error
        return Stream(self.driver, cursor, self._chunks(cursor, sql, chunk))

    def execute_many(self, sql: str, rows: Iterable[Parameters], *, chunk: int = CHUNK_ROWS) -> int:
        """Run a statement for each row, in one transaction per chunk, and return how many rows were changed.

        Args:
            sql: Text with `:name` placeholders, such as `INSERT INTO … VALUES (:a, :b)`.
            rows: For each row, a value for each placeholder; no lists.
            chunk: Rows in one transaction.

        Raises:
            ValueError: A row lacks a value.
        """
        parts = pieces_of(self.names.in_full(sql), self.syntax)
        text = "".join(literal + placeholder for literal, _, placeholder in parts)
        names = [name for _, name, _ in parts if name]
        changed = 0
        remaining = iter(rows)
        while batch := [values_of(names, row) for row in islice(remaining, chunk)]:
            with self.atomic():
                if self._tracer:
                    self._tracer(text, batch)
                changed += self._change("executemany", sql, text, batch)
        return changed

    def insert(
        self, table: str, rows: Iterable[Parameters], *, skip_duplicates: bool = False, chunk: int = CHUNK_ROWS
    ) -> int:
        """Insert rows, all with the columns of the first one, and return how many were new.

        Args:
            table: A table's name.
            rows: Column names to values.
            skip_duplicates: Whether to skip rows whose unique key exists already, instead of failing.
            chunk: Rows in one transaction.

        Raises:
            Duplicate: A unique key exists already.
        """
        remaining = iter(rows)
        first = next(remaining, None)
        if first is None:
            return 0
        for name in (table, *first):
            if not name.isidentifier():
                raise ValueError(f"`table` and column names should be plain names. Received: {name!r}.")
        places = ", ".join(f":{name}" for name in first)
        sql = f"INSERT INTO {table} ({', '.join(first)}) VALUES ({places})"  # noqa: S608 - names checked above
        if skip_duplicates:
            sql += " " + self.syntax.skip_duplicates.format(next(iter(first)))
        return self.execute_many(sql, chain([first], remaining), chunk=chunk)

    def key(self, text: str) -> str | bytes:
        """Return an id in the type of the encoders' columns."""
        return text.encode("utf-8") if self.syntax.has_binary_keys else text

    @contextmanager
    def atomic(self, *, read_committed: bool = False) -> Iterator[None]:
        """Run the statements of a `with` block as one transaction; an inner block joins the outer one.

        Args:
            read_committed: Whether the transaction locks rows alone. By default, one that deletes rows on MySQL also
                locks the gaps beside them, and two writers of neighbouring rows end in a deadlock.
        """
        if self._in_transaction:
            yield
            return
        if read_committed and self.syntax.read_committed:
            self.execute(self.syntax.read_committed)
        self.execute(self.syntax.begin)
        self._in_transaction = True
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            with suppress(RecsysError):  # a broken connection has rolled back by itself
                self.execute("ROLLBACK")
            raise
        finally:
            self._in_transaction = False

    def _bound(self, sql: str, params: Parameters | None) -> tuple[str, dict[str, Any]]:
        text, values = bind(self.names.in_full(sql), params or {}, self.syntax)
        if self._tracer:
            self._tracer(text, values)
        return text, values

    def _change(self, method: str, sql: str, text: str, values: Any) -> int:
        """Call `execute` or `executemany` of a new cursor, and return how many rows were changed."""
        try:
            self._start_clock()
            cursor = self._connection.cursor()
            try:
                getattr(cursor, method)(text, values)
                return max(0, int(cursor.rowcount))
            finally:
                _release(cursor, self.driver)
        except self.driver.errors as error:
            raise self._project_error(error, sql) from error

    def _start_clock(self) -> None:
        seconds = self._statement_s if self._until is None else self._until - time.monotonic()
        if seconds <= 0:
            raise DeadlineExceeded("The request's time should suffice for the database. Received: none is left.")
        self.driver.start_clock(self._connection, seconds)

    def _chunks(self, cursor: Any, sql: str, chunk: int) -> _Chunks:
        try:
            while True:
                self._start_clock()
                rows = cursor.fetchmany(chunk)
                if not rows:
                    return
                yield list(rows)
        except self.driver.errors as error:
            raise self._project_error(error, sql) from error
        finally:
            _release(cursor, self.driver)

    def _project_error(self, error: Exception, sql: str) -> RecsysError:
        """Return the project's error for a driver's error."""
        kind, statement = self.driver.meaning(error), " ".join(written(sql).split())[:300]
        if kind is NotAllowed:
            return kind(
                f"The database's account should have the right to do this. Received: {_words(error)}. "
                f"The statement: {statement}"
            )
        if issubclass(kind, SettingsError):
            return kind(
                f"A statement doesn't fit the database: {_words(error)}. Check the names in recsys.toml and that the "
                f"migrations have been run. The statement: {statement}"
            )
        return kind(f"The database failed: {_words(error)}")


class Stream(Iterator[Rows]):
    """The rows of a statement, in lists.

    Attributes:
        columns: The names of the columns, in order.
        numeric: The names of the columns declared as numbers; none on SQLite.
    """

    def __init__(self, driver: Driver, cursor: Any, chunks: _Chunks) -> None:
        self.columns = tuple(column[0] for column in cursor.description)
        self.numeric = frozenset(column[0] for column in cursor.description if driver.numeric(column))
        self._driver, self._cursor, self._chunks = driver, cursor, chunks

    def __next__(self) -> Rows:
        return next(self._chunks)

    def close(self) -> None:
        """Discard the remaining rows."""
        self._chunks.close()
        _release(self._cursor, self._driver)  # a generator that was never started does not run its own clean-up


def _release(cursor: Any, driver: Driver) -> None:
    with suppress(*driver.errors):
        cursor.close()


def _words(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
