"""Guesses which tables hold the products, the users and the events of a shop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from recsys.settings import Shop, TableSource, TrackedSource
from recsys.store.database import Database
from recsys.store.names import marked, written
from recsys.store.schema import MOST_COUNTED, Column, Table, count_rows, quoted, read_schema, value_counts
from recsys.store.vocabulary import (
    EVENT_NAMES,
    EVENTS,
    ITEMS,
    KINDS,
    ORDERS,
    RATINGS,
    SESSIONS,
    USERS,
    find_column,
    words,
)

_MOST_SOURCES = 6
# Words of moments, the best first: when the customer decided, before when the row was written.
_MOMENTS = tuple(
    "place placed order purchase purchased bought create created add added viewed happened occurred event visited date "
    "time timestamp at on ts".split()
)
_NOT_MOMENTS = frozenset({"update", "updated", "delete", "cancel", "refund", "void", "modified", "birth", "expire"})
_OF_STAFF = frozenset({"inventory", "stock", "price", "audit", "admin", "staff", "employee", "supplier", "import"})
_NOBODIES: tuple[object, ...] = (0, -1, "", "0", "guest", "anonymous")


@dataclass(frozen=True)
class EventTable:
    """A table that says which user had to do with which product, by itself or through an order.

    Attributes:
        table: The table.
        item: The column of products: its own, or that of the variant if there is one.
        variant: The table of variants that `table` names instead of products; None if it names products itself.
        to_variant: Its column that names the variant, and the variant's that is named.
        user: The column of users, of the order if there is one.
        time: The column of moments.
        time_in_order: Whether it is the order's.
        order: The table of orders whose lines `table` holds; None if it names users itself.
        to_order: Its column that names the order, and the order's that is named.
        row_id: Its column that orders rows; None without a numeric key.
        kind: The event that each row is, `events` if a column says so, or `rating`.
        event: The column of event names or ratings.
        values: The event names that occur.
        values_of: How often each value of a status occurs, by column.
        nobody: The value that stands for guests in the column of users.
        guests: The number of rows with it.
        session: The column that tells the sessions of guests apart, where the column of users is; None without one.
        sessions: The number of different sessions of guests, at most `MOST_COUNTED`.
        reasons: Why it was chosen, as sentences.
    """

    table: Table
    item: Column
    user: Column
    time: Column
    time_in_order: bool
    order: Table | None
    to_order: tuple[str, str] | None
    row_id: str | None
    kind: str
    event: Column | None = None
    values: tuple[object, ...] = ()
    values_of: dict[str, dict[object, int]] = field(default_factory=dict)
    nobody: object = None
    guests: int = 0
    session: Column | None = None
    sessions: int = 0
    reasons: tuple[str, ...] = ()
    variant: Table | None = None
    to_variant: tuple[str, str] | None = None


def guess_products(tables: Sequence[Table]) -> Table | None:
    """Return the table of products: the one that looks most like it by name, columns, and references to it."""
    scored = [(_product_score(table, tables), table) for table in tables if len(table.key) == 1]
    best = max(scored, key=lambda pair: (pair[0], pair[1].rows), default=None)
    return best[1] if best is not None and best[0] >= 4 else None


def _product_score(table: Table, tables: Sequence[Table]) -> int:
    parts = words(table.label)
    if not set(parts) & ITEMS or set(parts) & (ORDERS | USERS):
        return 0
    referring = sum(refers_to(column, table) for other in tables if other is not table for column in other.columns)
    described = sum(find_column(table, part) is not None for part in ("name", "price", "category"))
    return 3 * (len(parts) == 1) + 2 * min(referring, 3) + described + (table.rows > 0) - 2 * ("variant" in parts)


def guess_users(tables: Sequence[Table]) -> Table | None:
    """Return the table of users; None if the shop has none."""
    scored = []
    for table in tables:
        parts = words(table.label)
        if set(parts) & USERS and not set(parts) & ORDERS and table.key:
            has_email = any("email" in "".join(words(column.name)) for column in table.columns)
            is_of_shop = not set(parts) <= {"user", "account"}  # beside customers, users may be the staff
            scored.append((2 * (len(parts) == 1) + 2 * has_email + (table.rows > 0) + is_of_shop, table))
    best = max(scored, key=lambda pair: (pair[0], pair[1].rows), default=None)
    return best[1] if best is not None and best[0] >= 2 else None


def refers_to(column: Column, table: Table) -> bool:
    """Return whether a column names rows of a table, by a foreign key or by its name, such as product_id."""
    if column.target is not None:
        return column.target[0] == table.name
    parts = words(column.name)
    own = [part for part in words(table.label) if part not in {"tbl", "tb", "table"}]
    return (
        len(parts) > 1 and parts[-1] in {"id", "code", "no", "sku", "key", "number"} and parts[:-1] in (own, own[-1:])
    )


def guess_sources(db: Database, tables: Sequence[Table], products: Table, users: Table | None) -> list[EventTable]:
    """Return the tables of events, orders first."""
    found = []
    for table in tables:
        if table is products or table is users or not table.rows or set(words(table.label)) & _OF_STAFF:
            continue
        source = _of_products(table, tables, products, users) or _of_variants(table, tables, products, users)
        if source is not None:
            found.append(_with_values(db, source))
    usable = [source for source in found if source.kind != "events" or source.values]
    return sorted(usable, key=lambda source: (source.kind != "purchase", -source.table.rows))[:_MOST_SOURCES]


def _of_products(table: Table, tables: Sequence[Table], products: Table, users: Table | None) -> EventTable | None:
    """Return a table whose rows name products, unless its key is one: such a table describes products."""
    columns = (column for column in table.columns if refers_to(column, products) and [column.name] != list(table.key))
    item = next(columns, None)
    return _event_table(table, item, tables, users) if item is not None else None


def _of_variants(table: Table, tables: Sequence[Table], products: Table, users: Table | None) -> EventTable | None:
    """Return a table whose rows name variants of products."""
    for variant in tables:
        item = next((column for column in variant.columns if refers_to(column, products)), None)
        column = next((column for column in table.columns if refers_to(column, variant)), None)
        if item is None or column is None or len(variant.key) != 1 or "variant" not in words(variant.label):
            continue
        source = _event_table(table, item, tables, users)
        if source is not None:
            link = (column.name, column.target[1] if column.target else variant.key[0])
            reason = f"{column.name} names a variant; its product counts, by {variant.name}.{item.name}."
            return replace(source, variant=variant, to_variant=link, reasons=(*source.reasons, reason))
    return None


def _event_table(table: Table, item: Column, tables: Sequence[Table], users: Table | None) -> EventTable | None:
    order, link = None, None
    user = _user_column(table, users)
    if user is None:
        order, link = _order_of(table, tables, users)
        user = _user_column(order, users) if order else None
    time = _moment(order) if order else _moment(table)
    time_in_order = order is not None and time is not None
    time = time or _moment(table)
    event, kind = _kind(table, order)
    if user is None or time is None or kind is None:
        return None
    numbers = [column.name for column in table.columns if column.name in table.key and column.kind == "number"]
    row_id = numbers[0] if len(table.key) == 1 and numbers else None
    through = f" through {link[0]} to {order.name}" if order and link else ""
    where = f"{order.name}." if order else ""
    count = f"{table.rows:,} rows{' or more' if table.rows == MOST_COUNTED else ''}"
    names = f"{table.name} ({count}) names products by {item.name} and users{through} by {where}{user.name}"
    reason = f"{names}; moments are {where if time_in_order else ''}{time.name}."
    return EventTable(table, item, user, time, time_in_order, order, link, row_id, kind, event, reasons=(reason,))


def _user_column(table: Table, users: Table | None) -> Column | None:
    if users is not None:
        found = next((column for column in table.columns if refers_to(column, users)), None)
        if found is not None:
            return found
    named = (
        column for column in table.columns if set(words(column.name)) & USERS and column.kind in {"number", "text"}
    )
    return next((column for column in named if words(column.name)[-1] in {"id", "code", "no", "number"} | USERS), None)


def _order_of(
    table: Table, tables: Sequence[Table], users: Table | None
) -> tuple[Table | None, tuple[str, str] | None]:
    """Return the table whose lines a table holds, and the columns that join them."""
    for column in table.columns:
        for other in tables:
            if other is not table and other is not users and refers_to(column, other) and _user_column(other, users):
                key = column.target[1] if column.target else next(iter(other.key), "")
                same = next((own.name for own in other.columns if own.name == column.name), "")
                if key or same:
                    return other, (column.name, key or same)
    return None, None


def _moment(table: Table | None) -> Column | None:
    """Return the column of moments: a date, or a number whose name says that it is one."""
    if table is None:
        return None
    ranked = []
    for place, column in enumerate(table.columns):
        parts = words(column.name)
        rank = min((_MOMENTS.index(part) for part in parts if part in _MOMENTS), default=len(_MOMENTS))
        is_clock = column.kind == "moment" or (
            column.kind == "number" and set(parts) & {"at", "ts", "timestamp", "time"}
        )
        is_text = column.kind == "text" and set(parts) & {"at", "date", "timestamp", "time"}
        if (is_clock or is_text) and not set(parts) & _NOT_MOMENTS:
            ranked.append((rank, place, column))
    return min(ranked, key=lambda entry: entry[:2])[2] if ranked else None


def _kind(table: Table, order: Table | None) -> tuple[Column | None, str | None]:
    """Return the column of event names or ratings, and the kind of the rows; None if nothing tells it."""
    rating = next(
        (column for column in table.columns if column.kind == "number" and set(words(column.name)) & RATINGS), None
    )
    if order is None and rating is not None:
        return rating, "rating"
    named = [*words(order.label if order else ""), *words(table.label)]
    event = next(
        (
            column
            for column in table.columns
            if column.kind == "text" and set(words(column.name)) & (EVENTS | {"type", "kind"})
        ),
        None,
    )
    if order is None and event is not None and (set(words(event.name)) & EVENTS or set(named) & EVENTS):
        return event, "events"
    return None, next((KINDS[part] for part in named if part in KINDS), None)


def _with_values(db: Database, source: EventTable) -> EventTable:
    """Return the table with the values that occur: of events, of statuses, and of users that are nobody."""
    values: dict[Any, int] = {}
    if source.kind == "events" and source.event:
        values = value_counts(db, source.table.name, source.event.name) or {}
        values = {value: count for value, count in values.items() if value is not None}
        if not any(str(value).lower() in EVENT_NAMES for value in values):
            values = {}
    of = source.order or source.table
    statuses = [
        column for column in of.columns if set(words(column.name)) & {"status", "state"} and column.kind != "moment"
    ]
    counts = {column.name: value_counts(db, of.name, column.name) for column in statuses}
    found = {name: count for name, count in counts.items() if count and len(count) > 1}
    nobody, guests = _guests(db, of, source.user)
    session, sessions = _session(db, of, source.user, nobody)
    source = replace(source, values=tuple(values), values_of=found, nobody=nobody, guests=guests)
    return replace(source, session=session, sessions=sessions)


def sessions_left_out(db: Database, shop: Shop) -> list[str]:
    """Return a sentence for each table of a mapping whose column of guests' sessions it does not name."""
    sentences = []
    for source in shop.sources:
        if not isinstance(source, TableSource) or isinstance(source, TrackedSource) or source.session:
            continue
        name, user_name = (written(marked(text)).rpartition(".")[2] for text in (source.table, source.user))
        for table in read_schema(db, name):
            user = next((column for column in table.columns if column.name.lower() == user_name.lower()), None)
            if user is not None:
                session, count = _session(db, table, user, _guests(db, table, user)[0])
                if session is not None:
                    sentences.append(
                        f"{table.name}.{session.name} tells {count:,} sessions of guests apart: with session = "
                        f'"{session.name}" in its [[sources]], training learns from them.'
                    )
    return sentences


def _session(db: Database, table: Table, user: Column, nobody: object) -> tuple[Column | None, int]:
    """Return the column that tells the sessions of guests apart, and their number; None and 0 without one."""
    for column in table.columns:
        if column != user and _names_sessions(column):
            sessions = _count_sessions(db, table, column, user, nobody)
            if sessions > 1:
                return column, sessions
    return None, 0


def _names_sessions(column: Column) -> bool:
    """Return whether a column's name is that of sessions, such as session_id, visitor_id, anonymous_id, cart_token."""
    parts = words(column.name)
    is_id = parts[-1:] != [] and parts[-1] in {"id", "uuid", "guid", "token", "key", "code", "hash", *SESSIONS}
    return column.kind in {"number", "text"} and is_id and bool(set(parts) & SESSIONS)


def _count_sessions(db: Database, table: Table, column: Column, user: Column, nobody: object) -> int:
    """Return the number of different sessions of the rows whose user is a guest."""
    who, session = (f"t.{quoted(db, name)}" for name in (user.name, column.name))
    or_nobody = f" OR {who} = {sql_value(nobody)}" if nobody is not None else ""
    rows = (
        f"SELECT {session} AS session_id FROM {quoted(db, table.name)} t "  # noqa: S608 - quoted
        f"WHERE ({who} IS NULL{or_nobody}) AND {session} IS NOT NULL LIMIT {MOST_COUNTED}"
    )
    return int(db.query(f"SELECT COUNT(DISTINCT s.session_id) FROM ({rows}) s")[0][0])  # noqa: S608 - quoted


def sql_value(value: object) -> str:
    """Return a whole number or a text as SQL writes it."""
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"


def _guests(db: Database, table: Table, user: Column) -> tuple[object, int]:
    """Return the value of a column of users that stands for guests, and how many rows have it."""
    for value in _NOBODIES:
        if isinstance(value, int) == (user.kind in {"number", "flag"}):
            count = count_rows(db, table.name, f"t.{quoted(db, user.name)} = {sql_value(value)}")
            if count > 1:
                return value, count
    return None, 0
