"""What a shop with few events gets, beside what is popular: shops of 10 to 10,000 events, drawn from larger ones.

    python benchmarks/little_data.py DATA_DIR --json benchmarks/results/little_data.json
    python benchmarks/little_data.py --markdown docs/MODELS.md
    python benchmarks/little_data.py --markdown docs/MODELS.md --check

DATA_DIR has one folder for each data set. Each draw takes all events of some customers. The closed forms and their sum
are chosen on validation as in a shop's training, without networks; the gate's look at the test is left out. The JSON
file keeps the sets that are not measured again. --markdown writes the kept figures into the page and the picture beside
it; with --check it only compares, and exits with 1 if one differs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from benchmarks import pages  # noqa: E402
from benchmarks.measuring import tables  # noqa: E402
from benchmarks.sets import BenchmarkError  # noqa: E402
from benchmarks.sets.amazon_beauty import AMAZON_BEAUTY  # noqa: E402
from benchmarks.sets.base import NOW, SEED, Part, columns, events, hours_apart, make_part, training  # noqa: E402
from benchmarks.sets.online_retail import FILE, ONLINE_RETAIL, purchases  # noqa: E402
from recsys.data.interactions import Interactions  # noqa: E402
from recsys.data.splitting import cut_time, last_item_out, split_at  # noqa: E402
from recsys.evaluation.metrics import bootstrap_interval  # noqa: E402
from recsys.evaluation.protocol import EvaluationCase, EvaluationSet  # noqa: E402
from recsys.evaluation.results import evaluate_set  # noqa: E402
from recsys.features.features import N_FEATURES, Features  # noqa: E402
from recsys.features.query import Query  # noqa: E402
from recsys.lifecycle.choice import ALL, TITLES, HeldoutFigures, ValidationFigures, choose_scorers  # noqa: E402
from recsys.lifecycle.gate import too_small  # noqa: E402
from recsys.scorers.base import Scorer  # noqa: E402
from recsys.scorers.popularity import Popularity  # noqa: E402
from recsys.scorers.registry import BASELINES, REGISTRY  # noqa: E402
from recsys.settings import Lifecycle  # noqa: E402
from recsys.training.closed_form.choose import (  # noqa: E402
    RECENT_HALF_LIFE_DAYS,
    choose_l2,
    choose_min_co_occurrence,
    choose_regularization,
    fit_baselines,
    fit_features,
    popularity,
)
from recsys.training.ensemble import fit_ensembles  # noqa: E402
from recsys.training.terminal import console  # noqa: E402

NAME, PICTURE = "little data", "little_data.svg"
KEPT = Path("benchmarks/results/little_data.json")
SIZES = (10, 30, 100, 300, 1_000, 3_000, 10_000)
DRAWN = 6_000  # events over all draws of a size: small shops are drawn more often
MOST_DRAWS = 40
LEAST_DRAWS = 2
MOST_GUESTS = 300  # of a draw
LEAST_VALIDATED = 10  # known users of validation: with fewer, popularity serves
METRIC, RULE, LIMITS = "map10", "hide", Lifecycle()
POPULAR = tuple(TITLES)
PUBLISHED = "published"
Sample = dict[str, NDArray[np.float64]]  # AP@10 of each user, by scorer


def online_retail(data_dir: Path) -> tuple[Interactions, bool]:
    """Return the purchases of online-retail, and that it has a clock."""
    return purchases(data_dir / ONLINE_RETAIL.name / FILE), True


def beauty(data_dir: Path) -> tuple[Interactions, bool]:
    """Return the reviews of amazon-beauty, and that it has an order only."""
    table = columns(data_dir / AMAZON_BEAUTY.name / AMAZON_BEAUTY.files[0])
    return events(table["user"], table["item"], hours_apart(table["user"], table["pos"])), False


def demo(data_dir: Path) -> tuple[Interactions, bool]:
    """Return the events of the demo shop, and that it has a clock; its effects are planted."""
    from demo.shop import Options, make_shop

    rows = make_shop(Options(users=600, products=240, days=365, until=date(2026, 1, 1), seed=7))["Interactions"]
    moments = [int(datetime.fromisoformat(str(row["timestamp"])).timestamp()) for row in rows]
    users, items, names = (np.array([row[name] for row in rows]) for name in ("userId", "productId", "actionCode"))
    order = np.argsort(moments, kind="stable")
    return events(users[order], items[order], np.array(moments, np.int64)[order], names[order]), True


SHOPS: Mapping[str, Callable[[Path], tuple[Interactions, bool]]] = {
    ONLINE_RETAIL.name: online_retail,
    AMAZON_BEAUTY.name: beauty,
    "the demo shop": demo,
}


def draw(rows: Interactions, size: int, rng: np.random.Generator) -> tuple[Interactions, Interactions]:
    """Return the events of a shop of some customers, and those of some others, who are its guests."""
    users, place = np.unique(rows.users, return_inverse=True)
    counts, order = np.bincount(place), rng.permutation(len(users))
    n_customers = int(np.searchsorted(np.cumsum(counts[order]), size)) + 1
    rank = np.empty(len(users), np.int64)
    rank[order] = np.arange(len(users))
    mine = np.flatnonzero(rank[place] < n_customers)
    mine = np.sort(rng.permutation(mine)[:size]) if n_customers == 1 else mine
    guests = (rank[place] >= n_customers) & (rank[place] < n_customers + MOST_GUESTS)
    return rows.take(mine), rows.take(guests)


def cut(rows: Interactions, quantile: float, has_clock: bool) -> tuple[Interactions, Interactions, int]:
    """Return the events before a cut, those after it, and its moment; without a clock, the last of each user."""
    if has_clock:
        moment = cut_time(rows.timestamps, quantile)
        return *split_at(rows, moment), moment
    return *last_item_out(rows), NOW


def one_shop(rows: Interactions, guests: Interactions, has_clock: bool) -> tuple[str, dict[str, Sample]]:
    """Return who serves a shop, and AP@10 of what it publishes and of popularity, for its users and for guests."""
    options = training(has_clock)
    train, after, moment = cut(rows, options.test_quantile, has_clock)
    if not len(train):
        return "nothing", {}
    test = make_part(train, after, cut=moment, rules=(RULE,), has_clock=has_clock)
    serves, l2, regularization, least, weights = _chosen(rows, train, has_clock)
    scorers = popular(test) if serves in POPULAR else fitted(test, l2, regularization, least, weights)
    found = {"users": test.evaluation_sets[RULE], "guests": guest_cases(guests, test)}
    samples = {}
    for who, evaluation_set in found.items():
        if len(evaluation_set):
            names = dict.fromkeys((serves, *POPULAR))
            results = evaluate_set({name: scorers[name] for name in names}, evaluation_set)
            samples[who] = {name: results[name].per_user[METRIC] for name in POPULAR}
            samples[who][PUBLISHED] = results[serves].per_user[METRIC]
    return serves, samples


def _chosen(rows: Interactions, train: Interactions, has_clock: bool) -> tuple[str, float, float, float, NDArray]:
    """Return who serves, and the hyperparameters that validation chose: the same decisions as in a shop's training."""
    options = training(has_clock)
    nothing = "popularity", 200.0, 20.0, 2.0, np.zeros((2, N_FEATURES + 1), np.float32)
    counts = {"events": len(rows), "users": len(np.unique(rows.users)), "items": len(np.unique(rows.items))}
    if too_small(counts, LIMITS):
        return nothing
    earlier, later, moment = cut(train, options.validation_quantile, has_clock)
    if not len(earlier):
        return nothing
    part = make_part(earlier, later, cut=moment, rules=(RULE,), has_clock=has_clock)
    evaluation_set = part.evaluation_sets[RULE]
    if evaluation_set.known.sum() < LEAST_VALIDATED:
        return nothing
    l2 = choose_l2(part.data, evaluation_set)[0]
    regularization = choose_regularization(part.data, evaluation_set, options)[0]
    least = choose_min_co_occurrence(part.data, evaluation_set, options)[0]
    features = features_of(part, l2, regularization)
    blend, _ = fit_ensembles(features, {"blend": None}, {"": evaluation_set}, SEED)[""]["blend"]
    weights = np.stack([blend, blend])
    results = evaluate_set(fitted(part, l2, regularization, least, weights), evaluation_set)
    map10 = {name: result.per_user[METRIC] for name, result in results.items()}
    n_events = np.array([len(case.query.items) for case in evaluation_set.cases], np.int64)
    best = max(map10, key=lambda name: map10[name].mean())
    nobody = HeldoutFigures({name: np.zeros(0) for name in map10}, np.zeros(0, np.int64))
    serves, _ = choose_scorers(ValidationFigures(best, map10, n_events), nobody, LIMITS, SEED)
    return serves[ALL], l2, regularization, least, weights


def features_of(part: Part, l2: float, regularization: float) -> Features:
    """Return the features of a part's events."""
    ease = {f"ease/{name}": array for name, array in fit_baselines(part.data, l2)["ease"].items()}
    return Features.from_arrays({**ease, **fit_features(part.data, regularization, training(True))})


def popular(part: Part) -> dict[str, Scorer]:
    """Return the scorers that need no fit."""
    days = (0.0, RECENT_HALF_LIFE_DAYS)
    arrays = ({"popularity": popularity(part.data, half_life)} for half_life in days)
    return {name: Popularity.from_arrays(each) for name, each in zip(POPULAR, arrays, strict=True)}


def fitted(part: Part, l2: float, regularization: float, least: float, weights: NDArray) -> dict[str, Scorer]:
    """Return the scorers without networks and without content, which these sets lack, fitted on a part's events."""
    arrays = {**fit_baselines(part.data, l2, least), "blend": {"signal_weights": weights}}
    features = features_of(part, l2, regularization)
    return {name: REGISTRY[name].build(arrays[name], features) for name in BASELINES if name in arrays}


def guest_cases(rows: Interactions, part: Part) -> EvaluationSet:
    """Return a test case for each guest: the first event is known, and the later ones are relevant."""
    items, cases = part.encoders.items.indices(rows.items), []
    no_context = np.array(part.data.context_sizes, np.int32) - 1
    for user in np.unique(rows.users):
        place = np.flatnonzero((rows.users == user) & (items < part.data.n_items))
        place = place[np.argsort(rows.timestamps[place], kind="stable")]
        if len(place) < 2 or not len(relevant := np.setdiff1d(items[place[1:]], items[place[:1]])):
            continue
        now = int(rows.timestamps[place[0]])
        query = Query(
            part.data.n_users, items[place[:1]].astype(np.int32), np.ones(1, np.float32), rows.timestamps[place[:1]],
            no_context, now + 1,
        )  # fmt: skip
        cases.append(EvaluationCase(query, relevant.astype(np.int32), 0, query.items))
    known, active = np.ones(len(cases), bool), np.ones(part.data.n_items, bool)
    return EvaluationSet(tuple(cases), known, 0, active, tuple(case.relevant for case in cases))


def measure(name: str, data_dir: Path) -> list[dict[str, Any]]:
    """Return the figures of each size of a shop, over all draws."""
    if name != "the demo shop" and not (data_dir / name).is_dir():
        raise BenchmarkError(f"DATA_DIR should hold {name}. Received: {data_dir}, which does not.")
    (rows, has_clock), points = SHOPS[name](data_dir), []
    for size in SIZES:
        n_draws = max(LEAST_DRAWS, min(MOST_DRAWS, DRAWN // size))
        serving, pooled = [], dict[str, list[Sample]]()
        for n in range(n_draws):
            serves, samples = one_shop(*draw(rows, size, np.random.default_rng([size, n])), has_clock)
            serving.append(serves)
            for who, sample in samples.items():
                pooled.setdefault(who, []).append(sample)
        point: dict[str, Any] = {"events": size, "shops": n_draws, "serves": _counted(serving)}
        for who, parts in pooled.items():
            point[who] = summary({key: np.concatenate([part[key] for part in parts]) for key in parts[0]})
        points.append(point)
        console(stderr=True).print(f"{name}, {size:,} events: {point}")
    return points


def summary(sample: Sample) -> dict[str, Any]:
    """Return the means, and the paired difference of what is published to each popularity with its 95 % interval."""
    figures: dict[str, Any] = {"n": len(sample[PUBLISHED]), **{name: float(ap.mean()) for name, ap in sample.items()}}
    for name in POPULAR:
        low, high = bootstrap_interval(sample[PUBLISHED] - sample[name], np.random.default_rng(SEED))
        figures[f"to {name}"] = [low, high]
    return figures


def _counted(names: list[str]) -> dict[str, int]:
    return {name: names.count(name) for name in sorted(set(names), key=lambda name: -names.count(name))}


def rendered(shops: Mapping[str, Any]) -> str:
    """Return the figures as Markdown."""
    rows, lost = [], 0
    for name, points in shops.items():
        for point in points:
            serves = ", ".join(f"{who} {count}" for who, count in list(point["serves"].items())[:3])
            for who in ("users", "guests"):
                if figures := point.get(who):
                    differences = [
                        f"{figures[PUBLISHED] - figures[popular]:+.4f} ({low:+.4f} to {high:+.4f})"
                        for popular in POPULAR
                        for low, high in [figures[f"to {popular}"]]
                    ]
                    means = [f"{figures[key]:.4f}" for key in (PUBLISHED, *POPULAR)]
                    lost += any(figures[f"to {popular}"][1] < 0 for popular in POPULAR)
                    rows.append([name, f"{point['events']:,}", who, f"{figures['n']:,}", *means, *differences, serves])
    titles = ["shop", "events", "who", "n", "published", *POPULAR, *(f"to {each}" for each in POPULAR), "serves"]
    told = f"In {lost} of {len(rows)} rows, what is published is below one of the two by more than the interval."
    return f"![MAP@10 by the number of events]({PICTURE})\n\n{tables.grid(titles, rows, n_left=3)}\n\n{told}\n"


def picture(shops: Mapping[str, Any], path: Path) -> None:
    """Draw MAP@10 by the number of events: a row for users and one for guests, a column for each shop."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    colors = {PUBLISHED: "#2563eb", "popularity": "#d97706", "popularity_recent": "#0d9488"}
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "recsys", "font.size": 10}):
        drawing = Figure(figsize=(3.6 * len(shops), 5.6), layout="constrained")
        panels = drawing.subplots(2, len(shops), squeeze=False, sharex=True)
        for column, (name, points) in enumerate(shops.items()):
            for row, who in enumerate(("users", "guests")):
                panel = panels[row][column]
                known = [point for point in points if who in point]
                for key, color in colors.items():
                    values = [point[who][key] for point in known]
                    panel.plot([point["events"] for point in known], values, marker="o", markersize=3, color=color,
                               label=key.replace("_", " "))  # fmt: skip
                panel.set_xscale("log")
                panel.set_ylim(bottom=0)
                panel.set_title(f"{name}: {who}", fontsize=10)
                panel.spines[["top", "right"]].set_visible(False)
            panels[1][column].set_xlabel("events of the shop")
        panels[0][0].set_ylabel("MAP@10")
        panels[1][0].set_ylabel("MAP@10")
        panels[0][0].legend(frameon=False)
        drawing.savefig(path, metadata={"Date": None})


def main(argv: list[str], root: Path = ROOT) -> int:
    """Measure, or write the page; returns the exit status."""
    flags = _parser().parse_args(argv)
    try:
        if flags.markdown:
            return write_page(flags.markdown, root / KEPT, check=flags.check)
        if flags.data_dir is None:
            raise BenchmarkError("DATA_DIR should name the folder of the sets. Received: nothing.")
        shops = _kept(flags.json) if flags.json else {}
        for name in flags.shops:
            measured = shops | {name: measure(name, flags.data_dir)}
            shops = {other: measured[other] for other in SHOPS if other in measured}
            if flags.json:
                pages.keep(flags.json, shops)
        console().print(rendered(shops))
    except BenchmarkError as error:
        console(stderr=True).print(f"little_data: {error}")
        return 1
    return 0


def write_page(page: Path, kept: Path, *, check: bool) -> int:
    """Write the kept figures and the picture, or compare the page; returns the exit status."""
    if not page.is_file():
        raise BenchmarkError(f"--markdown should name a page. Received: {page}, which is not there.")
    shops = _kept(kept)
    text = pages.replaced(
        page.read_text(encoding="utf-8"), rendered(shops) if shops else pages.NOT_TAKEN, NAME, page.name
    )
    if shops and not check:
        picture(shops, page.with_name(PICTURE))
    return pages.settled(page, text, "benchmarks/little_data.py", check=check)


def _kept(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", nargs="?", type=Path, metavar="DATA_DIR", help="holds a folder a set")
    parser.add_argument("--shops", nargs="+", choices=list(SHOPS), default=list(SHOPS), help="all of them by default")
    pages.add_flags(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
