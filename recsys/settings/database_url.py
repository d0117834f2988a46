"""Database URLs: `DatabaseUrl`, and the only reader of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote, unquote, urlencode

from recsys.errors import SettingsError
from recsys.errors.records import Record
from recsys.errors.secrets import Secret

SQLITE = "sqlite:///"
DIALECTS: Mapping[str, str] = {
    **dict.fromkeys(("mysql", "mysql+pymysql", "mariadb", "mariadb+pymysql"), "mysql"),
    **dict.fromkeys(("postgresql", "postgresql+psycopg", "postgres"), "postgresql"),
}
# The schemes that `DatabaseUrl` writes.
SCHEMES: Mapping[str, str] = {"mysql": "mysql+pymysql", "postgresql": "postgresql+psycopg"}
DEFAULTS: Mapping[str, tuple[str, int]] = {"mysql": ("root", 3306), "postgresql": ("postgres", 5432)}  # user and port
LOCAL_HOST = "127.0.0.1"
LAST_PORT = 65_535
SECRET_OPTIONS = ("pass", "secret", "scram", "token")  # parts of option names, such as sslpassword
FORMS = (
    "sqlite:///path, mysql+pymysql://user:password@host:port/name or postgresql+psycopg://user:password@host:port/name"
)
ENCODE = "In a user name or a password `/` `#` `?` `[` `]` `%` must be percent-encoded, as %2F %23 %3F %5B %5D %25"


class DatabaseUrl(Record):
    """The place of a database. As text it is a URL with `***` for the password.

    Attributes:
        dialect: `sqlite`, `mysql` or `postgresql`.
        name: The name of the database; the path of an SQLite file.
        host: The server's name or address; empty for SQLite.
        port: 1 to 65535; 0 for SQLite.
        user: The account's name; empty for SQLite.
        password: The account's password; empty for none.
        options: Names and values behind the URL's `?`, for the driver.
        setting: The setting that holds the URL, for messages.
        own_tables: Where our own tables lie: a schema of PostgreSQL, a database of the same MySQL server, the path of
            another SQLite file; empty for the place of the shop's.
        cache_prefix: What the names of the backend's tables `recommendations` and `model_runs` begin with.
    """

    dialect: str
    name: str
    host: str = ""
    port: int = 0
    user: str = ""
    password: Secret = field(default_factory=lambda: Secret(""))
    options: tuple[tuple[str, str | Secret], ...] = ()
    setting: str = field(default="DATABASE_URL", compare=False)
    own_tables: str = ""
    cache_prefix: str = ""

    @classmethod
    def parse(cls, text: str, *, root: Path | None = None, setting: str = "DATABASE_URL") -> DatabaseUrl:
        """Read a URL.

        Args:
            text: `sqlite:///path`, `mysql+pymysql://…` or `postgresql+psycopg://…`.
            root: The folder that a relative path of SQLite starts from; None for the working directory.
            setting: The setting that holds the URL, for messages.

        Raises:
            SettingsError: It is not such a URL. The message shows no part of it, for any may belong to a password.
        """
        if text.startswith(SQLITE) and text != SQLITE:  # a path is taken as it is, # and % included
            path = text.removeprefix(SQLITE)
            return cls("sqlite", str(root / path) if root else path, setting=setting)
        scheme, separator, rest = text.partition("://")
        dialect = DIALECTS.get(scheme.lower())
        if not separator or dialect is None:
            known = separator and scheme.isascii() and scheme.replace("+", "").isalpha()
            raise SettingsError(
                f"{setting} should be {FORMS}. Received: {f'{scheme[:30]}://…' if known else 'no scheme'}."
            )
        return _Reader(setting).read(dialect, rest)

    @classmethod
    def of_pieces(cls, *, host: str, port: str, name: str, user: str, password: str) -> DatabaseUrl:
        """Return the MySQL database of the settings `DB_HOST`, `DB_PORT`, `DB_NAME`, `DB_USER` and `DB_PASSWORD`.

        Raises:
            SettingsError: The port is not a number, or the host not a name.
        """
        for setting, piece in (("DB_NAME", name), ("DB_USER", user), ("DB_PASSWORD", password)):
            _Reader(setting).check_encoding(piece)
        address, number = _Reader("DB_HOST").host(host), _Reader("DB_PORT").port(port)
        return cls("mysql", name, address, number, user, Secret(password), setting="DB_HOST")

    def revealed_options(self) -> dict[str, str]:
        """Return the options as the driver needs them."""
        return {name: value.reveal() if isinstance(value, Secret) else value for name, value in self.options}

    def __str__(self) -> str:
        if self.dialect == "sqlite":
            return f"{SQLITE}{self.name}"
        account = f"{quote(self.user, safe='')}:{self.password}" if self.password else quote(self.user, safe="")
        host = f"[{self.host}]" if ":" in self.host else self.host
        query = f"?{urlencode(self.options, safe='/*', quote_via=quote)}" if self.options else ""
        return f"{SCHEMES[self.dialect]}://{account}@{host}:{self.port}/{quote(self.name, safe='')}{query}"

    def __repr__(self) -> str:
        return f"DatabaseUrl({str(self)!r})"


class _Reader:
    """Reads the parts of one URL, or the settings in its place; without `re`, whose compilation takes a millisecond."""

    def __init__(self, setting: str) -> None:
        self._setting = setting

    def read(self, dialect: str, rest: str) -> DatabaseUrl:
        """Return the database of a URL.

        Args:
            dialect: `mysql` or `postgresql`.
            rest: The part behind `://`.
        """
        self.check_encoding(rest)
        if any(letter < " " or letter == "\x7f" for letter in rest):
            self._fail("it holds a line break or another control character")
        default_user, default_port = DEFAULTS[dialect]
        end = next((place for place, letter in enumerate(rest) if letter in "/?#"), len(rest))
        account, _, address = rest[:end].rpartition("@")
        name, _, query = rest[end + 1 :].partition("?")
        colon = address.find(":", address.rfind("]") + 1)  # an IPv6 address contains colons
        host, port = (address, str(default_port)) if colon < 0 else (address[:colon], address[colon + 1 :])
        if not port.isdecimal():
            self._fail(f"the port is not a number. {ENCODE}")
        if rest[end : end + 1] == "#" or "@" in rest[end:] or "#" in rest[end:]:
            self._fail(f"it goes on behind the database's name. {ENCODE}")
        if rest[end : end + 1] != "/" or not name or "/" in name:
            self._fail(f"one database should be named, as in {SCHEMES[dialect]}://host/name. {ENCODE}")
        options = dict(self._option(option) for option in query.split("&") if option)
        user, _, password = account.partition(":")
        if "[" in account or "]" in account:
            self._fail(f"the user name or the password holds a bracket. {ENCODE}")
        Secret(password)  # the encoded form is masked, too, for `scrubbed` may not know its spelling
        return DatabaseUrl(
            dialect,
            self._decoded(name),
            self.host(host) if host else LOCAL_HOST,
            self.port(port),
            self._decoded(user) or default_user,
            Secret(self._decoded(password)),
            tuple(options.items()),
            self._setting,
        )

    def check_encoding(self, text: str) -> None:
        """Refuse text from bytes that were not UTF-8: Python holds them as lone surrogates, which no server accepts."""
        try:
            text.encode()
        except UnicodeEncodeError:
            self._fail("it is not written in UTF-8")

    def host(self, text: str) -> str:
        """Return a server's name, or its address without brackets."""
        if text and all(letter.isalnum() or letter in "_.,-" for letter in text):
            return text
        in_brackets = text[1:-1] if text[:1] + text[-1:] == "[]" else ""
        if ":" in in_brackets and all(letter.isalnum() or letter in ":.%" for letter in in_brackets):
            return in_brackets
        self._fail(
            "the host should be a name, an address such as 127.0.0.1, or one of IPv6 in brackets; "
            "the port has its own place"
        )

    def port(self, text: str) -> int:
        """Return a port's number."""
        if text.isascii() and text.isdecimal() and len(text) <= 5 and 1 <= int(text) <= LAST_PORT:
            return int(text)
        self._fail(f"the port should be a whole number from 1 to {LAST_PORT}")

    def _option(self, text: str) -> tuple[str, str | Secret]:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier() or not name.isascii():
            self._fail(f"options behind the `?` should be written as name=value with & between. {ENCODE}")
        decoded = self._decoded(value.replace("+", " "))
        return name, Secret(decoded) if any(part in name for part in SECRET_OPTIONS) else decoded

    def _decoded(self, text: str) -> str:
        try:
            decoded = unquote(text, errors="strict")  # a % that begins no code stays one
        except UnicodeDecodeError:
            self._fail(f"what is percent-encoded is not UTF-8. {ENCODE}")
        if "\0" in decoded:
            self._fail("it holds %00")
        return decoded

    def _fail(self, reason: str) -> NoReturn:
        raise SettingsError(
            f"{self._setting} cannot be used: {reason}. Its value is not shown, for it may hold a password."
        ) from None
