"""Ratings: MovieLens and RecBole. A rating becomes the event `star1` … `star5`, rounded half up."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow

from recsys.importing.amounts import amount
from recsys.importing.files import EventFile
from recsys.importing.formats.files import (
    CATEGORY,
    EVENT,
    ITEM,
    NAME,
    PRICE,
    TIMESTAMP,
    USER,
    Column,
    Flags,
    FormatFile,
    Opened,
    Shape,
    as_batch,
    beside,
    column,
    open_files,
    open_place,
    options_with,
    start_of,
    table_beside,
)
from recsys.importing.records import NO_QUOTE
from recsys.importing.streams import Place, is_archive
from recsys.store.columns import star

ORDER = "order"
_RATINGS = ("userId", "movieId", "rating", "timestamp")
_GENRES = (
    "unknown Action Adventure Animation Children's Comedy Crime Documentary Drama Fantasy Film-Noir Horror Musical "
    "Mystery Romance Sci-Fi Thriller War Western"
).split()
_ITEM_COLUMNS = ("movieId", "title", "released", "video", "url", *_GENRES)
Described = Mapping[str, tuple[str | None, str | None]]


def star_event(rating: str | None) -> str | None:
    """Return the event of a rating; another number than 0.5 to 5.5 becomes an unknown event, which is counted by name.

    >>> star_event("4.5"), star_event("0.5"), star_event("7"), star_event(None)
    ('star5', 'star1', 'rating 7', None)
    """
    return None if rating is None else star(rating) or f"rating {rating}"


def open_movielens(path: Path, flags: Flags) -> Opened:
    """Open `ratings.csv`, `ratings.dat` (`::`) or `u.data` (tabs), with the titles and genres beside it."""
    how = _how_movielens(path)
    files = open_files(path, r"ratings\.csv|ratings\.dat|u\.data", flags, needs=_RATINGS, **how)
    films = _films(path)
    options = options_with(
        flags, user=USER, item=ITEM, event=EVENT, timestamp=TIMESTAMP, timestamp_unit="s", name=NAME, category=CATEGORY
    )
    columns = (USER, ITEM, EVENT, TIMESTAMP, NAME, CATEGORY)
    return Opened(options, FormatFile(files, lambda: _Films(films), columns))


def _how_movielens(path: Path) -> dict[str, Any]:
    """Return how to read the ratings: the first line tells the separator, and whether there is a header."""
    is_many = path.is_dir() or is_archive(path)
    place = beside(path, r"ratings\.csv|ratings\.dat|u\.data") if is_many else Place(path)
    first = start_of(place).split(b"\n", 1)[0] if place is not None else b""
    if b"::" in first:
        return {"delimiter": "::", "names": _RATINGS}
    return {"delimiter": "\t", "names": _RATINGS} if first.count(b"\t") == 3 else {}


def _films(path: Path) -> Described:
    """Return the title and the first genre of each film, as far as a file beside the ratings has them."""
    tables: list[dict[str, tuple[str | None, ...]]] = [
        table_beside(path, r"movies\.csv", ("movieId", "title", "genres")),
        table_beside(
            path,
            r"movies\.dat",
            ("movieId", "title", "genres"),
            names=("movieId", "title", "genres"),
            delimiter="::",
            encoding="latin-1",
        ),
    ]
    films = {
        film: (title, genres and genres.split("|")[0]) for table in tables for film, (title, genres) in table.items()
    }
    flags = table_beside(
        path, r"u\.item", _ITEM_COLUMNS, names=_ITEM_COLUMNS, delimiter="|", quote=NO_QUOTE, encoding="latin-1"
    )
    for film, (title, *rest) in flags.items():
        films[film] = title, next((genre for genre, flag in zip(_GENRES, rest[3:], strict=True) if flag == "1"), None)
    return films


class _Films(Shape):
    def __init__(self, films: Described) -> None:
        super().__init__()
        self._films = films

    def rows(self, file: EventFile, batch: Any) -> Any:
        films = column(batch, "movieId")
        described = [self._films.get(film or "", (None, None)) for film in films]
        return as_batch(
            {
                USER: column(batch, "userId"),
                ITEM: films,
                EVENT: list(map(star_event, column(batch, "rating"))),
                TIMESTAMP: column(batch, "timestamp"),
                NAME: [title for title, _ in described],
                CATEGORY: [genre for _, genre in described],
            }
        )


_ITEM_NAMES = ("title", "item_name", "movie_title", "product_name", "name")
_ITEM_CATEGORIES = ("category", "categories", "category_id", "class", "genre", "genres")


def open_recbole(path: Path, flags: Flags) -> Opened:
    """Open atomic files, `NAME.inter` with `NAME.item` beside it. Fields have types, tabs, and never quotes.

    A session is a user where there are no users. Without ratings every row is the event that `--event-name` says, a
    purchase by default, unless its label is 0. Without timestamps the rows are taken as ordered.
    """
    how: dict[str, Any] = {"delimiter": "\t", "quote": NO_QUOTE}
    files = open_files(path, r".+\.inter", flags, **how)
    fields = {name.partition(":")[0]: name for name in files[0].columns}
    fields["user_id"] = fields.get("user_id", fields.get("session_id", "user_id:token"))
    fields.setdefault("item_id", "item_id:token")
    for file in files:
        file.require((fields["user_id"], fields["item_id"]))
    items = _recbole_items(path)
    rating = {"event": EVENT} if "rating" in fields else {}
    clock = {"timestamp": TIMESTAMP} if "timestamp" in fields else {"order": ORDER}
    options = options_with(flags, user=USER, item=ITEM, **rating, **clock, name=NAME, category=CATEGORY, price=PRICE)
    columns = (USER, ITEM, *rating.values(), *clock.values(), NAME, CATEGORY, PRICE)
    return Opened(options, FormatFile(files, lambda: _Atomic(fields, columns, items), columns))


def _recbole_items(path: Path) -> Mapping[str, tuple[str | None, ...]]:
    """Return the name, the first category and the price of each item, as far as the .item file has them."""
    place = beside(
        path, re.escape(path.name.split(".")[0]) + r"\.item" if path.is_file() and not is_archive(path) else r".+\.item"
    )
    if place is None:
        return {}
    file = open_place(place, delimiter="\t", quote=NO_QUOTE)
    fields = {name.partition(":")[0]: name for name in file.columns}
    chosen = [
        next((fields[name] for name in names if name in fields), "")
        for names in (_ITEM_NAMES, _ITEM_CATEGORIES, ("price",))
    ]
    items: dict[str, tuple[str | None, ...]] = {}
    for batch in file.batches(50_000):
        names, categories, prices = (column(batch, name) for name in chosen)
        separator = " " if chosen[1].endswith(":token_seq") else None
        firsts = [value.split(separator)[0].rstrip(",") if value and separator else value for value in categories]
        for item, *values in zip(column(batch, fields.get("item_id", "")), names, firsts, prices, strict=True):
            if item is not None:
                items[item] = tuple(values)
    return items


class _Atomic(Shape):
    def __init__(
        self, fields: Mapping[str, str], columns: tuple[str, ...], items: Mapping[str, tuple[str | None, ...]]
    ) -> None:
        super().__init__()
        self._fields, self._columns, self._items = fields, columns, items
        self._ranks = count()

    def rows(self, file: EventFile, batch: Any) -> Any:
        is_no_event = [amount(label) <= 0 for label in column(batch, self._fields.get("label", ""))]
        if any(is_no_event):
            self.dropped["label of 0"] += sum(is_no_event)
            batch = batch.filter(pyarrow.array([not is_none for is_none in is_no_event]))
        items = column(batch, self._fields["item_id"])
        described = [self._items.get(item or "", (None, None, None)) for item in items]
        found: dict[str, Column] = {USER: column(batch, self._fields["user_id"]), ITEM: items}
        found[EVENT] = list(map(star_event, column(batch, self._fields.get("rating", ""))))
        found[TIMESTAMP] = column(batch, self._fields.get("timestamp", ""))
        found[ORDER] = [str(next(self._ranks)) for _ in items] if ORDER in self._columns else []
        found.update(
            zip((NAME, CATEGORY, PRICE), map(list, zip(*described, strict=True)), strict=True) if items else {}
        )
        return as_batch({name: found.get(name, []) for name in self._columns})
