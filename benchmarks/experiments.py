"""Does the report of an experiment tell the truth? Simulated shops, in which the second arm's effect is known.

    python benchmarks/experiments.py                 100 shops each: the second arm is better by 10 %, equal, or worse
    python benchmarks/experiments.py --runs 10       fewer
    python benchmarks/experiments.py --json FILE     the figures as JSON

A customer has a favourite category, which is known here. A list of the first arm shows a quarter of its products from
it. The second arm shows as much more or less as changes the revenue by 10 %. Customers click and buy what they like,
and buy without lists, too. Some ids are forged and replayed, and bots click everything. The report is looked at every
day, and the first claim is the one that counts. The status is 1 where the report is wrong more often than it may be.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import orjson  # noqa: E402

from recsys.settings import Arm, Experiment  # noqa: E402
from recsys.tracking.comparison import difference_of  # noqa: E402
from recsys.tracking.crediting import Purchase, Touch, believed, credit  # noqa: E402
from recsys.tracking.experiment_report import OBSERVED_DAYS, REVENUE, Cart, Comparison, compare, outcomes_of  # noqa: E402
from recsys.tracking.experiments import Assignment, arm_of  # noqa: E402
from recsys.training.terminal import console  # noqa: E402

DAY = 86_400
BEGIN = 1_764_374_400  # 2025-11-29 00:00 UTC, of a clock that only this program moves
TRUTHS = {"better": 0.10, "equal": 0.0, "worse": -0.10}
LEAST_RIGHT, MOST_FALSE = 0.95, 0.05
N_USERS, ENTRY_DAYS = 15_000, 28
CATEGORIES, PER_CATEGORY, SLOTS, VISITS = 8, 10, 3, 2
LIKED, OTHERS, BUYS = 0.5, 0.1, 0.6  # the shares of clicks on a product that is liked, on another, and of purchases
ORGANIC = 0.6  # purchases of a customer without a list
TASTE = 0.25  # the share of liked products in the lists of the first arm
N_BOTS, BOT_PRODUCTS, N_FORGED = 5, 60, 200
PRICES = np.exp(np.linspace(-0.6, 0.6, PER_CATEGORY)) * 20.0


class Simulated(NamedTuple):
    """What a simulated shop has recorded.

    Attributes:
        assigned: The customers, by the moment of their entry.
        touches: What was shown and clicked, forged rows among them.
        carts: What was put into carts.
        purchases: All purchases.
        now: The end, when all customers were observed.
    """

    assigned: list[Assignment]
    touches: list[Touch]
    carts: list[Cart]
    purchases: list[Purchase]
    now: int


@dataclass(frozen=True)
class Told:
    """What a report says of a simulated shop.

    Attributes:
        claim: The first claim of all daily looks: `better`, `worse` or `none`.
        day: The day of the claim; None without one.
        comparison: The report at the end.
        credited: Revenue by what it is credited to.
        total: The shop's revenue.
        n_left_out: Touches that were not believed.
    """

    claim: str
    day: int | None
    comparison: Comparison
    credited: dict[str, float]
    total: float
    n_left_out: int


def experiment_of(seed: int, n_users: int) -> Experiment:
    """Return an experiment of half and half."""
    return Experiment(f"run-{seed}", (Arm("A", 0.5), Arm("B", 0.5, model="ENCM")), planned_users=n_users)


def taste_of(effect: float) -> float:
    """Return the share of liked products with which an arm has so much more revenue than the first one."""
    shown = VISITS * SLOTS * BUYS
    base = ORGANIC + shown * (OTHERS + (LIKED - OTHERS) * TASTE)
    return (((1 + effect) * base - ORGANIC) / shown - OTHERS) / (LIKED - OTHERS)


def simulate(experiment: Experiment, effect: float, seed: int, n_users: int = N_USERS) -> Simulated:
    """Return what a shop records in which the second arm has `1 + effect` times the revenue.

    Args:
        experiment: The experiment.
        effect: Such as 0.1.
        seed: Of all that is random.
        n_users: The number of customers.
    """
    rng = np.random.default_rng(seed)
    names = [f"u{number}" for number in range(n_users)]
    second = np.array([arm_of(experiment, name) is experiment.arms[1] for name in names])
    entries = np.sort(rng.integers(0, ENTRY_DAYS * DAY, n_users)) + BEGIN
    likes = rng.integers(0, CATEGORIES, n_users)
    users = np.repeat(np.arange(n_users), rng.poisson(VISITS, n_users))  # one of each visit
    moments = entries[users] + rng.integers(0, OBSERVED_DAYS * DAY - 600, len(users))
    users, moments, visits = (np.repeat(column, SLOTS) for column in (users, moments, np.arange(len(users))))
    is_liked = rng.random(len(users)) < np.where(second[users], taste_of(effect), TASTE)
    category = (likes[users] + np.where(is_liked, 0, rng.integers(1, CATEGORIES, len(users)))) % CATEGORIES
    kinds = rng.integers(0, PER_CATEGORY, len(users))
    is_clicked = rng.random(len(users)) < np.where(is_liked, LIKED, OTHERS)
    is_bought = is_clicked & (rng.random(len(users)) < BUYS)
    items = [f"{place}-{kind}" for place, kind in zip(category.tolist(), kinds.tolist(), strict=True)]
    rows = list(zip(users.tolist(), items, moments.tolist(), visits.tolist(), strict=True))
    touches = [Touch(names[user], item, False, _id(seed, visit), at) for user, item, at, visit in rows]
    touches += [
        Touch(names[user], item, True, _id(seed, visit), at + 20)
        for (user, item, at, visit), clicked in zip(rows, is_clicked.tolist(), strict=True)
        if clicked
    ]
    purchases = [
        Purchase(names[user], item, at + 300, float(PRICES[kind]))
        for (user, item, at, _), kind, bought in zip(rows, kinds.tolist(), is_bought.tolist(), strict=True)
        if bought
    ]
    purchases += _organic(rng, names, entries, likes)
    touches += _noise(rng, touches, seed)
    carts = [Cart(purchase.user, purchase.at - 60) for purchase in purchases]
    assigned = [
        Assignment(name, experiment.arms[int(is_second)].name, at)
        for name, is_second, at in zip(names, second.tolist(), entries.tolist(), strict=True)
    ]
    return Simulated(assigned, touches, carts, purchases, BEGIN + (ENTRY_DAYS + OBSERVED_DAYS) * DAY)


def told(experiment: Experiment, shop: Simulated) -> Told:
    """Return what the report says of a simulated shop, looked at every day."""
    touches, left_out = believed(shop.touches, now=shop.now)
    comparison = compare(experiment, shop.assigned, touches, shop.carts, shop.purchases, now=shop.now)
    revenue = outcomes_of(shop.assigned, (), (), shop.purchases)[:, REVENUE]
    second = np.array([one.arm == experiment.arms[1].name for one in shop.assigned])
    ends = np.array([one.at for one in shop.assigned]) + OBSERVED_DAYS * DAY
    claim, day = "none", None
    for number in range(OBSERVED_DAYS + 1, OBSERVED_DAYS + ENTRY_DAYS + 1):
        n = int(np.searchsorted(ends, BEGIN + number * DAY, side="right"))
        look = difference_of(revenue[:n][~second[:n]], revenue[:n][second[:n]], experiment.planned_users)
        if look.claim != "none":
            claim, day = look.claim, number
            break
    rows = credit(shop.purchases, touches)
    credited = {
        basis: math.fsum(row.purchase.revenue for row in rows if row.basis == basis)
        for basis in ("click", "view", "none")
    }
    total = math.fsum(purchase.revenue for purchase in shop.purchases)
    return Told(claim, day, comparison, credited, total, sum(left_out.values()))


def figures(truth: str, runs: Sequence[Told]) -> dict[str, Any]:
    """Return how often the report was right, of one truth."""
    claims = {name: sum(run.claim == name for run in runs) for name in ("better", "worse", "none")}
    right = {"better": "better", "equal": "none", "worse": "worse"}[truth]
    share = claims[right] / len(runs)
    days = [run.day for run in runs if run.day is not None]
    return {
        "truth": truth,
        "runs": len(runs),
        **claims,
        "right": share,
        "median_day": float(np.median(days)) if days else None,
        "wrong_shares": sum(not run.comparison.sample_ratio.is_ok for run in runs),
        "sums_differ": sum(not math.isclose(math.fsum(run.credited.values()), run.total) for run in runs),
        "is_ok": share >= (LEAST_RIGHT if truth != "equal" else 1 - MOST_FALSE),
    }


def markdown(results: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of docs/EXPERIMENTS.md."""
    rows = [
        "| truth | shops | said better | said worse | no claim | median day of the claim |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in results:
        day = "–" if row["median_day"] is None else f"{row['median_day']:.0f}"
        rows.append(f"| {row['truth']} | {row['runs']} | {row['better']} | {row['worse']} | {row['none']} | {day} |")
    return "\n".join(rows)


def main(argv: Sequence[str]) -> int:
    """Simulate and print; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100, help="simulated shops of each truth; default 100")
    parser.add_argument("--users", type=int, default=N_USERS, help=f"customers of a shop; default {N_USERS}")
    parser.add_argument("--json", type=Path, help="write the figures here")
    flags = parser.parse_args(argv)
    results = []
    for offset, (truth, effect) in enumerate(TRUTHS.items()):
        runs = []
        for number in range(flags.runs):
            seed = offset * 10_000 + number
            experiment = experiment_of(seed, flags.users)
            runs.append(told(experiment, simulate(experiment, effect, seed, flags.users)))
        results.append(figures(truth, runs))
    names = ("truth", "runs", "better", "worse", "none", "right", "median_day", "wrong_shares", "sums_differ")
    table = Table(*names)
    for result in results:
        table.add_row(*(f"{result[name]:.0%}" if name == "right" else str(result[name]) for name in names))
    console(log_width=120).print(table)
    if flags.json:
        flags.json.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return int(not all(result["is_ok"] and not result["sums_differ"] for result in results))


def _id(seed: int, number: int) -> str:
    return f"rec_encm_{seed:08x}{number:024x}"


def _organic(rng: np.random.Generator, names: Sequence[str], entries: np.ndarray, likes: np.ndarray) -> list[Purchase]:
    """Return purchases that no list has led to."""
    users = np.repeat(np.arange(len(names)), rng.poisson(ORGANIC, len(names)))
    moments = entries[users] + rng.integers(0, OBSERVED_DAYS * DAY, len(users))
    kinds = rng.integers(0, PER_CATEGORY, len(users))
    rows = zip(users.tolist(), likes[users].tolist(), kinds.tolist(), moments.tolist(), strict=True)
    return [Purchase(names[user], f"{place}-{kind}", at, float(PRICES[kind])) for user, place, kind, at in rows]


def _noise(rng: np.random.Generator, touches: Sequence[Touch], seed: int) -> list[Touch]:
    """Return forged and replayed touches, and those of bots."""
    chosen = [touches[place] for place in rng.integers(0, len(touches), N_FORGED).tolist()]
    forged = [
        touch._replace(recommendation_id=f"rec_encm_{number}", is_click=True) for number, touch in enumerate(chosen)
    ]
    stolen = [touch._replace(user="thief", at=touch.at + 60, is_click=True) for touch in chosen]
    bots = [
        Touch(f"bot{bot}", f"p{product}", is_click, _id(seed, 10**12 + bot), BEGIN + DAY)
        for bot in range(N_BOTS)
        for product in range(BOT_PRODUCTS)
        for is_click in (False, True)
    ]
    return [*forged, *stolen, *bots]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
