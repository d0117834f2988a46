"""The events of users and the products of a shop, as parallel arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Interactions:
    """Events of a shop, one per position of every array.

    Attributes:
        users: `(n,)` external ids (int64, or object holding str); int32 indices once encoded.
        items: `(n,)` external ids or indices, like `users`.
        events: `(n,)` int16, positions in `event_names`.
        timestamps: `(n,)` int64, seconds since 1970 in UTC.
        row_ids: `(n,)` int64, the order of events with equal timestamps.
        event_names: The names that `events` points into, such as `("view", "cart", "purchase")`.
        contexts: Context columns known before the choice, such as `device_type`: `(n,)` object holding str or None.
    """

    users: NDArray
    items: NDArray
    events: NDArray[np.int16]
    timestamps: NDArray[np.int64]
    row_ids: NDArray[np.int64]
    event_names: tuple[str, ...]
    contexts: Mapping[str, NDArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        columns = {"items": self.items, "events": self.events, "timestamps": self.timestamps, "row_ids": self.row_ids}
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
        )

    def in_order(self) -> Interactions:
        """Return the rows ordered by (timestamp, row id)."""
        if (self.timestamps[1:] > self.timestamps[:-1]).all():
            return self
        return self.take(np.lexsort((self.row_ids, self.timestamps)))


def data_hash(interactions: Interactions) -> str:
    """Return the SHA-256 of the cleaned events, the same for the same events on any database."""
    digest = hashlib.sha256("\n".join(interactions.event_names).encode())
    for ids in (interactions.users, interactions.items):
        digest.update(ids.tobytes() if ids.dtype.kind in "iu" else "\n".join(ids.tolist()).encode())
    digest.update(interactions.events.tobytes() + interactions.timestamps.tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Catalogue:
    """The shop's products, one per position of every array.

    Attributes:
        items: `(n,)` external ids (int64, or object holding str).
        active: `(n,)` bool, whether the shop sells the product now.
        categories: `(n,)` object holding str or None.
        brands: `(n,)` object holding str or None.
        prices: `(n,)` float64, the current price; NaN where unknown.
        names: `(n,)` object holding str or None; None where the shop's mapping has no names.
    """

    items: NDArray
    active: NDArray[np.bool_]
    categories: NDArray
    brands: NDArray
    prices: NDArray[np.float64]
    names: NDArray | None = None

    def __len__(self) -> int:
        return len(self.items)
