"""The protocol of drivers: all that differs between databases, and the errors that drivers distinguish."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from recsys.errors import RecsysError, SettingsError
from recsys.settings.database_url import DatabaseUrl

Rows = list[tuple[Any, ...]]
Query = Callable[[str, Mapping[str, Any]], Rows]

COMMENT = r"/\*.*?\*/"
# The hexadecimal digits, in lower case, of bytes that are UTF-8 without control characters.
TEXT_IN_HEX = (
    "^([2-6][0-9a-f]|7[0-9a-e]|(c[2-9a-f]|d[0-9a-f]|e0[ab][0-9a-f]|e[1-9a-cef][89ab][0-9a-f]|ed[89][0-9a-f]"
    "|(f0[9ab]|f[1-3][89ab]|f48)[0-9a-f][89ab][0-9a-f])[89ab][0-9a-f])*$"
)
UUID_BYTES = 16  # as many as a column BINARY(16) holds


class Duplicate(SettingsError):
    """The row, table or index exists already."""


class NotAllowed(SettingsError):
    """The account lacks a right."""


class UnusableValue(SettingsError):
    """A value that the column's type cannot hold."""


class Syntax(NamedTuple):
    """What a database writes in its own way. `{}` stands for a column.

    Attributes:
        dialect: The name of the database, as in `migrations/dialects.json`.
        placeholder: A placeholder; `{}` stands for its name.
        opaque: A regular expression for the parts of a text without placeholders: strings, quoted names, comments.
        text: A column as UTF-8 text.
        id: A column of ids as the text of what `recsys.store.columns.read_id` reads: a whole number without leading
            zeros and fraction, and 16 bytes as a UUID, unless they are text.
        key: A text, compared and grouped by bytes: 'a', 'A' and 'a ' differ.
        price: A column of any type as a number; null for text that is no number. It accepts slightly more than
            `recsys.store.columns.price` does, and never raises an error.
        has_binary_keys: Whether the encoders' columns of ids hold bytes, not text.
        begin: Opens a transaction.
        read_committed: Sent before `begin`, it lets a transaction lock no gaps between rows; empty where none does.
        undoes_create: Whether a transaction can undo CREATE.
        skip_duplicates: The end of an INSERT that skips rows whose unique key exists already. It never truncates
            values.
        upsert: The end of an INSERT that changes the row whose key `{key}` exists already, by the assignments `{sets}`.
        second: A number of seconds since 1970 as text in UTC, such as 2026-11-20 14:00:00.
        packed: An aggregate that returns the columns `{}` of all rows as one JSON array of arrays; empty where a driver
            reads many short rows as fast as one long text.
        columns: Selects the names of the columns of our table `:table`, in order; none if there is no such table.
            `:place` is where our tables lie, null for the place of the shop's.
        lock: Takes and releases the lock under which programs migrate in turn; none where transactions do so.
        renumber: Makes the column `{column}` of `{table}` number new rows after those inserted with a number; empty
            where the database does so by itself.
        quote: The quote around names. Not SQLite's double quote, in which an unknown name is a text.
        is_exact: Selects a row if a table or a column is called `:name` exactly; empty where capitals never matter in
            columns. Names that were created without quotes are in lower case.
        looks_for_own_tables: Whether a connection finds our tables in another place, and creates them there, without
            its name in front.
        shops_place: Selects the name of the place of the shop's tables, of a connection that creates tables in ours.
        create_in_shop: A regular expression for the part of a CREATE statement that this name follows; empty where a
            connection creates tables beside the shop's.
        any_time: A `:since` with which a first row tells the type of its timestamps; None where results have types.
    """

    dialect: str
    placeholder: str
    opaque: str
    text: str
    id: str
    key: str
    price: str
    second: str
    columns: str
    packed: str = ""
    skip_duplicates: str = "ON CONFLICT DO NOTHING"
    upsert: str = "ON CONFLICT ({key}) DO UPDATE SET {sets}"
    has_binary_keys: bool = False
    begin: str = "BEGIN"
    read_committed: str = ""
    undoes_create: bool = True
    lock: tuple[str, ...] = ()
    renumber: str = ""
    any_time: int | None = None
    quote: str = "`"
    is_exact: str = ""
    looks_for_own_tables: bool = True
    shops_place: str = ""
    create_in_shop: str = ""

    def quoted(self, name: str) -> str:
        """Return a name in quotes."""
        return self.quote + name.replace(self.quote, 2 * self.quote) + self.quote

    def id_key(self, column: str) -> str:
        """Return an expression for a column of ids, compared and grouped by bytes."""
        return self.key.format(self.id.format(column))

    def as_second(self, column: str) -> str:
        """Return an expression for a timestamp's second as text, such as 2026-11-20 14:00:00.

        Seconds and milliseconds since 1970 are written in UTC. Other values keep their clock time, without fractions
        and offset; text that is no timestamp stays text. It never raises an error.
        """
        text, number = self.text.format(column), self.price.format(column)
        seconds = f"CASE WHEN {number} <= 1e11 THEN {number} WHEN {number} < 2.5e14 THEN {number} / 1000 END"
        clock = f"SUBSTR(REPLACE({text}, 'T', ' '), 1, 19)"
        return f"COALESCE({self.second.format(seconds)}, {clock})"

    def as_star(self, column: str) -> str:
        """Return an expression for the event name of a rating, `star1` … `star5`; null for other values."""
        number = self.price.format(column)
        cases = " ".join(f"WHEN {number} < {stars}.5 THEN 'star{stars}'" for stars in range(1, 6))
        return f"CASE WHEN {number} < 0.5 THEN NULL {cases} END"


class Driver(Protocol):
    """The methods that `recsys.store.database.Database` needs from a driver.

    Attributes:
        syntax: What the database writes in its own way.
        errors: The exceptions of the package that connects to it.
    """

    syntax: Syntax
    errors: tuple[type[Exception], ...]

    def open(self, url: DatabaseUrl, timeout_s: float, create: bool) -> Any:
        """Open a DB-API connection in autocommit mode, in UTC, within a number of seconds."""

    def start_clock(self, connection: Any, seconds: float) -> None:
        """Limit the next statement, or the next rows of a stream, and the locks that it waits for."""

    def is_stale(self, connection: Any) -> bool:
        """Return whether a connection is closed, or belongs to another database than its URL names now."""

    def fetch(self, connection: Any, text: str, values: Mapping[str, Any]) -> Rows:
        """Run a statement and return its rows."""
        cursor = connection.cursor()
        cursor.execute(text, values)
        return list(cursor.fetchall())

    def streaming(self, connection: Any) -> Any:
        """Return a cursor that leaves rows at the server until they are fetched."""

    def numeric(self, column: Any) -> bool:
        """Return whether a column of `cursor.description` is declared as a number."""
        return False

    def meaning(self, error: Exception) -> type[RecsysError]:
        """Return the project's error class for a driver's error."""

    def grants_to_write(
        self, query: Query, tables: Sequence[str], existing: Sequence[str], views: Sequence[str], place: str
    ) -> str:
        """Return statements that let the account create and change our tables, and no others.

        Args:
            query: Runs a statement on the connection.
            tables: The names of our tables.
            existing: Those that exist.
            views: The names of our views.
            place: Where our tables lie; empty for the place of the shop's.
        """
        return ""

    def grants_to_read(self, query: Query, refusal: str, text: str) -> str:
        """Return statements that let the account read the table that it was denied.

        Args:
            query: Runs a statement on the connection.
            refusal: The driver's message, which names the table; PostgreSQL's omits the schema.
            text: The SQL text that was to be run.
        """
        return ""
