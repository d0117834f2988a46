"""Binding: a statement and its parameters, written as each driver expects them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from types import NoneType
from typing import Any

import numpy as np

from recsys.errors import SettingsError
from recsys.errors.wording import listed
from recsys.store.drivers.base import Syntax

Parameters = Mapping[str, Any]
_PLAIN = {int, str, float, bytes, NoneType}  # types that every driver takes


def bind(sql: str, params: Parameters, syntax: Syntax) -> tuple[str, dict[str, Any]]:
    """Write a text and its parameters as the driver expects them.

    A list, tuple or array becomes one placeholder for each value: `id IN (:ids)` becomes `id IN (:ids_0, :ids_1)`.
    An empty list becomes NULL, with which neither `IN` nor `NOT IN` matches a row.

    Args:
        sql: Text with `:name` placeholders.
        params: A value for each name; names that the text does not use are left out.
        syntax: The database's.

    Raises:
        SettingsError: The text has a placeholder without a value.

    >>> from recsys.store.drivers.mysql import SYNTAX
    >>> bind("SELECT '10%' WHERE id IN (:ids)", {"ids": [7, 8]}, SYNTAX)
    ("SELECT '10%%' WHERE id IN (%(ids_0)s, %(ids_1)s)", {'ids_0': 7, 'ids_1': 8})
    """
    pieces: list[str] = []
    values: dict[str, Any] = {}
    for literal, name, placeholder in pieces_of(sql, syntax):
        if name and name not in params:
            raise SettingsError(
                f"A statement should use only the placeholders {listed(sorted(params))}. Received: `:{name}`."
            )
        value = params[name] if name else None
        if isinstance(value, np.ndarray):
            value = value.tolist()
        if isinstance(value, list | tuple):
            names = [f"{name}_{position}" for position in range(len(value))]
            placeholder = ", ".join(map(syntax.placeholder.format, names)) or "NULL"
            values.update(zip(names, value if set(map(type, value)) <= _PLAIN else map(plain, value), strict=True))
        elif name:
            values[name] = value if type(value) in _PLAIN else plain(value)
        pieces += literal, placeholder
    return "".join(pieces), values


def plain(value: object) -> Any:
    """Convert a value to one that every driver takes: NumPy scalars to Python's own, date-times to text in UTC."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, datetime):
        if value.tzinfo is not None:
            value = value.astimezone(UTC).replace(tzinfo=None)
        return value.isoformat(sep=" ", timespec="seconds")
    return value


@lru_cache(maxsize=256)
def pieces_of(sql: str, syntax: Syntax) -> tuple[tuple[str, str, str], ...]:
    """Split a text into triples of a literal, the name behind it, and its placeholder; both are empty at the end."""
    parts: list[tuple[str, str, str]] = []
    start = 0
    for match in re.finditer(rf"(?:{syntax.opaque})|:(?P<name>[A-Za-z_]\w*)", sql, re.DOTALL):
        if match["name"] is not None:
            parts.append((sql[start : match.start()], match["name"], syntax.placeholder.format(match["name"])))
            start = match.end()
    parts.append((sql[start:], "", ""))
    if "%" in syntax.placeholder:  # the driver formats the text
        return tuple((literal.replace("%", "%%"), name, placeholder) for literal, name, placeholder in parts)
    return tuple(parts)


def values_of(names: Iterable[str], row: Parameters) -> dict[str, Any]:
    """Return the values of a row by some names, as every driver takes them.

    Raises:
        ValueError: The row lacks a name.
    """
    try:
        return {name: value if type(value := row[name]) in _PLAIN else plain(value) for name in names}
    except KeyError:
        raise ValueError(f"Every row should have {listed(names)}. Received: {listed(sorted(row))}.") from None
