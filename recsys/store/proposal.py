"""Proposes a mapping of a shop's own tables, from names, types, keys, numbers of rows and values, with its reasons."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from recsys.errors import UsageError
from recsys.errors.wording import listed
from recsys.store.database import Database
from recsys.store.guesses import EventTable, guess_products, guess_sources, guess_users, sql_value
from recsys.store.schema import MOST_COUNTED, Column, Table, count_rows, quoted, read_schema, value_counts
from recsys.store.vocabulary import EVENT_NAMES, find_column, is_active, role_of_status, words

_ACTIVE = frozenset({"active", "enable", "publish", "visible", "available"})
_WEIGHTS = {"purchase": 1.0, "cart": 0.7, "wishlist": 0.5, "view": 0.3}


@dataclass(frozen=True)
class Condition:
    """A condition of a mapping, and why it is there; the SQL is empty where only a person can tell."""

    sql: str
    reason: str


def propose(db: Database) -> str:
    """Return the text of a recsys.toml for a shop of its own design, with the reasons as comments.

    Raises:
        UsageError: No table looks like products, or no table like events of users with products.
    """
    tables = read_schema(db)
    products = guess_products(tables)
    if products is None:
        raise UsageError(
            "A table should look like the shop's products: a key, and names such as product and name. "
            f"Received: {listed([table.name for table in tables])}. docs/SHOP.md tells how to map any tables."
        )
    users = guess_users(tables)
    sources = guess_sources(db, tables, products, users)
    if not sources:
        raise UsageError(
            f"A table should tell which user had to do with which row of {products.name}, and when. "
            f"Received: {listed([table.name for table in tables])}. docs/SHOP.md tells how to map any tables."
        )
    events: dict[str, float] = {}
    blocks = [_source(db, source, events) for source in sources]
    head = [
        "# Proposed from the tables. Read the reasons, and correct what is wrong: docs/SHOP.md.",
        "",
        *_shop(sources, events),
    ]
    return "\n".join([*head, *(line for block in blocks for line in ("", *block)), "", *_products(db, products)]) + "\n"


def _shop(sources: list[EventTable], events: dict[str, float]) -> list[str]:
    lines = ["[shop]", "context_columns = []"]
    clocks = {source.time.kind for source in sources}
    if clocks != {"number"}:
        lines.append('stored_time_zone = "UTC" # change it if the tables hold local time')
    nobodies = {str(source.nobody): None for source in sources if source.session and source.nobody not in (None, "")}
    if nobodies:
        lines.append(f"guests = {json.dumps(list(nobodies))}")
    buys = [name for name, weight in events.items() if weight == 1.0]
    if buys:
        lines.append(f"purchase_events = {json.dumps(buys)}")
        lines.append(
            f"relevant_events = {json.dumps([*buys, *(name for name, weight in events.items() if weight == 0.7)])}"
        )
    heaviest_first = sorted(events.items(), key=lambda entry: -entry[1])
    weights = [f"{name} = {weight}" for name, weight in heaviest_first]
    return [*lines, *(["", "[events]", *weights] if weights else [])]


def _source(db: Database, source: EventTable, events: dict[str, float]) -> list[str]:
    """Return a block of [[sources]]; the weights of its events are added to `events`."""
    event, reasons = _event(db, source, events)
    conditions = _conditions(db, source)
    line, order = "l", "o" if source.order else "l"
    selected = {
        "user_id": f"{order}.{quoted(db, source.user.name)}",
        "item_id": f"{'v' if source.variant else line}.{quoted(db, source.item.name)}",
        "rating" if source.kind == "rating" else "event": event,
        "timestamp": f"{order if source.time_in_order else line}.{quoted(db, source.time.name)}",
        "row_id": f"{line}.{quoted(db, source.row_id)}" if source.row_id else "0",
    }
    select = "SELECT " + ",\n  ".join(f"{sql} AS {name}" for name, sql in selected.items())
    tables = f"FROM {quoted(db, source.table.name)} l"
    if source.order and source.to_order:
        own, other = source.to_order
        tables += f"\nJOIN {quoted(db, source.order.name)} o ON o.{quoted(db, other)} = l.{quoted(db, own)}"
    if source.variant and source.to_variant:
        own, other = source.to_variant
        tables += f"\nJOIN {quoted(db, source.variant.name)} v ON v.{quoted(db, other)} = l.{quoted(db, own)}"
    session = ""
    if source.session:
        session = f",\n  {order}.{quoted(db, source.session.name)} AS session_id"
        reasons.append(
            f"{source.session.name} tells {source.sessions:,} sessions of guests apart: each is a user of its own."
        )
    more = "".join(f"\n  AND {condition.sql}" for condition in conditions if condition.sql)
    comments = [*source.reasons, *reasons, *(condition.reason for condition in conditions)]
    lines = [*map(_comment, comments), "[[sources]]"]
    for name, columns, condition in (
        ("since", f"{select}{session}", f"{selected['timestamp']} >= :since"),
        ("one_user", select, f"{selected['user_id']} = :user_id"),
    ):
        lines.append(_block(name, f"{columns}\n{tables}\nWHERE {condition}{more}"))
    return lines


def _event(db: Database, source: EventTable, events: dict[str, float]) -> tuple[str, list[str]]:
    """Return the SQL of the events' name or rating, and the reasons; weights of new events are added."""
    if source.kind == "rating" and source.event:
        for stars, weight in ((5, 0.6), (4, 0.4), (3, 0.1), (2, -0.3), (1, -0.5)):
            events[f"star{stars}"] = weight
        return f"l.{quoted(db, source.event.name)}", [f"{source.event.name} is taken for stars from 1 to 5."]
    if source.event is None:
        events.setdefault(source.kind, _WEIGHTS.get(source.kind, 0.3))
        return f"'{source.kind}'", []
    names = [str(value) for value in source.values]
    known = {name: EVENT_NAMES[name.lower()] for name in names if name.lower() in EVENT_NAMES}
    for event in known.values():
        events.setdefault(event, _WEIGHTS[event])
    cases = " ".join(f"WHEN {sql_value(name)} THEN '{event}'" for name, event in known.items())
    column = f"l.{quoted(db, source.event.name)}"
    unknown = [name for name in names if name not in known]
    reasons = [
        f"{source.event.name} says what happened: {listed(f'{name} is {event}' for name, event in known.items())}."
    ]
    if unknown:
        reasons.append(f"Left out, for their meaning is not known here: {listed(unknown)}.")
    return f"CASE {column} {cases} END", reasons


def _conditions(db: Database, source: EventTable) -> list[Condition]:
    """Return what makes a row count: of its order if there is one, and of itself."""
    found = []
    if source.order:
        found += _of_table(db, source.order, "o", source.values_of)
    found += _of_table(db, source.table, "l", source.values_of if not source.order else {})
    if source.event and source.kind != "rating":
        known = [str(value) for value in source.values if str(value).lower() in EVENT_NAMES]
        found.append(
            Condition(
                f"l.{quoted(db, source.event.name)} IN ({', '.join(map(sql_value, known))})", "Known events only."
            )
        )
    found += _quantity(db, source.table)
    alias = "o" if source.order else "l"
    if source.guests:
        reason = f"{source.guests:,} rows have the user {source.nobody!r}: guests, who are no single user."
        sql = f"{alias}.{quoted(db, source.user.name)} <> {sql_value(source.nobody)}"
        found.append(Condition("" if source.session else sql, reason))
    return found


def _of_table(db: Database, table: Table, alias: str, values_of: dict[str, dict[object, int]]) -> list[Condition]:
    found = []
    for column in table.columns:
        name, parts = f"{alias}.{quoted(db, column.name)}", words(column.name)
        if (
            column.kind == "moment"
            and column.nullable
            and set(parts) & {"place", "placed", "complete", "completed", "paid"}
        ):
            if count_rows(db, table.name, f"t.{quoted(db, column.name)} IS NULL"):
                found.append(Condition(f"{name} IS NOT NULL", f"Rows without {column.name} do not count."))
        elif column.kind == "moment" and set(parts) & {"cancel", "delete", "void", "refund"}:
            found.append(Condition(f"{name} IS NULL", f"Rows with a {column.name} do not count."))
        elif column.kind == "flag" and set(parts) & {"cancel", "delete", "void", "refund", "test", "draft"}:
            no = f"NOT COALESCE({name}, FALSE)"
            found.append(Condition(no, f"Rows with {column.name} do not count."))
        elif column.name in values_of:
            found += _status(name, column, values_of[column.name])
    return found


def _status(name: str, column: Column, counts: dict[object, int]) -> list[Condition]:
    """Return the condition of a column of statuses; without SQL where the values are not known, such as numbers."""
    shown = listed(f"{value} ({count:,})" for value, count in counts.items())
    roles = {value: role_of_status(str(value)) for value in counts if value is not None}
    good = [value for value, role in roles.items() if role == "good"]
    bad = [value for value, role in roles.items() if role == "bad"]
    others = [value for value, role in roles.items() if role is None]
    if good:
        more = f" Not counted, for their meaning is not known here: {listed(others)}." if others else ""
        values = ", ".join(sql_value(str(value)) for value in good)
        return [Condition(f"{name} IN ({values})", f"{column.name} has {shown}; {listed(good)} count.{more}")]
    if bad:
        values = ", ".join(sql_value(str(value)) for value in bad)
        return [
            Condition(
                f"({name} IS NULL OR {name} NOT IN ({values}))",
                f"{column.name} has {shown}; {listed(bad)} do not count.",
            )
        ]
    return [Condition("", f"PLEASE CHECK: {column.name} has {shown}; which of them are purchases? All count here.")]


def _quantity(db: Database, table: Table) -> list[Condition]:
    """Return the condition that pieces are left."""
    numbers = [column for column in table.columns if column.kind == "number"]
    pieces = [column for column in numbers if set(words(column.name)) & {"quantity", "qty"}]
    back = [column for column in pieces if set(words(column.name)) & {"refund", "return", "cancel"}]
    own = next((column for column in pieces if words(column.name) in (["quantity"], ["qty"], ["qty", "order"])), None)
    if own is None:
        return []
    sql = f"l.{quoted(db, own.name)}" + "".join(f" - COALESCE(l.{quoted(db, column.name)}, 0)" for column in back)
    less = f", less {listed(column.name for column in back)}" if back else ""
    return [Condition(f"{sql} > 0", f"Lines count while pieces are left: {own.name}{less}.")]


def _products(db: Database, table: Table) -> list[str]:
    """Return [products] as a query, with a comment."""
    parts = ("category", "brand", "price", "name")
    found = {part: find_column(table, part) for part in parts}
    active, reasons = _active(db, table)
    selected = {
        "item_id": f"p.{quoted(db, table.key[0])}",
        "active": f"CASE WHEN {active} THEN 1 ELSE 0 END" if active else "1",
        **{part: f"p.{quoted(db, column.name)}" if column else "NULL" for part, column in found.items()},
    }
    missing = [part for part, column in found.items() if column is None]
    comments = [
        f"{table.name} has {_rows(table)}, the key {table.key[0]}, and other tables that refer to it.",
        *reasons,
        *([f"Not found here: {listed(missing)}."] if missing else []),
    ]
    select = "SELECT " + ",\n  ".join(f"{sql} AS {name}" for name, sql in selected.items())
    query = f"{select}\nFROM {quoted(db, table.name)} p"
    return [*map(_comment, comments), "[products]", _block("query", query)]


def _active(db: Database, table: Table) -> tuple[str, list[str]]:
    """Return the condition of active products, empty if there is none, and the reasons."""
    conditions, reasons = [], []
    for column in table.columns:
        name, parts = f"p.{quoted(db, column.name)}", set(words(column.name))
        if column.kind == "moment" and parts & {"delete", "archive", "discontinue"}:
            conditions.append(f"{name} IS NULL")
            reasons.append(f"Products with a {column.name} are not active.")
        elif parts & _ACTIVE and column.kind in {"flag", "number"}:
            conditions.append(name if column.kind == "flag" else f"{name} = 1")
            reasons.append(f"{column.name} says which products are active.")
        elif parts & {"delete", "archive", "hidden", "disable"} and column.kind == "flag":
            conditions.append(f"NOT COALESCE({name}, FALSE)")
            reasons.append(f"Products with {column.name} are not active.")
        elif parts & (_ACTIVE | {"status", "state"}) and column.kind != "moment":
            condition, reason = _active_values(name, column, value_counts(db, table.name, column.name) or {})
            conditions += [condition] if condition else []
            reasons.append(reason)
    return " AND ".join(conditions), reasons or ["No column says which products are active: all are."]


def _active_values(name: str, column: Column, counts: dict[Any, int]) -> tuple[str, str]:
    """Return the condition of a column whose values say which products are active, and the reason."""
    shown = listed(f"{value} ({count:,})" for value, count in counts.items())
    values = [str(value) for value in counts if isinstance(value, str) and is_active(value)]
    if not values:
        return "", f"PLEASE CHECK: {column.name} has {shown or 'many values'}; which products are active?"
    in_values = f"{name} IN ({', '.join(map(sql_value, values))})"
    return in_values, f"{column.name} has {shown}; products with {listed(values)} are active."


def _comment(sentence: str) -> str:
    return f"# {' '.join(sentence.split())}"


def _block(name: str, sql: str) -> str:
    """Return a text of TOML over several lines, or in one line where it holds the quotes that end such a text."""
    return f"{name} = {json.dumps(sql)}" if "'''" in sql else f"{name} = '''\n{sql}\n'''"


def _rows(table: Table) -> str:
    return f"{table.rows:,} rows" if table.rows < MOST_COUNTED else f"{MOST_COUNTED:,} rows or more"
