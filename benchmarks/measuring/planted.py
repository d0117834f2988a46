"""Shops to train on, as SQLite files: a synthetic one with planted tastes, and one resampled from online-retail."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.loads.shops import BRANDS, fill
from benchmarks.loads.users import EVENTS, FIRST_ITEM, FIRST_USER, SECONDS_PER_DAY, SHARES, SyntheticUsers
from recsys.data.interactions import Catalogue, Interactions

NOW = 1_750_000_000  # seconds since 1970, at which the shops are trained
DAYS = 240
EVENTS_OF_A_USER, EVENTS_OF_AN_ITEM = 10, 50  # means, so that a million events have 100,000 users and 20,000 items
TOPICS = 40
TASTES = 3  # topics that a user likes
POPULARITY = 3  # the larger, the longer the tail of rarely chosen items
FOLLOWS, IN_TASTE = 0.3, 0.5  # shares of events: an item that follows the one before, one of a liked topic
MOST_EVENTS = 200
DEVICES = ("desktop", "mobile")


def planted(n_events: int, seed: int) -> tuple[Interactions, Catalogue]:
    """Return events of users who like some topics, and who often go on to an item that follows the one before.

    Args:
        n_events: About how many events there are.
        seed: Of every draw.
    """
    rng = np.random.default_rng([seed, n_events])
    n_users, n_items = n_events // EVENTS_OF_A_USER, n_events // EVENTS_OF_AN_ITEM
    lengths = np.clip(rng.lognormal(np.log(EVENTS_OF_A_USER) - 0.5, 1.0, n_users), 1, MOST_EVENTS)
    lengths = np.maximum(np.round(lengths * (n_events / lengths.sum())), 1).astype(np.int64)
    topics = rng.integers(0, TOPICS, n_items)
    place, sizes = np.argsort(topics, kind="stable"), np.bincount(topics, minlength=TOPICS)
    starts = np.cumsum(sizes) - sizes
    tastes = rng.integers(0, TOPICS, (n_users, TASTES))
    newest, parts = np.zeros(n_users, np.int64), []
    for position in range(int(lengths.max())):
        users = np.flatnonzero(lengths > position)
        draw, topic = rng.random(len(users)), tastes[users, rng.integers(0, TASTES, len(users))]
        topic = np.where(draw < FOLLOWS + IN_TASTE, topic, rng.integers(0, TOPICS, len(users)))
        items = place[starts[topic] + (sizes[topic] * rng.random(len(users)) ** POPULARITY).astype(np.int64)]
        if position:
            following = (newest[users] + 1 + rng.integers(0, 3, len(users))) % n_items
            items = np.where(draw < FOLLOWS, following, items)
        newest[users] = items
        parts.append((users, items, np.full(len(users), position)))
    users, items, positions = (np.concatenate(column) for column in zip(*parts, strict=True))
    firsts = rng.integers(0, DAYS // 2 * SECONDS_PER_DAY, n_users)
    steps = rng.exponential(DAYS * SECONDS_PER_DAY / 2 / np.maximum(lengths, 5)[users], len(users)).astype(np.int64)
    order = np.lexsort((positions, users))
    sums = np.cumsum(steps[order])
    first = np.cumsum(lengths) - lengths
    since_first = sums - np.repeat(sums[first], lengths)
    moments = (
        NOW - DAYS * SECONDS_PER_DAY + np.minimum(firsts[users[order]] + since_first, (DAYS - 1) * SECONDS_PER_DAY)
    )
    brands = np.array(BRANDS, object)[rng.integers(0, len(BRANDS), n_items)]
    categories = np.array([f"topic-{topic:02}" for topic in topics], object)
    return _interactions(rng, users[order], items[order], moments), _catalogue(categories, brands)


def resampled(source: Interactions, n_events: int, seed: int) -> tuple[Interactions, Catalogue]:
    """Return events of users drawn with replacement, each draw as a user of its own; the items stay.

    Args:
        source: The events to draw from.
        n_events: About how many events there are.
        seed: Of every draw.
    """
    rng = np.random.default_rng([seed, n_events])
    _, users = np.unique(source.users.astype(str), return_inverse=True)
    ids, items = np.unique(source.items.astype(str), return_inverse=True)
    order = np.argsort(users, kind="stable")
    ends = np.concatenate([[0], np.cumsum(np.bincount(users))])
    drawn = rng.integers(0, len(ends) - 1, 2 * n_events * (len(ends) - 1) // len(users) + 1)
    drawn = drawn[: int(np.searchsorted(np.cumsum(np.diff(ends)[drawn]), n_events)) + 1]
    rows = np.concatenate([order[ends[user] : ends[user + 1]] for user in drawn])
    new_users = np.repeat(np.arange(len(drawn)), np.diff(ends)[drawn])
    moments = source.timestamps[rows] + NOW - SECONDS_PER_DAY - source.timestamps.max()
    nothing = np.full(len(ids), None, object)
    purchase = np.full(len(rows), EVENTS.index("purchase"))
    return _interactions(rng, new_users, items[rows], moments, purchase), _catalogue(nothing, nothing)


def write(folder: Path, events: Interactions, catalogue: Catalogue) -> str:
    """Write the shop into a SQLite file of a folder, with an empty `recsys.toml`; returns the URL."""
    url = f"sqlite:///{folder / 'shop.sqlite'}"
    fill(url, catalogue, SyntheticUsers({}, events, NOW))
    (folder / "recsys.toml").touch()
    return url


def _interactions(
    rng: np.random.Generator,
    users: NDArray[np.int64],
    items: NDArray[np.int64],
    moments: NDArray[np.int64],
    events: NDArray[np.int64] | None = None,
) -> Interactions:
    order = np.argsort(moments, kind="stable")
    events = rng.choice(len(EVENTS), len(users), p=SHARES) if events is None else events
    return Interactions(
        users=users[order] + FIRST_USER,
        items=items[order] + FIRST_ITEM,
        events=events[order].astype(np.int16),
        timestamps=moments[order].astype(np.int64),
        row_ids=np.arange(1, len(users) + 1),
        event_names=EVENTS,
        contexts={"device_type": np.array(DEVICES, object)[rng.integers(0, len(DEVICES), len(users))]},
    )


def _catalogue(categories: NDArray, brands: NDArray) -> Catalogue:
    n = len(categories)
    return Catalogue(np.arange(FIRST_ITEM, FIRST_ITEM + n), np.ones(n, bool), categories, brands, np.full(n, 10.0))
