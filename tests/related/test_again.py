"""Buy again: occasions, intervals, which items are consumables, and what is due."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.related.again import (
    OCCASION_S,
    PRIOR_WEIGHTS,
    Repurchases,
    fit_logistic,
    histories,
    item_statistics,
    occasions,
    repurchases,
)

DAY = 86_400
NOW = 1_700_000_000
NONE = np.zeros(0, np.int64)

Rows = list[tuple[int, int, float]]  # user, item, days before now


def columns(rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
    users, items, ages = np.array(rows, float).reshape(-1, 3).T
    return users.astype(np.int64), items.astype(np.int32), (NOW - np.round(ages * DAY)).astype(np.int64)


def found(rows: Rows, n_items: int, categories: list[int] | None = None) -> Repurchases:
    return repurchases(
        *columns(rows), n_items, now=NOW, categories=None if categories is None else np.array(categories)
    )


def repeated(item: int, *gaps: float, first_user: int = 0) -> Rows:
    """Return two purchases of one item by each of some users, the last one 100 days ago."""
    return [(user, item, age) for user, gap in enumerate(gaps, start=first_user) for age in (100.0, 100.0 + gap)]


@pytest.mark.parametrize(
    ("seconds", "starts"),
    [
        ([], []),
        ([5], [5]),
        ([5, 5, 5], [5]),  # one moment
        ([OCCASION_S, 0], [0]),  # one day, in any order
        ([0, OCCASION_S + 1], [0, OCCASION_S + 1]),
        ([0, OCCASION_S, 2 * OCCASION_S, 4 * OCCASION_S], [0, 4 * OCCASION_S]),  # each follows the one before
    ],
)
def test_purchases_of_half_a_day_are_one_occasion(seconds: list[int], starts: list[int]) -> None:
    times = np.array([*seconds, *seconds, *seconds], np.int64)
    users, items = (np.repeat(values, len(seconds)) for values in ([3, 3, 4], [0, 9, 0]))

    bought = occasions(users, items, times)

    of_pairs = list(zip(bought.users.tolist(), bought.items.tolist(), strict=True))
    assert of_pairs == [pair for pair in ((3, 0), (3, 9), (4, 0)) for _ in starts]
    assert bought.timestamps.tolist() == starts * 3


def test_histories_count_what_each_user_did_with_each_item() -> None:
    pairs = histories(occasions(*columns([(1, 5, 60), (1, 5, 0), (1, 5, 20), (2, 5, 120), (1, 4, 1)])), NOW)

    assert list(zip(pairs.users.tolist(), pairs.items.tolist(), strict=True)) == [(1, 4), (1, 5), (2, 5)]
    assert pairs.counts.tolist() == [1, 3, 1]
    assert pairs.elapsed.tolist() == [1, 0, 120]
    assert pairs.decayed.tolist() == pytest.approx([0.5 ** (1 / 60), 0.5 + 0.5 ** (1 / 3) + 1, 0.25])
    assert pairs.log_gaps.tolist() == pytest.approx([0, math.log(40 * 20), 0])


def test_an_interval_is_the_median_gap_shrunk_to_its_category_and_the_shop() -> None:
    rows = [*repeated(0, 10, 20, 40), *repeated(1, 80, 80, 80, 80), *repeated(2, 5), (9, 3, 100)]
    shop = (math.log(40) + math.log(80)) / 2  # the gaps are 5, 10, 20, 40, 80, 80, 80, 80

    alone = found(rows, 5).intervals
    assert alone[0] == pytest.approx(math.exp((3 * math.log(20) + 5 * shop) / 8))
    assert alone[1] == pytest.approx(math.exp((4 * math.log(80) + 5 * shop) / 9))
    assert np.isnan(alone[2:]).all()  # one user, nobody, and no purchase at all

    of_categories = found(rows, 5, [0, 1, 0, 0, -1]).intervals
    category = (4 * (math.log(10) + math.log(20)) / 2 + 5 * shop) / 9  # 5, 10, 20, 40
    assert of_categories[0] == pytest.approx(math.exp((3 * math.log(20) + 5 * category) / 8))


@pytest.mark.parametrize(
    ("n_repeaters", "n_buyers", "is_consumable"),
    [(0, 50, False), (2, 4, False), (3, 3, True), (3, 150, True), (3, 151, False)],
)
def test_a_consumable_is_bought_again_by_enough_users(n_repeaters: int, n_buyers: int, is_consumable: bool) -> None:
    rows = [*repeated(0, *[30.0] * n_repeaters), *((user, 0, 100.0) for user in range(n_repeaters, n_buyers))]

    users, items, times = columns(rows)
    of_items = item_statistics(occasions(users, items, times), np.array([-1]), NOW)

    assert of_items.is_consumable.tolist() == [is_consumable]
    assert np.isfinite(of_items.features).all() and np.isfinite(of_items.log_intervals).all()


def with_intervals(*intervals: float) -> Repurchases:
    """Return consumables of a shop that knows no better than the weights before any data."""
    n_items = len(intervals)
    own = PRIOR_WEIGHTS[1:5].astype(np.float32)
    return Repurchases(np.array(intervals, np.float32), np.full(n_items, -2, np.float32), own)


def odds_of(items: Repurchases, *purchases: tuple[int, float]) -> list[float]:
    _, which, times = columns([(0, item, age) for item, age in purchases])
    return items.odds(which, times, now=NOW).tolist()


def test_odds_follow_the_formula() -> None:
    found_odds = odds_of(with_intervals(30, 10, math.nan, 20), (0, 50), (0, 10), (1, 25), (2, 40))

    # item 0: two purchases 40 days apart, ten days ago; its interval counts for two gaps
    own = (math.log(40) + 2 * math.log(30)) / 3
    decayed = 0.5 ** (50 / 60) + 0.5 ** (10 / 60)
    twice = math.log(2) + 0.5 * math.log(decayed + 0.02) + 0.5 * (math.log(10) - own)
    # item 1: bought once, and its interval is over
    once = 0.5 * math.log(0.5 ** (25 / 60) + 0.02) - 0.2 * math.log(2.5)
    assert found_odds == pytest.approx([math.exp(-2 + twice), math.exp(-2 + once), 0, 0])


@pytest.mark.parametrize(
    ("purchases", "best_first"),
    [
        ([], []),
        ([(0, 29), (1, 2)], [0, 1]),  # the one that is nearly due, then the one that was just bought
        ([(0, 30), (0, 30), (0, 30.1), (1, 29.9)], [1, 0]),  # three of one moment are one purchase
        ([(0, 30), (0, 60), (0, 90), (1, 30)], [0, 1]),  # of two that are due, the one that they always buy
        ([(0, 30), (1, 900)], [0, 1]),  # the other one was given up long ago
        ([(0, 0), (1, 0.4), (1, 40)], []),  # both were bought today
        ([(0, 0.8), (0, 0.4), (1, 30)], [1]),  # and again a while later
        ([(0, -0.5), (1, 30)], [1]),  # a clock that is ahead
        ([(2, 30), (0, 30)], [0]),  # nobody buys the third again
    ],
)
def test_what_is_due_comes_first(purchases: list[tuple[int, float]], best_first: list[int]) -> None:
    odds = odds_of(with_intervals(30, 30, math.nan), *purchases)

    assert sorted(np.flatnonzero(odds).tolist(), key=lambda item: -odds[item]) == best_first


def by_schedule(rng: np.random.Generator, n_users: int, *, is_regular: bool) -> Rows:
    """Return a year of users who buy each of some items every 40 days or so, or at any time."""
    rows: Rows = []
    for user in range(n_users):
        for item in rng.choice(8, 5, replace=False).tolist():
            gaps = rng.normal(40, 3, 9) if is_regular else rng.exponential(40, 9)
            ages = rng.uniform(0, 40) + np.cumsum(gaps) - gaps[0]
            rows += [(user, item, age) for age in ages.tolist() if age < 365]
    return rows


def test_the_shops_purchases_say_how_much_the_interval_counts() -> None:
    regular = found(by_schedule(np.random.default_rng(1), 200, is_regular=True), 8)
    irregular = found(by_schedule(np.random.default_rng(1), 200, is_regular=False), 8)

    missing = 2  # the weight of what is missing of the interval
    assert regular.weights[missing] > 2 > 1 > abs(irregular.weights[missing])
    assert regular.intervals == pytest.approx(np.full(8, 40), rel=0.05)
    just, due = odds_of(regular, (0, 3), (0, 43), (0, 83), (1, 38), (1, 78), (1, 118))[:2]
    assert due > 5 * just


def test_chances_are_those_of_the_weeks_that_follow() -> None:
    """In the last weeks, which the fit has not seen, as many are bought as it says."""
    rows = by_schedule(np.random.default_rng(2), 300, is_regular=True)
    users, items, times = columns(rows)
    before = NOW - 28 * DAY
    past = times <= before
    shop = repurchases(users[past], items[past], times[past], 8, now=before)

    expected, real = 0.0, 0
    for user in range(300):
        own = past & (users == user)
        odds = shop.odds(items[own], times[own], now=before)
        expected += float((odds / (1 + odds)).sum())
        real += len(np.unique(items[(users == user) & ~past & (odds[items] > 0)]))
    assert real == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("rows", [[], [(0, 0, 5.0)], [(0, 0, 5.0), (0, 0, 5.0), (1, 1, -3.0)]])
def test_a_shop_that_knows_little_has_no_consumables(rows: Rows) -> None:
    shop = found(rows, 3)

    assert np.isnan(shop.intervals).all() and np.isfinite(shop.logits).all()
    assert shop.weights.tolist() == pytest.approx(PRIOR_WEIGHTS[1:5])
    assert odds_of(shop, (0, 30), (1, 30)) == [0, 0, 0]
    assert found([], 0).odds(NONE.astype(np.int32), NONE, now=NOW).tolist() == []


def test_a_logistic_regression_ends_on_any_data() -> None:
    one = np.ones((4000, 1))
    assert fit_logistic(one, np.arange(4000) < 1000, np.zeros(1)) == pytest.approx([math.log(1 / 3)], abs=1e-2)
    assert fit_logistic(one[:0], np.zeros(0, bool), np.array([7.0])).tolist() == [7]
    separated = np.stack([np.ones(200), np.repeat([-1.0, 1.0], 100)], 1)
    weights = fit_logistic(separated, separated[:, 1] > 0, np.zeros(2))
    assert np.isfinite(weights).all() and weights[1] > 3
    # the gradient of the objective is 0 at its maximum
    rng = np.random.default_rng(3)
    features, prior = rng.normal(size=(300, 3)), np.array([5.0, -5.0, 0.5])
    labels = rng.random(300) < 0.3
    weights = fit_logistic(features, labels, prior)
    gradient = features.T @ (labels - 1 / (1 + np.exp(-features @ weights))) - (weights - prior)
    assert np.abs(gradient).max() < 1e-3


def test_a_version_keeps_them() -> None:
    shop = found(by_schedule(np.random.default_rng(1), 20, is_regular=True), 9)

    again = Repurchases.from_arrays(shop.arrays())

    assert again.n_items == 9 and {array.dtype for array in shop.arrays().values()} == {np.dtype(np.float32)}
    assert odds_of(again, (0, 41)) == odds_of(shop, (0, 41)) != [0] * 9
