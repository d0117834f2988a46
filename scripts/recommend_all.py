r"""Compute the lists of all users, or of a segment, by the published winner: for e-mails, home pages, other programs.

  python scripts/recommend_all.py                            into the table rec_batch_lists, which the backend reads
  python scripts/recommend_all.py --to jsonl --limit 20      files in lists/, one JSON object a user
  python scripts/recommend_all.py --users segment.txt        only these users: one id a line
  python scripts/recommend_all.py --shard 3/16               the third of sixteen parts, which may run anywhere at once

Everybody gets what one request at a time would give them. Called again after an interruption, with the same options, it
goes on where it stopped. docs/BATCH.md says more.

Exit status: 0 done, 2 wrong command line, 130 interrupted; 64 and above if it failed, as of recommend_api.py.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
# Before anything imports NumPy: shards use the cores, and more threads would only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from rich.progress import (  # noqa: E402
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from recsys.errors import RecsysError, SettingsError  # noqa: E402
from recsys.errors.arguments import Parser  # noqa: E402
from recsys.recommending.batch import KINDS, recommend_all  # noqa: E402
from recsys.settings import load_settings  # noqa: E402
from recsys.training.terminal import console  # noqa: E402

INTERRUPTED = 130  # the status of shells after Ctrl-C


def main(argv: list[str], root: Path = ROOT) -> int:
    """Compute the lists; returns the exit status."""
    flags = _parser().parse_args(argv)
    err = console(stderr=True)
    columns = TextColumn("users"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    try:
        settings = load_settings(os.environ, root)
        users = None if flags.users is None else read_users(flags.users)
        with Progress(*columns, console=err) as bar:
            task = bar.add_task("users", total=None)
            result = recommend_all(
                settings,
                users=users,
                to=flags.to,
                limit=flags.limit,
                shard=flags.shard,
                model=flags.model,
                progress=lambda done, of: bar.update(task, completed=done, total=of),
                folder=flags.out,
            )
    except RecsysError as error:
        err.print(f"recommend_all: {error}", soft_wrap=True)
        return error.exit_status
    except KeyboardInterrupt:
        err.print("recommend_all: interrupted. The same command goes on from here.")
        return INTERRUPTED
    console().print(f"{result.n_lists:,} lists of {result.n_users:,} users in {result.seconds:.1f} s", soft_wrap=True)
    return 0


def read_users(path: Path) -> Sequence[str]:
    """Return the ids of a file, one a line; blank lines are left out.

    Raises:
        SettingsError: The file cannot be read, or is no UTF-8.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        expected = "--users should be a file of ids in UTF-8, one a line"
        raise SettingsError(f"{expected}. Received: {path}: {error}.") from error
    return [line.strip() for line in lines if line.strip()]


def _parser() -> argparse.ArgumentParser:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=Path, metavar="FILE", help="ids of a segment, one a line; default everybody")
    parser.add_argument("--to", choices=KINDS, default="table", help="where the lists go; default table")
    parser.add_argument("--limit", type=int, default=10, metavar="N", help="items of a list, 1 to 100; default 10")
    parser.add_argument("--shard", type=_shard, default=(0, 1), metavar="K/N", help="part K of N, such as 3/16")
    parser.add_argument("--model", metavar="NAME", help="a scorer of the version; default each segment's winner")
    out = "the folder of the files of jsonl and parquet; default lists/"
    parser.add_argument("--out", type=Path, default=ROOT / "lists", metavar="FOLDER", help=out)
    return parser


def _shard(text: str) -> tuple[int, int]:
    part, _, of = text.partition("/")
    if not (part.isdecimal() and of.isdecimal() and text.isascii() and 1 <= int(part) <= int(of) <= 10**6):
        raise argparse.ArgumentTypeError(f"it should be a part and their number, such as 3/16. Received: {text!r}")
    return int(part) - 1, int(of)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
