"""Times of ranking all items or candidates in a request, and the recall of candidates."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.features.query import Query
from recsys.recommending.loading import ModelBundle
from recsys.recommending.runs import ScoringTask, score_all
from recsys.scorers.registry import MODELS

K = 10
ALL = slice(None)


def allowed_items(bundle: ModelBundle, query: Query, categories: slice | Sequence[int]) -> NDArray[np.bool_]:
    """Return which items are eligible: active, of the categories, and not in the user's history."""
    allowed = bundle.items.active.copy()
    if categories != ALL:
        allowed &= np.isin(bundle.items.categories, categories)
    allowed[query.items] = False
    return allowed


def ranked(
    bundle: ModelBundle, query: Query, allowed: NDArray[np.bool_], *, exhaustive: bool
) -> tuple[dict[str, list[int]], int]:
    """Return the ten best items of each model, and the number of items that were scored.

    Raises:
        RuntimeError: A model failed.
    """
    items = None
    if not exhaustive and bundle.candidates is not None:  # for every size, to find the one from which on it is faster
        items = bundle.candidates.of(query, allowed, [bundle.scorers[name] for name in MODELS])
    task = ScoringTask(query, allowed, items, bundle.scorers.features.compute(query, items))
    runs = score_all(MODELS, bundle.scorers, task)
    failed = [f"{run.model}: {run.error}" for run in runs if run.error]
    if failed:
        raise RuntimeError(f"Every model should score. Received: {failed}.")
    best = {run.model: task.best(run.logits, K).tolist() for run in runs}
    return best, int(allowed.sum()) if items is None else len(items)


def shared(best: Sequence[int], found: Sequence[int]) -> float:
    """Return the share of the best items that were found; 1 if there are none."""
    return len(set(best) & set(found)) / len(best) if best else 1.0


def without_index(bundle: ModelBundle, query: Query, allowed: NDArray[np.bool_]) -> list[int]:
    """Return the candidates without those of the index."""
    nothing = np.zeros(0, np.int32)
    if bundle.candidates is None:
        raise RuntimeError("The version should have an index, and usearch should be installed. Received: no index.")
    items: list[int] = (
        replace(bundle.candidates, search=lambda user_representation, k: nothing).of(query, allowed).tolist()
    )
    return items


def measure(
    bundle: ModelBundle,
    queries: Sequence[Query],
    categories: slice | Sequence[int],
    rounds: int,
    say: Callable[[str], object],
) -> dict[str, Any]:
    """Return recall, and times in milliseconds with and without candidates, which take turns.

    Args:
        bundle: The version.
        queries: The queries.
        categories: Categories of eligible items.
        rounds: Number of times that each query is timed.
        say: Called with each line of progress.
    """
    shares: dict[str, list[float]] = {name: [] for name in MODELS}
    without_search: dict[str, list[float]] = {name: [] for name in MODELS}
    sizes: list[int] = []
    for query in queries:
        allowed = allowed_items(bundle, query, categories)
        all_best, _ = ranked(bundle, query, allowed, exhaustive=True)
        best, size = ranked(bundle, query, allowed, exhaustive=False)
        sizes.append(size)
        without = without_index(bundle, query, allowed)
        for name, share in shares.items():
            share.append(shared(all_best[name], best[name]))
            without_search[name].append(shared(all_best[name], without))
    recalls = {name: statistics.fmean(share) for name, share in shares.items()}
    say("  recall " + ", ".join(f"{name} {share:.4f}" for name, share in recalls.items()))
    times: dict[str, list[float]] = {"exhaustive": [], "candidates": []}
    for _ in range(rounds):
        for query in queries:
            for way in times:
                started = time.perf_counter()
                allowed = allowed_items(bundle, query, categories)
                ranked(bundle, query, allowed, exhaustive=way == "exhaustive")
                times[way].append(1000 * (time.perf_counter() - started))
    summaries = {way: summary(values) for way, values in times.items()}
    say("  " + ", ".join(f"{way} {row['p50']:.1f} ms" for way, row in summaries.items()))
    alone = {name: statistics.fmean(share) for name, share in without_search.items()}
    return {
        "recall": recalls,
        "without_index": alone,
        "competing": statistics.median(sizes),
        "questions": len(queries),
        **summaries,
    }


def summary(values: Sequence[float]) -> Mapping[str, float]:
    """Return the median, 95th percentile by nearest rank, and number of times."""
    ordered = sorted(values)
    return {
        "p50": statistics.median(ordered),
        "p95": ordered[max(0, -(-95 * len(ordered) // 100) - 1)],
        "n": len(ordered),
    }


def switch_over(rows: Sequence[tuple[int, float, float]]) -> float | None:
    """Return the number of items from which on candidates are faster, interpolated linearly in logarithms.

    Args:
        rows: Items, milliseconds of scoring all, milliseconds of candidates; by ascending number of items.

    Returns:
        The first crossing; the smallest size if candidates are faster there already; None if they never are.
    """
    before: tuple[int, float] | None = None
    for items, exhaustive, candidates in rows:
        lead = float(np.log(exhaustive / candidates))
        if lead >= 0:
            if before is None:
                return float(items)
            share = before[1] / (before[1] - lead)
            return float(np.exp(np.log(before[0]) + share * (np.log(items) - np.log(before[0]))))
        before = items, lead
    return None
