"""Bring a version back from an archive of scripts/backup.py: its files, its encoders in the database, its metrics.

The archive is checked in full. What is there already stays, so that a restore may be run again. Archives tell damage,
but not who made them: restore only your own.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from recsys.errors import RecsysError  # noqa: E402
from recsys.errors.arguments import Parser  # noqa: E402
from recsys.lifecycle.backup import Restored, restore  # noqa: E402
from recsys.settings import load_settings  # noqa: E402

INTERRUPTED = 130  # the status of shells after Ctrl-C


def main(argv: list[str]) -> int:
    """Restore the version; returns the exit status."""
    flags = _parser().parse_args(argv)
    try:
        settings = load_settings(os.environ, ROOT)
        print(_message(restore(settings, flags.file, now=int(time.time()), activate=flags.activate)))
    except RecsysError as error:
        print(f"restore: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("restore: interrupted. What serves is whole; run it again to finish.", file=sys.stderr)
        return INTERRUPTED
    return 0


def _message(done: Restored) -> str:
    files = "restored" if done.is_new else "was there already, whole"
    encoders = "were written" if done.wrote_encoders else "were there already"
    lines = [f"{done.name} {files}. Its encoders {encoders}."]
    if done.switched is None:
        lines.append(f"It does not serve yet: scripts/rollback.py --to {done.name} makes it the active version.")
    elif done.switched.before == done.name:
        lines.append("It is active already.")
    else:
        lines.append(f"It is active. Before it: {done.switched.before or 'none'}.")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", metavar="FILE", type=Path, help="an archive of scripts/backup.py")
    parser.add_argument("--activate", action="store_true", help="make it the active version, too")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
