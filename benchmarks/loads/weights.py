"""Random item-item weights, with the layout and row lengths of trained ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from recsys.features.query import Arrays
from recsys.training.closed_form.co_occurrence import WHOLE_UP_TO, blocks
from recsys.training.closed_form.content import MOST_ALIKE
from recsys.training.closed_form.ease import EXACT_UP_TO, LOCAL_NEIGHBOURS
from recsys.training.closed_form.ease import NEIGHBOURS as EASE_NEIGHBOURS
from recsys.training.closed_form.item_cf import NEIGHBOURS as ITEM_CF_NEIGHBOURS
from recsys.training.closed_form.transitions import NEIGHBOURS as TRANSITIONS

SKEW = 0.8  # exponent of Zipf's law: of 10,000 items the hundred most popular have a quarter of all events
ROWS_AT_ONCE = 512  # of a dense table of random keys
DRAWS_AT_ONCE = 1 << 23
SPARE_DRAWS = 1.5  # popular items are drawn again and again, and count once
PAIRS_AN_EVENT = 10  # distinct items that follow an event or share its user: the row length of a rare item, per event
Pick = Callable[[int], NDArray[np.int32]]


class Popularity:
    """Zipf's law over items in no particular order.

    Attributes:
        shares: `(n_items,)` float64, each item's share of all events.
    """

    def __init__(self, rng: np.random.Generator, n_items: int) -> None:
        self._rng = rng
        self._by_rank = rng.permutation(n_items).astype(np.int32)
        self.shares = np.empty(n_items)
        self.shares[self._by_rank] = np.arange(1, n_items + 1) ** -SKEW
        self.shares /= self.shares.sum()

    def __len__(self) -> int:
        return len(self._by_rank)

    def draw(self, n: int) -> NDArray[np.int32]:
        """Return `(n,)` int32 item indices, popular ones often."""
        most = float(len(self) + 1) ** (1 - SKEW) - 1
        rank = (1 + self._rng.random(n) * most) ** (1 / (1 - SKEW)) - 1  # the inverse of the law's integral
        return self._by_rank[np.minimum(rank, len(self) - 1).astype(np.int32)]


def ease(rng: np.random.Generator, popularity: Popularity) -> Arrays:
    """Return arrays as in `recsys.scorers.item_item`: full rows if EASE is exact, else 100 sources of each target."""
    n = len(popularity)
    if n <= WHOLE_UP_TO:
        starts, neighbours = whole_rows(n)
    elif n <= EXACT_UP_TO:
        starts, neighbours = full_rows(rng, n, EASE_NEIGHBOURS, np.ones(n))
    else:
        starts, neighbours = transposed(*drawn_rows(np.full(n, LOCAL_NEIGHBOURS), n, popularity.draw), EASE_NEIGHBOURS)
    return _table(starts, neighbours, rng.normal(0.005, 0.01, len(neighbours))) | {"tie_break": _tie_break(popularity)}


def transitions(rng: np.random.Generator, popularity: Popularity, n_events: int) -> Arrays:
    """Return arrays as in `recsys.training.closed_form.transitions`; rows of rare items are short.

    Args:
        rng: Random generator.
        popularity: Popularity of the items.
        n_events: Number of events that training would have seen.
    """
    n = len(popularity)
    starts, neighbours = whole_rows(n) if n <= WHOLE_UP_TO else _followers(rng, popularity, n_events, TRANSITIONS)
    return _table(starts, neighbours, rng.exponential(0.02, len(neighbours)) + 1e-4)


def content(rng: np.random.Generator, n_items: int) -> Arrays:
    """Return arrays as in `recsys.training.closed_form.content`, of items that are all described."""
    lengths = np.full(n_items, min(MOST_ALIKE, n_items - 1))
    starts, neighbours = drawn_rows(lengths, n_items, lambda n: rng.integers(0, n_items, n).astype(np.int32))
    return _table(starts, neighbours, 1 - rng.random(len(neighbours)))


def item_cf(rng: np.random.Generator, popularity: Popularity, n_events: int) -> Arrays:
    """Return arrays as in `recsys.scorers.item_item`, without their order within a row, which sums do not depend on."""
    starts, neighbours = _followers(rng, popularity, n_events, ITEM_CF_NEIGHBOURS)
    return _table(starts, neighbours, rng.exponential(0.05, len(neighbours)) + 1e-4) | {
        "tie_break": _tie_break(popularity)
    }


def whole_rows(n: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return rows that have every column: `starts` `(n + 1,)` int64 and `neighbours` int32."""
    return np.arange(n + 1, dtype=np.int64) * n, np.tile(np.arange(n, dtype=np.int32), n)


def full_rows(
    rng: np.random.Generator, n: int, keep: int, weights: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Draw rows of equal length without replacement and without the diagonal, columns ascending.

    The method is that of Efraimidis & Spirakis (2006).

    Args:
        rng: Random generator.
        n: Number of rows and columns.
        keep: Columns of a row, at most `n - 1`.
        weights: `(n,)` above 0; columns with a large weight are in many rows.

    Returns:
        `starts` `(n + 1,)` int64 and `neighbours` int32.
    """
    keep, parts = min(keep, n - 1), []
    scales = (1 / weights).astype(np.float32)
    for first in range(0, n, ROWS_AT_ONCE):
        last = min(first + ROWS_AT_ONCE, n)
        keys = rng.standard_exponential((last - first, n), np.float32) * scales
        keys[np.arange(last - first), np.arange(first, last)] = np.inf
        parts.append(np.sort(np.argpartition(keys, keep - 1, axis=1)[:, :keep], axis=1).astype(np.int32).ravel())
    return np.arange(n + 1, dtype=np.int64) * keep, np.concatenate(parts)


def drawn_rows(lengths: NDArray[np.int64], n: int, pick: Pick) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return rows of at most the given lengths without their diagonal, columns distinct and ascending.

    Args:
        lengths: `(n,)` int64, from 0.
        n: Rows and columns.
        pick: Draws so many columns.
    """
    counts, parts = np.zeros(n, np.int64), [np.zeros(0, np.int32)]
    for first, keys in _draws(lengths, n, pick):
        rows, columns = np.divmod(keys, n)
        rows = rows.astype(np.int64)
        kept = thinned(np.bincount(rows - first, minlength=0), lengths[first:])
        parts.append(columns[kept].astype(np.int32))
        counts += np.bincount(rows[kept], minlength=n)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), np.concatenate(parts)


def _draws(lengths: NDArray[np.int64], n: int, pick: Pick) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield the first of some rows, and the distinct `row · n + column` of these, ascending."""
    tries = np.ceil(lengths * SPARE_DRAWS).astype(np.int64)
    for first, last in blocks(tries, DRAWS_AT_ONCE):
        rows = np.repeat(np.arange(first, last, dtype=np.int64), tries[first:last])
        columns = pick(len(rows))
        keys = np.sort((rows * n + columns)[rows != columns])
        yield first, keys[np.diff(keys, prepend=-1) != 0]


def thinned(counts: NDArray[np.int64], most: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which entries of successive rows stay, so that row i keeps `min(counts[i], most[i])`, evenly spread.

    Args:
        counts: `(r,)` entries of each row.
        most: `(at least r,)` entries that each may keep.
    """
    starts = np.concatenate([[0], np.cumsum(counts)])
    place = np.arange(starts[-1]) - np.repeat(starts[:-1], counts)
    share, count = np.repeat(np.minimum(most[: len(counts)], counts), counts), np.repeat(counts, counts)
    return (place + 1) * share // np.maximum(count, 1) > place * share // np.maximum(count, 1)


def transposed(
    starts: NDArray[np.int64], neighbours: NDArray[np.int32], keep: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the transposed matrix, at most so many columns of each row.

    Args:
        starts: `(n + 1,)` int64.
        neighbours: Columns.
        keep: The longest row.
    """
    n = len(starts) - 1
    rows = np.repeat(np.arange(n, dtype=np.int32), np.diff(starts))[np.argsort(neighbours, kind="stable")]
    counts = np.bincount(neighbours, minlength=n)
    kept = thinned(counts, np.full(n, keep))
    return np.concatenate([[0], np.cumsum(np.minimum(counts, keep))]).astype(np.int64), rows[kept]


def _followers(
    rng: np.random.Generator, popularity: Popularity, n_events: int, keep: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    n = len(popularity)
    if n <= EXACT_UP_TO:
        return full_rows(rng, n, keep, popularity.shares)
    lengths = np.clip(PAIRS_AN_EVENT * n_events * popularity.shares, 1, keep).astype(np.int64)
    return drawn_rows(lengths, n, popularity.draw)


def _table(
    starts: NDArray[np.int64], neighbours: NDArray[np.int32], similarities: NDArray[np.float64]
) -> dict[str, NDArray]:
    return {"starts": starts, "neighbours": neighbours, "similarities": similarities.astype(np.float32)}


def _tie_break(popularity: Popularity) -> NDArray[np.float32]:
    return (popularity.shares / popularity.shares.max() * 1e-6).astype(np.float32)
