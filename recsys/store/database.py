"""A connection to the shop's database. Rows are plain tuples, and every error is one of the project's own."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from types import TracebackType
from typing import Any, Self

from recsys.errors import DatabaseUnavailable, DeadlineExceeded, Overloaded, RecsysError, SettingsError
from recsys.errors.wording import listed
from recsys.settings.database_url import DatabaseUrl
from recsys.store.dialects import Parameters, bind, plain, template
from recsys.store.drivers.base import Driver, Duplicate, NotAllowed, Timeouts, UnusableValue

__all__ = ["Database", "Duplicate", "NotAllowed", "Stream", "Tracer", "UnusableValue", "connect"]

Tracer = Callable[[str, Any], None]
_Chunks = Generator[list[tuple[Any, ...]], None, None]

CONNECT_TIMEOUT_S = 10.0  # a slower server could not serve requests
STATEMENT_TIMEOUT_S = 600.0  # for training's largest reads; serving passes the time that a request has left
LOCK_TIMEOUT_S = 10.0  # an import holds SQLite's write lock for one chunk of rows
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
    try:
        driver = _driver(url.dialect)
    except ImportError as error:
        raise SettingsError(f"{url.setting} needs the driver `{error.name}`, which is not installed.") from error
    if timeout_s is None:
        timeouts = Timeouts(CONNECT_TIMEOUT_S, STATEMENT_TIMEOUT_S, LOCK_TIMEOUT_S)
    else:
        timeouts = Timeouts(timeout_s, timeout_s, timeout_s)
    return Database(driver, _open(driver, url, timeouts, create), tracer)


def _driver(dialect: str) -> Driver:
    """Return the driver of a dialect. Only that one is imported, because an import takes longer than a request."""
    if dialect == "sqlite":
        from recsys.store.drivers.sqlite import Sqlite

        return Sqlite()
    if dialect == "mysql":
        from recsys.store.drivers.mysql import Mysql

        return Mysql()
    from recsys.store.drivers.postgresql import Postgresql

    return Postgresql()


def _open(driver: Driver, url: DatabaseUrl, timeouts: Timeouts, create: bool) -> Any:
    try:
        return driver.open(url, timeouts, create)
    except driver.errors as error:
        kind = driver.meaning(error)
        if kind is Overloaded:
            raise Overloaded(f"The database takes no more connections: {_words(error)}") from error
        if issubclass(kind, SettingsError):
            raise SettingsError(f"{url.setting} cannot be used: {_words(error)}") from error
        raise DatabaseUnavailable(f"The database of {url.setting} cannot be reached: {_words(error)}") from error
    except (ValueError, RuntimeError) as error:  # a wrong option; a login method whose package is missing
        raise SettingsError(f"{url.setting} cannot be used: {_words(error)}") from error


class Database:
    """One connection, for one thread at a time.

    Attributes:
        dialect: `sqlite`, `mysql` or `postgresql`.
    """

    def __init__(self, driver: Driver, connection: Any, tracer: Tracer | None) -> None:
        self.dialect = driver.dialect
        self._driver = driver
        self._connection = connection
        self._tracer = tracer
        self._in_transaction = False
        self._until: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; a second time does nothing."""
        with suppress(*self._driver.errors):
            self._connection.close()

    @property
    def is_stale(self) -> bool:
        """Whether the connection should be replaced, as far as that is known without asking the server."""
        return self._driver.is_stale(self._connection)

    def limit(self, until: float) -> None:
        """Set a deadline for all statements, in place of the limits that `connect` set.

        After the deadline, statements raise DeadlineExceeded and are not sent.

        Args:
            until: A moment of `time.monotonic`, in seconds.
        """
        self._until = until

    def query(self, sql: str, params: Parameters | None = None) -> list[tuple[Any, ...]]:
        """Return all rows of a statement.

        Args:
            sql: Text with `:name` placeholders; a list as value stands for `:name_0, :name_1, …`.
            params: A value for each placeholder.

        Raises:
            DatabaseUnavailable: The connection broke, or the answer took too long.
            Overloaded: A lock is held, or the server lacks a resource; the same statement may pass later.
            SettingsError: The statement does not fit the tables.
        """
        cursor = self._cursor(sql)
        try:
            self._send(cursor, sql, params)
            with self._mapped(sql):
                return list(cursor.fetchall())
        finally:
            self._release(cursor)

    def execute(self, sql: str, params: Parameters | None = None) -> int:
        """Run a statement and return how many rows it changed."""
        cursor = self._cursor(sql)
        try:
            self._send(cursor, sql, params)
            return max(0, int(cursor.rowcount))
        finally:
            self._release(cursor)

    def stream(self, sql: str, params: Parameters | None = None, *, chunk: int = STREAM_ROWS) -> Stream:
        """Run a statement and return its rows in chunks. On MySQL, the connection is busy until all rows are read.

        Args:
            sql: Text with `:name` placeholders.
            params: A value for each placeholder.
            chunk: Rows in each list.
        """
        with self._mapped(sql):
            cursor = self._driver.streaming(self._connection)
        try:
            self._send(cursor, sql, params)
        except BaseException:
            self._release(cursor)
            raise
        numeric = frozenset(column[0] for column in cursor.description if self._driver.numeric(column))
        names = tuple(column[0] for column in cursor.description)
        return Stream(names, numeric, self._chunks(cursor, sql, chunk), lambda: self._release(cursor))

    def execute_many(self, sql: str, rows: Iterable[Mapping[str, Any]], *, chunk: int = CHUNK_ROWS) -> int:
        """Run a statement for each row, in one transaction per chunk, and return how many rows were changed.

        Args:
            sql: Text with `:name` placeholders, such as `INSERT INTO … VALUES (:a, :b)`.
            rows: For each row, a value for each placeholder; no lists.
            chunk: Rows in one transaction.

        Raises:
            ValueError: A row lacks a value.
        """
        text, names = template(sql, self.dialect)
        changed = 0
        remaining = iter(rows)
        while batch := [_row(names, row) for row in islice(remaining, chunk)]:
            with self.atomic():
                changed += self._send_many(text, batch)
        return changed

    def insert(
        self, table: str, rows: Iterable[Mapping[str, Any]], *, skip_duplicates: bool = False, chunk: int = CHUNK_ROWS
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
        if skip_duplicates:  # not INSERT IGNORE, which would also store truncated values
            column = next(iter(first))
            unchanged = f"ON DUPLICATE KEY UPDATE {column} = {column}"
            sql += f" {unchanged}" if self.dialect == "mysql" else " ON CONFLICT DO NOTHING"
        return self.execute_many(sql, _chained(first, remaining), chunk=chunk)

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """Run the statements of a `with` block as one transaction; an inner block joins the outer one."""
        if self._in_transaction:
            yield
            return
        self.execute(self._driver.begin())
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

    def _cursor(self, sql: str) -> Any:
        with self._mapped(sql):
            return self._connection.cursor()

    def _send(self, cursor: Any, sql: str, params: Parameters | None) -> None:
        text, values = bind(sql, params or {}, self.dialect)
        if self._tracer:
            self._tracer(text, values)
        self._start_clock(sql)
        with self._mapped(sql):
            cursor.execute(text, values)

    def _start_clock(self, sql: str) -> None:
        if self._until is not None:
            remaining_s = self._until - time.monotonic()
            if remaining_s <= 0:
                raise DeadlineExceeded("The request's time should suffice for the database. Received: none is left.")
            with self._mapped(sql):
                self._driver.limit(self._connection, remaining_s)
        self._driver.start_clock()

    def _send_many(self, text: str, batch: Sequence[Mapping[str, Any]]) -> int:
        if self._tracer:
            self._tracer(text, batch)
        self._driver.start_clock()
        cursor = self._cursor(text)
        try:
            with self._mapped(text):
                cursor.executemany(text, batch)
            return max(0, int(cursor.rowcount))
        finally:
            self._release(cursor)

    def _chunks(self, cursor: Any, sql: str, chunk: int) -> _Chunks:
        try:
            while True:
                self._driver.start_clock()
                with self._mapped(sql):
                    rows = cursor.fetchmany(chunk)
                if not rows:
                    return
                yield list(rows)
        finally:
            self._release(cursor)

    def _release(self, cursor: Any) -> None:
        with suppress(*self._driver.errors):
            cursor.close()

    def _mapped(self, sql: str) -> _ProjectErrors:
        return _ProjectErrors(self._driver, sql)


class Stream(Iterator[list[tuple[Any, ...]]]):
    """The rows of a statement, in lists.

    Attributes:
        columns: The names of the columns, in order.
        numeric: The names of the columns declared as numbers; none on SQLite.
    """

    def __init__(
        self, columns: tuple[str, ...], numeric: frozenset[str], chunks: _Chunks, release: Callable[[], None]
    ) -> None:
        self.columns = columns
        self.numeric = numeric
        self._chunks = chunks
        self._release = release

    def __next__(self) -> list[tuple[Any, ...]]:
        return next(self._chunks)

    def close(self) -> None:
        """Discard the remaining rows."""
        self._chunks.close()
        self._release()  # a generator that was never started does not run its own clean-up


class _ProjectErrors:
    """A context manager that turns a driver's errors into the project's own."""

    __slots__ = ("_driver", "_sql")

    def __init__(self, driver: Driver, sql: str) -> None:
        self._driver, self._sql = driver, sql

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Raise the project's error in place of the driver's."""
        if error is None or not isinstance(error, self._driver.errors):
            return
        project_error, statement = self._driver.meaning(error), " ".join(self._sql.split())[:300]
        if project_error is NotAllowed:
            raise project_error(
                f"The database's account should have the right to do this. Received: {_words(error)}. "
                f"The statement: {statement}"
            ) from error
        if issubclass(project_error, SettingsError):
            raise project_error(
                f"A statement doesn't fit the database: {_words(error)}. Check the names in recsys.toml and that the "
                f"migrations have been run. The statement: {statement}"
            ) from error
        raise project_error(f"The database failed: {_words(error)}") from error


def _row(names: Sequence[str], row: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return {name: plain(row[name]) for name in names}
    except KeyError:
        raise ValueError(f"Every row should have {listed(names)}. Received: {listed(sorted(row))}.") from None


def _words(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _chained(first: Mapping[str, Any], others: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    yield first
    yield from others
