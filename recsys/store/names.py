"""Names of the shop's tables and columns, and of ours, in texts whose database is not known yet.

A name of the shop may be a reserved word or hold capitals and hyphens, and each database quotes in its own way. So
texts that are made of names hold them between two marks, and `Database` replaces these by the quotes of its database.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from recsys.store.drivers.base import Query, Syntax

_BEGIN, _END = "\ue000", "\ue001"  # of Unicode's private use, which no name has
_MARKED = re.compile(f"{_BEGIN}([^{_END}]*){_END}")
_PART = re.compile(r'"((?:[^"]|"")+)"|`((?:[^`]|``)+)`|([^."`]+)')
_FOLDER = Path(__file__).parent / "migrations"
_CREATED = re.compile(r"(?:CREATE TABLE IF NOT EXISTS|\{\{create_view\}\}) (rec_\w+)")
NAME_IN_TEXT = rf"(?:[\w.]|{_BEGIN}[^{_END}]*{_END})+"  # a regular expression for a table's name


def marked(name: str) -> str:
    """Return a name of recsys.toml, which may be quoted and have parts with dots between them, with marks."""
    parts = (
        (double or back or plain).replace('""' if double else "``", '"' if double else "`")
        for double, back, plain in _PART.findall(name)
    )
    return ".".join(f"{_BEGIN}{part}{_END}" for part in parts)


def written(text: str, quote: Callable[[str], str] | None = None) -> str:
    """Return a text with names in quotes.

    Args:
        text: A text, in which names have marks.
        quote: Returns a name in quotes; None leaves names bare, as for messages.
    """
    if _BEGIN not in text:
        return text
    return _MARKED.sub(lambda match: match[1] if quote is None else quote(match[1]), text)


class Names:
    """How one database spells the names in texts.

    Attributes:
        own_tables: Where our own tables lie; empty for the place of the shop's.
    """

    def __init__(self, syntax: Syntax, query: Query) -> None:
        """Start with no name known.

        Args:
            syntax: The database's.
            query: Runs a statement on the connection.
        """
        self.own_tables = ""
        self._syntax, self._query = syntax, query
        self._quoted: dict[str, str] = {}

    def in_full(self, text: str) -> str:
        """Return a text with quotes for marks, and with our tables where the database finds them."""
        text = written(text, self._quote)
        if not self.own_tables or self._syntax.looks_for_own_tables:
            return text
        return _own_names().sub(lambda match: self.in_own_place(match[0]), text)

    def in_own_place(self, name: str) -> str:
        """Return the name of a table of ours as a statement needs it, with its place where the database needs that.

        `in_full` does so for the names that begin with `rec_`. Other names may be the shop's, too.
        """
        if not self.own_tables or self._syntax.looks_for_own_tables:
            return name
        return f"{self._syntax.quoted(self.own_tables)}.{name}"

    def _quote(self, name: str) -> str:
        if name not in self._quoted:
            is_folded = False
            if self._syntax.is_exact and name != name.lower():
                is_folded = not self._query(self._syntax.is_exact, {"name": name})
            self._quoted[name] = self._syntax.quoted(name.lower() if is_folded else name)
        return self._quoted[name]


@lru_cache(maxsize=1)
def _own_names() -> re.Pattern[str]:
    texts = [file.read_text(encoding="utf-8") for file in sorted(_FOLDER.glob("*.sql"))]
    names = sorted({name for text in texts for name in _CREATED.findall(text)} | {"rec_schema_migrations"})
    return re.compile(rf"(?<![\w.:])(?:{'|'.join(names)})\b")
