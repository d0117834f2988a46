"""Summary of several runs: one row for each scorer, the winner on validation, and paired differences to it."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring.ablations import EVERYTHING, WITHOUT_NEURAL
from benchmarks.measuring.results import METRICS
from benchmarks.measuring.runs import Run
from benchmarks.sets import BenchmarkSet
from recsys.evaluation.metrics import bootstrap_interval, paired_lower_bound
from recsys.lifecycle.choice import cheapest_of_the_best
from recsys.scorers.registry import BASELINES, MODELS, REGISTRY
from recsys.settings import Lifecycle

BLEND = "blend"
PAIRED = ("ndcg10", "hr10")
BOOTSTRAP_SEED = 0


def summarise(benchmark: BenchmarkSet, runs: Sequence[Run], commit: str | None, data_sha256: str) -> dict[str, Any]:
    """Return a set's entry of the JSON file.

    Args:
        benchmark: The data set.
        runs: Runs of all seeds, rules and variants so far.
        commit: Commit of the project.
        data_sha256: SHA-256 of the files of the data set.
    """
    whole = {rule: [run for run in runs if run.rule == rule and run.variant == EVERYTHING] for rule in benchmark.rules}
    return {
        "set": benchmark.name,
        "protocol": benchmark.protocol,
        "users": {rule: n_cases(mine) for rule, mine in whole.items()},
        "rows": [row for rule, mine in whole.items() for row in rows(rule, mine)],
        "paired": [pair for rule, mine in whole.items() for pair in paired(rule, mine, benchmark.references[rule])],
        "ablations": [
            row for rule in benchmark.rules for row in ablation_rows(rule, [run for run in runs if run.rule == rule])
        ],
        "runs": [_run(run) for run in runs],
        "trials": [
            {"seed": run.seed, "rule": run.rule, "variant": run.variant, **trial}
            for run in runs
            for trial in run.trials
        ],
        "commit": commit,
        "data_sha256": data_sha256,
    }


def rows(rule: str, runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return one row for each scorer that any seed fitted, in registry order."""
    won = winner(runs)
    return [{**row(name, rule, runs), "winner": name == won} for name in fitted(runs)]


def fitted(runs: Sequence[Run]) -> list[str]:
    """Return the scorers that any of the runs fitted, in registry order."""
    return [name for name in REGISTRY if any(name in run.results for run in runs)]


def row(name: str, rule: str, runs: Sequence[Run]) -> dict[str, Any]:
    """Return one scorer's metrics: means over users and seeds, and the interval of NDCG@10 over users.

    Args:
        name: Name of the scorer.
        rule: The repeat rule.
        runs: One run for each seed; runs without the scorer are left out.
    """
    mine = [run for run in runs if name in run.results]
    low, high = bootstrap_interval(per_user(name, "ndcg10", mine), np.random.default_rng(BOOTSTRAP_SEED))
    seconds = [run.seconds[name] for run in mine if name in run.seconds]
    return {
        "model": name,
        "rule": rule,
        **{metric: float(per_user(name, metric, mine).mean()) for metric in METRICS},
        "coverage": fmean(run.results[name].coverage for run in mine),
        "low": low,
        "high": high,
        "seconds": fmean(seconds) if seconds else None,
        "peak_mb": max(run.peak_mb for run in mine),
        "seeds": len(mine),
    }


def per_user(name: str, metric: str, runs: Sequence[Run]) -> NDArray[np.float64]:
    """Return `(n_cases,)` one scorer's metric, averaged over seeds."""
    return np.mean([run.results[name].per_user[metric] for run in runs if name in run.results], axis=0)


def n_cases(runs: Sequence[Run]) -> int:
    """Return the number of test cases."""
    return max((len(results.per_user["ndcg10"]) for run in runs for results in run.results.values()), default=0)


def winner(runs: Sequence[Run]) -> str | None:
    """Return the scorer that validation chooses by its means over the seeds, of those that every seed fitted.

    With enough users it is the cheapest of those that cannot be told from the best, as in a shop. With fewer it is the
    one with the best MAP@10. If validation was too small to choose, the winner is that of the first seed.
    """
    complete = [name for name in fitted(runs) if all(name in run.validation and name in run.results for run in runs)]
    if not complete:
        return runs[0].winner if runs else None
    chosen = [run.choices for run in runs]
    if all(len(choices.n_events) >= Lifecycle().segment_users for choices in chosen):
        map10 = {name: np.mean([choices.per_user[name] for choices in chosen], axis=0) for name in complete}
        recall10 = {name: np.mean([choices.recall10[name] for choices in chosen], axis=0) for name in complete}
        return cheapest_of_the_best(map10, recall10)
    return max(reversed(complete), key=lambda name: fmean(run.validation[name] for run in runs))


def paired(rule: str, runs: Sequence[Run], references: Sequence[str]) -> list[dict[str, Any]]:
    """Return the paired differences of the winner to the references and to the best baseline on the test.

    Args:
        rule: The repeat rule.
        runs: One run for each seed.
        references: Scorers that the data set names.
    """
    won, known = winner(runs), fitted(runs)
    others = [name for name in BASELINES if name in known and name not in {won, BLEND}]
    pairs: list[dict[str, Any]] = []
    for metric in PAIRED if won else ():
        best = max(others, key=lambda name: float(per_user(name, metric, runs).mean()), default=None)
        compared = [name for name in dict.fromkeys((*references, BLEND, best)) if name in known and name != won]
        pairs += [difference(rule, str(won), str(name), metric, runs) for name in compared]
    return pairs


def difference(rule: str, name: str, reference: str, metric: str, runs: Sequence[Run]) -> dict[str, Any]:
    """Return the mean difference of two scorers, its 95 % interval over users, and the one-sided 95 % lower bound."""
    ours, theirs = per_user(name, metric, runs), per_user(reference, metric, runs)
    low, high = bootstrap_interval(ours - theirs, np.random.default_rng(BOOTSTRAP_SEED))
    bound = paired_lower_bound(ours, theirs, np.random.default_rng(BOOTSTRAP_SEED))
    return {
        "rule": rule,
        "winner": name,
        "against": reference,
        "metric": metric,
        "difference": float((ours - theirs).mean()),
        "low": low,
        "high": high,
        "lower_bound": bound,
    }


def ablation_rows(rule: str, runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return a row for each of the four models and each variant; empty without ablations.

    Without its network each model is the ensemble of the shared features, `blend`. The row of the full model has its
    gain over that.
    """
    variants = list(dict.fromkeys(run.variant for run in runs))
    if len(variants) < 2:
        return []
    whole = [run for run in runs if run.variant == EVERYTHING]
    ablations: list[dict[str, Any]] = []
    for name in [name for name in MODELS if name in fitted(whole)]:
        for variant in variants:
            mine = [run for run in runs if run.variant == variant and name in run.results]
            if mine and variant != EVERYTHING:
                ablations.append({"variant": variant, **row(name, rule, mine)})
        if BLEND in fitted(whole):
            ablations.append({"variant": WITHOUT_NEURAL, **row(BLEND, rule, whole), "model": name})
        added = {"own_part": difference(rule, name, BLEND, "ndcg10", whole)} if BLEND in fitted(whole) else {}
        ablations.append({"variant": EVERYTHING, **row(name, rule, whole), **added})
    return ablations


def _run(run: Run) -> dict[str, Any]:
    """Return a run's own entry of the JSON file."""
    kept = ("seed", "rule", "variant", "winner", "choosing_seconds", "fitting_seconds", "peak_mb")
    return {
        **{name: getattr(run, name) for name in kept},
        "validation_map10": dict(run.validation),
        "failures": dict(run.failures),
    }
