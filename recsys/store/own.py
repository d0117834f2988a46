"""The names of our own tables and views, where they lie in another place than the shop's."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "migrations"
_CREATED = re.compile(r"(?:CREATE TABLE IF NOT EXISTS|\{\{create_view\}\}) (rec_\w+)")


def in_place(text: str, place: str) -> str:
    """Return a text with a place, such as `recsys`, in front of the names of our tables and views."""
    return _pattern().sub(lambda match: f"{place}.{match[0]}", text)


@lru_cache(maxsize=1)
def _pattern() -> re.Pattern[str]:
    texts = [file.read_text(encoding="utf-8") for file in sorted(_FOLDER.glob("*.sql"))]
    names = sorted({name for text in texts for name in _CREATED.findall(text)} | {"rec_schema_migrations"})
    return re.compile(rf"(?<![\w.:])(?:{'|'.join(names)})\b")
