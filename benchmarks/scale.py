"""From which catalogue size on candidates are faster than scoring every item, and which items they miss.

    python benchmarks/scale.py --json benchmarks/results/scale.json
    python benchmarks/scale.py --sizes 25000 50000
    python benchmarks/scale.py --markdown docs/SCALE.md
    python benchmarks/scale.py --markdown docs/SCALE.md --check

All sizes take up to an hour, mostly to build indexes. A million items need 6 GB of memory and 6 GB for temporary files;
each size has a process of its own. The time is that of a worker between the user's history and the four lists: eligible
items, candidates, four models in threads, the ten best of each. The database is not part of it. Tables go to stdout,
progress to stderr. --markdown writes the kept results into the page; with --check it only compares, and exits with 1 if
the page differs.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[threads] = "1"  # as recommend_api.py has it, before NumPy loads

import numpy as np  # noqa: E402
from rich.table import Table  # noqa: E402

from benchmarks import pages  # noqa: E402
from benchmarks.scaling import catalogue as synthetic  # noqa: E402
from benchmarks.scaling.requests import ALL, allowed_items, measure, ranked, switch_over  # noqa: E402
from recsys.artifacts import resident_bytes  # noqa: E402
from recsys.artifacts.nearest import build  # noqa: E402
from recsys.recommending.loading import load  # noqa: E402
from recsys.scorers.registry import MODELS  # noqa: E402
from recsys.scorers.retrieval import EXHAUSTIVE_UP_TO  # noqa: E402
from recsys.training.terminal import console  # noqa: E402

KEPT = Path("benchmarks/results/scale.json")
NAME = "scale"  # of the page's markers
SIZES = (25_000, 50_000, 100_000, 200_000, 300_000, 1_000_000)
FILTERS: Mapping[str, slice | Sequence[int]] = {"everything": ALL, "a fifth": (0, 1, 2, 3)}  # of 20 categories
SEED = 7
FIRST = 10  # requests before memory is read
MB = 1_000_000
LOG_WIDTH = 150  # of a file or a pipe: wide enough for the tables

err = console(stderr=True)


def main(argv: list[str], root: Path = ROOT) -> int:
    """Measure, or write the page; returns the exit status."""
    flags = _parser().parse_args(argv)
    if flags.markdown:
        return write_page(flags.markdown, root / KEPT, check=flags.check)
    largest_first = sorted(set(flags.sizes), reverse=True)  # where memory or disk is too small, that is known soon
    rows = [in_its_own_process(n, flags.cases, flags.rounds) for n in largest_first][::-1]
    result = {"sizes": rows, "switch_over": crossing(rows), "exhaustive_up_to": EXHAUSTIVE_UP_TO, **_circumstances()}
    for made in (costs(result), recalls(result)):
        console(log_width=LOG_WIDTH).print(made)
    if flags.json:
        pages.keep(flags.json, result)
    return 0


def in_its_own_process(n: int, cases: int, rounds: int) -> dict[str, Any]:
    """Return the results of one size from a new process, so that its memory is its own."""
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
        made = pool.submit(_make_and_measure, n, cases, rounds)
        return made.result()


def _make_and_measure(n: int, cases: int, rounds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="recsys-scale-") as folder:
        with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
            made = pool.submit(_make, n, Path(folder)).result()  # in a process of its own, whose memory is then free
        return {"items": n, **made, **_measure(n, Path(folder), cases, rounds)}


def _make(n: int, folder: Path) -> dict[str, Any]:
    """Write a version with n items; returns time and size of its index."""
    err.print(f"{n:,} items", style="bold")
    catalogue = synthetic.make(n, np.random.default_rng([SEED, n]))
    vectors, started = synthetic.vectors_of_bmf(catalogue, SEED), time.perf_counter()
    index = build(vectors)
    seconds = time.perf_counter() - started
    err.print(f"  index: {seconds:.0f} s, {len(index) / MB:.0f} MB")
    name = synthetic.publish(catalogue, folder, np.random.default_rng([SEED, n, 1]), index, SEED)
    total = sum(path.stat().st_size for path in (folder / name).iterdir())
    err.print(f"  version: {total / MB:,.0f} MB")
    return {"index_s": seconds, "index_bytes": len(index), "version_bytes": total}


def _measure(n: int, folder: Path, cases: int, rounds: int) -> dict[str, Any]:
    """Measure times, recall and memory of the version in a folder."""
    catalogue = synthetic.make(n, np.random.default_rng([SEED, n]))
    queries = synthetic.cases(catalogue, np.random.default_rng([SEED, n, 2]), cases)
    del catalogue
    started = time.perf_counter()
    bundle = load(folder)
    hashed = time.perf_counter() - started
    before, resident = resident_bytes(), {}
    for way in ("candidates", "exhaustive"):
        for query in queries[:FIRST]:
            ranked(bundle, query, allowed_items(bundle, query, ALL), exhaustive=way == "exhaustive")
        resident[way] = (resident_bytes() or 0) - (before or 0)
    figures = {label: measure(bundle, queries, chosen, rounds, err.print) for label, chosen in FILTERS.items()}
    return {"verified_s": hashed, "resident": resident, "filters": figures}


def crossing(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the number of items from which on candidates are faster than scoring all, or None."""
    every = [(row["items"], row["filters"]["everything"]) for row in rows]
    return switch_over([(items, row["exhaustive"]["p50"], row["candidates"]["p50"]) for items, row in every])


def costs(result: Mapping[str, Any]) -> Table:
    """Return times, memory and disk as a table."""
    made = Table(title="Ranking of a request, ms", caption=_summary(result))
    for title in (
        "items",
        "all, p50",
        "p95",
        "candidates, p50",
        "p95",
        "candidates",
        "index, s",
        "index, MB",
        "resident, MB",
    ):
        made.add_column(title, justify="right")
    for row in result["sizes"]:
        made.add_row(*_cost_cells(row))
    return made


def recalls(result: Mapping[str, Any]) -> Table:
    """Return the recall of candidates by model, as a table."""
    n_users = result["sizes"][0]["filters"]["everything"]["questions"]
    made = Table(title=f"Share of each model's ten best that candidates contain, {n_users} users")
    for title in ("items", "eligible", *MODELS):
        made.add_column(title, justify="right")
    for row in result["sizes"]:
        for label in FILTERS:
            made.add_row(*_recall_cells(row, label))
    return made


def _cost_cells(row: Mapping[str, Any]) -> list[str]:
    told = row["filters"]["everything"]
    times = [f"{told[way][figure]:.1f}" for way in ("exhaustive", "candidates") for figure in ("p50", "p95")]
    memory = f"{row['resident']['candidates'] / MB:,.0f} / {row['resident']['exhaustive'] / MB:,.0f}"
    sizes = [f"{told['competing']:,.0f}", f"{row['index_s']:.0f}", f"{row['index_bytes'] / MB:,.0f}", memory]
    return [f"{row['items']:,}", *times, *sizes]


def _recall_cells(row: Mapping[str, Any], label: str) -> list[str]:
    told = row["filters"][label]
    return [
        f"{row['items']:,}",
        label,
        *(f"{told['recall'][name]:.3f} ({told['without_index'][name]:.3f})" for name in MODELS),
    ]


def _summary(result: Mapping[str, Any]) -> str:
    items = result["switch_over"]
    crossing = (
        f"candidates are faster from about {round(items, -3):,.0f} items on" if items else "candidates are never faster"
    )
    return f"{crossing}; {result['machine']}, Python {result['python']}"


def markdown(result: Mapping[str, Any]) -> str:
    """Return both tables and the switch-over as Markdown."""
    heads = [
        "items",
        "all, p50",
        "p95",
        "candidates, p50",
        "p95",
        "candidates",
        "index, s",
        "index, MB",
        "resident, MB: candidates / all",
    ]
    blocks = [_table(heads, [_cost_cells(row) for row in result["sizes"]])]
    blocks.append(
        _table(
            ["items", "eligible", *MODELS],
            [_recall_cells(row, label) for row in result["sizes"] for label in FILTERS],
        )
    )
    summary = _summary(result)
    blocks.append(f"{summary[0].upper()}{summary[1:]}.\n")
    return "\n".join(blocks)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|" + "---:|" * len(head), *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines) + "\n"


def write_page(page: Path, kept: Path, *, check: bool) -> int:
    """Write the kept figures between the page's markers, or compare; returns the exit status."""
    block = markdown(json.loads(kept.read_text(encoding="utf-8"))) if kept.exists() else pages.NOT_TAKEN
    text = pages.replaced(page.read_text(encoding="utf-8"), block, NAME, page.name)
    return pages.settled(page, text, "benchmarks/scale.py", check=check)


def _circumstances() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--sizes", type=pages.positive, nargs="+", default=list(SIZES), metavar="N", help="of the catalogues, in items"
    )
    parser.add_argument(
        "--questions", dest="cases", type=pages.positive, default=60, metavar="N", help="users of each size (60)"
    )
    parser.add_argument(
        "--rounds", type=pages.positive, default=3, metavar="N", help="how often each is timed, both ways in turns (3)"
    )
    pages.add_flags(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
