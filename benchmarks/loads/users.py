"""The users of a synthetic shop: groups by the length of their history, and their events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.loads.weights import Popularity
from recsys.data.interactions import Interactions

USUAL, FRESH = "usual", "fresh"
HISTORIES = (10, 50, 200, 500)  # number of events of each user in the group of that name
# Standard deviation of the log of the number of events: the busiest of a hundred users has six times the median
ITEM_ITEM = 0.8
MOST_EVENTS = 2_000
GROUP = 100  # users in each group except `usual`
FRESH_EVENTS = 5  # since training, enough to evaluate models on
EVENTS, SHARES = ("view", "cart", "purchase"), (0.7, 0.2, 0.1)
DEVICES = ("desktop", "mobile", "tablet")
DAYS = 240
SECONDS_PER_DAY = 86_400
FIRST_USER, FIRST_ITEM = 1001, 101  # so that no index equals an id


@dataclass(frozen=True)
class SyntheticUsers:
    """Disjoint groups of users.

    Attributes:
        groups: External ids by group: `usual`; `10`, `50` … by the number of their events; `fresh` with events since
            training.
        events: The events of all groups, in the order of time.
        data_until: Seconds since 1970; training sees the events up to this time.
    """

    groups: Mapping[str, Sequence[int]]
    events: Interactions
    data_until: int

    @property
    def learned(self) -> Interactions:
        """The events that training sees."""
        return self.events.take(self.events.timestamps <= self.data_until)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of the table Interactions."""
        moments = np.char.replace(self.events.timestamps.astype("datetime64[s]").astype(str), "T", " ")
        columns = self.events.users, self.events.items, self.events.events, self.events.contexts["device_type"], moments
        for user, item, event, device, moment in zip(*(column.tolist() for column in columns), strict=True):
            yield {
                "userId": user,
                "productId": item,
                "actionCode": EVENTS[event],
                "device_type": device,
                "timestamp": moment,
            }


def make_users(
    rng: np.random.Generator, popularity: Popularity, *, n_users: int, n_usual: int, history: int, data_until: int
) -> SyntheticUsers:
    """Draw the users of all groups, with histories drawn by popularity.

    Args:
        rng: Random generator.
        popularity: Popularity of the items.
        n_users: Number of users to draw from.
        n_usual: Number of users in the group `usual`.
        history: Median number of events of these users.
        data_until: Seconds since 1970; the group `fresh` also has events within the day after it.
    """
    sizes = {USUAL: n_usual, **{str(length): GROUP for length in HISTORIES}, FRESH: GROUP}
    users = rng.choice(n_users, sum(sizes.values()), replace=False) + FIRST_USER
    groups = dict(zip(sizes, np.split(users, np.cumsum(list(sizes.values()))[:-1]), strict=True))
    lengths = {
        name: np.full(len(ids), history if name == FRESH else 0 if name == USUAL else int(name))
        for name, ids in groups.items()
    }
    usual = np.exp(rng.normal(np.log(history), ITEM_ITEM, n_usual))
    lengths[USUAL] = np.clip(usual, 1, MOST_EVENTS).astype(np.int64)
    past = np.repeat(users, np.concatenate(list(lengths.values())))
    later = np.repeat(groups[FRESH], FRESH_EVENTS)
    moments = (
        data_until - rng.integers(0, DAYS * SECONDS_PER_DAY, len(past)),
        data_until + rng.integers(60, 3600, len(later)),
    )
    events = rng.choice(len(EVENTS), len(past), p=SHARES), np.full(len(later), EVENTS.index("cart"))
    made = _in_order(rng, popularity, np.concatenate([past, later]), np.concatenate(events), np.concatenate(moments))
    return SyntheticUsers({name: ids.tolist() for name, ids in groups.items()}, made, data_until)


def _in_order(
    rng: np.random.Generator,
    popularity: Popularity,
    users: NDArray[np.int64],
    events: NDArray[np.int64],
    moments: NDArray[np.int64],
) -> Interactions:
    order = np.argsort(moments, kind="stable")
    return Interactions(
        users=users[order].astype(np.int64),
        items=popularity.draw(len(users)).astype(np.int64) + FIRST_ITEM,
        events=events[order].astype(np.int16),
        timestamps=moments[order].astype(np.int64),
        row_ids=np.arange(1, len(users) + 1),
        event_names=EVENTS,
        contexts={"device_type": np.array(DEVICES, object)[rng.integers(0, len(DEVICES), len(users))]},
    )
