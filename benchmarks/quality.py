"""Metrics of all scorers on public data sets, with the project's own training code; every choice is made on validation.

    python benchmarks/quality.py DATA_DIR --sets online-retail --seeds 3 --json benchmarks/results/quality.json
    python benchmarks/quality.py --markdown docs/MODELS.md
    python benchmarks/quality.py --markdown docs/MODELS.md --check

DATA_DIR has one folder for each data set. Tables go to stdout, progress to stderr. The JSON file keeps the sets that
are not measured again. --markdown writes the kept results into the page; with --check it only compares, and exits with
1 if the page differs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # as train.py does, for the processes that fit
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


from benchmarks import pages  # noqa: E402
from benchmarks.measuring import tables  # noqa: E402
from benchmarks.measuring.ablations import ABLATIONS, EVERY_SEED  # noqa: E402
from benchmarks.measuring.runs import Run, Task, in_its_own_process  # noqa: E402
from benchmarks.measuring.summary import summarise  # noqa: E402
from benchmarks.sets import SETS, BenchmarkError  # noqa: E402
from recsys.training.terminal import console  # noqa: E402

KEPT = Path("benchmarks/results/quality.json")
# what the file keeps of each run, paired difference and ablation
RUN = ("seed", "rule", "variant", "winner", "choosing_seconds", "fitting_seconds")
PAIR = ("rule", "winner", "against", "metric", "difference", "low", "high")
ABLATION = ("variant", "model", "rule", "hr10", "ndcg10", "low", "high", "seeds", "own_part")
FIRST_SEED = 7  # the default of train.py
LOG_WIDTH = 150  # of a file or a pipe: wide enough for the tables


def main(argv: list[str], root: Path = ROOT) -> int:
    """Measure, or write the page; returns the exit status."""
    flags = _parser().parse_args(argv)
    try:
        if flags.markdown:
            return write_page(flags.markdown, root / KEPT, flags.check)
        if flags.data_dir is None:
            raise BenchmarkError("DATA_DIR should name the folder of the sets. Received: nothing.")
        measure(flags)
    except BenchmarkError as error:
        console(stderr=True).print(f"quality: {error}")
        return 1
    return 0


def measure(flags: argparse.Namespace) -> None:
    """Run every set with every seed; print the tables of each set, and write the file after each seed.

    The first seed chooses on validation and runs all ablations. The others use its choices, and show the variation
    between seeds.

    Raises:
        BenchmarkError: A file is missing or invalid; this is checked before the first run.
    """
    for name in flags.sets:
        SETS[name].check(flags.data_dir)
    commit = current_commit()
    for name in flags.sets:
        entry, runs = {}, list[Run]()
        for seed in range(FIRST_SEED, FIRST_SEED + flags.seeds):
            wanted = [name for name in ABLATIONS if not runs or name in EVERY_SEED] if flags.ablations else []
            choices = {(run.variant, run.rule): run.choices for run in runs}
            runs += in_its_own_process(Task(flags.data_dir, name, seed, options(flags), wanted, choices))
            entry = summarise(SETS[name], runs, commit, SETS[name].sha256(flags.data_dir))
            if flags.json:
                keep(flags.json, entry)
        console(log_width=LOG_WIDTH).print(tables.terminal(entry))


def options(flags: argparse.Namespace) -> dict[str, Any]:
    """Return the options of training that the command line changes."""
    return {} if flags.epochs is None else {"epochs": flags.epochs}


def current_commit() -> str | None:
    """Return the commit of the project, or None outside a repository."""
    from recsys.training.publishing import (
        git_commit,
    )  # here, because it imports TensorFlow, and writing a page does not need it

    return git_commit()


def keep(path: Path, entry: Mapping[str, Any]) -> None:
    """Write what the page needs of a set's entry, beside the entries of other sets that the file holds."""
    others = [kept for kept in read(path) if kept["set"] != entry["set"]] if path.exists() else []
    order = list(SETS)
    entries = sorted([*others, compact(entry)], key=lambda kept: order.index(kept["set"]))
    pages.keep(path, {"sets": entries})


def compact(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry with what the page shows: no trials, and of runs, differences and ablations only some fields."""
    runs = [_some(run, RUN) for run in entry["runs"]]
    paired = [_some(pair, PAIR) for pair in entry["paired"] if pair["metric"] == "ndcg10"]
    ablations = [_some(row, ABLATION) for row in entry["ablations"]]
    shown = {**entry, "runs": runs, "paired": paired, "ablations": ablations}
    return {name: part for name, part in shown.items() if name != "trials"}


def _some(record: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: record[name] for name in names if name in record}


def read(path: Path) -> list[dict[str, Any]]:
    """Return the entries of a file.

    Raises:
        BenchmarkError: The file has another form.
    """
    try:
        entries: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["sets"]
    except (ValueError, KeyError, TypeError) as error:
        raise BenchmarkError(
            f'{path.name} should hold {{"sets": […]}}, as --json writes it. Received: something else ({error}).'
        ) from error
    return entries


def write_page(page: Path, kept: Path, check: bool) -> int:
    """Write each set's tables between its markers, or compare; returns the exit status."""
    if not page.is_file():
        raise BenchmarkError(f"--markdown should name a page. Received: {page}, which is not there.")
    measured = {entry["set"]: entry for entry in (read(kept) if kept.exists() else [])}
    text = page.read_text(encoding="utf-8")
    for name in named(text):
        block = tables.markdown(measured[name]) if name in measured else tables.UNMEASURED
        text = pages.replaced(text, block, name, page.name)
    return pages.settled(page, text, "benchmarks/quality.py", check=check)


def named(text: str) -> Sequence[str]:
    """Return the data sets that have markers in a page.

    Raises:
        BenchmarkError: The page has no markers.
    """
    places = {name: pages.begin(name) for name in SETS}
    found = [name for name, begin in places.items() if begin in text]
    if not found:
        raise BenchmarkError(
            f"The page should hold one of {', '.join(begin.strip() for begin in places.values())}. Received: none."
        )
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", nargs="?", type=Path, metavar="DATA_DIR", help="holds a folder a set")
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS), help="all of them by default")
    parser.add_argument(
        "--seeds",
        type=int,
        choices=range(1, 101),
        default=3,
        metavar="N",
        help="fits of everything, each by a seed of its own (3)",
    )
    parser.add_argument(
        "--epochs", type=pages.positive, metavar="N", help="epochs at most; validation may end a fit earlier"
    )
    parser.add_argument(
        "--ablations", action="store_true", help="also without history and without embedding: three times as long"
    )
    pages.add_flags(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
