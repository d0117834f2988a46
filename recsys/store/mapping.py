"""What the shop's mapping means for a statement."""

from __future__ import annotations

import re
from functools import lru_cache

from recsys.settings import Shop

_RATING = re.compile(r"\bAS\s+rating\b", re.IGNORECASE)
_AS_TEXT = {"sqlite": "CAST({} AS TEXT)", "postgresql": "CAST({} AS TEXT)", "mysql": "CAST({} AS CHAR CHARACTER SET utf8mb4)"}


def known_events(shop: Shop) -> frozenset[str]:
    """Return the names of the events that mean something to the shop."""
    return frozenset(shop.event_weights) | frozenset(shop.cancel_events)


@lru_cache(maxsize=64)
def rates(text: str) -> bool:
    """Return whether a source's text gives ratings in the place of events: it says so by `AS rating`."""
    return bool(_RATING.search(text))


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
