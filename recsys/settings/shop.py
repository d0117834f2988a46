"""The shop's mapping: which tables hold its events and products, and what its event names mean."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from recsys.errors import SettingsError
from recsys.settings.checks import NAME, NAMES, REPEAT, SOME_NAMES, TEXT, ZONE, checked, listed, number, shown

DEFAULT_EVENT_WEIGHTS = MappingProxyType(
    {
        "purchase": 1.0,
        "cart": 0.7,
        "wishlist": 0.5,
        "view": 0.3,
        "star5": 0.6,
        "star4": 0.4,
        "star3": 0.1,
        "star2": -0.3,
        "star1": -0.5,
    }
)
DEFAULT_SOURCES: tuple[Mapping[str, str], ...] = (
    {
        "table": "Interactions",
        "user": "userId",
        "item": "productId",
        "event": "actionCode",
        "timestamp": "timestamp",
        "row_id": "interId",
        "device_type": "device_type",
    },
    {
        "table": "Comments",
        "user": "userId",
        "item": "productId",
        "rating": "star",
        "timestamp": "createdAt",
        "row_id": "id",
    },
)


@dataclass(frozen=True)
class Source:
    """A place where the shop keeps events, as two SQL texts.

    Both texts return the columns `user_id, item_id, event, timestamp, row_id` and any context columns.
    A column `rating` in place of `event` holds 1 to 5 stars.

    Attributes:
        since: Every event at or after `:since` (in the stored time zone).
        one_user: Every event of `:user_id`.
    """

    since: str
    one_user: str


@dataclass(frozen=True)
class TableSource:
    """A place where the shop keeps events, as one table and its columns.

    Exactly one of `event`, `event_name` and `rating` is set.

    Attributes:
        table: The table's name, with its schema if need be.
        user: Column of user ids.
        item: Column of item ids.
        timestamp: Column of timestamps.
        event: Column of event names.
        event_name: The event that every row stands for.
        rating: Column of 1 to 5 stars.
        row_id: Column that orders rows with equal timestamps.
        contexts: Pairs of a context feature and its column.
    """

    table: str
    user: str
    item: str
    timestamp: str
    event: str | None = None
    event_name: str | None = None
    rating: str | None = None
    row_id: str | None = None
    contexts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class ProductsTable:
    """The table of products and its columns; a column that is None is unknown for every product.

    Attributes:
        table: The table's name, with its schema if need be.
        id: Column of item ids.
        active: SQL condition that holds for active products; None where all are active.
        category: Column of categories.
        brand: Column of brands.
        price: Column of prices.
        name: Column of names.
    """

    table: str
    id: str
    active: str | None = None
    category: str | None = None
    brand: str | None = None
    price: str | None = None
    name: str | None = None


@dataclass(frozen=True)
class Shop:
    """How a shop's own tables and event names map to those of this project.

    Attributes:
        sources: Where events are read.
        products: A table of products, or SQL text that returns `item_id, active, category, brand, price` and maybe
            `name`, one row a product. None stands for the default schema.
        stored_time_zone: The zone of the tables' timestamps.
        time_zone: The zone that users live in; time_of_day and season follow it.
        event_weights: Confidence of each event, -1 to 1; events without one, or with 0, are dropped.
            Ratings are `star1` … `star5`.
        purchase_events: Events that mean "has bought": the repeat rule hides these items.
        relevant_events: Events that count as a hit in evaluation.
        cancel_events: Events that annul the newest earlier purchase of the same item by the same user.
        context_columns: Context columns of the sources, known before the choice.
        repeat_after_days: Days for which a purchased item stays hidden: infinity hides for ever, 0 never hides.
    """

    sources: tuple[Source | TableSource, ...]
    products: str | ProductsTable | None = None
    stored_time_zone: str = "UTC"
    time_zone: str = "UTC"
    event_weights: Mapping[str, float] = field(default_factory=lambda: DEFAULT_EVENT_WEIGHTS)
    purchase_events: tuple[str, ...] = ("purchase",)
    relevant_events: tuple[str, ...] = ("purchase", "cart")
    cancel_events: tuple[str, ...] = ("cancel",)
    context_columns: tuple[str, ...] = ("device_type",)
    repeat_after_days: float = math.inf


# What each name of a table of recsys.toml should hold.
_SHOP = {
    "stored_time_zone": ZONE,
    "time_zone": ZONE,
    "repeat": REPEAT,
    "purchase_events": NAMES,
    "relevant_events": SOME_NAMES,
    "cancel_events": NAMES,
    "context_columns": NAMES,
}
_SOURCE = {
    **dict.fromkeys(("table", "user", "item", "timestamp", "event", "rating", "row_id"), NAME),
    "event_name": TEXT,
}
_SOURCE_TEXTS = {"since": TEXT, "one_user": TEXT}
_PRODUCTS = {
    "query": TEXT,
    **dict.fromkeys(("table", "id"), NAME),
    "active": TEXT,
    **dict.fromkeys(("category", "brand", "price", "name"), NAME),
}
# Names that a context cannot have: a source has them already, or they are derived.
_NO_CONTEXTS = frozenset({*_SOURCE, "user_id", "item_id", "time_of_day", "season", "category"})


def read_shop(toml: Mapping[str, Any]) -> Shop:
    """Read the tables [shop], [events], [[sources]] and [products] of recsys.toml, each with its default.

    Raises:
        SettingsError: A name or a value is not what it should be.
    """
    values = checked(toml.get("shop", {}), _SHOP, "[shop]")
    contexts = values.get("context_columns", ("device_type",))
    for name in contexts:
        if not name.isidentifier() or name in _NO_CONTEXTS:
            names = f"plain names, other than {listed(sorted(_NO_CONTEXTS))}"
            raise SettingsError(f"[shop] `context_columns` should be {names}. Received: {shown(name)}.")
    repeat_after_days = values.pop("repeat", math.inf)
    return Shop(
        sources=_sources(toml["sources"], contexts) if "sources" in toml else _default_sources(contexts),
        products=_products(toml["products"]) if "products" in toml else None,
        event_weights=_event_weights(toml["events"]) if "events" in toml else DEFAULT_EVENT_WEIGHTS,
        repeat_after_days=repeat_after_days,
        **values,
    )


def _event_weights(table: object) -> Mapping[str, float]:
    names = table if isinstance(table, Mapping) else {}
    weights = checked(table, dict.fromkeys(names, number(-1, 1)), "[events]")
    if not any(weight > 0 for weight in weights.values()):
        received = shown(dict(names))
        raise SettingsError(f"[events] should give at least one event a weight above 0. Received: {received}.")
    return {name: weight for name, weight in weights.items() if weight}


def _default_sources(contexts: Sequence[str]) -> tuple[TableSource, ...]:
    return tuple(_table_source(names, contexts) for names in DEFAULT_SOURCES)


def _sources(blocks: object, contexts: Sequence[str]) -> tuple[Source | TableSource, ...]:
    if not isinstance(blocks, list) or not blocks:
        raise SettingsError(f"[[sources]] should be one block or more. Received: {shown(blocks)}.")
    numbered = [f"[[sources]] (block {number})" for number in range(1, len(blocks) + 1)]
    places = ["[[sources]]"] if len(blocks) == 1 else numbered
    return tuple(_source(block, contexts, place) for block, place in zip(blocks, places, strict=True))


def _source(block: object, contexts: Sequence[str], where: str) -> Source | TableSource:
    names = set(block) if isinstance(block, Mapping) else set()
    received = listed(sorted(names)) or "nothing"
    if names & set(_SOURCE_TEXTS):
        if names != set(_SOURCE_TEXTS):
            expected = "both `since` and `one_user` and no more"
            raise SettingsError(f"{where} should hold {expected}. Received: {received}.")
        return Source(**checked(block, _SOURCE_TEXTS, where))
    values = checked(block, {**_SOURCE, **dict.fromkeys((*contexts, "device_type"), NAME)}, where)
    if not {"table", "user", "item", "timestamp"} <= names or len(names & {"event", "event_name", "rating"}) != 1:
        expected = "`table`, `user`, `item`, `timestamp` and one of `event`, `event_name`, `rating`"
        raise SettingsError(f"{where} should name {expected}. Received: {received}.")
    return _table_source(values, contexts)


def _table_source(values: Mapping[str, str], contexts: Sequence[str]) -> TableSource:
    columns = {name: value for name, value in values.items() if name in _SOURCE}
    return TableSource(**columns, contexts=tuple((name, values[name]) for name in contexts if name in values))


def _products(table: object) -> str | ProductsTable:
    values = checked(table, _PRODUCTS, "[products]")
    if set(values) == {"query"}:
        return str(values["query"])
    if "query" in values or not {"table", "id"} <= set(values):
        received = listed(sorted(values)) or "nothing"
        raise SettingsError(f"[products] should hold `query` alone, or `table` and `id`. Received: {received}.")
    return ProductsTable(**values)
