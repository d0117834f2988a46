"""How the two arms of an experiment compare, over the first days of each customer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from recsys.data.cleaning import SECONDS_PER_DAY
from recsys.errors.records import Record
from recsys.settings import Experiment
from recsys.tracking.comparison import (
    LEAST_USERS,
    Difference,
    Estimate,
    SampleRatio,
    Values,
    difference_of,
    mean_of,
    ratio_of,
    sample_ratio,
)
from recsys.tracking.crediting import Purchase, Touch
from recsys.tracking.experiments import Assignment

Verdict = Literal["better", "worse", "no difference shown", "too few customers", "wrong shares"]
OBSERVED_DAYS = 7  # of each customer, from the first answer on; whoever came later is not counted yet
IMPRESSIONS, CLICKS, CARTS, PURCHASES, REVENUE = range(5)  # the columns of outcomes
_COLUMNS = {"carts": CARTS, "purchases": PURCHASES, "revenue": REVENUE}


class Cart(NamedTuple):
    """A product that was put into a cart.

    Attributes:
        user: The customer's id.
        at: When, in seconds since 1970.
    """

    user: str
    at: int


class ArmOutcome(Record):
    """What came of one arm, over the first days of its customers.

    Attributes:
        name: The arm's name.
        model: How its customers are served.
        users: All customers of the arm.
        observed: Those whose days are over; all that follows counts these.
        impressions: Products that they were shown.
        clicks: Of these, how many they clicked.
        carts: Products that they put into carts.
        purchases: Their purchases.
        revenue: The sum of the prices.
        ctr: Clicks of an impression.
        carts_per_user: The mean of a customer.
        purchases_per_user: The mean of a customer.
        revenue_per_user: The mean of a customer.
    """

    name: str
    model: str
    users: int
    observed: int
    impressions: int
    clicks: int
    carts: int
    purchases: int
    revenue: float
    ctr: Estimate
    carts_per_user: Estimate
    purchases_per_user: Estimate
    revenue_per_user: Estimate


class Comparison(Record):
    """The two arms of an experiment.

    Attributes:
        name: The experiment's name.
        metric: What decides.
        planned_users: The number of customers for which the decision is sharpest.
        arms: Both arms.
        sample_ratio: Whether the arms have the shares that they should have.
        difference: The second arm beside the first one, in the metric.
        verdict: What is said of the second arm.
        left_out: How many customers are not counted, by reason.
    """

    name: str
    metric: str
    planned_users: int
    arms: tuple[ArmOutcome, ArmOutcome]
    sample_ratio: SampleRatio
    difference: Difference
    verdict: Verdict
    left_out: Mapping[str, int]


def compare(
    experiment: Experiment,
    assigned: Sequence[Assignment],
    touches: Iterable[Touch],
    carts: Iterable[Cart],
    purchases: Iterable[Purchase],
    *,
    now: int,
    mixed: frozenset[str] | set[str] = frozenset(),
    n_others: int = 0,
    kept_from: int = 0,
) -> Comparison:
    """Compare two arms over the first days of each customer, all of them observed equally long.

    Args:
        experiment: The experiment.
        assigned: Its customers.
        touches: Those that `believed` returns.
        carts: What was put into carts.
        purchases: All purchases that stand.
        now: Seconds since 1970.
        mixed: Customers who have seen both arms; they are left out.
        n_others: Customers who have an arm of another experiment, or of this one before it was changed.
        kept_from: Events before this second may be deleted; customers who entered before are left out.
    """
    whole = [one for one in assigned if kept_from <= one.at <= now and one.user not in mixed]
    observed = [one for one in whole if one.at + OBSERVED_DAYS * SECONDS_PER_DAY <= now]
    outcomes = outcomes_of(observed, touches, carts, purchases)
    in_arm = [np.array([one.arm == arm.name for one in observed], bool) for arm in experiment.arms]
    counts = [sum(one.arm == arm.name for one in whole) for arm in experiment.arms]
    ratio = sample_ratio(counts, [arm.share for arm in experiment.arms])
    column = outcomes[:, _COLUMNS[experiment.metric]]
    difference = difference_of(column[in_arm[0]], column[in_arm[1]], experiment.planned_users)
    first, second = (
        _arm_outcome(arm.name, arm.model, n_users, outcomes[rows])
        for arm, n_users, rows in zip(experiment.arms, counts, in_arm, strict=True)
    )
    left_out = {
        "not observed for seven days yet": len(whole) - len(observed),
        "in both arms": sum(one.user in mixed for one in assigned),
        "of another experiment, or before it was changed": n_others,
        "events may be deleted": sum(one.at < kept_from and one.user not in mixed for one in assigned),
        "clocks ahead": sum(one.at > now and one.user not in mixed for one in assigned),
    }
    return Comparison(
        name=experiment.name,
        metric=experiment.metric,
        planned_users=experiment.planned_users,
        arms=(first, second),
        sample_ratio=ratio,
        difference=difference,
        verdict=_verdict(ratio, difference, min(first.observed, second.observed)),
        left_out={reason: n for reason, n in left_out.items() if n},
    )


def _verdict(ratio: SampleRatio, difference: Difference, n_users: int) -> Verdict:
    if not ratio.is_ok:
        return "wrong shares"
    if n_users < LEAST_USERS:
        return "too few customers"
    return "no difference shown" if difference.claim == "none" else difference.claim


def outcomes_of(
    observed: Sequence[Assignment], touches: Iterable[Touch], carts: Iterable[Cart], purchases: Iterable[Purchase]
) -> Values:
    """Return what each customer did in their days.

    Args:
        observed: `n` customers.
        touches: Those that `believed` returns.
        carts: What was put into carts.
        purchases: All purchases that stand.

    Returns:
        `(n, 5)` float64: impressions, clicks, carts, purchases and revenue.
    """
    outcomes = np.zeros((len(observed), 5))
    entries = {one.user: (row, one.at) for row, one in enumerate(observed)}
    length = OBSERVED_DAYS * SECONDS_PER_DAY

    def count(user: str, at: int, column: int, amount: float = 1.0) -> None:
        row, entry = entries.get(user, (0, at + 1))
        if entry <= at < entry + length:
            outcomes[row, column] += amount

    for touch in touches:
        count(touch.user, touch.at, CLICKS if touch.is_click else IMPRESSIONS)
    for cart in carts:
        count(cart.user, cart.at, CARTS)
    for purchase in purchases:
        count(purchase.user, purchase.at, PURCHASES)
        count(purchase.user, purchase.at, REVENUE, purchase.revenue)
    return outcomes


def _arm_outcome(name: str, model: str, n_users: int, outcomes: Values) -> ArmOutcome:
    impressions, clicks, carts, purchases, revenue = outcomes.T
    return ArmOutcome(
        name=name,
        model=model,
        users=n_users,
        observed=len(outcomes),
        impressions=int(impressions.sum()),
        clicks=int(clicks.sum()),
        carts=int(carts.sum()),
        purchases=int(purchases.sum()),
        revenue=float(revenue.sum()),
        ctr=ratio_of(clicks, impressions),
        carts_per_user=mean_of(carts),
        purchases_per_user=mean_of(purchases),
        revenue_per_user=mean_of(revenue),
    )
