"""Make a synthetic shop of any size, with a published version of random weights, to try out serving.

    python benchmarks/synthetic_shop.py --items 10000 --users 50000

It prints the variables that a process needs to serve from the shop, and removes the shop after Enter or at the end of
input.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # as train.py does, for the process that writes the version
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")


from benchmarks.loads.databases import SERVER  # noqa: E402
from benchmarks.loads.shops import Size, synthetic_shop  # noqa: E402
from recsys.errors import RecsysError  # noqa: E402
from recsys.training.terminal import console  # noqa: E402


def main(argv: Sequence[str]) -> int:
    """Make the shop, and remove it when asked to; returns the exit status."""
    flags = _parser().parse_args(argv)
    err, size = console(stderr=True), Size(flags.items, flags.users, flags.customers, flags.history)
    try:
        with synthetic_shop(size, SERVER if flags.mariadb else None, err.print) as shop:
            for database in shop.urls:
                print(
                    " ".join(f"{name}={shlex.quote(value)}" for name, value in shop.environ(database).items()),
                    flush=True,
                )
            examples = ", ".join(f"{ids[0]} ({name})" for name, ids in shop.groups.items())
            err.print(f"Users, such as: {examples}. Enter removes the shop.")
            sys.stdin.readline()
    except RecsysError as error:
        err.print(f"synthetic_shop: {error}")
        return error.exit_status
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=5000, metavar="N", help="default 5,000")
    parser.add_argument("--users", type=int, default=20_000, metavar="N", help="that the version knows; default 20,000")
    parser.add_argument(
        "--customers", type=int, default=4000, metavar="N", help="users with a usual history; default 4,000"
    )
    parser.add_argument(
        "--history", type=int, default=50, metavar="N", help="median number of their events; default 50"
    )
    parser.add_argument("--mariadb", action="store_true", help=f"also as a database of {SERVER}")
    return parser


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that shops are removed
    sys.exit(main(sys.argv[1:]))
