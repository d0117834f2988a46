"""The shop's own tables, read through its mapping: all events, all products, and what one request needs of them."""

from recsys.store.events import read_interactions
from recsys.store.products import ProductRow, newest_products, products, read_catalogue
from recsys.store.user import UserEvents, purchased_items, user_events

__all__ = [
    "ProductRow",
    "UserEvents",
    "newest_products",
    "products",
    "purchased_items",
    "read_catalogue",
    "read_interactions",
    "user_events",
]
