"""Buy again: how likely a user buys each consumable again in the next weeks, by a hazard model of the shop's purchases.

The model is a logistic regression in discrete time: was a product that a user had bought before bought again within
`HORIZON_DAYS`? It reads how often and how recently they bought it, how much of its usual interval has passed, and how
often others buy it again. Its weights are fitted to the shop's own purchases, because in some shops the interval says
nearly all, and in others nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from recsys.data.cleaning import SECONDS_PER_DAY
from recsys.errors.records import Record
from recsys.features.query import Arrays, Floats, Indices, Mask
from recsys.related.together import orders_of, rank_in_group
from recsys.related.trending import decayed_counts

OCCASION_S = 12 * 3600  # purchases of one item that follow within half a day are one: a second order of a forgotten jar
HORIZON_DAYS = 28  # four whole weeks, because weekends differ from other days
MIN_REPEATERS = 3  # users who bought an item again; of fewer, no interval is known
MIN_SHARE = 0.02  # of an item's buyers who bought it again; of fewer, it is a gift or a replacement
INTERVAL_PRIOR = 5.0  # gaps that an item's category, and a category's shop, count for
OWN_PRIOR = 2.0  # gaps that the item's interval counts for beside the user's own
SHARE_PRIOR = 10.0  # buyers that the shop's share of repeaters counts for
HALF_LIFE_DAYS = 60.0  # of a user's own purchases, as in `recsys.features.query`
RECENT_DAYS = 30.0  # the mean age of what counts for an item's popularity
N_MOMENTS = 2  # moments that the weights are fitted on, each `HORIZON_DAYS` before the next
MAX_ROWS = 200_000  # pairs of user and item at each of them: seven weights need no more
RIDGE = 1.0  # of a weight around its prior; one row of data that says something weighs about as much
STEPS, HALVINGS = 30, 20  # of Newton's method; a dozen steps are usual
LEAST_STEP = 1e-6  # of a weight
MAX_LOGIT = 30.0  # float32 holds exp(30)

# Constant, log of the number of purchases, log of their decayed number, what is missing of the interval, what is over
# it, log-odds of being bought again by others, log of the recent number of purchases. The signs are those of a
# consumable; they stay where a shop has too few purchases to know better.
PRIOR_WEIGHTS = np.array([-4.0, 1.0, 0.5, 0.5, -0.2, 0.2, 0.3])
N_ITEM_FEATURES = 2  # the last two: they depend on the item alone


class Occasions(NamedTuple):
    """Purchases, one row for each item and occasion, in the order of user, item and time.

    Attributes:
        users: `(n,)` integers.
        items: `(n,)` integers.
        timestamps: `(n,)` int64, seconds since 1970: the first purchase of the occasion.
    """

    users: NDArray[np.integer]
    items: NDArray[np.integer]
    timestamps: NDArray[np.int64]

    def until(self, now: int) -> Occasions:
        """Return those up to a moment."""
        rows = self.timestamps <= now
        return Occasions(self.users[rows], self.items[rows], self.timestamps[rows])

    @property
    def is_first(self) -> Mask:
        """Whether a row is its user's first of the item, `(n,)` bool."""
        changes = (self.users[1:] != self.users[:-1]) | (self.items[1:] != self.items[:-1])
        return np.concatenate([np.ones(min(len(self.users), 1), bool), changes])

    @property
    def log_gaps(self) -> NDArray[np.float64]:
        """The log of the days since the user's occasion before with the item, `(n,)` float64; 0 at the first one."""
        days = np.diff(self.timestamps, prepend=self.timestamps[:1]) / SECONDS_PER_DAY
        return np.log(np.where(self.is_first, 1.0, days))


class Histories(NamedTuple):
    """What each user did with each item that they have bought, one row a pair.

    Attributes:
        users: `(k,)` integers.
        items: `(k,)` integers.
        counts: `(k,)` int64, occasions, 1 or more.
        decayed: `(k,)` float64, occasions with a half-life of `HALF_LIFE_DAYS`.
        elapsed: `(k,)` float64, days since the last occasion, 0 or more.
        log_gaps: `(k,)` float64, the sum of the logs of the days between two occasions.
    """

    users: NDArray[np.integer]
    items: NDArray[np.integer]
    counts: NDArray[np.int64]
    decayed: NDArray[np.float64]
    elapsed: NDArray[np.float64]
    log_gaps: NDArray[np.float64]

    def take(self, rows: Mask | slice) -> Histories:
        """Return some of the rows."""
        columns: list[Any] = [column[rows] for column in self]
        return Histories(*columns)


class ItemStatistics(NamedTuple):
    """What all users say of each item.

    Attributes:
        log_intervals: `(n_items,)` float64, the log of the days between two occasions, shrunk.
        is_consumable: `(n_items,)` bool, whether enough users bought the item again.
        features: `(n_items, N_ITEM_FEATURES)` float64.
    """

    log_intervals: NDArray[np.float64]
    is_consumable: Mask
    features: NDArray[np.float64]


class Repurchases(Record):
    """The consumables of a version, and how to tell when one of them is due.

    Attributes:
        intervals: `(n_items,)` float32, days between two purchases; NaN for items that are no consumables.
        logits: `(n_items,)` float32, the item's part of the log-odds, with the constant.
        weights: `(4,)` float32, of what depends on the user's own purchases; see `PRIOR_WEIGHTS`.
    """

    intervals: Floats
    logits: Floats
    weights: Floats

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Build them from a version's arrays."""
        return cls(*(arrays[name] for name in cls.__match_args__))

    def arrays(self) -> dict[str, NDArray]:
        """Return the arrays of a version."""
        return {name: getattr(self, name) for name in self.__match_args__}

    @property
    def n_items(self) -> int:
        """The number of items."""
        return len(self.intervals)

    def odds(self, items: Indices, timestamps: NDArray[np.int64], *, now: int) -> Floats:
        """Return the odds that a user buys each item again within `HORIZON_DAYS`, `(n_items,)` float32.

        They are 0 for items that the user has not bought, that are no consumables, or that were bought within the last
        half day.

        Args:
            items: `(n,)` int32, the items of the user's purchases that stand, in any order.
            timestamps: `(n,)` int64, seconds since 1970; a purchase after `now` counts as one of now.
            now: Seconds since 1970.
        """
        bought = occasions(np.zeros(len(items), np.int64), items, np.minimum(timestamps, now))
        pairs = histories(bought, now)
        just_bought = items[timestamps >= now - OCCASION_S]
        pairs = pairs.take(np.isfinite(self.intervals[pairs.items]) & ~np.isin(pairs.items, just_bought))
        own = _own_features(pairs, np.log(self.intervals[pairs.items].astype(np.float64)))
        odds = np.zeros(self.n_items, np.float32)
        odds[pairs.items] = np.exp(np.clip(self.logits[pairs.items] + own @ self.weights, -MAX_LOGIT, MAX_LOGIT))
        return odds


def repurchases(
    users: NDArray[np.integer],
    items: Indices,
    timestamps: NDArray[np.int64],
    n_items: int,
    *,
    now: int,
    categories: NDArray[np.integer] | None = None,
) -> Repurchases:
    """Find the consumables of a shop, and fit when one of them is due.

    Args:
        users: `(n,)` integers, who bought.
        items: `(n,)` int32, the item of each purchase.
        timestamps: `(n,)` int64, seconds since 1970, in any order; a purchase after `now` counts as one of now.
        n_items: The number of items.
        now: Seconds since 1970.
        categories: `(n_items,)` integers, the category of each item, -1 for none; None where none has one.
    """
    bought = occasions(users, items, np.minimum(timestamps, now))
    if categories is None:
        categories = np.full(n_items, -1)
    features, labels = [], []
    for step in range(1, N_MOMENTS + 1):
        moment = now - step * HORIZON_DAYS * SECONDS_PER_DAY
        found = _labelled(bought, categories, moment)
        features.append(found[0])
        labels.append(found[1])
    weights = fit_logistic(np.concatenate(features), np.concatenate(labels), PRIOR_WEIGHTS)
    found_items = item_statistics(bought, categories, now)
    own = slice(1, len(weights) - N_ITEM_FEATURES)
    return Repurchases(
        intervals=np.where(found_items.is_consumable, np.exp(found_items.log_intervals), np.nan).astype(np.float32),
        logits=(weights[0] + found_items.features @ weights[own.stop :]).astype(np.float32),
        weights=weights[own].astype(np.float32),
    )


def occasions(users: NDArray[np.integer], items: NDArray[np.integer], timestamps: NDArray[np.int64]) -> Occasions:
    """Return purchases as occasions; those of one item of which each follows within `OCCASION_S` are one occasion.

    Args:
        users: `(n,)` integers.
        items: `(n,)` integers, 0 or more.
        timestamps: `(n,)` int64, seconds since 1970, in any order.
    """
    pairs = users.astype(np.int64) * (int(items.max(initial=0)) + 1) + items
    order = np.lexsort((timestamps, pairs))
    numbers = orders_of(pairs, timestamps, gap_s=OCCASION_S)[order]
    order = order[np.flatnonzero(np.diff(numbers, prepend=0))]
    return Occasions(users[order], items[order], timestamps[order])


def histories(bought: Occasions, now: int) -> Histories:
    """Return what each user did with each item up to a moment.

    Args:
        bought: Occasions, all up to `now`.
        now: Seconds since 1970.
    """
    starts = np.flatnonzero(bought.is_first)
    ages = (now - bought.timestamps) / SECONDS_PER_DAY
    ends = np.append(starts, len(ages))[1:]

    def sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.add.reduceat(values, starts) if len(starts) else values

    return Histories(
        users=bought.users[starts],
        items=bought.items[starts],
        counts=ends - starts,
        decayed=sums(0.5 ** (ages / HALF_LIFE_DAYS)),
        elapsed=ages[ends - 1],
        log_gaps=sums(bought.log_gaps),
    )


def item_statistics(bought: Occasions, categories: NDArray[np.integer], now: int) -> ItemStatistics:
    """Return what all users say of each item up to a moment.

    An interval is the median of the logs of gaps, shrunk towards that of the item's category, and this one towards the
    shop's. An item of no category is shrunk towards the shop's.

    Args:
        bought: Occasions, all up to `now`.
        categories: `(n_items,)` integers, -1 for none.
        now: Seconds since 1970.
    """
    n_items = len(categories)
    is_first = bought.is_first
    gap_items, log_gaps = bought.items[~is_first], bought.log_gaps[~is_first]
    shop = np.median(log_gaps) if len(log_gaps) else np.log(HORIZON_DAYS)
    n_categories = int(categories.max(initial=-1)) + 1
    of_gap = categories[gap_items]
    by_category = _shrunken_medians(of_gap[of_gap >= 0], log_gaps[of_gap >= 0], np.full(n_categories, shop))
    towards = np.append(by_category, shop)[categories]  # -1 takes the last one
    n_buyers = np.bincount(bought.items[is_first], minlength=n_items)
    is_second = ~is_first & np.append(False, is_first[:-1])
    n_repeaters = np.bincount(bought.items[is_second], minlength=n_items)
    of_shop = (n_repeaters.sum() + 0.5) / (n_buyers.sum() + 1)  # neither 0 nor 1
    shares = (n_repeaters + SHARE_PRIOR * of_shop) / (n_buyers + SHARE_PRIOR)
    ones = np.ones(len(bought.items), np.float32)
    recent = decayed_counts(bought.items.astype(np.int32), ones, bought.timestamps, n_items, days=RECENT_DAYS, now=now)
    return ItemStatistics(
        log_intervals=_shrunken_medians(gap_items, log_gaps, towards),
        is_consumable=(n_repeaters >= MIN_REPEATERS) & (n_repeaters >= MIN_SHARE * n_buyers),
        features=np.stack([np.log(shares / (1 - shares)), np.log(recent + 0.5)], 1),
    )


def fit_logistic(
    features: NDArray[np.float64], labels: NDArray[np.bool_], prior: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the weights of a logistic regression with a ridge around a prior, `(f,)` float64.

    Newton's method; a step that does not raise the objective is halved, so that it ends on every data.

    Args:
        features: `(n, f)` float64; n may be 0.
        labels: `(n,)` bool.
        prior: `(f,)` float64, the weights without data.
    """

    def objective(weights: NDArray[np.float64]) -> float:
        logits = features @ weights
        return float(logits[labels].sum() - np.logaddexp(0, logits).sum() - RIDGE / 2 * ((weights - prior) ** 2).sum())

    weights, best = prior, objective(prior)
    for _ in range(STEPS):
        chances = 1 / (1 + np.exp(-np.clip(features @ weights, -MAX_LOGIT, MAX_LOGIT)))
        gradient = features.T @ (labels - chances) - RIDGE * (weights - prior)
        curvature = (features.T * (chances * (1 - chances))) @ features + RIDGE * np.eye(len(prior))
        step = np.linalg.solve(curvature, gradient)
        if np.abs(step).max() < LEAST_STEP:
            break
        for _ in range(HALVINGS):
            value = objective(weights + step)
            if value > best:
                break
            step = step / 2
        else:
            break
        weights, best = weights + step, value
    return weights


def _labelled(
    bought: Occasions, categories: NDArray[np.integer], moment: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the features of what was due at a moment, `(k, 7)`, and whether it was bought within the horizon, `(k,)`.

    Of more than `MAX_ROWS` pairs, every second, third or so counts.
    """
    past = bought.until(moment)
    items = item_statistics(past, categories, moment)
    pairs = histories(past, moment)
    pairs = pairs.take(_is_due(pairs) & items.is_consumable[pairs.items])
    pairs = pairs.take(slice(None, None, max(1, -(-len(pairs.items) // MAX_ROWS))))
    after = bought.until(moment + HORIZON_DAYS * SECONDS_PER_DAY)
    is_later, n_items = after.timestamps > moment, len(categories)
    later = after.users[is_later].astype(np.int64) * n_items + after.items[is_later]
    own = _own_features(pairs, items.log_intervals[pairs.items])
    features = np.concatenate([np.ones((len(own), 1)), own, items.features[pairs.items]], 1)
    return features, np.isin(pairs.users.astype(np.int64) * n_items + pairs.items, later)


def _is_due(pairs: Histories) -> Mask:
    """Return whether a purchase now would be another occasion, `(k,)` bool."""
    return pairs.elapsed > OCCASION_S / SECONDS_PER_DAY


def _own_features(pairs: Histories, log_intervals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what depends on the user's own purchases, `(k, 4)` float64; see `PRIOR_WEIGHTS`.

    Args:
        pairs: Rows in which time has passed since the last purchase.
        log_intervals: `(k,)` float64, the log of the items' intervals in days; the user's own gaps are mixed in.
    """
    own = (pairs.log_gaps + OWN_PRIOR * log_intervals) / (pairs.counts - 1 + OWN_PRIOR)
    passed = np.log(pairs.elapsed) - own  # 0 where just the interval has passed
    columns = np.log(pairs.counts), np.log(pairs.decayed + 0.02), np.minimum(passed, 0), np.maximum(passed, 0)
    return np.stack(columns, 1)


def _shrunken_medians(
    groups: NDArray[np.integer], values: NDArray[np.float64], towards: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the median of each group, shrunk towards a value as if it were `INTERVAL_PRIOR` more; `(n_groups,)`.

    Args:
        groups: `(n,)` integers from 0, the group of each value.
        values: `(n,)` float64.
        towards: `(n_groups,)` float64.
    """
    order = np.lexsort((values, groups))
    groups, values = groups[order], values[order]
    counts = np.bincount(groups, minlength=len(towards))
    ranks, sizes = rank_in_group(groups), counts[groups]
    is_middle = (ranks == (sizes - 1) // 2) | (ranks == sizes // 2)
    n_middle = np.bincount(groups[is_middle], minlength=len(towards))
    medians = np.bincount(groups[is_middle], values[is_middle], minlength=len(towards)) / np.maximum(n_middle, 1)
    return np.asarray((counts * medians + INTERVAL_PRIOR * towards) / (counts + INTERVAL_PRIOR), np.float64)
