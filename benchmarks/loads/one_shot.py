"""Time and memory of one-shot requests, compared with bare imports, a larger shop and TensorFlow per request."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Mapping
from typing import Any

from benchmarks.loads.databases import DRIVERS
from benchmarks.loads.plan import Plan
from benchmarks.loads.shops import SyntheticShop
from benchmarks.loads.timing import ROOT, BenchmarkError, Program, in_turns, one_shot, peak_bytes, ratio, summary
from benchmarks.loads.users import USUAL

LIMIT = 10
FLOOR, DOOR, HUGE, TENSORFLOW = "floor", "door", "huge", "seeds"


def beside_bare_imports(door: SyntheticShop, huge: SyntheticShop, plan: Plan) -> dict[str, Any]:
    """Return times by database of three programs in turns: bare imports, a request, a request to a large shop."""
    return {database: _of_database(door, huge, database, plan) for database in door.urls}


def _of_database(door: SyntheticShop, huge: SyntheticShop, database: str, plan: Plan) -> dict[str, Any]:
    imports = f"import numpy, h5py, orjson, {DRIVERS[database]}"
    programs = {FLOOR: Program([sys.executable, "-c", imports])}
    programs |= {name: request_program(shop, database) for name, shop in ((DOOR, door), (HUGE, huge))}
    times = in_turns(programs, plan.pairs, plan.warm_ups)
    return {
        "imports": imports,
        "sides": {name: summary(took) for name, took in times.items()},
        "to_floor": ratio(times, DOOR, FLOOR),
        "growth": ratio(times, HUGE, DOOR),
    }


def beside_tensorflow_per_request(shop: SyntheticShop, plan: Plan) -> dict[str, Any]:
    """Return times and peak memory of `recommend_api.py` and of TensorFlow per request; both take turns."""
    database = next(iter(shop.urls))
    programs = {DOOR: request_program(shop, database), TENSORFLOW: tensorflow_per_request(shop, database)}
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


def request_program(shop: SyntheticShop, database: str) -> Program:
    """Return `recommend_api.py` with requests of usual users in turn."""
    return one_shot(shop.environ(database), [{"user_id": user, "limit": LIMIT} for user in shop.groups[USUAL]])


def tensorflow_per_request(shop: SyntheticShop, database: str, *argv: str) -> Program:
    """Return the program that imports TensorFlow for each request, with the same requests."""
    script = str(ROOT / "benchmarks/loads/tensorflow_per_request.py")
    return Program(
        [sys.executable, script, *argv], request_program(shop, database).stdin, shop.environ(database), check_four_lists
    )


def check_four_lists(request_bytes: bytes, answer: bytes) -> None:
    """Check that the answer has a list of each model.

    Raises:
        BenchmarkError: The answer has something else; the message says what.
    """
    request, response = json.loads(request_bytes), json.loads(answer)
    lists: Mapping[str, list[str]] = response["items"]
    if response["user_id"] != request.get("user_id") or [len(set(items)) for items in lists.values()] != 4 * [
        request["limit"]
    ]:
        raise BenchmarkError(
            f"The reference should answer with four lists of {request['limit']}. Received: {answer[:300]!r}."
        )
