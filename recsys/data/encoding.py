"""The encoders of a version, which map ids and context values to indices, and the encoding of events."""

from __future__ import annotations

import numpy as np

from recsys.data.cleaning import confidences, frequent_ids
from recsys.data.context import CLOCK_FEATURES, ContextEncoder, clock_columns
from recsys.data.dataset import Dataset, first_of_moment
from recsys.data.ids import IdMap
from recsys.data.interactions import Catalogue, Interactions, is_event
from recsys.errors.records import Record
from recsys.features.query import Indices
from recsys.settings import Shop, Training


class Encoders(Record):
    """The three encoders of a version; in each, the index one past the last means "unknown".

    Attributes:
        users: Encodes users with an event on an encoded item.
        items: Encodes items with enough events.
        contexts: Encodes context features.
        item_categories: `(n_items + 1,)` int32, the index of each item in the feature `category`; the last entry stands
            for "no item".
    """

    users: IdMap
    items: IdMap
    contexts: ContextEncoder
    item_categories: Indices

    @classmethod
    def fit(cls, interactions: Interactions, catalogue: Catalogue, min_item_events: int) -> Encoders:
        """Fit the encoders on the events before a cut.

        Args:
            interactions: Cleaned events before the cut.
            catalogue: The shop's products.
            min_item_events: Items with fewer events are left out.
        """
        users, items = (IdMap(ids) for ids in frequent_ids(interactions, 1, min_item_events))
        contexts = ContextEncoder.fit(interactions.contexts, catalogue.categories)
        categories = np.append(catalogue.categories, np.array([None]))[catalogue.rows_of(items.ids)]
        return cls(users, items, contexts, contexts.column("category", [*categories, None]))


def encode(interactions: Interactions, encoders: Encoders, shop: Shop, training: Training, now: int) -> Dataset:
    """Return the events on known users and items, ordered by (user, timestamp, row id).

    Args:
        interactions: Cleaned events.
        encoders: Fitted on the events before the cut.
        shop: Holds event weights, purchase events and the time zone.
        training: Holds the half-life of confidences.
        now: Seconds since 1970 at which the age of events is measured.
    """
    ordered = interactions.in_order()
    users, items = encoders.users.indices(ordered.users), encoders.items.indices(ordered.items)
    known = (users < encoders.users.unknown) & (items < encoders.items.unknown)
    order = np.flatnonzero(known)[np.argsort(users[known], kind="stable")]
    rows = ordered.take(order)
    users, items = users[order], items[order]
    return Dataset(
        users=users,
        items=items,
        weights=confidences(rows, shop.event_weights, 0, now),
        confidences=confidences(rows, shop.event_weights, training.half_life_days, now),
        timestamps=rows.timestamps,
        purchases=is_event(rows, shop.purchase_events),
        contexts=_contexts(rows, users, items, encoders, shop),
        n_users=len(encoders.users),
        n_items=len(encoders.items),
        context_sizes=encoders.contexts.sizes,
    )


def _contexts(rows: Interactions, users: Indices, items: Indices, encoders: Encoders, shop: Shop) -> Indices:
    """Return the context that is known before each event, `(n, m)` int32.

    The category of an event's context is the category of the user's event before it.
    """
    clock = (
        clock_columns(rows.timestamps, shop.time_zone)
        if len(rows)
        else {name: np.zeros(0, np.int32) for name in CLOCK_FEATURES}
    )
    previous = np.full(len(rows), len(encoders.items))
    if len(rows):
        earlier = first_of_moment(users, rows.timestamps) - 1
        same_user = (earlier >= 0) & (users[earlier] == users)
        previous[same_user] = items[earlier[same_user]]
    columns = []
    for name in encoders.contexts.features:
        if name in clock:
            columns.append(clock[name])
        elif name == "category":
            columns.append(encoders.item_categories[previous])
        else:
            columns.append(encoders.contexts.column(name, rows.contexts[name].tolist()))
    return np.stack(columns, axis=1)
