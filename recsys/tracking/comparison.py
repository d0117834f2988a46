"""Compares two samples: intervals, the check of their shares, and a difference that is valid at every look."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from recsys.errors.records import Record

Claim = Literal["better", "worse", "none"]
Values = NDArray[np.float64]
ALPHA = 0.05  # the share of experiments without a difference that may claim one
Z95 = 1.959964  # of a two-sided interval of 95 %
LEAST_USERS = 100  # of each arm; below, means are not normal enough to claim anything
RATIO_ALPHA = 0.001  # shares that fit so badly have a defect as their cause


class Estimate(Record):
    """A mean with its interval of 95 %, for one look.

    Attributes:
        value: The mean; None without anything to divide by.
        low: The lower end; None where there are too few to tell.
        high: The upper end.
    """

    value: float | None
    low: float | None = None
    high: float | None = None


class Difference(Record):
    """The second arm's mean beside the first one's, at whatever time one looks.

    Attributes:
        value: The second mean less the first one; None where an arm has nobody.
        low: The lower end of its always valid interval; None where there are too few to tell.
        high: The upper end.
        relative: The difference as a share of the first mean; None where that is 0.
        p: The always valid p-value; 1 where there are too few to tell.
        claim: What is claimed of the second arm.
    """

    value: float | None
    low: float | None
    high: float | None
    relative: float | None
    p: float
    claim: Claim


class SampleRatio(Record):
    """Whether the arms have the shares of customers that they should have.

    Attributes:
        counts: The customers of each arm.
        expected: The customers that each arm should have.
        p: The p-value of Pearson's chi-squared test with one degree of freedom.
        is_ok: Whether it is at least `RATIO_ALPHA`.
    """

    counts: tuple[int, int]
    expected: tuple[float, float]
    p: float
    is_ok: bool


def mean_of(values: Values) -> Estimate:
    """Return the mean of `(n,)` values of customers, with its normal interval."""
    n = len(values)
    if n == 0:
        return Estimate(None)
    mean = float(values.mean())
    return Estimate(mean) if n < 2 else _around(mean, float(values.std(ddof=1)) / math.sqrt(n))


def ratio_of(parts: Values, wholes: Values) -> Estimate:
    """Return the ratio of two sums over customers, such as clicks and impressions, with its interval.

    Customers are drawn, not impressions. So the variance is that of the ratio of two means by the delta method:
    A. Deng, U. Knoblich and J. Lu, "Applying the Delta Method in Metric Analytics", KDD 2018.

    Args:
        parts: `(n,)` counts of customers.
        wholes: `(n,)` counts that they are parts of.
    """
    n, whole = len(parts), float(wholes.sum())
    if whole == 0:
        return Estimate(None)
    ratio = float(parts.sum()) / whole
    if n < 2:
        return Estimate(ratio)
    return _around(ratio, float((parts - ratio * wholes).std(ddof=1)) / (whole / n) / math.sqrt(n))


def sample_ratio(counts: Sequence[int], shares: Sequence[float]) -> SampleRatio:
    """Check the numbers of customers in both arms against the shares.

    A mismatch says that customers are lost or counted wrongly in one arm, so that nothing can be concluded: A. Fabijan
    et al., "Diagnosing Sample Ratio Mismatch in Online Controlled Experiments", KDD 2019.

    Args:
        counts: The customers of both arms.
        shares: The shares of both arms.

    >>> sample_ratio([500, 520], [0.5, 0.5]).is_ok, sample_ratio([500, 700], [0.5, 0.5]).is_ok
    (True, False)
    """
    n = sum(counts)
    first, second = (n * share / sum(shares) for share in shares)
    chi2 = sum((count - mean) ** 2 / mean for count, mean in zip(counts, (first, second), strict=True)) if n else 0.0
    p = math.erfc(math.sqrt(chi2 / 2))
    return SampleRatio((counts[0], counts[1]), (first, second), p, p >= RATIO_ALPHA)


def difference_of(first: Values, second: Values, planned_users: int) -> Difference:
    """Compare two arms by a mixture sequential probability ratio test, whose p-value is valid at every look.

    The likelihood of the difference is mixed over a normal prior around 0: R. Johari, P. Koomen, L. Pekelis and
    D. Walsh, "Always Valid Inference: Continuous Monitoring of A/B Tests", Operations Research 70 (3), 2022. Variances
    are estimated, which is valid asymptotically, and the prior's variance is a multiple rho² of theirs, tuned to a
    number of customers that is fixed beforehand: I. Waudby-Smith, D. Arbour, R. Sinha, E. H. Kennedy and A. Ramdas,
    "Time-uniform central limit theory and asymptotic confidence sequences", Annals of Statistics 52 (6), 2024. With n
    customers, r = n·rho² and the usual statistic z,

        p = sqrt(1 + r) · exp(−z² r / (2 (1 + r))),

    and the interval's half width is `sqrt((1 + r) / r · (log(1 + r) + 2 log(1 / alpha)))` standard errors.

    Args:
        first: `(n,)` values of the customers of the first arm.
        second: `(m,)` values of those of the second one.
        planned_users: The number of customers at which the interval is narrowest for its kind.
    """
    if not len(first) or not len(second):
        return Difference(None, None, None, None, 1.0, "none")
    base = float(first.mean())
    value = float(second.mean()) - base
    relative = value / base if base else None
    if min(len(first), len(second)) < LEAST_USERS:
        return Difference(value, None, None, relative, 1.0, "none")
    error = math.sqrt(float(first.var(ddof=1)) / len(first) + float(second.var(ddof=1)) / len(second))
    if error == 0:  # all customers of an arm are alike: nothing is known of how they vary
        return Difference(value, None, None, relative, 1.0, "none")
    r = (len(first) + len(second)) * _mixing_variance(planned_users)
    z = value / error
    p = min(1.0, math.exp(min(0.0, 0.5 * math.log1p(r) - z * z * r / (2 * (1 + r)))))
    half = error * math.sqrt((1 + r) / r * (math.log1p(r) - 2 * math.log(ALPHA)))
    claim: Claim = "none" if p >= ALPHA else "better" if value > 0 else "worse"
    return Difference(value, value - half, value + half, relative, p, claim)


def _mixing_variance(planned_users: int) -> float:
    """Return rho²; see `difference_of`."""
    log = -2 * math.log(ALPHA)
    return (log + math.log(log + 1)) / planned_users


def _around(value: float, error: float) -> Estimate:
    return Estimate(value, value - Z95 * error, value + Z95 * error)
