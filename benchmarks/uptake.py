"""How long after its activation does every worker serve a new version, under half the load that the pool sustains?

    python benchmarks/uptake.py --json benchmarks/results/uptake.json
    python benchmarks/uptake.py --markdown docs/PERFORMANCE.md
    python benchmarks/uptake.py --markdown docs/PERFORMANCE.md --check

It makes a synthetic shop with two versions of random weights, which differ in their popularity. A pool of the backend
gets requests at an even pace, whether or not earlier ones are answered, while the versions change several times. The
command ends with 1 if an answer fails, if two lists of one request name the same version, if a worker dies, or if an
uptake takes more than two seconds. Times are those of the clock: run it on a machine that does nothing else. --markdown
writes the kept figures into the page; with --check it only compares, and exits with 1 if the page differs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # as train.py does, for the process that writes the version
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

from benchmarks import pages  # noqa: E402
from benchmarks.loads.shops import Say, Size, SyntheticShop, put_encoders, synthetic_shop  # noqa: E402
from benchmarks.loads.timing import BenchmarkError  # noqa: E402
from benchmarks.loads.users import USUAL  # noqa: E402
from benchmarks.measuring import tables  # noqa: E402
from recsys.artifacts import Draft, activate, open_version  # noqa: E402
from recsys.artifacts.manifest import RESERVED  # noqa: E402
from recsys.training.terminal import console  # noqa: E402

NAME = "uptake"
KEPT = Path("benchmarks/results/uptake.json")
SCRIPT = ROOT / "benchmarks/loads/uptake.mjs"
CONTEXT = {"time_of_day": "morning", "season": None}  # otherwise the clock would change the lists
ASKED_USERS, LIMIT = 50, 10
CUSTOMERS = 400  # with a history; the table would otherwise take most of the time, and only 50 of them ask
SECONDS = 3.0  # of each measurement of the load, and of load after each uptake
WORKERS, CHANGES = 2, 6
ALLOWED_MS = 2000


def main(argv: list[str], root: Path = ROOT) -> int:
    """Measure, or write the page; returns the exit status."""
    flags = _parser().parse_args(argv)
    if flags.markdown:
        return write_page(flags.markdown, root / KEPT, check=flags.check)
    err = console(stderr=True)
    try:
        with synthetic_shop(Size(flags.items, flags.users, CUSTOMERS), None, err.print) as shop:
            figures = {"items": flags.items, "users": flags.users, **measure(shop, flags.changes, err.print)}
        figures |= _machine()
    except BenchmarkError as error:
        err.print(f"uptake: {error}")
        return 1
    if flags.json:
        pages.keep(flags.json, figures)
    console().print(rendered(figures), soft_wrap=True)
    return int(bool(faults(figures)))


def measure(shop: SyntheticShop, changes: int, say: Say) -> dict[str, Any]:
    """Return the load, the milliseconds of each uptake, and what became of the requests.

    Args:
        shop: With one version, which is active.
        changes: How often to change between two versions.
        say: Called with a line about each step.
    """
    (database,) = shop.urls
    versions = [second_version(shop), shop.version]
    users = shop.groups[USUAL][:ASKED_USERS]
    asked = [{"user_id": user, "limit": LIMIT, "context": CONTEXT} for user in users]
    requests = [{**request, **({"model": "popularity"} if n % 2 else {})} for n, request in enumerate(asked)]
    node = shutil.which("node")
    if node is None:
        raise BenchmarkError("Node 20 or newer should be on PATH, to call workers as a backend does. Received: none.")
    options = {"size": WORKERS, "python": sys.executable, "env": {**os.environ, **shop.environ(database)}}
    with subprocess.Popen([node, str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            load = _tell(process, {**options, "requests": requests, "seconds": SECONDS})["loading"]
            say(f"{load:.0f} requests a second, half of what {WORKERS} workers sustain")
            took = []
            for number in range(changes):
                version = versions[number % len(versions)]
                activate(shop.models_dir, version)
                took.append(_tell(process, {"version": version, "at": 1000 * time.time()})["ms"])
                say(f"change {number + 1} of {changes}: {took[-1]:,.0f} ms")
            result = _tell(process, None)
        finally:
            process.kill()
    return {"load": load, "ms": took, **result, "workers": WORKERS}


def _tell(process: subprocess.Popen[str], line: Mapping[str, Any] | None) -> dict[str, Any]:
    """Send a line, or the end of input, and return the reply."""
    if process.stdin is None or process.stdout is None:
        raise BenchmarkError("Node should have both pipes. Received: none.")
    if line is None:
        process.stdin.close()
    else:
        process.stdin.write(json.dumps(line) + "\n")
        process.stdin.flush()
    reply = process.stdout.readline()
    if not reply:
        raise BenchmarkError(f"Node should answer. Received: its end, with status {process.wait()}.")
    answer: dict[str, Any] = json.loads(reply)
    return answer


def second_version(shop: SyntheticShop) -> str:
    """Publish the shop's version once more with its popularity turned around; returns its name. It is not active."""
    with (
        open_version(shop.models_dir, shop.version) as first,
        Draft.create(shop.models_dir, int(time.time()) + 1) as draft,
    ):
        for entry in first.manifest["files"]:
            if entry["path"] != "popularity.h5":
                os.link(first.file(entry["path"]), draft.path(entry["path"]))
        popularity = first.arrays("popularity.h5")["popularity"]
        draft.write_arrays("popularity.h5", {"popularity": popularity.max() - popularity})
        name = draft.publish({key: value for key, value in first.manifest.items() if key not in RESERVED})
    put_encoders(shop, name)
    return name


def faults(figures: Mapping[str, Any]) -> list[str]:
    """Return what should not have happened, one sentence each."""
    found = [f"{count} answers failed: {reason}." for reason, count in figures["failed"].items()]
    if figures["mixed"]:
        found.append(f"{figures['mixed']} answers are mixed: the same version and request have two lists.")
    if figures["deaths"]:
        found.append(f"{figures['deaths']} workers died.")
    if len(figures["versions"]) < 2:
        found.append("One version alone has answered.")
    if max(figures["ms"]) > ALLOWED_MS:
        found.append(f"An uptake took {max(figures['ms']):,.0f} ms; {ALLOWED_MS:,} are allowed.")
    return found


def rendered(figures: Mapping[str, Any]) -> str:
    """Return the figures as Markdown."""
    took: Sequence[float] = sorted(figures["ms"])
    row = [
        f"{figures['items']:,} items, {figures['users']:,} users",
        str(figures["workers"]),
        f"{figures['load']:.0f} of {figures['sustained']:.0f}",
        f"{took[len(took) // 2]:,.0f}",
        f"{took[-1]:,.0f}",
        f"{figures['asked']:,}",
        str(sum(figures["failed"].values())),
        str(figures["mixed"]),
    ]
    titles = ["shop", "workers", "requests a second", "uptake, ms: median", "longest", "requests", "failed", "mixed"]
    notes = faults(figures) or [f"{len(took)} changes of version; no answer failed or mixed two versions."]
    notes.append(f"{figures['processor']}, {figures['processors']} processors.")
    return tables.grid(titles, [row], n_left=1) + "\n\n" + "\n".join(f"- {note}" for note in notes) + "\n"


def write_page(page: Path, kept: Path, *, check: bool) -> int:
    """Write the kept figures between their markers, or compare; returns the exit status."""
    block = rendered(json.loads(kept.read_text(encoding="utf-8"))) if kept.exists() else pages.NOT_TAKEN
    text = pages.replaced(page.read_text(encoding="utf-8"), block, NAME, page.name)
    return pages.settled(page, text, "benchmarks/uptake.py", check=check)


def _machine() -> dict[str, Any]:
    return {"processor": platform.processor() or platform.machine(), "processors": os.cpu_count()}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=pages.positive, default=10_000, metavar="N", help="of the shop; default 10,000")
    parser.add_argument("--users", type=pages.positive, default=20_000, metavar="N", help="of the shop; default 20,000")
    parser.add_argument("--changes", type=pages.positive, default=CHANGES, metavar="N", help="of version; default 6")
    pages.add_flags(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
