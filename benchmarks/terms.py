"""Is the sum of features ever below the best of its terms? Chosen on validation, reported on the test, on public sets.

    python benchmarks/terms.py DATA_DIR --json benchmarks/results/terms.json
    python benchmarks/terms.py --markdown docs/MODELS.md
    python benchmarks/terms.py --markdown docs/MODELS.md --check

DATA_DIR has one folder for each data set. No network is fitted. The figures go to stdout. The JSON file keeps the sets
that are not measured again. --markdown writes the kept figures into the page; with --check it only compares, and exits
with 1 if the page differs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from benchmarks import pages  # noqa: E402
from benchmarks.measuring import tables  # noqa: E402
from benchmarks.measuring.results import evaluate_scorers  # noqa: E402
from benchmarks.sets import SETS, BenchmarkError, BenchmarkSet, Part, Parts  # noqa: E402
from benchmarks.sets.base import NEWEST, NOW, SEED, columns, events, make_part, training  # noqa: E402
from benchmarks.sets.jdata import BUYS  # noqa: E402
from recsys.evaluation.metrics import bootstrap_interval  # noqa: E402
from recsys.evaluation.protocol import EvaluationSet  # noqa: E402
from recsys.features.features import N_FEATURES, NAMES, Features  # noqa: E402
from recsys.features.query import Floats  # noqa: E402
from recsys.scorers.layers import LinearEnsemble  # noqa: E402
from recsys.training.closed_form.choose import (  # noqa: E402
    choose_l2,
    choose_regularization,
    fit_baselines,
    fit_features,
)
from recsys.training.ensemble import fit_ensembles  # noqa: E402
from recsys.training.terminal import console  # noqa: E402

NAME = "terms"
KEPT = Path("benchmarks/results/terms.json")
FIRST_SEED = 7
METRIC = "ndcg10"
BLEND = "blend"
WITHOUT_ORDER = "jdata-mb without order"
N_USERS, LEAST, MOST, MAX_CASES = 15_000, 4, 8, 800  # of that set: users, events of a user, users of validation


def without_order(folder: Path) -> Parts:
    """Return purchases alone, all at one moment; of each user, one drawn item is the test and one validation."""
    tables_ = [columns(folder / name) for name in BUYS]
    pairs = np.unique(np.concatenate([np.stack([table["user"], table["item"]], 1) for table in tables_]), axis=0)
    rng = np.random.default_rng(SEED)
    users, counts = np.unique(pairs[:, 0], return_counts=True)
    chosen = rng.permutation(users[counts >= LEAST])[:N_USERS]
    pairs = rng.permutation(pairs[np.isin(pairs[:, 0], chosen)])
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
    place = np.arange(len(pairs)) - np.searchsorted(pairs[:, 0], pairs[:, 0])
    pairs, place = pairs[place < MOST], place[place < MOST]

    def part(n_left_out: int, max_cases: int | None = None) -> Part:
        train, after = (pairs[rows] for rows in (place >= n_left_out, place == n_left_out - 1))
        before, later = (events(rows[:, 0], rows[:, 1], np.full(len(rows), NEWEST)) for rows in (train, after))
        return make_part(before, later, cut=NOW, rules=("hide",), has_clock=False, max_cases=max_cases)

    return Parts(validation=part(2, MAX_CASES), test=part(1))


COMPARED: Mapping[str, BenchmarkSet] = {
    **SETS,
    "amazon-toys-5core": replace(SETS["amazon-beauty-5core"], name="amazon-toys-5core"),
    WITHOUT_ORDER: replace(SETS["jdata-mb"], read=without_order),
}


def measure(benchmark: BenchmarkSet, data_dir: Path, n_seeds: int, most_users: int) -> list[dict[str, Any]]:
    """Return the figures of each repeat rule of a set.

    Args:
        benchmark: The set.
        data_dir: Holds a folder for each set.
        n_seeds: Draws of candidates and folds; the sum's figures are means over them.
        most_users: Of the test; more are thinned out evenly.

    Raises:
        BenchmarkError: A file is missing.
    """
    parts, options = benchmark.load(data_dir), training(benchmark.has_clock)
    figures = []
    for rule in benchmark.rules:
        chosen_on = parts.validation.evaluation_sets[rule]
        l2 = choose_l2(parts.validation.data, chosen_on)[0]
        regularization = choose_regularization(parts.validation.data, chosen_on, options)[0]
        before, test = (
            Features.from_arrays(
                {
                    **{f"ease/{name}": array for name, array in fit_baselines(part.data, l2)["ease"].items()},
                    **fit_features(part.data, regularization, options),
                }
            )
            for part in (parts.validation, parts.test)
        )
        started = time.process_time()
        fits = [
            fit_ensembles(before, {BLEND: None}, {"": chosen_on}, seed)[""][BLEND]
            for seed in range(FIRST_SEED, FIRST_SEED + n_seeds)
        ]
        seconds = (time.process_time() - started) / n_seeds
        weights = dict(zip(NAMES, np.eye(N_FEATURES, N_FEATURES + 1), strict=True))
        del weights["content"]  # these sets are read without descriptions
        weights |= {f"{BLEND} {n}": fitted for n, (fitted, _) in enumerate(fits)}
        scorers = {name: ensemble_of(test, row) for name, row in weights.items()}
        results = evaluate_scorers(scorers, thinned(parts.test.evaluation_sets[rule], most_users))
        per_user = {name: result.per_user[METRIC] for name, result in results.items()}
        alone = {name: float(per_user[name].mean()) for name in NAMES if name in per_user}
        best = max(alone, key=lambda name: alone[name])
        ours = np.mean([per_user[f"{BLEND} {n}"] for n in range(n_seeds)], axis=0)
        low, high = bootstrap_interval(ours - per_user[best], np.random.default_rng(SEED))
        figures.append(
            {
                "rule": rule,
                "users": len(ours),
                BLEND: float(ours.mean()),
                "draws": [float(per_user[f"{BLEND} {n}"].mean()) for n in range(n_seeds)],
                "terms": [report["terms"] for _, report in fits],
                "best": best,
                "alone": alone,
                "low": low,
                "high": high,
                "seconds": seconds,
            }
        )
    return figures


def thinned(evaluation_set: EvaluationSet, most: int) -> EvaluationSet:
    """Return at most so many test cases, evenly spread."""
    places = np.unique(np.linspace(0, len(evaluation_set) - 1, min(most, len(evaluation_set))).astype(int)).tolist()
    return replace(
        evaluation_set,
        cases=tuple(evaluation_set.cases[n] for n in places),
        known=evaluation_set.known[places],
        pairs=tuple(evaluation_set.pairs[n] for n in places),
    )


def ensemble_of(features: Features, weights: Floats) -> LinearEnsemble:
    """Return the scorer with the same weights under both repeat rules."""
    return LinearEnsemble(features, np.tile(weights.astype(np.float32), (2, 1)))


def rendered(entries: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the figures of all measured sets as Markdown."""
    rows = []
    for name, entry in entries.items():
        for figures in entry["rules"]:
            best, difference = figures["best"], figures[BLEND] - figures["alone"][figures["best"]]
            counts = sorted({len(terms) for terms in figures["terms"]})
            taken = ", ".join(map(str, counts)) if counts != [1] else f"`{figures['terms'][0][0]}` alone"
            rows.append(
                [
                    name,
                    {"hide": "hidden", "allow": "allowed"}[figures["rule"]],
                    f"{figures['users']:,}",
                    f"`{best}` {figures['alone'][best]:.4f}",
                    f"{figures[BLEND]:.4f}",
                    f"{difference:+.4f} ({figures['low']:+.4f} to {figures['high']:+.4f})",
                    f"{min(figures['draws']):.4f} – {max(figures['draws']):.4f}",
                    taken,
                    f"{figures['seconds']:.1f}",
                ]
            )
    titles = [
        "data set", "repeats", "users", "best term alone", "`blend`", "difference (95 %)", "by draw", "terms", "CPU, s",
    ]  # fmt: skip
    commits = sorted({str(entry["commit"])[:8] for entry in entries.values()})
    n_draws = max(len(figures["draws"]) for entry in entries.values() for figures in entry["rules"])
    note = (
        f"NDCG@10 on the test. The best term is the best one *on the test*, which no choice could know. `blend` is the "
        f"mean of {n_draws} draws of candidates and folds. CPU seconds are those of one choice of the sum. Commit "
        f"{', '.join(commits)}."
    )
    return tables.grid(titles, rows, n_left=2) + f"\n\n{note}\n"


def main(argv: list[str], root: Path = ROOT) -> int:
    """Measure, or write the page; returns the exit status."""
    flags = _parser().parse_args(argv)
    try:
        if flags.markdown:
            return write_page(flags.markdown, root / KEPT, check=flags.check)
        if flags.data_dir is None:
            raise BenchmarkError("DATA_DIR should name the folder of the sets. Received: nothing.")
        entries = _kept(flags.json) if flags.json else {}
        for name in flags.sets:
            measured = {"commit": _commit(), "rules": measure(COMPARED[name], flags.data_dir, flags.seeds, flags.users)}
            entries = {other: (entries | {name: measured})[other] for other in COMPARED if other in {*entries, name}}
            if flags.json:
                pages.keep(flags.json, entries)
            console(log_width=200).print(rendered({name: measured}))
    except BenchmarkError as error:
        console(stderr=True).print(f"terms: {error}")
        return 1
    return 0


def write_page(page: Path, kept: Path, *, check: bool) -> int:
    """Write the kept figures between their markers, or compare; returns the exit status."""
    if not page.is_file():
        raise BenchmarkError(f"--markdown should name a page. Received: {page}, which is not there.")
    block = rendered(_kept(kept)) if kept.exists() else pages.NOT_TAKEN
    text = pages.replaced(page.read_text(encoding="utf-8"), block, NAME, page.name)
    return pages.settled(page, text, "benchmarks/terms.py", check=check)


def _kept(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _commit() -> str | None:
    from recsys.training.publishing import git_commit  # imports TensorFlow, which writing a page does not need

    return git_commit()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", nargs="?", type=Path, metavar="DATA_DIR", help="holds a folder a set")
    parser.add_argument("--sets", nargs="+", choices=list(COMPARED), default=list(COMPARED), help="all of them")
    parser.add_argument("--seeds", type=pages.positive, default=3, metavar="N", help="draws of each choice (3)")
    parser.add_argument("--users", type=pages.positive, default=5_000, metavar="N", help="of the test, at most (5,000)")
    pages.add_flags(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
