"""Targets for serving, and whether the results meet them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.loads.databases import LABELS, MARIADB, SQLITE
from benchmarks.loads.plan import DOOR, HUGE, LARGE, MEDIUM, SMALL

Results = Mapping[str, Any]
FLOOR_RATIOS = {SQLITE: 1.25, MARIADB: 1.35}
FASTER, MEMORY_SHARE, GROWTH = 20.0, 1 / 6, 2.0
MEDIANS_MS = {SMALL: 3.0, MEDIUM: 6.0, LARGE: 60.0}
P95_RATIO, P99_BEHIND_MS, STATEMENTS = 3.0, 20.0, 3
PING_MS = {"p50": 0.3, "p95": 1.0}
THROUGHPUT = 1.3
ENVIRONMENT_MB, WORKER_MB = 200.0, 400.0  # of a million bytes
MB = 1e6


@dataclass(frozen=True)
class Target:
    """One target and its result.

    Attributes:
        name: What is measured.
        limit: The target, in words.
        measured: The result, in words; a dash if there is none.
        met: Whether the result meets the target; None if it was not measured.
    """

    name: str
    limit: str
    measured: str
    met: bool | None


def targets(results: Results) -> list[Target]:
    """Return all targets, in the order of the page."""
    return [
        *_one_shot(results),
        *_tensorflow(results),
        *_growth(results),
        *_round_trips(results),
        *_pings(results),
        *_throughput(results),
        *_sizes(results),
        *_agreement(results),
    ]


def figure(results: Results, *path: str) -> Any:
    """Return the value at a path of keys, or None if it was not measured."""
    found: Any = results
    for name in path:
        if not isinstance(found, Mapping) or name not in found:
            return None
        found = found[name]
    return found


def _target(name: str, limit: str, value: Any, words: Callable[[Any], str], is_met: Callable[[Any], bool]) -> Target:
    return Target(name, limit, "–", None) if value is None else Target(name, limit, words(value), bool(is_met(value)))


def _one_shot(results: Results) -> Iterator[Target]:
    for database, most in FLOOR_RATIOS.items():
        value = figure(results, "one_shot", database, "to_floor", "of_medians")
        what = f"one-shot, {_items(results, DOOR)}, compared with bare imports, {LABELS[database]}"
        yield _target(what, f"≤ {most} ×", value, times, lambda it, most=most: it <= most)


def _tensorflow(results: Results) -> Iterator[Target]:
    faster, share = figure(results, "seeds", "faster", "of_medians"), figure(results, "seeds", "memory_share")
    what = "one-shot compared with TensorFlow per request"
    yield _target(f"{what}: speed-up", f"≥ {FASTER:.0f} ×", faster, times, lambda it: it >= FASTER)
    yield _target(
        f"{what}: peak memory",
        f"≤ 1/{1 / MEMORY_SHARE:.0f}",
        share,
        lambda it: f"1/{1 / it:.1f}",
        lambda it: it <= MEMORY_SHARE,
    )


def _growth(results: Results) -> Iterator[Target]:
    for database, label in LABELS.items():
        value = figure(results, "one_shot", database, "growth", "of_medians")
        shops = f"{_items(results, HUGE)}, {_users(results, HUGE)}, compared with {_items(results, DOOR)}"
        what = f"one-shot, {shops}, {label}"
        yield _target(what, f"≤ {GROWTH:.0f} ×", value, times, lambda it: it <= GROWTH)


def _round_trips(results: Results) -> Iterator[Target]:
    for part, most in MEDIANS_MS.items():
        for database, label in LABELS.items():
            part_results = figure(results, "round_trips", part, database) or {}
            what = f"worker, {_items(results, part)}, {label}"
            took = figure(part_results, "in_flight", "1")
            yield _target(
                f"{what}: p50",
                f"≤ {most:g} ms",
                took,
                lambda it: ms(it["p50"]),
                lambda it, most=most: it["p50"] <= most,
            )
            yield _target(
                f"{what}: p95",
                f"≤ {P95_RATIO:g} × p50",
                took,
                lambda it: ms(it["p95"]),
                lambda it: it["p95"] <= P95_RATIO * it["p50"],
            )
            limit = f"≤ p50 + {P99_BEHIND_MS:g} ms"
            yield _target(
                f"{what}: p99", limit, took, lambda it: ms(it["p99"]), lambda it: it["p99"] <= it["p50"] + P99_BEHIND_MS
            )
            yield _target(
                f"{what}: statements",
                f"≤ {STATEMENTS}",
                figure(part_results, "statements"),
                str,
                lambda it: it <= STATEMENTS,
            )


def _pings(results: Results) -> Iterator[Target]:
    for name, most in PING_MS.items():
        value = figure(results, "round_trips", SMALL, SQLITE, "ping", name)
        yield _target(f"ping: {name}", f"≤ {most:g} ms", value, lambda it: ms(it, 2), lambda it, most=most: it <= most)


def _throughput(results: Results) -> Iterator[Target]:
    for database, label in LABELS.items():
        small = figure(results, "round_trips", SMALL, database) or {}
        what = f"64 in flight to two workers, compared with 1 to one worker, {_items(results, SMALL)}, {label}"
        value, most = figure(small, "throughput", "ratio"), f"≥ {THROUGHPUT} ×"
        yield _target(f"{what}: throughput", most, value, times, lambda it: it >= THROUGHPUT)
        many = figure(small, "in_flight", "64")
        words = lambda it: f"{it['lost']}, {it['crossed']} of {it['asked']:,}"  # noqa: E731 - as the other formats
        yield _target(f"{what}: lost, crossed", "0, 0", many, words, lambda it: it["lost"] == it["crossed"] == 0)


def _sizes(results: Results) -> Iterator[Target]:
    value = figure(results, "environment", "bytes")
    yield _target(
        "serving environment on disk",
        f"≤ {ENVIRONMENT_MB:.0f} MB",
        value,
        megabytes,
        lambda it: it <= ENVIRONMENT_MB * MB,
    )
    for when, most in (("before", WORKER_MB), ("during", 2 * WORKER_MB), ("after", WORKER_MB)):
        value, words = (
            figure(results, "memory", when, "rss"),
            {"before": "", "during": ", during a hot swap", "after": ", after it"},
        )
        what = f"worker's resident memory, {_items(results, LARGE)}{words[when]}"
        yield _target(what, f"≤ {most:.0f} MB", value, megabytes, lambda it, most=most: it <= most * MB)


def _agreement(results: Results) -> Iterator[Target]:
    agreement = figure(results, "agreement")
    what = "one-shot, worker and Keras on the same weights: equal ranks, largest difference of scores"
    tolerance = figure(agreement or {}, "tolerance") or 1e-5
    words: Callable[[Any], str] = lambda it: f"{it['largest_difference']:.1e}"  # noqa: E731 - as above
    yield _target(what, f"≤ {tolerance:.0e}", agreement, words, lambda it: it["largest_difference"] <= it["tolerance"])


def times(value: float) -> str:
    """Return a ratio in words."""
    return f"{value:.2f} ×" if value < 10 else f"{value:.1f} ×"


def ms(value: float, digits: int = 1) -> str:
    """Return milliseconds in words."""
    return f"{value:.{digits}f} ms"


def megabytes(value: float) -> str:
    """Return bytes in words."""
    return f"{value / MB:,.0f} MB"


def _items(results: Results, part: str) -> str:
    return f"{results['sizes'][part]['items']:,} items"


def _users(results: Results, part: str) -> str:
    return f"{results['sizes'][part]['users']:,} users"
