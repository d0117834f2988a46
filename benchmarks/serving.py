"""Time and memory of serving: one-shot processes and workers through pythonInvoker, on synthetic shops.

    python benchmarks/serving.py --json benchmarks/results/serving.json
    python benchmarks/serving.py --only one-shot memory
    python benchmarks/serving.py --only environment
    python benchmarks/serving.py --quick
    python benchmarks/serving.py --markdown docs/PERFORMANCE.md
    python benchmarks/serving.py --markdown docs/PERFORMANCE.md --check

Everything takes a quarter of an hour on an idle machine. --only measures some parts, and keeps the others of --json;
`environment` installs what serving needs into a new folder and measures its size. --quick uses tiny shops, to test that
the benchmark runs. --markdown writes the kept results and their plot; with --check it only compares, and exits with 1
if page or plot differ.

It needs Node 20, up to 6 GB for temporary files, and a MariaDB server. One-shot, worker and Keras must agree before
anything is timed. Tables go to stdout, progress to stderr. With --strict the exit status is 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # as train.py does, for all processes that use TensorFlow
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


from benchmarks import pages  # noqa: E402
from benchmarks.loads import agreement, memory, one_shot, plots, tables, workers  # noqa: E402
from benchmarks.loads.databases import SERVER  # noqa: E402
from benchmarks.loads.environment import serving_environment  # noqa: E402
from benchmarks.loads.plan import DOOR, FULL, HUGE, LARGE, MEDIUM, QUICK, SMALL, Plan  # noqa: E402
from benchmarks.loads.shops import Say, Size, SyntheticShop, synthetic_shop  # noqa: E402
from benchmarks.loads.targets import targets  # noqa: E402
from benchmarks.loads.timing import BenchmarkError  # noqa: E402
from recsys.errors import RecsysError  # noqa: E402
from recsys.training.terminal import console  # noqa: E402

KEPT = Path("benchmarks/results/serving.json")
NAME = "serving"  # of the page's markers
PICTURE = "serving.svg"  # beside the page
ENVIRONMENT = "environment"  # needs the package index: only when asked for
LOG_WIDTH = 150  # of a file or a pipe: wide enough for the tables
INTERRUPTED = 130  # as shells have it for Ctrl-C

out, err = console(log_width=LOG_WIDTH), console(stderr=True)


@dataclass(frozen=True)
class Task:
    """One thing to measure.

    Attributes:
        name: Name on the command line.
        path: Keys of its results in the JSON file.
        parts: Roles of the shops that it needs.
        measure: Returns the results; called with these shops.
    """

    name: str
    path: Sequence[str]
    parts: Sequence[str]
    measure: Callable[..., dict[str, Any]]


def tasks(plan: Plan) -> list[Task]:
    """Return all tasks; agreement comes first, and tasks with the same shop follow one another."""

    def round_trips(part: str) -> Task:
        return Task("round-trips", ("round_trips", part), (part,), lambda shop: workers.round_trips(shop, plan))

    return [
        Task("agreement", ("agreement",), (DOOR,), agreement.agreement),
        Task("seeds", ("seeds",), (DOOR,), lambda door: one_shot.beside_tensorflow_per_request(door, plan)),
        round_trips(DOOR),
        Task(
            "one-shot", ("one_shot",), (DOOR, HUGE), lambda door, huge: one_shot.beside_bare_imports(door, huge, plan)
        ),
        round_trips(HUGE),
        round_trips(SMALL),
        round_trips(MEDIUM),
        Task("histories", ("histories",), (MEDIUM,), lambda medium: workers.by_history(medium, plan)),
        round_trips(LARGE),
        Task("memory", ("memory",), (LARGE,), lambda large: memory.worker_memory(large, plan)),
        Task(ENVIRONMENT, (ENVIRONMENT,), (), serving_environment),
    ]


NAMES = tuple(dict.fromkeys(task.name for task in tasks(QUICK)))


def main(argv: Sequence[str], root: Path = ROOT) -> int:
    """Measure, or write the page; returns the exit status."""
    flags = _parser().parse_args(argv)
    try:
        if flags.markdown:
            return write_page(flags.markdown, root / KEPT, flags.check)
        results = measure(flags, say=err.print)
    except (RecsysError, BenchmarkError) as error:
        err.print(f"serving: {error}")
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    out.print(tables.terminal(results))
    missed = [target.name for target in targets(results) if target.met is False]
    if flags.strict and missed:
        err.print(f"serving: {len(missed)} figures should be reached: {'; '.join(missed)}.")
        return 1
    return 0


def measure(flags: argparse.Namespace, say: Say) -> dict[str, Any]:
    """Return the results, including those kept earlier; the file is written after each task."""
    plan = QUICK if flags.quick else FULL
    wanted = [
        task for task in tasks(plan) if task.name in (flags.only or [name for name in NAMES if name != ENVIRONMENT])
    ]
    results = begun(flags, plan, say)
    for task, shops in with_shops(wanted, plan, flags.server, say):
        since = time.perf_counter()
        put(results, task.path, task.measure(*shops))
        results["measured"]["/".join(task.path)] = {"commit": commit(), "day": datetime.now(UTC).strftime("%Y-%m-%d")}
        say(f"measured {' '.join(task.path)}: {time.perf_counter() - since:.0f} s")
        if flags.json:
            pages.keep(flags.json, results)
    return results


def begun(flags: argparse.Namespace, plan: Plan, say: Say) -> dict[str, Any]:
    """Return the results to fill.

    With --only these are the kept ones, if they are of the same machine and of shops of the same sizes.
    """
    circumstances = {
        "quick": flags.quick,
        "sizes": {part: asdict(size) for part, size in plan.sizes.items()},
        "machine": machine(),
    }
    kept = read(flags.json) if flags.json and flags.json.exists() else {}
    environment = {name: kept[name] for name in (ENVIRONMENT,) if name in kept}
    if flags.only and {name: kept.get(name) for name in circumstances} == circumstances:
        return kept
    if flags.only and kept:
        say(f"{flags.json.name} is of another machine or of shops of other sizes: it is begun anew")
    measured = {name: when for name, when in kept.get("measured", {}).items() if name == ENVIRONMENT}
    return {**circumstances, "measured": measured, **environment}


def with_shops(
    wanted: Sequence[Task], plan: Plan, server: str | None, say: Say
) -> Iterator[tuple[Task, list[SyntheticShop]]]:
    """Yield each task with its shops; a shop is made when it is first needed and removed after its last task."""
    opened: dict[Size, tuple[SyntheticShop, ExitStack]] = {}
    try:
        for number, task in enumerate(wanted):
            sizes = [plan.sizes[part] for part in task.parts]
            for size in sizes:
                if size not in opened:
                    stack = ExitStack()
                    opened[size] = stack.enter_context(synthetic_shop(size, server, say, plan.options)), stack
            yield task, [opened[size][0] for size in sizes]
            later = {plan.sizes[part] for other in wanted[number + 1 :] for part in other.parts}
            for size in set(opened) - later:
                opened.pop(size)[1].close()
    finally:
        for _, stack in opened.values():
            stack.close()


def put(results: dict[str, Any], path: Sequence[str], figures: Mapping[str, Any]) -> None:
    """Set what lies at the end of a path."""
    for name in path[:-1]:
        results = results.setdefault(name, {})
    results[path[-1]] = figures


def machine() -> dict[str, Any]:
    """Return the machine and the versions that the results depend on."""
    node = shutil.which("node")
    version = (
        subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
        if node
        else "no Node"
    )
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "processor": processor(),
        "python": platform.python_version(),
        "node": f"Node {version.removeprefix('v')}" if node else version,
    }


def processor() -> str:
    """Return the name of the processor, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.processor() or "unknown",
    )


def commit() -> str | None:
    """Return the commit of the project, or None outside a repository."""
    git = shutil.which("git")
    done = (
        subprocess.run([git, "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
        if git
        else None
    )
    return done.stdout.strip() or None if done else None


def read(path: Path) -> dict[str, Any]:
    """Return the figures of a file.

    Raises:
        BenchmarkError: The file has another form.
    """
    try:
        results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if not {"sizes", "machine", "measured", "quick"} <= set(results):
            raise KeyError("sizes, machine, measured or quick")
    except (ValueError, KeyError, TypeError) as error:
        raise BenchmarkError(
            f"{path.name} should hold figures as --json writes them. Received: something else ({error})."
        ) from error
    return results


def write_page(page: Path, kept: Path, check: bool) -> int:
    """Write the tables between the page's markers and draw its picture, or compare; returns the exit status."""
    if not page.is_file():
        raise BenchmarkError(f"--markdown should name a page. Received: {page}, which is not there.")
    results = read(kept) if kept.exists() else None
    picture, block = page.with_name(PICTURE), tables.markdown(results, PICTURE) if results else pages.NOT_TAKEN
    text = pages.replaced(page.read_text(encoding="utf-8"), block, NAME, page.name)
    drawn = picture.read_text(encoding="utf-8") if picture.exists() else ""
    same = results is None or plots.digest(results) in drawn
    if results and not same and not check:
        plots.draw(results, picture)
    return pages.settled(page, text, "benchmarks/serving.py", check=check, same=same)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=NAMES, metavar="WHAT", help=f"some of: {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="tiny shops: whether it runs, no figures")
    parser.add_argument(
        "--server",
        default=os.environ.get("RECSYS_BENCH_MYSQL", SERVER),
        metavar="URL",
        help=f"MariaDB's; default {SERVER}",
    )
    parser.add_argument(
        "--without-mariadb", dest="server", action="store_const", const=None, help="measure on SQLite only"
    )
    parser.add_argument("--strict", action="store_true", help="leave with 1 where a figure was not reached")
    pages.add_flags(parser)
    return parser


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that shops are removed
    sys.exit(main(sys.argv[1:]))
