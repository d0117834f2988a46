"""What a one-shot request costs, beside the least that a Python process with the same libraries costs.

Runs `recommend_api.py` and `python -c "import numpy, h5py, orjson, <driver>"` in pairs, against the shop and the version that the
environment or .env names, such as the demo's. Every run's exit status, answer and silence on stderr are checked.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from recsys.artifacts import current_name  # noqa: E402
from recsys.errors import RecsysError  # noqa: E402
from recsys.settings import Settings, load_settings  # noqa: E402

DRIVERS = {"sqlite": "sqlite3", "mysql": "pymysql", "mariadb": "pymysql", "postgresql": "psycopg", "postgres": "psycopg"}
WARM_UPS = 2  # pairs that fill the file cache and the caches of compiled code
TIMEOUT_S = 60.0  # a request that takes a minute is a failure, not a figure


class BenchmarkError(Exception):
    """A run that did not do what is being timed."""


@dataclass(frozen=True)
class Pair:
    """Both programs' times of one round, in seconds.

    Attributes:
        request: Wall and processor time of the one-shot request.
        floor: Likewise of the imports.
    """

    request: tuple[float, float]
    floor: tuple[float, float]


def main(argv: list[str]) -> int:
    """Measure, print the table, write the JSON; returns the exit status."""
    flags = _parser().parse_args(argv)
    try:
        settings = load_settings(os.environ, ROOT)
        result = measure(settings, {"user_id": flags.user_id, "limit": flags.limit}, flags.pairs)
    except (RecsysError, BenchmarkError) as error:
        Console(stderr=True).print(f"serving: {error}", markup=False, highlight=False, soft_wrap=True)
        return 1
    Console().print(table(result))
    if flags.json:
        flags.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if flags.max_ratio is not None and result["ratio_of_medians"] > flags.max_ratio:
        Console(stderr=True).print(f"serving: the ratio should be at most {flags.max_ratio}.")
        return 1
    return 0


def measure(settings: Settings, request: Mapping[str, Any], pairs: int) -> dict[str, Any]:
    """Return the figures of so many pairs, as the JSON file holds them.

    Raises:
        BenchmarkError: A run failed, said something on stderr, or answered anything but recommendations.
    """
    driver = DRIVERS[urlsplit(settings.database_url).scheme.partition("+")[0]]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}  # as a server starts it
    environ |= {"DATABASE_URL": settings.database_url, "MODELS_DIR": str(settings.models_dir)}
    door, question = [sys.executable, str(ROOT / "recommend_api.py")], json.dumps(request).encode()
    floor = [sys.executable, "-c", f"import numpy, h5py, orjson, {driver}"]
    rounds = []
    for number in range(WARM_UPS + pairs):
        runs = {}
        for name in ("request", "floor") if number % 2 else ("floor", "request"):  # whoever runs second finds warmer caches
            answer, runs[name] = timed(door if name == "request" else floor, question if name == "request" else b"", environ)
            if name == "request" and not (answer.count(b"\n") == 1 and json.loads(answer).get("ok") is True):
                raise BenchmarkError(f"An answer should be one line with ok true. Received: {answer[:200]!r}")
        rounds.append(Pair(**runs))
    return figures(rounds[WARM_UPS:]) | {
        "driver": driver,
        "version": current_name(settings.models_dir),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
    }


def timed(command: Sequence[str], stdin: bytes, environ: Mapping[str, str]) -> tuple[bytes, tuple[float, float]]:
    """Run a program; returns its stdout, and its wall and processor time in seconds.

    Raises:
        BenchmarkError: It failed, or said something on stderr.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    done = subprocess.run(command, input=stdin, capture_output=True, env=environ, timeout=TIMEOUT_S, check=False)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode or done.stderr:
        raise BenchmarkError(f"{command[1]} ended with {done.returncode}: {(done.stderr or done.stdout).decode(errors='replace').strip()}")
    return done.stdout, (wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def figures(rounds: Sequence[Pair]) -> dict[str, Any]:
    """Return medians, 95th percentiles and ratios."""
    columns = {"request": [pair.request for pair in rounds], "floor": [pair.floor for pair in rounds]}
    summary = {name: _summary(times) for name, times in columns.items()}
    return {
        "pairs": len(rounds),
        **summary,
        "ratio_of_medians": summary["request"]["median_s"] / summary["floor"]["median_s"],
        "median_of_ratios": statistics.median(pair.request[0] / pair.floor[0] for pair in rounds),
        "processor_ratio_of_medians": summary["request"]["processor_median_s"] / summary["floor"]["processor_median_s"],
    }


def _summary(times: Sequence[tuple[float, float]]) -> dict[str, float]:
    walls = sorted(wall for wall, _ in times)
    return {
        "median_s": statistics.median(walls),
        "p95_s": walls[min(len(walls) - 1, round(0.95 * len(walls)))],
        "min_s": walls[0],
        "processor_median_s": statistics.median(processor for _, processor in times),
    }


def table(result: Mapping[str, Any]) -> Table:
    """Return the figures as a table."""
    made = Table(title=f"One-shot, {result['driver']}, {result['pairs']} pairs", caption=f"Python {result['python']}, {result['machine']}")
    made.add_column("in ms")
    for column in ("median", "p95", "min", "processor"):
        made.add_column(column, justify="right")
    for name, label in (("request", "recommend_api.py"), ("floor", f"import numpy, h5py, orjson, {result['driver']}")):
        row = result[name]
        made.add_row(label, *(f"{1000 * row[key]:.0f}" for key in ("median_s", "p95_s", "min_s", "processor_median_s")))
    ratios = f"{result['ratio_of_medians']:.2f} ×", f"{result['processor_ratio_of_medians']:.2f} ×"
    made.add_section()
    made.add_row("ratio of medians", ratios[0], "", "", ratios[1])
    made.add_row("median of the pairs' ratios", f"{result['median_of_ratios']:.2f} ×", "", "", "")
    return made


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=40, metavar="N", help="default 40")
    parser.add_argument("--user-id", default=1, metavar="ID", help="the customer who asks; default 1")
    parser.add_argument("--limit", type=int, default=10, metavar="N", help="items asked for; default 10")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures are written, too")
    parser.add_argument("--max-ratio", type=float, metavar="R", help="leave with 1 if the ratio of medians is above")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
