"""The words by which tables, columns, events and statuses of shops are known."""

from __future__ import annotations

import re
from collections.abc import Mapping

from recsys.store.schema import Column, Table

ITEMS = frozenset({"product", "item", "article", "artikel", "sku", "good", "book", "produit", "produto", "variant"})
USERS = frozenset({"user", "customer", "client", "member", "account", "buyer", "shopper", "visitor", "kunde"})
SESSIONS = frozenset({"session", "sessionid", "visitor", "visit", "anonymous", "anon", "guest", "cookie", "cart"})
ORDERS = frozenset({"order", "sale", "purchase", "invoice", "transaction", "checkout", "bestellung"})
# What a table of events without a column of names holds, by a word of its name.
KINDS: Mapping[str, str] = {
    **dict.fromkeys(ORDERS, "purchase"),
    **dict.fromkeys(("cart", "basket"), "cart"),
    **dict.fromkeys(("wishlist", "favorite", "favourite", "wish", "like", "bookmark"), "wishlist"),
    **dict.fromkeys(("view", "visit", "click", "pageview", "impression"), "view"),
}
EVENTS = frozenset({"event", "action", "activity", "interaction", "log", "track", "behavior", "behaviour"})
RATINGS = frozenset({"rating", "star", "score", "stars", "note"})
_EVENT_WORDS: Mapping[str, tuple[str, ...]] = {
    "view": ("view", "views", "click", "clicks", "pv", "detail", "page_view", "view_item", "product_view", "visit"),
    "cart": ("cart", "carts", "addtocart", "add_to_cart", "add-to-cart", "basket", "add_to_basket", "addcart"),
    "wishlist": ("wishlist", "fav", "favorite", "favourite", "like", "add_to_wishlist", "bookmark"),
    "purchase": ("purchase", "purchases", "buy", "order", "orders", "transaction", "bought", "sale", "checkout"),
}
EVENT_NAMES: Mapping[str, str] = {name: event for event, names in _EVENT_WORDS.items() for name in names}
_BAD = re.compile(
    r"cancel|refund|return|void|fail|declin|reject|pending|draft|unpaid|expir|fraud|abandon|hold|cart|await|unconfirm|"
    r"incomplete|invalid|deleted|^new$|^open$|^created$|^un|\bnot\b",
    re.IGNORECASE,
)
_GOOD = re.compile(
    r"paid|complete|fulfil|shipp|deliver|done|finish|process|confirm|approv|success|closed|invoiced|sent|captured",
    re.IGNORECASE,
)
_PARTLY = re.compile(r"partial", re.IGNORECASE)
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "category": ("category", "kategorie", "department", "group", "collection"),
    "brand": ("brand", "vendor", "manufacturer", "maker", "marke"),
    "price": ("price", "preis", "prix", "amount"),
    "name": ("name", "title", "label", "bezeichnung"),
}


_VERBS = "cancel refund return order archive publish enable disable delete void discontinue".split()
_PAST = {base + ending: base for base in _VERBS for ending in ("ed", "d", "led")}


def words(name: str) -> list[str]:
    """Return the words of a name in lower case and in the singular, without endings such as -ed.

    >>> words("orderItems"), words("cancelled_at"), words("ProductID"), words("categories")
    (['order', 'item'], ['cancel', 'at'], ['product', 'id'], ['category'])
    """
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)
    return [_stem(part.lower()) for part in parts]


def _stem(word: str) -> str:
    if word in {"status", "sales", "address", "series", "goods"}:
        return {"sales": "sale", "goods": "good"}.get(word, word)
    for ending, instead in (("ies", "y"), ("sses", "ss"), ("s", "")):
        if word.endswith(ending) and not word.endswith("ss") and len(word) > len(ending) + 2:
            word = word[: -len(ending)] + instead
            break
    return _PAST.get(word, word)


def role_of_status(value: str) -> str | None:
    """Return whether orders of a status were bought: `good`, `bad`, or None if the word is not known.

    >>> role_of_status("PAID"), role_of_status("cancelled"), role_of_status("partially_refunded"), role_of_status("3")
    ('good', 'bad', 'good', None)
    """
    if _PARTLY.search(value) and not re.search("cancel|void|paid", value, re.IGNORECASE):
        return "good"  # some goods stay with the customer
    if _BAD.search(value):
        return "bad"
    return "good" if _GOOD.search(value) else None


def is_active(value: str) -> bool:
    """Return whether products of a status, or of a flag as text, are sold.

    >>> is_active("Published"), is_active("Y"), is_active("inactive"), is_active("draft")
    (True, True, False, False)
    """
    yes = r"(is_?)?(active|published|enabled|available|live|visible|online|y|yes|t|true|1|on)"
    return re.fullmatch(yes, value.strip(), re.IGNORECASE) is not None


def find_column(table: Table, part: str) -> Column | None:
    """Return the column of products that holds their category, brand, price or name; the first of the best word."""
    for word in _COLUMNS[part]:
        for column in table.columns:
            parts = words(column.name)
            if word in parts and len(parts) <= 2 and (part != "price" or column.kind == "number"):
                return column
    return None
