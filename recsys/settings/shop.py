"""The shop's mapping: which tables hold its events and products, and what its event names mean."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from recsys.errors import SettingsError
from recsys.errors.records import Record
from recsys.errors.wording import shown
from recsys.settings.checks import (
    NAME,
    NAMES,
    REPEAT,
    SOME_NAMES,
    TEXT,
    ZONE,
    SettingCheck,
    checked,
    listed,
    number,
    one_of,
)

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
# What recsys itself records of users (`recsys.tracking.record`), as far as it says what they like.
TRACKED_EVENTS = ("view", "add_to_cart", "purchase", "wishlist")
DEFAULT_CART_EVENTS = ("cart",)
DEFAULT_UNCART_EVENTS = ("uncart",)


class Source(Record):
    """A place where the shop keeps events, as two SQL texts.

    Both texts return the columns `user_id, item_id, event, timestamp, row_id` and any context columns.
    A column `rating` in place of `event` holds 1 to 5 stars. A column `quantity` holds pieces. A column `session_id` of
    `since` tells the sessions of guests apart.

    Attributes:
        since: Every event at or after `:since` (in the stored time zone).
        one_user: Every event of `:user_id`.
    """

    since: str
    one_user: str


class TableSource(Record):
    """A place where the shop keeps events, as one table and its columns.

    Exactly one of `event`, `event_name` and `rating` is set. A name may be in the quotes of SQL.

    Attributes:
        table: The table's name, with its schema if need be.
        user: Column of user ids.
        item: Column of item ids.
        timestamp: Column of timestamps.
        event: Column of event names.
        event_name: The event that every row stands for.
        rating: Column of 1 to 5 stars.
        row_id: Column that orders rows with equal timestamps.
        event_id: Column of the sender's own ids of events; an event that was tracked under the same id is not read.
        quantity: Column of pieces that were bought or cancelled, or SQL expression.
        session: Column of sessions, or SQL expression; where a row's user is a guest, its session is a user.
        contexts: Pairs of a context feature and its column.
        where: SQL condition on the rows to read; None reads all.
        purchase_when: SQL condition that holds for rows that are purchases; the others are no events.
        returned_when: SQL condition that holds for rows whose goods came back; they are no events. Rows of other
            purchases stay.
    """

    table: str
    user: str
    item: str
    timestamp: str
    event: str | None = None
    event_name: str | None = None
    rating: str | None = None
    row_id: str | None = None
    event_id: str | None = None
    quantity: str | None = None
    session: str | None = None
    contexts: tuple[tuple[str, str], ...] = ()
    where: str | None = None
    purchase_when: str | None = None
    returned_when: str | None = None


class TrackedSource(TableSource):
    """What recsys itself has recorded of users, in its own table.

    Attributes:
        names: Pairs of a recorded event and the shop's name of it.
        event_ids: Pairs of a table and its column of event ids, of the shop's sources that have one.
    """

    table: str = "rec_user_interactions"
    user: str = "user_id"
    item: str = "product_id"
    timestamp: str = "occurred_at"
    event: str | None = "interaction_type"
    row_id: str | None = "id"
    names: tuple[tuple[str, str], ...] = ()
    event_ids: tuple[tuple[str, str], ...] = ()


class ProductsTable(Record):
    """The table of products and its columns; a column that is None is unknown for every product.

    Attributes:
        table: The table's name, with its schema if need be.
        id: Column of item ids.
        active: Column of flags, or SQL condition that holds for active products; None where all are active.
        category: Column of categories.
        brand: Column of brands.
        price: Column of prices.
        name: Column of names.
        parent: Column of the product that a variant belongs to, by its id; variants are never shown as bought together.
        tags: Column of the words that mark a product, in one text.
    """

    table: str
    id: str
    active: str | None = None
    category: str | None = None
    brand: str | None = None
    price: str | None = None
    name: str | None = None
    parent: str | None = None
    tags: str | None = None


class Shop(Record):
    """How a shop's own tables and event names map to those of this project.

    Attributes:
        sources: Where events are read.
        products: A table of products, or SQL text that returns `item_id, active, category, brand, price` and maybe
            `name`, `parent` and `tags`, one row a product. None stands for the default schema.
        cards: SQL text that returns `item_id, active, handle, title, thumbnail, price, currency`, one row a product.
            None shows what `products` tells.
        stored_time_zone: The zone of the tables' timestamps.
        time_zone: The zone that users live in; time_of_day and season follow it.
        event_weights: Confidence of each event, -1 to 1; events without one, or with 0, are dropped.
            Ratings are `star1` … `star5`.
        purchase_events: Events that mean "has bought": the repeat rule hides these items.
        relevant_events: Events that count as a hit in evaluation.
        cart_events: Events that mean "lies in the cart": these items are hidden for some days.
        uncart_events: Events that take an item out of the cart; they need no weight.
        cancel_events: Events that annul the newest earlier purchases of the same item by the same user.
        context_columns: Context columns of the sources, known before the choice.
        guests: User ids, as text, that stand for guests, besides those that training finds.
        persons: User ids, as text, that are a user's, however many events they have.
        repeat_after_days: Days for which a purchased item stays hidden: infinity hides for ever, 0 never hides.
        own_tables: Where our own tables lie, as `recsys.settings.database_url.DatabaseUrl` has it; empty for the place
            of the shop's.
        cache_prefix: What the names of the backend's tables `recommendations` and `model_runs` begin with.
        max_unreadable: The largest share of a column's values that may be unreadable in training, 0 to 1.
    """

    sources: tuple[Source | TableSource, ...]
    products: str | ProductsTable | None = None
    cards: str | None = None
    stored_time_zone: str = "UTC"
    time_zone: str = "UTC"
    event_weights: Mapping[str, float] = field(default_factory=lambda: DEFAULT_EVENT_WEIGHTS)
    purchase_events: tuple[str, ...] = ("purchase",)
    relevant_events: tuple[str, ...] = ("purchase", "cart")
    cart_events: tuple[str, ...] = DEFAULT_CART_EVENTS
    uncart_events: tuple[str, ...] = DEFAULT_UNCART_EVENTS
    cancel_events: tuple[str, ...] = ("cancel",)
    context_columns: tuple[str, ...] = ("device_type",)
    guests: tuple[str, ...] = ()
    persons: tuple[str, ...] = ()
    repeat_after_days: float = math.inf
    max_unreadable: float = 0.2
    own_tables: str = ""
    cache_prefix: str = ""


DEFAULT_SOURCES = (
    TableSource(
        "Interactions", "userId", "productId", "timestamp", event="actionCode", row_id="interId", event_id="eventId"
    ),
    TableSource("Comments", "userId", "productId", "createdAt", rating="star", row_id="id"),
)

PRESETS = Path(__file__).parent.parent / "store" / "presets"

# What each name of a table of recsys.toml should hold.
_SHOP = {
    "stored_time_zone": ZONE,
    "time_zone": ZONE,
    "repeat": REPEAT,
    "purchase_events": NAMES,
    "relevant_events": SOME_NAMES,
    "cart_events": NAMES,
    "uncart_events": NAMES,
    "cancel_events": NAMES,
    "context_columns": NAMES,
    "guests": NAMES,
    "persons": NAMES,
    "tracked_events": SettingCheck(
        f"a list of names in quotes, each once, among {', '.join(TRACKED_EVENTS)}",
        lambda value: NAMES.is_valid(value) and set(value) <= set(TRACKED_EVENTS),
        tuple,
    ),
    "max_unreadable": number(0, 1),
    "own_tables": TEXT,
    "cache_prefix": SettingCheck(
        "letters, digits and underscores, such as recsys_",
        lambda value: isinstance(value, str) and value.isascii() and f"{value}t".isidentifier(),
    ),
    "preset": TEXT,
    "table_prefix": SettingCheck(
        "a prefix of plain table names, or empty", lambda value: isinstance(value, str) and f"t{value}".isidentifier()
    ),
    "cards": SettingCheck("a table", lambda value: isinstance(value, Mapping)),
}
_ROLES = ("purchase_when", "returned_when")  # conditions on rows of purchases
_SOURCE = {
    **dict.fromkeys(("table", "user", "item", "timestamp", "event", "rating", "row_id", "event_id"), NAME),
    **dict.fromkeys(("event_name", "quantity", "session", "where", *_ROLES), TEXT),
}
_SOURCE_TEXTS = {"since": TEXT, "one_user": TEXT}
_PRODUCTS = {"query": TEXT, **dict.fromkeys((column.name for column in fields(ProductsTable)), NAME), "active": TEXT}
# Names that a context cannot have: a source has them already, or they are derived.
_NO_CONTEXTS = frozenset({*_SOURCE, "user_id", "item_id", "session_id", "time_of_day", "season", "category"})


def read_shop(toml: Mapping[str, Any]) -> Shop:
    """Read the tables [shop], [events], [[sources]] and [products] of recsys.toml, each with its default.

    Raises:
        SettingsError: A name or a value is not what it should be.
    """
    toml = _over_preset(toml)
    values = checked(toml.get("shop", {}), _SHOP, "[shop]")
    for name in ("preset", "table_prefix"):
        values.pop(name, None)
    contexts = values.get("context_columns", ("device_type",))
    for name in contexts:
        if not name.isidentifier() or name in _NO_CONTEXTS:
            names = f"plain names, other than {listed(sorted(_NO_CONTEXTS))}"
            raise SettingsError(f"[shop] `context_columns` should be {names}. Received: {shown(name)}.")
    purchase = next(iter(values.get("purchase_events", ())), "purchase")
    repeat_after_days = values.pop("repeat", math.inf)
    tracked_events = values.pop("tracked_events", ())
    shop = Shop(
        sources=_sources(toml["sources"], contexts, purchase) if "sources" in toml else _default_sources(contexts),
        products=_products(toml["products"]) if "products" in toml else None,
        cards=_cards(values.pop("cards")) if "cards" in values else None,
        event_weights=_event_weights(toml["events"]) if "events" in toml else DEFAULT_EVENT_WEIGHTS,
        repeat_after_days=repeat_after_days,
        **values,
    )
    return with_tracking(shop, tracked_events) if tracked_events else shop


def with_tracking(shop: Shop, events: Sequence[str] = TRACKED_EVENTS) -> Shop:
    """Return a shop with what recsys itself has recorded as one more source, in place of such a source that it has.

    Args:
        shop: The mapping.
        events: The recorded events that count, of `TRACKED_EVENTS`. They get the shop's own names of cart events and
            purchases, the first of each.
    """
    sources = tuple(source for source in shop.sources if not isinstance(source, TrackedSource))
    names = {"add_to_cart": shop.cart_events or ("cart",), "purchase": shop.purchase_events or ("purchase",)}
    tables = [source for source in sources if isinstance(source, TableSource)]
    tracked = TrackedSource(
        names=tuple((event, names.get(event, (event,))[0]) for event in events),
        event_ids=tuple((source.table, source.event_id) for source in tables if source.event_id),
    )
    return replace(shop, sources=(*sources, tracked))


def _over_preset(toml: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the tables of recsys.toml over those of the preset that it names.

    In [shop] and [events] each name replaces the preset's; the other tables replace the preset's whole.
    """
    shop = toml.get("shop")
    if not isinstance(shop, Mapping) or "preset" not in shop:
        return toml
    import tomllib

    names = sorted(path.stem for path in PRESETS.glob("*.toml"))
    name = one_of(names).of(shop["preset"], "[shop] `preset`")
    text = (PRESETS / f"{name}.toml").read_text(encoding="utf-8")
    preset = tomllib.loads(text)
    if "table_prefix" in preset["shop"]:
        prefix = shop.get("table_prefix", preset["shop"]["table_prefix"])
        preset = tomllib.loads(text.replace("{{prefix}}", _SHOP["table_prefix"].of(prefix, "[shop] `table_prefix`")))
    tables = {**preset, **toml}
    for table in ("shop", "events"):
        if isinstance(tables[table], Mapping):
            tables[table] = {**preset[table], **tables[table]}
    return tables


def _cards(table: object) -> str:
    values = checked(table, {"query": TEXT}, "[shop.cards]")
    if not values:
        raise SettingsError("[shop.cards] should hold `query`. Received: nothing.")
    return str(values["query"])


def _event_weights(table: object) -> Mapping[str, float]:
    names = table if isinstance(table, Mapping) else {}
    weights = checked(table, dict.fromkeys(names, number(-1, 1)), "[events]")
    if not any(weight > 0 for weight in weights.values()):
        received = shown(dict(names))
        raise SettingsError(f"[events] should give at least one event a weight above 0. Received: {received}.")
    return {name: weight for name, weight in weights.items() if weight}


def _default_sources(contexts: Sequence[str]) -> tuple[TableSource, ...]:
    interactions, comments = DEFAULT_SOURCES
    return replace(interactions, contexts=tuple((name, name) for name in contexts if name == "device_type")), comments


def _sources(blocks: object, contexts: Sequence[str], purchase: str) -> tuple[Source | TableSource, ...]:
    if not isinstance(blocks, list) or not blocks:
        raise SettingsError(f"[[sources]] should be one block or more. Received: {shown(blocks)}.")
    numbered = [f"[[sources]] (block {number})" for number in range(1, len(blocks) + 1)]
    places = ["[[sources]]"] if len(blocks) == 1 else numbered
    return tuple(_source(block, contexts, purchase, place) for block, place in zip(blocks, places, strict=True))


def _source(block: object, contexts: Sequence[str], purchase: str, where: str) -> Source | TableSource:
    """Return a checked block of [[sources]].

    Args:
        block: The block.
        contexts: The context columns of [shop].
        purchase: The shop's name of a purchase, which a source with conditions on purchases need not give.
        where: The block's place in the file, for messages.
    """
    names = set(block) if isinstance(block, Mapping) else set()
    received = listed(sorted(names)) or "nothing"
    if names & set(_SOURCE_TEXTS):
        if names != set(_SOURCE_TEXTS):
            expected = "both `since` and `one_user` and no more"
            raise SettingsError(f"{where} should hold {expected}. Received: {received}.")
        return Source(**checked(block, _SOURCE_TEXTS, where))
    values = checked(block, {**_SOURCE, **dict.fromkeys((*contexts, "device_type"), NAME)}, where)
    if names & set(_ROLES):
        if names & {"event", "rating"}:
            expected = f"{listed(_ROLES)} only where every row is one event, as by `event_name`"
            raise SettingsError(f"{where} should hold {expected}; `where` leaves out rows. Received: {received}.")
        values, names = {"event_name": purchase, **values}, {*names, "event_name"}
    if not {"table", "user", "item", "timestamp"} <= names or len(names & {"event", "event_name", "rating"}) != 1:
        expected = "`table`, `user`, `item`, `timestamp` and one of `event`, `event_name`, `rating`"
        raise SettingsError(f"{where} should name {expected}. Received: {received}.")
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
