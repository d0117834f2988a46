"""Whether an import is as fast as at another commit, and how much memory it takes: paired ratios.

    python benchmarks/importing.py online-retail.csv.gz --against COMMIT

Each round imports the file into new SQLite files, with the checkout of the commit and with this one, in turn. A round's
ratio is that of the processor's seconds, now by before. The exit status is 1 if their upper quartile is above
1, or if an import takes more memory than the limit.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
ONLINE_RETAIL = (
    "--user CustomerID --item StockCode --timestamp InvoiceDate --price UnitPrice --name Description "
    "--cancelled-when InvoiceNo^=C --drop-when Quantity<=0"
)
MAX_MB = 400


class Cost(NamedTuple):
    """What one import took.

    Attributes:
        seconds: Of the processor.
        megabytes: Most resident memory, in 10^6 bytes.
    """

    seconds: float
    megabytes: float


@contextmanager
def checkout_of(commit: str) -> Iterator[Path]:
    """Make a checkout of a commit, and remove it in the end."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkout"
        subprocess.run(
            ["git", "-C", ROOT, "worktree", "add", "--detach", path, commit], check=True, capture_output=True
        )
        try:
            yield path
        finally:
            subprocess.run(["git", "-C", ROOT, "worktree", "remove", "--force", path], check=True)


def cost_of(checkout: Path, file: Path, flags: Sequence[str]) -> Cost:
    """Import a file with a checkout into a new database."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/shop.sqlite"
        script = checkout / "scripts" / "import_events.py"
        command = [sys.executable, str(script), str(file), *flags, "--database-url", url]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"importing: {checkout} should import {file}. Received: exit {process.returncode}.")
    return Cost(used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6)


def main(argv: Sequence[str]) -> int:
    """Compare; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="a file of events")
    parser.add_argument("--against", required=True, metavar="COMMIT", help="to compare with")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="that are paired; default 7")
    parser.add_argument("--flags", default=ONLINE_RETAIL, help="of the import, in one text; default online-retail's")
    flags = parser.parse_args(argv)
    file, options = flags.file.resolve(), flags.flags.split()
    ratios, most = [], 0.0
    with checkout_of(flags.against) as before:
        for number in range(flags.rounds):
            sides = (before, ROOT) if number % 2 else (ROOT, before)
            costs = {side: cost_of(side, file, options) for side in sides}
            now, then = costs[ROOT], costs[before]
            ratios.append(now.seconds / then.seconds)
            most = max(most, now.megabytes)
            print(f"{then.seconds:.1f} s before, {now.seconds:.1f} s now, {now.megabytes:.0f} MB", flush=True)
    lower, median, upper = np.quantile(ratios, (0.25, 0.5, 0.75))
    print(f"ratio {median:.3f} ({lower:.3f} to {upper:.3f}), {most:.0f} MB at most")
    return 1 if upper > 1 or most > MAX_MB else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
