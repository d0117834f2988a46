"""What a training run costs by step, at some sizes of a shop, beside another commit and beside other libraries.

    python benchmarks/training.py --against 34750aa --json benchmarks/results/training.json
    python benchmarks/training.py --shops online-retail demo --data-dir DATA_DIR --sizes 400000 --json …
    python benchmarks/training.py --markdown docs/SCALE.md
    python benchmarks/training.py --markdown docs/SCALE.md --check

Each run is a dry run in a process of its own. The seconds are those of the processor. The other commit runs whole at
the smallest size. At larger ones it trains each network for two epochs; the seconds of the second one are then
multiplied by the number of epochs that it had at the smallest size. implicit and Cornac run in environments that are
removed afterwards. Tables go to stdout, progress to stderr. The JSON file keeps the rows that are not measured again.
--markdown writes the kept results into the page; with --check it only compares, and exits with 1 if the page differs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import venv
from collections.abc import Mapping, Sequence
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as train.py does, for the processes that fit

from benchmarks import pages  # noqa: E402
from benchmarks.measuring import planted  # noqa: E402
from benchmarks.measuring.training_tables import markdown  # noqa: E402
from recsys.training.terminal import console  # noqa: E402

KEPT = Path("benchmarks/results/training.json")
NAME = "training"  # of the page's markers
SIZES = (100_000, 300_000, 1_000_000)
SHOPS = ("planted", "online-retail", "demo")
DEMO_UNTIL = "2025-06-15"  # the last midnight before `planted.NOW`
HERE, BEFORE = "here", "before"
FEW_EPOCHS = 2  # of the other commit at larger sizes; the first one includes the compilation of the graph
SEED = 7
STEPS, RIVALS = ROOT / "benchmarks/measuring/steps.py", ROOT / "benchmarks/measuring/rivals.py"
LIBRARIES: Mapping[str, Sequence[str]] = {
    "implicit": ["implicit==0.7.3", "scipy==1.17.1", "numpy==2.4.6"],
    "cornac": ["cornac==3.0.1", "scipy==1.17.1", "numpy==2.4.6", "torch==2.13.0"],
}
err = console(stderr=True)


def main(argv: list[str], root: Path = ROOT) -> int:
    """Measure, or write the page; returns the exit status."""
    flags = _parser().parse_args(argv)
    if flags.markdown:
        kept = root / KEPT
        block = markdown(json.loads(kept.read_text(encoding="utf-8"))["runs"]) if kept.exists() else pages.NOT_TAKEN
        text = pages.replaced(flags.markdown.read_text(encoding="utf-8"), block, NAME, flags.markdown.name)
        return pages.settled(flags.markdown, text, "benchmarks/training.py", check=flags.check)
    with tempfile.TemporaryDirectory(prefix="recsys-training-") as folder:
        measure(flags, Path(folder))
    return 0


def measure(flags: argparse.Namespace, folder: Path) -> None:
    """Run every shop at every size, with each code and library; the file is written after each run."""
    checkouts = {HERE: ROOT}
    if flags.against:
        checkouts[BEFORE] = folder / BEFORE
        unpack(flags.against, checkouts[BEFORE])
    counts: dict[tuple[str, str], Mapping[str, Any]] = {}
    for shop in flags.shops:
        for n_events in sorted(flags.sizes) if shop != "demo" else [0]:  # which has one size
            place = folder / f"{shop}-{n_events}"
            place.mkdir()
            size = make_shop(shop, n_events, place, flags.data_dir)
            for code, checkout in checkouts.items():
                whole = code == HERE or n_events in (0, min(flags.sizes))
                options: dict[str, Any] = {"now": planted.NOW, **({} if whole else {"epochs": FEW_EPOCHS})}
                if code == HERE:
                    options["export"] = str(place / "events.npz")
                err.print(f"{shop}, {size:,} events, {code}", style="bold")
                row = run([sys.executable, str(STEPS), str(checkout), str(place), json.dumps(options)])
                if whole:
                    counts[shop, code] = row
                else:
                    row = extrapolated(row, counts[shop, code])
                keep(flags.json, {"shop": shop, "size": size, "code": code, **row})
            for library in flags.libraries:
                err.print(f"{shop}, {size:,} events, {library}", style="bold")
                keep(flags.json, {"shop": shop, "size": size, "code": library, **asked(library, place / "events.npz")})


def make_shop(shop: str, size: int, folder: Path, data_dir: Path | None) -> int:
    """Write a shop of about that many events into a folder; returns the number, for the demo that of its own events."""
    if shop == "planted":
        planted.write(folder, *planted.planted(size, SEED))
        return size
    if shop == "demo":
        (folder / "recsys.toml").touch()
        url = f"sqlite:///{folder / 'shop.sqlite'}"
        made = [sys.executable, str(ROOT / "scripts/make_shop.py"), "--database-url", url, "--until", DEMO_UNTIL]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL)
        with closing(sqlite3.connect(folder / "shop.sqlite")) as db:
            return int(db.execute("SELECT count(*) FROM Interactions").fetchone()[0])
    from benchmarks.sets.online_retail import FILE, purchases

    if data_dir is None:
        raise SystemExit("--data-dir should name the folder of the sets. Received: nothing.")
    planted.write(folder, *planted.resampled(purchases(data_dir / shop / FILE), size, SEED))
    return size


def extrapolated(row: Mapping[str, Any], whole: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of a run of few epochs, as if each network had had its epochs in the whole run.

    A network that the short run did not train in a step has there the epochs of another step, without validation.

    Args:
        row: The figures of the run of few epochs a network.
        whole: Those of a whole run of the same code on fewer events.

    >>> stages = [{"title": "Fit", "cpu": 9.0, "epochs": {"BMF": {"count": 1, "cpu": 7.0, "last": 7.0}}}]
    >>> stages += [{"title": "Refit", "cpu": 1.0, "epochs": {}}]
    >>> epochs = {"BMF": {"count": 4, "cpu": 4.0, "last": 1.0}}
    >>> more = [{"title": title, "epochs": epochs} for title in ("Fit", "Refit")]
    >>> extrapolated({"cpu": 10.0, "stages": stages, "epoch_cpu": {"BMF": 6.0}}, {"stages": more})["cpu"]
    55.0
    """
    stages, total = [], row["cpu"]
    for stage, other in zip(row["stages"], whole["stages"], strict=False):
        added = 0.0
        for name, epochs in other["epochs"].items():
            here = stage["epochs"].get(name, {"count": 0, "last": row["epoch_cpu"].get(name, 0.0)})
            added += (epochs["count"] - here["count"]) * here["last"]
        stages.append({**stage, "cpu": stage["cpu"] + added, "added": added})
        total += added
    return {**row, "cpu": total, "stages": stages, "extrapolated": True}


def asked(library: str, events: Path) -> dict[str, Any]:
    """Return a library's figures from an environment that is made for it and removed."""
    with tempfile.TemporaryDirectory(prefix="recsys-rival-") as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / "bin/python")
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
        subprocess.run([*pip, *LIBRARIES[library]], check=True, cwd=folder)
        return {**run([python, "-I", str(RIVALS), library, str(events)]), "packages": list(LIBRARIES[library])}


def run(command: Sequence[str]) -> dict[str, Any]:
    """Return the JSON object that a command prints in its last line."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def unpack(commit: str, folder: Path) -> None:
    """Write the files of a commit into a folder."""
    done = subprocess.run(["git", "-C", str(ROOT), "archive", commit], capture_output=True, check=True)
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")


def keep(path: Path | None, row: Mapping[str, Any]) -> None:
    """Print the seconds of a run, and write it beside the others of the file."""
    err.print(f"  {row['cpu']:,.0f} s of the processor, {row['peak_mb']:,.0f} MiB", highlight=False)
    if path is None:
        return
    runs = json.loads(path.read_text(encoding="utf-8"))["runs"] if path.exists() else []
    same = ("shop", "size", "code")
    others = [other for other in runs if any(other[name] != row[name] for name in same)]
    order = [HERE, BEFORE, *LIBRARIES]
    rows = sorted([*others, row], key=lambda run: (run["shop"], run["size"], order.index(run["code"])))
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors"
    pages.keep(path, {"runs": rows, "python": platform.python_version(), "machine": machine})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shops", nargs="+", choices=SHOPS, default=["planted"], help="the planted one by default")
    parser.add_argument("--sizes", nargs="+", type=pages.positive, default=list(SIZES), metavar="N", help="in events")
    parser.add_argument("--data-dir", type=Path, metavar="DATA_DIR", help="holds a folder a set, for online-retail")
    parser.add_argument("--against", metavar="COMMIT", help="also measure the code of this commit")
    parser.add_argument(
        "--libraries", nargs="*", choices=list(LIBRARIES), default=[], help="also measure them; none by default"
    )
    pages.add_flags(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
