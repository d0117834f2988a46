"""Whether a checkout of the project answers as fast as another one: paired ratios, so that a busy machine slows both.

    python benchmarks/compare_speed.py BEFORE AFTER

Each round times both checkouts in short turns on one synthetic shop of 1,000 items: requests from Node through
`pythonInvoker` to one worker and back, and one-shot processes. A round's ratio is that of the medians, after by before.
The exit status is 1 if the upper quartile of the ratios is above the bound, and 2 if something failed. Both checkouts
need `backend/node_modules`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # as train.py does, for the process that writes the version
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

from rich.table import Table  # noqa: E402

from benchmarks.loads.databases import SERVER  # noqa: E402
from benchmarks.loads.driver import Driver  # noqa: E402
from benchmarks.loads.shops import Size, SyntheticShop, synthetic_shop  # noqa: E402
from benchmarks.loads.timing import BenchmarkError, Program, check_answer, timed  # noqa: E402
from benchmarks.loads.users import USUAL  # noqa: E402
from recsys.errors import RecsysError  # noqa: E402
from recsys.training.terminal import console as new_console  # noqa: E402

SCRIPT = "round_trips.mjs"
POOL, WARM_UPS = "one", 40
TURN = 10  # requests to a worker at a time
LIMIT = 10  # items of an answer
Measure = Callable[[int], list[float]]  # from the number of a turn to its times in ms


def worker(shop: SyntheticShop, database: str, checkout: Path, stack: ExitStack) -> Measure:
    """Return what times requests to one worker of a checkout, which stays until the stack is closed."""
    found = sorted(path for path in (checkout / "benchmarks").rglob(SCRIPT) if "node_modules" not in path.parts)
    if len(found) != 1:
        raise BenchmarkError(f"{checkout}/benchmarks should hold one {SCRIPT}. Received: {len(found)}.")
    driver = stack.enter_context(Driver(shop.environ(database), found[0].resolve()))
    driver.open(POOL, 1)
    asked = requests(shop)
    driver.load(POOL, asked, 1, count=WARM_UPS)

    def measure(number: int) -> list[float]:
        start = number * TURN % len(asked)
        told = driver.load(POOL, [*asked[start:], *asked[:start]][:TURN], 1, count=TURN)
        if told["failed"] or told["crossed"]:
            raise BenchmarkError(
                f"Every request should be answered. Received: {told['failed']}, {told['crossed']} crossed."
            )
        times: list[float] = told["ms"]
        return times

    return measure


def one_shot(shop: SyntheticShop, database: str, checkout: Path, stack: ExitStack) -> Measure:
    """Return what times processes of a checkout that answer one request each."""
    asked = [json.dumps(request).encode() for request in requests(shop)]
    program = Program([sys.executable, str(checkout / "recommend_api.py")], asked, shop.environ(database), check_answer)
    timed(program, 0)
    return lambda number: [1000 * timed(program, number).wall]


def requests(shop: SyntheticShop) -> list[dict[str, Any]]:
    """Return a request of each usual user."""
    return [{"user_id": user, "limit": LIMIT} for user in shop.groups[USUAL]]


def paired(before: Measure, after: Measure, rounds: int, turns: int) -> list[tuple[float, float]]:
    """Return the medians of each round, in ms. Turns go before, after, after, before …, to cancel a drift."""
    pairs = []
    for number in range(rounds):
        times = list[float](), list[float]()
        for turn in range(number * turns, (number + 1) * turns):
            for side in (1, 0) if turn % 2 else (0, 1):
                times[side].extend((before, after)[side](turn))
        pairs.append((statistics.median(times[0]), statistics.median(times[1])))
    return pairs


def quartiles(pairs: Sequence[tuple[float, float]]) -> list[float]:
    """Return lower quartile, median and upper quartile of the ratios, after by before.

    >>> quartiles([(1.0, 1.0), (2.0, 4.0), (1.0, 3.0)])
    [1.5, 2.0, 2.5]
    """
    found: list[float] = np.quantile([after / before for before, after in pairs], (0.25, 0.5, 0.75)).tolist()
    return found


def main(argv: Sequence[str]) -> int:
    """Compare; returns the exit status."""
    flags = _parser().parse_args(argv)
    console, worst = new_console(), 0.0
    table = Table("database", "measured", "before, ms", "after, ms", "lower quartile", "median ratio", "upper quartile")
    size = Size(flags.items, flags.users)
    kinds = (("worker", worker, max(1, flags.requests // TURN)), ("one-shot", one_shot, flags.processes))
    try:
        with synthetic_shop(size, flags.server, new_console(stderr=True).print) as shop:
            for database in shop.urls:
                for name, kind, turns in kinds:
                    with ExitStack() as stack:
                        sides = [kind(shop, database, checkout, stack) for checkout in (flags.before, flags.after)]
                        pairs = paired(sides[0], sides[1], flags.rounds, turns)
                    ratios = quartiles(pairs)
                    worst = max(worst, ratios[-1])
                    medians = (statistics.median(column) for column in zip(*pairs, strict=True))
                    table.add_row(
                        database, name, *(f"{ms:.2f}" for ms in medians), *(f"{ratio:.3f}" for ratio in ratios)
                    )
    except (RecsysError, BenchmarkError) as error:
        console.print(f"compare_speed: {error}", markup=False)
        return 2
    console.print(table)
    return 1 if worst > flags.bound else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="a checkout")
    parser.add_argument("after", type=Path, help="another checkout")
    for name, default, what in (
        ("items", 1000, "of the shop"),
        ("users", 20_000, "of the shop"),
        ("rounds", 15, "that are paired"),
        ("requests", 100, "to the worker in each round"),
        ("processes", 6, "one-shot, in each round"),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"{what}; default {default:,}")
    parser.add_argument(
        "--bound", type=float, default=1.03, metavar="RATIO", help="of the upper quartile; default 1.03"
    )
    parser.add_argument(
        "--server", default=os.environ.get("RECSYS_BENCH_MYSQL", SERVER), metavar="URL", help=f"default {SERVER}"
    )
    parser.add_argument(
        "--without-mariadb", dest="server", action="store_const", const=None, help="measure on SQLite only"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
