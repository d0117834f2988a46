"""Back up a version: its files, its encoders in the database and its metrics, in one archive with checksums.

The archive is backups/<version>.zip, which only this user may read; a newer archive of the same version takes its
place. It holds neither passwords nor the shop's tables, which need a backup of their own. scripts/restore.py reads it.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from recsys.artifacts import current_name  # noqa: E402
from recsys.errors import RecsysError  # noqa: E402
from recsys.errors.arguments import Parser  # noqa: E402
from recsys.lifecycle.backup import back_up  # noqa: E402
from recsys.settings import load_settings  # noqa: E402

INTERRUPTED = 130  # the status of shells after Ctrl-C
BACKUPS = "backups"


def main(argv: list[str], root: Path = ROOT) -> int:
    """Write the archive; returns the exit status."""
    flags = _parser().parse_args(argv)
    try:
        settings = load_settings(os.environ, root)
        name = flags.version or current_name(settings.models_dir)
        target = flags.to or root / BACKUPS / f"{name}.zip"
        size = back_up(settings, name, target, replace=flags.to is None)
    except RecsysError as error:
        print(f"backup: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("backup: interrupted; no archive was written.", file=sys.stderr)
        return INTERRUPTED
    print(f"{name}: {size / 2**20:,.1f} MiB in {target}.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", metavar="VERSION", help="the version; default the active one")
    parser.add_argument("--to", metavar="FILE", type=Path, help="another archive, which must not exist")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
