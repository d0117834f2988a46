"""Does `again` know what a customer buys again? It ranks what they bought before, beside counts of their purchases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import tables
from benchmarks.sets.base import SHOP, no_catalogue, training
from recsys.data.cleaning import SECONDS_PER_DAY
from recsys.data.encoding import Encoders, encode
from recsys.data.interactions import Interactions
from recsys.data.splitting import split_at
from recsys.evaluation.metrics import hit_rate_at_k, ndcg_at_k
from recsys.evaluation.ranking import top_k
from recsys.features.query import Floats
from recsys.related.again import HORIZON_DAYS, repurchases
from recsys.scorers.popularity import DecayedUserFrequency, UserFrequency
from recsys.training.closed_form.choose import RECENT_HALF_LIFE_DAYS, popularity

K = 10
N_MOMENTS = 3  # of validation, `HORIZON_DAYS` apart; the test has one
SEED = 0
RESAMPLES = 1000
BOUNDS = (0.025, 0.975)
OURS = "again"
METRICS = {"ndcg10": "NDCG@10", "hr10": "HR@10"}
TITLES = {
    OURS: "`again`: the regression",
    "without_interval": "the same without the interval",
    "interval": "the interval alone: days passed / interval",
    "user_frequency_decayed": "`user_frequency_decayed`",
    "user_frequency": "`user_frequency`",
}


class Case(NamedTuple):
    """One customer at one moment.

    Attributes:
        customer: Their id.
        values: Metric → ranking → value.
    """

    customer: str
    values: Mapping[str, Mapping[str, float]]


def moments_of(rows: Interactions, cut: int, n: int) -> list[int]:
    """Return `n` moments up to a cut, each `HORIZON_DAYS` before the next, without those before the first event."""
    days = HORIZON_DAYS * SECONDS_PER_DAY
    return [cut - step * days for step in reversed(range(n)) if cut - step * days > rows.timestamps.min()]


def compare(rows: Interactions, moments: Sequence[int]) -> dict[str, Any]:
    """Return the figures of all rankings over some moments.

    Args:
        rows: Purchases, before and after.
        moments: Seconds since 1970; what was bought from each of them on is what the earlier purchases have to find.
    """
    found = [cases_at(rows, moment) for moment in moments]
    cases = [case for at_moment, _ in found for case in at_moment]
    customers = np.array([case.customer for case in cases])
    values = {
        metric: {name: np.array([case.values[metric][name] for case in cases]) for name in TITLES} for metric in METRICS
    }
    return {
        "moments": len(moments),
        "cases": len(cases),
        "customers": len(np.unique(customers)),
        "bought_nothing_again": sum(others for _, others in found),
        **{metric: {name: float(each.mean()) for name, each in of.items()} for metric, of in values.items()},
        "difference": {
            name: {
                metric: [float((of[OURS] - of[name]).mean()), *interval(of[OURS] - of[name], customers)]
                for metric, of in values.items()
            }
            for name in TITLES
            if name != OURS
        },
    }


def cases_at(rows: Interactions, moment: int) -> tuple[list[Case], int]:
    """Return each customer who buys something again in the weeks after a moment, and how many others buy then.

    Each ranking has all that a customer bought before. `again` may leave some of it out; what it leaves out is missed.
    """
    before, after = split_at(rows, moment)
    after = after.take(after.timestamps < moment + HORIZON_DAYS * SECONDS_PER_DAY)
    encoders = Encoders.fit(before, no_catalogue(), min_item_events=1)
    data = encode(before, encoders, SHOP, training(has_clock=True), moment)
    shop = repurchases(data.users, data.items, data.timestamps, data.n_items, now=moment)
    zeros = np.zeros(data.n_items, np.float32)
    versions = {
        OURS: shop,
        "without_interval": replace(shop, weights=shop.weights * np.array([1, 1, 0, 0], np.float32)),
        "interval": replace(shop, logits=zeros, weights=np.array([0, 0, 1, 1], np.float32)),
    }
    scorers = {
        "user_frequency_decayed": DecayedUserFrequency(popularity(data, RECENT_HALF_LIFE_DAYS)),
        "user_frequency": UserFrequency(popularity(data)),
    }
    users, items = encoders.users.indices(after.users), encoders.items.indices(after.items)
    cases, n_others = [], 0
    for user in np.unique(users).tolist():
        chosen = np.unique(items[users == user])
        bought = data.bought(user) if user < data.n_users else chosen[:0].astype(np.int32)
        relevant = np.intersect1d(chosen, bought).astype(np.int32)
        if len(relevant) == 0:
            n_others += 1
            continue
        own = data.rows_of(user)
        query = data.query(user, context=data.unknown_context, now=moment, repeats=True)
        scores: dict[str, Floats] = {
            **{name: one.odds(data.items[own], data.timestamps[own], now=moment) for name, one in versions.items()},
            **{name: scorer.score(query) for name, scorer in scorers.items()},
        }
        allowed = np.isin(np.arange(data.n_items), bought)
        lists = {name: top_k(each, K, allowed & (each > 0)) for name, each in scores.items()}
        values = {
            "hr10": {name: hit_rate_at_k(ranked, relevant, k=K) for name, ranked in lists.items()},
            "ndcg10": {name: ndcg_at_k(ranked, relevant, k=K) for name, ranked in lists.items()},
        }
        cases.append(Case(str(encoders.users.ids[user]), values))
    return cases, n_others


def interval(values: NDArray[np.float64], customers: NDArray) -> list[float]:
    """Return the bounds of the 95 % interval of a mean by the bootstrap, which draws customers with all their cases.

    Args:
        values: `(n,)` one value for each case.
        customers: `(n,)` whose case it is.
    """
    groups = np.unique(customers, return_inverse=True)[1]
    sums, sizes = np.bincount(groups, values), np.bincount(groups)
    drawn = np.random.default_rng(SEED).integers(len(sums), size=(RESAMPLES, len(sums)))
    return [float(bound) for bound in np.quantile(sums[drawn].sum(1) / sizes[drawn].sum(1), BOUNDS)]


def rendered(figures: Mapping[str, Any]) -> str:
    """Return the figures of `again` as Markdown, without their origin."""
    validation, test = figures["validation"], figures["test"]

    def difference(name: str, metric: str) -> str:
        if name == OURS:
            return "–"
        mean, low, high = test["difference"][name][metric]
        return f"{mean:+.4f} ({low:+.4f} to {high:+.4f})"

    rows = [
        [TITLES[name], f"{validation['ndcg10'][name]:.4f}"]
        + [text for metric in METRICS for text in (f"{test[metric][name]:.4f}", difference(name, metric))]
        for name in TITLES
    ]
    titles = ["ranking", "NDCG@10 on validation"]
    titles += [title for metric in METRICS.values() for title in (f"{metric} on the test", "`again` less it")]
    notes = [
        f"- On validation, {validation['cases']:,} times that one of {validation['customers']:,} customers bought "
        f"something again, at {validation['moments']} moments; on the test, {test['cases']:,} customers at one.",
        f"- {test['bought_nothing_again']:,} more customers of the test bought only what they had not bought before.",
    ]
    return tables.grid(titles, rows, n_left=1) + "\n\n" + "\n".join(notes) + "\n"
