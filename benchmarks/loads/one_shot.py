"""What a request costs in a process of its own, beside bare imports, beside a larger shop, and beside the seeds' way."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Mapping
from typing import Any

from benchmarks.loads.users import USUAL
from benchmarks.loads.databases import DRIVERS
from benchmarks.loads.plan import Plan
from benchmarks.loads.shops import SyntheticShop
from benchmarks.loads.timing import ROOT, BenchmarkError, Program, in_turns, one_shot, peak_bytes, ratio, summary

LIMIT = 10
FLOOR, DOOR, HUGE, TENSORFLOW = "floor", "door", "huge", "seeds"


def beside_the_floor(door: SyntheticShop, huge: SyntheticShop, plan: Plan) -> dict[str, Any]:
    """Return, for each database, the figures of three programs in turns: bare imports, a request, a request to a large shop."""
    return {database: _of_database(door, huge, database, plan) for database in door.urls}


def _of_database(door: SyntheticShop, huge: SyntheticShop, database: str, plan: Plan) -> dict[str, Any]:
    imports = f"import numpy, h5py, orjson, {DRIVERS[database]}"
    programs = {FLOOR: Program([sys.executable, "-c", imports])}
    programs |= {name: asked(shop, database) for name, shop in ((DOOR, door), (HUGE, huge))}
    times = in_turns(programs, plan.pairs, plan.warm_ups)
    return {
        "imports": imports,
        "sides": {name: summary(took) for name, took in times.items()},
        "to_floor": ratio(times, DOOR, FLOOR),
        "growth": ratio(times, HUGE, DOOR),
    }


def beside_tensorflow_per_request(shop: SyntheticShop, plan: Plan) -> dict[str, Any]:
    """Return the figures of a request and of the same request answered the seeds' way, in turns, and the peak memory of both."""
    database = next(iter(shop.urls))
    programs = {DOOR: asked(shop, database), TENSORFLOW: tensorflow_per_request(shop, database)}
    times = in_turns(programs, plan.tensorflow_rounds, min(1, plan.warm_ups))
    peaks = {
        name: statistics.median(peak_bytes(program, n) for n in range(plan.peaks)) for name, program in programs.items()
    }
    return {
        "database": database,
        "sides": {name: {**summary(took), "peak_bytes": peaks[name]} for name, took in times.items()},
        "faster": ratio(times, TENSORFLOW, DOOR),
        "memory_share": peaks[DOOR] / peaks[TENSORFLOW],
    }


def asked(shop: SyntheticShop, database: str) -> Program:
    """Return recommend_api.py, asked by one usual customer after another."""
    return one_shot(shop.environ(database), [{"user_id": user, "limit": LIMIT} for user in shop.groups[USUAL]])


def tensorflow_per_request(shop: SyntheticShop, database: str, *argv: str) -> Program:
    """Return the reference, asked the same."""
    script = str(ROOT / "benchmarks/loads/tensorflow_per_request.py")
    return Program(
        [sys.executable, script, *argv], asked(shop, database).stdin, shop.environ(database), check_four_lists
    )


def check_four_lists(asked: bytes, answer: bytes) -> None:
    """Refuse anything but a list of each model.

    Raises:
        BenchmarkError: It says what came instead.
    """
    request, told = json.loads(asked), json.loads(answer)
    lists: Mapping[str, list[str]] = told["items"]
    if told["user_id"] != request.get("user_id") or [len(set(items)) for items in lists.values()] != 4 * [
        request["limit"]
    ]:
        raise BenchmarkError(
            f"The reference should answer with four lists of {request['limit']}. Received: {answer[:300]!r}."
        )
