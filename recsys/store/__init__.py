"""The shop's database, through the only SQL of the project."""

from recsys.store.database import Database, Duplicate, Stream, UnusableValue, connect
from recsys.store.encoders import (
    find_user,
    item_ids,
    item_indices,
    list_versions,
    purge,
    purge_unfinished,
    read_contexts,
    require_version,
    set_active,
    write_version,
)
from recsys.store.events import read_interactions
from recsys.store.migrations import migrate
from recsys.store.products import ProductRow, newest_products, products, read_catalogue
from recsys.store.user import UserEvents, purchased_items, user_events

__all__ = [
    "Database",
    "Duplicate",
    "ProductRow",
    "Stream",
    "UnusableValue",
    "UserEvents",
    "connect",
    "find_user",
    "item_ids",
    "item_indices",
    "list_versions",
    "migrate",
    "newest_products",
    "products",
    "purchased_items",
    "purge",
    "purge_unfinished",
    "read_catalogue",
    "read_contexts",
    "read_interactions",
    "require_version",
    "set_active",
    "user_events",
    "write_version",
]
