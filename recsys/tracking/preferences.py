"""What a user prefers, folded from their events, and `rec_user_preferences`, which caches it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field

import numpy as np

from recsys import store
from recsys.data.cleaning import valid_history, without_cancelled
from recsys.errors import Overloaded
from recsys.errors.records import Record
from recsys.evaluation.selection import segment_of
from recsys.settings import Shop, TrackedSource, with_tracking
from recsys.store import Database, ProductRow, UserEvents
from recsys.store.products import item_kind
from recsys.store.tracking import begin_preferences, read_preferences, users_with_news, write_preferences
from recsys.store.user import interactions_of, newest_events

NEWEST_EVENTS = 500  # a user's newest events, as many as the models read
USERS_PER_CALL = 1_000
ATTEMPTS = 100  # each failed one means that another thread has just written the same user
DIGITS = 4  # of a score


class Preferences(Record):
    """What a user prefers.

    Attributes:
        categories: A score of each category, above 0 to 1; the best one has 1.
        price_min: The lowest price of the products they chose; None where no price is known.
        price_max: The highest one.
        brands: A score of each brand, as of categories.
    """

    categories: Mapping[str, float] = field(default_factory=dict)
    price_min: float | None = None
    price_max: float | None = None
    brands: Mapping[str, float] = field(default_factory=dict)


def preferences_of(db: Database, user_id: int | str) -> Preferences:
    """Return the preferences of a user as of the last refresh; empty for an unknown user."""
    row = read_preferences(db, str(user_id))
    if row is None:
        return Preferences()
    categories, brands, price_min, price_max = row
    return Preferences(json.loads(categories), price_min, price_max, json.loads(brands))


def refresh_preferences(db: Database, shop: Shop, user_ids: Sequence[int | str] | None = None, *, now: int) -> int:
    """Fold the events of users again, and store their preferences and segments. It may run in many threads at once.

    Args:
        db: The database, not within a transaction.
        shop: The mapping. What recsys itself has recorded counts in any case.
        user_ids: The users; None stands for those who were recorded since their last refresh, at most
            `USERS_PER_CALL` of them: call again until it returns 0.
        now: Seconds since 1970.

    Returns:
        The number of users that were refreshed.

    Raises:
        Overloaded: Other threads keep writing the same user.
    """
    if not any(isinstance(source, TrackedSource) for source in shop.sources):
        shop = with_tracking(shop)
    users = users_with_news(db, USERS_PER_CALL) if user_ids is None else [str(user) for user in user_ids]
    kind = item_kind(db, shop) if users else None
    refreshed = (_refresh(db, shop, user, kind, only_news=user_ids is None, now=now) for user in dict.fromkeys(users))
    return sum(refreshed)


def fold(item_weights: Mapping[int | str, float], products: Iterable[ProductRow]) -> Preferences:
    """Return the preferences of a user who has chosen some items.

    Args:
        item_weights: The sum of the event weights of each item; items at 0 or below say nothing.
        products: The products that the shop still has among them.

    >>> bags = [ProductRow(1, True, "backpacks", "Fern", 30.0), ProductRow(2, True, "belts", "Fern", 12.5)]
    >>> fold({1: 1.0, 2: 0.3, 3: 0.7}, bags)
    Preferences(categories={'backpacks': 1.0, 'belts': 0.3}, price_min=12.5, price_max=30.0, brands={'Fern': 1.0})
    """
    chosen = [product for product in products if item_weights.get(product.item_id, 0.0) > 0]
    prices = [product.price for product in chosen if not np.isnan(product.price)]
    return Preferences(
        categories=_scores((product.category, item_weights[product.item_id]) for product in chosen),
        price_min=min(prices, default=None),
        price_max=max(prices, default=None),
        brands=_scores((product.brand, item_weights[product.item_id]) for product in chosen),
    )


def item_weights(events: UserEvents, shop: Shop, now: int) -> tuple[dict[int | str, float], int]:
    """Return the sum of the event weights of each item, and the number of events, after training's cleaning."""
    kept = without_cancelled(valid_history(interactions_of(events), shop=shop, now=now)[0], shop)
    sums: dict[int | str, float] = {}
    for item, event in zip(kept.items.tolist(), kept.events.tolist(), strict=True):
        sums[item] = sums.get(item, 0.0) + shop.event_weights.get(kept.event_names[event], 0.0)
    return sums, len(kept)


def _refresh(db: Database, shop: Shop, user_id: str, kind: str | None, *, only_news: bool, now: int) -> bool:
    """Fold a user's events until no other thread has written meanwhile; returns whether this one has written."""
    for _ in range(ATTEMPTS):
        revision, pending = begin_preferences(db, user_id, now)
        if only_news and not pending:
            return False  # another thread was faster
        weights, n_events = item_weights(newest_events(db, shop, user_id, NEWEST_EVENTS, item_kind=kind), shop, now)
        found = fold(weights, store.products(db, shop, list(weights)))
        columns = {
            "categories": json.dumps(found.categories),
            "brands": json.dumps(found.brands),
            "price_min": found.price_min,
            "price_max": found.price_max,
        }
        segment = segment_of(n_events)
        if write_preferences(db, user_id, columns, segment, revision=revision, folded=pending, now=now):
            return True
    raise Overloaded("The preferences of one user are written by too many threads at once. Try again.")


def _scores(weights: Iterable[tuple[str | None, float]]) -> dict[str, float]:
    """Return the sum of the weights of each name, the largest as 1; best first, equal ones by name."""
    sums: dict[str, float] = {}
    for name, weight in weights:
        if name is not None:
            sums[name] = sums.get(name, 0.0) + weight
    most = max(sums.values(), default=1.0)
    scores = [(name, round(total / most, DIGITS)) for name, total in sums.items()]
    return dict(sorted(((name, score) for name, score in scores if score > 0), key=lambda row: (-row[1], row[0])))
