"""What the shop's mapping means for a statement."""

from __future__ import annotations

import re
from functools import lru_cache

from recsys.settings import Shop, Source

_FROM = re.compile(r"\bFROM\s+([\w.]+)", re.IGNORECASE)
_RATING = re.compile(r"\bAS\s+rating\b", re.IGNORECASE)
_AS_TEXT = {"sqlite": "CAST({} AS TEXT)", "postgresql": "CAST({} AS TEXT)", "mysql": "CAST({} AS CHAR CHARACTER SET utf8mb4)"}


def known_events(shop: Shop) -> frozenset[str]:
    """Return the names of the events that mean something to the shop."""
    return frozenset(shop.event_weights) | frozenset(shop.cancel_events)


@lru_cache(maxsize=64)
def rates(text: str) -> bool:
    """Return whether a source's text gives ratings in the place of events: it says so by `AS rating`."""
    return bool(_RATING.search(text))


def source_name(source: Source, number: int) -> str:
    """Return what people call a source: the first table that its text reads, else its number."""
    table = _FROM.search(source.since)
    return table[1] if table else f"source {number}"


def as_text(column: str, dialect: str) -> str:
    """Return an expression for a column as UTF-8 text, the form that ids are compared in."""
    return _AS_TEXT[dialect].format(column)


def as_key(column: str, dialect: str) -> str:
    """Return an expression for a column as an id to be compared or grouped by its bytes: 'a', 'A' and 'a ' are three.

    Only MySQL needs to be told. Even beside a binary literal it would compare a text by its collation.
    """
    text = as_text(column, dialect)
    return f"CAST({text} AS BINARY)" if dialect == "mysql" else text


def derived(text: str, alias: str) -> str:
    """Return a shop's text as a table to select from."""
    bare = text.strip().rstrip("; \n\t")
    return f"(\n{bare}\n) {alias}"


def as_price(column: str, dialect: str) -> str:
    """Return an expression for a price as a number, whatever the column's type; null where the text is none.

    It lets through a little more than `recsys.store.columns.price` does, never an error.
    """
    text = as_text(column, dialect)
    if dialect == "sqlite":
        plain = f"typeof({column}) = 'text' AND {column} NOT GLOB '*[^0-9. ]*'"
        return f"CASE WHEN typeof({column}) IN ('integer', 'real') OR {plain} THEN CAST({column} AS REAL) END"
    number = "'^ *[0-9]+([.][0-9]+)?([eE][-+]?[0-9]+)? *$'"
    if dialect == "mysql":
        return f"CASE WHEN {text} REGEXP {number} THEN {text} + 0.0 END"
    return f"CASE WHEN {text} ~ {number} THEN CAST({text} AS DOUBLE PRECISION) END"
