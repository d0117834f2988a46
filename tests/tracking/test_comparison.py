"""The statistics of two arms, against figures that are computed by hand or drawn."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recsys.tracking.comparison import (
    ALPHA,
    LEAST_USERS,
    Difference,
    Estimate,
    difference_of,
    mean_of,
    ratio_of,
    sample_ratio,
)

N = LEAST_USERS


def test_means_and_ratios_have_the_intervals_of_the_textbook() -> None:
    values = np.array([1.0, 2.0, 3.0, 6.0])  # mean 3, variance 14 / 3
    half = 1.959964 * math.sqrt(14 / 3 / 4)
    assert mean_of(values) == Estimate(3.0, pytest.approx(3 - half), pytest.approx(3 + half))

    clicks, shown = np.array([1.0, 0.0, 3.0]), np.array([2.0, 4.0, 4.0])  # ratio 0.4, residuals 0.2, -1.6, 1.4
    error = math.sqrt((0.2**2 + 1.6**2 + 1.4**2) / 2 / 3) / (10 / 3)
    low, high = 0.4 - 1.959964 * error, 0.4 + 1.959964 * error
    assert ratio_of(clicks, shown) == Estimate(pytest.approx(0.4), pytest.approx(low), pytest.approx(high))


def test_too_few_give_no_interval_and_nothing_gives_no_mean() -> None:
    nobody, one = np.zeros(0), np.ones(1)

    assert mean_of(nobody) == Estimate(None)
    assert mean_of(one) == Estimate(1.0)
    assert ratio_of(nobody, nobody) == ratio_of(np.zeros(3), np.zeros(3)) == Estimate(None)
    assert ratio_of(one, 2 * one) == Estimate(0.5)


def test_shares_are_compared_with_those_of_the_settings() -> None:
    even = sample_ratio([60, 40], [0.5, 0.5])  # chi-squared is 10² / 50 + 10² / 50 = 4
    assert (even.expected, even.is_ok) == ((50.0, 50.0), True)
    assert even.p == pytest.approx(0.0455, abs=1e-4)
    assert sample_ratio([600, 400], [0.5, 0.5]).is_ok is False
    assert sample_ratio([600, 400], [0.3, 0.2]) == sample_ratio([600, 400], [0.6, 0.4])
    assert sample_ratio([600, 400], [0.3, 0.2]).p == 1.0
    assert sample_ratio([0, 0], [0.5, 0.5]).is_ok


def test_the_p_value_is_the_inverse_of_the_mixed_likelihood_ratio() -> None:
    first, second = np.tile([0.0, 1.0], 500), np.tile([0.0, 1.0, 1.0, 1.0], 250)
    found = difference_of(first, second, planned_users=2_000)

    error2 = first.var(ddof=1) / 1_000 + second.var(ddof=1) / 1_000
    tau2 = error2 * (2 * math.log(20) + math.log(2 * math.log(20) + 1))  # of the prior, at the planned number
    thetas = np.linspace(-10, 10, 400_001) * math.sqrt(tau2)
    prior = np.exp(-(thetas**2) / 2 / tau2) / math.sqrt(2 * math.pi * tau2)
    likelihoods = np.exp((0.25**2 - (0.25 - thetas) ** 2) / 2 / error2)  # beside that of no difference
    assert found.value == 0.25 and found.relative == 0.5 and found.claim == "better"
    assert found.p == pytest.approx(1 / float((prior * likelihoods).sum() * (thetas[1] - thetas[0])), rel=1e-6)


def test_a_claim_is_made_exactly_where_the_interval_leaves_out_nothing() -> None:
    rng = np.random.default_rng(3)
    claims = set()
    for shift in np.linspace(-0.6, 0.6, 61):
        found = difference_of(rng.normal(0, 1, 300), rng.normal(shift, 1, 300), 600)
        assert found.low is not None and found.high is not None and found.value is not None
        assert found.low < found.value < found.high
        assert (found.claim == "better") == (found.low > 0)
        assert (found.claim == "worse") == (found.high < 0)
        claims.add(found.claim)
    assert claims == {"better", "worse", "none"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (np.zeros(0), np.ones(N)),
        (np.ones(N), np.zeros(0)),
        (np.zeros(N - 1), np.arange(N)),
        (np.zeros(N), np.ones(N)),  # all customers of an arm are alike
    ],
)
def test_nothing_is_claimed_of_too_few_or_too_uniform_customers(first: np.ndarray, second: np.ndarray) -> None:
    found = difference_of(first, second, 1_000)

    assert isinstance(found, Difference)
    assert (found.low, found.high, found.p, found.claim) == (None, None, 1.0, "none")


def test_to_look_at_every_tenth_customer_claims_a_difference_too_rarely_to_matter() -> None:
    rng = np.random.default_rng(11)
    naive = always_valid = 0
    for _ in range(200):
        first, second = rng.exponential(1, 1_000), rng.exponential(1, 1_000)  # skewed, as revenue is
        looks = [difference_of(first[:n], second[:n], 2_000) for n in range(N, 1_001, 20)]
        always_valid += any(look.claim != "none" for look in looks)
        z95 = 1.959964
        naive += any(
            abs(first[:n].mean() - second[:n].mean())
            > z95 * math.sqrt((first[:n].var(ddof=1) + second[:n].var(ddof=1)) / n)
            for n in range(N, 1_001, 20)
        )
    assert always_valid / 200 <= ALPHA
    assert naive / 200 > 2 * ALPHA  # so that the check could fail
