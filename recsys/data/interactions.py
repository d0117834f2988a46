"""The events of users and the products of a shop, as parallel arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import field, replace

import numpy as np
from numpy.typing import NDArray

from recsys.data.ids import IdMap
from recsys.errors.records import Record
from recsys.features.query import Mask


class Interactions(Record):
    """Events of a shop, one per position of every array.

    Attributes:
        users: `(n,)` external ids (int64, or object holding str); int32 indices once encoded.
        items: `(n,)` external ids or indices, like `users`.
        events: `(n,)` int16, positions in `event_names`.
        timestamps: `(n,)` int64, seconds since 1970 in UTC.
        row_ids: `(n,)` int64, the order of events with equal timestamps.
        event_names: The names that `events` points into, such as `("view", "cart", "purchase")`.
        contexts: Context columns known before the choice, such as `device_type`: `(n,)` object holding str or None.
        quantities: The number of pieces of each purchase or cancellation, `(n,)` float64; NaN where it is not known.
            None where no source tells quantities.
        sessions: The session of each event, `(n,)` object holding str, or None where it is not known. Cleaning makes
            users of those of guests. None where no source tells sessions, and after cleaning.
    """

    users: NDArray
    items: NDArray
    events: NDArray[np.int16]
    timestamps: NDArray[np.int64]
    row_ids: NDArray[np.int64]
    event_names: tuple[str, ...]
    contexts: Mapping[str, NDArray] = field(default_factory=dict)
    quantities: NDArray[np.float64] | None = None
    sessions: NDArray | None = None

    def __post_init__(self) -> None:
        columns = {"items": self.items, "events": self.events, "timestamps": self.timestamps, "row_ids": self.row_ids}
        optional = {"quantities": self.quantities, "sessions": self.sessions}
        columns |= {name: column for name, column in optional.items() if column is not None}
        for name, column in {**columns, **self.contexts}.items():
            if len(column) != len(self.users):
                raise ValueError(
                    f"`{name}` should have {len(self.users)} rows, as `users` has. Received: {len(column)}."
                )

    def __len__(self) -> int:
        return len(self.users)

    def take(self, which: NDArray) -> Interactions:
        """Return the rows that an index array or a boolean mask selects, in that order."""
        return replace(
            self,
            users=self.users[which],
            items=self.items[which],
            events=self.events[which],
            timestamps=self.timestamps[which],
            row_ids=self.row_ids[which],
            contexts={name: column[which] for name, column in self.contexts.items()},
            quantities=None if self.quantities is None else self.quantities[which],
            sessions=None if self.sessions is None else self.sessions[which],
        )

    def in_order(self) -> Interactions:
        """Return the rows ordered by (timestamp, row id)."""
        if (self.timestamps[1:] > self.timestamps[:-1]).all():
            return self
        return self.take(np.lexsort((self.row_ids, self.timestamps)))


def is_event(interactions: Interactions, names: Collection[str]) -> Mask:
    """Return which rows have an event with one of the names, `(n,)` bool."""
    return np.array([name in names for name in interactions.event_names], bool)[interactions.events]


def data_hash(interactions: Interactions) -> str:
    """Return the SHA-256 of the cleaned events, the same for the same events on any database."""
    digest = hashlib.sha256("\n".join(interactions.event_names).encode())
    for ids in (interactions.users, interactions.items):
        digest.update(ids.tobytes() if ids.dtype.kind in "iu" else "\n".join(ids.tolist()).encode())
    digest.update(interactions.events.tobytes() + interactions.timestamps.tobytes())
    return digest.hexdigest()


class Catalogue(Record):
    """The shop's products, one per position of every array.

    Attributes:
        items: `(n,)` external ids (int64, or object holding str).
        active: `(n,)` bool, whether the shop sells the product now.
        categories: `(n,)` object holding str or None.
        brands: `(n,)` object holding str or None.
        prices: `(n,)` float64, the current price; NaN where unknown.
        names: `(n,)` object holding str or None; None where the shop's mapping has no names.
        tags: `(n,)` object holding str or None, the words that mark a product; None where the mapping has none.
    """

    items: NDArray
    active: Mask
    categories: NDArray
    brands: NDArray
    prices: NDArray[np.float64]
    names: NDArray | None = None
    tags: NDArray | None = None

    def __len__(self) -> int:
        return len(self.items)

    def rows_of(self, items: NDArray) -> NDArray[np.int64]:
        """Return the row of each item, `(k,)` int64; `len(self)` for items that are no product of the shop.

        Args:
            items: `(k,)` external ids.
        """
        order = np.argsort(self.items, kind="stable")
        return np.append(order, len(self))[IdMap(self.items[order]).indices(items)]
