"""What the SQL dialects write differently: placeholders, and expressions for ids, text and prices."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np

from recsys.errors import SettingsError
from recsys.errors.wording import listed

Parameters = Mapping[str, Any]
REMEMBERED = 256  # placeholders of a list; longer lists are rare, and caching them would fill the memory

# By dialect, the parts of a text without placeholders: strings, quoted names, comments. `::` is a PostgreSQL cast.
_COMMENT = r"/\*.*?\*/"
_OPAQUE = {
    "sqlite": rf"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|--[^\n]*|{_COMMENT}""",
    "mysql": rf"""'(?:[^'\\]|''|\\.)*'|"(?:[^"\\]|""|\\.)*"|`[^`]*`|--(?=\s|\Z)[^\n]*|\#[^\n]*|{_COMMENT}""",
    "postgresql": rf"""\b[eE]'(?:[^'\\]|''|\\.)*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$"""
    rf"|--[^\n]*|{_COMMENT}|::",
}
_TOKENS = {
    dialect: re.compile(rf"(?:{opaque})|:(?P<name>[A-Za-z_]\w*)", re.DOTALL) for dialect, opaque in _OPAQUE.items()
}


def bind(sql: str, params: Parameters, dialect: str) -> tuple[str, dict[str, Any]]:
    """Write a text and its parameters as the dialect's driver expects them.

    A list, tuple or array becomes one placeholder for each value: `id IN (:ids)` becomes `id IN (:ids_0, :ids_1)`.
    An empty list becomes NULL, with which neither `IN` nor `NOT IN` matches a row.

    Args:
        sql: Text with `:name` placeholders.
        params: A value for each name; names that the text does not use are left out.
        dialect: `sqlite`, `mysql` or `postgresql`.

    Raises:
        SettingsError: The text has a placeholder without a value.

    >>> bind("SELECT '10%' WHERE id IN (:ids)", {"ids": [7, 8]}, "mysql")
    ("SELECT '10%%' WHERE id IN (%(ids_0)s, %(ids_1)s)", {'ids_0': 7, 'ids_1': 8})
    """
    pieces: list[str] = []
    values: dict[str, Any] = {}
    for literal, name in _parts(sql, dialect):
        pieces.append(literal)
        if name is None:
            continue
        if name not in params:
            raise SettingsError(
                f"A statement should use only the placeholders {listed(sorted(params))}. Received: `:{name}`."
            )
        value = params[name]
        if isinstance(value, np.ndarray):
            value = value.tolist()
        if isinstance(value, list | tuple):
            names, places = (_places if len(value) <= REMEMBERED else _places.__wrapped__)(name, len(value), dialect)
            values |= zip(names, map(plain, value), strict=True)
            pieces.append(places)
        else:
            values[name] = plain(value)
            pieces.append(_placeholder(name, dialect))
    return "".join(pieces), values


def template(sql: str, dialect: str) -> tuple[str, tuple[str, ...]]:
    """Write a text, whose placeholders take no lists, in the driver's own style; returns it with the names it uses."""
    parts = _parts(sql, dialect)
    text = "".join(literal + (_placeholder(name, dialect) if name else "") for literal, name in parts)
    return text, tuple(name for _, name in parts if name)


def plain(value: object) -> Any:
    """Convert a value to one that every driver takes: NumPy scalars to Python's own, date-times to text in UTC."""
    if type(value) is int or type(value) is str:  # nearly all
        return value
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, datetime):
        if value.tzinfo is not None:
            value = value.astimezone(UTC).replace(tzinfo=None)
        return value.isoformat(sep=" ", timespec="seconds")
    return value


@lru_cache(maxsize=256)
def _parts(sql: str, dialect: str) -> tuple[tuple[str, str | None], ...]:
    """Split a text at its placeholders, into pairs of a literal and the name of the placeholder that follows it."""
    parts: list[tuple[str, str | None]] = []
    start = 0
    for match in _TOKENS[dialect].finditer(sql):
        if match["name"] is not None:
            parts.append((_escaped(sql[start : match.start()], dialect), match["name"]))
            start = match.end()
    return (*parts, (_escaped(sql[start:], dialect), None))


def _escaped(literal: str, dialect: str) -> str:
    return literal if dialect == "sqlite" else literal.replace("%", "%%")


def _placeholder(name: str, dialect: str) -> str:
    return f":{name}" if dialect == "sqlite" else f"%({name})s"


@lru_cache(maxsize=256)
def _places(name: str, n: int, dialect: str) -> tuple[tuple[str, ...], str]:
    """Return the names of a list's values, and their placeholders as one text."""
    names = tuple(f"{name}_{position}" for position in range(n))
    return names, ", ".join(_placeholder(key, dialect) for key in names) or "NULL"


_AS_TEXT = {
    "sqlite": "CAST({} AS TEXT)",
    "postgresql": "CAST({} AS TEXT)",
    "mysql": "CAST({} AS CHAR CHARACTER SET utf8mb4)",
}


def as_text(column: str, dialect: str) -> str:
    """Return an expression for a column as UTF-8 text."""
    return _AS_TEXT[dialect].format(column)


def as_key(column: str, dialect: str) -> str:
    """Return an expression for a column of ids that compares and groups by bytes: 'a', 'A' and 'a ' differ.

    Only MySQL needs a cast for that. Even beside a binary literal it would compare a text by its collation.
    """
    text = as_text(column, dialect)
    return f"CAST({text} AS BINARY)" if dialect == "mysql" else text


def as_price(column: str, dialect: str) -> str:
    """Return an expression for a price as a number, for a column of any type; null for text that is no number.

    It accepts slightly more than `recsys.store.columns.price` does, and never raises an error.
    """
    text = as_text(column, dialect)
    if dialect == "sqlite":
        plain = f"typeof({column}) = 'text' AND {column} NOT GLOB '*[^0-9. ]*'"
        return f"CASE WHEN typeof({column}) IN ('integer', 'real') OR {plain} THEN CAST({column} AS REAL) END"
    number = "'^ *[0-9]+([.][0-9]+)?([eE][-+]?[0-9]+)? *$'"
    if dialect == "mysql":
        return f"CASE WHEN {text} REGEXP {number} THEN {text} + 0.0 END"
    return f"CASE WHEN {text} ~ {number} THEN CAST({text} AS DOUBLE PRECISION) END"
