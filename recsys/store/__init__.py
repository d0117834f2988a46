"""The shop's database, through the only SQL of the project."""

from recsys.store.cards import ProductCard, item_of_handle, product_cards
from recsys.store.database import Database, Duplicate, UnusableValue, connect
from recsys.store.encoders import (
    StoredEncoders,
    find_user,
    list_versions,
    purge,
    purge_unfinished,
    read_version,
    require_version,
    set_active,
    write_version,
)
from recsys.store.events import count_rows, count_users, read_interactions
from recsys.store.lists import ListRow, ListRun, begin_run, finish_run, read_list, write_lists
from recsys.store.migrations import migrate
from recsys.store.monitoring import Answered, answers_since, encoder_counts, runs_since, shown_versions
from recsys.store.products import ProductRow, newest_products, products, read_catalogue
from recsys.store.user import UserEvents, bought_items, user_events
from recsys.store.users import IDS_A_STATEMENT, EventsOfUsers, chunked, count_events, events_of_users

__all__ = [
    "Answered",
    "answers_since",
    "encoder_counts",
    "runs_since",
    "shown_versions",
    "Database",
    "Duplicate",
    "ProductCard",
    "ProductRow",
    "StoredEncoders",
    "UnusableValue",
    "UserEvents",
    "bought_items",
    "connect",
    "count_rows",
    "count_users",
    "find_user",
    "item_of_handle",
    "list_versions",
    "migrate",
    "newest_products",
    "product_cards",
    "products",
    "purge",
    "purge_unfinished",
    "read_catalogue",
    "read_interactions",
    "read_version",
    "require_version",
    "set_active",
    "user_events",
    "write_version",
    "EventsOfUsers",
    "IDS_A_STATEMENT",
    "ListRow",
    "ListRun",
    "begin_run",
    "chunked",
    "count_events",
    "events_of_users",
    "finish_run",
    "read_list",
    "write_lists",
]
