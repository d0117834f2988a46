"""Logs of what visitors do: Retailrocket, REES46 and OTTO."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from recsys.importing.files import EventFile
from recsys.importing.formats.files import (
    EVENT,
    ITEM,
    TIMESTAMP,
    USER,
    Column,
    Flags,
    FormatFile,
    Opened,
    Shape,
    as_batch,
    column,
    open_files,
    options_with,
)

OBJECTS = "Each event of a session should be an object with aid, ts and type."


def open_retailrocket(path: Path, flags: Flags) -> Opened:
    """Open `events.csv`: views, carts and purchases of visitors, with milliseconds. Visitors count from 0."""
    files = open_files(path, r"events\.csv", flags, needs=("timestamp", "visitorid", "event", "itemid"))
    options = options_with(
        flags,
        user="visitorid",
        item="itemid",
        event="event",
        event_map={"addtocart": "cart", "transaction": "purchase"},
        timestamp="timestamp",
        timestamp_unit="ms",
    )
    return Opened(options, FormatFile(files))


def open_rees46(path: Path, flags: Flags) -> Opened:
    """Open REES46's logs, such as `2019-Oct.csv`. Its purchase histories, which have no event, hold purchases.

    Their moments end with the word UTC. Some prices are 0 or below; these events have no price.
    """
    files = open_files(path, r".+\.csv", flags, needs=("event_time", "product_id", "price", "user_id"))
    columns = files[0].columns
    events: dict[str, Any] = {}
    if "event_type" in columns:
        events = {"event": "event_type", "event_map": {"remove_from_cart": "uncart"}}
    options = options_with(
        flags,
        user="user_id",
        item="product_id",
        **events,
        timestamp="event_time",
        timestamp_format="%Y-%m-%d %H:%M:%S UTC",
        category="category_code" if "category_code" in columns else None,
        price="price",
    )
    return Opened(options, FormatFile(files))


def open_otto(path: Path, flags: Flags) -> Opened:
    """Open OTTO's JSON lines: a session a line, each a user, with clicks, carts and orders in milliseconds."""
    files = open_files(path, r".+\.(jsonl|ndjson|json)", flags, needs=("session", "events"))
    options = options_with(
        flags,
        user=USER,
        item=ITEM,
        event=EVENT,
        event_map={"clicks": "view", "carts": "cart", "orders": "purchase"},
        timestamp=TIMESTAMP,
        timestamp_unit="ms",
    )
    return Opened(options, FormatFile(files, _Sessions, (USER, ITEM, EVENT, TIMESTAMP)))


class _Sessions(Shape):
    """Gives each event of a session a row."""

    def rows(self, file: EventFile, batch: Any) -> Any:
        columns: dict[str, Column] = {name: [] for name in (USER, ITEM, EVENT, TIMESTAMP)}
        for session, events in zip(column(batch, "session"), column(batch, "events"), strict=True):
            for event in self._events(events):
                columns[USER].append(session)
                for name, key in ((ITEM, "aid"), (EVENT, "type"), (TIMESTAMP, "ts")):
                    columns[name].append(event.get(key))
        return as_batch(columns)

    def _events(self, text: str | None) -> list[dict[str, str | None]]:
        try:
            events = json.loads(text or "null", parse_int=str, parse_float=str)
        except ValueError:
            events = None
        if not isinstance(events, list):
            self.drop_unread("session without a list of events", text, OBJECTS)
            return []
        whole = [event for event in events if isinstance(event, dict)]
        if len(whole) < len(events):
            self.drop_unread("event that is no object", text, OBJECTS, rows=len(events) - len(whole))
        return [{key: None if value is None else str(value) for key, value in event.items()} for event in whole]
