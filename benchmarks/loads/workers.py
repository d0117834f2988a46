"""Round trips from Node to workers: by requests in flight, by length of the history, and of the protocol alone."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from benchmarks.loads.driver import Driver
from benchmarks.loads.plan import Plan
from benchmarks.loads.shops import SyntheticShop
from benchmarks.loads.timing import BenchmarkError, percentiles
from benchmarks.loads.users import FRESH, HISTORIES, USUAL
from recsys import store
from recsys.contract import parse_request
from recsys.recommending.loading import load
from recsys.recommending.recommend import recommend
from recsys.scorers.registry import REGISTRY

LIMIT = 10
T = TypeVar("T")
ONE, TWO = "one", "two"  # pools, by their number of workers
IN_FLIGHT: Mapping[int, str] = {1: ONE, 8: TWO, 64: TWO}
WARM_UPS = 20
ROUNDS = 2  # of all requests in flight, at least: in the first round no request waits for all the others
PINGS = 200  # in each block
COUNTED = 20  # users whose SQL statements are counted


def round_trips(shop: SyntheticShop, plan: Plan) -> dict[str, Any]:
    """Return the results of each database."""
    return {database: _of_database(shop, database, plan) for database in shop.urls}


def _of_database(shop: SyntheticShop, database: str, plan: Plan) -> dict[str, Any]:
    requests = requests_of(shop.groups[USUAL])
    with Driver(shop.environ(database)) as driver:
        count = opened(driver, requests, plan)
        blocks: dict[int, list[dict[str, Any]]] = {in_flight: [] for in_flight in IN_FLIGHT}
        pings = list[float]()
        for block in range(plan.blocks):
            for in_flight in rotated(list(IN_FLIGHT), block):
                mine = rotated(requests, block * count)
                many = max(count, ROUNDS * in_flight)
                blocks[in_flight].append(driver.load(IN_FLIGHT[in_flight], mine, in_flight, count=many))
            pings += driver.tell("ping", pool=ONE, count=PINGS)["ms"]
        stats = driver.tell("stats", pool=ONE)
    return {
        "in_flight": {str(in_flight): level(loads) for in_flight, loads in blocks.items()},
        "throughput": gained(blocks[64], blocks[1]),
        "ping": percentiles(pings),
        "statements": statements(shop, database),
        "rss_bytes": stats["worker"]["rss_bytes"],
        "connections": stats["worker"]["connections"],
    }


def opened(driver: Driver, requests: Sequence[Mapping[str, Any]], plan: Plan) -> int:
    """Start the pools and warm them up; returns the number of requests in a block."""
    driver.open(ONE, 1)
    driver.open(TWO, 2)
    driver.load(ONE, requests, 1, count=WARM_UPS)
    driver.load(TWO, requests, 8, count=4 * WARM_UPS)
    took = statistics.median(driver.load(ONE, requests, 1, count=WARM_UPS)["ms"])
    return math.ceil(max(plan.least, 1000 * plan.seconds / took) / plan.blocks)


def level(blocks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the results of one number in flight: milliseconds, answers per second, lost and crossed answers.

    Args:
        blocks: Results of the command `load` of `round_trips.mjs`.
    """
    ms = [took for block in blocks for took in block["ms"]]
    if not ms:
        raise BenchmarkError(f"Workers should answer. Received: {[block['failed'] for block in blocks]}.")
    asked = sum(block["asked"] for block in blocks)
    return {
        **percentiles(ms),
        "per_second": len(ms) / sum(block["seconds"] for block in blocks),
        "asked": asked,
        "lost": asked - len(ms),
        "crossed": sum(block["crossed"] for block in blocks),
    }


def gained(many: Sequence[Mapping[str, Any]], one: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the ratio of answers per second, many in flight to one: over all blocks, and the median over pairs."""
    rates = [[len(block["ms"]) / block["seconds"] for block in blocks] for blocks in (many, one)]
    whole = [
        sum(len(block["ms"]) for block in blocks) / sum(block["seconds"] for block in blocks) for blocks in (many, one)
    ]
    return {
        "ratio": whole[0] / whole[1],
        "median": statistics.median(ours / theirs for ours, theirs in zip(*rates, strict=True)),
    }


def by_history(shop: SyntheticShop, plan: Plan) -> dict[str, Any]:
    """Return times of each database by the number of the user's events, and for users with events since training."""
    results = {}
    for database in shop.urls:
        groups = {name: requests_of(shop.groups[name]) for name in (*map(str, HISTORIES), FRESH)}
        with Driver(shop.environ(database)) as driver:
            driver.open(ONE, 1)
            for requests in groups.values():
                driver.load(ONE, requests, 1, count=WARM_UPS)
            count = math.ceil(plan.least / plan.blocks)
            blocks: dict[str, list[dict[str, Any]]] = {name: [] for name in groups}
            for block in range(plan.blocks):
                for name in rotated(list(groups), block):
                    blocks[name].append(driver.load(ONE, rotated(groups[name], block * count), 1, count=count))
        results[database] = {name: level(loads) for name, loads in blocks.items()}
    return results


def requests_of(users: Iterable[int]) -> list[dict[str, Any]]:
    """Return one request for each user."""
    return [{"user_id": user, "limit": LIMIT} for user in users]


def rotated(values: Sequence[T], by: int) -> list[T]:
    """Return the values rotated to the left."""
    start = by % len(values)
    return [*values[start:], *values[:start]]


def statements(shop: SyntheticShop, database: str) -> int:
    """Return the largest number of SQL statements of one request."""
    bundle, mapping, counts = load(shop.models_dir), shop.settings(database).shop, [0]
    for group in (USUAL, FRESH):
        for user in shop.groups[group][:COUNTED]:
            sent: list[str] = []
            request = parse_request(json.dumps(requests_of([user])[0]).encode(), models=tuple(REGISTRY))
            with store.connect(shop.urls[database], tracer=lambda sql, values, sent=sent: sent.append(sql)) as db:
                recommend(request, bundle, db, shop=mapping, now=bundle.data_until + 3600)
            counts.append(len(sent))
    return max(counts)
